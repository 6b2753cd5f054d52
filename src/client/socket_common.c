/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/address.h"

#define DSCP_SHIFT 2 /* above the two bits of ECN */

/* Some hosts have no IPv6, and OpenBSD no sockets for both families: IPv4 then. */
static int socket_of_family(enum qcmp_family family, int type, bool *ipv6)
{
    int ipv6_only = family == QCMP_FAMILY_IPV6;
    *ipv6 = family != QCMP_FAMILY_IPV4;
    if (!*ipv6)
        return socket(AF_INET, type, 0);
    int fd = socket(AF_INET6, type, 0);
    if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof ipv6_only) == 0)
        return fd;
    int error = errno;
    bool retry = family == QCMP_FAMILY_ANY && (fd >= 0 || error == EAFNOSUPPORT);
    if (fd >= 0)
        close(fd);
    errno = error;
    *ipv6 = !retry;
    return retry ? socket(AF_INET, type, 0) : -1;
}

static int bind_source(int fd, bool ipv6, const struct qcmp_endpoint *source)
{
    static const uint8_t any[16] = {0};
    struct sockaddr_storage address;
    if (source->port == 0 && memcmp(source->address, any, sizeof any) == 0)
        return 0;
    socklen_t bytes = qcmp_endpoint_fill(source, ipv6, &address);
    return bind(fd, (const struct sockaddr *)&address, bytes);
}

/* A socket for both families has an option for each; some systems take only that of IPv6. */
static int set_class(int fd, bool ipv6, int dscp)
{
    int class_bits = dscp << DSCP_SHIFT;
    if (dscp == 0)
        return 0;
    int error = setsockopt(fd, IPPROTO_IP, IP_TOS, &class_bits, sizeof class_bits);
    return ipv6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class_bits, sizeof class_bits) : error;
}

int qcmp_socket_create(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                       int type)
{
    enum qcmp_family family;
    bool ipv6;
    int error = qcmp_options_family(options, &family);
    if (error != 0)
        return error;
    int fd = socket_of_family(family, type, &ipv6);
    if (fd < 0)
        return qcmp_error_from_os(errno);
    if (options->interface_index != 0)
        error = qcmp_socket_confine(fd, ipv6, options->interface_index);
    if (error == 0 &&
        (set_class(fd, ipv6, options->dscp) != 0 || bind_source(fd, ipv6, &options->source) != 0))
        error = qcmp_error_from_os(errno);
    if (error != 0) {
        close(fd);
        return error;
    }
    sock->fd = fd;
    sock->ipv6 = ipv6;
    sock->ipv6_only = family == QCMP_FAMILY_IPV6;
    sock->refused = false;
    return 0;
}

int qcmp_socket_send_once(struct qcmp_socket *sock, const struct qcmp_endpoint *to,
                          const void *data, size_t bytes)
{
    struct sockaddr_storage address;
    ssize_t sent;
    if (qcmp_endpoint_is_ipv4(to) ? sock->ipv6_only : !sock->ipv6)
        return qcmp_error_from_os(EAFNOSUPPORT);
    socklen_t address_bytes = qcmp_endpoint_fill(to, sock->ipv6, &address);
    do
        sent = sendto(sock->fd, data, bytes, 0, (const struct sockaddr *)&address, address_bytes);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? qcmp_error_from_os(errno) : 0;
}

uint32_t qcmp_interface_index(const char *name)
{
    return (uint32_t)if_nametoindex(name);
}

/* Two functions have this name. POSIX's returns 0 or an error, GNU's a pointer to the text, which
 * C++ and a host's _GNU_SOURCE choose: no error is as great as an address. */
void qcmp_os_error_text(int os_error, char *text, size_t capacity)
{
    const intptr_t greatest_error = 4095;
    char words[128] = "";
    intptr_t result = (intptr_t)strerror_r(os_error, words, sizeof words);
    const char *known = result == 0 ? words : NULL;
    if (result > greatest_error || result < -greatest_error)
        known = (const char *)result; /* NOLINT(performance-no-int-to-ptr): it was a pointer */
    if (known != NULL)
        snprintf(text, capacity, "%s", known);
    else
        snprintf(text, capacity, "error %d of the operating system", os_error);
}
