/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ping_through.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "base/stats.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

/* A way that pings take. */
struct way {
    int fd;
    int64_t *rtt_ns; /* round trips of answered pings */
    size_t sent, received;
    struct stats_summary summary; /* sums up rtt_ns, where there are any */
};

static int open_way(struct way *way, const struct target *to, int family, struct error *error)
{
    const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    char port[8];

    snprintf(port, sizeof port, "%u", (unsigned)to->port);
    int code = getaddrinfo(to->host, port, &hints, &found);
    if (code != 0)
        return error_set(error, -EINVAL, "%.64s: %s", to->host, gai_strerror(code));
    way->fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (way->fd < 0 || connect(way->fd, found->ai_addr, found->ai_addrlen) != 0)
        code = error_system(error, -errno, "cannot reach %.64s", to->host);
    freeaddrinfo(found);
    return code;
}

/* How long is left of a time, in whole milliseconds, rounded up. */
static int left_ms(int64_t until_ns)
{
    int64_t left_ns = until_ns - clock_monotonic_ns();
    return left_ns > 0 ? (int)((left_ns + MS_NS - 1) / MS_NS) : 0;
}

/* Waits for the answer to a ping; the round trip without what the responder held it for, or -1. */
static int64_t await_pong(int fd, const struct qcmp_packet *ping, int64_t sent_ns,
                          int64_t timeout_ns)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint8_t data[QCMP_MAX_BYTES];
    struct qcmp_packet pong;

    while (poll(&ready, 1, left_ms(sent_ns + timeout_ns)) > 0) {
        ssize_t got = recv(fd, data, sizeof data, MSG_TRUNC);
        int64_t raw_ns = clock_monotonic_ns() - sent_ns;
        if (got < 0) /* a closed port */
            continue;
        if (qcmp_packet_decode(data, (size_t)got, &pong, NULL) != QCMP_PONG ||
            pong.nonce != ping->nonce || pong.client_ns != ping->client_ns)
            continue;
        int64_t hold_ns;
        bool is_held =
            !__builtin_sub_overflow(pong.server_transmit_ns, pong.server_start_ns, &hold_ns) &&
            hold_ns >= 0 && hold_ns <= raw_ns;
        return is_held ? raw_ns - hold_ns : raw_ns;
    }
    return -1;
}

/* Sends a ping, with a token where there is one, and notes its round trip. */
static void ping(struct way *way, const struct ping_through *through, bool has_token)
{
    uint8_t data[QCMP_PING_BYTES + PING_THROUGH_TOKEN_BYTES];
    size_t token = has_token ? through->token_bytes : 0;
    size_t before = through->is_token_first ? token : 0;
    struct qcmp_packet packet = {.kind = QCMP_PING};

    /* Nobody on another path can answer what is random. */
    if (getrandom(&packet.client_ns, sizeof packet.client_ns, 0) < 0)
        packet.client_ns = clock_monotonic_ns();
    packet.nonce = (uint8_t)way->sent++;
    qcmp_packet_encode(&packet, data + before, QCMP_PING_BYTES);
    memcpy(through->is_token_first ? data : data + QCMP_PING_BYTES, through->token, token);
    int64_t sent_ns = clock_monotonic_ns();
    if (send(way->fd, data, QCMP_PING_BYTES + token, 0) < 0)
        return;
    int64_t rtt_ns = await_pong(way->fd, &packet, sent_ns, through->timeout_ns);
    if (rtt_ns >= 0)
        way->rtt_ns[way->received++] = rtt_ns;
}

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

/* The share of what is between player and proxy, by the medians; the rest is behind it. */
static int64_t leg_ns(const struct way *whole, const struct way *first)
{
    return first->summary.median < whole->summary.median ? first->summary.median
                                                         : whole->summary.median;
}

static void print_human(const struct way *whole, const struct way *first)
{
    printf("through the proxy: %zu of %zu came back\n", whole->received, whole->sent);
    if (whole->received == 0)
        return;
    printf("  round trip: min %.3f, median %.3f, mean %.3f, max %.3f ms\n",
           to_ms(whole->summary.min), to_ms(whole->summary.median), to_ms(whole->summary.mean),
           to_ms(whole->summary.max));
    if (first->received == 0) {
        puts("  the proxy's own responder does not answer: the legs are not known");
        return;
    }
    int64_t leg = leg_ns(whole, first);
    double share =
        whole->summary.median > 0 ? 100.0 * (double)leg / (double)whole->summary.median : 100;
    printf("  player - proxy - player:  %8.3f ms, %3.0f %%\n", to_ms(leg), share);
    printf("  proxy - server - proxy:   %8.3f ms, %3.0f %%\n", to_ms(whole->summary.median - leg),
           100 - share);
}

static json_t *show(const struct way *way)
{
    json_t *json = json_pack("{s:I, s:I}", "sent", (json_int_t)way->sent, "received",
                             (json_int_t)way->received);
    if (way->received > 0)
        json_object_update_new(json, json_pack("{s:{s:I, s:I, s:I, s:I}}", "rtt_ns", "min",
                                               (json_int_t)way->summary.min, "median",
                                               (json_int_t)way->summary.median, "mean",
                                               (json_int_t)way->summary.mean, "max",
                                               (json_int_t)way->summary.max));
    return json;
}

static void print_json(const struct way *whole, const struct way *first)
{
    json_t *json = json_pack("{s:o, s:o}", "through", show(whole), "to_proxy", show(first));
    if (whole->received > 0 && first->received > 0) {
        int64_t leg = leg_ns(whole, first);
        json_object_set_new(json, "legs",
                            json_pack("{s:I, s:I}", "player_proxy_ns", (json_int_t)leg,
                                      "proxy_server_ns",
                                      (json_int_t)(whole->summary.median - leg)));
    }
    if (json_dumpf(json, stdout, JSON_COMPACT) == 0)
        puts("");
    json_decref(json);
}

long ping_through_run(const struct ping_through *through, struct error *error)
{
    struct way whole = {.fd = -1}, first = {.fd = -1};
    const struct timespec pause = {through->interval_ns / SECOND_NS,
                                   through->interval_ns % SECOND_NS};
    long result = 0;

    whole.rtt_ns = calloc(through->amount, sizeof *whole.rtt_ns);
    first.rtt_ns = calloc(through->amount, sizeof *first.rtt_ns);
    if (whole.rtt_ns == NULL || first.rtt_ns == NULL)
        result = error_system(error, -ENOMEM, "cannot ping");
    if (result == 0)
        result = open_way(&whole, &through->proxy, through->family, error);
    if (result == 0)
        result = open_way(&first, &through->responder, through->family, error);
    /* Both ways in turn, so that they see the same network. */
    for (size_t i = 0; result == 0 && i < through->amount; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        ping(&first, through, false);
        ping(&whole, through, true);
    }
    if (result == 0) {
        stats_summarise(whole.rtt_ns, whole.received, &whole.summary);
        stats_summarise(first.rtt_ns, first.received, &first.summary);
        if (through->is_json)
            print_json(&whole, &first);
        else
            print_human(&whole, &first);
        result = (long)whole.received;
    }
    free(whole.rtt_ns);
    free(first.rtt_ns);
    if (whole.fd >= 0)
        close(whole.fd);
    if (first.fd >= 0)
        close(first.fd);
    return result;
}
