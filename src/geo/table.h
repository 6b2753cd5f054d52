/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which country and which autonomous system an address belongs to: ranges of addresses in order.
 * A table does not change once it is in use.
 */
#ifndef PADDOCK_GEO_TABLE_H
#define PADDOCK_GEO_TABLE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/worker.h"

/** Where an address is. Zeroed: nobody knows. */
struct geo_place {
    char country[2]; /**< two letters A to Z of ISO 3166; zeros: unknown */
    uint32_t asn;    /**< 0: unknown */
};

/** Ranges that a table has at most; they take 24 bytes each. */
#define GEO_MAX_RANGES (8U << 20)

struct geo_range {
    uint8_t first[16]; /**< its first address, IPv4 as the last four bytes after zeros */
    struct geo_place place;
};

struct geo_table {
    struct retired retired; /**< its release is geo_table_release() */
    struct geo_range *ranges;
    uint32_t count, capacity;
};

/** Makes an empty table; freed with geo_table_free(). NULL without memory. */
struct geo_table *geo_table_new(void);

/** NULL is fine. */
void geo_table_free(struct geo_table *table);

/** As geo_table_free(), for workers_retire(). */
void geo_table_release(struct retired *retired);

/** Adds a range, which goes up to the next one.
 * @param first above that of the range before.
 * @return 0, -ENOMEM, or -E2BIG: there are #GEO_MAX_RANGES. */
int geo_table_add(struct geo_table *table, const uint8_t first[16], struct geo_place place);

/** The place of an address; IPv4 is v4-mapped. NULL knows none. */
struct geo_place geo_table_find(const struct geo_table *table, const struct in6_addr *address);

#endif
