/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ping.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Between pings to a target that refuses them, where each is sent as the one before has ended. */
#define REFUSED_NS 10000000

struct session {
    struct ping_run *run;
    struct qcmp_client *client;
    int signals_fd;
    size_t left;              /* pings that have not ended */
    int64_t failing_since_ns; /* nothing but errors of the socket since then; 0: it works */
    size_t cursor;            /* the target to look at first, so that all have their turn */
};

static size_t slot_count(const struct ping_run *run)
{
    size_t depth = 1; /* pings that one target has in flight at most */

    if (run->interval_ns != 0) {
        int64_t pings = run->timeout_ns / run->interval_ns + 2;
        size_t most = run->amount < QCMP_NONCES ? run->amount : QCMP_NONCES;
        depth = (uint64_t)pings < most ? (size_t)pings : most;
    }
    size_t all = run->targets_count * run->amount;
    size_t flying = run->targets_count * depth;
    size_t wanted = flying > REMEMBERED_PINGS / 2 ? 2 * flying : REMEMBERED_PINGS;
    size_t slots = all < wanted ? all : wanted;
    return slots < QCMP_PROBE_MAX_SLOTS ? slots : QCMP_PROBE_MAX_SLOTS;
}

static void ping_end(struct session *session, struct ping *ping, enum ping_status status)
{
    struct ping_run *run = session->run;
    struct ping_target *target = ping->target;
    bool is_first_address = target->next != NULL && target->received == 0;
    int64_t now_ns = clock_monotonic_ns();
    char address[sizeof target->endpoint_text];

    ping->status = status;
    memcpy(address, target->endpoint_text, sizeof address);
    if (is_first_address && status != PING_OK && ping_targets_move(run, target)) {
        if (run->moved != NULL)
            run->moved(ping, address, run->user);
        *ping = (struct ping){.target = target};
        target->sent--;
        target->next_ns = now_ns;
        return;
    }

    target->ended++;
    target->received += status == PING_OK;
    session->left--;
    if (run->interval_ns == 0)
        target->next_ns = status == PING_ERROR ? now_ns + REFUSED_NS : 0;
    else if (is_first_address && target->next_ns < now_ns)
        target->next_ns = now_ns;
    if (run->ping_ended != NULL)
        run->ping_ended(ping, (size_t)(ping - target->pings) + 1, run->user);
}

/* Returns false when this target has to wait for a lease. */
static bool ping_send(struct session *session, struct ping_target *target)
{
    const struct ping_run *run = session->run;
    struct ping *ping = &target->pings[target->sent];
    int error = qcmp_client_ping(session->client, target->address->ai_addr,
                                 target->address->ai_addrlen, run->timeout_ns, ping, NULL);
    int os_error = qcmp_error_to_os(error);

    if (error == QCMP_ERROR_NO_NONCE || error == QCMP_ERROR_NO_SLOT)
        return false;
    /* The system has no room for a ping, but may have soon: it is due again in a moment, for as
     * long as it would wait for its answer. */
    if (os_error == ENOBUFS || os_error == ENOMEM || os_error == EAGAIN) {
        int64_t now_ns = clock_monotonic_ns();
        if (target->short_since_ns == 0)
            target->short_since_ns = now_ns;
        if (now_ns - target->short_since_ns < run->timeout_ns) {
            target->next_ns = now_ns + RETRY_NS;
            return true;
        }
    }
    target->short_since_ns = 0;

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
        bool is_tried =
            target->next != NULL && target->received == 0 && target->sent > target->ended;
        if (target->error != NULL || target->sent == run->amount || is_tried)
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

static void take_event(struct session *session, const struct qcmp_client_event *event)
{
    struct ping_run *run = session->run;
    struct ping *ping = event->user;
    struct ping_target *target;

    switch (event->kind) {
    case QCMP_CLIENT_ANSWERED:
        ping->nonce = event->nonce;
        ping->times = event->times;
        ping->sample = event->sample;
        ping->transmit_source = event->transmit_source;
        ping->receive_source = event->receive_source;
        ping->clock_stepped = event->clock_stepped != 0;
        ping_end(session, ping, PING_OK);
        break;
    case QCMP_CLIENT_TIMED_OUT:
        ping->nonce = event->nonce;
        ping_end(session, ping, PING_TIMEOUT);
        break;
    case QCMP_CLIENT_FAILED:
        ping->nonce = event->nonce;
        ping->error = event->error;
        ping_end(session, ping, PING_ERROR);
        break;
    case QCMP_CLIENT_CANCELLED:
        ping->nonce = event->nonce;
        ping->status = PING_UNSENT;
        break;
    case QCMP_CLIENT_LATE:
    case QCMP_CLIENT_DUPLICATE:
    case QCMP_CLIENT_REJECTED:
        target = ping_targets_find(run, &event->peer);
        if (target == NULL && event->kind != QCMP_CLIENT_REJECTED)
            return;
        if (target == NULL)
            run->rejected_elsewhere++;
        else if (event->kind == QCMP_CLIENT_LATE)
            target->late++;
        else if (event->kind == QCMP_CLIENT_DUPLICATE)
            target->duplicates++;
        else
            target->rejected++;
        if (run->noticed != NULL)
            run->noticed(target, event, run->user);
        break;
    }
}

/* An error of the socket ends the run only when it persists: the client stays usable. */
static int take_events(struct session *session)
{
    struct ping_run *run = session->run;
    struct qcmp_client_event events[EVENTS];
    int count = qcmp_client_process(session->client, events, EVENTS);
    bool works = count == 0;

    for (int i = 0; i < count; i++) {
        works |= events[i].kind != QCMP_CLIENT_TIMED_OUT; /* which says nothing about the socket */
        take_event(session, &events[i]);
    }
    if (works)
        session->failing_since_ns = 0;
    if (count >= 0)
        return 0;
    int64_t now_ns = clock_monotonic_ns();
    run->socket_errors++;
    run->last_socket_error = count;
    if (session->failing_since_ns == 0)
        session->failing_since_ns = now_ns;
    return now_ns - session->failing_since_ns < run->timeout_ns ? 0 : count;
}

/* Waits for an answer, a time-out, the next ping to send, or a signal. A socket that fails is not
 * waited for: it may be readable all the time. */
static int session_wait(struct session *session, int64_t next_ns)
{
    struct ping_run *run = session->run;
    bool is_failing = session->failing_since_ns != 0;
    struct pollfd fds[] = {{.fd = session->signals_fd, .events = POLLIN},
                           {.fd = qcmp_client_fd(session->client), .events = POLLIN}};
    int64_t wait_ns = next_ns == INT64_MAX ? INT64_MAX : next_ns - clock_monotonic_ns();
    int64_t deadline_ns = qcmp_client_deadline(session->client);

    wait_ns = deadline_ns < wait_ns ? deadline_ns : wait_ns;
    wait_ns = is_failing && wait_ns > RETRY_NS ? RETRY_NS : wait_ns;
    wait_ns = wait_ns > 0 ? wait_ns : 0;
    struct timespec timeout = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (ppoll(fds, is_failing ? 1 : 2, &timeout, NULL) < 0 && errno != EINTR)
        return qcmp_error_from_os(errno);
    int taken = fds[0].revents != 0 ? signals_take(session->signals_fd) : 0;
    if (taken == SIGQUIT && run->asked != NULL)
        run->asked(run->user);
    run->interrupted = taken != 0 && taken != SIGQUIT;
    return 0;
}

static int session_run(struct session *session)
{
    struct qcmp_client_event event;
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
    while (qcmp_client_cancel_all(session->client, &event, 1) > 0)
        take_event(session, &event);
    return error;
}

void ping_await_output(int fd)
{
    struct pollfd output = {.fd = fd, .events = POLLOUT};
    sigset_t signals, before;

    if (poll(&output, 1, 0) != 0)
        return;
    signals_end_set(&signals);
    pthread_sigmask(SIG_UNBLOCK, &signals, &before);
    poll(&output, 1, -1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int ping_run(struct ping_run *run)
{
    struct session session = {.run = run};
    struct qcmp_client_options options = {.slots = slot_count(run)};
    sigset_t signals, before;
    int64_t now_ns = clock_monotonic_ns();
    /* Within one interval all targets have had their first ping. */
    int64_t share_ns = run->interval_ns / (int64_t)run->targets_count;
    int64_t gap_ns = run->interval_ns == 0 || share_ns > START_GAP_NS ? START_GAP_NS : share_ns;

    for (size_t i = 0; i < run->targets_count; i++) {
        struct ping_target *target = &run->targets[i];
        if (target->error != NULL)
            continue;
        target->pings = calloc(run->amount, sizeof *target->pings);
        if (target->pings == NULL)
            return qcmp_error_from_os(ENOMEM);
        target->next_ns = now_ns + (int64_t)i * gap_ns;
        session.left += run->amount;
    }
    if (session.left == 0)
        return 0;

    signals_end_set(&signals);
    sigaddset(&signals, SIGQUIT);
    session.signals_fd = signals_open(&signals, &before);
    if (session.signals_fd < 0)
        return qcmp_error_from_os(-session.signals_fd);
    int error = qcmp_client_new(&session.client, &options);
    if (error == 0) {
        error = session_run(&session);
        qcmp_client_free(session.client);
    }
    signals_close(session.signals_fd, &before);
    return error;
}
