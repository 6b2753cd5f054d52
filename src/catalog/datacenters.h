/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Data centres: the nodes that answer pings, each with the code of the airport next to it.
 */
#ifndef PADDOCK_CATALOG_DATACENTERS_H
#define PADDOCK_CATALOG_DATACENTERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/target.h"

/** The port of QCMP where nothing else is said. */
#define DATACENTER_QCMP_PORT 7600

/** One node. Several may have one code, or one address with different ports. */
struct datacenter {
    char address[TARGET_HOST_BYTES]; /**< an address or a name, as written */
    uint16_t qcmp_port;              /**< host order, not 0 */
    char icao_code[5];
};

/** Nodes in the order in which they were named. */
struct datacenters {
    struct datacenter *items;
    size_t count, capacity;
    struct lookup *lookup;
};

/** Makes an empty list.
 * @return freed with datacenters_free(); NULL without memory. */
struct datacenters *datacenters_new(void);

/** Frees a list. NULL is fine. */
void datacenters_free(struct datacenters *datacenters);

/** Adds a copy of a node.
 * @return 0; -EEXIST: the list has a node with this address and port; or -ENOMEM. */
int datacenters_add(struct datacenters *datacenters, const struct datacenter *datacenter);

/** A list with the same nodes; freed with datacenters_free(). NULL without memory. */
struct datacenters *datacenters_copy(const struct datacenters *datacenters);

/** Whether two lists have the same nodes in the same order; NULL is an empty list. */
bool datacenters_equal(const struct datacenters *a, const struct datacenters *b);

/** The nodes as the object of `map`, by address; by address and port where an address has several.
 * NULL is an empty list.
 * @return a reference of the caller's, or NULL without memory. */
json_t *datacenters_show(const struct datacenters *datacenters);

#endif
