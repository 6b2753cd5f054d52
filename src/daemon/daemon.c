#include "daemon/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "daemon/fast_path.h"
#include "daemon/low_latency.h"
#include "daemon/notify.h"
#include "daemon/operator.h"
#include "daemon/privileges.h"
#include "daemon/qcmp_service.h"
#include "daemon/reload.h"
#include "daemon/state.h"
#include "daemon/watch.h"
#include "loop/signals.h"
#include "net/address.h"

#define EXIT_FAILED 255
#define TICK_MS 1000
#define MAX_WATCHES 4

/* Until a reload that lacked a descriptor is tried again. */
#define RETRY_NS INT64_C(1000000000)

/* After a second signal. A stop of threads that all work takes a fraction of it. */
#define STOP_GRACE_USEC 500000L

/* What the main loop waits for. */
struct loop {
    struct daemon *daemon;
    const char *notify_socket;
    bool watchdog;
    int tick_ms;
    int signal_fd;
    struct watch watches[MAX_WATCHES];
    unsigned watches_count;
    int64_t retry_ns; /* when to reload again, monotonic; INT64_MAX: not by itself */
    int64_t stop_ns;  /* when to stop, the same; INT64_MAX until told */
};

/* Whoever reads the log may go away; that must not end the service. */
static void ignore_broken_pipes(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

/* Threads inherit the mask, so it stands before there are any. */
static int open_signals(void)
{
    sigset_t signals;
    signals_stop_set(&signals);
    sigaddset(&signals, SIGHUP);
    return signals_open(&signals, NULL);
}

static void end_now(int signal)
{
    (void)signal;
    _exit(0);
}

/* Whoever works has answered what is queued, and told the counts, long before. A third signal does
 * not wait. setitimer() is a bare system call here, so a handler may call it. */
static void end_soon(int signal)
{
    const struct itimerval grace = {.it_value = {.tv_usec = STOP_GRACE_USEC}};
    struct itimerval before = {.it_value = {0}};
    (void)signal;
    setitimer(ITIMER_REAL, &grace, &before);
    if (before.it_value.tv_usec != 0)
        _exit(0);
}

/* The last steps of a stop wait for other threads, so nobody reads signals any more: from now on
 * one of them, also one that is pending, ends the process wherever it stands. */
static void end_at_next_signal(void)
{
    struct sigaction soon = {.sa_handler = end_soon, .sa_flags = SA_RESTART};
    struct sigaction now = {.sa_handler = end_now};
    sigset_t signals;
    sigaction(SIGINT, &soon, NULL);
    sigaction(SIGTERM, &soon, NULL);
    sigaction(SIGALRM, &now, NULL);
    signals_stop_set(&signals);
    sigaddset(&signals, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "paddock: %s: %s\n", what, strerror(-error));
    return EXIT_FAILED;
}

static const char *environment(const struct daemon *daemon, const char *name)
{
    const struct config_environment *environment = daemon->start->environment;
    return environment->get(name, environment->user);
}

static unsigned worker_count(const struct process_settings *process)
{
    if (process->workers != 0)
        return process->workers;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (unsigned)cpus : 1;
}

/* The first that is served: where the host has no IPv6, `::` is not, or it is 0.0.0.0. */
static struct in6_addr first_address(const struct daemon *daemon)
{
    const struct qcmp_settings *config = daemon_qcmp(daemon);
    struct in6_addr address = config->listen[0];
    if (qcmp_service_ipv6(daemon->service))
        return address;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (IN6_IS_ADDR_V4MAPPED(&config->listen[i]))
            return config->listen[i];
    }
    address_fall_back(&address, -EAFNOSUPPORT);
    return address;
}

static void log_ready(struct daemon *daemon)
{
    char address[ADDRESS_TEXT_BYTES];
    unsigned port = qcmp_service_port(daemon->service);
    struct in6_addr first = first_address(daemon);
    address_format(&first, (uint16_t)port, address);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "qcmp ready"),
              log_uint("port", port), log_text("address", address));
}

static void log_stopped(struct log *log, const struct counters_sum *sum, uint64_t kernel_drops)
{
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "qcmp stopped"),
              log_uint("received", sum->received), log_uint("answered", sum->answered),
              log_uint("valid", counters_kind(sum, OUTCOME_KIND_VALID)),
              log_uint("invalid", counters_kind(sum, OUTCOME_KIND_INVALID)),
              log_uint("unsupported", counters_kind(sum, OUTCOME_KIND_UNSUPPORTED)),
              log_uint("dropped", counters_kind(sum, OUTCOME_KIND_DROPPED)),
              log_uint("send_errors", sum->send_errors),
              log_uint("receive_errors", sum->receive_errors),
              log_uint("kernel_drops", kernel_drops));
}

/* In each worker's thread, before it works. The first stands for all, but when one fails. */
static void worker_began(void *user)
{
    struct daemon *daemon = user;
    if (!daemon->confine_workers)
        return;
    int error = privileges_confine_worker();
    if (error != 0)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN, log_text("message", "a worker runs without seccomp"),
                  log_text("error", strerror(-error)));
    else if (!atomic_exchange_explicit(&daemon->confinement_told, true, memory_order_relaxed))
        LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
                  log_text("step", "confine the workers by seccomp"));
}

/* @param failed the index of an address, or more than there are. */
static int fail_to_serve(const struct qcmp_settings *config, size_t failed, int error)
{
    char what[ADDRESS_TEXT_BYTES + 72], address[ADDRESS_TEXT_BYTES];
    if (error == -EOPNOTSUPP)
        return fail("the engine cannot enforce access lists or the guard", error);
    if (failed >= config->listen_count || address_is_any(&config->listen[failed])) {
        snprintf(what, sizeof what, "cannot serve QCMP on UDP port %u", config->port);
        return fail(what, error);
    }
    address_format(&config->listen[failed], config->port, address);
    snprintf(what, sizeof what, "cannot serve QCMP on %s (paddock.qcmp.listen[%zu])", address,
             failed);
    return fail(what, error);
}

static int service_open(struct daemon *daemon)
{
    const struct process_settings *process = daemon_process(daemon);
    const struct qcmp_settings *config = daemon_qcmp(daemon);
    size_t failed = SIZE_MAX;
    struct rules_options rules = reload_rules(daemon->config);
    struct xdp *xdp;
    if (fast_path_open(&xdp, process, config, daemon->log) != 0)
        return EXIT_FAILED;
    struct qcmp_service_options options = {.port = config->port,
                                           .addresses = config->listen,
                                           .addresses_count = config->listen_count,
                                           .failed_address = &failed,
                                           .workers = worker_count(process),
                                           .receive_buffer_ns = config->receive_buffer_ns,
                                           .max_age_ns = config->max_age_ns,
                                           .pin = process->pin,
                                           .realtime = process->realtime,
                                           .rules = &rules,
                                           .xdp = xdp,
                                           .worker_began = worker_began,
                                           .user = daemon};
    if (process->low_latency) {
        daemon->cpus_fd = low_latency_hold_cpus(daemon->log);
        options.low_latency = low_latency_can_poll(daemon->log);
    }
    int error = qcmp_service_open(&daemon->service, &options);
    if (error == 0)
        return 0;
    xdp_close(xdp);
    return fail_to_serve(config, failed, error);
}

/* Whoever the process has become must be able to read the file again. */
static void warn_about_file(const struct daemon *daemon)
{
    const struct config_file *file = config_file(daemon->config);
    if (file->is_loaded && access(file->path, R_OK) != 0)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message", "the configuration file cannot be read for a reload"),
                  log_text("file", file->path), log_text("error", strerror(errno)));
}

static int admin_open(struct daemon *daemon, struct admin **admin)
{
    const struct process_settings *config = daemon_process(daemon);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address;
    char port[8], what[PROCESS_ADDRESS_BYTES + 32];
    if (!config->admin_enabled)
        return 0;
    snprintf(port, sizeof port, "%u", (unsigned)config->admin.target.port);
    snprintf(what, sizeof what, "cannot serve HTTP on %s", config->admin.text);
    if (getaddrinfo(config->admin.target.host, port, &hints, &address) != 0)
        return fail(what, -EINVAL);
    struct admin_options options = {
        .address = address->ai_addr, .callbacks = operator_callbacks(), .user = daemon};
    int error = admin_start(admin, &options);
    freeaddrinfo(address);
    if (error != 0)
        return fail(what, error);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "admin ready"),
              log_uint("port", admin_port(*admin)), log_text("address", config->admin.text));
    return 0;
}

/* Returns whether one of them is not as it was when the configuration was read. */
static bool loop_watch_files(struct loop *loop)
{
    bool changed = false;
    const struct daemon *daemon = loop->daemon;
    const struct config_file *file = config_file(daemon->config);
    const char *path;
    for (unsigned i = 0; i < MAX_WATCHES && (path = config_watch_path(daemon->config, i)); i++) {
        struct file_identity known = {0};
        bool is_used = strcmp(path, file->path) == 0;
        if (is_used)
            known = file->identity;
        struct watch *watch = &loop->watches[loop->watches_count++];
        int error = watch_open(watch, path, &known);
        changed = watch_changed(watch) || changed;
        if (error != 0)
            LOG_EVENT(daemon->log, is_used ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
                      log_text("message",
                               "some changes of a configuration file are not noticed: use SIGHUP"),
                      log_text("file", path), log_text("error", strerror(-error)));
    }
    return changed;
}

/* Tells systemd, where it asked; that nobody listens is not worth more than a line at debug. */
static void tell(const struct loop *loop, const char *state)
{
    int error = notify_send(loop->notify_socket, state);
    if (error != 0)
        LOG_EVENT(loop->daemon->log, LOG_LEVEL_DEBUG, log_text("message", "sd_notify failed"),
                  log_text("error", strerror(-error)));
}

static void loop_read(struct loop *loop, bool is_repeated)
{
    bool again = reload(loop->daemon, is_repeated);
    loop->retry_ns = again ? clock_monotonic_ns() + RETRY_NS : INT64_MAX;
}

static void loop_reload(struct loop *loop)
{
    if (loop->stop_ns != INT64_MAX)
        return;
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_monotonic_ns() / 1000));
    tell(loop, state);
    loop_read(loop, false);
    tell(loop, "READY=1");
}

static void loop_begin_stop(struct loop *loop, const char *reason)
{
    struct daemon *daemon = loop->daemon;
    if (loop->stop_ns != INT64_MAX) {
        loop->stop_ns = 0; /* told twice: at once; serve() goes by it, too */
        return;
    }
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "shutting down"),
              log_text("reason", reason));
    tell(loop, "STOPPING=1");
    loop->retry_ns = INT64_MAX;
    atomic_store_explicit(&daemon->stopping, true, memory_order_relaxed);
    loop->stop_ns = clock_monotonic_ns() + daemon_process(daemon)->termination_timeout_ns;
}

static void loop_take_signals(struct loop *loop)
{
    int taken;
    while ((taken = signals_take(loop->signal_fd)) != 0) {
        if (taken == SIGHUP)
            loop_reload(loop);
        else
            loop_begin_stop(loop, taken == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

/* Only when told: a file that is being written is not looked at before it is closed. With each tick
 * where the system may not tell; and again, as it is then, after a reload that could not look. */
static void loop_take_changes(struct loop *loop, const struct pollfd fds[MAX_WATCHES])
{
    bool changed = false;
    for (unsigned i = 0; i < loop->watches_count; i++) {
        struct watch *watch = &loop->watches[i];
        bool is_due = fds[i].revents != 0 || watch->is_incomplete;
        changed = (is_due && watch_changed(watch)) || changed;
    }
    if (changed)
        loop_reload(loop);
    else if (clock_monotonic_ns() >= loop->retry_ns) /* never during a stop */
        loop_read(loop, true);                       /* systemd has heard of the first */
}

static void loop_tick(struct loop *loop)
{
    struct daemon *daemon = loop->daemon;
    int64_t now_ns = clock_monotonic_ns();
    fast_path_report(qcmp_service_xdp(daemon->service), qcmp_service_tick(daemon->service, now_ns),
                     daemon->log);
    log_flush(daemon->log, false);
    bool alive = qcmp_service_alive(daemon->service, now_ns);
    bool before = atomic_exchange_explicit(&daemon->alive, alive, memory_order_relaxed);
    atomic_store_explicit(&daemon->ticked_ns, now_ns, memory_order_relaxed);
    if (before && !alive)
        LOG_EVENT(daemon->log, LOG_LEVEL_ERROR, log_text("message", "a worker does not react"));
    if (alive && loop->watchdog)
        tell(loop, "WATCHDOG=1");
}

static int loop_timeout_ms(const struct loop *loop)
{
    int64_t next_ns = loop->stop_ns < loop->retry_ns ? loop->stop_ns : loop->retry_ns;
    if (next_ns == INT64_MAX)
        return loop->tick_ms;
    int64_t left_ms = (next_ns - clock_monotonic_ns()) / 1000000 + 1;
    if (left_ms < 0)
        return 0;
    return left_ms < loop->tick_ms ? (int)left_ms : loop->tick_ms;
}

static void loop_run(struct loop *loop)
{
    /* poll() passes over the -1 of a service without XDP. */
    struct pollfd fds[2 + MAX_WATCHES] = {
        {.fd = loop->signal_fd, .events = POLLIN},
        {.fd = qcmp_service_poll_fd(loop->daemon->service), .events = POLLIN}};
    for (unsigned i = 0; i < loop->watches_count; i++)
        fds[2 + i] = (struct pollfd){.fd = loop->watches[i].fd, .events = POLLIN};
    loop_tick(loop);
    tell(loop, "READY=1");
    while (clock_monotonic_ns() < loop->stop_ns) {
        if (poll(fds, 2 + loop->watches_count, loop_timeout_ms(loop)) < 0)
            continue; /* interrupted: nothing is known of the descriptors */
        loop_take_signals(loop);
        loop_take_changes(loop, fds + 2);
        loop_tick(loop);
    }
}

static void loop_fini(struct loop *loop)
{
    for (unsigned i = 0; i < loop->watches_count; i++)
        watch_close(&loop->watches[i]);
    close(loop->signal_fd);
}

static int fail_to_start(const struct process_settings *config, int error)
{
    char what[96];
    snprintf(what, sizeof what, "cannot start the workers%s%s",
             config->pin ? ", each on a CPU of its own (pin)" : "",
             config->realtime ? ", in real time (realtime)" : "");
    return fail(what, error);
}

/* What a service still does with privilege: it binds another port, and starts workers for it. */
static uint64_t kept_capabilities(const struct process_settings *config)
{
    uint64_t nice = config->realtime ? PRIVILEGES_CAPABILITY(CAP_SYS_NICE) : 0;
    return PRIVILEGES_CAPABILITY(CAP_NET_BIND_SERVICE) | nice;
}

/* From a bound port to the stop. Returns the exit status. */
static int serve(struct loop *loop)
{
    struct daemon *daemon = loop->daemon;
    struct admin *admin = NULL;
    if (privileges_drop(daemon_process(daemon)->user, kept_capabilities(daemon_process(daemon)),
                        daemon->log) != 0)
        return EXIT_FAILED;
    reload_warn_unused(daemon->log, daemon->config, 1);
    warn_about_file(daemon);
    reload_warn_receive_buffer(daemon);
    int error = qcmp_service_start(daemon->service);
    if (error != 0)
        return fail_to_start(daemon_process(daemon), error);
    if (loop_watch_files(loop))
        loop_read(loop, false); /* changed since it was read */
    int status = admin_open(daemon, &admin);
    if (status == 0) {
        log_ready(daemon);
        loop_run(loop);
        end_at_next_signal();
        if (loop->stop_ns == 0) /* it was the second that ended the loop */
            end_soon(0);
    }
    admin_stop(admin);
    return status;
}

/* Twice within the time after which systemd's watchdog bites, and at least once a second. */
static int tick_ms(uint64_t watchdog_usec)
{
    uint64_t half_ms = watchdog_usec / 2000 + (watchdog_usec < 2000);
    return watchdog_usec != 0 && half_ms < TICK_MS ? (int)half_ms : TICK_MS;
}

/* environment() may give the same memory for each variable. */
static uint64_t watchdog_usec(const struct daemon *daemon)
{
    uint64_t usec = notify_watchdog_usec(environment(daemon, "WATCHDOG_USEC"));
    return notify_watchdog_is_ours(environment(daemon, "WATCHDOG_PID")) ? usec : 0;
}

static int run(struct daemon *daemon)
{
    uint64_t usec = watchdog_usec(daemon);
    struct loop loop = {.daemon = daemon,
                        .notify_socket = environment(daemon, "NOTIFY_SOCKET"),
                        .watchdog = usec != 0,
                        .tick_ms = tick_ms(usec),
                        .retry_ns = INT64_MAX,
                        .stop_ns = INT64_MAX};
    struct counters_sum sum;
    uint64_t drops;
    loop.signal_fd = open_signals();
    if (loop.signal_fd < 0)
        return fail("cannot wait for signals", loop.signal_fd);
    int status = service_open(daemon);
    if (status == 0) {
        status = serve(&loop);
        qcmp_service_stop(daemon->service, &sum, &drops);
        log_flush(daemon->log, true);
        if (status == 0)
            log_stopped(daemon->log, &sum, drops);
    }
    loop_fini(&loop);
    return status;
}

int daemon_run(struct config *config, const struct daemon_start *start, struct log *log)
{
    struct daemon daemon = {
        .start = start, .log = log, .config = config, .alive = true, .cpus_fd = -1};
    ignore_broken_pipes();
    daemon.confine_workers = daemon_process(&daemon)->seccomp;
    daemon.ticked_ns = clock_monotonic_ns();
    pthread_mutex_init(&daemon.lock, NULL);
    int status = run(&daemon);
    if (daemon.cpus_fd >= 0)
        close(daemon.cpus_fd);
    config_free(daemon.config);
    pthread_mutex_destroy(&daemon.lock);
    return status;
}
