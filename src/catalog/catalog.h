/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The state of the world, whoever tells it: clusters of game servers, the chain of filters, data
 * centres. Sources tell parts of it; what is in force is one immutable version, which workers take
 * at the start of a batch and keep no longer.
 *
 * Used by the control thread, save what says otherwise.
 */
#ifndef PADDOCK_CATALOG_CATALOG_H
#define PADDOCK_CATALOG_CATALOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "catalog/clusters.h"
#include "catalog/datacenters.h"
#include "loop/quiescent.h"
#include "loop/worker.h"

/** Who tells it. Where two tell the same locality, the chain or the data centres, the later in this
 * list wins. */
enum catalog_source {
    CATALOG_CONFIG, /**< the configuration file of -c */
    CATALOG_FS,     /**< the file of --provider.fs */
    CATALOG_STATIC, /**< --provider.static.endpoints */
    CATALOG_MDS,    /**< agents that push to this relay */
    CATALOG_XDS,    /**< --provider.xds.endpoints */
    CATALOG_K8S,    /**< Kubernetes */
    CATALOG_SOURCES
};

/** What a source tells: all that it knows, or NULL where it says nothing of a part. Whatever it
 * left out since the last time is gone. */
struct catalog_change {
    struct clusters *clusters;
    json_t *filters; /**< a list as in a file, checked */
    struct datacenters *datacenters;
};

/** Frees what a change holds, where it does not go to catalog_update(). */
void catalog_change_fini(struct catalog_change *change);

/** One version. Read only; it lives until no worker can be using it. */
struct catalog_version {
    struct retired retired;
    uint64_t number; /**< from 1, one more with each change */
    struct clusters *clusters;
    json_t *filters;                 /**< a list; NULL: nobody told one */
    struct datacenters *datacenters; /**< NULL: nobody told any */
    uint64_t datacenters_number;     /**< the number since which they are as they are */
};

struct catalog;

/** Makes a catalog whose first version is empty.
 * @param workers that take versions of it; NULL: none do. Must outlive it.
 * @param[out] catalog untouched on failure; freed with catalog_free().
 * @return 0 or a negative errno value. */
int catalog_new(struct catalog **catalog, struct workers *workers, struct log *log);

/** Frees it, with the version in force. NULL is fine. */
void catalog_free(struct catalog *catalog);

/**
 * Takes what a source tells, in place of what it told before, and puts a new version in force, if
 * that changes anything. A source whose part loses against another's is warned about once.
 * @param change its members are taken over, also on failure.
 * @return 0 or -ENOMEM: nothing has changed.
 */
int catalog_update(struct catalog *catalog, enum catalog_source source,
                   const struct catalog_change *change);

/** Who wants to hear of changes, in the caller's memory. The last member is the catalog's. */
struct catalog_watch {
    void (*changed)(void *user);
    void *user;
    struct catalog_watch *next;
};

/** Calls a function, from catalog_update() and catalog_set_self(), whenever another version is in
 * force, or the process itself has changed. */
void catalog_watch(struct catalog *catalog, struct catalog_watch *watch);

/** Ends that; one that does not watch is fine. */
void catalog_unwatch(struct catalog *catalog, struct catalog_watch *watch);

/** What this process is to others. */
struct catalog_self {
    char id[256];
    char region[LOCALITY_PART_BYTES];   /**< "" for none */
    char locality[LOCALITY_TEXT_BYTES]; /**< as locality_format() writes it; "" for none */
    char icao_code[5];
    uint16_t qcmp_port; /**< host order; 0: it answers no pings */
    bool is_silent;     /**< another replica tells relays the same: this one is to be quiet */
};

/** What was set last; zeroed before. Until the next catalog_set_self(). */
const struct catalog_self *catalog_self(const struct catalog *catalog);

/** Sets it; what has not changed is told to nobody. @param self copied. */
void catalog_set_self(struct catalog *catalog, const struct catalog_self *self);

/** The name of a source, as it is shown; static storage. */
const char *catalog_source_name(enum catalog_source source);

/** The version in force; a worker may use it until the end of its turn, the control thread until
 * the next catalog_update(). From any worker. */
const struct catalog_version *catalog_read(const struct catalog *catalog);

/** How often a source has told something else than before: another number says that catalog_show()
 * shows something else. */
uint64_t catalog_changes(const struct catalog *catalog);

/** Sets `filters`, `clusters`, `datacenters` and `paddock.sources` in an object, as
 * docs/operations.md has it, in place of what is there under these names. A token is shown as
 * `fingerprint:` with 16 hexadecimal digits, by a key of this process, unless @p with_tokens: a
 * file may have such a text, as a token that no player can show.
 * @return 0 or -ENOMEM. */
int catalog_show(const struct catalog *catalog, json_t *json, bool with_tokens);

#endif
