/** @file
 * All metrics of a service as text, for Prometheus and whoever reads its formats.
 *
 * Which series there are depends on the program alone, and on which of the pointers in the sources
 * are NULL: nothing that a stranger sends makes a new one. A series has the same name and labels in
 * both formats.
 */
#ifndef PADDOCK_METRICS_EXPOSITION_H
#define PADDOCK_METRICS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "metrics/counters.h"
#include "metrics/system.h"

enum metrics_format {
    METRICS_TEXT,       /**< Prometheus text 0.0.4 */
    METRICS_OPENMETRICS /**< OpenMetrics 1.0 */
};

/** XDP in front of the sockets; zeroed where it is not used. */
struct metrics_xdp {
    bool attached;
    uint64_t answered; /**< of all answers, those of the XDP program */
    uint64_t transmit_errors;
};

/** Where the figures come from. Texts may hold anything: they are escaped, and bytes that are no
 * UTF-8 become U+FFFD. */
struct metrics_sources {
    const char *id;
    const char *version;
    const char *commit;
    const char *compiler;
    unsigned active;                     /**< how many QCMP services answer */
    bool shutting_down;                  /**< told to stop */
    const struct counters_sum *counters; /**< of all workers, for the whole life of the service */
    uint64_t kernel_drops;               /**< datagrams that found no room in the receive buffer */
    uint64_t failed_port_changes;
    uint64_t reloads_ok;
    uint64_t reloads_failed;
    struct metrics_xdp xdp;
    const struct metrics_clock *clock;     /**< NULL: not known, and its metrics are left out */
    const struct metrics_process *process; /**< the same */
};

/**
 * Writes all metrics. Counters are read once each, so that what is derived from one of them agrees.
 * Does not allocate beyond what @p out does.
 * @return 0, or -EIO when @p out has an error; what was written by then is of no use.
 */
int metrics_render(FILE *out, const struct metrics_sources *sources, enum metrics_format format);

/** The value of Content-Type for a format; static storage. */
const char *metrics_content_type(enum metrics_format format);

#endif
