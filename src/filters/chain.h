/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A chain of filters, as one immutable value that is shared by counting references.
 */
#ifndef PADDOCK_FILTERS_CHAIN_H
#define PADDOCK_FILTERS_CHAIN_H

#include <jansson.h>

#include "config/field.h"
#include "filters/filter.h"

#define CHAIN_MAX_FILTERS 64

struct chain;
struct chain_worker;

/** Reads a list of filters, `{name, label, config}` each.
 * @param[out] chain with one reference; untouched on failure.
 * @return 0; or a negative errno value, with the place and the key in the walk's error. */
int chain_take(struct chain **chain, const struct yaml_node *list, struct field_walk *walk);

/** As chain_take(), of JSON; NULL is an empty chain. @return 0, or as error_set(). */
int chain_from_json(struct chain **chain, json_t *list, struct error *error);

struct chain *chain_ref(struct chain *chain);

/** Gives a reference back; the last closes the filters. NULL is fine. */
void chain_unref(struct chain *chain);

/** The list as JSON, with defaults filled in; a new reference, NULL without memory. */
json_t *chain_show(const struct chain *chain);

/** What a worker has of a chain. @return NULL without memory; freed by chain_worker_free(). */
struct chain_worker *chain_worker_new(struct chain *chain, unsigned worker);
void chain_worker_free(struct chain_worker *worker);

/** Runs a player's datagram through the chain, first to last.
 * @param[out] reason of #FILTER_DROP: the number of chain_reason(). */
enum filter_result chain_read(struct chain_worker *worker, struct filter_call *call,
                              unsigned *reason);

/** Runs a server's datagram through the chain, last to first; else as chain_read(). */
enum filter_result chain_write(struct chain_worker *worker, struct filter_call *call,
                               unsigned *reason);

/** Why any filter of the program refuses datagrams, by number, from 0.
 * @return static storage; NULL behind the last. */
const char *chain_reason(unsigned number);

/** The filters of a chain that refused a datagram last, and its names: for `paddock check`. */
const char *chain_filter_name(const struct chain *chain, size_t index);

/** JSON Schema of `filters`; a new reference, or NULL without memory. */
json_t *chain_schema(void);

/** JSON Schema of one filter's configuration; NULL for an unknown id, or without memory. */
json_t *chain_filter_schema(const char *id);

#endif
