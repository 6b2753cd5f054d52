/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "daemon/fast_path.h"
#include "daemon/notify.h"
#include "daemon/operator.h"
#include "daemon/privileges.h"
#include "daemon/reload.h"
#include "daemon/state.h"
#include "loop/signals.h"
#include "net/address.h"
#include "net/endpoint.h"

#define EXIT_FAILED 255
#define SECOND_NS INT64_C(1000000000)

/* After a second signal. A stop of threads that all work takes a fraction of it. */
#define STOP_GRACE_USEC 500000L

static void end_now(int signal)
{
    (void)signal;
    _exit(0);
}

/* A process whose threads work has answered what is queued, and told the counts, long before. A
 * third signal does not wait. setitimer() is a bare system call here, so a handler may call it. */
static void end_soon(int signal)
{
    const struct itimerval grace = {.it_value = {.tv_usec = STOP_GRACE_USEC}};
    struct itimerval before = {.it_value = {0}};
    (void)signal;
    setitimer(ITIMER_REAL, &grace, &before);
    if (before.it_value.tv_usec != 0)
        _exit(0);
}

/* The last steps of a stop wait for other threads, and nobody reads signals any more: from now on
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

/* A service manager that does not listen is not worth more than a line at debug. */
static void tell_manager(const struct daemon *daemon, const char *state)
{
    int error = notify_send(daemon->notify_socket, state);
    if (error != 0)
        LOG_EVENT(daemon->log, LOG_LEVEL_DEBUG, log_text("message", "sd_notify failed"),
                  log_text("error", strerrordesc_np(-error)));
}

static void begin_stop(struct daemon *daemon, const char *reason)
{
    if (daemon->stop_ns != LOOP_NEVER) {
        daemon->stop_ns = 0; /* told twice */
        return;
    }

    /* Who reads the log's line finds the process as it says. */
    atomic_store_explicit(&daemon->is_stopping, true, memory_order_relaxed);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "shutting down"),
              log_text("reason", reason));
    tell_manager(daemon, "STOPPING=1");
    daemon->retry_ns = LOOP_NEVER;
    for (size_t i = 0; i < daemon->running_count; i++) {
        if (daemon->running[i].ops->drain != NULL)
            daemon->running[i].ops->drain(daemon->running[i].self);
    }
    daemon->stop_ns = clock_monotonic_ns() + daemon->settings->termination_timeout_ns;
}

static void take_signals(uint32_t events, void *user)
{
    struct daemon *daemon = user;
    int taken;

    (void)events;
    while ((taken = signals_take(daemon->signals.fd)) != 0) {
        if (taken == SIGHUP)
            daemon->is_reload_due = true;
        else
            begin_stop(daemon, taken == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void look_at_files(struct daemon *daemon)
{
    int64_t now_ns = clock_monotonic_ns();
    daemon->settle_ns = LOOP_NEVER;
    for (unsigned i = 0; i < daemon->watches_count; i++) {
        bool is_settling;
        if (watch_look(&daemon->watches[i], now_ns, &is_settling))
            daemon->is_reload_due = true;
        if (is_settling)
            daemon->settle_ns = now_ns + WATCH_SETTLE_NS;
    }
}

static void take_file_event(uint32_t events, void *user)
{
    (void)events;
    look_at_files(user);
}

static void follow_fast_path(uint32_t events, void *user)
{
    struct daemon *daemon = user;
    (void)events;
    fast_path_report(daemon->fastpath, fastpath_tick(daemon->fastpath), daemon->log);
}

static void tick(void *user)
{
    struct daemon *daemon = user;
    int64_t now_ns = clock_monotonic_ns();

    loop_timer_set(daemon->loop, &daemon->tick, now_ns + daemon->tick_ns);
    look_at_files(daemon);
    if (daemon->fastpath != NULL)
        follow_fast_path(0, daemon);
    for (size_t i = 0; i < daemon->running_count; i++) {
        if (daemon->running[i].ops->tick != NULL)
            daemon->running[i].ops->tick(daemon->running[i].self, now_ns);
    }
    log_flush(daemon->log, false);
    operator_complete(daemon);

    bool is_alive = workers_tick(daemon->workers, now_ns);
    bool before = atomic_exchange_explicit(&daemon->is_alive, is_alive, memory_order_relaxed);
    atomic_store_explicit(&daemon->ticked_ns, now_ns, memory_order_relaxed);
    if (before && !is_alive)
        LOG_EVENT(daemon->log, LOG_LEVEL_ERROR, log_text("message", "a worker does not react"));
    if (is_alive && daemon->has_watchdog)
        tell_manager(daemon, "WATCHDOG=1");
}

/* One reload a turn at most, however many were asked for, and none during a stop. */
static void reload_if_due(struct daemon *daemon)
{
    bool is_retry = !daemon->is_reload_due && clock_monotonic_ns() >= daemon->retry_ns;
    bool is_due = daemon->is_reload_due || is_retry;
    char state[64];

    daemon->is_reload_due = false;
    if (!is_due || daemon->stop_ns != LOOP_NEVER)
        return;
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_monotonic_ns() / 1000));
    if (!is_retry) /* the manager has heard of the first */
        tell_manager(daemon, state);
    bool again = reload(daemon, is_retry);
    daemon->retry_ns = again ? clock_monotonic_ns() + SECOND_NS : LOOP_NEVER;
    if (!is_retry)
        tell_manager(daemon, "READY=1");
}

/* Services that know when they are drained decide; where none does, all go on to the end of the
 * time. */
static bool is_drained(const struct daemon *daemon)
{
    size_t deciding = 0;
    for (size_t i = 0; i < daemon->running_count; i++) {
        const struct running *service = &daemon->running[i];
        if (service->ops->is_drained == NULL)
            continue;
        if (!service->ops->is_drained(service->self))
            return false;
        deciding++;
    }
    return deciding > 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void serve(struct daemon *daemon)
{
    tick(daemon);
    tell_manager(daemon, "READY=1");
    while (clock_monotonic_ns() < daemon->stop_ns &&
           (daemon->stop_ns == LOOP_NEVER || !is_drained(daemon))) {
        loop_turn(daemon->loop,
                  earlier(daemon->stop_ns, earlier(daemon->retry_ns, daemon->settle_ns)));
        if (clock_monotonic_ns() >= daemon->settle_ns)
            look_at_files(daemon);
        reload_if_due(daemon);
        operator_answer(daemon);
    }
}

static void tell_confined(struct daemon *daemon, int error, const char *step)
{
    if (error != 0)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN, log_text("message", "privileges kept"),
                  log_text("step", step), log_text("error", strerrordesc_np(-error)));
    else
        LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
                  log_text("step", step));
}

/* In each worker's thread, before it works. The first stands for all, but when one fails. */
static void confine_worker(void *user)
{
    struct daemon *daemon = user;
    int error = privileges_confine_worker();
    if (error != 0 ||
        !atomic_exchange_explicit(&daemon->confinement_told, true, memory_order_relaxed))
        tell_confined(daemon, error, "confine the workers by seccomp");
}

/* In each thread that serves HTTP. */
static void confine_http(void *user)
{
    int error = privileges_confine_http();
    if (error != 0)
        tell_confined(user, error, "confine the servers of HTTP by seccomp");
}

/* Keeps the CPUs of this host from sleep states that take time to wake from, as long as the
 * descriptor is open. Source: the kernel's documentation of PM quality of service. */
static int hold_cpus(struct log *log)
{
    const int32_t microseconds = 0;
    int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, &microseconds, sizeof microseconds) == sizeof microseconds) {
        LOG_EVENT(log, LOG_LEVEL_INFO,
                  log_text("message", "CPUs are kept from deep sleep for low latency"));
        return fd;
    }
    LOG_EVENT(log, LOG_LEVEL_WARN,
              log_text("message", "low latency: CPUs cannot be kept from deep sleep"),
              log_text("error", strerrordesc_np(errno)));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int make_workers(struct daemon *daemon, struct error *error)
{
    const struct process_settings *settings = daemon->settings;
    struct workers_options options = {.count = settings->workers != 0 ? settings->workers
                                                                      : cpus_usable(),
                                      .pin = settings->pin,
                                      .realtime = settings->realtime,
                                      .low_latency = settings->low_latency,
                                      .began = settings->seccomp ? confine_worker : NULL,
                                      .user = daemon};
    if (settings->low_latency)
        daemon->cpus_fd = hold_cpus(daemon->log);
    int code = workers_new(&daemon->workers, &options);
    if (code == -ENOTTY && options.low_latency) {
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message", "low latency: network devices cannot be polled"),
                  log_text("error", strerrordesc_np(-code)));
        options.low_latency = false;
        code = workers_new(&daemon->workers, &options);
    }
    return code == 0 ? 0 : error_system(error, code, "cannot make %u workers", options.count);
}

/* The user that the process has become must be able to read a file again. */
static void warn_about_file(const struct daemon *daemon, const struct config_file *file)
{
    if (file == NULL || !file->is_loaded)
        return;
    const char *error = access(file->path, R_OK) != 0 ? strerrordesc_np(errno) : NULL;
    if (error != NULL)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message", "the user of this process cannot read the configuration "
                                      "file: changes go unnoticed until a restart"),
                  log_text("file", file->path), log_uint("uid", geteuid()),
                  log_text("error", error));
}

static int open_admin(struct daemon *daemon, struct error *error)
{
    const struct process_address *admin = &daemon->settings->admin;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address;
    struct error reason;
    char port[8];
    if (!daemon->settings->admin_enabled)
        return 0;

    snprintf(port, sizeof port, "%u", (unsigned)admin->target.port);
    if (getaddrinfo(admin->target.host, port, &hints, &address) != 0)
        return error_set(error, -EINVAL, "cannot serve HTTP on %s", admin->text);
    const struct admin_options options = {.address = address->ai_addr,
                                          .callbacks = operator_callbacks(),
                                          .shows_sessions = daemon->settings->shows_sessions,
                                          .began = daemon->settings->seccomp ? confine_http : NULL,
                                          .user = daemon};
    struct in6_addr host = endpoint_from_socket(address->ai_addr).address;
    int code = admin_start(&daemon->admin, &options, &reason);
    freeaddrinfo(address);
    if (code != 0)
        return error_system(error, code, "cannot serve HTTP on %s", admin->text);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "admin ready"),
              log_uint("port", admin_port(daemon->admin)), log_text("address", admin->text));
    if (daemon->settings->shows_tokens && !address_is_loopback(&host))
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message", "/config shows tokens, and to other hosts"),
                  log_text("address", admin->text));
    return 0;
}

static int watch(struct daemon *daemon, struct loop_watch *watched, int fd, loop_ready_fn *ready)
{
    *watched = (struct loop_watch){.fd = fd, .ready = ready, .user = daemon};
    return fd >= 0 ? loop_add(daemon->loop, watched, EPOLLIN) : fd;
}

/* The files of a configuration, as it was read from them. */
static void watch_files(struct daemon *daemon)
{
    const struct config_file *file = config_file(daemon->config);
    const struct config_file *provider = config_provider(daemon->config);
    const char *path;
    for (unsigned i = 0;
         i < DAEMON_MAX_WATCHES && (path = config_watch_path(daemon->config, i)) != NULL; i++) {
        struct file_identity known = {0};
        if (file->is_loaded && strcmp(path, file->path) == 0)
            known = file->identity;
        else if (provider != NULL && strcmp(path, provider->path) == 0)
            known = provider->identity;
        watch_open(&daemon->watches[i], path, &known);
        watch(daemon, &daemon->watched[i], daemon->watches[i].fd, take_file_event);
        daemon->watches_count++;
    }
}

static const char *environment(const struct daemon *daemon, const char *name)
{
    const struct config_environment *environment = daemon->start->source.environment;
    return environment->get(name, environment->user);
}

/* Twice within the time after which the watchdog bites, and at least once a second. Each variable
 * is read by itself, since environment() may give the same memory for all. */
static void read_manager(struct daemon *daemon)
{
    uint64_t usec = notify_watchdog_usec(environment(daemon, "WATCHDOG_USEC"));
    daemon->has_watchdog =
        usec != 0 && notify_watchdog_is_ours(environment(daemon, "WATCHDOG_PID"));
    daemon->tick_ns = SECOND_NS;
    if (daemon->has_watchdog && usec < 2000000)
        daemon->tick_ns = (int64_t)(usec > 2000 ? usec / 2 : 1000) * 1000;
    daemon->notify_socket = environment(daemon, "NOTIFY_SOCKET");
}

/* Before there are threads, which inherit what is done to signals. A reader of the log may go away,
 * and a limit of its size be reached: the service goes on. */
static int open_control(struct daemon *daemon, struct error *error)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t signals;

    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    /* An arena for each thread would reserve 64 MiB of addresses, which a limit may not have. */
    mallopt(M_ARENA_MAX, 1);
    signals_stop_set(&signals);
    sigaddset(&signals, SIGHUP);
    int code = loop_new(&daemon->loop);
    if (code == 0)
        code = watch(daemon, &daemon->signals, signals_open(&signals, NULL), take_signals);
    return code == 0 ? 0 : error_system(error, code, "cannot wait for signals");
}

/* What needs no privilege any more: threads, files, the admin server, the services. */
static int begin(struct daemon *daemon, struct config *config, struct error *error)
{
    if (daemon->settings->seccomp) /* before there are threads, which inherit it */
        tell_confined(daemon, privileges_confine_process(daemon->fastpath != NULL),
                      "confine the process by seccomp");
    warn_about_file(daemon, config_file(daemon->config));
    const struct config_file *provider = config_provider(config);
    warn_about_file(daemon, provider);
    if (provider != NULL && !provider->is_loaded)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message", "not ready before there is something in the provider's file"),
                  log_text("file", provider->path));
    int code = workers_start(daemon->workers, error);
    if (code == 0 && daemon->fastpath != NULL)
        code = watch(daemon, &daemon->fast, fastpath_poll_fd(daemon->fastpath), follow_fast_path);
    if (code == 0)
        code = reload_tell_catalog(daemon->catalog, config);
    struct shown *shown = code == 0 ? operator_prepare(config) : NULL;
    if (shown == NULL)
        return code != 0 ? code : -ENOMEM;

    operator_show(daemon, shown);
    watch_files(daemon);
    look_at_files(daemon); /* it may have changed since it was read */
    code = open_admin(daemon, error);
    /* Ports are bound, and what comes waits there: a reader of the log may rely on /ready. */
    atomic_store_explicit(&daemon->is_started, code == 0, memory_order_relaxed);
    for (size_t i = 0; i < daemon->running_count && code == 0; i++)
        code = daemon->running[i].ops->start(daemon->running[i].self, error);
    return code;
}

/* In reverse order; what was never started is NULL or none. */
static void stop(struct daemon *daemon)
{
    admin_stop(daemon->admin);
    if (daemon->fastpath != NULL)
        fastpath_detach(daemon->fastpath);
    while (daemon->running_count > 0) {
        struct running *service = &daemon->running[--daemon->running_count];
        service->ops->stop(service->self);
    }
    log_flush(daemon->log, true);
    catalog_free(daemon->catalog);
    workers_free(daemon->workers);
    fastpath_close(daemon->fastpath);
    for (unsigned i = 0; i < daemon->watches_count; i++)
        watch_close(&daemon->watches[i]);
    if (daemon->signals.fd > 0)
        close(daemon->signals.fd);
    if (daemon->cpus_fd >= 0)
        close(daemon->cpus_fd);
    loop_free(daemon->loop);
}

int daemon_run(struct config *config, const struct daemon_start *start, struct log *log)
{
    struct error error = {0};
    struct daemon daemon = {.start = start,
                            .log = log,
                            .config = config,
                            .settings = config_settings(config, &process_section),
                            .cpus_fd = -1,
                            .tick = {.fire = tick, .user = &daemon},
                            .retry_ns = LOOP_NEVER,
                            .settle_ns = LOOP_NEVER,
                            .stop_ns = LOOP_NEVER,
                            .is_alive = true,
                            .ticked_ns = clock_monotonic_ns()};
    const uint64_t kept = PRIVILEGES_CAPABILITY(CAP_NET_BIND_SERVICE) |
                          (daemon.settings->realtime ? PRIVILEGES_CAPABILITY(CAP_SYS_NICE) : 0);

    pthread_mutex_init(&daemon.lock, NULL);
    pthread_mutex_init(&daemon.question.lock, NULL);
    pthread_cond_init(&daemon.question.changed, NULL);
    read_manager(&daemon);
    int code = open_control(&daemon, &error);
    if (code == 0)
        code = make_workers(&daemon, &error);
    if (code == 0)
        code = fast_path_open(&daemon.fastpath, config, start->services, log, &error);
    if (code == 0)
        code = catalog_new(&daemon.catalog, daemon.workers, log);

    const struct service_env env = {.log = log,
                                    .control = daemon.loop,
                                    .workers = daemon.workers,
                                    .fastpath = daemon.fastpath,
                                    .catalog = daemon.catalog,
                                    .http_began = daemon.settings->seccomp ? confine_http : NULL,
                                    .http_user = &daemon};
    for (size_t i = 0; start->services[i] != NULL && code == 0; i++) {
        struct running *service = &daemon.running[daemon.running_count];
        if (!start->services[i]->is_wanted(config))
            continue;
        service->ops = start->services[i];
        code = service->ops->open(&service->self, &env, config, &error);
        daemon.running_count += code == 0;
    }

    if (code == 0)
        code = privileges_drop(daemon.settings->user, kept, log, &error);
    if (code == 0)
        code = begin(&daemon, config, &error);
    if (code == 0) {
        serve(&daemon);
        end_at_next_signal();
        if (daemon.stop_ns == 0) /* the second signal ended the loop */
            end_soon(0);
    } else {
        fprintf(stderr, "paddock: %s\n",
                error.text[0] != '\0' ? error.text : strerrordesc_np(-code));
    }
    stop(&daemon);
    if (daemon.shown == NULL)
        config_free(config);
    operator_forget(&daemon);
    pthread_mutex_destroy(&daemon.lock);
    pthread_mutex_destroy(&daemon.question.lock);
    pthread_cond_destroy(&daemon.question.changed);
    return code == 0 ? 0 : EXIT_FAILED;
}
