/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Contexts of TLS from PEM files, which are read again when they change.
 */
#ifndef PADDOCK_XDS_TLS_H
#define PADDOCK_XDS_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"

/** Paths of PEM files, "" for none; borrowed as long as there is a struct tls of them. */
struct tls_files {
    const char *certificates; /**< of this end, with its chain */
    const char *key;          /**< of the first of them */
    const char *authorities;  /**< who signs the peer's; a server without takes any client */
};

struct tls;

/** Reads the files.
 * @param[out] tls untouched on failure; freed with tls_free().
 * @return 0, or a negative errno value, also in @p error. */
int tls_new(struct tls **tls, const struct tls_files *files, bool is_server, struct error *error);

/** NULL is fine. Connections that there are keep what they use. */
void tls_free(struct tls *tls);

/** Looks at the files, each second or so. What cannot be read leaves the old in force. */
void tls_tick(struct tls *tls, struct log *log);

/** The context in force, for new connections; until the next tls_tick(). NULL for NULL. */
SSL_CTX *tls_context(const struct tls *tls);

#endif
