/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One filter: read from a file, opened, run and closed. Chains consist of filters, and so do
 * filters that hold others.
 */
#ifndef PADDOCK_FILTERS_LINK_H
#define PADDOCK_FILTERS_LINK_H

#include <jansson.h>

#include "filters/filter.h"

/** A filter; zeroed it is none. */
struct link {
    const struct filter_ops *ops;
    void *filter;
    bool is_open;
    unsigned first_reason; /**< the number of the first reason of its kind, see link_reason() */
};

/** A filter as a file has it. The members are NULL where they are not there. */
struct link_nodes {
    const struct yaml_node *at; /**< the map, for errors */
    const struct yaml_node *name, *config;
};

/** A row that stores where a member of a map stands. */
extern const struct field_tree link_node_tree;
#define LINK_NODE(type, key_, member, flags_)                                                      \
    {                                                                                              \
        .key = (key_), .kind = FIELD_TREE, .tree = &link_node_tree, .flags = (flags_),             \
        FIELD_AT(type, member)                                                                     \
    }

/** Whether a member is there, and not null. */
bool link_is_there(const struct yaml_node *node);

/** Goes on to a member of a map; field_leave() goes back. */
size_t link_enter(struct field_walk *walk, const char *key);

/** Reads and opens a filter.
 * @param walk its user is the chain's struct filter_names.
 * @return 0; or a negative errno value, with the place in the walk's error. The link is to be
 * released either way. */
int link_take(struct link *link, const struct link_nodes *nodes, struct field_walk *walk);

/** Closes and releases. A zeroed one is fine. */
void link_fini(struct link *link);

/** The configuration with defaults filled in: a new reference, NULL without memory. */
json_t *link_show(const struct link *link);

/** How much of a worker's memory it takes, a multiple of 64. */
size_t link_worker_bytes(const struct link *link);

/** Makes and ends a worker's part. */
int link_start(const struct link *link, void *mine, unsigned worker);
void link_stop(const struct link *link, void *mine);

/** Makes the reason of a filter that refuses a datagram one of link_reason(). A filter that runs
 * another leaves the reason of that one, which is complete. */
static inline enum filter_result link_finish(const struct link *link, struct filter_call *call,
                                             enum filter_result result)
{
    if (result == FILTER_DROP && !call->is_reason_whole) {
        call->reason += link->first_reason;
        call->is_reason_whole = true;
    }
    return result;
}

/** Runs a filter. With #FILTER_DROP the call has the number of link_reason() in `reason`. Its
 * is_reason_whole is false before a datagram's first filter. */
static inline enum filter_result link_read(const struct link *link, void *mine,
                                           struct filter_call *call)
{
    if (link->ops->read == NULL)
        return FILTER_NEXT;
    return link_finish(link, call, link->ops->read(link->filter, mine, call));
}

static inline enum filter_result link_write(const struct link *link, void *mine,
                                            struct filter_call *call)
{
    if (link->ops->write == NULL)
        return FILTER_NEXT;
    return link_finish(link, call, link->ops->write(link->filter, mine, call));
}

/** As filter_ops.repeats. */
bool link_repeats(const struct link *link, struct filter_repeat *repeat);

/** Adds what a filter has counted; tells what it has to say. */
void link_collect(const struct link *link, const void *mine, struct filter_totals *totals);
void link_report(const struct link *link, void *mine, struct log *log);

/** The kind of an id, or NULL.
 * @param[out] first_reason the number of its first reason. */
const struct filter_ops *link_kind(const char *id, unsigned *first_reason);

/** Why any filter of the program refuses datagrams, by number; NULL behind the last. */
const char *link_reason(unsigned number);

/** JSON Schema of the configuration of a kind; NULL without memory. */
json_t *link_schema(const struct filter_ops *ops);

/** Adds to each kind's schema, in a list, `name` and `config`, with @p label `label` as well. */
json_t *link_schemas(bool with_label);

#endif
