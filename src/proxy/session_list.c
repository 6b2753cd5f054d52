/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session_list.h"

#include <stdlib.h>

#include "net/address.h"

/* What a row has, and what it is sorted by. */
struct row {
    int64_t key; /* higher ones come first */
    unsigned worker;
    struct endpoint player, server;
    struct session_count read, written;
    int64_t began_ns, last_ns, answered_ns;
    uint32_t migrations;
    struct geo_place place;
    uint16_t number;
};

/* The rows of one worker: a heap whose root has the lowest key. */
struct heap {
    struct row *rows;
    size_t count, most;
    uint64_t total;
    enum service_order order;
    unsigned worker;
};

struct lists {
    struct proxy_worker *const *own;
    struct heap *heaps; /* one a worker */
};

static int64_t key_of(const struct session *session, enum service_order order)
{
    switch (order) {
    case SERVICE_BY_IDLE:
        return session->last_ns;
    case SERVICE_BY_AGE:
        return -session->began_ns;
    case SERVICE_BY_PACKETS:
        return (int64_t)(session->read.packets + session->written.packets);
    case SERVICE_BY_BYTES:
        return (int64_t)(session->read.bytes + session->written.bytes);
    }
    return 0;
}

static void swap(struct row *a, struct row *b)
{
    struct row kept = *a;
    *a = *b;
    *b = kept;
}

static void sink(struct heap *heap)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < heap->count; i = child) {
        if (child + 1 < heap->count && heap->rows[child + 1].key < heap->rows[child].key)
            child++;
        if (heap->rows[i].key <= heap->rows[child].key)
            break;
        swap(&heap->rows[i], &heap->rows[child]);
    }
}

static void add(const struct session *session, void *user)
{
    struct heap *heap = user;
    int64_t key = key_of(session, heap->order);
    heap->total++;
    if (heap->most == 0 || (heap->count == heap->most && key <= heap->rows[0].key))
        return;
    size_t i = heap->count < heap->most ? heap->count++ : 0;
    heap->rows[i] = (struct row){.key = key,
                                 .worker = heap->worker,
                                 .player = session->player,
                                 .server = *session_server_at(session->server),
                                 .read = session->read,
                                 .written = session->written,
                                 .began_ns = session->began_ns,
                                 .last_ns = session->last_ns,
                                 .answered_ns = session->answered_ns,
                                 .migrations = session->migrations,
                                 .number = session->number};
    if (i == 0) {
        sink(heap);
        return;
    }
    for (; i > 0 && heap->rows[i].key < heap->rows[(i - 1) / 2].key; i = (i - 1) / 2)
        swap(&heap->rows[i], &heap->rows[(i - 1) / 2]);
}

static void collect(struct worker *worker, void *user)
{
    struct lists *lists = user;
    struct proxy_worker *own = lists->own[worker->index];
    struct heap *heap = &lists->heaps[worker->index];
    sessions_each(proxy_worker_sessions(own), add, heap);
    for (size_t i = 0; i < heap->count; i++)
        heap->rows[i].place = proxy_worker_place(own, &heap->rows[i].player.address);
}

static int compare(const void *a, const void *b)
{
    int64_t left = ((const struct row *)a)->key, right = ((const struct row *)b)->key;
    return (left < right) - (left > right);
}

static json_t *show_count(const struct session_count *count)
{
    return json_pack("{s:I, s:I}", "packets", (json_int_t)count->packets, "bytes",
                     (json_int_t)count->bytes);
}

static json_t *show_row(const struct row *row, int64_t now_ns)
{
    char player[ADDRESS_TEXT_BYTES], server[ADDRESS_TEXT_BYTES];
    address_format(&row->player.address, ntohs(row->player.port), player);
    address_format(&row->server.address, ntohs(row->server.port), server);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:o, s:o, s:s, s:I, s:s#, s:I, s:i, s:i}", "player", player, "server",
        server, "age_ms", (json_int_t)((now_ns - row->began_ns) / 1000000), "idle_ms",
        (json_int_t)((now_ns - row->last_ns) / 1000000), "read", show_count(&row->read), "write",
        show_count(&row->written), "state", row->answered_ns != 0 ? "answered" : "waiting",
        "migrations", (json_int_t)row->migrations, "country", row->place.country,
        row->place.country[0] != '\0' ? 2 : 0, "asn", (json_int_t)row->place.asn, "upstream_port",
        (int)row->number, "worker", (int)row->worker);
}

json_t *session_list(struct workers *workers, struct proxy_worker *const *own,
                     const struct service_list *wanted, int64_t now_ns)
{
    unsigned count = workers_count(workers);
    size_t most = wanted->limit, used = 0;
    struct heap *heaps = calloc(count, sizeof *heaps);
    struct row *rows = malloc((count * most + 1) * sizeof *rows);
    json_t *list = NULL;
    uint64_t total = 0;

    if (heaps == NULL || rows == NULL)
        goto out;
    for (unsigned i = 0; i < count; i++)
        heaps[i] = (struct heap){
            .rows = rows + i * most, .most = most, .order = wanted->order, .worker = i};
    workers_call(workers, collect, &(struct lists){own, heaps});
    for (unsigned i = 0; i < count; i++) {
        total += heaps[i].total;
        for (size_t j = 0; j < heaps[i].count; j++)
            rows[used++] = heaps[i].rows[j];
    }
    qsort(rows, used, sizeof *rows, compare);
    list = json_array();
    for (size_t i = 0; i < used && i < most; i++)
        json_array_append_new(list, show_row(&rows[i], now_ns));
    list = json_pack("{s:I, s:o}", "total", (json_int_t)total, "sessions", list);
out:
    free(heaps);
    free(rows);
    return list;
}
