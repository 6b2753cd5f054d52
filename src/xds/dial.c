/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "catalog/names.h"

#define SECOND_NS INT64_C(1000000000)
#define FIRST_NS (SECOND_NS / 2)
#define MOST_NS (30 * SECOND_NS)
#define MOST_ANSWERED_NS (16 * SECOND_NS)
#define JITTER_NS (2 * SECOND_NS)

/* A connection that has lived so long is a good one; the next loss is a new story. */
#define STEADY_NS (5 * SECOND_NS)

#define PEER_BYTES (TARGET_HOST_BYTES + 8)

struct attempt {
    struct dialer *dialer;
    struct xds_url url;
    struct grpc_client client;
    struct h2_connection *connection;
    struct loop_timer again;
    int64_t backoff_ns, due_ns; /* it is not dialled before */
    char peer[PEER_BYTES];
    bool waits_for_name;
    bool is_left; /* another one is used; its end is no failure */
};

struct dialer {
    struct dialer_options options;
    const struct dialer_events *events;
    void *user;
    struct attempt attempts[XDS_MAX_URLS];
    size_t count;
    struct attempt *used; /* the one that is connected */
    struct names *names;
    struct siphash_key key;
    uint64_t rounds, failures;
    char failure[128]; /* the last */
    int64_t connected_ns;
    bool is_stopping, is_stopped;
};

int64_t dialer_wait_ns(int64_t *backoff_ns, enum dial_end end, int64_t lived_ns, uint64_t random)
{
    int64_t most_ns = end == DIAL_NOT_REACHED ? MOST_NS : MOST_ANSWERED_NS;
    int64_t wait_ns = *backoff_ns;

    if (end == DIAL_GOOD) {
        *backoff_ns = FIRST_NS;
        if (wait_ns == 0 || lived_ns >= STEADY_NS)
            return 0;
    }
    if (wait_ns == 0 || end == DIAL_GOOD)
        wait_ns = FIRST_NS;
    wait_ns = wait_ns > most_ns ? most_ns : wait_ns;
    if (end != DIAL_GOOD)
        *backoff_ns = wait_ns * 2 > MOST_NS ? MOST_NS : wait_ns * 2;
    return wait_ns + (int64_t)(random % (uint64_t)JITTER_NS);
}

/* Each has its own wait: one that brings nothing must not hold up the others, nor win again. */
static void dial_later(struct attempt *attempt)
{
    struct dialer *dialer = attempt->dialer;

    if (!dialer->is_stopped && dialer->used == NULL && attempt->connection == NULL)
        loop_timer_set(dialer->options.loop, &attempt->again, attempt->due_ns);
}

static void wait_again(struct attempt *attempt, enum dial_end end, int64_t lived_ns)
{
    struct dialer *dialer = attempt->dialer;
    uint64_t random = siphash_17(&dialer->key, dialer->rounds++, 0, 0);

    attempt->due_ns =
        clock_monotonic_ns() + dialer_wait_ns(&attempt->backoff_ns, end, lived_ns, random);
    dial_later(attempt);
}

static void note_failure(struct dialer *dialer, const char *message, const char *peer,
                         const char *reason)
{
    dialer->failures++;
    snprintf(dialer->failure, sizeof dialer->failure, "%s", reason);
    LOG_EVENT(dialer->options.log, LOG_LEVEL_WARN, log_text("message", message),
              log_text("provider", dialer->options.name), log_text("peer", peer),
              log_text("error", reason));
}

static void fail_to_reach(struct attempt *attempt, const char *reason)
{
    struct dialer *dialer = attempt->dialer;

    xds_metrics_add(dialer->options.metrics, XDS_ERRORS, "client", "connect", 1);
    note_failure(dialer, "control plane not reached", attempt->peer, reason);
}

static void ready(void *user)
{
    struct attempt *attempt = user;
    struct dialer *dialer = attempt->dialer;

    if (attempt->is_left)
        return;
    dialer->used = attempt;
    dialer->connected_ns = clock_monotonic_ns();
    LOG_EVENT(dialer->options.log, LOG_LEVEL_INFO, log_text("message", "control plane connected"),
              log_text("provider", dialer->options.name), log_text("peer", attempt->peer));
    for (size_t i = 0; i < dialer->count; i++) {
        struct attempt *other = &dialer->attempts[i];

        loop_timer_stop(dialer->options.loop, &other->again);
        other->is_left = other != attempt && other->connection != NULL;
        if (other->is_left)
            h2_close(other->connection, "another one is used");
    }
    dialer->events->connected(attempt->connection, &attempt->client, dialer->user);
}

static void ended(const char *reason, void *user)
{
    struct attempt *attempt = user;
    struct dialer *dialer = attempt->dialer;
    int64_t lived_ns = clock_monotonic_ns() - dialer->connected_ns;

    attempt->connection = NULL;
    if (dialer->is_stopping)
        return;
    if (attempt->is_left) {
        attempt->is_left = false;
        dial_later(attempt);
    } else if (dialer->used == attempt) {
        bool was_good = dialer->events->lost(dialer->user);

        dialer->used = NULL;
        note_failure(dialer, "control plane lost", attempt->peer, reason);
        wait_again(attempt, was_good ? DIAL_GOOD : DIAL_FRUITLESS, lived_ns);
        for (size_t i = 0; i < dialer->count; i++) {
            if (&dialer->attempts[i] != attempt)
                dial_later(&dialer->attempts[i]);
        }
    } else {
        fail_to_reach(attempt, reason);
        wait_again(attempt, DIAL_NOT_REACHED, 0);
    }
}

static int open_socket(const struct endpoint *at)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&at->address);
    sa_family_t family = is_ipv4 ? AF_INET : AF_INET6;
    struct sockaddr_in6 address;
    socklen_t bytes = endpoint_to_socket(at, family, &address);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, bytes) != 0 && errno != EINPROGRESS) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

/* A name that is not resolved yet is dialled as soon as it is. */
static int dial(struct attempt *attempt)
{
    struct dialer *dialer = attempt->dialer;
    const struct h2_options options = {.loop = dialer->options.loop,
                                       .events = &grpc_client_events,
                                       .user = &attempt->client,
                                       .tls = attempt->url.is_tls ? tls_context(dialer->options.tls)
                                                                  : NULL,
                                       .host = attempt->url.host,
                                       .ping_ns = dialer->options.ping_ns};
    struct server_address address;

    if (server_host_parse(attempt->url.host, &address) != 0)
        return -EINVAL;
    attempt->waits_for_name =
        address.name[0] != '\0' && !names_find(dialer->names, address.name, &address.at);
    if (attempt->waits_for_name)
        return -EAGAIN;
    address.at.port = htons(attempt->url.port);
    int fd = open_socket(&address.at);
    return fd < 0 ? fd : h2_open(&attempt->connection, fd, &options);
}

static void dial_again(void *user)
{
    struct attempt *attempt = user;
    int error = dial(attempt);

    if (error == 0)
        return;
    if (error != -EAGAIN)
        fail_to_reach(attempt, strerrordesc_np(-error));
    wait_again(attempt, DIAL_NOT_REACHED, 0);
}

static void take_names(void *user)
{
    struct dialer *dialer = user;

    for (size_t i = 0; i < dialer->count; i++) {
        struct attempt *attempt = &dialer->attempts[i];

        if (!attempt->waits_for_name)
            continue;
        attempt->due_ns = 1;
        dial_later(attempt);
    }
}

static int follow_names(struct dialer *dialer)
{
    struct datacenters *hosts = datacenters_new();
    int error = hosts != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < dialer->count && error == 0; i++) {
        struct datacenter host = {.qcmp_port = dialer->attempts[i].url.port};
        struct server_address address;

        if (server_host_parse(dialer->attempts[i].url.host, &address) != 0 ||
            address.name[0] == '\0')
            continue;
        snprintf(host.address, sizeof host.address, "%s", address.name);
        error = datacenters_add(hosts, &host);
        error = error == -EEXIST ? 0 : error;
    }
    if (error == 0)
        error = names_follow_nodes(dialer->names, hosts, clock_monotonic_ns());
    datacenters_free(hosts);
    return error;
}

int dialer_new(struct dialer **dialer, const struct dialer_options *options,
               const struct dialer_events *events, void *user)
{
    struct dialer *made = calloc(1, sizeof *made);
    int error = made != NULL ? siphash_key_init(&made->key) : -ENOMEM;

    if (error == 0) {
        const struct names_options names = {
            .loop = options->loop, .log = options->log, .changed = take_names, .user = made};

        made->options = *options;
        made->events = events;
        made->user = user;
        made->count = options->urls->count;
        error = names_new(&made->names, &names);
    }
    if (error != 0) {
        free(made);
        return error;
    }
    for (size_t i = 0; i < made->count; i++) {
        struct attempt *attempt = &made->attempts[i];
        const struct xds_url *url = &options->urls->items[i];

        *attempt = (struct attempt){.dialer = made,
                                    .url = *url,
                                    .again = {.fire = dial_again, .user = attempt},
                                    .client = {.ready = ready,
                                               .ended = ended,
                                               .user = attempt,
                                               .message_bytes = options->message_bytes,
                                               .memory = options->memory}};
        snprintf(attempt->peer, sizeof attempt->peer,
                 strchr(url->host, ':') != NULL ? "[%s]:%u" : "%s:%u", url->host, url->port);
    }
    *dialer = made;
    return 0;
}

void dialer_free(struct dialer *dialer)
{
    if (dialer == NULL)
        return;
    dialer->is_stopping = true;
    for (size_t i = 0; i < dialer->count; i++) {
        loop_timer_stop(dialer->options.loop, &dialer->attempts[i].again);
        h2_free(dialer->attempts[i].connection);
    }
    names_free(dialer->names);
    free(dialer);
}

void dialer_start(struct dialer *dialer)
{
    dialer->is_stopped = false;
    (void)follow_names(dialer); /* without memory, names are not known, as without a resolver */
    for (size_t i = 0; i < dialer->count; i++) {
        dialer->attempts[i].due_ns = 1;
        dial_later(&dialer->attempts[i]);
    }
}

void dialer_stop(struct dialer *dialer)
{
    dialer->is_stopped = true;
    for (size_t i = 0; i < dialer->count; i++) {
        loop_timer_stop(dialer->options.loop, &dialer->attempts[i].again);
        if (dialer->attempts[i].connection != NULL)
            h2_close(dialer->attempts[i].connection, "not needed");
    }
}

void dialer_tick(struct dialer *dialer, int64_t now_ns)
{
    for (size_t i = 0; i < dialer->count; i++) {
        if (dialer->attempts[i].connection != NULL)
            h2_tick(dialer->attempts[i].connection, now_ns);
    }
    names_tick(dialer->names, now_ns);
}

json_t *dialer_show(const struct dialer *dialer, const char *role)
{
    return json_pack("{s:s, s:s?, s:I, s:s?}", "role", role, "address",
                     dialer->used != NULL ? dialer->used->peer : NULL, "failures",
                     (json_int_t)dialer->failures, "failure",
                     dialer->failures > 0 ? dialer->failure : NULL);
}
