/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Questions to the kernel over netlink whose answer is a list.
 */
#ifndef PADDOCK_NET_NETLINK_H
#define PADDOCK_NET_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>

/** Takes one message of the answer; it is valid during the call. */
typedef void netlink_each_fn(const struct nlmsghdr *message, void *user);

/** A question. */
struct netlink_question {
    int protocol;        /**< NETLINK_ROUTE or another family */
    unsigned type;       /**< the message's */
    const void *header;  /**< what follows the message's own header */
    size_t header_bytes; /**< at most 64 */
};

/**
 * Asks, and hands over each message of the list. Blocks until the kernel has answered, which is at
 * once; opens a socket for the time of the call.
 * @return 0 or a negative errno value; -EINTR: the list changed meanwhile, and what was handed over
 * may miss something: ask again.
 */
int netlink_list(const struct netlink_question *question, netlink_each_fn *each, void *user);

/** Hands over the messages of a piece that a socket has received, up to the end of a list.
 * @return 1 at the end of a list, 0 if more may come, or a negative errno value. */
int netlink_messages(const char *piece, size_t bytes, netlink_each_fn *each, void *user);

/** Copies the header of @p bytes with which a message's content begins.
 * @return false when the message is too short; @p header is untouched then. */
bool netlink_header(const struct nlmsghdr *message, void *header, size_t bytes);

/** Takes one attribute; its bytes are valid during the call. */
typedef void netlink_attribute_fn(unsigned type, const void *value, size_t bytes, void *user);

/** Copies the first @p wanted bytes of an attribute's value.
 * @return false when it has fewer; @p to is untouched then. */
bool netlink_value(const void *value, size_t bytes, void *to, size_t wanted);

/** Hands over each attribute of @p bytes at @p attributes; stops at the first that is cut. */
void netlink_attributes(const void *attributes, size_t bytes, netlink_attribute_fn *each,
                        void *user);

/** Hands over the attributes of a message in the same way; they come behind a header of its own of
 * @p header bytes. */
void netlink_message_attributes(const struct nlmsghdr *message, size_t header,
                                netlink_attribute_fn *each, void *user);

#endif
