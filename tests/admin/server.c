/* SPDX-License-Identifier: Apache-2.0 */
/* server [CONNECTIONS [DEADLINE_MS [PER_ADDRESS]]]: an admin server on a free port of loopback, for
 * tests to talk to. Writes its port, then "ok" after each order: a letter on a line of standard
 * input. Stops at the end of the input. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "metrics/system.h"
#include "support/check.h"

#define LARGE_BYTES (16 * 1024 * 1024)

/* Sequentially consistent: the letter is acknowledged after the change. */
struct state {
    atomic_bool live;
    atomic_bool ready;
    atomic_bool failing;
    atomic_bool large;
    struct http_blob *small[2]; /* without and with access lists */
    struct http_blob *big;
    _Atomic uint64_t dropped;
    struct histogram hold_ns;
};

static bool live(void *user)
{
    const struct state *state = user;

    return state->live;
}

static bool ready(void *user)
{
    const struct state *state = user;

    return state->ready;
}

static void metrics(struct metrics *out, void *user)
{
    struct state *state = user;
    struct histogram_sum sum = {{0}, 0};

    metrics_info(out, "quilkin_info", "Which service this is.", "id", "a \"test\"\n\\ \xff",
                 "version", "1.2.3", NULL);
    metrics_family(out, "quilkin_service_qcmp_packets", METRICS_COUNTER, "packets", "Datagrams.");
    metrics_sample(out, 15, "kind", "valid", NULL);
    metrics_sample(out, UINT64_MAX, "kind", "invalid", NULL);
    metrics_family(out, "paddock_qcmp_dropped", METRICS_COUNTER, NULL, "Datagrams.");
    metrics_sample(out, state->dropped, "reason", "source_port_zero", NULL);
    histogram_add(&sum, &state->hold_ns);
    metrics_family(out, "paddock_qcmp_hold_seconds", METRICS_HISTOGRAM, "seconds", "Times.");
    metrics_histogram(out, &histogram_time_bounds, &sum, NULL);
    metrics_family(out, "paddock_qcmp_sizes", METRICS_HISTOGRAM, NULL, "Sizes.");
    metrics_histogram(out, &histogram_batch_bounds, &sum, "a", "\"\\", "b", "", NULL);
    metrics_system_write(out);
}

static struct http_blob *config(bool with_access, void *user)
{
    struct state *state = user;

    if (state->failing)
        return NULL;
    return http_blob_ref(state->large ? state->big : state->small[with_access]);
}

static struct http_blob *blob_new(const char *text, size_t bytes)
{
    char *data = malloc(bytes);

    CHECK(data != NULL);
    memset(data, ' ', bytes);
    memcpy(data, text, strlen(text));
    struct http_blob *blob = http_blob_new(data, bytes);
    CHECK(blob != NULL);
    return blob;
}

static void count_everything(struct state *state)
{
    state->dropped += 7;
    for (uint64_t value = 1; value < UINT64_MAX / 2; value *= 2)
        histogram_record(&state->hold_ns, value);
}

static void obey(struct state *state, int letter)
{
    if (letter == 'l')
        state->live = !state->live;
    else if (letter == 'r')
        state->ready = !state->ready;
    else if (letter == 'f')
        state->failing = !state->failing;
    else if (letter == 'b')
        state->large = !state->large;
    else
        count_everything(state);
}

static unsigned number(int argc, char **argv, int index)
{
    return argc > index ? (unsigned)strtoul(argv[index], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    static const char text[] = "{\"version\":\"v1alpha1\"}", access[] = "{\"access\":true}";
    static struct state state = {.live = true, .ready = true};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct admin_options options = {
        .address = (const struct sockaddr *)&address,
        .limits = {.connections = number(argc, argv, 1),
                   .deadline_ms = number(argc, argv, 2),
                   .per_address = number(argc, argv, 3)},
        .callbacks = {.live = live, .ready = ready, .metrics = metrics, .config = config},
        .user = &state};
    struct admin *admin = NULL;
    char line[16];

    state.small[0] = blob_new(text, sizeof text - 1);
    state.small[1] = blob_new(access, sizeof access - 1);
    state.big = blob_new(text, sizeof text - 1 + LARGE_BYTES);
    histogram_init(&state.hold_ns, &histogram_time_bounds);
    CHECK(admin_start(&admin, &options, NULL) == 0);
    printf("%u\n", admin_port(admin));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        obey(&state, line[0]);
        puts("ok");
        fflush(stdout);
    }
    admin_stop(admin);
    http_blob_unref(state.small[0]);
    http_blob_unref(state.small[1]);
    http_blob_unref(state.big);
    return 0;
}
