/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A chain of filters, as one immutable value that is shared by counting references.
 */
#ifndef PADDOCK_FILTERS_CHAIN_H
#define PADDOCK_FILTERS_CHAIN_H

#include <jansson.h>

#include "base/log.h"
#include "config/field.h"
#include "filters/filter.h"
#include "metrics/metrics.h"

#define CHAIN_MAX_FILTERS 64

struct chain;
struct chain_worker;

/** What filters have counted over the life of a service, whatever chains it had. Chains of a worker
 * keep it as long as they live. */
struct chain_meter;

/** NULL without memory; given back with chain_meter_unref(). */
struct chain_meter *chain_meter_new(void);
/** NULL is fine. */
void chain_meter_unref(struct chain_meter *meter);

/** Writes the families of filters. From any thread. */
void chain_meter_write(struct chain_meter *meter, struct metrics *out);

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

/** What a worker has of a chain.
 * @param meter NULL: nobody reads what it counts.
 * @return NULL without memory; freed by chain_worker_free(), when the worker uses it no more. */
struct chain_worker *chain_worker_new(struct chain *chain, struct chain_meter *meter,
                                      unsigned worker);
void chain_worker_free(struct chain_worker *worker);

/** Logs what filters have left to be logged: by the control thread, every second. */
void chain_worker_report(struct chain_worker *worker, struct log *log);

/** Around a batch of datagrams: one of it is timed, and stands for all. By the worker. */
void chain_begin(struct chain_worker *worker);
void chain_end(struct chain_worker *worker);

/** Runs a player's datagram through the chain, first to last. The caller sets the call's packet,
 * source, server, world, time and memory; the rest is set here.
 * @param[out] reason of #FILTER_DROP: the number of chain_reason(). */
enum filter_result chain_read(struct chain_worker *worker, struct filter_call *call,
                              unsigned *reason);

/** Runs a server's datagram through the chain, last to first; else as chain_read(). */
enum filter_result chain_write(struct chain_worker *worker, struct filter_call *call,
                               unsigned *reason);

/** How many filters the last datagram of chain_read() has come to. */
size_t chain_last(const struct chain_worker *worker);

/** Why any filter of the program refuses datagrams, by number, from 0.
 * @return static storage; NULL behind the last. */
const char *chain_reason(unsigned number);

/** The number of a reason that some filter has. */
unsigned chain_reason_number(const char *reason);

/** The id of the filter at a place of a chain; NULL behind the last. */
const char *chain_filter_name(const struct chain *chain, size_t index);

/** Whether the chain does the same with all datagrams of a session, as far as they have alike what
 * @p repeat says. @return NULL, or the id of the first filter that does not. */
const char *chain_repeats(const struct chain *chain, struct filter_repeat *repeat);

/** As filter_ops.allowance, of the filter that limits each source; NULL as well where there is
 * none. By the worker. */
struct filter_allowance *chain_allowance(struct chain_worker *worker,
                                         const struct endpoint *source);

/** The chain of which it is a worker's part. */
const struct chain *chain_of(const struct chain_worker *worker);

/** The ids of all kinds of filters, from 0; NULL behind the last. */
const char *chain_filter_id(size_t index);

/** JSON Schema of `filters`; a new reference, or NULL without memory. */
json_t *chain_schema(void);

/** JSON Schema of one filter's configuration; NULL for an unknown id, or without memory. */
json_t *chain_filter_schema(const char *id);

#endif
