#include "cli/ping.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

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

struct session {
    struct ping_run *run;
    struct qcmp_client *client;
    int stop_fd;
    size_t left;   /* pings that have not ended */
    size_t cursor; /* the target to look at first, so that all have their turn */
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

/* Returns false when this target has to wait for a lease. */
static bool ping_send(struct session *session, struct ping_target *target)
{
    const struct ping_run *run = session->run;
    struct ping *ping = &target->pings[target->sent];
    int error = qcmp_client_ping(session->client, (struct sockaddr *)&target->address,
                                 target->address_bytes, run->timeout_ns, ping, NULL);
    if (error == QCMP_ERROR_NO_NONCE || error == QCMP_ERROR_NO_SLOT)
        return false;
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

static bool same_address(const struct qcmp_endpoint *a, const struct qcmp_endpoint *b)
{
    return memcmp(a->address, b->address, sizeof a->address) == 0 && a->scope == b->scope;
}

/* The target that a rejected datagram's source belongs to: the same address and port, or else the
 * same address. */
static struct ping_target *find_target(const struct ping_run *run, const struct qcmp_endpoint *peer)
{
    struct ping_target *near = NULL;
    for (size_t i = 0; i < run->targets_count; i++) {
        struct ping_target *target = &run->targets[i];
        if (!is_reachable(target) || !same_address(&target->endpoint, peer))
            continue;
        if (target->endpoint.port == peer->port)
            return target;
        if (near == NULL)
            near = target;
    }
    return near;
}

static void take_rejection(struct ping_run *run, const struct qcmp_client_event *event)
{
    struct ping_target *target = find_target(run, &event->peer);
    if (target != NULL)
        target->rejected++;
    else
        run->rejected_elsewhere++;
    if (run->noticed != NULL)
        run->noticed(target, event, run->user);
}

static void take_stray(struct ping_run *run, const struct qcmp_client_event *event)
{
    struct ping_target *target = find_target(run, &event->peer);
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

static void take_event(struct session *session, const struct qcmp_client_event *event)
{
    if (event->kind == QCMP_CLIENT_REJECTED) {
        take_rejection(session->run, event);
        return;
    }
    struct ping *ping = event->user;
    ping->nonce = event->nonce;
    switch (event->kind) {
    case QCMP_CLIENT_ANSWERED:
        take_answer(session, event);
        break;
    case QCMP_CLIENT_TIMED_OUT:
        ping_end(session, ping, PING_TIMEOUT);
        break;
    case QCMP_CLIENT_FAILED:
        ping->error = event->error;
        ping_end(session, ping, PING_ERROR);
        break;
    case QCMP_CLIENT_CANCELLED:
        ping->error = qcmp_error_from_os(ECANCELED);
        ping_end(session, ping, PING_ERROR);
        break;
    case QCMP_CLIENT_LATE:
    case QCMP_CLIENT_DUPLICATE:
        take_stray(session->run, event);
        break;
    case QCMP_CLIENT_REJECTED:
        break;
    }
}

static int take_events(struct session *session)
{
    struct qcmp_client_event events[EVENTS];
    int count = qcmp_client_process(session->client, events, EVENTS);
    for (int i = 0; i < count; i++)
        take_event(session, &events[i]);
    return count < 0 ? count : 0;
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

/* Waits for an answer, a time-out, the next ping to send, or a signal. */
static int session_wait(struct session *session, int64_t next_ns)
{
    struct pollfd fds[] = {{.fd = qcmp_client_fd(session->client), .events = POLLIN},
                           {.fd = session->stop_fd, .events = POLLIN}};
    int64_t wait_ns = until(next_ns, clock_monotonic_ns());
    int64_t deadline_ns = qcmp_client_deadline(session->client);
    if (deadline_ns < wait_ns)
        wait_ns = deadline_ns;
    struct timespec timeout = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (ppoll(fds, 2, &timeout, NULL) < 0 && errno != EINTR)
        return qcmp_error_from_os(errno);
    session->run->interrupted = fds[1].revents != 0;
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

/* Returns a descriptor that is readable when the user wants the run to end, or a negative error. */
static int stop_signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    return fd >= 0 ? fd : qcmp_error_from_os(errno);
}

int ping_run(struct ping_run *run)
{
    struct session session = {.run = run};
    struct qcmp_client_options options = {.slots = slot_count(run)};
    int error = pings_allocate(&session);
    if (error != 0 || session.left == 0)
        return error;
    session.stop_fd = stop_signals_open();
    if (session.stop_fd < 0)
        return session.stop_fd;
    error = qcmp_client_new(&session.client, &options);
    if (error == 0) {
        error = session_run(&session);
        qcmp_client_free(session.client);
    }
    close(session.stop_fd);
    return error;
}
