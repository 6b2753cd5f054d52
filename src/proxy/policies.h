/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What an operator asks of the proxy for the servers of a cluster, by its locality:
 * `paddock.udp.clusters`. Used by the control thread.
 */
#ifndef PADDOCK_PROXY_POLICIES_H
#define PADDOCK_PROXY_POLICIES_H

#include <stddef.h>
#include <stdint.h>

#include "catalog/clusters.h"
#include "config/field.h"

/** Which of a player's datagrams tell the server the player's address. */
enum policy_header {
    POLICY_NO_HEADER,
    POLICY_EVERY_HEADER,
    POLICY_FIRST_HEADER /**< of each session */
};

/** For the servers of one cluster; zeroed it asks for nothing. */
struct policy {
    enum policy_header proxy_protocol;
};

/** Policies by locality. */
struct policies {
    struct policies_item {
        char locality[LOCALITY_TEXT_BYTES]; /**< as locality_format() writes it; or "*" */
        struct policy policy;
    } * items;
    size_t count;
};

/** Its value is a struct policies *, NULL: there are none. */
extern const struct field_tree policies_tree;

/** A copy; NULL is none, and has NULL as its copy. @return 0 or -ENOMEM. */
int policies_copy(struct policies **copy, const struct policies *policies);

/** NULL is fine. */
void policies_free(struct policies *policies);

/** Whether two say the same. */
bool policies_equal(const struct policies *a, const struct policies *b);

/** The policy for a cluster: that of its locality, or else that of "*"; never NULL.
 * @param policies NULL: none. */
const struct policy *policies_find(const struct policies *policies, const char *locality);

#endif
