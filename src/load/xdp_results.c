/* SPDX-License-Identifier: Apache-2.0 */
#include "load/xdp_results.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>

#include "base/shared_word.h"
#include "load_xdp.skel.h"

static void take_buckets(const struct xdp_setup *setup, uint32_t which, uint64_t *cpus,
                         size_t count, struct hdr_histogram *times)
{
    int fd = bpf_map__fd(setup->bpf->maps.buckets);
    for (uint32_t i = 0; i < HDR_HISTOGRAM_BUCKETS; i++) {
        uint32_t key = which * HDR_HISTOGRAM_BUCKETS + i;
        uint64_t sum = 0;
        if (bpf_map_lookup_elem(fd, &key, cpus) != 0)
            continue;
        for (size_t cpu = 0; cpu < count; cpu++)
            sum += cpus[cpu];
        hdr_histogram_add_bucket(times, i, sum);
    }
}

/* Exact values instead of those of the buckets. */
static void take_extremes(const struct xdp_setup *setup, uint32_t which, size_t count,
                          struct hdr_histogram *times)
{
    struct load_xdp_extremes *cpus = calloc(count, sizeof *cpus);
    if (cpus == NULL ||
        bpf_map_lookup_elem(bpf_map__fd(setup->bpf->maps.extremes), &which, cpus) != 0) {
        free(cpus);
        return;
    }
    times->min = INT64_MAX;
    times->max = 0;
    times->sum = 0;
    for (size_t cpu = 0; cpu < count; cpu++) {
        if (cpus[cpu].min_plus_1 == 0)
            continue;
        if ((int64_t)cpus[cpu].min_plus_1 - 1 < times->min)
            times->min = (int64_t)cpus[cpu].min_plus_1 - 1;
        if ((int64_t)cpus[cpu].max > times->max)
            times->max = (int64_t)cpus[cpu].max;
        times->sum += (double)cpus[cpu].sum;
    }
    free(cpus);
}

static void take_times(const struct xdp_setup *setup, uint32_t which, struct hdr_histogram *times)
{
    size_t count = (size_t)libbpf_num_possible_cpus();
    uint64_t *cpus = calloc(count, sizeof *cpus);
    if (cpus == NULL)
        return;
    take_buckets(setup, which, cpus, count, times);
    free(cpus);
    if (times->count > 0)
        take_extremes(setup, which, count, times);
}

void xdp_results_take(const struct xdp_setup *setup, struct load_result *result)
{
    const struct load_xdp_counts *from = &setup->bpf->bss->counts;
    struct load_counts *counts = &result->counts;

    /* Each number is read once: answers may still come. */
    counts->sent = from->sent;
    counts->answered = shared_word_load(&from->answered);
    counts->lost =
        from->overrun + setup->bpf->bss->control.expired + shared_word_load(&from->late_first);
    counts->unfinished = counts->sent - counts->answered - counts->lost;
    counts->late = shared_word_load(&from->late);
    counts->duplicates = shared_word_load(&from->duplicates);
    counts->foreign = shared_word_load(&from->foreign);

    take_times(setup, LOAD_XDP_ROUND_TRIP, &result->round_trip_ns);
    if (setup->options->rate != 0) {
        take_times(setup, LOAD_XDP_LATENCY, &result->latency_ns);
        take_times(setup, LOAD_XDP_LAG, &result->lag_ns);
    } else { /* a ping of a closed loop is due when it is sent */
        result->latency_ns = result->round_trip_ns;
        hdr_histogram_add_bucket(&result->lag_ns, 0, result->counts.sent);
    }
}
