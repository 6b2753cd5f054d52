/* SPDX-License-Identifier: Apache-2.0 */
/* Players and game servers of a UDP proxy in one thread: each datagram of a player goes through the
 * proxy to a server, which sends it back. Prints one JSON object: round trips, their delays, the
 * delays of each session's first one, and the CPU time that the proxy took for them.
 * usage: players PIDS KERNEL-PIDS PROXY-ADDRESS PROXY-PORT OWN-ADDRESS PLAYERS IN-FLIGHT RATE BURST
 * SECONDS SERVER-PORT...
 * PIDS are the proxy's, KERNEL-PIDS of the threads that receive for it, with commas between them.
 * RATE is round trips a second whatever comes back, or 0: as many as are answered with so many in
 * flight. A player sends BURST datagrams at a time. With several servers the bursts take turns, and
 * the last byte says which one. The sessions are made first. */
#include <arpa/inet.h>
#include <glob.h>
#include <inttypes.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hdr_histogram.h"

#define BATCH 32
#define PAYLOAD 64
#define MAX_BURST 64
#define MEASURED_JOINS 2000
#define SECOND_NS INT64_C(1000000000)
#define STALL_NS (SECOND_NS / 5)

struct run {
    int epoll;
    struct in_addr proxy, own;
    uint16_t proxy_port;
    size_t burst;
    unsigned players, servers, next;
    int *fds; /* those of players first, then of servers */
    uint64_t sent, answered, in_flight;
    int64_t answered_ns;
    struct hdr_histogram delays;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* The sum over all threads of the processes. */
static int64_t cpu_ns(const char *pids)
{
    char *list = strdup(pids), *rest = list, *pid;
    int64_t total_ns = 0;

    while ((pid = strsep(&rest, ",")) != NULL) {
        char pattern[64];
        glob_t found;
        snprintf(pattern, sizeof pattern, "/proc/%s/task/*/schedstat", pid);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc; i++) {
            FILE *file = fopen(found.gl_pathv[i], "r");
            int64_t ns = 0;
            if (file != NULL && fscanf(file, "%" SCNd64, &ns) == 1)
                total_ns += ns;
            if (file != NULL)
                fclose(file);
        }
        globfree(&found);
    }
    free(list);
    return total_ns;
}

static void open_one(struct run *run, unsigned index, uint16_t server_port)
{
    bool is_server = index >= run->players;
    struct sockaddr_in own = {
        .sin_family = AF_INET, .sin_port = htons(server_port), .sin_addr = run->own};
    struct sockaddr_in proxy = {
        .sin_family = AF_INET, .sin_port = htons(run->proxy_port), .sin_addr = run->proxy};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), buffer = 4 << 20;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof own) != 0)
        fail("bind");
    if (!is_server && connect(fd, (const struct sockaddr *)&proxy, sizeof proxy) != 0)
        fail("connect");
    if (is_server)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
    run->fds[index] = fd;
}

static void send_next(struct run *run)
{
    char data[MAX_BURST * (PAYLOAD + 1)] = {0};
    size_t bytes = PAYLOAD + (run->servers > 1);
    int64_t now_ns = clock_monotonic_ns();
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): main() has at least one player */
    int fd = run->fds[run->next % run->players];
    int segment = (int)bytes;

    for (size_t i = 0; i < run->burst; i++) {
        memcpy(data + i * bytes, &now_ns, sizeof now_ns);
        data[(i + 1) * bytes - 1] = (char)(run->next / run->players % run->servers);
    }
    if (run->burst > 1)
        setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    run->next++;
    run->sent += run->burst;
    if (send(fd, data, run->burst * bytes, MSG_DONTWAIT) > 0)
        run->in_flight += run->burst;
}

static void echo(int fd)
{
    static char data[BATCH][2048];
    struct sockaddr_in peers[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];

    for (unsigned i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){data[i], sizeof data[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                              .msg_namelen = sizeof peers[i],
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1};
    }
    int received = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL), sent = 0;
    for (int i = 0; i < received; i++)
        vectors[i].iov_len = messages[i].msg_len;
    while (sent < received) {
        int done = sendmmsg(fd, messages + sent, (unsigned)(received - sent), MSG_DONTWAIT);
        sent += done > 0 ? done : 1;
    }
}

static void take(struct run *run, int fd)
{
    char data[2048];
    int64_t sent_ns;

    while (recv(fd, data, sizeof data, MSG_DONTWAIT) >= PAYLOAD) {
        memcpy(&sent_ns, data, sizeof sent_ns);
        run->answered_ns = clock_monotonic_ns();
        hdr_histogram_record(&run->delays, run->answered_ns - sent_ns);
        run->answered++;
        run->in_flight -= run->in_flight > 0;
    }
}

static void turn(struct run *run, int wait_ms)
{
    struct epoll_event events[128];
    int ready = epoll_wait(run->epoll, events, 128, wait_ms);
    for (int i = 0; i < ready; i++) {
        uint32_t index = events[i].data.u32;
        if (index < run->players)
            take(run, run->fds[index]);
        else
            echo(run->fds[index]);
    }
}

/* In flight: so many at a time. At a rate: by the clock, for which the thread stays awake. */
static void play(struct run *run, uint64_t in_flight, double rate, int64_t length_ns)
{
    int64_t start_ns = clock_monotonic_ns(), now_ns;
    uint64_t before = run->sent;

    run->answered_ns = start_ns;
    while ((now_ns = clock_monotonic_ns()) < start_ns + length_ns) {
        if (rate > 0) {
            uint64_t due = (uint64_t)((double)(now_ns - start_ns) * 1e-9 * rate);
            for (unsigned n = 0; run->sent - before < due && n < BATCH; n++)
                send_next(run);
        } else {
            while (run->in_flight < in_flight)
                send_next(run);
            if (now_ns - run->answered_ns > STALL_NS) {
                run->in_flight = 0;
                run->answered_ns = now_ns;
            }
        }
        turn(run, rate > 0 ? 0 : 1);
    }
}

/* The first ones one after the other, for their delays. What is lost is given up. */
static void join(struct run *run)
{
    uint64_t sessions = (uint64_t)run->players * run->servers;
    struct hdr_histogram delays = run->delays;
    for (uint64_t i = 0; i < sessions; i++) {
        uint64_t in_flight = i < MEASURED_JOINS ? 0 : BATCH;
        int64_t begin_ns = clock_monotonic_ns();
        send_next(run);
        while (run->in_flight > in_flight && clock_monotonic_ns() < begin_ns + STALL_NS)
            turn(run, 1);
        run->in_flight = run->in_flight > in_flight ? 0 : run->in_flight;
        if (i < MEASURED_JOINS)
            delays = run->delays;
    }
    run->delays = delays;
}

static void print_delays(const char *name, const struct hdr_histogram *delays)
{
    printf("\"%sp50_ns\": %" PRId64 ", \"%sp90_ns\": %" PRId64 ", \"%sp99_ns\": %" PRId64 ", ",
           name, hdr_histogram_quantile(delays, 0.5), name, hdr_histogram_quantile(delays, 0.9),
           name, hdr_histogram_quantile(delays, 0.99));
}

int main(int argc, char **argv)
{
    struct run run = {.epoll = epoll_create1(0)};
    struct rlimit files;
    if (argc < 12 || inet_pton(AF_INET, argv[3], &run.proxy) != 1 ||
        inet_pton(AF_INET, argv[5], &run.own) != 1 || atoi(argv[6]) < 1 || atoi(argv[9]) < 1 ||
        atoi(argv[9]) > MAX_BURST)
        return 2;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    run.proxy_port = (uint16_t)atoi(argv[4]);
    run.players = (unsigned)atoi(argv[6]);
    run.burst = 1;
    run.servers = (unsigned)(argc - 11);
    run.fds = calloc(run.players + run.servers, sizeof *run.fds);
    for (unsigned i = 0; i < run.servers; i++)
        open_one(&run, run.players + i, (uint16_t)atoi(argv[11 + i]));
    for (unsigned i = 0; i < run.players; i++)
        open_one(&run, i, 0);

    uint64_t in_flight = (uint64_t)atoi(argv[7]);
    double rate = atof(argv[8]), seconds = atof(argv[10]);
    printf("{");
    join(&run);
    print_delays("first_", &run.delays);
    run.burst = (size_t)atoi(argv[9]);
    play(&run, in_flight, rate, SECOND_NS / 5);
    run.sent = run.answered = 0;
    memset(&run.delays, 0, sizeof run.delays);
    int64_t program_ns = cpu_ns(argv[1]), kernel_ns = cpu_ns(argv[2]);
    int64_t start_ns = clock_monotonic_ns();
    play(&run, in_flight, rate, (int64_t)(seconds * 1e9));
    program_ns = cpu_ns(argv[1]) - program_ns;
    kernel_ns = cpu_ns(argv[2]) - kernel_ns;
    print_delays("", &run.delays);
    printf("\"round_trips\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"seconds\": %.6f, "
           "\"program_ns\": %" PRId64 ", \"kernel_ns\": %" PRId64 "}\n",
           run.answered, run.sent, (double)(clock_monotonic_ns() - start_ns) / 1e9, program_ns,
           kernel_ns);
    free(run.fds);
    return 0;
}
