/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Clusters, data centres and filter chains of the catalog as messages, and back. What a message
 * holds is a stranger's: depth and memory have limits, and an error says what is wrong with it.
 * Allocates; used by the control thread.
 */
#ifndef PADDOCK_XDS_RESOURCES_H
#define PADDOCK_XDS_RESOURCES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include <xds.pb-c.h>

#include "base/error.h"
#include "catalog/clusters.h"
#include "catalog/datacenters.h"
#include "http/blob.h"

/** What there is to tell. */
enum resource_type {
    RESOURCE_CLUSTER,
    RESOURCE_DATACENTER,
    RESOURCE_FILTER_CHAIN,
    RESOURCE_TYPES
};

/** The URL of a type, as in `type_url`; static storage. */
const char *resource_type_url(enum resource_type type);

/** The type of the first message each way, which is about no resource; the server's has its version
 * of the protocol. */
#define RESOURCE_HELLO_TYPE "ignore-me"

/** Its name for people, such as "clusters"; static storage. */
const char *resource_type_name(enum resource_type type);

/** @param[out] type untouched on failure. @return 0 or -1. */
int resource_type_find(const char *url, enum resource_type *type);

/** Memory of one message, which is freed whole. */
struct arena {
    ProtobufCAllocator allocator; /**< for xds__...__unpack() */
    struct arena_block *blocks;
    size_t left; /**< bytes that may still be taken */
};

/** Begins one in the caller's memory; it must not move.
 * @param message_bytes of what is to be unpacked in it: many small parts need many times the
 * memory of their bytes, and nothing fit for use needs more than is allowed here. */
void arena_init(struct arena *arena, size_t message_bytes);

/** Frees it. */
void arena_fini(struct arena *arena);

/** Takes zeroed memory. @return NULL without memory, or beyond the limit. */
void *arena_take(struct arena *arena, size_t bytes);

/** How deep values may nest in metadata. */
#define RESOURCE_MAX_DEPTH 32

/** Reads a Cluster.
 * @param arena for what is needed on the way.
 * @param[out] cluster for clusters_add() or cluster_free(); untouched on failure.
 * @return 0, or a negative errno value with a text for who sent it. */
int resource_read_cluster(const ProtobufCBinaryData *message, struct arena *arena,
                          struct cluster **cluster, struct error *error);

/** Reads a Datacenter.
 * @param[out] node its address is "" where the message has none; untouched on failure.
 * @param[out] is_address whether it has one, and that is an IP address.
 * @return 0, or as resource_read_cluster(). */
int resource_read_datacenter(const ProtobufCBinaryData *message, struct arena *arena,
                             struct datacenter *node, bool *is_address, struct error *error);

/** Reads a FilterChain.
 * @param[out] filters a list as in a file, with defaults filled in; a reference of the caller's.
 * @return 0, or as resource_read_cluster(). */
int resource_read_filters(const ProtobufCBinaryData *message, struct arena *arena, json_t **filters,
                          struct error *error);

/** Makes a Cluster. @return a reference of the caller's, or NULL without memory. */
struct http_blob *resource_write_cluster(const struct cluster *cluster);

/** Makes a Datacenter. @param address "": that of who sends it. */
struct http_blob *resource_write_datacenter(const char *address, uint16_t qcmp_port,
                                            const char *icao_code);

/** Makes a FilterChain of a list as in a file; NULL is an empty one. */
struct http_blob *resource_write_filters(json_t *filters);

/** Reads a google.protobuf.Struct. @return a reference of the caller's; NULL, with an error. */
json_t *resource_read_struct(const ProtobufCBinaryData *message, struct arena *arena,
                             struct error *error);

/** Makes a google.protobuf.Struct of an object, in the arena.
 * @return 0 or -ENOMEM, also where it nests too deeply. */
int resource_write_struct(json_t *object, struct arena *arena, ProtobufCBinaryData *message);

#endif
