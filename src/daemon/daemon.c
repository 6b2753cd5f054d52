#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/qcmp_service.h"

#define EXIT_FAILED 255

/* Whoever reads the log may go away; that must not end the service. */
static void ignore_broken_pipes(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

/* Returns a descriptor that is readable when the process is told to stop, or a negative errno
 * value. */
static int stop_signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    /* Threads inherit the mask, so it stands before there are any. */
    int error = pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (error != 0)
        return -error;
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static const char *stop_signal_await(int fd)
{
    struct signalfd_siginfo info;
    ssize_t bytes;
    do
        bytes = read(fd, &info, sizeof info);
    while (bytes < 0 && errno == EINTR);
    if (bytes != sizeof info)
        return "a failure to wait for signals";
    return info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM";
}

static void log_ready(struct log *log, struct qcmp_service *service)
{
    char address[32];
    unsigned port = qcmp_service_port(service);
    snprintf(address, sizeof address, "%s:%u", qcmp_service_ipv6(service) ? "[::]" : "0.0.0.0",
             port);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "qcmp ready"), log_uint("port", port),
              log_text("address", address));
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

static int fail(const char *what, int error)
{
    fprintf(stderr, "paddock: %s: %s\n", what, strerror(-error));
    return EXIT_FAILED;
}

static unsigned worker_count(const struct config *config)
{
    if (config->workers != 0)
        return config->workers;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (unsigned)cpus : 1;
}

/* Returns 0 or a negative errno value. */
static int service_begin(struct qcmp_service **service, const struct config *config)
{
    struct qcmp_service_options options = {.port = config->qcmp_port,
                                           .addresses = &in6addr_any,
                                           .addresses_count = 1,
                                           .receive_buffer_ns = 20000000,
                                           .workers = worker_count(config)};
    int error = qcmp_service_open(service, &options);
    if (error != 0)
        return error;
    error = qcmp_service_start(*service);
    if (error != 0) {
        struct counters_sum sum;
        uint64_t drops;
        qcmp_service_stop(*service, &sum, &drops);
    }
    return error;
}

int daemon_run(const struct config *config, struct log *log)
{
    struct qcmp_service *service;
    struct counters_sum sum;
    uint64_t drops;
    ignore_broken_pipes();
    int stop_fd = stop_signals_open();
    if (stop_fd < 0)
        return fail("cannot wait for signals", stop_fd);

    int error = service_begin(&service, config);
    if (error != 0) {
        char what[64];
        snprintf(what, sizeof what, "cannot serve QCMP on UDP port %u", config->qcmp_port);
        close(stop_fd);
        return fail(what, error);
    }
    log_ready(log, service);
    const char *reason = stop_signal_await(stop_fd);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "shutting down"),
              log_text("reason", reason));
    qcmp_service_stop(service, &sum, &drops);
    log_stopped(log, &sum, drops);
    close(stop_fd);
    return 0;
}
