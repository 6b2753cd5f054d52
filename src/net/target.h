/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Splits what a user names as a target into host and port. Purely textual: nothing is resolved, and
 * whether the host is an address is for others to say.
 */
#ifndef PADDOCK_NET_TARGET_H
#define PADDOCK_NET_TARGET_H

#include <stdint.h>

/** A name of the DNS has at most 253 characters; this leaves room for the scope of an address. */
#define TARGET_HOST_BYTES 256

/** One line an error: X(name, text). */
#define TARGET_ERRORS(X)                                                                           \
    X(EMPTY_HOST, "the host is missing")                                                           \
    X(HOST_TOO_LONG, "the host is too long")                                                       \
    X(BRACKET, "a square bracket without its counterpart")                                         \
    X(AFTER_BRACKET, "only a colon and a port may follow the bracket")                             \
    X(EMPTY_PORT, "the port after the colon is missing")                                           \
    X(PORT, "the port is not a number from 1 to 65535")

enum target_error {
    TARGET_OK = 0,
#define TARGET_ERROR_ENUM(name, text) TARGET_ERROR_##name,
    TARGET_ERRORS(TARGET_ERROR_ENUM)
#undef TARGET_ERROR_ENUM
};

struct target {
    char host[TARGET_HOST_BYTES]; /**< name or address, without brackets, with its scope if one was
                                     given */
    uint16_t port;
};

/**
 * Splits `host`, `host:port`, `1.2.3.4:5`, `[v6]:port`, `[v6]` or a bare `v6`; an address may have
 * a scope (`fe80::1%eth0`). Two or more colons without brackets are an IPv6 address and no port.
 *
 * @param default_port the port of a target that names none.
 * @param[out] target untouched on failure.
 * @return TARGET_OK or what is wrong.
 */
enum target_error target_parse(const char *text, uint16_t default_port, struct target *target);

/** One line about an error, without a full stop; static storage. */
const char *target_error_text(enum target_error error);

#endif
