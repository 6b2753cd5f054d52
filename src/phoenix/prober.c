/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/prober.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <qcmp/client.h>

#include "base/clock.h"
#include "catalog/names.h"
#include "net/address.h"

#define MS_NS INT64_C(1000000)

/* The nodes are looked at no more often, however many are due. */
#define GRAIN_NS (5 * MS_NS)
/* What is told is worked out no more often. */
#define EVALUATE_NS (250 * MS_NS)
/* When to try again where a ping has no room. */
#define RETRY_NS (50 * MS_NS)

/* Pings in flight. Nodes that are dead take one each for the whole time-out, so this is more than
 * there are nodes. */
#define SLOTS 8192
#define EVENTS 64
/* Reads in one turn of the loop, so that a flood does not keep the thread from all else. */
#define READS 16

struct prober {
    struct prober_options options;
    struct qcmp_client *client;
    struct names *names;
    struct loop_watch watch;
    struct loop_timer timer;
    unsigned short random[3];
    bool is_started, is_round_over;
    bool is_stale;   /* something has come since the last evaluation */
    bool is_changed; /* whatever the evaluation says */
    int64_t started_ns, evaluate_ns;
    int64_t turn_ns;      /* when the timer fires */
    pthread_mutex_t lock; /* over the rest, which only the control thread changes */
    struct nodes nodes;
    uint64_t others[PROBER_OTHERS];
};

static uint32_t draw(struct prober *prober)
{
    return (uint32_t)jrand48(prober->random);
}

static void log_node(struct prober *prober, enum log_level level, const char *message,
                     const struct node *node)
{
    LOG_EVENT(prober->options.log, level, log_text("message", message),
              log_text("address", node->named.address), log_uint("port", node->named.qcmp_port),
              log_text("icao_code", node->named.icao_code));
}

static void note_end(struct prober *prober, struct node *node)
{
    node->ping = 0;
    node->has_ended_one = true;
    prober->is_stale = true;
}

/* Each address of a name has one ping before the first has another, at the pace of one node. */
static void try_next_address(struct prober *prober, struct node *node)
{
    names_refuse(prober->names, node->name, &node->at);
    names_find(prober->names, node->name, &node->at);
}

static void note_loss(struct prober *prober, struct node *node)
{
    note_end(prober, node);
    node->site->errors++;
    window_lose(&node->window);
    if (node->window.lost_running == WINDOW_DOWN)
        log_node(prober, LOG_LEVEL_WARN, "a data centre does not answer", node);
    if (node->name[0] != '\0' && !window_is_known(&node->window))
        try_next_address(prober, node);
    node->due_ns = clock_monotonic_ns() + pace_after_loss(&node->pace, &prober->options.bounds,
                                                          node->window.lost_running, draw(prober));
}

static void note_answer(struct prober *prober, struct node *node, const struct qcmp_sample *sample)
{
    int64_t now_ns = clock_monotonic_ns();
    const struct window_sample taken = {.at_ns = now_ns,
                                        .rtt_ns = sample->rtt_ns,
                                        .incoming_ns = sample->incoming_ns,
                                        .outgoing_ns = sample->outgoing_ns};

    if (node->window.lost_running >= WINDOW_DOWN)
        log_node(prober, LOG_LEVEL_INFO, "a data centre answers again", node);
    note_end(prober, node);
    node->answered++;
    uint64_t rtt_ns = (uint64_t)sample->rtt_ns;
    histogram_record(&node->site->one_way_ns[0], rtt_ns / 2);
    histogram_record(&node->site->one_way_ns[1], rtt_ns - rtt_ns / 2);
    enum window_news news = window_add(&node->window, &taken);
    node->due_ns =
        now_ns + pace_after_answer(&node->pace, &prober->options.bounds, news, draw(prober));
}

static void take_event(struct prober *prober, const struct qcmp_client_event *event)
{
    struct node *node = event->user;

    switch (event->kind) {
    case QCMP_CLIENT_ANSWERED:
        if (event->sample.suspect == QCMP_SUSPECT_NOTHING) {
            note_answer(prober, node, &event->sample);
            return;
        }
        node->implausible++;
        note_loss(prober, node);
        return;
    case QCMP_CLIENT_TIMED_OUT:
    case QCMP_CLIENT_FAILED:
    case QCMP_CLIENT_CANCELLED:
        node->lost++;
        note_loss(prober, node);
        return;
    case QCMP_CLIENT_LATE:
        prober->others[PROBER_LATE]++;
        return;
    case QCMP_CLIENT_DUPLICATE:
        prober->others[PROBER_DUPLICATE]++;
        return;
    case QCMP_CLIENT_REJECTED:
        prober->others[PROBER_REJECTED]++;
        return;
    }
}

static void take_events(struct prober *prober)
{
    struct qcmp_client_event events[EVENTS];
    int count = EVENTS;

    for (unsigned i = 0; i < READS && count == EVENTS; i++) {
        count = qcmp_client_process(prober->client, events, EVENTS);
        prober->others[PROBER_FAILED] += count < 0;
        for (int j = 0; j < count; j++)
            take_event(prober, &events[j]);
    }
}

static void send_ping(struct prober *prober, struct node *node, int64_t now_ns)
{
    struct qcmp_endpoint to = {.scope = node->at.scope, .port = node->named.qcmp_port};

    memcpy(to.address, &node->at.address, sizeof to.address);
    int error =
        qcmp_client_ping_endpoint(prober->client, &to, PROBER_TIMEOUT_NS, node, &node->ping);
    int system = qcmp_error_to_os(error);
    if (error == QCMP_ERROR_NO_SLOT || error == QCMP_ERROR_NO_NONCE || system == EAGAIN ||
        system == ENOBUFS || system == ENOMEM) {
        prober->others[PROBER_UNSENT]++;
        node->due_ns = now_ns + RETRY_NS;
        return;
    }
    node->due_ns = LOOP_NEVER;
    node->sent++;
    if (error != 0) {
        node->lost++;
        note_loss(prober, node);
    }
}

/* Pings what is due. Returns when there is something to do again. */
static int64_t send_due(struct prober *prober, int64_t now_ns)
{
    int64_t next_ns = LOOP_NEVER;

    for (size_t i = 0; i < prober->nodes.count; i++) {
        struct node *node = prober->nodes.items[i];
        if (node->due_ns <= now_ns)
            send_ping(prober, node, now_ns);
        if (node->due_ns < next_ns)
            next_ns = node->due_ns;
    }
    return next_ns;
}

/* The first round is over when the fate of one ping to each node is known. A name without an
 * address is not waited for. */
static bool is_round_over(const struct prober *prober, int64_t now_ns)
{
    if (now_ns - prober->started_ns >= PROBER_FIRST_NS)
        return true;
    for (size_t i = 0; i < prober->nodes.count; i++) {
        const struct node *node = prober->nodes.items[i];
        if (node->has_address && !node->has_ended_one)
            return false;
    }
    return true;
}

/* Works out what is told. Returns whether that has changed. */
static bool evaluate(struct prober *prober, int64_t now_ns)
{
    bool was_over = prober->is_round_over;

    if (!was_over)
        prober->is_round_over = is_round_over(prober, now_ns);
    if (!prober->is_round_over)
        return false;
    bool is_changed = nodes_evaluate(&prober->nodes, now_ns) || prober->is_changed || !was_over;
    prober->is_stale = prober->is_changed = false;
    prober->evaluate_ns = now_ns + EVALUATE_NS;
    return is_changed;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void set_turn(struct prober *prober, int64_t at_ns)
{
    if (!prober->is_started || at_ns >= prober->turn_ns)
        return;
    prober->turn_ns = at_ns;
    loop_timer_set(prober->options.loop, &prober->timer, at_ns);
}

static void turn(void *user)
{
    struct prober *prober = user;
    int64_t now_ns = clock_monotonic_ns();
    bool is_changed = false;

    pthread_mutex_lock(&prober->lock);
    take_events(prober);
    int64_t next_ns = send_due(prober, now_ns);
    if (prober->is_stale && now_ns >= prober->evaluate_ns)
        is_changed = evaluate(prober, now_ns);
    pthread_mutex_unlock(&prober->lock);

    int64_t wait_ns = qcmp_client_deadline(prober->client);
    if (wait_ns != QCMP_NO_DEADLINE)
        next_ns = earlier(next_ns, now_ns + wait_ns);
    if (prober->is_stale)
        next_ns =
            earlier(next_ns, prober->is_round_over ? prober->evaluate_ns : now_ns + EVALUATE_NS);
    prober->turn_ns = LOOP_NEVER;
    if (next_ns != LOOP_NEVER)
        set_turn(prober, next_ns > now_ns + GRAIN_NS ? next_ns : now_ns + GRAIN_NS);
    if (is_changed)
        prober->options.changed(&prober->nodes, prober->options.user);
}

static void wake(struct prober *prober)
{
    set_turn(prober, clock_monotonic_ns() + GRAIN_NS);
}

static void handle(uint32_t events, void *user)
{
    struct prober *prober = user;
    (void)events;
    pthread_mutex_lock(&prober->lock);
    take_events(prober);
    pthread_mutex_unlock(&prober->lock);
    wake(prober);
}

static void cancel(struct prober *prober, struct node *node)
{
    if (node->ping != 0)
        qcmp_client_cancel(prober->client, node->ping);
    node->ping = 0;
}

static void leave(struct node *node, void *user)
{
    cancel(user, node);
}

/* Pings new nodes soon, one after the other. One that is named waits for its address. */
static void begin_new(struct prober *prober)
{
    int64_t now_ns = clock_monotonic_ns();
    int64_t count = 0, begun = 0;

    for (size_t i = 0; i < prober->nodes.count; i++)
        count += prober->nodes.items[i]->is_new;
    for (size_t i = 0; i < prober->nodes.count; i++) {
        struct node *node = prober->nodes.items[i];
        if (node->is_new && node->has_address) {
            node->due_ns = now_ns + PROBER_SPREAD_NS / count * begun++;
            node->is_new = false;
        } else if (node->is_new && node->name[0] == '\0') {
            log_node(prober, LOG_LEVEL_WARN, "a data centre has no address of a host", node);
            node->is_new = false;
        }
    }
    prober->is_stale = true;
    wake(prober);
}

/* A name that stands for another address is another way. */
static void take_names(struct prober *prober)
{
    for (size_t i = 0; i < prober->nodes.count; i++) {
        struct node *node = prober->nodes.items[i];
        struct endpoint at = node->at;
        if (node->name[0] == '\0' || !names_find(prober->names, node->name, &at) ||
            (node->has_address && endpoint_equals(&at, &node->at)))
            continue;
        cancel(prober, node);
        node_reset(node);
        node->at = at;
        node->has_address = node->is_new = true;
    }
}

static void follow_names(void *user)
{
    struct prober *prober = user;
    pthread_mutex_lock(&prober->lock);
    take_names(prober);
    begin_new(prober);
    pthread_mutex_unlock(&prober->lock);
}

int prober_follow(struct prober *prober, const struct datacenters *datacenters)
{
    int code = names_follow_nodes(prober->names, datacenters, clock_monotonic_ns());
    if (code != 0)
        return code;
    pthread_mutex_lock(&prober->lock);
    code = nodes_follow(&prober->nodes, datacenters, leave, prober);
    if (code == 0) {
        prober->is_changed = true;
        take_names(prober);
        begin_new(prober);
    }
    pthread_mutex_unlock(&prober->lock);
    return code;
}

int prober_new(struct prober **prober, const struct prober_options *options)
{
    struct prober *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;

    made->options = *options;
    made->timer = (struct loop_timer){.fire = turn, .user = made};
    made->turn_ns = LOOP_NEVER;
    pthread_mutex_init(&made->lock, NULL);
    const struct qcmp_client_options client = {.slots = SLOTS};
    const struct names_options names = {
        .loop = options->loop, .log = options->log, .changed = follow_names, .user = made};
    int code = names_new(&made->names, &names);
    if (code == 0 && getrandom(made->random, sizeof made->random, 0) != sizeof made->random)
        code = -EIO;
    if (code == 0) {
        int error = qcmp_client_new(&made->client, &client);
        if (error != 0)
            code = qcmp_error_to_os(error) != 0 ? -qcmp_error_to_os(error) : -EINVAL;
    }
    if (code != 0) {
        prober_free(made);
        return code;
    }
    *prober = made;
    return 0;
}

void prober_free(struct prober *prober)
{
    if (prober == NULL)
        return;
    if (prober->is_started)
        loop_remove(prober->options.loop, &prober->watch);
    loop_timer_stop(prober->options.loop, &prober->timer);
    qcmp_client_free(prober->client);
    names_free(prober->names);
    nodes_fini(&prober->nodes);
    pthread_mutex_destroy(&prober->lock);
    free(prober);
}

int prober_start(struct prober *prober)
{
    prober->watch =
        (struct loop_watch){.fd = qcmp_client_fd(prober->client), .ready = handle, .user = prober};
    int code = loop_add(prober->options.loop, &prober->watch, EPOLLIN);
    if (code != 0)
        return code;
    prober->is_started = prober->is_stale = true;
    prober->started_ns = clock_monotonic_ns();
    wake(prober);
    return 0;
}

void prober_set_bounds(struct prober *prober, const struct pace_bounds *bounds)
{
    prober->options.bounds = *bounds;
}

void prober_tick(struct prober *prober, int64_t now_ns)
{
    names_tick(prober->names, now_ns);
}

void prober_look(struct prober *prober,
                 void (*look)(const struct nodes *nodes, const uint64_t *others, void *user),
                 void *user)
{
    pthread_mutex_lock(&prober->lock);
    look(&prober->nodes, prober->others, user);
    pthread_mutex_unlock(&prober->lock);
}
