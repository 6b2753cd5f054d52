#include "cli/ping.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/signals.h"

#define EVENTS 64

/* Pings sent before answers are looked at again: a burst of answers must not overflow the receive
 * buffer. */
#define SEND_BURST 64

/* Between the first pings to two targets, where the interval leaves room for it. A thousand at once
 * would overflow the receive buffer of whatever they have in common: a responder, a router, this
 * host. */
#define START_GAP_NS 100000

/* Pings whose late answers are still known when they have ended. */
#define REMEMBERED_PINGS 65536

/* Before a socket that gave an error is tried again. */
#define RETRY_NS 1000000

struct session {
    struct ping_run *run;
    struct qcmp_client *client;
    int stop_fd;
    size_t left;              /* pings that have not ended */
    int64_t failing_since_ns; /* nothing but errors of the socket since then; 0: it works */
    size_t cursor;            /* the target to look at first, so that all have their turn */
};

static bool is_reachable(const struct ping_target *target)
{
    return target->error == NULL;
}

/* Pings that one target has in flight at most. */
static size_t depth(const struct ping_run *run)
{
    if (run->interval_ns == 0)
        return 1;
    int64_t pings = run->timeout_ns / run->interval_ns + 2;
    size_t most = run->amount < QCMP_NONCES ? run->amount : QCMP_NONCES;
    return (uint64_t)pings < most ? (size_t)pings : most;
}

static size_t slot_count(const struct ping_run *run)
{
    size_t all = run->targets_count * run->amount;
    size_t flying = run->targets_count * depth(run);
    size_t wanted = flying > REMEMBERED_PINGS / 2 ? 2 * flying : REMEMBERED_PINGS;
    size_t slots = all < wanted ? all : wanted;
    return slots < QCMP_PROBE_MAX_SLOTS ? slots : QCMP_PROBE_MAX_SLOTS;
}

static void ping_end(struct session *session, struct ping *ping, enum ping_status status)
{
    struct ping_target *target = ping->target;
    ping->status = status;
    target->ended++;
    target->received += status == PING_OK;
    session->left--;
    if (session->run->interval_ns == 0)
        target->next_ns = 0;
    if (session->run->ping_ended != NULL)
        session->run->ping_ended(ping, (size_t)(ping - target->pings) + 1, session->run->user);
}

/* The system has no room for a ping, but may have soon: it is due again in a moment, for as long as
 * it would wait for its answer. */
static bool ping_postpone(const struct ping_run *run, struct ping_target *target, int error)
{
    int os_error = qcmp_error_to_os(error);
    bool is_short = os_error == ENOBUFS || os_error == ENOMEM || os_error == EAGAIN;
    int64_t now_ns = is_short ? clock_monotonic_ns() : 0;
    int64_t since_ns = target->short_since_ns != 0 ? target->short_since_ns : now_ns;
    bool may_wait = is_short && now_ns - since_ns < run->timeout_ns;
    target->short_since_ns = may_wait ? since_ns : 0;
    if (may_wait)
        target->next_ns = now_ns + RETRY_NS;
    return may_wait;
}

/* Returns false when this target has to wait for a lease. */
static bool ping_send(struct session *session, struct ping_target *target)
{
    const struct ping_run *run = session->run;
    struct ping *ping = &target->pings[target->sent];
    int error = qcmp_client_ping(session->client, (struct sockaddr *)&target->address,
                                 target->address_bytes, run->timeout_ns, ping, NULL);
    if (error == QCMP_ERROR_NO_NONCE || error == QCMP_ERROR_NO_SLOT)
        return false;
    if (ping_postpone(run, target, error))
        return true;
    ping->target = target;
    target->sent++;
    target->next_ns = run->interval_ns == 0 ? INT64_MAX : target->next_ns + run->interval_ns;
    ping->status = PING_IN_FLIGHT;
    if (error != 0) {
        ping->nonce = -1;
        ping->error = error;
        ping_end(session, ping, PING_ERROR);
    }
    return true;
}

/* Sends what is due, a burst at most. Returns when the next ping is due: now, if there is more. */
static int64_t send_due(struct session *session, int64_t now_ns)
{
    const struct ping_run *run = session->run;
    int64_t next_ns = INT64_MAX;
    int burst = SEND_BURST;
    for (size_t i = 0; i < run->targets_count; i++) {
        struct ping_target *target = &run->targets[(session->cursor + i) % run->targets_count];
        if (!is_reachable(target) || target->sent == run->amount)
            continue;
        if (target->next_ns <= now_ns) {
            if (burst-- == 0) {
                session->cursor = (session->cursor + i) % run->targets_count;
                return now_ns;
            }
            /* A target that waits for a lease is due again when a ping has ended. */
            if (!ping_send(session, target))
                continue;
        }
        if (target->sent < run->amount && target->next_ns < next_ns)
            next_ns = target->next_ns;
    }
    return next_ns;
}

static void take_rejection(struct ping_run *run, const struct qcmp_client_event *event)
{
    struct ping_target *target = ping_targets_find(run, &event->peer);
    if (target != NULL)
        target->rejected++;
    else
        run->rejected_elsewhere++;
    if (run->noticed != NULL)
        run->noticed(target, event, run->user);
}

static void take_stray(struct ping_run *run, const struct qcmp_client_event *event)
{
    struct ping_target *target = ping_targets_find(run, &event->peer);
    if (target == NULL)
        return;
    if (event->kind == QCMP_CLIENT_LATE)
        target->late++;
    else
        target->duplicates++;
    if (run->noticed != NULL)
        run->noticed(target, event, run->user);
}

static void take_answer(struct session *session, const struct qcmp_client_event *event)
{
    struct ping *ping = event->user;
    ping->times = event->times;
    ping->sample = event->sample;
    ping->transmit_source = event->transmit_source;
    ping->receive_source = event->receive_source;
    ping->clock_stepped = event->clock_stepped != 0;
    ping_end(session, ping, PING_OK);
}

/* Takes what ends a ping. */
static void take_ending(struct session *session, const struct qcmp_client_event *event)
{
    struct ping *ping = event->user;
    ping->nonce = event->nonce;
    ping->error = event->kind == QCMP_CLIENT_FAILED ? event->error : 0;
    if (event->kind == QCMP_CLIENT_ANSWERED)
        take_answer(session, event);
    else if (event->kind == QCMP_CLIENT_CANCELLED)
        ping->status = PING_UNSENT;
    else
        ping_end(session, ping, event->kind == QCMP_CLIENT_FAILED ? PING_ERROR : PING_TIMEOUT);
}

static void take_event(struct session *session, const struct qcmp_client_event *event)
{
    switch (event->kind) {
    case QCMP_CLIENT_ANSWERED:
    case QCMP_CLIENT_TIMED_OUT:
    case QCMP_CLIENT_FAILED:
    case QCMP_CLIENT_CANCELLED:
        take_ending(session, event);
        break;
    case QCMP_CLIENT_LATE:
    case QCMP_CLIENT_DUPLICATE:
        take_stray(session->run, event);
        break;
    case QCMP_CLIENT_REJECTED:
        take_rejection(session->run, event);
        break;
    }
}

/* An error of the socket ends the run only when it persists: the client stays usable. */
static int note_error(struct session *session, int error)
{
    struct ping_run *run = session->run;
    int64_t now_ns = clock_monotonic_ns();
    run->socket_errors++;
    run->last_socket_error = error;
    if (session->failing_since_ns == 0)
        session->failing_since_ns = now_ns;
    return now_ns - session->failing_since_ns < run->timeout_ns ? 0 : error;
}

static int take_events(struct session *session)
{
    struct qcmp_client_event events[EVENTS];
    int count = qcmp_client_process(session->client, events, EVENTS);
    /* A time-out says nothing about the socket. */
    bool works = count == 0;
    for (int i = 0; i < count; i++) {
        works |= events[i].kind != QCMP_CLIENT_TIMED_OUT;
        take_event(session, &events[i]);
    }
    if (works)
        session->failing_since_ns = 0;
    return count < 0 ? note_error(session, count) : 0;
}

/* Ends what is still in flight, when the user has had enough. */
static void cancel_rest(struct session *session)
{
    struct qcmp_client_event event;
    while (qcmp_client_cancel_all(session->client, &event, 1) > 0)
        take_event(session, &event);
}

static int64_t until(int64_t at_ns, int64_t now_ns)
{
    if (at_ns == INT64_MAX)
        return INT64_MAX;
    return at_ns > now_ns ? at_ns - now_ns : 0;
}

/* How long there is nothing to do. */
static int64_t idle_ns(const struct session *session, int64_t next_ns)
{
    int64_t wait_ns = until(next_ns, clock_monotonic_ns());
    int64_t deadline_ns = qcmp_client_deadline(session->client);
    return deadline_ns < wait_ns ? deadline_ns : wait_ns;
}

/* Waits for an answer, a time-out, the next ping to send, or a signal. A socket that fails is not
 * waited for: it may be readable all the time. */
static int session_wait(struct session *session, int64_t next_ns)
{
    bool failing = session->failing_since_ns != 0;
    struct pollfd fds[] = {{.fd = session->stop_fd, .events = POLLIN},
                           {.fd = qcmp_client_fd(session->client), .events = POLLIN}};
    int64_t wait_ns = idle_ns(session, next_ns);
    if (failing && wait_ns > RETRY_NS)
        wait_ns = RETRY_NS;
    struct timespec timeout = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (ppoll(fds, failing ? 1 : 2, &timeout, NULL) < 0 && errno != EINTR)
        return qcmp_error_from_os(errno);
    session->run->interrupted = fds[0].revents != 0 && signals_take(session->stop_fd) != 0;
    return 0;
}

static int session_run(struct session *session)
{
    int error = 0;
    while (error == 0 && session->left > 0 && !session->run->interrupted) {
        int64_t next_ns = send_due(session, clock_monotonic_ns());
        /* Sends that fail end their pings: there may be nothing left to wait for. */
        if (session->left == 0)
            break;
        error = session_wait(session, next_ns);
        if (error == 0)
            error = take_events(session);
    }
    cancel_rest(session);
    return error;
}

/* Between the first pings to two targets: within one interval all have had theirs. */
static int64_t start_gap(const struct ping_run *run)
{
    int64_t share_ns = run->interval_ns / (int64_t)run->targets_count;
    return run->interval_ns == 0 || share_ns > START_GAP_NS ? START_GAP_NS : share_ns;
}

static int pings_allocate(struct session *session)
{
    struct ping_run *run = session->run;
    int64_t now_ns = clock_monotonic_ns();
    int64_t gap_ns = start_gap(run);
    for (size_t i = 0; i < run->targets_count; i++) {
        struct ping_target *target = &run->targets[i];
        if (!is_reachable(target))
            continue;
        target->pings = calloc(run->amount, sizeof *target->pings);
        if (target->pings == NULL)
            return qcmp_error_from_os(ENOMEM);
        target->next_ns = now_ns + (int64_t)i * gap_ns;
        session->left += run->amount;
    }
    return 0;
}

void ping_await_output(int fd)
{
    struct pollfd output = {.fd = fd, .events = POLLOUT};
    sigset_t signals, before;
    if (poll(&output, 1, 0) != 0)
        return;
    signals_stop_set(&signals);
    pthread_sigmask(SIG_UNBLOCK, &signals, &before);
    poll(&output, 1, -1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int run_with_client(struct session *session)
{
    struct qcmp_client_options options = {.slots = slot_count(session->run)};
    int error = qcmp_client_new(&session->client, &options);
    if (error != 0)
        return error;
    error = session_run(session);
    qcmp_client_free(session->client);
    return error;
}

int ping_run(struct ping_run *run)
{
    struct session session = {.run = run};
    sigset_t signals, before;
    int error = pings_allocate(&session);
    if (error != 0 || session.left == 0)
        return error;
    signals_stop_set(&signals);
    session.stop_fd = signals_open(&signals, &before);
    if (session.stop_fd < 0)
        return qcmp_error_from_os(-session.stop_fd);
    error = run_with_client(&session);
    close(session.stop_fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
