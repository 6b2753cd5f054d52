/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Game servers as objects of Kubernetes tell them: read from JSON, and kept by the name of their
 * object, as little of each as routing needs.
 */
#ifndef PADDOCK_K8S_SERVERS_H
#define PADDOCK_K8S_SERVERS_H

#include <jansson.h>
#include <stdint.h>

#include "catalog/clusters.h"
#include "k8s/settings.h"

/** One address of an object. */
struct server {
    char *address;    /**< `ADDRESS:PORT`, as cluster_add_endpoint() reads it */
    json_t *metadata; /**< for routing: an object */
};

/** What an object tells. Zeroed: nothing, as it is not in use or lacks an address. */
struct servers {
    struct server *items;
    size_t count;
    uint8_t *tokens; /**< of all servers; before each token its length, 4 bytes in host order */
    size_t tokens_bytes;
    size_t bad_tokens; /**< skipped */
    bool is_unfit;     /**< it is in use, and has no address, no port, or bad ones */
};

/** Releases what there is, and zeroes it. */
void servers_fini(struct servers *servers);

/** Reads a GameServer of Agones. What is not allocated tells nothing.
 * @param[out] servers zeroed before.
 * @return 0 or -ENOMEM. */
int servers_read_game_server(struct servers *servers, json_t *object,
                             const struct k8s_settings *settings);

/** Reads an EndpointSlice: its ready endpoints, at its first UDP port. As above. */
int servers_read_slice(struct servers *servers, json_t *object);

/** Objects by their names, of several lists. */
struct server_store;

/** @return NULL without memory; freed by server_store_free(). */
struct server_store *server_store_new(void);

/** NULL is fine. */
void server_store_free(struct server_store *store);

/** A list begins: what it does not put until server_store_sweep() goes then.
 * @param list any number below 64. */
void server_store_mark(struct server_store *store, unsigned list);
void server_store_sweep(struct server_store *store, unsigned list);

/** What of an object changes. */
enum server_change {
    SERVER_UNKNOWN = -1, /**< without memory: nothing has changed */
    SERVER_SAME,         /**< it was not there, and is not */
    SERVER_PUT,
    SERVER_GONE
};

/** Puts what an object tells in place of what it told before; nothing: it goes.
 * @param servers taken over, also on failure. */
enum server_change server_store_put(struct server_store *store, unsigned list, json_t *object,
                                    struct servers *servers);

/** Objects that tell something. */
size_t server_store_count(const struct server_store *store);

/** Whether something has changed since server_store_cluster(). */
bool server_store_is_changed(const struct server_store *store);

/** All of them as a cluster. @return NULL without memory; nothing has changed then. */
struct cluster *server_store_cluster(struct server_store *store, const char *locality);

/** The name of an object as `NAMESPACE/NAME`. @param name 2 * #K8S_NAME_BYTES of room. */
void server_object_name(json_t *object, char *name);

#endif
