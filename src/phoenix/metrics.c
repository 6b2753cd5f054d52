/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/metrics.h"

#include "phoenix/prober.h"

static const char *const OTHERS[PROBER_OTHERS] = {[PROBER_LATE] = "late",
                                                  [PROBER_DUPLICATE] = "duplicate",
                                                  [PROBER_REJECTED] = "rejected",
                                                  [PROBER_UNSENT] = "unsent",
                                                  [PROBER_FAILED] = "socket"};

static const char *const DIRECTIONS[2] = {"incoming", "outgoing"};

/* A gauge of a site, which is no number as long as nothing is known of it: so each site always has
 * the same series. */
static void write_site(struct metrics *out, const struct site *site, int64_t value,
                       const char *axis)
{
    const char *label = axis != NULL ? "axis" : NULL;
    if (site->best == NULL)
        metrics_unknown(out, "icao", site->icao_code, label, axis, NULL);
    else
        metrics_sample(out, (uint64_t)value, "icao", site->icao_code, label, axis, NULL);
}

static void write_sites(struct metrics *out, const struct nodes *nodes)
{
    struct site *const *end = nodes->sites + nodes->sites_count;

    metrics_family(out, "quilkin_phoenix_measurement_seconds", METRICS_HISTOGRAM, "seconds",
                   "Halves of the round trips to the nodes of a site.");
    for (struct site *const *site = nodes->sites; site < end; site++) {
        for (unsigned i = 0; i < 2; i++) {
            struct histogram_sum sum = {.sum = 0};
            histogram_add(&sum, &(*site)->one_way_ns[i]);
            metrics_histogram(out, &phoenix_measurement_bounds, &sum, "icao", (*site)->icao_code,
                              "direction", DIRECTIONS[i], NULL);
        }
    }
    metrics_family(out, "quilkin_phoenix_measurement_errors", METRICS_COUNTER, NULL,
                   "Pings to the nodes of a site that had no answer, or none that can be.");
    for (struct site *const *site = nodes->sites; site < end; site++)
        metrics_sample(out, (*site)->errors, "icao", (*site)->icao_code, NULL);
    metrics_family(out, "quilkin_phoenix_distance", METRICS_GAUGE, NULL,
                   "Nanoseconds: the round trip to a site, as it is told.");
    for (struct site *const *site = nodes->sites; site < end; site++)
        write_site(out, *site, (*site)->shown_ns, NULL);
    metrics_family(out, "quilkin_phoenix_coordinates", METRICS_GAUGE, NULL,
                   "Nanoseconds: the two halves of that.");
    for (struct site *const *site = nodes->sites; site < end; site++) {
        write_site(out, *site, (*site)->shown_ns / 2, "x");
        write_site(out, *site, (*site)->shown_ns - (*site)->shown_ns / 2, "y");
    }
    metrics_family(out, "quilkin_phoenix_distance_error_estimate", METRICS_GAUGE, NULL,
                   "Nanoseconds by which the last round trips to a site lie above the least.");
    for (struct site *const *site = nodes->sites; site < end; site++)
        write_site(out, *site, (*site)->best != NULL ? window_excess(&(*site)->best->window) : 0,
                   NULL);
}

/* The address and the port tell nodes apart, the site is where they belong. */
#define NODE_LABELS(node, port)                                                                    \
    "address", (node)->named.address, "port", (port), "icao", (node)->named.icao_code

static void write_pings(struct metrics *out, const struct node *node, const char *port)
{
    metrics_sample(out, node->answered, NODE_LABELS(node, port), "result", "answered", NULL);
    metrics_sample(out, node->lost, NODE_LABELS(node, port), "result", "lost", NULL);
    metrics_sample(out, node->implausible, NODE_LABELS(node, port), "result", "implausible", NULL);
}

static void write_up(struct metrics *out, const struct node *node, const char *port)
{
    metrics_sample(out, window_is_known(&node->window), NODE_LABELS(node, port), NULL);
}

static void write_round_trip(struct metrics *out, const struct node *node, const char *port)
{
    if (window_is_known(&node->window))
        metrics_seconds(out, (uint64_t)window_base(&node->window), NODE_LABELS(node, port), NULL);
    else
        metrics_unknown(out, NODE_LABELS(node, port), NULL);
}

static void write_jitter(struct metrics *out, const struct node *node, const char *port)
{
    metrics_seconds(out, (uint64_t)window_jitter(&node->window), NODE_LABELS(node, port), NULL);
}

static void write_lost(struct metrics *out, const struct node *node, const char *port)
{
    metrics_sample(out, window_lost(&node->window), NODE_LABELS(node, port), NULL);
}

static void write_interval(struct metrics *out, const struct node *node, const char *port)
{
    metrics_seconds(out, (uint64_t)node->pace.interval_ns, NODE_LABELS(node, port), NULL);
}

static void write_queues(struct metrics *out, const struct node *node, const char *port)
{
    int64_t queues_ns[2];
    window_queues(&node->window, &queues_ns[0], &queues_ns[1]);
    for (unsigned i = 0; i < 2; i++)
        metrics_seconds(out, (uint64_t)queues_ns[i], NODE_LABELS(node, port), "direction",
                        DIRECTIONS[i], NULL);
}

static void write_nodes(struct metrics *out, const struct nodes *nodes)
{
    static const struct {
        const char *name, *unit, *help;
        enum metrics_type type;
        void (*write)(struct metrics *out, const struct node *node, const char *port);
    } families[] = {
        {"paddock_phoenix_pings", NULL, "Pings that have ended, and how.", METRICS_COUNTER,
         write_pings},
        {"paddock_phoenix_up", NULL, "Whether a node answers.", METRICS_GAUGE, write_up},
        {"paddock_phoenix_round_trip_seconds", "seconds",
         "The least round trip of the last ten, at most ten minutes old.", METRICS_GAUGE,
         write_round_trip},
        {"paddock_phoenix_jitter_seconds", "seconds",
         "The mean difference of a round trip from the one before, over the same ten.",
         METRICS_GAUGE, write_jitter},
        {"paddock_phoenix_window_lost", NULL, "How many of the last ten pings were lost.",
         METRICS_GAUGE, write_lost},
        {"paddock_phoenix_interval_seconds", "seconds",
         "Between two pings, as long as nothing changes.", METRICS_GAUGE, write_interval},
        {"paddock_phoenix_queue_seconds", "seconds",
         "By how much the last one-way time lies above the least of the last ten: what waited.",
         METRICS_GAUGE, write_queues},
    };
    char port[8];

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_family(out, families[i].name, families[i].type, families[i].unit, families[i].help);
        for (size_t j = 0; j < nodes->count; j++) {
            const struct node *node = nodes->items[j];
            snprintf(port, sizeof port, "%u", node->named.qcmp_port);
            families[i].write(out, node, port);
        }
    }
}

void phoenix_metrics_write(struct metrics *out, const struct nodes *nodes, const uint64_t *others)
{
    write_sites(out, nodes);
    write_nodes(out, nodes);
    metrics_family(out, "paddock_phoenix_other", METRICS_COUNTER, NULL,
                   "What came beside the answers (late, duplicate, rejected), pings that are tried "
                   "again (unsent), and errors of the socket.");
    for (unsigned i = 0; i < PROBER_OTHERS; i++)
        metrics_sample(out, others[i], "kind", OTHERS[i], NULL);
}
