/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "net/address.h"
#include "net/bind.h"
#include "proxy/proxy_protocol.h"

#define SECOND_NS INT64_C(1000000000)

/* How exact time-outs are. */
#define STEP_NS (SECOND_NS / 5)

/* Servers by the target of their probes. */
#define BUCKETS 4096

#define MAX_ANSWER_BYTES 2048

/* Answers that are taken in one turn of the loop. */
#define MOST_ANSWERS 256

struct health {
    struct loop *loop;
    struct log *log;
    struct loop_watch watch; /* the socket for probes; its fd is negative before there are any */
    struct loop_timer timer;
    sa_family_t family;
    struct siphash_key key; /* makes buckets and stamps that nobody can guess */
    uint64_t stamps;
    uint32_t servers;
    bool is_closed; /* the last server that is given back frees it */
    struct health_counters counters;
    struct server_health *buckets[BUCKETS];
};

static struct server_health **bucket(struct health *health, const struct endpoint *target)
{
    return &health
                ->buckets[siphash(&health->key, (const uint8_t *)target, sizeof *target) % BUCKETS];
}

static void set_down(struct server_health *server, bool is_down, const char *reason)
{
    struct health *health = server->owner;
    char address[ADDRESS_TEXT_BYTES];

    atomic_store_explicit(&server->is_down, is_down, memory_order_relaxed);
    server->down_ns = clock_monotonic_ns();
    server->failures = server->successes = 0;
    counter_add(&health->counters.changes[is_down], 1);
    counter_add(&health->counters.down, is_down ? 1 : UINT64_MAX);
    address_format(&server->at.address, ntohs(server->at.port), address);
    LOG_EVENT(health->log, is_down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
              log_text("message", is_down ? "a game server is unhealthy: it gets no new players"
                                          : "a game server is healthy again"),
              log_text("server", address), log_text("reason", reason));
}

static void fail(struct server_health *server, const char *reason, int64_t now_ns)
{
    server->successes = 0;
    server->failed_ns = now_ns;
    if (server_health_is_up(server) && ++server->failures >= server->policy.health.fall)
        set_down(server, true, reason);
}

static void succeed(struct server_health *server)
{
    server->failures = 0;
    if (!server_health_is_up(server) && ++server->successes >= server->policy.health.rise)
        set_down(server, false, "it answers");
}

/* Whether a datagram is the answer to the probe under way. */
static bool is_answer(const struct server_health *server, const uint8_t *data, uint32_t bytes)
{
    const struct policy_bytes *expect = &server->policy.health.expect;
    struct qcmp_packet pong;

    if (!server->is_waiting)
        return false;
    if (server->policy.health.probe == POLICY_PROBE_QCMP)
        return qcmp_packet_decode(data, bytes, &pong, NULL) == QCMP_PONG &&
               (uint64_t)pong.client_ns == server->stamp;
    return bytes >= expect->count && memcmp(data, expect->data, expect->count) == 0;
}

static void take_answers(uint32_t events, void *user)
{
    struct health *health = user;
    uint8_t data[MAX_ANSWER_BYTES];
    (void)events;

    for (unsigned i = 0; i < MOST_ANSWERS; i++) {
        struct sockaddr_in6 from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(health->watch.fd, data, sizeof data, MSG_DONTWAIT,
                               (struct sockaddr *)&from, &length);
        if (got < 0)
            return;
        struct endpoint peer = endpoint_from_socket((const struct sockaddr *)&from);
        uint32_t head = proxy_protocol_length(data, (uint32_t)got);
        for (struct server_health *server = *bucket(health, &peer); server != NULL;
             server = server->next_of_target) {
            if (!endpoint_equals(&server->target, &peer) ||
                !is_answer(server, data + head, (uint32_t)got - head))
                continue;
            server->is_waiting = false;
            counter_add(&health->counters.answers, 1);
            succeed(server);
        }
    }
}

static int open_socket(struct health *health)
{
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    uint16_t port = 0;
    int fd = bind_free_port(&port, false, false);
    if (fd < 0)
        return fd;

    getsockname(fd, (struct sockaddr *)&own, &length);
    health->family = own.ss_family;
    health->watch = (struct loop_watch){.fd = fd, .ready = take_answers, .user = health};
    int code = loop_add(health->loop, &health->watch, EPOLLIN);
    if (code != 0) {
        close(fd);
        health->watch.fd = -1;
    }
    return code;
}

/* A probe that cannot be sent has no answer. */
static void send_probe(struct health *health, struct server_health *server, int64_t now_ns)
{
    const struct policy *policy = &server->policy;
    uint8_t data[PROXY_PROTOCOL_BYTES + POLICY_MAX_BYTES + QCMP_PING_BYTES];
    struct sockaddr_in6 to;
    size_t bytes =
        policy->proxy_protocol != POLICY_NO_HEADER ? proxy_protocol_encode_local(data) : 0;

    server->is_waiting = true;
    server->sent_ns = now_ns;
    health->stamps++;
    server->stamp = siphash(&health->key, (const uint8_t *)&health->stamps, sizeof health->stamps);
    if (policy->health.probe == POLICY_PROBE_QCMP) {
        const struct qcmp_packet ping = {.kind = QCMP_PING, .client_ns = (int64_t)server->stamp};
        bytes += (size_t)qcmp_packet_encode(&ping, data + bytes, sizeof data - bytes);
    } else {
        memcpy(data + bytes, policy->health.send.data, policy->health.send.count);
        bytes += policy->health.send.count;
    }
    counter_add(&health->counters.probes, 1);
    if (health->watch.fd >= 0 || open_socket(health) == 0) {
        socklen_t length = endpoint_to_socket(&server->target, health->family, &to);
        (void)!sendto(health->watch.fd, data, bytes, MSG_DONTWAIT, (struct sockaddr *)&to, length);
    }
}

/* What the network refuses counts once a second, and no more once it is over for an interval. */
static void look_at_refusals(struct server_health *server, int64_t now_ns)
{
    uint32_t refusals = atomic_load_explicit(&server->refusals, memory_order_relaxed);
    bool is_passive = server->policy.health.probe == POLICY_PROBE_OFF;

    if (refusals != server->refusals_seen && now_ns - server->failed_ns >= SECOND_NS) {
        server->refusals_seen = refusals;
        if (server->policy.health.icmp)
            fail(server, "the network says that it cannot be reached", now_ns);
    }
    if (is_passive && now_ns - server->failed_ns >= server->policy.health.interval_ns + SECOND_NS)
        server->failures = 0;
    if (is_passive && !server_health_is_up(server) &&
        now_ns - server->down_ns >= server->policy.health.retry_ns)
        set_down(server, false, "it is tried again");
}

static void step(struct server_health *server, int64_t now_ns)
{
    const struct policy_health *policy = &server->policy.health;

    look_at_refusals(server, now_ns);
    if (policy->probe == POLICY_PROBE_OFF)
        return;
    if (server->is_waiting && now_ns - server->sent_ns >= policy->timeout_ns) {
        server->is_waiting = false;
        fail(server, "it does not answer", now_ns);
    }
    if (!server->is_waiting && now_ns >= server->due_ns) {
        server->due_ns = now_ns + policy->interval_ns;
        send_probe(server->owner, server, now_ns);
    }
}

static void look(void *user)
{
    struct health *health = user;
    int64_t now_ns = clock_monotonic_ns();

    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct server_health *server = health->buckets[i]; server != NULL;
             server = server->next_of_target)
            step(server, now_ns);
    }
    if (health->servers > 0)
        loop_timer_set(health->loop, &health->timer, now_ns + STEP_NS);
}

int health_new(struct health **made, struct loop *loop, struct log *log)
{
    struct health *health = calloc(1, sizeof *health);
    int code = health != NULL ? siphash_key_init(&health->key) : -ENOMEM;
    if (code != 0) {
        free(health);
        return code;
    }
    health->loop = loop;
    health->log = log;
    health->watch.fd = -1;
    health->timer = (struct loop_timer){.fire = look, .user = health};
    *made = health;
    return 0;
}

void health_free(struct health *health)
{
    if (health == NULL)
        return;
    loop_timer_stop(health->loop, &health->timer);
    if (health->watch.fd >= 0) {
        loop_remove(health->loop, &health->watch);
        close(health->watch.fd);
    }
    health->is_closed = true;
    if (health->servers == 0)
        free(health);
}

const struct health_counters *health_counters(const struct health *health)
{
    return &health->counters;
}

struct server_health *server_health_take(struct health *health, const struct endpoint *at,
                                         const struct policy *policy, struct server_health *before)
{
    if (before != NULL && policy_equal(&before->policy, policy)) {
        before->references++;
        return before;
    }

    struct server_health *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    server->owner = health;
    server->references = 1;
    server->at = server->target = *at;
    server->policy = *policy;
    if (policy->health.port != 0)
        server->target.port = htons(policy->health.port);
    bool is_down = before != NULL && !server_health_is_up(before);
    if (is_down) {
        atomic_store_explicit(&server->is_down, true, memory_order_relaxed);
        server->down_ns = before->down_ns;
        counter_add(&health->counters.down, 1);
    }
    /* Probes of many servers are spread over the interval. */
    int64_t now_ns = clock_monotonic_ns();
    uint64_t chance = siphash(&health->key, (const uint8_t *)at, sizeof *at);
    server->due_ns = now_ns + (int64_t)(chance % (uint64_t)policy->health.interval_ns);
    struct server_health **place = bucket(health, &server->target);
    server->next_of_target = *place;
    *place = server;
    if (health->servers++ == 0)
        loop_timer_set(health->loop, &health->timer, now_ns + STEP_NS);
    return server;
}

void server_health_give(struct server_health *server)
{
    if (server == NULL || --server->references > 0)
        return;
    struct health *health = server->owner;
    struct server_health **place = bucket(health, &server->target);
    while (*place != server)
        place = &(*place)->next_of_target;
    *place = server->next_of_target;
    if (!server_health_is_up(server))
        counter_add(&health->counters.down, UINT64_MAX);
    free(server);
    health->servers--;
    if (health->is_closed && health->servers == 0)
        free(health);
}
