/* SPDX-License-Identifier: Apache-2.0 */
/* Players and game servers of a UDP proxy in one thread: each datagram of a player goes through the
 * proxy to a server, which sends it back. Prints one JSON object: round trips, their delays, and
 * the CPU time that the proxy took for them. usage: players PROXY-PID PROXY-PORT PLAYERS IN-FLIGHT
 * RATE SECONDS SERVER-PORT... RATE is round trips a second whatever comes back, or 0: as many as
 * are answered with so many in flight. With several servers the datagrams take turns, and the last
 * byte says which one. */
#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
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
#define SECOND_NS INT64_C(1000000000)
#define STALL_NS (SECOND_NS / 5)

struct run {
    int epoll;
    unsigned players, servers, next;
    int *fds; /* those of players first, then of servers */
    uint64_t sent, answered, in_flight, lost;
    int64_t answered_ns;
    struct hdr_histogram delays;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t cpu_ns(const char *pid)
{
    char pattern[64];
    glob_t found;
    int64_t total = 0;

    snprintf(pattern, sizeof pattern, "/proc/%s/task/*/schedstat", pid);
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *file = fopen(found.gl_pathv[i], "r");
        int64_t ns = 0;
        if (file != NULL && fscanf(file, "%" SCNd64, &ns) == 1)
            total += ns;
        if (file != NULL)
            fclose(file);
    }
    globfree(&found);
    return total;
}

static void open_one(struct run *run, unsigned index, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), buffer = 4 << 20;
    bool is_server = index >= run->players;

    const struct sockaddr *where = (const struct sockaddr *)&address;
    int error = fd < 0      ? -1
                : is_server ? bind(fd, where, sizeof address)
                            : connect(fd, where, sizeof address);
    if (error != 0)
        fail(is_server ? "bind" : "connect");
    if (is_server)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
    run->fds[index] = fd;
}

static void send_next(struct run *run)
{
    char data[PAYLOAD + 1] = {0};
    int64_t now_ns = clock_monotonic_ns();
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): main() has at least one player */
    unsigned player = run->next % run->players;

    memcpy(data, &now_ns, sizeof now_ns);
    data[PAYLOAD] = (char)(run->next / run->players % run->servers);
    run->next++;
    run->sent++;
    run->in_flight++;
    if (send(run->fds[player], data, PAYLOAD + (run->servers > 1), MSG_DONTWAIT) < 0) {
        run->in_flight--;
        run->lost++;
    }
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
                run->lost += run->in_flight;
                run->in_flight = 0;
                run->answered_ns = now_ns;
            }
        }
        turn(run, rate > 0 ? 0 : 1);
    }
}

int main(int argc, char **argv)
{
    struct run run = {.epoll = epoll_create1(0)};
    struct rlimit files;
    if (argc < 8 || atoi(argv[3]) < 1)
        return 2;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    run.players = (unsigned)atoi(argv[3]);
    run.servers = (unsigned)(argc - 7);
    run.fds = calloc(run.players + run.servers, sizeof *run.fds);
    for (unsigned i = 0; i < run.servers; i++)
        open_one(&run, run.players + i, (uint16_t)atoi(argv[7 + i]));
    for (unsigned i = 0; i < run.players; i++)
        open_one(&run, i, (uint16_t)atoi(argv[2]));

    uint64_t in_flight = (uint64_t)atoi(argv[4]);
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    for (unsigned i = 0; i < run.players * run.servers; i++) { /* each session is there */
        send_next(&run);
        turn(&run, 0);
        turn(&run, 0);
    }
    play(&run, in_flight, rate, SECOND_NS / 5);
    run.sent = run.answered = run.lost = 0;
    memset(&run.delays, 0, sizeof run.delays);
    int64_t cpu_before_ns = cpu_ns(argv[1]), start_ns = clock_monotonic_ns();
    play(&run, in_flight, rate, (int64_t)(seconds * 1e9));
    int64_t cpu_after_ns = cpu_ns(argv[1]), length_ns = clock_monotonic_ns() - start_ns;
    printf("{\"round_trips\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"seconds\": %.6f, "
           "\"cpu_ns\": %" PRId64 ", \"p50_ns\": %" PRId64 ", \"p90_ns\": %" PRId64
           ", \"p99_ns\": %" PRId64 "}\n",
           run.answered, run.sent, (double)length_ns / 1e9, cpu_after_ns - cpu_before_ns,
           hdr_histogram_quantile(&run.delays, 0.5), hdr_histogram_quantile(&run.delays, 0.9),
           hdr_histogram_quantile(&run.delays, 0.99));
    free(run.fds);
    return 0;
}
