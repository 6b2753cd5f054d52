/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Game servers, in clusters by where they stand. A cluster is built once, by one provider, and does
 * not change after it has been added to a list; lists share clusters by counting references, so
 * that a list of which one cluster changed costs no more than that cluster.
 *
 * Allocates; never blocks. Used by the control thread; workers may read what a version of the
 * catalog holds.
 */
#ifndef PADDOCK_CATALOG_CLUSTERS_H
#define PADDOCK_CATALOG_CLUSTERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "net/endpoint.h"
#include "net/target.h"

/** Room for a region, a zone or a sub-zone. */
#define LOCALITY_PART_BYTES ((size_t)128)
/** Room for a whole locality as text. */
#define LOCALITY_TEXT_BYTES (3 * LOCALITY_PART_BYTES)

/** Where servers stand. Parts that are not named are empty; without a region there are none. */
struct locality {
    char region[LOCALITY_PART_BYTES];
    char zone[LOCALITY_PART_BYTES];
    char sub_zone[LOCALITY_PART_BYTES];
};

/** Reads `region[:zone[:sub_zone]]`; each part has a character or more, and no controls.
 * @param[out] locality untouched on failure.
 * @return 0 or -1. */
int locality_parse(const char *text, struct locality *locality);

/** Writes what locality_parse() reads, or "" for no locality.
 * @return 0; or -1 where locality_parse() would not give the same parts, and @p text is undefined.
 */
int locality_format(const struct locality *locality, char text[LOCALITY_TEXT_BYTES]);

/** Where a server is: an address, or a name that is still to be resolved. */
struct server_address {
    struct endpoint at;           /**< of a name only its port is set */
    char name[TARGET_HOST_BYTES]; /**< "" where the address is numeric; small letters */
};

/** Reads an address, or a name of the DNS: labels of letters, digits, `-` and `_`, of which the
 * last is no number. A link-local address has a scope (`fe80::1%eth0`).
 * @param[out] address without a port; untouched on failure.
 * @return 0 or -1. */
int server_host_parse(const char *text, struct server_address *address);

/** What server_address_parse() reads, behind "expected". */
#define SERVER_ADDRESS_EXPECTED "an address or a name, and a port from 1 to 65535"

/** Reads `192.0.2.1:7000`, `[2001:db8::1]:7000` or `name:7000`, also behind `udp://`.
 * @param[out] address untouched on failure.
 * @return 0 or -1. */
int server_address_parse(const char *text, struct server_address *address);

/** What server_numeric_parse() reads, behind "expected". */
#define SERVER_NUMERIC_EXPECTED "an address with or without a port"

/** Reads what server_address_parse() or server_host_parse() reads, without names and scopes: makes
 * no call of the system.
 * @param[out] endpoint its port is 0 where the text has none; untouched on failure.
 * @return 0 or -1. */
int server_numeric_parse(const char *text, struct endpoint *endpoint);

/** What a player shows to reach a server. */
struct token {
    const struct token *next; /**< of the same endpoint */
    uint32_t bytes;           /**< may be 0 */
    uint8_t data[];
};

/** The greatest weight of an endpoint. */
#define CLUSTER_MAX_WEIGHT 1000

/** One game server of a cluster. */
struct cluster_endpoint {
    struct cluster_endpoint *next;
    const char *address; /**< as written, by whoever named it first */
    const char *name;    /**< to be resolved; NULL where the address is numeric */
    struct endpoint at;  /**< of a name only its port is set */
    const struct token *tokens;
    size_t token_count;
    json_t *metadata; /**< an object without the tokens; NULL: nothing else is known */
    uint32_t weight;  /**< its share of players beside the others, from 1 */
    const struct token **last_token;
};

/** The servers of one locality. */
struct cluster {
    const char *locality; /**< as locality_format() writes it; "" for none */
    const struct cluster_endpoint *endpoints;
    size_t endpoint_count;
    size_t token_count; /**< of all endpoints */
    struct cluster_memory *memory;
};

/** Makes a cluster without endpoints.
 * @param locality as locality_format() writes it.
 * @return to be handed to clusters_add() or cluster_free(); NULL without memory. */
struct cluster *cluster_new(const char *locality);

/** Frees a cluster that has not been added to a list. NULL is fine. */
void cluster_free(struct cluster *cluster);

/** Adds an endpoint, or finds the one with that address.
 * @param text as server_address_parse() reads it.
 * @param[out] endpoint lives as long as the cluster; untouched on failure.
 * @return 0; -EINVAL: the text is no address with a port; or -ENOMEM. */
int cluster_add_endpoint(struct cluster *cluster, const char *text,
                         struct cluster_endpoint **endpoint);

/** Adds a token to an endpoint of the cluster.
 * @return 0; -EEXIST: the endpoint has it; or -ENOMEM. */
int cluster_add_token(struct cluster *cluster, struct cluster_endpoint *endpoint, const void *token,
                      size_t bytes);

/** Adds what is known of an endpoint, over what was known of it under the same keys. Its weight is
 * `paddock.weight` of the metadata, where that is a number from 1 to #CLUSTER_MAX_WEIGHT; else 1.
 * @param metadata an object, whose reference stays the caller's, and which does not change any
 * more.
 * @return 0 or -ENOMEM. */
int cluster_add_metadata(struct cluster_endpoint *endpoint, json_t *metadata);

/** Adds the endpoints of another cluster, with their tokens and metadata.
 * @return 0 or -ENOMEM. */
int cluster_add_all(struct cluster *cluster, const struct cluster *from);

/** Whether two clusters have the same locality, endpoints, tokens and metadata, in the same
 * order. */
bool cluster_equal(const struct cluster *a, const struct cluster *b);

/** A list of clusters, each of another locality. */
struct clusters {
    struct clusters_item {
        const struct cluster *cluster;
        uint64_t
            version; /**< the catalog's number since which the cluster is as it is; 0 outside */
    } * items;
    size_t count, capacity;
    struct lookup *lookup;
    size_t fingerprints; /**< tokens that a file had as /config shows them, and that are missing */
};

/** Makes an empty list.
 * @return freed with clusters_free(); NULL without memory. */
struct clusters *clusters_new(void);

/** Frees a list, and the clusters that no other list has. NULL is fine. */
void clusters_free(struct clusters *clusters);

/** Adds a new cluster, which does not change any more.
 * @param cluster taken over, also on failure.
 * @return 0; -EEXIST: the list has one of this locality; or -ENOMEM. */
int clusters_add(struct clusters *clusters, struct cluster *cluster);

/** Adds a cluster of another list, which keeps it.
 * @return as clusters_add(). */
int clusters_share(struct clusters *clusters, const struct cluster *cluster, uint64_t version);

/** A list with the same clusters; freed with clusters_free(). NULL without memory. */
struct clusters *clusters_copy(const struct clusters *clusters);

/** The cluster of a locality, or NULL. */
const struct clusters_item *clusters_find(const struct clusters *clusters, const char *locality);

/** The list as JSON, as a file has it.
 * @param key shows tokens as `fingerprint:` and 16 digits by this key; NULL: as they are.
 * @param with_versions shows each cluster's version, too, and that there is no locality.
 * @return a reference of the caller's, or NULL without memory. */
json_t *clusters_show(const struct clusters *clusters, const struct siphash_key *key,
                      bool with_versions);

/** Whether two lists have the same clusters, in any order; NULL is an empty list. */
bool clusters_equal(const struct clusters *a, const struct clusters *b);

#endif
