/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "filters/list.h"

#define SECOND_NS UINT64_C(1000000000)

struct timestamp {
    char name[FILTER_NAME_BYTES];
    int time; /* index of metadata */
};

struct timestamp_worker {
    struct histogram latency[2];
};

const struct histogram_bounds filter_latency_bounds = {
    .count = 11, .in_seconds = true, .upper = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}};

static const struct field fields[] = {
    {.key = "metadataKey",
     .help = "the name under which an earlier filter left the time",
     .kind = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct timestamp, name)},
    {0},
};

struct filter_latency *filter_latency(struct filter_totals *totals, const char *name)
{
    for (size_t i = 0; i < totals->latencies_count; i++) {
        if (strcmp(totals->latencies[i].name, name) == 0)
            return &totals->latencies[i];
    }
    struct filter_latency *grown =
        realloc(totals->latencies, (totals->latencies_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    totals->latencies = grown;
    grown += totals->latencies_count++;
    *grown = (struct filter_latency){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

static int open_timestamp(void *filter, struct filter_names *names, struct error *error)
{
    struct timestamp *timestamp = filter;
    timestamp->time = filter_name(names, timestamp->name);
    if (timestamp->time < 0)
        return error_set(error, timestamp->time, "expected at most %d names of metadata",
                         FILTER_MAX_NAMES);
    return 0;
}

static int start(const void *filter, void *mine, unsigned worker)
{
    struct timestamp_worker *own = mine;
    (void)filter;
    (void)worker;
    for (unsigned i = 0; i < 2; i++)
        histogram_init(&own->latency[i], &filter_latency_bounds);
    return 0;
}

static bool read_time(const struct metadata *time, uint64_t *seconds)
{
    uint64_t number = 0;
    if (time->kind == METADATA_NUMBER) {
        *seconds = time->number;
        return true;
    }
    if (time->kind != METADATA_BYTES || time->bytes != sizeof number)
        return false;
    for (unsigned i = 0; i < sizeof number; i++)
        number = number << 8 | time->data[i];
    *seconds = number;
    return true;
}

/* A time to come counts as none passed. Not every port has the kernel's stamps. */
static enum filter_result measure(const struct timestamp *timestamp, struct histogram *histogram,
                                  const struct filter_call *call)
{
    uint64_t seconds;
    if (read_time(&call->metadata[timestamp->time], &seconds)) {
        int64_t received_ns = call->packet->received_ns;
        uint64_t now_ns = (uint64_t)(received_ns > 0 ? received_ns : clock_wall_ns());
        bool is_past = seconds <= now_ns / SECOND_NS;
        histogram_record(histogram, is_past ? now_ns - seconds * SECOND_NS : 0);
    }
    return FILTER_NEXT;
}

static enum filter_result read_timestamp(const void *filter, void *mine, struct filter_call *call)
{
    return measure(filter, &((struct timestamp_worker *)mine)->latency[0], call);
}

static enum filter_result write_timestamp(const void *filter, void *mine, struct filter_call *call)
{
    return measure(filter, &((struct timestamp_worker *)mine)->latency[1], call);
}

static void collect(const void *filter, const void *mine, struct filter_totals *totals)
{
    const struct timestamp *timestamp = filter;
    const struct timestamp_worker *own = mine;
    struct filter_latency *latency = filter_latency(totals, timestamp->name);
    for (unsigned i = 0; i < 2 && latency != NULL; i++)
        histogram_add(&latency->sum[i], &own->latency[i]);
}

const struct filter_ops filter_timestamp = {.id = "quilkin.filters.timestamp.v1alpha1.Timestamp",
                                            .fields = fields,
                                            .needs_config = true,
                                            .filter_bytes = sizeof(struct timestamp),
                                            .worker_bytes = sizeof(struct timestamp_worker),
                                            .open = open_timestamp,
                                            .start = start,
                                            .read = read_timestamp,
                                            .write = write_timestamp,
                                            .collect = collect};
