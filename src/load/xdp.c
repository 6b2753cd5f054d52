#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "engine/xdp/attach.h"
#include "load/flow.h"
#include "load/load.h"
#include "load/meter.h"
#include "load/stop.h"
#include "load/xdp_frame.h"
#include "load/xdp_shared.h"
#include "load_xdp.skel.h"

#define MIN_SLOTS (UINT32_C(1) << 16)
#define MAX_SLOTS (UINT32_C(1) << 21)
#define NONCE_BITS 8

/* Frames that the kernel sends at once: what the receiver of a veth pair takes at once. */
#define KERNEL_BATCH 64

/* Between looks at what the programs have counted: nothing wakes us. */
#define LOOK_NS 500000

#define WAKE_SIGNAL SIGUSR1

#define SEND_GRACE_NS 100000000

#define LEARN_ATTEMPTS 5
#define LEARN_LOOKS 200
#define LEARN_LOOK_NS 1000000

/* A run under way. */
struct xdp_run {
    const struct load_options *options;
    struct load_result *result;
    char *error;
    int *flows; /* sockets that hold the ports */
    struct sockaddr_storage own;
    unsigned interface;
    struct load_xdp_bpf *bpf;
    int link;
    struct load_xdp_slot *slots;
    uint32_t slot_count;
    uint8_t frame[LOAD_XDP_FRAME_BYTES];
    size_t frame_bytes;
    struct schedule schedule;
    int64_t start_ns;
    int64_t end_ns; /* of the sending */
    uint64_t tail;  /* all pings before this one have an end */
    unsigned signals;
    pthread_t sender;
    struct sigaction action_before;
    atomic_bool is_over;     /* both: the threads' word to each other, in any order */
    atomic_int sender_error; /* errno; 0: none yet */
};

static int fail(struct xdp_run *run, int error, const char *what)
{
    snprintf(run->error, LOAD_ERROR_BYTES, "%s: %s", what, strerror(-error));
    return error;
}

static bool is_open_loop(const struct xdp_run *run)
{
    return run->options->rate != 0;
}

static uint64_t read_count(const uint64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static uint64_t in_flight(const struct xdp_run *run)
{
    const struct load_xdp_counts *counts = &run->bpf->bss->counts;
    uint64_t ended = read_count(&counts->overrun) + run->bpf->bss->control.expired +
                     read_count(&counts->answered) + read_count(&counts->late_first);
    uint64_t sent = read_count(&counts->sent);
    return sent > ended ? sent - ended : 0;
}

/* Waits, and takes signals. */
static void wait_for(struct xdp_run *run, int64_t ns)
{
    struct pollfd stop = {.fd = run->options->stop_fd, .events = POLLIN};
    const struct timespec timeout = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ppoll(&stop, 1, &timeout, NULL) > 0)
        run->signals += stop_signals_take(run->options->stop_fd);
}

/* Ends the oldest pings whose time is over. A slot that was taken again belongs to a newer ping;
 * the sender has counted the older one. */
static void expire(struct xdp_run *run, int64_t now_ns)
{
    uint64_t sent = read_count(&run->bpf->bss->counts.sent);
    if (sent - run->tail > run->slot_count)
        run->tail = sent - run->slot_count;
    for (; run->tail < sent; run->tail++) {
        struct load_xdp_slot *slot = &run->slots[run->tail & (run->slot_count - 1)];
        uint64_t word = read_count(&slot->word);
        if (word & (LOAD_XDP_ANSWERED | LOAD_XDP_LOST))
            continue;
        /* 0: the sender is just taking it. */
        if (word == 0 || slot->sent_ns + run->options->timeout_ns > now_ns)
            return;
        if (__atomic_compare_exchange_n(&slot->word, &word, word | LOAD_XDP_LOST, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            __atomic_fetch_add(&run->bpf->bss->control.expired, 1, __ATOMIC_RELAXED);
    }
}

/* Gives frames to the program for as long as it runs; a signal ends it. */
static void *sender_main(void *argument)
{
    struct xdp_run *run = argument;
    struct xdp_md context = {.data_end = (uint32_t)run->frame_bytes,
                             .ingress_ifindex = run->interface};
    int error = 0;
    while (error == 0 && !atomic_load(&run->is_over)) {
        struct bpf_test_run_opts test = {.sz = sizeof test,
                                         .data_in = run->frame,
                                         .data_size_in = (uint32_t)run->frame_bytes,
                                         .ctx_in = &context,
                                         .ctx_size_in = sizeof context,
                                         .repeat = INT32_MAX,
                                         .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                         .batch_size = KERNEL_BATCH};
        error = bpf_prog_test_run_opts(bpf_program__fd(run->bpf->progs.load_send), &test);
        error = error == 0 || errno == EINTR ? 0 : errno;
    }
    atomic_store(&run->sender_error, error);
    return NULL;
}

static void ignore_signal(int number)
{
    (void)number;
}

/* The signal that ends a call of the kernel has to have a handler. */
static int sender_start(struct xdp_run *run)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    sigemptyset(&action.sa_mask);
    sigaction(WAKE_SIGNAL, &action, &run->action_before);
    int error = pthread_create(&run->sender, NULL, sender_main, run);
    if (error != 0) {
        sigaction(WAKE_SIGNAL, &run->action_before, NULL);
        return fail(run, -error, "cannot start a thread");
    }
    while (atomic_load(&run->sender_error) == 0 && run->signals == 0 &&
           __atomic_load_n(&run->bpf->bss->control.is_alive, __ATOMIC_RELAXED) == 0)
        wait_for(run, LOOK_NS);
    return 0;
}

/* The signal may come before the call that it shall end. */
static int sender_stop(struct xdp_run *run)
{
    atomic_store(&run->is_over, true);
    do
        pthread_kill(run->sender, WAKE_SIGNAL);
    while (wait_for(run, LOOK_NS), pthread_tryjoin_np(run->sender, NULL) == EBUSY);
    sigaction(WAKE_SIGNAL, &run->action_before, NULL);
    int error = atomic_load(&run->sender_error);
    if (error != 0)
        return fail(run, -error, "the kernel does not send frames (BPF_PROG_RUN)");
    return 0;
}

static int64_t next_due_ns(const struct xdp_run *run)
{
    return run->start_ns + schedule_next_ns(&run->schedule);
}

/* Writes the times of the next pings into the ring, as far ahead as it has room. */
static void schedule_ahead(struct xdp_run *run)
{
    uint64_t sent = read_count(&run->bpf->bss->counts.sent);
    uint64_t count = run->bpf->bss->control.due_count;
    uint32_t burst = run->options->burst;
    while (count - sent + burst <= LOAD_XDP_AHEAD && next_due_ns(run) < run->end_ns) {
        for (uint32_t i = 0; i < burst; i++)
            run->bpf->bss->due_ns[count++ & (LOAD_XDP_AHEAD - 1)] = next_due_ns(run);
        schedule_advance(&run->schedule);
    }
    __atomic_store_n(&run->bpf->bss->control.due_count, count, __ATOMIC_RELEASE);
}

/* Everything that was due has been sent. */
static bool is_all_sent(const struct xdp_run *run)
{
    return next_due_ns(run) >= run->end_ns &&
           read_count(&run->bpf->bss->counts.sent) == run->bpf->bss->control.due_count;
}

static bool sending_is_over(const struct xdp_run *run, int64_t now_ns)
{
    if (run->signals > 0 || now_ns >= run->end_ns + SEND_GRACE_NS ||
        atomic_load(&run->sender_error) != 0)
        return true;
    return now_ns >= run->end_ns && (!is_open_loop(run) || is_all_sent(run));
}

static void set_sending(struct xdp_run *run, uint32_t is_sending)
{
    __atomic_store_n(&run->bpf->bss->control.is_sending, is_sending, __ATOMIC_RELEASE);
}

static void run_sending(struct xdp_run *run)
{
    int64_t now_ns = run->start_ns;
    if (is_open_loop(run))
        schedule_ahead(run);
    set_sending(run, 1);
    while (!sending_is_over(run, now_ns)) {
        int64_t left_ns = run->end_ns - now_ns;
        wait_for(run, left_ns > 0 && left_ns < LOOK_NS ? left_ns : LOOK_NS);
        now_ns = clock_monotonic_ns();
        expire(run, now_ns);
        if (is_open_loop(run))
            schedule_ahead(run);
    }
    set_sending(run, 0);
    if (now_ns < run->end_ns || !is_open_loop(run)) /* a closed loop sends until it is stopped */
        run->end_ns = now_ns;
    run->result->sending_ns = run->end_ns - run->start_ns;
}

/* Pings that were due before the end: of the ring, and of the schedule behind it. */
static uint64_t count_scheduled(struct xdp_run *run, uint64_t sent)
{
    uint64_t at = sent;
    uint64_t ahead = run->bpf->bss->control.due_count;
    if (!is_open_loop(run))
        return sent;
    while (at < ahead && run->bpf->bss->due_ns[at & (LOAD_XDP_AHEAD - 1)] < run->end_ns)
        at++;
    if (at < ahead)
        return at;
    while (next_due_ns(run) < run->end_ns) {
        at += run->options->burst;
        schedule_advance(&run->schedule);
    }
    return at;
}

static void run_draining(struct xdp_run *run)
{
    expire(run, clock_monotonic_ns());
    while (in_flight(run) > 0 && run->signals < 2) {
        wait_for(run, LOOK_NS);
        expire(run, clock_monotonic_ns());
    }
}

/* Each number is read once: answers may still come. */
static void take_counts(struct xdp_run *run)
{
    const struct load_xdp_counts *from = &run->bpf->bss->counts;
    struct load_counts *counts = &run->result->counts;
    counts->sent = from->sent;
    counts->scheduled = count_scheduled(run, counts->sent);
    counts->unsent = counts->scheduled - counts->sent;
    counts->answered = read_count(&from->answered);
    counts->lost = from->overrun + run->bpf->bss->control.expired + read_count(&from->late_first);
    counts->unfinished = counts->sent - counts->answered - counts->lost;
    counts->late = read_count(&from->late);
    counts->duplicates = read_count(&from->duplicates);
    counts->foreign = read_count(&from->foreign);
}

static void take_buckets(const struct xdp_run *run, uint32_t which, uint64_t *cpus, size_t count,
                         struct hdr_histogram *times)
{
    int fd = bpf_map__fd(run->bpf->maps.buckets);
    for (uint32_t i = 0; i < HDR_HISTOGRAM_BUCKETS; i++) {
        uint32_t key = which * HDR_HISTOGRAM_BUCKETS + i;
        uint64_t sum = 0;
        if (bpf_map_lookup_elem(fd, &key, cpus) != 0)
            continue;
        for (size_t cpu = 0; cpu < count; cpu++)
            sum += cpus[cpu];
        hdr_histogram_add_bucket(times, i, sum);
    }
}

/* Exact values instead of those of the buckets. */
static void take_extremes(const struct xdp_run *run, uint32_t which, size_t count,
                          struct hdr_histogram *times)
{
    struct load_xdp_extremes *cpus = calloc(count, sizeof *cpus);
    if (cpus == NULL ||
        bpf_map_lookup_elem(bpf_map__fd(run->bpf->maps.extremes), &which, cpus) != 0) {
        free(cpus);
        return;
    }
    times->min = INT64_MAX;
    times->max = 0;
    times->sum = 0;
    for (size_t cpu = 0; cpu < count; cpu++) {
        if (cpus[cpu].min_plus_1 == 0)
            continue;
        if ((int64_t)cpus[cpu].min_plus_1 - 1 < times->min)
            times->min = (int64_t)cpus[cpu].min_plus_1 - 1;
        if ((int64_t)cpus[cpu].max > times->max)
            times->max = (int64_t)cpus[cpu].max;
        times->sum += (double)cpus[cpu].sum;
    }
    free(cpus);
}

static void take_times(const struct xdp_run *run, uint32_t which, struct hdr_histogram *times)
{
    size_t count = (size_t)libbpf_num_possible_cpus();
    uint64_t *cpus = calloc(count, sizeof *cpus);
    if (cpus == NULL)
        return;
    take_buckets(run, which, cpus, count, times);
    free(cpus);
    if (times->count > 0)
        take_extremes(run, which, count, times);
}

/* In a closed loop pings are due when they are sent. */
static void take_all_times(const struct xdp_run *run)
{
    struct load_result *result = run->result;
    take_times(run, LOAD_XDP_ROUND_TRIP, &result->round_trip_ns);
    if (is_open_loop(run)) {
        take_times(run, LOAD_XDP_LATENCY, &result->latency_ns);
        take_times(run, LOAD_XDP_LAG, &result->lag_ns);
    } else {
        result->latency_ns = result->round_trip_ns;
        hdr_histogram_add_bucket(&result->lag_ns, 0, result->counts.sent);
    }
}

static int run_measured(struct xdp_run *run)
{
    struct meter meter;
    int error = sender_start(run);
    if (error != 0)
        return error;
    meter_start(&meter, run->options);
    run->start_ns = meter.start_ns;
    run->end_ns = run->start_ns + run->options->duration_ns;
    uint64_t idle_before_ns = read_count(&run->bpf->bss->counts.idle_ns);
    run->result->spins = true;
    run_sending(run);
    int64_t idle_ns = (int64_t)(read_count(&run->bpf->bss->counts.idle_ns) - idle_before_ns);
    run->result->idle_ns = /* a schedule is over before its end is noticed */
        idle_ns < run->result->sending_ns ? idle_ns : run->result->sending_ns;
    meter_sending_over(&meter, run->result);
    error = sender_stop(run);
    if (error != 0)
        return error;
    run_draining(run);
    meter_stop(&meter, run->options, run->result);
    run->result->interrupted = run->signals > 0;
    take_counts(run);
    take_all_times(run);
    return 0;
}

/* Opens the sockets that hold the ports, and learns their address. */
static int open_flows(struct xdp_run *run)
{
    const struct load_options *options = run->options;
    run->flows = malloc(options->flows * sizeof *run->flows);
    if (run->flows == NULL)
        return fail(run, -ENOMEM, "flows");
    for (uint32_t i = 0; i < options->flows; i++)
        run->flows[i] = -1;
    flow_raise_limit();
    for (uint32_t i = 0; i < options->flows; i++) {
        run->flows[i] = flow_open(&options->target, options->target_bytes, false);
        if (run->flows[i] < 0)
            return fail(run, run->flows[i], "cannot open a socket to the target");
    }
    socklen_t bytes = sizeof run->own;
    if (getsockname(run->flows[0], (struct sockaddr *)&run->own, &bytes) != 0)
        return fail(run, -errno, "getsockname");
    return 0;
}

/* The address in network order, 4 or 16 bytes. */
static void copy_address(const struct sockaddr_storage *from, uint8_t to[16])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, from, sizeof v4);
    memcpy(&v6, from, sizeof v6);
    if (from->ss_family == AF_INET6)
        memcpy(to, &v6.sin6_addr, 16);
    else
        memcpy(to, &v4.sin_addr, 4);
}

static uint16_t port_of(const struct sockaddr_storage *from)
{
    struct sockaddr_in address; /* where an IPv6 address has its port, too */
    memcpy(&address, from, sizeof address);
    return ntohs(address.sin_port);
}

static bool has_own_address(const struct xdp_run *run, const struct ifaddrs *one)
{
    struct sockaddr_storage other = {0};
    uint8_t own_bytes[16] = {0}, other_bytes[16] = {0};
    bool is_ipv6 = run->own.ss_family == AF_INET6;
    if (one->ifa_addr == NULL || one->ifa_addr->sa_family != run->own.ss_family)
        return false;
    memcpy(&other, one->ifa_addr,
           is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    copy_address(&run->own, own_bytes);
    copy_address(&other, other_bytes);
    return memcmp(own_bytes, other_bytes, sizeof own_bytes) == 0;
}

static int find_interface(struct xdp_run *run)
{
    struct ifaddrs *all;
    run->interface = run->options->interface;
    if (run->interface != 0)
        return 0;
    if (getifaddrs(&all) != 0)
        return fail(run, -errno, "cannot list the interfaces");
    for (const struct ifaddrs *one = all; one != NULL && run->interface == 0; one = one->ifa_next)
        if (has_own_address(run, one))
            run->interface = if_nametoindex(one->ifa_name);
    freeifaddrs(all);
    return run->interface != 0 ? 0 : fail(run, -ENODEV, "no interface has the source address");
}

/* As many as pings are sent in twice the time-out, if that is known. */
static uint32_t slots_for(const struct load_options *options)
{
    double wanted = 2 * (double)options->rate * (double)options->timeout_ns / 1e9;
    uint32_t slots = MIN_SLOTS;
    while (slots < MAX_SLOTS && (options->rate == 0 || slots < wanted))
        slots *= 2;
    return slots;
}

static struct load_xdp_settings settings_for(const struct xdp_run *run)
{
    const struct load_options *options = run->options;
    struct load_xdp_settings settings = {.is_ipv6 = options->target.ss_family == AF_INET6,
                                         .is_open_loop = is_open_loop(run),
                                         .target_port = port_of(&options->target),
                                         .flows = options->flows,
                                         .burst = options->burst,
                                         .in_flight = options->in_flight,
                                         .slots = run->slot_count,
                                         .stamp_bits =
                                             (uint32_t)__builtin_ctz(run->slot_count) - NONCE_BITS,
                                         .timeout_ns = options->timeout_ns,
                                         .epoch_ns = clock_wall_ns() - clock_monotonic_ns()};
    if (!is_open_loop(run) && settings.burst > settings.in_flight)
        settings.burst = settings.in_flight;
    copy_address(&options->target, settings.target);
    copy_address(&run->own, settings.own);
    return settings;
}

static int set_ports(struct xdp_run *run)
{
    for (uint32_t i = 0; i < run->options->flows; i++) {
        struct sockaddr_storage own;
        socklen_t bytes = sizeof own;
        if (getsockname(run->flows[i], (struct sockaddr *)&own, &bytes) != 0)
            return fail(run, -errno, "getsockname");
        uint16_t port = port_of(&own);
        run->bpf->bss->ports[i] = port;
        run->bpf->bss->is_ours[port / 64] |= UINT64_C(1) << port % 64;
    }
    return 0;
}

static int load_programs(struct xdp_run *run)
{
    libbpf_set_print(NULL);
    run->bpf = load_xdp_bpf__open();
    if (run->bpf == NULL)
        return fail(run, -errno, "cannot open the BPF programs");
    run->slot_count = slots_for(run->options);
    const struct load_xdp_settings settings = settings_for(run);
    memcpy(&run->bpf->rodata->settings, &settings, sizeof settings);
    int error = bpf_map__set_max_entries(run->bpf->maps.slots, run->slot_count);
    if (error == 0)
        error = load_xdp_bpf__load(run->bpf);
    if (error != 0)
        return fail(run, error, "the kernel refuses the BPF programs (they need CAP_BPF)");
    void *slots = mmap(NULL, run->slot_count * sizeof *run->slots, PROT_READ | PROT_WRITE,
                       MAP_SHARED, bpf_map__fd(run->bpf->maps.slots), 0);
    if (slots == MAP_FAILED)
        return fail(run, -errno, "cannot map the slots");
    run->slots = slots;
    return set_ports(run);
}

/* The flag is cleared by the program, once an answer has come. */
static bool learn_once(struct xdp_run *run)
{
    uint8_t bytes[QCMP_PING_BYTES];
    const struct qcmp_packet ping = {.kind = QCMP_PING, .client_ns = clock_wall_ns()};
    (void)qcmp_packet_encode(&ping, bytes, sizeof bytes);
    (void)!send(run->flows[0], bytes, sizeof bytes, 0);
    for (int i = 0; i < LEARN_LOOKS && run->signals == 0; i++) {
        if (__atomic_load_n(&run->bpf->bss->learning, __ATOMIC_ACQUIRE) == 0)
            return true;
        wait_for(run, LEARN_LOOK_NS);
    }
    return false;
}

static int learn_addresses(struct xdp_run *run, struct xdp_frame_ends *ends)
{
    bool is_learned = false;
    __atomic_store_n(&run->bpf->bss->learning, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < LEARN_ATTEMPTS && !is_learned && run->signals == 0; i++)
        is_learned = learn_once(run);
    __atomic_store_n(&run->bpf->bss->learning, 0, __ATOMIC_RELEASE);
    if (!is_learned) {
        snprintf(run->error, LOAD_ERROR_BYTES,
                 "no answer to a ping over a socket, so that the target's Ethernet address is not "
                 "known: is there a responder, and does its answer come through this interface? "
                 "--target-mac does without");
        return -ETIMEDOUT;
    }
    memcpy(ends->own_mac, run->bpf->bss->learned, 6);
    memcpy(ends->target_mac, run->bpf->bss->learned + 6, 6);
    return 0;
}

static int read_own_mac(struct xdp_run *run, uint8_t mac[6])
{
    struct ifreq request = {0};
    if (if_indextoname(run->interface, request.ifr_name) == NULL ||
        ioctl(run->flows[0], SIOCGIFHWADDR, &request) != 0)
        return fail(run, -errno, "cannot read the interface's Ethernet address");
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    return 0;
}

static int make_frame(struct xdp_run *run)
{
    struct xdp_frame_ends ends = {.own = run->own, .target = run->options->target};
    int error;
    if (run->options->has_target_mac) {
        memcpy(ends.target_mac, run->options->target_mac, 6);
        error = read_own_mac(run, ends.own_mac);
    } else {
        error = learn_addresses(run, &ends);
    }
    if (error == 0) {
        run->frame_bytes = xdp_frame_write(&ends, run->frame, &run->bpf->bss->frame_sum);
        memcpy(run->bpf->bss->frame, run->frame, sizeof run->frame);
    }
    return error;
}

static int run_open(struct xdp_run *run)
{
    int error = open_flows(run);
    if (error == 0)
        error = find_interface(run);
    if (error == 0)
        error = load_programs(run);
    if (error != 0)
        return error;
    run->link = xdp_attach(bpf_program__fd(run->bpf->progs.load_receive), run->interface,
                           XDP_MODE_NATIVE, run->error, LOAD_ERROR_BYTES);
    if (run->link < 0)
        return run->link;
    if (is_open_loop(run))
        schedule_init(&run->schedule, run->options->arrivals, run->options->rate,
                      run->options->burst, run->options->seed);
    return make_frame(run);
}

static void run_close(struct xdp_run *run)
{
    if (run->link >= 0)
        close(run->link);
    if (run->slots != NULL)
        munmap(run->slots, run->slot_count * sizeof *run->slots);
    load_xdp_bpf__destroy(run->bpf);
    for (uint32_t i = 0; run->flows != NULL && i < run->options->flows; i++)
        if (run->flows[i] >= 0)
            close(run->flows[i]);
    free(run->flows);
}

int load_run_xdp(const struct load_options *options, struct load_result *result,
                 char error[LOAD_ERROR_BYTES])
{
    struct xdp_run run = {.options = options, .result = result, .error = error, .link = -1};
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    int status = run_open(&run);
    if (status == 0)
        status = run_measured(&run);
    run_close(&run);
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, slack_ns);
    return status;
}
