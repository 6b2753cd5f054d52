/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/metrics.h"

static const char *const OUTCOMES[] = {
#define OUTCOME_REASON(name, reason) reason,
    PROXY_OUTCOMES(OUTCOME_REASON)
#undef OUTCOME_REASON
};
static const char *const REFUSALS[PROXY_REFUSED] = {
#define REFUSAL_REASON(name, reason) reason,
    PROXY_REFUSALS(REFUSAL_REASON)
#undef REFUSAL_REASON
};
static const char *const SEND_ERRORS[PORT_ERRORS] = {[PORT_ERROR_IO] = "io",
                                                     [PORT_ERROR_NO_BUFFERS] = "no_buffers",
                                                     [PORT_ERROR_REFUSED] = "refused",
                                                     [PORT_ERROR_UNREACHABLE] = "unreachable",
                                                     [PORT_ERROR_TOO_LARGE] = "too_large"};
static const char *const EVENTS[2] = {"read", "write"};

const char *proxy_outcome_reason(unsigned outcome)
{
    return outcome < PROXY_FILTERED ? OUTCOMES[outcome] : chain_reason(outcome - PROXY_FILTERED);
}

const char *proxy_refusal_reason(enum proxy_refusal refusal)
{
    return REFUSALS[refusal];
}

void proxy_sum_add(struct proxy_sum *sum, const struct proxy_counters *counters, unsigned workers)
{
    for (const struct proxy_counters *c = counters; c < counters + workers; c++) {
        sum->copies += counter_read(&c->copies);
        sum->began += counter_read(&c->began);
        sum->migrations += counter_read(&c->migrations);
        sum->handovers += counter_read(&c->handovers);
        sum->sessions += counter_read(&c->sessions);
        sum->sockets += counter_read(&c->sockets);
        sum->resting += counter_read(&c->resting);
        for (unsigned i = 0; i < PROXY_REFUSED; i++)
            sum->refused[i] += counter_read(&c->refused[i]);
        for (unsigned i = 0; i < SESSION_ENDS; i++)
            sum->ended[i] += counter_read(&c->ended[i]);
        places_collect(&sum->places, &c->places);
        histogram_add(&sum->duration_ns, &c->duration_ns);
        sum->overtakings += counter_read(&c->overtakings);
        sum->kernel_drops[1] += counter_read(&c->kernel_drops);
        for (unsigned i = 0; i < 2; i++) {
            sum->gap_ns[i] += counter_read(&c->gap_ns[i]) / workers;
            histogram_add(&sum->processing_ns[i], &c->processing_ns[i]);
        }
    }
}

/* What the driver has carried was received and sent, or received and dropped. It took less than any
 * bound of durations. */
void proxy_sum_add_fast(struct proxy_sum *sum, const struct proxy_fast *fast)
{
    struct port_sum *in[2] = {&sum->players, &sum->upstream};
    struct port_sum *out[2] = {&sum->upstream, &sum->players};
    const struct proxy_fast_counters counted = proxy_fast_count(fast);

    sum->fast_sessions = sum->is_fast ? proxy_fast_sessions(fast) : 0;
    sum->overtakings += counted.left;
    for (unsigned i = 0; i < 2; i++) {
        sum->fast_packets[i] = counted.packets[i];
        in[i]->received += sum->fast_packets[i];
        in[i]->packets[PROXY_FORWARDED] += sum->fast_packets[i];
        out[i]->sent += sum->fast_packets[i];
        out[i]->sent_bytes += counted.bytes[i];
        sum->processing_ns[i].buckets[0] += sum->fast_packets[i];
    }
    sum->fast_dropped = counted.over_limit;
    sum->players.received += sum->fast_dropped;
    sum->players.packets[PROXY_FILTERED + chain_reason_number(FILTER_LIMIT_REASON)] +=
        sum->fast_dropped;
    sum->processing_ns[0].buckets[0] += sum->fast_dropped;
}

/* Why datagrams of one direction went no further: by what they were, by the chain, for want of a
 * session, and by the system. What is too large has one series, whichever found it; what is over
 * its session's limit is a copy, where there are copies. */
static void write_drops(struct metrics *out, const char *event, const struct port_sum *received,
                        const struct port_sum *sent, const uint64_t *refused)
{
    for (unsigned i = PROXY_FORWARDED + 1; i < PROXY_FILTERED; i++) {
        if (i != PROXY_TOO_LARGE && (i != PROXY_OVER_LIMIT || refused == NULL))
            metrics_sample(out, received->packets[i], "event", event, "source", OUTCOMES[i], NULL);
    }
    for (unsigned i = 0; chain_reason(i) != NULL; i++) {
        /* The two token routers are one code, and share their reasons' names. */
        uint64_t count = received->packets[PROXY_FILTERED + i];
        bool is_again = false;
        for (unsigned j = 0; chain_reason(j) != NULL; j++) {
            bool is_alike = j != i && __builtin_strcmp(chain_reason(i), chain_reason(j)) == 0;
            is_again = is_again || (is_alike && j < i);
            count += is_alike ? received->packets[PROXY_FILTERED + j] : 0;
        }
        if (!is_again)
            metrics_sample(out, count, "event", event, "source", chain_reason(i), NULL);
    }
    for (unsigned i = 0; refused != NULL && i < PROXY_REFUSED; i++)
        metrics_sample(out, refused[i], "event", event, "source", REFUSALS[i], NULL);
    for (unsigned i = 0; i < PORT_ERRORS; i++) {
        uint64_t count = sent->errors[i];
        count += i == PORT_ERROR_TOO_LARGE ? received->packets[PROXY_TOO_LARGE] : 0;
        metrics_sample(out, count, "event", event, "source", SEND_ERRORS[i], NULL);
    }
}

static void write_clusters(struct metrics *out, const struct clusters *clusters)
{
    size_t count = clusters != NULL ? clusters->count : 0;
    metrics_single(out, "quilkin_cluster_active", METRICS_GAUGE, count, "Clusters at the moment.");
    metrics_family(out, "quilkin_active_endpoints", METRICS_GAUGE, NULL,
                   "Endpoints at the moment, by the locality of their cluster.");
    for (size_t i = 0; i < count; i++) {
        const struct cluster *cluster = clusters->items[i].cluster;
        metrics_sample(out, cluster->endpoint_count, "quilkin_cluster", cluster->locality, NULL);
    }
}

static void write_health(struct metrics *out, const struct health_counters *health)
{
    metrics_single(out, "paddock_udp_unhealthy_endpoints", METRICS_GAUGE,
                   counter_read(&health->down),
                   "Game servers that get no new players at the moment.");
    metrics_family(out, "paddock_udp_health_changes", METRICS_COUNTER, NULL,
                   "Times that game servers became healthy or unhealthy.");
    metrics_sample(out, counter_read(&health->changes[0]), "to", "healthy", NULL);
    metrics_sample(out, counter_read(&health->changes[1]), "to", "unhealthy", NULL);
    metrics_single(out, "paddock_udp_health_probes", METRICS_COUNTER, counter_read(&health->probes),
                   "Probes that were sent to game servers.");
    metrics_single(out, "paddock_udp_health_answers", METRICS_COUNTER,
                   counter_read(&health->answers), "Probes that were answered in time.");
}

static void write_sessions(struct metrics *out, const struct proxy_sum *sum)
{
    metrics_family(out, "quilkin_session_active", METRICS_GAUGE, NULL, "Sessions at the moment.");
    places_write_countries(&sum->places, out);
    if (sum->geo != NULL)
        places_write_networks(&sum->places, out);
    geo_metrics(sum->geo, out);
    metrics_single(out, "paddock_udp_sessions_max", METRICS_GAUGE, sum->max_sessions,
                   "Sessions that there may be at a time.");
    metrics_single(out, "quilkin_session", METRICS_COUNTER, sum->began,
                   "Sessions that began, one for each player and server.");
    metrics_family(out, "quilkin_session_duration_secs", METRICS_HISTOGRAM, NULL,
                   "How long sessions lasted that have ended, to their last datagram.");
    metrics_histogram(out, &proxy_duration_bounds, &sum->duration_ns, NULL);
}

static void write_fast(struct metrics *out, const struct proxy_sum *sum)
{
    metrics_family(out, "paddock_udp_xdp_packets", METRICS_COUNTER, NULL,
                   "Datagrams that XDP carried to servers (read) and players (write); they are "
                   "among all others.");
    for (unsigned i = 0; i < 2; i++)
        metrics_sample(out, sum->fast_packets[i], "event", EVENTS[i], NULL);
    metrics_single(
        out, "paddock_udp_xdp_dropped", METRICS_COUNTER, sum->fast_dropped,
        "Players' datagrams that XDP dropped because LocalRateLimit refuses them; they are "
        "among all others.");
    metrics_single(out, "paddock_udp_xdp_sessions", METRICS_GAUGE, sum->fast_sessions,
                   "Sessions that XDP may carry at the moment.");
    metrics_single(
        out, "paddock_udp_xdp_overtakings", METRICS_COUNTER, sum->overtakings,
        "Times that datagrams of a session may have changed places: XDP took it over without a "
        "pause, or left one datagram among others to the sockets.");
    metrics_single(out, "paddock_udp_xdp_active", METRICS_GAUGE, sum->is_fast,
                   "Whether XDP is on its interface and can do a chain of filters in force.");
}

void proxy_metrics_write(struct metrics *out, const struct proxy_sum *sum,
                         const struct clusters *clusters)
{
    metrics_family(out, "quilkin_packets", METRICS_COUNTER, NULL,
                   "Datagrams that were sent on: to servers (read), to players (write).");
    metrics_sample(out, sum->upstream.sent, "event", "read", NULL);
    metrics_sample(out, sum->players.sent, "event", "write", NULL);
    metrics_family(out, "quilkin_bytes", METRICS_COUNTER, NULL, "Their UDP payload.");
    metrics_sample(out, sum->upstream.sent_bytes, "event", "read", NULL);
    metrics_sample(out, sum->players.sent_bytes, "event", "write", NULL);
    metrics_family(out, "quilkin_packets_dropped", METRICS_COUNTER, NULL,
                   "Datagrams, and copies of them, that were not sent on.");
    write_drops(out, "read", &sum->players, &sum->upstream, sum->refused);
    write_drops(out, "write", &sum->upstream, &sum->players, NULL);
    metrics_family(out, "quilkin_errors", METRICS_COUNTER, NULL, "Failures to receive.");
    metrics_sample(out, sum->players.receive_errors, "event", "read", "display", "io", NULL);
    metrics_sample(out, sum->upstream.receive_errors, "event", "write", "display", "io", NULL);
    metrics_family(out, "quilkin_packets_processing_duration_seconds", METRICS_HISTOGRAM, "seconds",
                   "From the reading of a datagram to its sending; the mean of its batch.");
    for (unsigned i = 0; i < 2; i++)
        metrics_histogram(out, &proxy_processing_bounds, &sum->processing_ns[i], "event", EVENTS[i],
                          NULL);

    metrics_family(out, "quilkin_packet_jitter", METRICS_GAUGE, NULL,
                   "Nanoseconds between datagrams: the mean of each worker's last batch.");
    for (unsigned i = 0; i < 2; i++)
        metrics_sample(out, sum->gap_ns[i], "event", EVENTS[i], NULL);
    write_clusters(out, clusters);

    write_sessions(out, sum);

    metrics_family(out, "paddock_udp_received", METRICS_COUNTER, NULL,
                   "Datagrams from players (read) and servers (write).");
    metrics_sample(out, sum->players.received, "event", "read", NULL);
    metrics_sample(out, sum->upstream.received, "event", "write", NULL);
    metrics_single(out, "paddock_udp_copies", METRICS_COUNTER, sum->copies,
                   "Copies of players' datagrams beyond the first, for several servers.");
    metrics_family(
        out, "paddock_udp_kernel_drops", METRICS_COUNTER, NULL,
        "Datagrams of players (read) and servers (write) that the kernel dropped: no room "
        "in the receive buffer. Those of servers are complete after some seconds.");
    for (unsigned i = 0; i < 2; i++)
        metrics_sample(out, sum->kernel_drops[i], "event", EVENTS[i], NULL);
    metrics_family(out, "paddock_udp_sessions_ended", METRICS_COUNTER, NULL,
                   "Sessions that ended, by reason.");
    for (unsigned i = 0; i < SESSION_ENDS; i++)
        metrics_sample(out, sum->ended[i], "reason", session_end_name((enum session_end)i), NULL);
    metrics_single(out, "paddock_udp_migrations", METRICS_COUNTER, sum->migrations,
                   "Sessions that went on with another address of their player.");
    metrics_single(out, "paddock_udp_handovers", METRICS_COUNTER, sum->handovers,
                   "Copies of players' datagrams that went to the worker which has the session.");
    metrics_single(out, "paddock_udp_session_lines_lost", METRICS_COUNTER, sum->lines_lost,
                   "Sessions that ended without their line in the log, which was asked for.");
    write_health(out, sum->health);
    write_fast(out, sum);
    metrics_single(out, "paddock_udp_upstream_sockets", METRICS_GAUGE, sum->sockets,
                   "Sockets towards servers that are open.");
    metrics_single(out, "paddock_udp_resting_pairs", METRICS_GAUGE, sum->resting,
                   "Port numbers that rest for a server after a session.");
}

void proxy_log_stopped(struct log *log, const struct proxy_sum *sum)
{
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "udp stopped"),
              log_uint("received_from_players", sum->players.received),
              log_uint("sent_to_servers", sum->upstream.sent),
              log_uint("received_from_servers", sum->upstream.received),
              log_uint("sent_to_players", sum->players.sent), log_uint("sessions", sum->began),
              log_uint("kernel_drops", sum->kernel_drops[0] + sum->kernel_drops[1]));
}

bool proxy_log_refused(struct log *log, const struct proxy_sum *sum, uint64_t warned[PROXY_REFUSED])
{
    static const char *const raise[PROXY_REFUSED] = {
        [PROXY_REFUSED_NO_MEMORY] = "the memory of the process",
        [PROXY_REFUSED_NO_SOCKET] = "the limit on open files (LimitNOFILE, ulimit -n)",
        [PROXY_REFUSED_NO_PORT] = "net.ipv4.ip_local_port_range, or the number of game servers",
        [PROXY_REFUSED_TOO_MANY_OF_ONE] = "paddock.udp.sessions.max_per_address",
        [PROXY_REFUSED_TOO_MANY_REST] = "paddock.udp.sessions.max, or lower the session time-out"};
    bool has_warned = false;

    for (unsigned i = 0; i < PROXY_REFUSED; i++) {
        uint64_t more = sum->refused[i] - warned[i];
        if (raise[i] == NULL || more == 0)
            continue;
        LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "udp sessions were refused"),
                  log_uint("datagrams", more), log_text("reason", REFUSALS[i]),
                  log_text("raise", raise[i]));
        warned[i] = sum->refused[i];
        has_warned = true;
    }
    return has_warned;
}
