/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session_log.h"

#include <errno.h>
#include <stdio.h>

#include "base/ring.h"
#include "metrics/counter.h"
#include "net/address.h"

/* Sessions of one worker that wait for their lines. */
#define WAITING 4096

#define MS_NS INT64_C(1000000)

struct line {
    struct endpoint player, server, local;
    struct session_count read, written;
    int64_t began_ns, last_ns;
    uint32_t migrations;
    struct geo_place place;
    uint16_t number;
    enum session_end end;
};

struct session_log {
    struct counter lost;
    unsigned workers, next; /* the worker whose line is the next one */
    struct ring rings[];
};

int session_log_new(struct session_log **made, unsigned workers)
{
    struct session_log *lines = calloc(1, sizeof *lines + workers * sizeof lines->rings[0]);
    int code = lines != NULL ? 0 : -ENOMEM;
    for (unsigned i = 0; i < workers && code == 0; i++) {
        lines->workers = i + 1;
        code = ring_init(&lines->rings[i], WAITING, sizeof(struct line));
    }
    if (code != 0)
        session_log_free(lines);
    else
        *made = lines;
    return code;
}

void session_log_free(struct session_log *lines)
{
    for (unsigned i = 0; lines != NULL && i < lines->workers; i++)
        ring_fini(&lines->rings[i]);
    free(lines);
}

void session_log_note(struct session_log *lines, unsigned worker, const struct session *session,
                      struct geo_place place, enum session_end end)
{
    struct line *line = ring_reserve(&lines->rings[worker]);
    if (line == NULL)
        return;
    *line = (struct line){.player = session->player,
                          .server = *session_server_at(session->server),
                          .local = session->local,
                          .read = session->read,
                          .written = session->written,
                          .began_ns = session->began_ns,
                          .last_ns = session->last_ns,
                          .migrations = session->migrations,
                          .place = place,
                          .number = session->number,
                          .end = end};
    ring_commit(&lines->rings[worker]);
}

static void write_line(const struct line *line, struct log *log)
{
    char player[ADDRESS_TEXT_BYTES], server[ADDRESS_TEXT_BYTES], local[ADDRESS_TEXT_BYTES];
    char country[sizeof line->place.country + 1];
    int64_t length_ns = line->last_ns > line->began_ns ? line->last_ns - line->began_ns : 0;

    snprintf(country, sizeof country, "%.2s", line->place.country);
    address_format(&line->player.address, ntohs(line->player.port), player);
    address_format(&line->server.address, ntohs(line->server.port), server);
    address_format(&line->local.address, ntohs(line->local.port), local);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "udp session ended"),
              log_text("reason", session_end_name(line->end)), log_text("player", player),
              log_text("local", local), log_text("server", server),
              log_uint("upstream_port", line->number), log_uint("migrations", line->migrations),
              log_uint("duration_ms", (uint64_t)(length_ns / MS_NS)),
              log_uint("read_packets", line->read.packets),
              log_uint("read_bytes", line->read.bytes),
              log_uint("write_packets", line->written.packets),
              log_uint("write_bytes", line->written.bytes), log_text("country", country),
              log_uint("asn", line->place.asn));
}

/* A worker with many lines keeps none of the others' waiting. */
void session_log_write(struct session_log *lines, struct log *log, uint32_t most)
{
    uint64_t lost = 0;
    for (unsigned empty = 0; most > 0 && empty < lines->workers;) {
        struct ring *ring = &lines->rings[lines->next++ % lines->workers];
        const struct line *line = ring_peek(ring);
        empty = line == NULL ? empty + 1 : 0;
        if (line == NULL)
            continue;
        write_line(line, log);
        ring_release(ring);
        most--;
    }
    for (unsigned i = 0; i < lines->workers; i++)
        lost += ring_take_lost(&lines->rings[i]);
    if (lost == 0)
        return;
    counter_add(&lines->lost, lost);
    LOG_EVENT(log, LOG_LEVEL_WARN,
              log_text("message", "more udp sessions ended than the log may have lines"),
              log_uint("lost", lost));
}

void session_log_end(struct session_log *lines, struct log *log)
{
    for (unsigned i = 0; i < lines->workers; i++) {
        struct ring *ring = &lines->rings[i];
        for (; ring_peek(ring) != NULL; ring_release(ring))
            atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
    }
    session_log_write(lines, log, 0);
}

uint64_t session_log_lost(const struct session_log *lines)
{
    return counter_read(&lines->lost);
}
