/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Databases that tell countries and autonomous systems, from files that are read again when they
 * change, and from URLs that are fetched once a day. All of it happens beside the packet path: a
 * thread reads a database whole into a table, and workers use the table. What cannot be read leaves
 * the table before in use.
 *
 * Used by the control thread, save what says otherwise.
 */
#ifndef PADDOCK_GEO_GEO_H
#define PADDOCK_GEO_GEO_H

#include "base/log.h"
#include "geo/table.h"
#include "loop/loop.h"
#include "loop/worker.h"
#include "metrics/metrics.h"

/** Databases at a time, and the bytes of their list. */
#define GEO_MAX_SOURCES 4
#define GEO_TEXT_BYTES 4096

struct geo;

/** What a list of databases needs. */
struct geo_options {
    struct loop *loop;       /**< must outlive it, as the next ones */
    struct workers *workers; /**< they look places up */
    struct log *log;
    const char *sources; /**< paths and http(s) URLs, with commas between them; borrowed by the call
                          */
};

/** Whether a list of sources is one: 1 to #GEO_MAX_SOURCES, none of them empty. */
bool geo_is_list(const char *sources);

/** Makes it; nothing is read before geo_tick().
 * @param[out] made untouched on failure; freed with geo_free().
 * @return 0 or a negative errno value. */
int geo_new(struct geo **made, const struct geo_options *options);

/** Stops what is under way, which may take some milliseconds; no worker looks up any more. NULL is
 * fine. */
void geo_free(struct geo *geo);

/** Looks for what is new; to be called every second. @param now_ns monotonic. */
void geo_tick(struct geo *geo, int64_t now_ns);

/** What the databases know of an address, the first one first. By a worker. NULL knows nothing. */
struct geo_place geo_find(const struct geo *geo, const struct in6_addr *address);

/** Writes its families; from any thread. NULL writes none. */
void geo_metrics(const struct geo *geo, struct metrics *out);

#endif
