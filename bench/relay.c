/* SPDX-License-Identifier: Apache-2.0 */
/* How exactly the impairment relay keeps a delay: datagrams over loopback at a steady rate, each
 * with the time at which it was sent; the server takes the kernel's stamp of its arrival. The error
 * is what lies between the two beyond the delay that the seed gives, and so contains two passes
 * through the kernel. */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/address.h"
#include "net/bind.h"
#include "relay/relay.h"

#define RATE 10000
#define SECONDS 2
#define COUNT ((size_t)RATE * SECONDS)
#define SEED 1

#define NS_PER_S INT64_C(1000000000)

/* What a datagram says. */
struct message {
    uint64_t number;
    int64_t sent_ns; /* wall clock */
};

struct run {
    struct impair_settings settings;
    struct relay *relay;
    int server_fd, stop_fd;
    int64_t took_ns[COUNT]; /* from sending to arriving; 0: it did not arrive */
    int64_t errors_ns[COUNT];
};

static struct in6_addr loopback(void)
{
    return address_from_ipv4((struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)});
}

static void die(const char *what, int error)
{
    fprintf(stderr, "paddock_bench_relay: %s: %s\n", what, strerror(-error));
    exit(1);
}

static void run_open(struct run *run)
{
    struct binding binding = {.address = loopback(), .buffer_bytes = 8 << 20};
    struct relay_options options = {.listen = loopback(),
                                    .settings = {[RELAY_UP] = run->settings},
                                    .seed = SEED,
                                    .idle_ns = 60 * NS_PER_S,
                                    .max_clients = 1};
    run->server_fd = bind_open(&binding, 0, false);
    if (run->server_fd < 0)
        die("cannot open the server", run->server_fd);
    struct in6_addr address = loopback();
    options.to_bytes = address_to_socket(&address, address_bound_port(run->server_fd), &options.to);
    int error = relay_open(&run->relay, &options);
    if (error != 0)
        die("cannot open the relay", error);
    run->stop_fd = eventfd(0, EFD_CLOEXEC);
}

static void run_close(struct run *run)
{
    relay_close(run->relay);
    close(run->stop_fd);
    close(run->server_fd);
}

static void *relay_main(void *argument)
{
    struct run *run = argument;
    relay_run(run->relay, run->stop_fd);
    return NULL;
}

/* At fixed moments, whatever a send takes. */
static void *sender_main(void *argument)
{
    struct run *run = argument;
    struct sockaddr_storage to;
    socklen_t to_bytes;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int64_t start_ns = clock_monotonic_ns();
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    relay_address(run->relay, &to, &to_bytes);
    for (uint64_t i = 0; i < COUNT; i++) {
        int64_t at_ns = start_ns + (int64_t)i * (NS_PER_S / RATE);
        struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        struct message message = {.number = i, .sent_ns = clock_wall_ns()};
        sendto(fd, &message, sizeof message, 0, (const struct sockaddr *)&to, to_bytes);
    }
    close(fd);
    return NULL;
}

/* Until nothing has come for a while that is longer than any delay. */
static void receive_all(struct run *run)
{
    struct timeval patience = {.tv_sec = 1};
    fcntl(run->server_fd, F_SETFL, 0); /* blocking, as timeouts need it */
    setsockopt(run->server_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (;;) {
        struct message message;
        alignas(size_t) char control[256];
        struct iovec vector = {&message, sizeof message};
        struct msghdr header = {.msg_iov = &vector,
                                .msg_iovlen = 1,
                                .msg_control = control,
                                .msg_controllen = sizeof control};
        if (recvmsg(run->server_fd, &header, 0) != sizeof message)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
            if (c->cmsg_level != SOL_SOCKET || message.number >= COUNT)
                continue;
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp); /* the first of struct scm_timestamping */
            run->took_ns[message.number] =
                stamp.tv_sec * NS_PER_S + stamp.tv_nsec - message.sent_ns;
        }
    }
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static size_t errors_compute(struct run *run)
{
    struct impair_stream stream;
    size_t count = 0;
    impair_stream_init(&stream, SEED, 0, RELAY_UP);
    for (size_t i = 0; i < COUNT; i++) {
        struct impair_choice choice = impair_choose(&run->settings, &stream);
        if (run->took_ns[i] != 0)
            run->errors_ns[count++] = llabs(run->took_ns[i] - choice.delay_ns);
    }
    qsort(run->errors_ns, count, sizeof run->errors_ns[0], compare);
    return count;
}

static double error_us(const struct run *run, size_t rank)
{
    return (double)run->errors_ns[rank] / 1e3;
}

static void measure(struct run *run, const char *name)
{
    pthread_t relay, sender;
    memset(run->took_ns, 0, sizeof run->took_ns);
    run_open(run);
    pthread_create(&relay, NULL, relay_main, run);
    pthread_create(&sender, NULL, sender_main, run);
    receive_all(run);
    pthread_join(sender, NULL);
    eventfd_write(run->stop_fd, 1);
    pthread_join(relay, NULL);
    size_t count = errors_compute(run);
    if (count > 0)
        printf("%-24s %9zu %9.1f %9.1f %9.1f\n", name, count, error_us(run, count / 2),
               error_us(run, count * 99 / 100), error_us(run, count - 1));
    run_close(run);
}

int main(void)
{
    static const struct {
        const char *name;
        struct impair_settings settings;
    } cases[] = {
        {"no delay", {.delay_ns = 0}},
        {"1 ms", {.delay_ns = 1000000}},
        {"20 ms", {.delay_ns = 20000000}},
        {"20 ms, normal, 5 ms",
         {.delay_ns = 20000000, .jitter_ns = 5000000, .distribution = IMPAIR_NORMAL}},
    };
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return 1;
    printf("error of the delay in us, %d datagrams a second for %d s\n", RATE, SECONDS);
    printf("%-24s %9s %9s %9s %9s\n", "delay", "arrived", "median", "99 %", "max");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run->settings = cases[i].settings;
        measure(run, cases[i].name);
    }
    free(run);
    return 0;
}
