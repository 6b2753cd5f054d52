/* SPDX-License-Identifier: Apache-2.0 */
/* How far from the truth the distances are, on one host: incoming and outgoing are then nothing but
 * the time that a packet needs through the loopback device, which is about a microsecond. What they
 * say beyond that is the error of the stamps.
 * usage: distance PORT kernel|user PINGS INTERVAL_US; prints one JSON object. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/qcmp.h>

#include "base/clock.h"
#include "base/hdr_histogram.h"

#define TIMEOUT_NS INT64_C(1000000000)
#define MAX_EVENTS 16

struct distances {
    struct qcmp_client *client;
    struct hdr_histogram incoming, outgoing;
    uint64_t answered, ended, user_stamps;
};

static int64_t absolute(int64_t value)
{
    return value < 0 ? -value : value;
}

static void take(struct distances *d, const struct qcmp_client_event *event)
{
    if (event->kind == QCMP_CLIENT_ANSWERED || event->kind == QCMP_CLIENT_TIMED_OUT ||
        event->kind == QCMP_CLIENT_FAILED)
        d->ended++;
    if (event->kind != QCMP_CLIENT_ANSWERED)
        return;
    d->answered++;
    d->user_stamps += event->receive_source == QCMP_STAMP_USER;
    hdr_histogram_record(&d->incoming, absolute(event->sample.incoming_ns));
    hdr_histogram_record(&d->outgoing, absolute(event->sample.outgoing_ns));
}

static void process(struct distances *d, int64_t timeout_ns)
{
    struct qcmp_client_event events[MAX_EVENTS];
    int count = MAX_EVENTS;
    qcmp_client_wait(d->client, timeout_ns);
    while (count == MAX_EVENTS) {
        count = qcmp_client_process(d->client, events, MAX_EVENTS);
        for (int i = 0; i < count; i++)
            take(d, &events[i]);
    }
}

/* By a fixed plan, whatever comes back. */
static void run(struct distances *d, const struct sockaddr_in6 *to, uint64_t pings, int64_t step_ns)
{
    int64_t start_ns = clock_monotonic_ns();
    for (uint64_t sent = 0; sent < pings;) {
        int64_t due_ns = start_ns + (int64_t)sent * step_ns, now_ns = clock_monotonic_ns();
        if (now_ns < due_ns) {
            process(d, due_ns - now_ns);
            continue;
        }
        int error = qcmp_client_ping(d->client, (const struct sockaddr *)to, sizeof *to, TIMEOUT_NS,
                                     NULL, NULL);
        d->ended += error != 0;
        sent++;
    }
    while (d->ended < pings)
        process(d, TIMEOUT_NS);
}

static void print(const char *name, const struct hdr_histogram *histogram, const char *end)
{
    printf("\"%s_ns\":{\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"max\":%" PRId64 "}%s", name,
           hdr_histogram_quantile(histogram, 0.5), hdr_histogram_quantile(histogram, 0.99),
           histogram->max, end);
}

int main(int argc, char **argv)
{
    static struct distances d;
    if (argc != 5) {
        fprintf(stderr, "usage: %s PORT kernel|user PINGS INTERVAL_US\n", argv[0]);
        return 2;
    }
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_addr = in6addr_loopback,
                              .sin6_port = htons((uint16_t)atoi(argv[1]))};
    struct qcmp_client_options options = {.family = QCMP_FAMILY_IPV6,
                                          .user_stamps_only = strcmp(argv[2], "user") == 0};
    if (qcmp_client_new(&d.client, &options) != 0)
        return 1;
    run(&d, &to, strtoull(argv[3], NULL, 10), strtoll(argv[4], NULL, 10) * 1000);
    qcmp_client_free(d.client);
    printf("{\"answered\":%" PRIu64 ",\"user_stamps\":%" PRIu64 ",", d.answered, d.user_stamps);
    print("incoming", &d.incoming, ",");
    print("outgoing", &d.outgoing, "}\n");
    return d.answered > 0 ? 0 : 1;
}
