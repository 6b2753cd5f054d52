/* server [CONNECTIONS [DEADLINE_MS]]: an admin server on a free port of loopback, for tests to talk
 * to. Writes its port, then "ok" after each order: a letter on a line of standard input. Stops at
 * the end of the input. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "support/check.h"

#define LARGE_BYTES (16 * 1024 * 1024)

/* Sequentially consistent: the letter is acknowledged after the change. */
struct state {
    atomic_bool live;
    atomic_bool ready;
    atomic_bool failing;
    atomic_bool large;
    struct counters counters;
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

static int metrics(FILE *out, enum metrics_format format, void *user)
{
    const struct state *state = user;
    struct metrics_clock clock;
    struct metrics_process process;
    struct counters_sum sum = counters_sum(&state->counters, 1);
    struct metrics_sources sources = {.id = "a \"test\"\n\\ \xff",
                                      .version = "1.2.3",
                                      .commit = "abcdef",
                                      .compiler = "cc",
                                      .active = 1,
                                      .counters = &sum};
    sources.clock = metrics_clock_read(&clock) == 0 ? &clock : NULL;
    sources.process = metrics_process_read(&process) == 0 ? &process : NULL;
    int error = metrics_render(out, &sources, format);
    return state->failing ? -1 : error;
}

static int config(FILE *out, bool with_access, void *user)
{
    const struct state *state = user;
    fputs(with_access ? "{\"access\":true}" : "{\"version\":\"v1alpha1\"}", out);
    for (int i = 0; state->large && i < LARGE_BYTES / 16; i++)
        fputs("                ", out);
    return state->failing ? -1 : 0;
}

static void count_everything(struct counters *counters)
{
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        counter_add(&counters->packets[i], i + 1);
    for (uint64_t value = 1; value < UINT64_MAX / 2; value *= 2) {
        histogram_record(&counters->batch_packets, value);
        histogram_record(&counters->hold_ns, value);
        histogram_record(&counters->queue_delay_ns, value);
    }
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
        count_everything(&state->counters);
}

int main(int argc, char **argv)
{
    static struct state state = {.live = true, .ready = true};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct admin_options options = {
        .address = (const struct sockaddr *)&address,
        .connections = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0,
        .deadline_ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0,
        .callbacks = {.live = live, .ready = ready, .metrics = metrics, .config = config},
        .user = &state};
    struct admin *admin = NULL;
    char line[16];

    counters_init(&state.counters);
    CHECK(admin_start(&admin, &options) == 0);
    printf("%u\n", admin_port(admin));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        obey(&state, line[0]);
        puts("ok");
        fflush(stdout);
    }
    admin_stop(admin);
    return 0;
}
