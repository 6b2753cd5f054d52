/* SPDX-License-Identifier: Apache-2.0 */
#include "load/load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/flow.h"
#include "load/meter.h"
#include "load/tracker.h"
#include "loop/signals.h"

#define EVENTS 256
#define STOP_EVENT UINT32_MAX

/* To wait for less than this takes longer than to look again. */
#define SPIN_NS 20000

/* Between attempts of a socket that cannot send. */
#define RETRY_NS 100000

/* How long after the end pings that were due before it may still leave. */
#define SEND_GRACE_NS 100000000

/* How long a lost ping may wait to be noticed, while there is more to read. */
#define EXPIRE_GRACE_NS 100000000

/* What the tracker has room for beside twice what can be in flight. */
#define SPARE_SLOTS 1024

struct flow {
    int fd;
    uint32_t window; /* closed loop: what may be in flight */
    uint32_t in_flight;
};

/* A run under way. */
struct run {
    const struct load_options *options;
    struct load_result *result;
    struct flow *flows;
    struct tracker *tracker;
    struct flow_io *io;
    int epoll;
    struct schedule schedule;
    int64_t start_ns;
    int64_t end_ns;             /* when the sending ends */
    int64_t due_ns[FLOW_BATCH]; /* open loop: taken from the schedule and not sent yet */
    unsigned due_count;
    uint32_t next_flow;
    bool sending;
    bool stalled; /* something could not be sent: try again soon */
    unsigned signals;
};

static bool is_open_loop(const struct run *run)
{
    return run->options->rate != 0;
}

/* Sends pings through a flow. Returns how many of them are done with, sent or refused: those after
 * an error, which may be that of an earlier one, are not; none where it has to be tried later. */
static unsigned send_pings(struct run *run, uint32_t index, const int64_t *due_ns, unsigned count)
{
    struct tracker_ping pings[FLOW_BATCH];
    struct load_counts *counts = &run->result->counts;
    struct flow *flow = &run->flows[index];
    int64_t now_ns = clock_monotonic_ns();
    unsigned prepared = 0;
    int sent = -EAGAIN;

    for (; prepared < count; prepared++) {
        struct tracker_ping *ping = &pings[prepared];
        *ping = (struct tracker_ping){
            .flow = index, .due_ns = due_ns != NULL ? due_ns[prepared] : now_ns, .sent_ns = now_ns};
        if (tracker_send(run->tracker, ping) != 0)
            break;
        const struct qcmp_packet packet = {
            .kind = QCMP_PING, .nonce = ping->nonce, .client_ns = ping->stamp_ns};
        (void)qcmp_packet_encode(&packet, run->io->pings[prepared],
                                 sizeof run->io->pings[prepared]);
    }
    if (prepared > 0)
        sent = flow_send(run->io, flow->fd, prepared);
    if (sent < 0 && flow_error_is_reported(sent)) {
        counts->network_errors++;
        sent = flow_send(run->io, flow->fd, prepared);
    }

    unsigned left = sent > 0 && prepared > 0 ? (unsigned)sent : 0;
    for (unsigned i = prepared; i > left; i--)
        tracker_withdraw(run->tracker, &pings[i - 1]);
    for (unsigned i = 0; i < left; i++)
        /* cppcheck-suppress uninitvar ; no more are sent than were prepared */
        hdr_histogram_record(&run->result->lag_ns, pings[i].sent_ns - pings[i].due_ns);
    flow->in_flight += left;
    counts->sent += left;
    if (sent == -EAGAIN || sent == -EINTR) {
        counts->send_stalls++;
    } else if (sent < 0) {
        run->result->last_send_error = -sent;
        counts->send_errors += prepared;
        left = prepared;
    }
    return left;
}

/* Fills the window of a flow, by whole bursts. Without a window for a burst, it is one. */
static void refill(struct run *run, uint32_t index)
{
    const struct flow *flow = &run->flows[index];
    uint32_t burst = run->options->burst < flow->window ? run->options->burst : flow->window;
    uint32_t batch = burst > 1 ? burst : FLOW_BATCH;

    while (run->sending && flow->window - flow->in_flight >= burst) {
        uint32_t room = flow->window - flow->in_flight;
        uint64_t sent_before = run->result->counts.sent;
        send_pings(run, index, NULL, room < batch ? room : batch);
        if (run->result->counts.sent == sent_before) { /* what fails at once would fail for ever */
            run->stalled = true;
            return;
        }
    }
}

static int64_t next_due_ns(const struct run *run)
{
    return run->start_ns + schedule_next_ns(&run->schedule);
}

/* Sends what the schedule has for now. A flow sends its share of that, in whole bursts; a GSO send
 * is one burst. */
static void send_due(struct run *run)
{
    uint32_t flows = run->options->flows, burst = run->options->burst;
    int64_t now_ns = clock_monotonic_ns();
    unsigned done = 0;

    for (int64_t at_ns = next_due_ns(run); run->due_count + burst <= FLOW_BATCH &&
                                           at_ns <= now_ns && at_ns < run->end_ns && !run->stalled;
         at_ns = next_due_ns(run)) {
        for (uint32_t i = 0; i < burst; i++)
            run->due_ns[run->due_count++] = at_ns;
        run->result->counts.scheduled += burst;
        schedule_advance(&run->schedule);
    }
    unsigned share = burst > 1 ? burst : (run->due_count + flows - 1) / flows;
    while (done < run->due_count) {
        unsigned left = run->due_count - done;
        unsigned sent =
            send_pings(run, run->next_flow, run->due_ns + done, left < share ? left : share);
        done += sent;
        if (sent == 0)
            break;
        run->next_flow = (run->next_flow + 1) % flows;
    }
    run->due_count -= done;
    memmove(run->due_ns, run->due_ns + done, run->due_count * sizeof run->due_ns[0]);
    run->stalled = run->due_count > 0;
}

static void ping_lost(struct run *run, uint32_t flow)
{
    run->flows[flow].in_flight--;
    run->result->counts.lost++;
}

static void take_datagram(struct run *run, const struct tracker_datagram *datagram)
{
    struct load_counts *counts = &run->result->counts;
    struct tracker_ping ping;
    bool was_in_flight;
    int64_t received_ns;

    switch (tracker_receive(run->tracker, datagram, &ping, &was_in_flight)) {
    case TRACKER_ANSWERED:
        run->flows[datagram->flow].in_flight--;
        counts->answered++;
        /* Somebody set the clock on which the kernel stamps: then the time of reading counts. */
        received_ns =
            datagram->received_ns >= ping.sent_ns ? datagram->received_ns : clock_monotonic_ns();
        hdr_histogram_record(&run->result->latency_ns, received_ns - ping.due_ns);
        hdr_histogram_record(&run->result->round_trip_ns, received_ns - ping.sent_ns);
        break;
    case TRACKER_LATE:
        counts->late++;
        if (was_in_flight)
            ping_lost(run, datagram->flow);
        break;
    case TRACKER_DUPLICATE:
        counts->duplicates++;
        break;
    case TRACKER_FOREIGN:
        counts->foreign++;
        break;
    }
}

/* Takes a batch from a flow. Returns whether there may be more. */
static bool take_answers(struct run *run, uint32_t index)
{
    int count = flow_receive(run->io, run->flows[index].fd);

    if (count < 0)
        run->result->counts.network_errors++;
    for (int i = 0; i < count; i++) {
        const struct flow_piece *piece = &run->io->pieces[i];
        size_t datagrams = flow_piece_count(piece);
        for (size_t j = 0; j < datagrams; j++) {
            struct tracker_datagram datagram = {.flow = index, .received_ns = piece->received_ns};
            datagram.data = flow_piece_datagram(piece, j, &datagram.bytes);
            take_datagram(run, &datagram);
        }
    }
    if (run->sending && !is_open_loop(run))
        refill(run, index);
    return count == FLOW_BATCH;
}

/* Waits until there is something to do, and counts how long. Returns the number of events. */
static int await_events(struct run *run, struct epoll_event *events)
{
    int64_t before_ns = clock_monotonic_ns();
    int64_t until_ns = tracker_deadline_ns(run->tracker);

    if (run->sending) {
        int64_t due_ns = is_open_loop(run) ? next_due_ns(run) : run->end_ns;
        if (run->stalled)
            due_ns = before_ns + RETRY_NS;
        until_ns = due_ns < until_ns ? due_ns : until_ns;
        until_ns = run->end_ns < until_ns ? run->end_ns : until_ns;
    }
    int64_t wait_ns = until_ns - before_ns > SPIN_NS ? until_ns - before_ns : 0;
    struct timespec timeout = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    int count = epoll_pwait2(run->epoll, events, EVENTS, &timeout, NULL);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    if (run->sending && wait_ns > 0) {
        int64_t after_ns = clock_monotonic_ns();
        after_ns = after_ns < run->end_ns ? after_ns : run->end_ns;
        run->result->idle_ns += after_ns > before_ns ? after_ns - before_ns : 0;
    }
    return count;
}

/* Waits for something and handles it. What has come is taken before anything is given up. */
static int turn(struct run *run)
{
    struct epoll_event events[EVENTS];
    int count = await_events(run, events);
    bool more = count == EVENTS;

    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 != STOP_EVENT)
            more |= take_answers(run, events[i].data.u32);
        else
            while (signals_take(run->options->stop_fd) != 0)
                run->signals++;
    }

    int64_t now_ns = clock_monotonic_ns() - (more ? EXPIRE_GRACE_NS : 0);
    for (int64_t flow = tracker_expire(run->tracker, now_ns); flow >= 0;
         flow = tracker_expire(run->tracker, now_ns)) {
        ping_lost(run, (uint32_t)flow);
        if (run->sending && !is_open_loop(run))
            refill(run, (uint32_t)flow);
    }
    return 0;
}

/* Whether the run sends nothing more. A signal ends the schedule, not what was due before it: that
 * the run was asleep then is no limit. */
static bool sending_is_over(struct run *run)
{
    int64_t now_ns = clock_monotonic_ns();

    if (run->signals > 0 && now_ns < run->end_ns)
        run->end_ns = now_ns;
    if (run->signals > 1 || now_ns >= run->end_ns + SEND_GRACE_NS)
        return true;
    if (now_ns < run->end_ns || !is_open_loop(run))
        return now_ns >= run->end_ns;
    int64_t at_ns = next_due_ns(run);
    return run->due_count == 0 && (at_ns > now_ns || at_ns >= run->end_ns);
}

static int run_sending(struct run *run)
{
    struct load_counts *counts = &run->result->counts;
    int error = 0;

    run->sending = true;
    run->stalled = !is_open_loop(run);
    while (error == 0 && !sending_is_over(run)) {
        if (is_open_loop(run)) {
            send_due(run);
        } else if (run->stalled) {
            run->stalled = false;
            for (uint32_t i = 0; i < run->options->flows; i++)
                refill(run, i);
        }
        error = turn(run);
    }
    if (error != 0)
        return error;

    run->sending = false;
    run->result->sending_ns = run->end_ns - run->start_ns;
    if (!is_open_loop(run)) {
        counts->scheduled = counts->sent + counts->send_errors;
        return 0;
    }
    counts->unsent += run->due_count;
    for (run->due_count = 0; next_due_ns(run) < run->end_ns; schedule_advance(&run->schedule)) {
        counts->scheduled += run->options->burst;
        counts->unsent += run->options->burst;
    }
    return 0;
}

static int run_measured(struct run *run)
{
    struct load_result *result = run->result;
    struct meter meter;

    meter_start(&meter, run->options);
    run->start_ns = meter.start_ns;
    run->end_ns = run->start_ns + run->options->duration_ns;
    int error = run_sending(run);
    meter_sending_over(&meter, result);
    while (error == 0 && tracker_in_flight(run->tracker) > 0 && run->signals < 2)
        error = turn(run);
    result->counts.unfinished = tracker_in_flight(run->tracker);
    meter_stop(&meter, run->options, result);
    result->interrupted = run->signals > 0;
    for (uint32_t i = 0; i < run->options->flows; i++)
        result->counts.receive_drops += flow_drops(run->flows[i].fd);
    result->gso = run->io->gso;
    return error;
}

static int watch(const struct run *run, int fd, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    return epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int run_open(struct run *run)
{
    const struct load_options *options = run->options;
    int64_t epoch_ns = clock_wall_ns() - clock_monotonic_ns();
    /* Twice what can be in flight, so that a slot rests before it is taken again. */
    double in_flight = options->rate != 0
                           ? (double)options->rate * (double)options->timeout_ns / 1e9
                           : (double)options->in_flight;
    double slots = 2 * in_flight + SPARE_SLOTS;

    run->io = malloc(sizeof *run->io);
    run->flows = calloc(options->flows, sizeof *run->flows);
    run->tracker = tracker_new(slots < TRACKER_MAX_SLOTS ? (uint32_t)slots : TRACKER_MAX_SLOTS,
                               options->timeout_ns, epoch_ns);
    if (run->io == NULL || run->flows == NULL || run->tracker == NULL)
        return -ENOMEM;
    flow_io_init(run->io, options->burst > 1);
    if (is_open_loop(run))
        schedule_init(&run->schedule, options->arrivals, options->rate, options->burst,
                      options->seed);
    for (uint32_t i = 0; i < options->flows; i++)
        run->flows[i].fd = -1;
    flow_raise_limit();
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll < 0)
        return -errno;
    int error = watch(run, options->stop_fd, STOP_EVENT);
    for (uint32_t i = 0; error == 0 && i < options->flows; i++) {
        struct flow *flow = &run->flows[i];
        flow->window =
            options->in_flight / options->flows + (i < options->in_flight % options->flows);
        flow->fd = flow_open(&options->target, options->target_bytes, options->burst > 1);
        error = flow->fd < 0 ? flow->fd : watch(run, flow->fd, i);
    }
    return error;
}

int load_run_sockets(const struct load_options *options, struct load_result *result)
{
    struct run run = {.options = options, .result = result, .epoll = -1};
    int slack_ns = prctl(PR_GET_TIMERSLACK);

    assert(options->flows > 0 && options->burst > 0 && options->burst <= LOAD_MAX_BURST);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    int error = run_open(&run);
    if (error == 0)
        error = run_measured(&run);

    for (uint32_t i = 0; run.flows != NULL && i < options->flows; i++) {
        if (run.flows[i].fd >= 0)
            close(run.flows[i].fd);
    }
    if (run.epoll >= 0)
        close(run.epoll);
    tracker_free(run.tracker);
    free(run.flows);
    free(run.io);
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, slack_ns);
    return error;
}
