/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What an operator asks of the proxy for the servers of a cluster, by its locality:
 * `paddock.udp.clusters`. Used by the control thread.
 */
#ifndef PADDOCK_PROXY_POLICIES_H
#define PADDOCK_PROXY_POLICIES_H

#include <stdbool.h>
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

/** Room for the bytes of a probe, and for those of its answer. */
#define POLICY_MAX_BYTES 128

struct policy_bytes {
    uint32_t count;
    uint8_t data[POLICY_MAX_BYTES];
};

enum policy_probe {
    POLICY_PROBE_OFF,
    POLICY_PROBE_QCMP, /**< a ping */
    POLICY_PROBE_BYTES /**< `send`, whose answer begins with `expect` */
};

/** How it is found out whether servers answer. */
struct policy_health {
    enum policy_probe probe;
    uint16_t port; /**< where probes go; 0: the endpoint's */
    bool icmp;     /**< whether what the network refuses counts as a failure */
    struct policy_bytes send, expect;
    int64_t interval_ns, timeout_ns;
    uint32_t fall, rise; /**< failures, and successes, in a row that change the state */
    int64_t retry_ns;    /**< without a probe: how long a server is unhealthy */
};

/** For the servers of one cluster; zeroed it asks for nothing. */
struct policy {
    enum policy_header proxy_protocol;
    bool has_health;
    struct policy_health health;
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

/** Whether two policies are the same. */
bool policy_equal(const struct policy *a, const struct policy *b);

/** Whether two say the same, in the same order. */
bool policies_equal(const struct policies *a, const struct policies *b);

/** The policy for a cluster: that of its locality, or else that of "*"; never NULL.
 * @param policies NULL: none. */
const struct policy *policies_find(const struct policies *policies, const char *locality);

#endif
