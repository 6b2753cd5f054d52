/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A writer of metrics as text, for Prometheus and whatever reads its formats. The writer knows
 * formats; each service knows its families.
 *
 * A family is begun by metrics_family(), and its samples follow at once. Labels are pairs of texts,
 * a name and its value, ended by NULL: `metrics_sample(out, 3, "reason", "io", NULL)`. Names and
 * help texts are the program's own; values of labels may hold anything: they are escaped, and bytes
 * that are no UTF-8 become U+FFFD. A series has the same name and labels in both formats. No call
 * allocates beyond what the stream does; an error of the stream is told by metrics_end().
 */
#ifndef PADDOCK_METRICS_METRICS_H
#define PADDOCK_METRICS_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "metrics/histogram.h"

enum metrics_format {
    METRICS_TEXT,       /**< Prometheus text 0.0.4 */
    METRICS_OPENMETRICS /**< OpenMetrics 1.0 */
};

enum metrics_type {
    METRICS_GAUGE,
    METRICS_COUNTER,
    METRICS_NAMED_COUNTER, /**< a counter without `_total`, by a name that is given; OpenMetrics
                              knows none, and calls it unknown */
    METRICS_HISTOGRAM
};

/** A text that is being written: `{.out = stream, .format = format}`. */
struct metrics {
    FILE *out; /**< borrowed */
    enum metrics_format format;
    enum metrics_type type; /**< that of the family that is being written */
    const char *name;       /**< that family's; borrowed until the next */
};

/** The value of Content-Type for a format; static storage. */
const char *metrics_content_type(enum metrics_format format);

/**
 * Begins a family.
 * @param name without the `_total` of a counter; borrowed until the next family.
 * @param unit ends the name, as OpenMetrics asks for: "seconds", "bytes"; NULL where there is none.
 * @param help one line without quotes and backslashes.
 */
void metrics_family(struct metrics *out, const char *name, enum metrics_type type, const char *unit,
                    const char *help);

/** Writes a sample of a gauge or a counter. */
void metrics_sample(struct metrics *out, uint64_t value, ... /* labels, NULL */)
    __attribute__((sentinel));

/** Writes a family with one sample, without unit and labels. */
void metrics_single(struct metrics *out, const char *name, enum metrics_type type, uint64_t value,
                    const char *help);

/** Writes a sample in seconds, exact, from nanoseconds. */
void metrics_seconds(struct metrics *out, uint64_t ns, ... /* labels, NULL */)
    __attribute__((sentinel));

/** Writes a sample of a gauge whose value is not known, as NaN. */
void metrics_unknown(struct metrics *out, ... /* labels, NULL */) __attribute__((sentinel));

/** Writes all series of a histogram. @param bounds those that its recorders had. */
void metrics_histogram(struct metrics *out, const struct histogram_bounds *bounds,
                       const struct histogram_sum *sum, ... /* labels, NULL */)
    __attribute__((sentinel));

/** Writes a family with one sample, a gauge that is 1, which is there for its labels. */
void metrics_info(struct metrics *out, const char *name, const char *help, ... /* labels, NULL */)
    __attribute__((sentinel));

/** Ends the text. @return 0, or -EIO when the stream has an error; what was written is then of no
 * use. */
int metrics_end(struct metrics *out);

#endif
