#include "cli/load_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "load/limit.h"

#define SHOWN_BYTES 256

static const struct {
    const char *name; /* for people */
    const char *key;
    double share;
} QUANTILES[] = {
    {"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99.9", "p99_9", 0.999}};

#define QUANTILES_COUNT (sizeof QUANTILES / sizeof QUANTILES[0])

static double per_second(uint64_t count, const struct load_result *result)
{
    return result->sending_ns > 0 ? (double)count * 1e9 / (double)result->sending_ns : 0;
}

static double cores(int64_t cpu_ns, const struct load_result *result)
{
    return result->window_ns > 0 ? (double)cpu_ns / (double)result->window_ns : 0;
}

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static void print_heading(FILE *out, const struct load_report *report)
{
    const struct load_options *options = report->options;
    char shown[SHOWN_BYTES];
    text_escape(report->target, shown, sizeof shown);
    fprintf(out, "%s (%s) over %s\n", shown, report->address, report->via);
    if (options->rate != 0)
        fprintf(out, "  open loop: %" PRIu64 " pings/s, %s", options->rate,
                options->arrivals == SCHEDULE_POISSON ? "Poisson" : "constant");
    else
        fprintf(out, "  closed loop: %" PRIu32 " in flight", options->in_flight);
    fprintf(out, "; %" PRIu32 " %s; bursts of %" PRIu32 "%s; %.3f s%s\n", options->flows,
            options->flows == 1 ? "flow" : "flows", options->burst,
            report->result->gso ? " with GSO" : "", (double)report->result->sending_ns / 1e9,
            report->result->interrupted ? ", interrupted" : "");
}

static void print_count(FILE *out, const char *name, uint64_t count)
{
    fprintf(out, "  %-16s %14" PRIu64 "\n", name, count);
}

static void print_rated_count(FILE *out, const char *name, uint64_t count,
                              const struct load_result *result)
{
    fprintf(out, "  %-16s %14" PRIu64 "  %14.1f /s\n", name, count, per_second(count, result));
}

static void print_lost(FILE *out, const struct load_counts *counts)
{
    double percent = counts->sent > 0 ? 100.0 * (double)counts->lost / (double)counts->sent : 0;
    fprintf(out, "  %-16s %14" PRIu64 "  %14.4f %%\n", "lost", counts->lost, percent);
}

static void print_counts(FILE *out, const struct load_result *result)
{
    const struct load_counts *counts = &result->counts;
    print_rated_count(out, "scheduled", counts->scheduled, result);
    print_rated_count(out, "sent", counts->sent, result);
    print_rated_count(out, "answered", counts->answered, result);
    print_lost(out, counts);
    print_count(out, "unfinished", counts->unfinished);
    print_count(out, "late", counts->late);
    print_count(out, "duplicates", counts->duplicates);
    print_count(out, "foreign", counts->foreign);
    print_count(out, "unsent", counts->unsent);
    if (result->last_send_error != 0)
        fprintf(out, "  %-16s %14" PRIu64 "  the last: %s\n", "send errors", counts->send_errors,
                strerror(result->last_send_error));
    else
        print_count(out, "send errors", counts->send_errors);
    print_count(out, "send stalls", counts->send_stalls);
    print_count(out, "network errors", counts->network_errors);
    print_count(out, "receive drops", counts->receive_drops);
}

static void print_times(FILE *out, const char *name, const struct hdr_histogram *times)
{
    fprintf(out, "  %-16s", name);
    if (times->count == 0) {
        fprintf(out, " nothing was measured\n");
        return;
    }
    fprintf(out, " %10.4f", to_ms(times->min));
    for (size_t i = 0; i < QUANTILES_COUNT; i++)
        fprintf(out, " %10.4f", to_ms(hdr_histogram_quantile(times, QUANTILES[i].share)));
    fprintf(out, " %10.4f %10.4f\n", to_ms(times->max), to_ms(hdr_histogram_mean(times)));
}

/* In a closed loop pings are due when they are sent: the three come to one. */
static void print_all_times(FILE *out, const struct load_report *report)
{
    fprintf(out, "\n  %-16s %10s", "ms", "min");
    for (size_t i = 0; i < QUANTILES_COUNT; i++)
        fprintf(out, " %10s", QUANTILES[i].name);
    fprintf(out, " %10s %10s\n", "max", "mean");
    if (report->options->rate != 0) {
        print_times(out, "latency", &report->result->latency_ns);
        print_times(out, "lag of sending", &report->result->lag_ns);
    }
    print_times(out, "round trip", &report->result->round_trip_ns);
}

static void print_cpu_line(FILE *out, const char *name, int64_t cpu_ns,
                           const struct load_result *result)
{
    fprintf(out, "  %-16s", name);
    if (cpu_ns < 0) {
        fprintf(out, " the process has ended\n");
        return;
    }
    fprintf(out, " %12.3f s  %7.3f cores", (double)cpu_ns / 1e9, cores(cpu_ns, result));
    if (result->counts.answered > 0)
        fprintf(out, "  %10.1f ns per answered ping",
                (double)cpu_ns / (double)result->counts.answered);
    fputc('\n', out);
}

static void print_cpu(FILE *out, const struct load_report *report)
{
    char name[SHOWN_BYTES];
    fputc('\n', out);
    print_cpu_line(out, "CPU, itself", report->result->own_cpu_ns, report->result);
    for (size_t i = 0; i < report->options->pids.count; i++) {
        snprintf(name, sizeof name, "CPU, %ld", (long)report->options->pids.items[i]);
        print_cpu_line(out, name, report->result->pid_cpu_ns[i], report->result);
    }
}

void load_print(FILE *out, const struct load_report *report)
{
    char reason[LIMIT_REASON_BYTES];
    print_heading(out, report);
    fputc('\n', out);
    print_counts(out, report->result);
    print_all_times(out, report);
    print_cpu(out, report);
    switch (limit_judge(report->options, report->result, reason)) {
    case LIMIT_GENERATOR:
        fprintf(out, "\n  The generator was the limit, not the server: %s.\n", reason);
        break;
    case LIMIT_UNKNOWN:
        fprintf(out, "\n  The generator may have been the limit: %s.\n", reason);
        break;
    case LIMIT_ELSEWHERE:
        fprintf(out, "\n  The generator was not the limit: %s.\n", reason);
        break;
    }
}

static json_t *integer_or_null(bool known, int64_t value)
{
    return known ? json_integer(value) : json_null();
}

static json_t *count_json(uint64_t count)
{
    return json_integer((json_int_t)count);
}

static json_t *times_json(const struct hdr_histogram *times)
{
    bool known = times->count > 0;
    json_t *json = json_object();
    json_object_set_new(json, "min", integer_or_null(known, times->min));
    json_object_set_new(json, "mean", integer_or_null(known, hdr_histogram_mean(times)));
    for (size_t i = 0; i < QUANTILES_COUNT; i++)
        json_object_set_new(
            json, QUANTILES[i].key,
            integer_or_null(known, hdr_histogram_quantile(times, QUANTILES[i].share)));
    json_object_set_new(json, "max", integer_or_null(known, times->max));
    return json;
}

static json_t *per_answer_json(int64_t cpu_ns, const struct load_result *result)
{
    if (cpu_ns < 0 || result->counts.answered == 0)
        return json_null();
    return json_real((double)cpu_ns / (double)result->counts.answered);
}

static json_t *processes_json(const struct load_report *report)
{
    json_t *processes = json_array();
    for (size_t i = 0; i < report->options->pids.count; i++) {
        int64_t cpu_ns = report->result->pid_cpu_ns[i];
        json_array_append_new(processes,
                              json_pack("{s:I, s:o, s:o}", "pid",
                                        (json_int_t)report->options->pids.items[i], "cpu_ns",
                                        integer_or_null(cpu_ns >= 0, cpu_ns), "cpu_ns_per_answered",
                                        per_answer_json(cpu_ns, report->result)));
    }
    return processes;
}

static void set_counts(json_t *json, const struct load_result *result)
{
    const struct load_counts *counts = &result->counts;
    const struct {
        const char *key;
        uint64_t value;
    } all[] = {{"scheduled", counts->scheduled},
               {"sent", counts->sent},
               {"unsent", counts->unsent},
               {"send_errors", counts->send_errors},
               {"send_stalls", counts->send_stalls},
               {"answered", counts->answered},
               {"lost", counts->lost},
               {"unfinished", counts->unfinished},
               {"late", counts->late},
               {"duplicates", counts->duplicates},
               {"foreign", counts->foreign},
               {"network_errors", counts->network_errors},
               {"receive_drops", counts->receive_drops}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        json_object_set_new(json, all[i].key, count_json(all[i].value));
    json_object_set_new(json, "sent_per_s", json_real(per_second(counts->sent, result)));
    json_object_set_new(json, "answered_per_s", json_real(per_second(counts->answered, result)));
}

static void set_request(json_t *json, const struct load_report *report)
{
    const struct load_options *options = report->options;
    bool is_open = options->rate != 0;
    char *target = text_repair(report->target);
    const char *arrivals = options->arrivals == SCHEDULE_POISSON ? "poisson" : "constant";
    json_object_set_new(json, "target", json_string(target));
    json_object_set_new(json, "address", json_string(report->address));
    json_object_set_new(json, "via", json_string(report->via));
    json_object_set_new(json, "loop", json_string(is_open ? "open" : "closed"));
    json_object_set_new(json, "rate_per_s", integer_or_null(is_open, (int64_t)options->rate));
    json_object_set_new(json, "arrivals", is_open ? json_string(arrivals) : json_null());
    json_object_set_new(json, "in_flight", integer_or_null(!is_open, options->in_flight));
    json_object_set_new(json, "flows", json_integer(options->flows));
    json_object_set_new(json, "burst", json_integer(options->burst));
    json_object_set_new(json, "gso", json_boolean(report->result->gso));
    json_object_set_new(json, "duration_ns", json_integer(options->duration_ns));
    json_object_set_new(json, "timeout_ns", json_integer(options->timeout_ns));
    free(target);
}

static void set_results(json_t *json, const struct load_report *report)
{
    const struct load_result *result = report->result;
    const int error = result->last_send_error;
    json_object_set_new(json, "sending_ns", json_integer(result->sending_ns));
    json_object_set_new(json, "window_ns", json_integer(result->window_ns));
    json_object_set_new(json, "idle_ns", json_integer(result->idle_ns));
    json_object_set_new(json, "cpus_idle_ns",
                        integer_or_null(result->cpus_idle_ns >= 0, result->cpus_idle_ns));
    set_counts(json, result);
    json_object_set_new(json, "last_send_error",
                        error != 0 ? json_string(strerror(error)) : json_null());
    json_object_set_new(json, "latency_ns", times_json(&result->latency_ns));
    json_object_set_new(json, "round_trip_ns", times_json(&result->round_trip_ns));
    json_object_set_new(json, "lag_ns", times_json(&result->lag_ns));
    json_object_set_new(json, "cpu_ns", json_integer(result->own_cpu_ns));
    json_object_set_new(json, "cpu_ns_per_answered", per_answer_json(result->own_cpu_ns, result));
    json_object_set_new(json, "processes", processes_json(report));
    json_object_set_new(json, "interrupted", json_boolean(result->interrupted));
}

int load_write_json(FILE *out, const struct load_report *report)
{
    char reason[LIMIT_REASON_BYTES];
    enum limit limit = limit_judge(report->options, report->result, reason);
    json_t *json = json_object();
    if (json == NULL)
        return -1;
    set_request(json, report);
    set_results(json, report);
    json_object_set_new(json, "limit", json_string(limit_text(limit)));
    json_object_set_new(json, "limit_reason", json_string(reason));
    int error = json_dumpf(json, out, JSON_COMPACT);
    json_decref(json);
    fputc('\n', out);
    return error != 0 || ferror(out) ? -1 : 0;
}
