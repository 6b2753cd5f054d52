/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/qcmp_metrics.h"

static uint64_t bytes_of_kind(const struct counters_sum *sum, enum outcome_kind kind)
{
    uint64_t bytes = 0;

    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        bytes += outcome_kind(i) == kind ? sum->bytes[i] : 0;
    return bytes;
}

/* The reasons of one kind of outcome; an outcome without a reason is left out. */
static void write_reasons(struct metrics *out, const struct counters_sum *sum,
                          enum outcome_kind kind)
{
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        if (outcome_kind(i) == kind && outcome_reason(i)[0] != '\0')
            metrics_sample(out, sum->packets[i], "reason", outcome_reason(i), NULL);
}

void qcmp_metrics_write(struct metrics *out, const struct qcmp_figures *figures)
{
    static const char *const kinds[] = {"valid", "invalid", "unsupported"};
    const struct counters_sum *sum = &figures->counters;

    metrics_family(out, "quilkin_service_qcmp_active", METRICS_GAUGE, NULL,
                   "QCMP services that answer.");
    metrics_sample(out, figures->active, NULL);
    metrics_family(out, "quilkin_service_qcmp_packets", METRICS_COUNTER, "packets",
                   "Datagrams that were decoded, by what they turned out to be.");
    for (enum outcome_kind i = OUTCOME_KIND_VALID; i < OUTCOME_KIND_DROPPED; i++)
        metrics_sample(out, counters_kind(sum, i), "kind", kinds[i], NULL);
    metrics_family(out, "quilkin_service_qcmp_bytes", METRICS_COUNTER, "bytes",
                   "Their UDP payload.");
    for (enum outcome_kind i = OUTCOME_KIND_VALID; i < OUTCOME_KIND_DROPPED; i++)
        metrics_sample(out, bytes_of_kind(sum, i), "kind", kinds[i], NULL);
    metrics_family(out, "quilkin_service_qcmp_errors", METRICS_COUNTER, NULL,
                   "What went wrong: with a datagram, with receiving (io), or with a change of the "
                   "port.");
    write_reasons(out, sum, OUTCOME_KIND_INVALID);
    metrics_sample(out, sum->receive_errors, "reason", "io", NULL);
    metrics_sample(out, figures->failed_port_changes, "reason", "failed_port_change", NULL);

    metrics_family(out, "paddock_qcmp_received", METRICS_COUNTER, NULL,
                   "Datagrams that were read from the socket, and pings that XDP took.");
    metrics_sample(out, sum->received, NULL);
    metrics_family(out, "paddock_qcmp_answered", METRICS_COUNTER, NULL,
                   "Replies that the kernel took.");
    metrics_sample(out, sum->answered, NULL);
    metrics_family(out, "paddock_qcmp_send_errors", METRICS_COUNTER, NULL,
                   "Replies that the kernel refused.");
    metrics_sample(out, sum->send_errors, NULL);
    metrics_family(out, "paddock_qcmp_dropped", METRICS_COUNTER, NULL,
                   "Datagrams that were refused, whatever they were.");
    write_reasons(out, sum, OUTCOME_KIND_DROPPED);
    metrics_family(out, "paddock_qcmp_leaked", METRICS_COUNTER, NULL,
                   "Pings over the limit of their source that were answered all the same; among "
                   "the valid ones.");
    metrics_sample(out, sum->packets[OUTCOME_LEAKED], NULL);
    metrics_family(out, "paddock_qcmp_kernel_drops", METRICS_COUNTER, NULL,
                   "Datagrams that the kernel dropped: no room in the receive buffer.");
    metrics_sample(out, figures->kernel_drops, NULL);

    metrics_family(out, "paddock_qcmp_batch_packets", METRICS_HISTOGRAM, "packets",
                   "Datagrams that one receive call gave.");
    metrics_histogram(out, &histogram_batch_bounds, &sum->batch_packets, NULL);
    metrics_family(out, "paddock_qcmp_hold_seconds", METRICS_HISTOGRAM, "seconds",
                   "From the receive stamp of a ping to the transmit stamp of its pong.");
    metrics_histogram(out, &histogram_time_bounds, &sum->hold_ns, NULL);
    metrics_family(out, "paddock_qcmp_queue_delay_seconds", METRICS_HISTOGRAM, "seconds",
                   "From the kernel's receive stamp to the reading by this program.");
    metrics_histogram(out, &histogram_time_bounds, &sum->queue_delay_ns, NULL);
}
