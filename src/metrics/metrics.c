/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define NS_PER_SECOND UINT64_C(1000000000)

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

void metrics_family(struct metrics *out, const char *name, enum metrics_type type, const char *unit,
                    const char *help)
{
    static const char *const types[] = {[METRICS_GAUGE] = "gauge",
                                        [METRICS_COUNTER] = "counter",
                                        [METRICS_NAMED_COUNTER] = "counter",
                                        [METRICS_HISTOGRAM] = "histogram"};
    bool is_unknown = out->format == METRICS_OPENMETRICS && type == METRICS_NAMED_COUNTER;

    /* Before OpenMetrics, _total was part of a counter's name like any other. */
    bool is_whole = out->format == METRICS_TEXT && type == METRICS_COUNTER;
    const char *suffix = is_whole ? "_total" : "";
    out->name = name;
    out->type = type;
    fprintf(out->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
            is_unknown ? "unknown" : types[type]);
    if (out->format == METRICS_OPENMETRICS && unit != NULL)
        fprintf(out->out, "# UNIT %s %s\n", name, unit);
}

static void write_escaped(FILE *out, const char *text)
{
    uint32_t character;

    for (size_t bytes; (bytes = text_decode(text, &character)) > 0; text += bytes) {
        if (character == TEXT_INVALID)
            fputs("\xef\xbf\xbd", out); /* one bad byte would make a scraper refuse everything */
        else if (character == '\n')
            fputs("\\n", out);
        else
            fprintf(out, "%s%.*s", character == '"' || character == '\\' ? "\\" : "", (int)bytes,
                    text);
    }
}

/* Writes a sample up to its value. @param labels are copied, not used up. @param le the label of a
 * bucket, the last; NULL = none. */
static void write_series(const struct metrics *out, const char *suffix, va_list labels,
                         const char *le)
{
    const char *before = "{";
    va_list rest;

    fprintf(out->out, "%s%s", out->name, suffix);
    va_copy(rest, labels);
    for (const char *label; (label = va_arg(rest, const char *)) != NULL; before = ",") {
        fprintf(out->out, "%s%s=\"", before, label);
        write_escaped(out->out, va_arg(rest, const char *));
        fputc('"', out->out);
    }
    va_end(rest);
    if (le != NULL)
        fprintf(out->out, "%sle=\"%s\"", before, le);
    fputs(before[0] == ',' || le != NULL ? "} " : " ", out->out);
}

static void write_number(const struct metrics *out, uint64_t value)
{
    fprintf(out->out, "%" PRIu64 "\n", value);
}

/* By integers: a double would lose nanoseconds. */
static void write_seconds(const struct metrics *out, uint64_t ns)
{
    fprintf(out->out, "%" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_SECOND, ns % NS_PER_SECOND);
}

static const char *suffix_of(const struct metrics *out)
{
    return out->type == METRICS_COUNTER ? "_total" : "";
}

void metrics_sample(struct metrics *out, uint64_t value, ...)
{
    va_list labels;

    va_start(labels, value);
    write_series(out, suffix_of(out), labels, NULL);
    va_end(labels);
    write_number(out, value);
}

void metrics_single(struct metrics *out, const char *name, enum metrics_type type, uint64_t value,
                    const char *help)
{
    metrics_family(out, name, type, NULL, help);
    metrics_sample(out, value, NULL);
}

void metrics_seconds(struct metrics *out, uint64_t ns, ...)
{
    va_list labels;

    va_start(labels, ns);
    write_series(out, suffix_of(out), labels, NULL);
    va_end(labels);
    write_seconds(out, ns);
}

void metrics_unknown(struct metrics *out, ...)
{
    va_list labels;

    va_start(labels, out);
    write_series(out, "", labels, NULL);
    va_end(labels);
    fputs("NaN\n", out->out);
}

/* A bound as OpenMetrics writes it, in both formats: with another text it would be another series.
 * The shortest that is read back as the same number, since bounds may be sums of many powers. */
static void format_bound(char *text, size_t capacity, double bound)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, capacity, "%.*g", digits, bound);
        if (strtod(text, NULL) == bound)
            break;
    }
    if (strpbrk(text, ".e") == NULL)
        snprintf(text, capacity, "%.1f", bound);
}

void metrics_histogram(struct metrics *out, const struct histogram_bounds *bounds,
                       const struct histogram_sum *sum, ...)
{
    uint64_t count = 0;
    va_list labels;

    va_start(labels, sum);
    for (size_t i = 0; i <= bounds->count; i++) {
        char bound[32] = "+Inf";
        if (i < bounds->count)
            format_bound(bound, sizeof bound, bounds->upper[i]);
        count += sum->buckets[i];
        write_series(out, "_bucket", labels, bound);
        write_number(out, count);
    }
    write_series(out, "_sum", labels, NULL);
    if (bounds->in_seconds)
        write_seconds(out, sum->sum);
    else
        write_number(out, sum->sum);
    write_series(out, "_count", labels, NULL);
    write_number(out, count);
    va_end(labels);
}

void metrics_info(struct metrics *out, const char *name, const char *help, ...)
{
    va_list labels;

    metrics_family(out, name, METRICS_GAUGE, NULL, help);
    va_start(labels, help);
    write_series(out, "", labels, NULL);
    va_end(labels);
    write_number(out, 1);
}

int metrics_end(struct metrics *out)
{
    if (out->format == METRICS_OPENMETRICS)
        fputs("# EOF\n", out->out);
    return ferror(out->out) ? -EIO : 0;
}
