#include "metrics/counters.h"

#include <string.h>

static void add(uint64_t *sum, const struct counter *counter)
{
    *sum += counter_read(counter);
}

void counters_init(struct counters *counters)
{
    memset(counters, 0, sizeof *counters);
    histogram_init(&counters->batch_packets, &histogram_batch_bounds);
    histogram_init(&counters->hold_ns, &histogram_time_bounds);
    histogram_init(&counters->queue_delay_ns, &histogram_time_bounds);
}

void counters_sum_add(struct counters_sum *sum, const struct counters *workers, size_t n)
{
    for (size_t w = 0; w < n; w++) {
        for (size_t i = 0; i < OUTCOME_COUNT; i++) {
            uint64_t before = sum->packets[i];
            add(&sum->packets[i], &workers[w].packets[i]);
            add(&sum->bytes[i], &workers[w].bytes[i]);
            sum->received += sum->packets[i] - before;
        }
        add(&sum->answered, &workers[w].answered);
        add(&sum->send_errors, &workers[w].send_errors);
        add(&sum->receive_errors, &workers[w].receive_errors);
        histogram_add(&sum->batch_packets, &workers[w].batch_packets);
        histogram_add(&sum->hold_ns, &workers[w].hold_ns);
        histogram_add(&sum->queue_delay_ns, &workers[w].queue_delay_ns);
    }
}

struct counters_sum counters_sum(const struct counters *workers, size_t n)
{
    struct counters_sum sum = {0};
    counters_sum_add(&sum, workers, n);
    return sum;
}

uint64_t counters_kind(const struct counters_sum *sum, enum outcome_kind kind)
{
    uint64_t packets = 0;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        packets += outcome_kind(i) == kind ? sum->packets[i] : 0;
    return packets;
}
