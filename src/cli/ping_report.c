/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ping_report.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/text.h"

#define TEXT_BYTES 160
#define SHOWN_BYTES 512

bool ping_summarise(const struct ping_target *target, bool raw, struct stats_summary *summary)
{
    if (target->received == 0)
        return false;
    int64_t *times_ns = calloc(target->received, sizeof *times_ns);
    if (times_ns == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < target->sent; i++) {
        const struct qcmp_sample *sample = &target->pings[i].sample;
        if (target->pings[i].status == PING_OK)
            times_ns[count++] = raw ? sample->raw_rtt_ns : sample->rtt_ns;
    }
    stats_summarise(times_ns, count, summary);
    free(times_ns);
    return true;
}

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static const char *stamps_text(const struct ping *ping)
{
    if (ping->clock_stepped)
        return ", the clock was set meanwhile";
    if (ping->transmit_source == QCMP_STAMP_KERNEL && ping->receive_source == QCMP_STAMP_KERNEL)
        return "";
    return ", stamped in user space";
}

static void print_answer(FILE *out, const struct ping *ping)
{
    const struct qcmp_sample *sample = &ping->sample;
    fprintf(out, "%.3f ms", to_ms(sample->rtt_ns));
    if (sample->suspect == QCMP_SUSPECT_NOTHING)
        fprintf(out, "  (raw %.3f ms, held %.3f ms%s)\n", to_ms(sample->raw_rtt_ns),
                to_ms(sample->hold_ns), stamps_text(ping));
    else if (sample->known & QCMP_SAMPLE_HOLD)
        fprintf(out, "  (raw: the server says it held the ping for %.3f ms%s)\n",
                to_ms(sample->hold_ns), stamps_text(ping));
    else
        fprintf(out, "  (raw: the server's times make no sense%s)\n", stamps_text(ping));
}

/* Writes why a ping has no answer. */
static void format_failure(const struct ping_run *run, const struct ping *ping,
                           char text[TEXT_BYTES])
{
    char timeout[DURATION_TEXT_BYTES];

    if (ping->status == PING_ERROR) {
        qcmp_error_format(ping->error, text, TEXT_BYTES);
        return;
    }
    duration_format(run->timeout_ns, timeout, sizeof timeout);
    snprintf(text, TEXT_BYTES, "no answer in %s", timeout);
}

void ping_print_ended(FILE *out, const struct ping_run *run, const struct ping *ping, size_t seq)
{
    char text[TEXT_BYTES];

    fprintf(out, "%s  %zu  ", ping->target->endpoint_text, seq);
    if (ping->status == PING_OK) {
        print_answer(out, ping);
        return;
    }
    format_failure(run, ping, text);
    fprintf(out, "%s\n", text);
}

void ping_print_moved(FILE *out, const struct ping_run *run, const struct ping *ping,
                      const char *address)
{
    char text[TEXT_BYTES];

    format_failure(run, ping, text);
    fprintf(out, "%s  %s; trying %s\n", address, text, ping->target->endpoint_text);
}

static const char *reason_text(enum qcmp_probe_reason reason)
{
    switch (reason) {
    case QCMP_REJECT_FOREIGN:
        return "not QCMP";
    case QCMP_REJECT_MALFORMED:
        return "malformed QCMP";
    case QCMP_REJECT_NOT_PONG:
        return "a ping, not a pong";
    case QCMP_REJECT_UNASKED:
        return "no such ping was sent there";
    case QCMP_REJECT_TIMESTAMP:
        return "wrong client timestamp";
    case QCMP_REJECT_NONE:
        break;
    }
    return "";
}

void ping_print_noticed(FILE *out, const struct qcmp_client_event *event)
{
    char peer[TEXT_BYTES];
    qcmp_endpoint_format(&event->peer, peer, sizeof peer);
    if (event->kind == QCMP_CLIENT_LATE)
        fprintf(out, "%s  a late answer\n", peer);
    else if (event->kind == QCMP_CLIENT_DUPLICATE)
        fprintf(out, "%s  a duplicate answer\n", peer);
    else
        fprintf(out, "%s  rejected: %s\n", peer, reason_text(event->reason));
}

/* The offset of the target's clock: the estimate with the least error bound. */
static bool best_offset(const struct ping_target *target, int64_t *offset_ns, int64_t *bound_ns)
{
    bool found = false;
    for (size_t i = 0; i < target->sent; i++) {
        int64_t offset, bound;
        if (target->pings[i].status != PING_OK ||
            target->pings[i].sample.suspect != QCMP_SUSPECT_NOTHING ||
            qcmp_times_offset(&target->pings[i].times, &offset, &bound) != 0 ||
            (found && bound >= *bound_ns))
            continue;
        *offset_ns = offset;
        *bound_ns = bound;
        found = true;
    }
    return found;
}

void ping_print_summary(FILE *out, const struct ping_target *target)
{
    struct stats_summary rtt;
    int64_t offset_ns, bound_ns;
    char shown[SHOWN_BYTES];

    text_escape(target->text, shown, sizeof shown);
    if (target->error != NULL) {
        fprintf(out, "\n%s: %s\n", shown, target->error);
        return;
    }
    size_t lost = target->ended - target->received;
    double lost_percent = target->ended != 0 ? 100.0 * (double)lost / (double)target->ended : 0.0;
    fprintf(out, "\n%s (%s)\n", shown, target->endpoint_text);
    fprintf(out, "  %zu sent, %zu received, %zu lost (%.3g %%)", target->ended, target->received,
            lost, lost_percent);
    if (target->late != 0)
        fprintf(out, ", %zu late", target->late);
    if (target->duplicates != 0)
        fprintf(out, ", %zu duplicate", target->duplicates);
    if (target->rejected != 0)
        fprintf(out, ", %zu rejected", target->rejected);
    fputc('\n', out);
    if (ping_summarise(target, false, &rtt))
        fprintf(out, "  round trip: min %.3f, median %.3f, mean %.3f, max %.3f ms\n",
                to_ms(rtt.min), to_ms(rtt.median), to_ms(rtt.mean), to_ms(rtt.max));
    if (best_offset(target, &offset_ns, &bound_ns))
        fprintf(out, "  its clock minus ours: %+.3f ms, within %.3f ms\n", to_ms(offset_ns),
                to_ms(bound_ns));
}

static json_t *integer_or_null(bool known, int64_t value)
{
    return known ? json_integer(value) : json_null();
}

static const char *source_text(enum qcmp_stamp_source source)
{
    return source == QCMP_STAMP_KERNEL ? "kernel" : "user";
}

static json_t *ping_json(const struct ping *ping, size_t seq)
{
    const struct qcmp_sample *sample = &ping->sample;
    bool ok = ping->status == PING_OK;
    const char *status = ok ? "ok" : ping->status == PING_TIMEOUT ? "timeout" : "error";
    char error[TEXT_BYTES];

    qcmp_error_format(ping->error, error, sizeof error);
    return json_pack(
        "{s:I, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?, s:s?, s:b}", "seq",
        (json_int_t)seq, "status", status, "error", ping->error != 0 ? error : NULL, "nonce",
        integer_or_null(ping->nonce >= 0, ping->nonce), "rtt_ns",
        integer_or_null(ok, sample->rtt_ns), "raw_rtt_ns", integer_or_null(ok, sample->raw_rtt_ns),
        "hold_ns", integer_or_null(ok && (sample->known & QCMP_SAMPLE_HOLD), sample->hold_ns),
        "incoming_ns",
        integer_or_null(ok && (sample->known & QCMP_SAMPLE_INCOMING), sample->incoming_ns),
        "outgoing_ns",
        integer_or_null(ok && (sample->known & QCMP_SAMPLE_OUTGOING), sample->outgoing_ns),
        "suspect", ok && sample->suspect == QCMP_SUSPECT_HOLD ? "hold" : NULL, "transmit_stamp",
        ok ? source_text(ping->transmit_source) : NULL, "receive_stamp",
        ok ? source_text(ping->receive_source) : NULL, "clock_stepped", ping->clock_stepped);
}

static json_t *summary_json(const struct ping_target *target, bool raw)
{
    struct stats_summary summary = {0};
    bool known = ping_summarise(target, raw, &summary);
    return json_pack("{s:o, s:o, s:o, s:o}", "min", integer_or_null(known, summary.min), "median",
                     integer_or_null(known, summary.median), "mean",
                     integer_or_null(known, summary.mean), "max",
                     integer_or_null(known, summary.max));
}

/* Writes and frees; NULL, where memory ran out, is an error as any other. */
static int write_json(FILE *out, json_t *json, size_t flags)
{
    int result = json_dumpf(json, out, JSON_COMPACT | flags);
    json_decref(json);
    return result;
}

/* The outermost levels by hand: as one tree, a run of many pings takes two kilobytes for each. */
int ping_write_json(FILE *out, const struct ping_run *run)
{
    fputs("{\"targets\":[", out);
    for (size_t i = 0; i < run->targets_count; i++) {
        const struct ping_target *target = &run->targets[i];
        bool known = target->error == NULL;
        const char *separator = "";
        json_t *json = json_pack(
            "{s:o, s:s?, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "target",
            text_to_json(target->text), "address", known ? target->endpoint_text : NULL, "error",
            target->error, "sent", (json_int_t)target->ended, "received",
            (json_int_t)target->received, "lost", (json_int_t)(target->ended - target->received),
            "late", (json_int_t)target->late, "duplicates", (json_int_t)target->duplicates,
            "rejected", (json_int_t)target->rejected, "rtt_ns", summary_json(target, false),
            "raw_rtt_ns", summary_json(target, true));
        fputs(i > 0 ? ",{" : "{", out);
        if (write_json(out, json, JSON_EMBED) != 0)
            return -1;
        fputs(",\"pings\":[", out);
        for (size_t j = 0; j < target->sent; j++) {
            if (target->pings[j].status == PING_UNSENT)
                continue;
            fputs(separator, out);
            separator = ",";
            if (write_json(out, ping_json(&target->pings[j], j + 1), 0) != 0)
                return -1;
        }
        fputs("]}", out);
    }
    fputs("],", out);
    json_t *rest =
        json_pack("{s:I, s:I, s:b}", "rejected_elsewhere", (json_int_t)run->rejected_elsewhere,
                  "socket_errors", (json_int_t)run->socket_errors, "interrupted", run->interrupted);
    if (write_json(out, rest, JSON_EMBED) != 0)
        return -1;
    fputs("}\n", out);
    return ferror(out) ? -1 : 0;
}
