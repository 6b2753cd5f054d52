/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet: so many proxies measure so many data centres, each proxy with its own prober, as Phoenix
 * has it, all of them in one loop of one thread; a child answers for all data centres. Over
 * loopback, in real time. Prints the table of docs/performance-phoenix.md. usage: fleet [PROXIES
 * SITES]... */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "phoenix/prober.h"

#define SECOND_NS INT64_C(1000000000)
#define MAX_PROXIES 1000
#define MAX_SITES 1000

/* From the start until the windows are full; until the pings that were due then are over; and a
 * whole interval, as long as it gets. */
#define SETTLING_NS (12 * SECOND_NS)
#define CHANGING_NS (50 * SECOND_NS)
#define CALM_NS (60 * SECOND_NS)

static const struct pace_bounds usual = {SECOND_NS, 60 * SECOND_NS};
static const struct pace_bounds calm = {60 * SECOND_NS, 60 * SECOND_NS};

struct fleet {
    struct log log;
    struct loop *loop;
    struct prober *probers[MAX_PROXIES];
    unsigned proxies, sites;
    int fds[MAX_SITES];
    struct datacenters *datacenters;
    uint64_t tables; /* that were told to be others */
};

static void check(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "fleet: %s: %s\n", what, strerrordesc_np(-code));
    exit(1);
}

/* The sockets of the data centres. */
static void open_sites(struct fleet *fleet)
{
    fleet->datacenters = datacenters_new();
    assert(fleet->datacenters != NULL);
    for (unsigned i = 0; i < fleet->sites; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t bytes = sizeof at;
        int room = 1 << 22;

        fleet->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fleet->fds[i] < 0 || bind(fleet->fds[i], (struct sockaddr *)&at, sizeof at) != 0 ||
            getsockname(fleet->fds[i], (struct sockaddr *)&at, &bytes) != 0)
            check(-errno, "a data centre's socket");
        setsockopt(fleet->fds[i], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        struct datacenter node = {.address = "127.0.0.1", .qcmp_port = ntohs(at.sin_port)};
        snprintf(node.icao_code, sizeof node.icao_code, "A%c%c%c", 'A' + i / 676 % 26,
                 'A' + i / 26 % 26, 'A' + i % 26);
        check(datacenters_add(fleet->datacenters, &node), "a data centre");
    }
}

static void answer(int fd)
{
    uint8_t data[QCMP_MAX_BYTES];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    ssize_t bytes;

    while ((bytes = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_bytes)) >
           0) {
        struct qcmp_packet packet;
        if (qcmp_packet_decode(data, (size_t)bytes, &packet, NULL) != QCMP_PING)
            continue;
        packet.kind = QCMP_PONG;
        packet.server_start_ns = packet.server_transmit_ns = clock_wall_ns();
        qcmp_packet_encode(&packet, data, sizeof data);
        sendto(fd, data, QCMP_PONG_BYTES, 0, (struct sockaddr *)&from, from_bytes);
    }
}

/* Answers for all data centres, in a child that ends with its parent. */
static pid_t start_sites(const struct fleet *fleet)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int epoll = epoll_create1(0);
    for (unsigned i = 0; i < fleet->sites; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fleet->fds[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fleet->fds[i], &event);
    }
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++)
            answer(events[i].data.fd);
    }
}

static void count_table(const struct nodes *nodes, void *user)
{
    (void)nodes;
    ((struct fleet *)user)->tables++;
}

struct sum {
    uint64_t sent, answered, lost;
    int64_t cpu_ns;
};

static void add_nodes(const struct nodes *nodes, const uint64_t *others, void *user)
{
    struct sum *sum = user;
    (void)others;
    for (size_t i = 0; i < nodes->count; i++) {
        sum->sent += nodes->items[i]->sent;
        sum->answered += nodes->items[i]->answered;
        sum->lost += nodes->items[i]->lost;
    }
}

static struct sum sum_up(const struct fleet *fleet)
{
    struct sum sum = {.cpu_ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID)};
    for (unsigned i = 0; i < fleet->proxies; i++)
        prober_look(fleet->probers[i], add_nodes, &sum);
    return sum;
}

/* Runs for a time, and prints what that took. */
static void measure(struct fleet *fleet, int64_t for_ns, const char *phase)
{
    struct sum before = sum_up(fleet);
    uint64_t tables = fleet->tables;
    int64_t began_ns = clock_monotonic_ns(), now_ns;

    while ((now_ns = clock_monotonic_ns()) < began_ns + for_ns)
        loop_turn(fleet->loop, began_ns + for_ns);
    struct sum after = sum_up(fleet);
    double seconds = (double)(now_ns - began_ns) / SECOND_NS;
    double pings = (double)(after.sent - before.sent);
    double packets = pings + (double)(after.answered - before.answered);
    double cpu_us = (double)(after.cpu_ns - before.cpu_ns) / 1000;
    printf("| %u x %u | %s | %.0f | %.1f | %.1f | %.1f | %.2f | %" PRIu64 " | %" PRIu64 " |\n",
           fleet->proxies, fleet->sites, phase, packets / seconds,
           packets / seconds / fleet->proxies, pings / seconds / fleet->sites,
           pings > 0 ? cpu_us / pings : 0, cpu_us / seconds / 1e6 * 100 / fleet->proxies,
           after.lost - before.lost, fleet->tables - tables);
    fflush(stdout);
}

static void run(unsigned proxies, unsigned sites)
{
    static struct fleet fleet;
    fleet = (struct fleet){.proxies = proxies, .sites = sites};
    log_init(&fleet.log, &(struct log_options){.fd = STDERR_FILENO, .level = LOG_LEVEL_OFF});
    check(loop_new(&fleet.loop), "a loop");
    open_sites(&fleet);
    pid_t child = start_sites(&fleet);
    const struct prober_options options = {.loop = fleet.loop,
                                           .log = &fleet.log,
                                           .bounds = usual,
                                           .changed = count_table,
                                           .user = &fleet};
    for (unsigned i = 0; i < proxies; i++) {
        check(prober_new(&fleet.probers[i], &options), "a prober");
        check(prober_follow(fleet.probers[i], fleet.datacenters), "data centres");
    }
    for (unsigned i = 0; i < proxies; i++)
        check(prober_start(fleet.probers[i]), "a start");
    measure(&fleet, SETTLING_NS, "the first 12 s");
    for (unsigned i = 0; i < proxies; i++)
        prober_set_bounds(fleet.probers[i], &calm);
    int64_t until_ns = clock_monotonic_ns() + CHANGING_NS; /* the pings that are due go out */
    while (clock_monotonic_ns() < until_ns)
        loop_turn(fleet.loop, until_ns);
    measure(&fleet, CALM_NS, "calm");
    for (unsigned i = 0; i < proxies; i++)
        prober_free(fleet.probers[i]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (unsigned i = 0; i < sites; i++)
        close(fleet.fds[i]);
    datacenters_free(fleet.datacenters);
    loop_free(fleet.loop);
}

int main(int argc, char **argv)
{
    static const unsigned fleets[][2] = {{125, 50}, {250, 50}, {500, 50}, {500, 25}};
    struct rlimit limit = {.rlim_cur = 0};

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    puts(
        "| proxies x data centres | | packets a second | of one proxy | pings a second to one data "
        "centre | CPU a ping, us | CPU of one proxy, % of a core | lost | tables |\n"
        "|---|---|---|---|---|---|---|---|---|");
    for (int i = 1; i + 1 < argc; i += 2)
        run((unsigned)strtoul(argv[i], NULL, 10), (unsigned)strtoul(argv[i + 1], NULL, 10));
    for (size_t i = 0; argc == 1 && i < sizeof fleets / sizeof fleets[0]; i++)
        run(fleets[i][0], fleets[i][1]);
    return 0;
}
