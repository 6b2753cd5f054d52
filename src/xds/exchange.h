/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What has passed of one type between a peer and this process, for people.
 */
#ifndef PADDOCK_XDS_EXCHANGE_H
#define PADDOCK_XDS_EXCHANGE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define EXCHANGE_TEXT_BYTES 128

/** Starts as zero. */
struct exchange {
    uint64_t responses, acks, nacks;
    int64_t acked_ns, nacked_ns;     /**< the last of each, monotonic; 0: never */
    char error[EXCHANGE_TEXT_BYTES]; /**< of the last NACK */
};

/** A response was acknowledged just now. */
void exchange_ack(struct exchange *exchange);

/** A response was refused just now. @param error any text; shown in part if it is long. */
void exchange_nack(struct exchange *exchange, const char *error);

/** Adds a resource to a digest, which starts as 0. The order of resources does not matter, so the
 * two ends of a stream have the same digest if they have the same versions of the same names. */
void exchange_add_version(uint64_t *digest, const char *name, const char *version);

/** Shows it as an object with `resources`, `version` (the digest), `responses`, `acks`, `nacks`,
 * `last_ack_s` and `last_nack_s` (seconds ago, or null) and `last_error` (or null).
 * @return a reference of the caller's, or NULL without memory. */
json_t *exchange_show(const struct exchange *exchange, size_t resources, uint64_t digest);

#endif
