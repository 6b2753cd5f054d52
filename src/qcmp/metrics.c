/* SPDX-License-Identifier: Apache-2.0 */
#include "qcmp/metrics.h"

/* The name of each kind of outcome is a value of the label `kind`, save that of drops. */
static const char *const KINDS[OUTCOME_KINDS] = {[OUTCOME_KIND_VALID] = "valid",
                                                 [OUTCOME_KIND_INVALID] = "invalid",
                                                 [OUTCOME_KIND_UNSUPPORTED] = "unsupported"};

static uint64_t sum_kind(const uint64_t counts[], enum outcome_kind kind)
{
    uint64_t sum = 0;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        sum += outcome_kind(i) == kind ? counts[i] : 0;
    return sum;
}

static uint64_t received(const struct qcmp_sum *sum)
{
    uint64_t received = 0;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        received += sum->port.packets[i];
    return received;
}

/* Writes the reasons of one kind of outcome, straight from the list of outcomes. */
static void write_reasons(struct metrics *out, const struct qcmp_sum *sum, enum outcome_kind kind)
{
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++) {
        if (outcome_kind(i) == kind && outcome_reason(i)[0] != '\0')
            metrics_sample(out, sum->port.packets[i], "reason", outcome_reason(i), NULL);
    }
}

void qcmp_metrics_write(struct metrics *out, bool is_active, const struct qcmp_sum *sum)
{
    metrics_single(out, "quilkin_service_qcmp_active", METRICS_GAUGE, is_active,
                   "QCMP services that answer.");
    metrics_family(out, "quilkin_service_qcmp_packets", METRICS_COUNTER, "packets",
                   "Datagrams that were decoded, by what they turned out to be.");
    for (enum outcome_kind kind = 0; kind < OUTCOME_KIND_DROPPED; kind++)
        metrics_sample(out, sum_kind(sum->port.packets, kind), "kind", KINDS[kind], NULL);
    metrics_family(out, "quilkin_service_qcmp_bytes", METRICS_COUNTER, "bytes",
                   "Their UDP payload.");
    for (enum outcome_kind kind = 0; kind < OUTCOME_KIND_DROPPED; kind++)
        metrics_sample(out, sum_kind(sum->port.bytes, kind), "kind", KINDS[kind], NULL);
    metrics_family(out, "quilkin_service_qcmp_errors", METRICS_COUNTER, NULL,
                   "What went wrong: with a datagram, with receiving (io), or with a change of "
                   "the port.");
    write_reasons(out, sum, OUTCOME_KIND_INVALID);
    metrics_sample(out, sum->port.receive_errors, "reason", "io", NULL);
    metrics_sample(out, sum->failed_port_changes, "reason", "failed_port_change", NULL);

    metrics_single(out, "paddock_qcmp_received", METRICS_COUNTER, received(sum),
                   "Datagrams that were read from the socket, and pings that XDP took.");
    metrics_single(out, "paddock_qcmp_answered", METRICS_COUNTER, sum->answered,
                   "Replies that the kernel took.");
    metrics_single(out, "paddock_qcmp_send_errors", METRICS_COUNTER, sum->port.send_errors,
                   "Replies that the kernel refused.");
    metrics_family(out, "paddock_qcmp_dropped", METRICS_COUNTER, NULL,
                   "Datagrams that were refused, whatever they were.");
    write_reasons(out, sum, OUTCOME_KIND_DROPPED);
    metrics_single(out, "paddock_qcmp_leaked", METRICS_COUNTER, sum->port.packets[OUTCOME_LEAKED],
                   "Pings over the limit of their source that were answered all the same; among "
                   "the valid ones.");
    metrics_single(out, "paddock_qcmp_kernel_drops", METRICS_COUNTER, sum->kernel_drops,
                   "Datagrams that the kernel dropped: no room in the receive buffer.");
    metrics_single(out, "paddock_xdp_answered", METRICS_COUNTER, sum->answered_fast,
                   "Replies by the XDP program, which are among all answered.");

    metrics_family(out, "paddock_qcmp_batch_packets", METRICS_HISTOGRAM, "packets",
                   "Datagrams that one receive call gave.");
    metrics_histogram(out, &histogram_batch_bounds, &sum->port.batch_packets, NULL);
    metrics_family(out, "paddock_qcmp_hold_seconds", METRICS_HISTOGRAM, "seconds",
                   "From the receive stamp of a ping to the transmit stamp of its pong.");
    metrics_histogram(out, &histogram_time_bounds, &sum->port.hold_ns, NULL);
    metrics_family(out, "paddock_qcmp_queue_delay_seconds", METRICS_HISTOGRAM, "seconds",
                   "From the kernel's receive stamp to the reading by this program.");
    metrics_histogram(out, &histogram_time_bounds, &sum->port.queue_delay_ns, NULL);
}

void qcmp_log_stopped(struct log *log, const struct qcmp_sum *sum)
{
    const uint64_t *packets = sum->port.packets;
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "qcmp stopped"),
              log_uint("received", received(sum)), log_uint("answered", sum->answered),
              log_uint("valid", sum_kind(packets, OUTCOME_KIND_VALID)),
              log_uint("invalid", sum_kind(packets, OUTCOME_KIND_INVALID)),
              log_uint("unsupported", sum_kind(packets, OUTCOME_KIND_UNSUPPORTED)),
              log_uint("dropped", sum_kind(packets, OUTCOME_KIND_DROPPED)),
              log_uint("send_errors", sum->port.send_errors),
              log_uint("receive_errors", sum->port.receive_errors),
              log_uint("kernel_drops", sum->kernel_drops));
}
