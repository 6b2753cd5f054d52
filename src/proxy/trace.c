/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "net/address.h"
#include "proxy/metrics.h"
#include "proxy/worker.h"

#define REASONS (PORT_MAX_OUTCOMES + PROXY_REFUSED)
#define EXAMPLES 4

/* Players are counted in sets of a few each, of which a new one takes the place of the one with the
 * least, and its count as its possible error ("space saving"): whoever has more than its share of a
 * set is among them. */
#define SETS 256
#define WAYS 8

/* Of datagrams of a session, between two looks. */
#define CAPTURE_BYTES ((size_t)1 << 20)

struct drops {
    uint64_t packets;
    unsigned examples;
    struct example {
        struct endpoint source;
        uint32_t bytes;
    } example[EXAMPLES];
};

struct talker {
    struct endpoint player;
    uint64_t packets, bytes;
    uint64_t error; /* of what they are sorted by: it may be less by that */
};

/* In front of its bytes. */
struct captured {
    struct endpoint from, to;
    int64_t at_ns; /* wall clock */
    uint32_t bytes;
};

struct trace {
    struct service_list wanted;
    int64_t began_ns;
    struct drops drops[2][REASONS]; /* read, written */
    struct talker talkers[SETS][WAYS];
    uint64_t lost; /* datagrams that found no room in captured */
    size_t used;
    uint8_t captured[CAPTURE_BYTES]; /* pages are used as they are needed */
};

void trace_free(struct trace *trace)
{
    free(trace);
}

int64_t trace_began_ns(const struct trace *trace)
{
    return trace->began_ns;
}

static void note_drop(struct drops *drops, const struct packet *packet)
{
    drops->packets++;
    for (unsigned i = 0; i < drops->examples; i++) {
        if (endpoint_equals(&drops->example[i].source, &packet->peer))
            return;
    }
    if (drops->examples < EXAMPLES)
        drops->example[drops->examples++] = (struct example){packet->peer, packet->bytes};
}

static uint64_t weight(const struct trace *trace, const struct talker *talker)
{
    return trace->wanted.order == SERVICE_BY_BYTES ? talker->bytes : talker->packets;
}

/* The hash need not withstand anybody: a full set costs accuracy alone. */
static struct talker *find_talker(struct trace *trace, const struct endpoint *player)
{
    uint64_t words[3], hash = 0;
    memcpy(words, player, sizeof words);
    for (unsigned i = 0; i < 3; i++)
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
    struct talker *set = trace->talkers[hash >> 56], *least = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (endpoint_equals(&set[i].player, player))
            return &set[i];
        if (weight(trace, &set[i]) < weight(trace, least))
            least = &set[i];
    }
    least->error = weight(trace, least);
    least->player = *player;
    return least;
}

void trace_datagram(struct trace *trace, bool is_write, unsigned outcome,
                    const struct packet *packet)
{
    if (trace->wanted.subject == SERVICE_DROPS && outcome != PROXY_FORWARDED)
        note_drop(&trace->drops[is_write][outcome], packet);
    if (trace->wanted.subject == SERVICE_TALKERS && !is_write) {
        struct talker *talker = find_talker(trace, &packet->peer);
        talker->packets++;
        talker->bytes += packet->bytes;
    }
}

void trace_refusal(struct trace *trace, enum proxy_refusal refusal, const struct packet *packet)
{
    if (trace->wanted.subject == SERVICE_DROPS)
        note_drop(&trace->drops[0][PORT_MAX_OUTCOMES + (unsigned)refusal], packet);
}

/* A port of 0 stands for any, a player without an address for all. */
static bool is_like(const struct endpoint *wanted, const struct endpoint *found)
{
    static const struct in6_addr all;
    return (memcmp(&wanted->address, &all, sizeof all) == 0 ||
            memcmp(&wanted->address, &found->address, sizeof all) == 0) &&
           (wanted->port == 0 || wanted->port == found->port);
}

void trace_message(struct trace *trace, bool is_write, const struct session *session,
                   const struct port_message *message)
{
    const struct endpoint *server = session_server_at(session->server);
    if (trace->wanted.subject != SERVICE_CAPTURE ||
        !is_like(&trace->wanted.player, &session->player) ||
        !is_like(&trace->wanted.server, server))
        return;
    struct captured captured = {.from = is_write ? *server : session->player,
                                .to = is_write ? session->player : *server,
                                .at_ns = clock_wall_ns(),
                                .bytes = message->bytes};
    if (trace->used + sizeof captured + message->bytes > CAPTURE_BYTES) {
        trace->lost++;
        return;
    }
    memcpy(trace->captured + trace->used, &captured, sizeof captured);
    memcpy(trace->captured + trace->used + sizeof captured, message->data, message->bytes);
    trace->used += sizeof captured + message->bytes;
}

static json_t *show_endpoint(const struct endpoint *endpoint)
{
    char text[ADDRESS_TEXT_BYTES];
    address_format(&endpoint->address, ntohs(endpoint->port), text);
    return json_string(text);
}

/* Of all workers; the examples are those of the first that have any. */
static json_t *show_drops(struct trace *const *traces, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < 2 * REASONS; i++) {
        bool is_write = i >= REASONS;
        unsigned number = i % REASONS;
        uint64_t packets = 0;
        json_t *examples = json_array();
        for (unsigned worker = 0; worker < count; worker++) {
            const struct drops *drops = &traces[worker]->drops[is_write][number];
            packets += drops->packets;
            for (unsigned j = 0; j < drops->examples && json_array_size(examples) < EXAMPLES; j++)
                json_array_append_new(examples,
                                      json_pack("{s:o, s:I}", "source",
                                                show_endpoint(&drops->example[j].source), "bytes",
                                                (json_int_t)drops->example[j].bytes));
        }
        if (packets == 0) {
            json_decref(examples);
            continue;
        }
        const char *reason =
            number < PORT_MAX_OUTCOMES
                ? proxy_outcome_reason(number)
                : proxy_refusal_reason((enum proxy_refusal)(number - PORT_MAX_OUTCOMES));
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:o}", "event", is_write ? "write" : "read", "reason",
                            reason, "packets", (json_int_t)packets, "examples", examples));
    }
    return list;
}

static int compare_packets(const void *a, const void *b)
{
    uint64_t left = ((const struct talker *)a)->packets,
             right = ((const struct talker *)b)->packets;
    return (left < right) - (left > right);
}

static int compare_bytes(const void *a, const void *b)
{
    uint64_t left = ((const struct talker *)a)->bytes, right = ((const struct talker *)b)->bytes;
    return (left < right) - (left > right);
}

/* A player's datagrams come to one worker. */
static json_t *show_talkers(struct trace *const *traces, unsigned count,
                            const struct service_list *wanted)
{
    size_t all = (size_t)count * SETS * WAYS;
    struct talker *talkers = malloc((all + 1) * sizeof *talkers);
    json_t *list = talkers != NULL ? json_array() : NULL;
    for (unsigned i = 0; i < count && list != NULL; i++)
        memcpy(talkers + (size_t)i * SETS * WAYS, traces[i]->talkers, sizeof traces[i]->talkers);
    if (list != NULL)
        qsort(talkers, all, sizeof *talkers,
              wanted->order == SERVICE_BY_BYTES ? compare_bytes : compare_packets);
    for (size_t i = 0; list != NULL && i < all && i < wanted->limit && talkers[i].packets > 0; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I}", "player", show_endpoint(&talkers[i].player),
                            "packets", (json_int_t)talkers[i].packets, "bytes",
                            (json_int_t)talkers[i].bytes, "error", (json_int_t)talkers[i].error));
    free(talkers);
    return list;
}

static json_t *show_captured(const struct captured *captured, const uint8_t *data)
{
    char *text = malloc(BASE64_TEXT_BYTES(captured->bytes));
    json_t *json = NULL;
    if (text != NULL) {
        base64_encode(data, captured->bytes, text);
        json = json_pack("{s:I, s:o, s:o, s:s}", "at_ns", (json_int_t)captured->at_ns, "from",
                         show_endpoint(&captured->from), "to", show_endpoint(&captured->to), "data",
                         text);
    }
    free(text);
    return json;
}

static json_t *show_packets(struct trace *const *traces, unsigned count, uint64_t *lost)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        struct captured captured;
        *lost += traces[i]->lost;
        for (size_t at = 0; at < traces[i]->used; at += captured.bytes) {
            memcpy(&captured, traces[i]->captured + at, sizeof captured);
            at += sizeof captured;
            json_array_append_new(list, show_captured(&captured, traces[i]->captured + at));
        }
    }
    return list;
}

static bool is_alike(const struct service_list *a, const struct service_list *b)
{
    return a->subject == b->subject && a->order == b->order &&
           endpoint_equals(&a->player, &b->player) && endpoint_equals(&a->server, &b->server);
}

/* Where something else was wanted of the traces nothing was seen, in no time. */
static json_t *show(struct trace *const *traces, unsigned count, const struct service_list *wanted,
                    int64_t now_ns)
{
    uint64_t lost = 0;
    double seconds = 0;
    if (count > 0 && traces[0] != NULL && is_alike(&traces[0]->wanted, wanted))
        seconds = (double)(now_ns - traces[0]->began_ns) / 1e9;
    else
        count = 0; /* it begins now */
    switch (wanted->subject) {
    case SERVICE_DROPS:
        return json_pack("{s:f, s:o}", "seconds", seconds, "drops", show_drops(traces, count));
    case SERVICE_TALKERS:
        return json_pack("{s:f, s:o}", "seconds", seconds, "talkers",
                         show_talkers(traces, count, wanted));
    case SERVICE_CAPTURE: {
        json_t *packets = show_packets(traces, count, &lost);
        return json_pack("{s:f, s:I, s:o}", "seconds", seconds, "lost", (json_int_t)lost, "packets",
                         packets);
    }
    case SERVICE_PEERS:
    case SERVICE_SESSIONS:
        break;
    }
    return NULL;
}

/* What workers have traced, in exchange for what they trace from now on. */
struct exchange {
    struct proxy_worker *const *own;
    struct trace *traces[WORKERS_MAX];
};

static void exchange_trace(struct worker *worker, void *user)
{
    struct exchange *exchange = user;
    struct trace **trace = &exchange->traces[worker->index];
    *trace = proxy_worker_trace(exchange->own[worker->index], *trace);
}

json_t *trace_look(struct workers *workers, struct proxy_worker *const *own,
                   const struct service_list *wanted, int64_t now_ns)
{
    struct exchange exchange = {.own = own};
    unsigned count = workers_count(workers);
    bool is_whole = true;
    json_t *json = NULL;

    for (unsigned i = 0; i < count && is_whole; i++) {
        struct trace *trace = exchange.traces[i] = calloc(1, sizeof *trace);
        is_whole = trace != NULL;
        if (is_whole) {
            trace->wanted = *wanted;
            trace->began_ns = now_ns;
        }
    }
    if (is_whole) {
        workers_call(workers, exchange_trace, &exchange);
        json = show(exchange.traces, count, wanted, now_ns);
    }
    for (unsigned i = 0; i < count; i++)
        trace_free(exchange.traces[i]);
    return json;
}
