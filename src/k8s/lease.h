/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which of several replicas leads, by a Lease of Kubernetes: the replica that holds it renews it
 * twice a second, and another one that sees no renewal for a second takes it. Clocks of machines
 * are not compared. A leader that cannot renew stops to be one before another can begin.
 */
#ifndef PADDOCK_K8S_LEASE_H
#define PADDOCK_K8S_LEASE_H

#include "k8s/api.h"
#include "k8s/metrics.h"
#include "k8s/pieces.h"

struct lease_options {
    struct api *api;
    struct loop *loop;
    struct k8s_metrics *metrics;
    const char *namespace, *name, *id; /**< borrowed */
    /** This replica leads now, or does not any more. */
    void (*changed)(bool is_leader, void *user);
    void *user;
};

/** What a Lease says. */
struct lease_facts {
    char holder[256], renewed[64], acquired[64], version[64];
    int64_t duration_ns;
    int64_t transitions;
};

/** In the caller's memory. The members are its own affair. */
struct lease {
    struct lease_options options;
    struct api_call call;
    struct loop_timer next, deadline;
    struct pieces answer;
    struct lease_facts seen; /* at the last answer */
    int64_t seen_ns;         /* when that was first seen as it is */
    int64_t asked_ns;        /* when the call under way began */
    int64_t renewed_ns;
    bool is_known; /* there has been an answer */
    bool is_leader;
    bool is_writing;  /* the call under way would make this replica the leader */
    bool is_answered; /* the call under way has brought a Lease */
    bool is_refused; /* the last write: another replica was faster, or there is nothing to change */
    bool is_failing;
};

void lease_init(struct lease *lease, const struct lease_options *options);

/** Ends it, without giving the Lease back. A zeroed one is fine. */
void lease_fini(struct lease *lease);

/** Asks, as soon as the loop turns. */
void lease_start(struct lease *lease);

/** Whether it is known who leads. */
bool lease_is_ready(const struct lease *lease);

/** Gives it back, if it is held, so that another replica need not wait. Blocks for that, half a
 * second at most. */
void lease_give_back(struct lease *lease);

/** Reads a Lease. @param[out] facts undefined on failure. @return 0 or -1: it is none. */
int lease_read(json_t *object, struct lease_facts *facts);

#endif
