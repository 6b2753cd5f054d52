/* SPDX-License-Identifier: Apache-2.0 */
#include "net/outlet.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>

#include "net/bind.h"

/* Errors that one call reads; so many until outlet_hear_again() make an outlet deaf. */
#define ERROR_BATCH 16
#define ERRORS_MOST 64

/* Calls for one datagram, of those that fail for an earlier one. */
#define ERROR_TRIES 4

/* More calls than errors that an outlet hears before it is deaf. */
#define RECEIVE_TRIES (2 * ERRORS_MOST)

static enum port_error classify(int error)
{
    static const struct {
        int error;
        enum port_error class;
    } classes[] = {{EAGAIN, PORT_ERROR_NO_BUFFERS},
                   {ENOBUFS, PORT_ERROR_NO_BUFFERS},
                   {ENOMEM, PORT_ERROR_NO_BUFFERS},
                   {ECONNREFUSED, PORT_ERROR_REFUSED},
                   {EPERM, PORT_ERROR_REFUSED},
                   {EACCES, PORT_ERROR_REFUSED},
                   {ENOPROTOOPT, PORT_ERROR_REFUSED},
                   {EOPNOTSUPP, PORT_ERROR_REFUSED},
                   {EPROTO, PORT_ERROR_REFUSED},
                   {ENETUNREACH, PORT_ERROR_UNREACHABLE},
                   {EHOSTUNREACH, PORT_ERROR_UNREACHABLE},
                   {EHOSTDOWN, PORT_ERROR_UNREACHABLE},
                   {ENONET, PORT_ERROR_UNREACHABLE},
                   {EADDRNOTAVAIL, PORT_ERROR_UNREACHABLE},
                   {EMSGSIZE, PORT_ERROR_TOO_LARGE}};
    enum port_error class = PORT_ERROR_IO;

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (classes[i].error == error)
            class = classes[i].class;
    }
    return class;
}

static void tell_refused(const struct outlet *outlet, enum port_error class,
                         const struct endpoint *to)
{
    if (outlet->refused != NULL && (class == PORT_ERROR_REFUSED || class == PORT_ERROR_UNREACHABLE))
        outlet->refused(to, outlet->user);
}

void outlet_fail(const struct outlet *outlet, int error, const struct endpoint *to)
{
    enum port_error class = classify(error);

    counter_add(&outlet->counters->send_errors[class], 1);
    tell_refused(outlet, class, to);
}

/* The error number in a message of the error queue, or 0. */
static int reported_error(struct msghdr *header)
{
    for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message != NULL;
         message = CMSG_NXTHDR(header, message)) {
        struct sock_extended_err error;
        if (message->cmsg_type != (message->cmsg_level == IPPROTO_IP ? IP_RECVERR : IPV6_RECVERR))
            continue;
        memcpy(&error, CMSG_DATA(message), sizeof error);
        return (int)error.ee_errno;
    }
    return 0;
}

unsigned outlet_hear(struct outlet *outlet)
{
    struct mmsghdr messages[ERROR_BATCH];
    struct notice {
        struct sockaddr_in6 to;
        alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct sock_extended_err) +
                                                        sizeof(struct sockaddr_in6))];
    } notices[ERROR_BATCH] = {0};

    for (unsigned i = 0; i < ERROR_BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &notices[i].to,
                                              .msg_namelen = sizeof notices[i].to,
                                              .msg_control = notices[i].control,
                                              .msg_controllen = sizeof notices[i].control};
    int count = recvmmsg(outlet->fd, messages, ERROR_BATCH, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        const struct endpoint to = messages[i].msg_hdr.msg_namelen > 0
                                       ? endpoint_from_socket((struct sockaddr *)&notices[i].to)
                                       : (struct endpoint){.port = 0};
        tell_refused(outlet, classify(reported_error(&messages[i].msg_hdr)), &to);
    }
    if (count <= 0)
        return 0;
    outlet->heard += (unsigned)count;
    if (outlet->heard >= ERRORS_MOST)
        bind_hear_errors(outlet->fd, false);
    return (unsigned)count;
}

void outlet_hear_again(struct outlet *outlet)
{
    if (outlet->heard >= ERRORS_MOST)
        bind_hear_errors(outlet->fd, true);
    outlet->heard = 0;
}

/* Whether the network may have said an error, which then takes the place of a call. */
static bool may_be_heard(const struct outlet *outlet, int error)
{
    enum port_error class = classify(error);
    return outlet->refused != NULL && class != PORT_ERROR_IO && class != PORT_ERROR_NO_BUFFERS;
}

bool outlet_is_earlier(struct outlet *outlet, int error, unsigned tries)
{
    if (outlet->is_connected)
        return tries == 0;
    if (!may_be_heard(outlet, error))
        return false;
    return outlet_hear(outlet) > 0 ? tries < ERROR_TRIES : tries == 0;
}

/* No error of these kinds is the call's own, so it is tried until all is heard, or the outlet is
 * deaf; an error can come before its message. */
bool outlet_is_of_sending(struct outlet *outlet, int error, unsigned tries)
{
    if (tries == RECEIVE_TRIES || !may_be_heard(outlet, error))
        return false;
    outlet_hear(outlet);
    return true;
}
