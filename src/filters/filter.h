/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a filter is: it sees each datagram of a player before it goes to a server ("read"), and each
 * of a server before it goes to a player ("write"), may change it, refuse it, remember what it
 * found as metadata, and choose destinations. No filter calls the next; one loop runs the chain.
 *
 * A filter's own part does not change after it was opened, and is shared by all workers; what
 * changes is in a worker's part. Both begin zeroed.
 */
#ifndef PADDOCK_FILTERS_FILTER_H
#define PADDOCK_FILTERS_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "config/field.h"
#include "filters/rate_window.h"
#include "metrics/histogram.h"
#include "net/packet.h"

/** Names of metadata that one chain can have. */
#define FILTER_MAX_NAMES 64
#define FILTER_NAME_BYTES 128

/** The name of metadata that filters use unless another one is configured. */
#define FILTER_DEFAULT_NAME "quilkin.dev/capture"

/** Destinations that the router may choose for one datagram; all of the world are without limit. */
#define FILTER_MAX_CHOSEN 1024

/** The longest datagram that a filter may make: that of UDP over IPv4. */
#define FILTER_MAX_BYTES 65507

/** Bytes of filter_call.scratch and of filter_call.spare. */
#define FILTER_SCRATCH_BYTES ((size_t)2 * PACKET_MAX_BYTES)
#define FILTER_SPARE_BYTES ((size_t)3 * PACKET_MAX_BYTES)

enum filter_result {
    FILTER_NEXT,     /**< go on with the next one */
    FILTER_DROP,     /**< refused, with the reason in the call */
    FILTER_TOO_LARGE /**< it would become longer than #FILTER_MAX_BYTES */
};

enum metadata_kind {
    METADATA_NONE,
    METADATA_BOOL,
    METADATA_NUMBER,
    METADATA_BYTES,
    METADATA_LIST /**< several values, of which nothing is kept */
};

/** A value under a name. */
struct metadata {
    enum metadata_kind kind;
    uint64_t number;     /**< of a bool 0 or 1 */
    const uint8_t *data; /**< stays until the datagram is done */
    uint32_t bytes;
};

/** No endpoint, as a place. */
#define FILTER_NOWHERE UINT32_MAX

/** Which endpoints there are, and who owns a token. It does not change. */
struct filter_world {
    uint32_t count; /**< of endpoints */
    /** By place: the sum of the weights up to that endpoint, its own among them. NULL: all weigh
     * the same. */
    const uint64_t *weights;
    /** Finds the endpoints that own a token.
     * @param[out] chosen gets the places of at most @p most. @return how many. */
    uint32_t (*find_token)(const struct filter_world *world, const uint8_t *token, uint32_t bytes,
                           uint32_t *chosen, uint32_t most);
};

/** The sessions of a worker, for a filter that sends players by them. */
struct filter_sessions {
    /** The place of an endpoint with which a player has a session, from the newest session on.
     * @param n how many to pass over. @return #FILTER_NOWHERE: there are no more. */
    uint32_t (*find)(const struct filter_sessions *sessions, const struct endpoint *player,
                     unsigned n);
    /** How many sessions an endpoint has. */
    uint32_t (*count)(const struct filter_sessions *sessions, uint32_t place);
    /** Whether a player may go to an endpoint: one that is unhealthy gets no new sessions. */
    bool (*is_open)(const struct filter_sessions *sessions, const struct endpoint *player,
                    uint32_t place);
};

/** One datagram on its way. */
struct filter_call {
    struct packet *packet;                      /**< data and bytes may be changed */
    const struct endpoint *source;              /**< where it came from */
    const struct endpoint *server;              /**< of a server's datagram; NULL of a player's */
    const struct endpoint *player;              /**< to whom a server's datagram goes; else NULL */
    const struct filter_world *world;           /**< of a player's datagram */
    const struct filter_sessions *sessions;     /**< the worker has them; NULL: there are none */
    struct metadata metadata[FILTER_MAX_NAMES]; /**< by filter_name(); empty at first */
    bool is_chosen; /**< whether the destinations are those below; else they are all */
    uint32_t chosen_count;
    uint32_t chosen[FILTER_MAX_CHOSEN]; /**< by their place in the world */
    const struct metadata *token;       /**< by which a router chose; NULL: none did */
    unsigned reason;                    /**< of #FILTER_DROP: an index into filter_ops.reasons */
    bool is_reason_whole;               /**< link_read()'s own: the index is one of all reasons */
    int64_t now_ns;                     /**< monotonic: when the batch began */
    /** Memory for bytes that are taken off the datagram, so that what is added later does not
     * overwrite them: #FILTER_SCRATCH_BYTES. */
    uint8_t *scratch;
    uint32_t scratch_bytes; /**< in use */
    /** Between which addresses the datagram's bytes may be written, also beside it. */
    uint8_t *floor, *ceiling;
    /** Memory for a datagram that has grown out of these bounds: #FILTER_SPARE_BYTES. Nothing of it
     * was used for the datagram yet, unless the floor is its beginning. */
    uint8_t *spare;
};

/** The most filters of a kind or kinds that a program has. */
#define FILTER_MAX_KINDS 32

/** What filters have counted, of any number of workers. Zeroed it is empty. The two members of each
 * pair are players' datagrams and servers'. */
struct filter_totals {
    struct histogram_sum durations[FILTER_MAX_KINDS][2]; /**< by the place in #filter_list */
    uint64_t matched[2], fallen[2];                      /**< of Match */
    struct filter_latency {
        char name[FILTER_NAME_BYTES];
        struct histogram_sum sum[2];
    } * latencies; /**< of Timestamp, by name of metadata; on the heap */
    size_t latencies_count;
};

/** Bounds of struct filter_latency. */
extern const struct histogram_bounds filter_latency_bounds;

/** The latencies of a name, which is added where it is new. NULL without memory. */
struct filter_latency *filter_latency(struct filter_totals *totals, const char *name);

/** The names of metadata in one chain. */
struct filter_names {
    unsigned count;
    char names[FILTER_MAX_NAMES][FILTER_NAME_BYTES];
};

/** The index of a name, which is new or not.
 * @return at least 0, or -ENOSPC: there are too many, or it is too long. */
int filter_name(struct filter_names *names, const char *name);

/** What the datagrams of a player must have alike so that a chain does the same with all of them.
 * Zeroed it is nothing. */
struct filter_repeat {
    bool has_value;  /**< bytes at one end */
    bool is_suffix;  /**< at the end; else at the beginning */
    bool is_removed; /**< they are taken off */
    uint32_t size;
    bool is_limited;       /**< datagrams pass as filter_ops.allowance says, */
    struct rate_law limit; /**< by this */
};

/** Why #filter_repeat.limit refuses a datagram: of filter_ops.reasons. */
#define FILTER_LIMIT_REASON "filter::rate_limit::dropped"

/** What one source may still send. */
struct filter_allowance {
    struct rate_window own;
    struct rate_window *shared; /**< the caller's, which the driver takes from as well; in place of
                                   its own one. NULL: none */
};

/** A kind of filter. */
struct filter_ops {
    const char *id;             /**< quilkin.filters.capture.v1alpha1.Capture */
    const struct field *fields; /**< of its own part; NULL: it takes no configuration */
    const char *rules;          /**< JSON Schema: what holds beside the rows of fields; or NULL.
                                     $defs may be among them */
    bool needs_config;          /**< whether the configuration must be there, if only {} */
    const char *const *reasons; /**< why it refuses a datagram, for metrics; ended by NULL */
    size_t filter_bytes;        /**< its own part */
    size_t worker_bytes;        /**< a worker's part; 0: none */

    /** Completes what was read. May be NULL.
     * @return 0, or a negative errno value, also in @p error, behind the key of the filter. */
    int (*open)(void *filter, struct filter_names *names, struct error *error);
    /** Makes a worker's part, which is zeroed. May be NULL. @return 0, or -ENOMEM: stop() is due
     * all the same. */
    int (*start)(const void *filter, void *mine, unsigned worker);
    /** Releases what start() took; may be NULL. */
    void (*stop)(const void *filter, void *mine);
    /** NULL: goes on. Must not block, lock, allocate, log or format. */
    enum filter_result (*read)(const void *filter, void *mine, struct filter_call *call);
    enum filter_result (*write)(const void *filter, void *mine, struct filter_call *call);
    void (*close)(void *filter); /**< releases what open() took; may be NULL */

    /** Adds what a worker has counted, from any thread. May be NULL. */
    void (*collect)(const void *filter, const void *mine, struct filter_totals *totals);
    /** Logs what a worker has left to be logged; called every second by the control thread. May be
     * NULL. */
    void (*report)(const void *filter, void *mine, struct log *log);

    /** Whether it does the same with all datagrams between two endpoints and one server, as long as
     * a session of them lasts; NULL: no. May ask for what they must have alike, if no filter before
     * has. */
    bool (*repeats)(const void *filter, struct filter_repeat *repeat);

    /** What a source may still send, of one that has sent just now. It stays where it is as long as
     * it is shared. NULL: the source is not known, or too many are shared for one more. */
    struct filter_allowance *(*allowance)(const void *filter, void *mine,
                                          const struct endpoint *source);

    const char *schema_ref; /**< the $id of its schema, of filters that can be within themselves;
                               whose rules have $defs, to which "filter" is added */
};

/** For filter_ops.repeats: yes, whatever it is. */
bool filter_always_repeats(const void *filter, struct filter_repeat *repeat);

/** All kinds, ended by NULL. A new one is a file and a line in list.c. */
extern const struct filter_ops *const filter_list[];

#endif
