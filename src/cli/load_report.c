/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_report.h"

#include <inttypes.h>
#include <jansson.h>
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

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
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

static void print_counts(FILE *out, const struct load_result *result)
{
    const struct load_counts *counts = &result->counts;
    double lost_percent =
        counts->sent > 0 ? 100.0 * (double)counts->lost / (double)counts->sent : 0;

    print_rated_count(out, "scheduled", counts->scheduled, result);
    print_rated_count(out, "sent", counts->sent, result);
    print_rated_count(out, "answered", counts->answered, result);
    fprintf(out, "  %-16s %14" PRIu64 "  %14.4f %%\n", "lost", counts->lost, lost_percent);
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

static void print_cpu(FILE *out, const char *name, int64_t cpu_ns, const struct load_result *result)
{
    double cores = result->window_ns > 0 ? (double)cpu_ns / (double)result->window_ns : 0;

    fprintf(out, "  %-16s", name);
    if (cpu_ns < 0) {
        fprintf(out, " the process has ended\n");
        return;
    }
    fprintf(out, " %12.3f s  %7.3f cores", (double)cpu_ns / 1e9, cores);
    if (result->counts.answered > 0)
        fprintf(out, "  %10.1f ns per answered ping",
                (double)cpu_ns / (double)result->counts.answered);
    fputc('\n', out);
}

void load_print(FILE *out, const struct load_report *report)
{
    static const char *const verdicts[] = {
        [LIMIT_GENERATOR] = "The generator was the limit, not the server",
        [LIMIT_UNKNOWN] = "The generator may have been the limit",
        [LIMIT_ELSEWHERE] = "The generator was not the limit"};
    const struct load_options *options = report->options;
    const struct load_result *result = report->result;
    char shown[SHOWN_BYTES], reason[LIMIT_REASON_BYTES];

    text_escape(report->target, shown, sizeof shown);
    fprintf(out, "%s (%s) over %s\n", shown, report->address, report->via);
    if (options->rate != 0)
        fprintf(out, "  open loop: %" PRIu64 " pings/s, %s", options->rate,
                options->arrivals == SCHEDULE_POISSON ? "Poisson" : "constant");
    else
        fprintf(out, "  closed loop: %" PRIu32 " in flight", options->in_flight);
    fprintf(out, "; %" PRIu32 " %s; bursts of %" PRIu32 "%s; %.3f s%s\n\n", options->flows,
            options->flows == 1 ? "flow" : "flows", options->burst, result->gso ? " with GSO" : "",
            (double)result->sending_ns / 1e9, result->interrupted ? ", interrupted" : "");
    print_counts(out, result);

    /* In a closed loop pings are due when they are sent: the three times come to one. */
    fprintf(out, "\n  %-16s %10s", "ms", "min");
    for (size_t i = 0; i < QUANTILES_COUNT; i++)
        fprintf(out, " %10s", QUANTILES[i].name);
    fprintf(out, " %10s %10s\n", "max", "mean");
    if (options->rate != 0) {
        print_times(out, "latency", &result->latency_ns);
        print_times(out, "lag of sending", &result->lag_ns);
    }
    print_times(out, "round trip", &result->round_trip_ns);

    fputc('\n', out);
    print_cpu(out, "CPU, itself", result->own_cpu_ns, result);
    for (size_t i = 0; i < options->pids.count; i++) {
        snprintf(shown, sizeof shown, "CPU, %ld", (long)options->pids.items[i]);
        print_cpu(out, shown, result->pid_cpu_ns[i], result);
    }
    enum limit limit = limit_judge(options, result, reason);
    fprintf(out, "\n  %s: %s.\n", verdicts[limit], reason);
}

static json_t *integer_or_null(bool known, int64_t value)
{
    return known ? json_integer(value) : json_null();
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

/* What was asked for. */
static json_t *request_json(const struct load_report *report)
{
    const struct load_options *options = report->options;
    bool is_open = options->rate != 0;
    const char *arrivals = options->arrivals == SCHEDULE_POISSON ? "poisson" : "constant";

    return json_pack(
        "{s:o, s:s, s:s, s:s, s:o, s:s?, s:o, s:I, s:I, s:b, s:I, s:I}", "target",
        text_to_json(report->target), "address", report->address, "via", report->via, "loop",
        is_open ? "open" : "closed", "rate_per_s", integer_or_null(is_open, (int64_t)options->rate),
        "arrivals", is_open ? arrivals : NULL, "in_flight",
        integer_or_null(!is_open, options->in_flight), "flows", (json_int_t)options->flows, "burst",
        (json_int_t)options->burst, "gso", report->result->gso, "duration_ns",
        (json_int_t)options->duration_ns, "timeout_ns", (json_int_t)options->timeout_ns);
}

int load_write_json(FILE *out, const struct load_report *report)
{
    const struct load_result *result = report->result;
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
    char reason[LIMIT_REASON_BYTES];
    enum limit limit = limit_judge(report->options, result, reason);
    json_t *json = request_json(report), *processes = json_array();

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        json_object_set_new(json, all[i].key, json_integer((json_int_t)all[i].value));
    for (size_t i = 0; i < report->options->pids.count; i++) {
        int64_t cpu_ns = result->pid_cpu_ns[i];
        json_array_append_new(processes,
                              json_pack("{s:I, s:o, s:o}", "pid",
                                        (json_int_t)report->options->pids.items[i], "cpu_ns",
                                        integer_or_null(cpu_ns >= 0, cpu_ns), "cpu_ns_per_answered",
                                        per_answer_json(cpu_ns, result)));
    }
    json_t *results = json_pack(
        "{s:I, s:I, s:I, s:o, s:f, s:f, s:s?, s:o, s:o, s:o, s:I, s:o, s:o, s:b, s:s, s:s}",
        "sending_ns", (json_int_t)result->sending_ns, "window_ns", (json_int_t)result->window_ns,
        "idle_ns", (json_int_t)result->idle_ns, "cpus_idle_ns",
        integer_or_null(result->cpus_idle_ns >= 0, result->cpus_idle_ns), "sent_per_s",
        per_second(counts->sent, result), "answered_per_s", per_second(counts->answered, result),
        "last_send_error", result->last_send_error != 0 ? strerror(result->last_send_error) : NULL,
        "latency_ns", times_json(&result->latency_ns), "round_trip_ns",
        times_json(&result->round_trip_ns), "lag_ns", times_json(&result->lag_ns), "cpu_ns",
        (json_int_t)result->own_cpu_ns, "cpu_ns_per_answered",
        per_answer_json(result->own_cpu_ns, result), "processes", processes, "interrupted",
        result->interrupted, "limit", limit_text(limit), "limit_reason", reason);
    int error = json_object_update(json, results);
    json_decref(results);
    error |= json_dumpf(json, out, JSON_COMPACT);
    json_decref(json);
    fputc('\n', out);
    return error != 0 || ferror(out) ? -1 : 0;
}
