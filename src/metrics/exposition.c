#include "metrics/exposition.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

#define NS_PER_SECOND UINT64_C(1000000000)

enum type {
    GAUGE,
    COUNTER,
    HISTOGRAM
};

/* A metric family. The unit, which OpenMetrics asks for, ends the name; NULL where there is none.
 */
struct family {
    const char *name; /* without the _total of a counter */
    enum type type;
    const char *unit;
    const char *help; /* without anything that must be escaped */
};

struct render {
    FILE *out;
    enum metrics_format format;
    struct family family; /* whose samples are being written */
};

struct label {
    const char *name;
    const char *value;
};

/* Before OpenMetrics, _total was part of a counter's name like any other. */
static void family_begin(struct render *r, struct family family)
{
    static const char *const types[] = {"gauge", "counter", "histogram"};
    bool whole = r->format == METRICS_TEXT && family.type == COUNTER;
    const char *suffix = whole ? "_total" : "";
    r->family = family;
    fprintf(r->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", family.name, suffix, family.help,
            family.name, suffix, types[family.type]);
    if (r->format == METRICS_OPENMETRICS && family.unit != NULL)
        fprintf(r->out, "# UNIT %s %s\n", family.name, family.unit);
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

/* Writes a sample up to its value. A label without a name ends the labels; NULL is none. */
static void sample_begin(const struct render *r, const char *suffix, const struct label *labels)
{
    const char *before = "{";
    fprintf(r->out, "%s%s", r->family.name, suffix);
    for (; labels != NULL && labels->name != NULL; labels++) {
        fprintf(r->out, "%s%s=\"", before, labels->name);
        write_escaped(r->out, labels->value);
        fputc('"', r->out);
        before = ",";
    }
    fputs(before[0] == ',' ? "} " : " ", r->out);
}

static void write_number(const struct render *r, uint64_t value)
{
    fprintf(r->out, "%" PRIu64 "\n", value);
}

/* By integers: a double would lose nanoseconds. */
static void write_seconds(const struct render *r, uint64_t ns)
{
    fprintf(r->out, "%" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_SECOND, ns % NS_PER_SECOND);
}

static const char *suffix_of(const struct render *r)
{
    return r->family.type == COUNTER ? "_total" : "";
}

static void sample(const struct render *r, uint64_t value)
{
    sample_begin(r, suffix_of(r), NULL);
    write_number(r, value);
}

static void sample_seconds(const struct render *r, uint64_t ns)
{
    sample_begin(r, suffix_of(r), NULL);
    write_seconds(r, ns);
}

static void sample_labelled(const struct render *r, const char *name, const char *label,
                            uint64_t value)
{
    sample_begin(r, suffix_of(r), (struct label[]){{name, label}, {NULL, NULL}});
    write_number(r, value);
}

static void info(const struct render *r, const struct label *labels)
{
    sample_begin(r, "", labels);
    write_number(r, 1);
}

static void write_about(struct render *r, const struct metrics_sources *sources)
{
    family_begin(r, (struct family){"quilkin_info", GAUGE, NULL, "Which service this is."});
    info(r, (struct label[]){{"id", sources->id},
                             {"version", sources->version},
                             {"commit", sources->commit},
                             {NULL, NULL}});
    family_begin(r, (struct family){"paddock_build_info", GAUGE, NULL, "Which program this is."});
    info(r, (struct label[]){{"version", sources->version},
                             {"commit", sources->commit},
                             {"compiler", sources->compiler},
                             {NULL, NULL}});
    family_begin(r, (struct family){"quilkin_shutdown_initiated", GAUGE, NULL,
                                    "Whether the process has been told to stop."});
    sample(r, sources->shutting_down);
}

static uint64_t bytes_of_kind(const struct counters_sum *sum, enum outcome_kind kind)
{
    uint64_t bytes = 0;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        bytes += outcome_kind(i) == kind ? sum->bytes[i] : 0;
    return bytes;
}

static void write_kinds(struct render *r, const struct counters_sum *sum)
{
    static const struct {
        enum outcome_kind kind;
        const char *label;
    } kinds[] = {{OUTCOME_KIND_VALID, "valid"},
                 {OUTCOME_KIND_INVALID, "invalid"},
                 {OUTCOME_KIND_UNSUPPORTED, "unsupported"}};
    const size_t n = sizeof kinds / sizeof kinds[0];
    family_begin(r, (struct family){"quilkin_service_qcmp_packets", COUNTER, "packets",
                                    "Datagrams that were decoded, by what they turned out to be."});
    for (size_t i = 0; i < n; i++)
        sample_labelled(r, "kind", kinds[i].label, counters_kind(sum, kinds[i].kind));
    family_begin(
        r, (struct family){"quilkin_service_qcmp_bytes", COUNTER, "bytes", "Their UDP payload."});
    for (size_t i = 0; i < n; i++)
        sample_labelled(r, "kind", kinds[i].label, bytes_of_kind(sum, kinds[i].kind));
}

/* The reasons of one kind of outcome, straight from the list of outcomes: what has none says it. */
static void write_reasons(const struct render *r, const struct counters_sum *sum,
                          enum outcome_kind kind)
{
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++)
        if (outcome_kind(i) == kind && outcome_reason(i)[0] != '\0')
            sample_labelled(r, "reason", outcome_reason(i), sum->packets[i]);
}

static void write_service(struct render *r, const struct metrics_sources *sources)
{
    const struct counters_sum *sum = sources->counters;
    family_begin(r, (struct family){"quilkin_service_qcmp_active", GAUGE, NULL,
                                    "QCMP services that answer."});
    sample(r, sources->active);
    write_kinds(r, sum);
    family_begin(r, (struct family){"quilkin_service_qcmp_errors", COUNTER, NULL,
                                    "What went wrong: with a datagram, with receiving (io), or "
                                    "with a change of the port."});
    write_reasons(r, sum, OUTCOME_KIND_INVALID);
    sample_labelled(r, "reason", "io", sum->receive_errors);
    sample_labelled(r, "reason", "failed_port_change", sources->failed_port_changes);
}

static void write_packets(struct render *r, const struct metrics_sources *sources)
{
    const struct counters_sum *sum = sources->counters;
    family_begin(
        r, (struct family){"paddock_qcmp_received", COUNTER, NULL,
                           "Datagrams that were read from the socket, and pings that XDP took."});
    sample(r, sum->received);
    family_begin(r, (struct family){"paddock_qcmp_answered", COUNTER, NULL,
                                    "Replies that the kernel took."});
    sample(r, sum->answered);
    family_begin(r, (struct family){"paddock_qcmp_send_errors", COUNTER, NULL,
                                    "Replies that the kernel refused."});
    sample(r, sum->send_errors);
    family_begin(r, (struct family){"paddock_qcmp_dropped", COUNTER, NULL,
                                    "Datagrams that were refused, whatever they were."});
    write_reasons(r, sum, OUTCOME_KIND_DROPPED);
    family_begin(r, (struct family){"paddock_qcmp_leaked", COUNTER, NULL,
                                    "Pings over the limit of their source that were answered all "
                                    "the same; among the valid ones."});
    sample(r, sum->packets[OUTCOME_LEAKED]);
    family_begin(r, (struct family){"paddock_qcmp_kernel_drops", COUNTER, NULL,
                                    "Datagrams that the kernel dropped: no room in the receive "
                                    "buffer."});
    sample(r, sources->kernel_drops);
    family_begin(r, (struct family){"paddock_config_reloads", COUNTER, NULL,
                                    "Times that the configuration was read again."});
    sample_labelled(r, "result", "ok", sources->reloads_ok);
    sample_labelled(r, "result", "error", sources->reloads_failed);
}

/* A bound as OpenMetrics writes it, in both formats: with another text it would be another series.
 */
static void bound_format(char *text, size_t capacity, uint64_t bound, bool seconds)
{
    double value = seconds ? (double)bound / (double)NS_PER_SECOND : (double)bound;
    snprintf(text, capacity, "%g", value);
    if (strpbrk(text, ".e") == NULL)
        snprintf(text, capacity, "%g.0", value);
}

static void write_histogram(const struct render *r, const struct histogram_bounds *bounds,
                            const struct histogram_sum *sum)
{
    bool seconds = bounds == &histogram_time_bounds;
    uint64_t count = 0;
    for (size_t i = 0; i <= bounds->count; i++) {
        char bound[32] = "+Inf";
        if (i < bounds->count)
            bound_format(bound, sizeof bound, bounds->upper[i], seconds);
        count += sum->buckets[i];
        sample_begin(r, "_bucket", (struct label[]){{"le", bound}, {NULL, NULL}});
        write_number(r, count);
    }
    sample_begin(r, "_sum", NULL);
    if (seconds)
        write_seconds(r, sum->sum);
    else
        write_number(r, sum->sum);
    sample_begin(r, "_count", NULL);
    write_number(r, count);
}

static void write_histograms(struct render *r, const struct counters_sum *sum)
{
    family_begin(r, (struct family){"paddock_qcmp_batch_packets", HISTOGRAM, "packets",
                                    "Datagrams that one receive call gave."});
    write_histogram(r, &histogram_batch_bounds, &sum->batch_packets);
    family_begin(r, (struct family){"paddock_qcmp_hold_seconds", HISTOGRAM, "seconds",
                                    "From the receive stamp of a ping to the transmit stamp of "
                                    "its pong."});
    write_histogram(r, &histogram_time_bounds, &sum->hold_ns);
    family_begin(r, (struct family){"paddock_qcmp_queue_delay_seconds", HISTOGRAM, "seconds",
                                    "From the kernel's receive stamp to the reading by this "
                                    "program."});
    write_histogram(r, &histogram_time_bounds, &sum->queue_delay_ns);
}

static void write_xdp(struct render *r, const struct metrics_xdp *xdp)
{
    family_begin(r, (struct family){"paddock_xdp_attached", GAUGE, NULL,
                                    "Whether the XDP program is on its interface."});
    sample(r, xdp->attached);
    family_begin(r, (struct family){"paddock_xdp_answered", COUNTER, NULL,
                                    "Replies by the XDP program, which are among all answered."});
    sample(r, xdp->answered);
    family_begin(r, (struct family){"paddock_xdp_transmit_errors", COUNTER, NULL,
                                    "Frames of XDP programs that the interface lost, as far as "
                                    "its driver counts them."});
    sample(r, xdp->transmit_errors);
}

static void write_clock(struct render *r, const struct metrics_clock *clock)
{
    family_begin(r, (struct family){"paddock_clock_synchronized", GAUGE, NULL,
                                    "Whether the kernel's clock is kept in step with others."});
    sample(r, clock->synchronized);
    family_begin(r, (struct family){"paddock_clock_max_error_seconds", GAUGE, "seconds",
                                    "How far off the kernel's clock may be."});
    sample_seconds(r, clock->max_error_ns);
}

static void write_process(struct render *r, const struct metrics_process *process)
{
    family_begin(r, (struct family){"process_cpu_seconds", COUNTER, "seconds",
                                    "CPU time that the process has used."});
    sample_seconds(r, process->cpu_ns);
    family_begin(r, (struct family){"process_start_time_seconds", GAUGE, "seconds",
                                    "When the process started, since 1970."});
    sample_seconds(r, process->start_ns);
    family_begin(
        r, (struct family){"process_virtual_memory_bytes", GAUGE, "bytes", "Its address space."});
    sample(r, process->virtual_bytes);
    family_begin(
        r, (struct family){"process_resident_memory_bytes", GAUGE, "bytes", "Its memory in RAM."});
    sample(r, process->resident_bytes);
    family_begin(r, (struct family){"process_open_fds", GAUGE, NULL, "Its open descriptors."});
    sample(r, process->open_fds);
    family_begin(r, (struct family){"process_max_fds", GAUGE, NULL,
                                    "How many descriptors it may have open."});
    sample(r, process->max_fds);
}

int metrics_render(FILE *out, const struct metrics_sources *sources, enum metrics_format format)
{
    struct render r = {.out = out, .format = format};
    write_about(&r, sources);
    write_service(&r, sources);
    write_packets(&r, sources);
    write_histograms(&r, sources->counters);
    write_xdp(&r, &sources->xdp);
    if (sources->clock != NULL)
        write_clock(&r, sources->clock);
    if (sources->process != NULL)
        write_process(&r, sources->process);
    if (format == METRICS_OPENMETRICS)
        fputs("# EOF\n", out);
    return ferror(out) ? -EIO : 0;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}
