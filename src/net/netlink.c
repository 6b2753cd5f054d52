/* SPDX-License-Identifier: Apache-2.0 */
#include "net/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As large as the kernel makes the pieces of a list. */
#define PIECE_BYTES 32768
#define HEADER_BYTES 64

/* Messages and attributes begin at multiples of four bytes. The kernel's macros for it compute with
 * int. */
static size_t align(size_t bytes)
{
    return (bytes + 3) & ~(size_t)3;
}

bool netlink_header(const struct nlmsghdr *message, void *header, size_t bytes)
{
    if (message->nlmsg_len < sizeof *message + bytes)
        return false;
    memcpy(header, (const char *)message + sizeof *message, bytes);
    return true;
}

/* Hands over the messages of one piece. Returns 1 at the end of the list, 0 if more will come, or a
 * negative errno value. */
static int take_piece(const char *piece, size_t bytes, netlink_each_fn *each, void *user,
                      bool *interrupted)
{
    while (bytes >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *message = (const void *)piece;
        if (message->nlmsg_len < sizeof *message || message->nlmsg_len > bytes)
            return -EPROTO;
        *interrupted = *interrupted || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (message->nlmsg_type == NLMSG_DONE)
            return 1;
        if (message->nlmsg_type == NLMSG_ERROR) {
            struct nlmsgerr error = {.error = -EPROTO};
            (void)netlink_header(message, &error, sizeof error);
            return error.error;
        }
        each(message, user);
        size_t step = align(message->nlmsg_len);
        piece += step;
        bytes -= step < bytes ? step : bytes;
    }
    return 0;
}

int netlink_messages(const char *piece, size_t bytes, netlink_each_fn *each, void *user)
{
    bool interrupted = false;
    return take_piece(piece, bytes, each, user, &interrupted);
}

int netlink_list(const struct netlink_question *question, netlink_each_fn *each, void *user)
{
    struct {
        struct nlmsghdr head;
        alignas(NLMSG_ALIGNTO) char rest[HEADER_BYTES];
    } request = {.head = {.nlmsg_type = (uint16_t)question->type,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    alignas(struct nlmsghdr) char piece[PIECE_BYTES];
    bool interrupted = false;
    ssize_t bytes;
    int result = 0;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, question->protocol);

    if (fd < 0)
        return -errno;
    assert(question->header_bytes <= sizeof request.rest);
    memcpy(request.rest, question->header, question->header_bytes);
    request.head.nlmsg_len = (uint32_t)(sizeof request.head + question->header_bytes);
    do
        bytes = send(fd, &request, request.head.nlmsg_len, 0);
    while (bytes < 0 && errno == EINTR);
    while (bytes >= 0 && result == 0) {
        do
            bytes = recv(fd, piece, sizeof piece, 0);
        while (bytes < 0 && errno == EINTR);
        if (bytes >= 0)
            result = take_piece(piece, (size_t)bytes, each, user, &interrupted);
    }
    if (bytes < 0)
        result = -errno;
    close(fd);
    if (result < 0)
        return result;
    return interrupted ? -EINTR : 0;
}

bool netlink_value(const void *value, size_t bytes, void *to, size_t wanted)
{
    if (bytes < wanted)
        return false;
    memcpy(to, value, wanted);
    return true;
}

void netlink_attributes(const void *attributes, size_t bytes, netlink_attribute_fn *each,
                        void *user)
{
    const char *at = attributes;
    while (bytes >= sizeof(struct nlattr)) {
        struct nlattr attribute;
        memcpy(&attribute, at, sizeof attribute);
        if (attribute.nla_len < sizeof attribute || attribute.nla_len > bytes)
            return;
        each(attribute.nla_type & (unsigned)NLA_TYPE_MASK, at + sizeof attribute,
             attribute.nla_len - sizeof attribute, user);
        size_t step = align(attribute.nla_len);
        at += step;
        bytes -= step < bytes ? step : bytes;
    }
}

void netlink_message_attributes(const struct nlmsghdr *message, size_t header,
                                netlink_attribute_fn *each, void *user)
{
    size_t before = sizeof *message + align(header);
    if (message->nlmsg_len > before)
        netlink_attributes((const char *)message + before, message->nlmsg_len - before, each, user);
}
