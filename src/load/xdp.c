/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/shared_word.h"
#include "load/load.h"
#include "load/meter.h"
#include "load/schedule.h"
#include "load/xdp_results.h"
#include "load/xdp_sender.h"
#include "load/xdp_setup.h"
#include "load/xdp_shared.h"
#include "load_xdp.skel.h"

#define SEND_GRACE_NS 100000000

/* A run under way. */
struct xdp_run {
    struct xdp_setup setup;
    struct xdp_sender sender;
    struct load_result *result;
    struct schedule schedule;
    int64_t start_ns;
    int64_t end_ns; /* when the sending ends */
    uint64_t tail;  /* all pings before this one have an end */
};

static bool is_open_loop(const struct xdp_run *run)
{
    return run->setup.options->rate != 0;
}

static uint64_t in_flight(const struct xdp_run *run)
{
    const struct load_xdp_counts *counts = &run->setup.bpf->bss->counts;
    uint64_t ended = shared_word_load(&counts->overrun) + run->setup.bpf->bss->control.expired +
                     shared_word_load(&counts->answered) + shared_word_load(&counts->late_first);
    uint64_t sent = shared_word_load(&counts->sent);
    return sent > ended ? sent - ended : 0;
}

/* Ends the oldest pings whose time is over. A slot that was taken again belongs to a newer ping;
 * the sender has counted the older one. */
static void expire(struct xdp_run *run, int64_t now_ns)
{
    uint64_t sent = shared_word_load(&run->setup.bpf->bss->counts.sent);
    if (sent - run->tail > run->setup.slot_count)
        run->tail = sent - run->setup.slot_count;
    for (; run->tail < sent; run->tail++) {
        struct load_xdp_slot *slot = &run->setup.slots[run->tail & (run->setup.slot_count - 1)];
        uint64_t word = shared_word_load(&slot->word);
        if (word & (LOAD_XDP_ANSWERED | LOAD_XDP_LOST))
            continue;
        /* 0: the sender is just taking it. */
        if (word == 0 || slot->sent_ns + run->setup.options->timeout_ns > now_ns)
            return;
        if (__atomic_compare_exchange_n(&slot->word, &word, word | LOAD_XDP_LOST, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            __atomic_fetch_add(&run->setup.bpf->bss->control.expired, 1, __ATOMIC_RELAXED);
    }
}

static int64_t next_due_ns(const struct xdp_run *run)
{
    return run->start_ns + schedule_next_ns(&run->schedule);
}

/* Writes the times of the next pings into the ring, as far ahead as it has room. */
static void schedule_ahead(struct xdp_run *run)
{
    uint64_t sent = shared_word_load(&run->setup.bpf->bss->counts.sent);
    uint64_t count = run->setup.bpf->bss->control.due_count;
    uint32_t burst = run->setup.options->burst;
    while (count - sent + burst <= LOAD_XDP_AHEAD && next_due_ns(run) < run->end_ns) {
        for (uint32_t i = 0; i < burst; i++)
            run->setup.bpf->bss->due_ns[count++ & (LOAD_XDP_AHEAD - 1)] = next_due_ns(run);
        schedule_advance(&run->schedule);
    }
    __atomic_store_n(&run->setup.bpf->bss->control.due_count, count, __ATOMIC_RELEASE);
}

static bool sending_is_over(const struct xdp_run *run, int64_t now_ns)
{
    const struct load_xdp_bpf__bss *shared = run->setup.bpf->bss;

    if (run->setup.signals > 0 || now_ns >= run->end_ns + SEND_GRACE_NS ||
        xdp_sender_failed(&run->sender))
        return true;
    if (now_ns < run->end_ns || !is_open_loop(run))
        return now_ns >= run->end_ns;
    return next_due_ns(run) >= run->end_ns &&
           shared_word_load(&shared->counts.sent) == shared->control.due_count;
}

static void run_sending(struct xdp_run *run)
{
    int64_t now_ns = run->start_ns;
    if (is_open_loop(run))
        schedule_ahead(run);
    __atomic_store_n(&run->setup.bpf->bss->control.is_sending, 1, __ATOMIC_RELEASE);
    while (!sending_is_over(run, now_ns)) {
        int64_t left_ns = run->end_ns - now_ns;
        xdp_setup_wait(&run->setup, left_ns > 0 && left_ns < XDP_LOOK_NS ? left_ns : XDP_LOOK_NS);
        now_ns = clock_monotonic_ns();
        expire(run, now_ns);
        if (is_open_loop(run))
            schedule_ahead(run);
    }
    __atomic_store_n(&run->setup.bpf->bss->control.is_sending, 0, __ATOMIC_RELEASE);
    if (now_ns < run->end_ns || !is_open_loop(run)) /* a closed loop sends until it is stopped */
        run->end_ns = now_ns;
    run->result->sending_ns = run->end_ns - run->start_ns;
}

/* Pings that were due before the end: of the ring, and of the schedule behind it. */
static uint64_t count_scheduled(struct xdp_run *run, uint64_t sent)
{
    uint64_t at = sent;
    uint64_t ahead = run->setup.bpf->bss->control.due_count;
    if (!is_open_loop(run))
        return sent;
    while (at < ahead && run->setup.bpf->bss->due_ns[at & (LOAD_XDP_AHEAD - 1)] < run->end_ns)
        at++;
    if (at < ahead)
        return at;
    while (next_due_ns(run) < run->end_ns) {
        at += run->setup.options->burst;
        schedule_advance(&run->schedule);
    }
    return at;
}

static int run_measured(struct xdp_run *run)
{
    struct meter meter;
    int error = xdp_sender_start(&run->sender, &run->setup);
    if (error != 0)
        return error;
    meter_start(&meter, run->setup.options);
    run->start_ns = meter.start_ns;
    run->end_ns = run->start_ns + run->setup.options->duration_ns;
    uint64_t idle_before_ns = shared_word_load(&run->setup.bpf->bss->counts.idle_ns);
    run->result->spins = true;
    run_sending(run);
    int64_t idle_ns =
        (int64_t)(shared_word_load(&run->setup.bpf->bss->counts.idle_ns) - idle_before_ns);
    run->result->idle_ns = /* a schedule is over before its end is noticed */
        idle_ns < run->result->sending_ns ? idle_ns : run->result->sending_ns;
    meter_sending_over(&meter, run->result);
    error = xdp_sender_stop(&run->sender);
    if (error != 0)
        return error;

    expire(run, clock_monotonic_ns());
    while (in_flight(run) > 0 && run->setup.signals < 2) {
        xdp_setup_wait(&run->setup, XDP_LOOK_NS);
        expire(run, clock_monotonic_ns());
    }
    meter_stop(&meter, run->setup.options, run->result);
    run->result->interrupted = run->setup.signals > 0;
    xdp_results_take(&run->setup, run->result);
    run->result->counts.scheduled = count_scheduled(run, run->result->counts.sent);
    run->result->counts.unsent = run->result->counts.scheduled - run->result->counts.sent;
    return 0;
}

int load_run_xdp(const struct load_options *options, struct load_result *result,
                 struct error *error)
{
    struct xdp_run run = {.setup = {.options = options, .error = error, .link = -1},
                          .result = result};
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (is_open_loop(&run))
        schedule_init(&run.schedule, options->arrivals, options->rate, options->burst,
                      options->seed);
    int status = xdp_setup_open(&run.setup);
    if (status == 0)
        status = run_measured(&run);
    xdp_setup_close(&run.setup);
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, slack_ns);
    return status;
}
