/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/chain.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "filters/link.h"

/* One place of a chain. */
struct place {
    struct link link;
    char *label;
    size_t mine; /* where its part is in a worker's memory */
};

/* How long one filter takes with datagrams of one direction. One datagram of a batch is timed, and
 * stands for all of it. */
struct timing {
    struct histogram histogram;
    uint64_t last_ns;
    unsigned pending;
};

struct chain {
    atomic_uint references;
    size_t count;
    struct filter_names names;
    size_t worker_bytes;
    struct place places[CHAIN_MAX_FILTERS];
};

struct chain_worker {
    struct chain *chain;
    struct chain_meter *meter; /* NULL: none */
    struct chain_worker *next; /* of the meter */
    bool is_timed;             /* the next datagram is */
    struct timing *timings;    /* two for each filter */
    size_t last;               /* filters that the last datagram has come to */
    size_t started;            /* filters whose part was made */
    alignas(64) char mine[];
};

struct chain_meter {
    atomic_uint references;
    pthread_mutex_t lock;       /* over the others */
    struct chain_worker *first; /* in use */
    struct filter_totals ended; /* of those that have been freed */
};

static const struct histogram_bounds chain_duration_bounds = {
    .count = 11,
    .in_seconds = true,
    .upper = {0.000125, 0.0003125, 0.00078125, 0.001953125, 0.0048828125, 0.01220703125,
              0.030517578125, 0.0762939453125, 0.19073486328125, 0.476837158203125,
              1.1920928955078125}};

/* A filter as a file has it. */
struct item {
    const struct yaml_node *name, *label, *config;
};

static const struct field item_fields[] = {LINK_NODE(struct item, "name", name, FIELD_REQUIRED),
                                           LINK_NODE(struct item, "label", label, 0),
                                           LINK_NODE(struct item, "config", config, 0),
                                           {0}};

int filter_name(struct filter_names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0)
            return (int)i;
    }
    if (names->count == FILTER_MAX_NAMES || strlen(name) >= FILTER_NAME_BYTES)
        return -ENOSPC;
    snprintf(names->names[names->count], FILTER_NAME_BYTES, "%s", name);
    return (int)names->count++;
}

const char *chain_reason(unsigned number)
{
    return link_reason(number);
}

unsigned chain_reason_number(const char *reason)
{
    unsigned number = 0;
    while (strcmp(link_reason(number), reason) != 0)
        number++;
    return number;
}

/* Reads one filter into the next place. */
static int take_place(struct chain *chain, const struct yaml_node *node, struct field_walk *walk)
{
    struct place *place = &chain->places[chain->count];
    struct item item = {0};
    int error = field_take_map(walk, item_fields, node, &item);
    if (error != 0)
        return error;

    size_t length = link_enter(walk, "label");
    if (link_is_there(item.label) && item.label->type != YAML_TEXT)
        return field_fail(walk, item.label, "a text", true);
    field_leave(walk, length);

    chain->count++;
    place->label = link_is_there(item.label) ? strdup(item.label->text) : NULL;
    if (link_is_there(item.label) && place->label == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    const struct link_nodes nodes = {node, item.name, item.config};
    error = link_take(&place->link, &nodes, walk);
    if (error != 0)
        return error;
    place->mine = chain->worker_bytes;
    chain->worker_bytes += link_worker_bytes(&place->link);
    return 0;
}

int chain_take(struct chain **chain, const struct yaml_node *list, struct field_walk *walk)
{
    size_t index = 0;
    int error = 0;
    if (list->type != YAML_LIST)
        return field_fail(walk, list, "a list of filters", false);
    struct chain *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");

    void *user = walk->user;
    walk->user = &made->names;
    atomic_init(&made->references, 1);
    for (const struct yaml_node *item = list->first; item != NULL && error == 0;
         item = item->next) {
        size_t length = field_enter(walk, index++);
        error = made->count < CHAIN_MAX_FILTERS
                    ? take_place(made, item, walk)
                    : field_fail(walk, item, "at most 64 filters", false);
        if (error == 0)
            field_leave(walk, length);
    }
    walk->user = user;
    if (error != 0) {
        chain_unref(made);
        return error;
    }
    *chain = made;
    return 0;
}

int chain_from_json(struct chain **chain, json_t *list, struct error *error)
{
    char *text = list != NULL ? json_dumps(list, JSON_COMPACT) : strdup("[]");
    struct yaml_document document = {0};
    struct field_walk walk = {.error = error, .path = "filters"};
    if (text == NULL)
        return error_set(error, -ENOMEM, "out of memory");
    int code = yaml_parse(text, strlen(text), &document, error);
    if (code == 0)
        code = chain_take(chain, document.root, &walk);
    yaml_fini(&document);
    free(text);
    return code;
}

struct chain *chain_ref(struct chain *chain)
{
    atomic_fetch_add_explicit(&chain->references, 1, memory_order_relaxed);
    return chain;
}

void chain_unref(struct chain *chain)
{
    if (chain == NULL ||
        atomic_fetch_sub_explicit(&chain->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < chain->count; i++) {
        link_fini(&chain->places[i].link);
        free(chain->places[i].label);
    }
    free(chain);
}

json_t *chain_show(const struct chain *chain)
{
    json_t *list = json_array();
    for (size_t i = 0; chain != NULL && i < chain->count && list != NULL; i++) {
        const struct place *place = &chain->places[i];
        json_t *item = json_pack("{s:s, s:s?, s:o}", "name", place->link.ops->id, "label",
                                 place->label, "config", link_show(&place->link));
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

struct chain_meter *chain_meter_new(void)
{
    struct chain_meter *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return NULL;
    atomic_init(&meter->references, 1);
    pthread_mutex_init(&meter->lock, NULL);
    return meter;
}

void chain_meter_unref(struct chain_meter *meter)
{
    if (meter == NULL ||
        atomic_fetch_sub_explicit(&meter->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&meter->lock);
    free(meter->ended.latencies);
    free(meter);
}

static size_t kind_number(const struct filter_ops *ops)
{
    size_t number = 0;
    while (filter_list[number] != ops)
        number++;
    return number;
}

static void collect(const struct chain_worker *worker, struct filter_totals *totals)
{
    const struct chain *chain = worker->chain;
    for (size_t i = 0; i < chain->count; i++) {
        const struct link *link = &chain->places[i].link;
        for (size_t side = 0; side < 2; side++)
            histogram_add(&totals->durations[kind_number(link->ops)][side],
                          &worker->timings[2 * i + side].histogram);
        link_collect(link, worker->mine + chain->places[i].mine, totals);
    }
}

struct chain_worker *chain_worker_new(struct chain *chain, struct chain_meter *meter,
                                      unsigned worker)
{
    size_t bytes = (sizeof(struct chain_worker) + chain->worker_bytes + 63) / 64 * 64;
    struct chain_worker *made = aligned_alloc(64, bytes);
    if (made == NULL)
        return NULL;
    memset(made, 0, bytes);
    made->chain = chain_ref(chain);
    made->timings = calloc(2 * chain->count + 1, sizeof *made->timings);
    int error = made->timings == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < chain->count && error == 0; i++) {
        const struct place *place = &chain->places[i];
        made->started++;
        error = link_start(&place->link, made->mine + place->mine, worker);
        histogram_init(&made->timings[2 * i].histogram, &chain_duration_bounds);
        histogram_init(&made->timings[2 * i + 1].histogram, &chain_duration_bounds);
    }
    if (error != 0) {
        chain_worker_free(made);
        return NULL;
    }
    if (meter != NULL) {
        pthread_mutex_lock(&meter->lock);
        atomic_fetch_add_explicit(&meter->references, 1, memory_order_relaxed);
        made->meter = meter;
        made->next = meter->first;
        meter->first = made;
        pthread_mutex_unlock(&meter->lock);
    }
    return made;
}

void chain_worker_free(struct chain_worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->meter != NULL) {
        struct chain_worker **place = &worker->meter->first;
        pthread_mutex_lock(&worker->meter->lock);
        while (*place != worker)
            place = &(*place)->next;
        *place = worker->next;
        collect(worker, &worker->meter->ended);
        pthread_mutex_unlock(&worker->meter->lock);
        chain_meter_unref(worker->meter);
    }
    for (size_t i = 0; i < worker->started; i++) {
        const struct place *place = &worker->chain->places[i];
        link_stop(&place->link, worker->mine + place->mine);
    }
    chain_unref(worker->chain);
    free(worker->timings);
    free(worker);
}

void chain_worker_report(struct chain_worker *worker, struct log *log)
{
    for (size_t i = 0; i < worker->chain->count; i++) {
        const struct place *place = &worker->chain->places[i];
        link_report(&place->link, worker->mine + place->mine, log);
    }
}

void chain_begin(struct chain_worker *worker)
{
    worker->is_timed = true;
}

void chain_end(struct chain_worker *worker)
{
    for (size_t i = 0; i < 2 * worker->chain->count; i++) {
        struct timing *timing = &worker->timings[i];
        if (timing->pending == 0)
            continue;
        struct histogram *histogram = &timing->histogram;
        counter_add(&histogram->buckets[histogram_bucket(histogram, timing->last_ns)],
                    timing->pending);
        counter_add(&histogram->sum, timing->last_ns * timing->pending);
        timing->pending = 0;
    }
}

/* Runs one filter, with its time taken where it is the batch's first datagram. */
static enum filter_result run(struct chain_worker *worker, size_t i, bool is_write,
                              struct filter_call *call)
{
    const struct place *place = &worker->chain->places[i];
    struct timing *timing = &worker->timings[2 * i + is_write];
    void *mine = worker->mine + place->mine;
    int64_t began_ns = worker->is_timed ? clock_monotonic_ns() : 0;
    enum filter_result result =
        is_write ? link_write(&place->link, mine, call) : link_read(&place->link, mine, call);
    timing->pending++;
    if (worker->is_timed) {
        int64_t took_ns = clock_monotonic_ns() - began_ns;
        timing->last_ns = took_ns > 0 ? (uint64_t)took_ns : 0;
    }
    return result;
}

static void begin_datagram(const struct chain *chain, struct filter_call *call)
{
    for (size_t i = 0; i < chain->names.count; i++)
        call->metadata[i].kind = METADATA_NONE;
    call->is_chosen = call->is_reason_whole = false;
    call->token = NULL;
    call->scratch_bytes = 0;
    call->floor = call->packet->data - PACKET_ROOM;
    call->ceiling = call->packet->data + call->packet->bytes + PACKET_ROOM;
}

enum filter_result chain_read(struct chain_worker *worker, struct filter_call *call,
                              unsigned *reason)
{
    enum filter_result result = FILTER_NEXT;
    size_t count = worker->chain->count;
    begin_datagram(worker->chain, call);
    size_t i = 0;
    while (i < count && result == FILTER_NEXT)
        result = run(worker, i++, false, call);
    worker->last = i;
    worker->is_timed = false;
    *reason = call->reason;
    return result;
}

enum filter_result chain_write(struct chain_worker *worker, struct filter_call *call,
                               unsigned *reason)
{
    enum filter_result result = FILTER_NEXT;
    begin_datagram(worker->chain, call);
    for (size_t i = worker->chain->count; i-- > 0 && result == FILTER_NEXT;)
        result = run(worker, i, true, call);
    worker->is_timed = false;
    *reason = call->reason;
    return result;
}

size_t chain_last(const struct chain_worker *worker)
{
    return worker->last;
}

const struct chain *chain_of(const struct chain_worker *worker)
{
    return worker->chain;
}

const char *chain_filter_name(const struct chain *chain, size_t index)
{
    return index < chain->count ? chain->places[index].link.ops->id : NULL;
}

const char *chain_repeats(const struct chain *chain, struct filter_repeat *repeat)
{
    *repeat = (struct filter_repeat){0};
    for (size_t i = 0; i < chain->count; i++) {
        if (!link_repeats(&chain->places[i].link, repeat))
            return chain->places[i].link.ops->id;
    }
    return NULL;
}

struct filter_allowance *chain_allowance(struct chain_worker *worker, const struct endpoint *source)
{
    for (size_t i = 0; i < worker->chain->count; i++) {
        const struct place *place = &worker->chain->places[i];
        if (place->link.ops->allowance != NULL)
            return place->link.ops->allowance(place->link.filter, worker->mine + place->mine,
                                              source);
    }
    return NULL;
}

const char *chain_filter_id(size_t index)
{
    for (size_t i = 0; filter_list[i] != NULL; i++) {
        if (i == index)
            return filter_list[i]->id;
    }
    return NULL;
}

json_t *chain_filter_schema(const char *id)
{
    unsigned first;
    const struct filter_ops *ops = link_kind(id, &first);
    return ops != NULL ? link_schema(ops) : NULL;
}

json_t *chain_schema(void)
{
    return json_pack("{s:s, s:i, s:{s:o}}", "type", "array", "maxItems", CHAIN_MAX_FILTERS, "items",
                     "anyOf", link_schemas(true));
}

static const char *const EVENTS[2] = {"read", "write"};

static void write_durations(struct metrics *out, const struct filter_totals *totals)
{
    static const char *const names[2] = {"quilkin_filter_read_duration_seconds",
                                         "quilkin_filter_write_duration_seconds"};
    static const char *const helps[2] = {"How long filters took with players' datagrams.",
                                         "How long filters took with servers' datagrams."};
    for (size_t side = 0; side < 2; side++) {
        metrics_family(out, names[side], METRICS_HISTOGRAM, "seconds", helps[side]);
        for (size_t i = 0; filter_list[i] != NULL; i++)
            metrics_histogram(out, &chain_duration_bounds, &totals->durations[i][side], "filter",
                              filter_list[i]->id, NULL);
    }
}

void chain_meter_write(struct chain_meter *meter, struct metrics *out)
{
    static const char id[] = "quilkin.filters.match.v1alpha1.Match";
    static const char timestamp[] = "quilkin.filters.timestamp.v1alpha1.Timestamp";
    struct filter_totals totals;

    pthread_mutex_lock(&meter->lock);
    totals = meter->ended;
    totals.latencies = NULL;
    totals.latencies_count = 0;
    for (size_t i = 0; i < meter->ended.latencies_count; i++) {
        const struct filter_latency *ended = &meter->ended.latencies[i];
        struct filter_latency *latency = filter_latency(&totals, ended->name);
        if (latency != NULL)
            *latency = *ended;
    }
    for (const struct chain_worker *worker = meter->first; worker != NULL; worker = worker->next)
        collect(worker, &totals);
    pthread_mutex_unlock(&meter->lock);

    write_durations(out, &totals);
    metrics_family(out, "quilkin_filter_int_counter", METRICS_NAMED_COUNTER, NULL,
                   "What filters have counted.");
    for (size_t side = 0; side < 2; side++) {
        metrics_sample(out, totals.matched[side], "id", id, "label", "packets_matched_total",
                       "help",
                       "Total number of packets where the dynamic metadata matches a branch value",
                       "event", EVENTS[side], NULL);
        metrics_sample(
            out, totals.fallen[side], "id", id, "label", "packets_fallthrough_total", "help",
            "Total number of packets that are processed by the fallthrough configuration", "event",
            EVENTS[side], NULL);
    }
    metrics_family(out, "filter_histogram", METRICS_HISTOGRAM, NULL, "What filters have measured.");
    for (size_t i = 0; i < totals.latencies_count; i++) {
        for (size_t side = 0; side < 2; side++)
            metrics_histogram(out, &filter_latency_bounds, &totals.latencies[i].sum[side], "event",
                              EVENTS[side], "help", "Time from the timestamp in metadata to now",
                              "id", timestamp, "label", "duration", "shared_metadata_1",
                              totals.latencies[i].name, NULL);
    }
    free(totals.latencies);
}
