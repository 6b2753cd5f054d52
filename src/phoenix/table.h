/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What is told of the sites over HTTP, as JSON: keys are codes in alphabetical order, values are
 * nanoseconds. A site of which nothing is known is left out.
 */
#ifndef PADDOCK_PHOENIX_TABLE_H
#define PADDOCK_PHOENIX_TABLE_H

#include "http/blob.h"
#include "phoenix/nodes.h"

/** `{"EFHK": 20000000}`: the round trip.
 * @return a reference of the caller's, or NULL without memory. */
struct http_blob *table_latencies(const struct nodes *nodes);

/** `{"EFHK": {"incoming": 10000000, "outgoing": 10000000}}`: half of it each, since nobody can know
 * better; together it is the round trip, whether that is odd or not.
 * @return as table_latencies(). */
struct http_blob *table_coordinates(const struct nodes *nodes);

#endif
