/* SPDX-License-Identifier: Apache-2.0 */
/* Players who come, play and go, and game servers, all with real sockets: each datagram says whose
 * it is and its number, and the server sends it back. Several such processes have more descriptors
 * than one may: INDEX says which of PROCESSES this one is. Prints "ready" once its servers are
 * there, and begins with a line of input; prints a JSON object once its players have gone, and
 * another one of its servers when the input ends: what was sent, what came, in which
 * order, and to whom.
 * usage: churn INDEX PROCESSES PROXY PROXY-PORT SERVER SERVER-PORT SERVERS PLAYERS JOINS SECONDS
 * Servers have ports from SERVER-PORT on. JOINS players a second come; once there are PLAYERS, as
 * many go, for SECONDS; then all go. A player sends JOIN_BURST datagrams at first, PAUSE_NS apart,
 * then one each PACE_NS, and waits LINGER_NS for the last answers. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define BATCH 64
#define MAX_SERVERS 64
#define SECOND_NS INT64_C(1000000000)
#define TICK_NS INT64_C(1000000)
#define TICKS 8192 /* a wheel's, which is longer than any pause */
#define PAUSE_NS (20 * TICK_NS)
#define PACE_NS (4 * SECOND_NS)
#define LINGER_NS (SECOND_NS / 2)
#define JOIN_BURST 5
#define NOBODY UINT32_MAX
#define PORTS_AN_ADDRESS 50000U
#define FIRST_PORT 10000U
#define FIRST_ADDRESS 0x0a620000U /* 10.98.0.0: this, then 256 for each process */

struct datagram {
    uint64_t who;
    uint32_t number; /* from 1 */
    uint32_t unused;
};

struct player {
    int fd;
    uint32_t sent, answered, last, next; /* next: in the wheel */
    int64_t leaves_ns;
};

/* What players have counted, or what servers have. */
struct counts {
    uint64_t joined, sent, unsent, received, strays, twice, overtaken, left_unanswered, errors;
};

struct servers {
    int epoll;
    atomic_bool is_over;
    uint32_t *last; /* the number that came last, by player */
    uint64_t players;
    struct counts counts;
};

struct run {
    struct sockaddr_in proxy;
    int epoll;
    struct player *players; /* all that ever come */
    uint64_t index, most, came, gone;
    uint32_t wheel[TICKS];
    uint64_t tick; /* the next one */
    struct counts counts;
};

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void watch(int epoll, int fd, uint32_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

/* Whether it is one of a player's, and not from before what came last of it. */
static void note(struct servers *servers, const struct datagram *data, size_t bytes)
{
    servers->counts.received++;
    if (bytes != sizeof *data || data->who >= servers->players) {
        servers->counts.strays++;
        return;
    }
    uint32_t *last = &servers->last[data->who];
    servers->counts.overtaken += data->number < *last;
    servers->counts.twice += data->number == *last;
    *last = data->number > *last ? data->number : *last;
}

static void echo(struct servers *servers, int fd)
{
    static struct datagram data[BATCH];
    static struct sockaddr_in peers[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];

    for (unsigned i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){&data[i], sizeof data[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                              .msg_namelen = sizeof peers[i],
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1};
    }
    int received = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL), sent = 0;
    for (int i = 0; i < received; i++)
        note(servers, &data[i], messages[i].msg_len);
    while (sent < received) {
        int done = sendmmsg(fd, messages + sent, (unsigned)(received - sent), 0);
        servers->counts.sent += done > 0 ? (unsigned)done : 0;
        servers->counts.errors += done <= 0;
        sent += done > 0 ? done : 1;
    }
}

static void *serve(void *user)
{
    struct servers *servers = user;
    while (!atomic_load(&servers->is_over)) {
        struct epoll_event events[MAX_SERVERS];
        int ready = epoll_wait(servers->epoll, events, MAX_SERVERS, 10);
        for (int i = 0; i < ready; i++)
            echo(servers, (int)events[i].data.u32);
    }
    return NULL;
}

static void open_servers(struct servers *servers, const char *address, uint16_t port,
                         unsigned count)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    int room = 64 << 20;

    servers->epoll = epoll_create1(0);
    if (inet_pton(AF_INET, address, &own.sin_addr) != 1)
        fail("inet_pton");
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        own.sin_port = htons((uint16_t)(port + i));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        if (bind(fd, (const struct sockaddr *)&own, sizeof own) != 0)
            fail("bind");
        watch(servers->epoll, fd, (uint32_t)fd);
    }
}

static void wait_until(struct run *run, uint64_t who, int64_t due_ns)
{
    uint64_t tick = (uint64_t)(due_ns / TICK_NS);
    uint32_t *slot = &run->wheel[(tick > run->tick ? tick : run->tick) % TICKS];
    run->players[who].next = *slot;
    *slot = (uint32_t)who;
}

static void join(struct run *run, int64_t now_ns, int64_t stay_ns)
{
    uint64_t who = run->came++;
    struct player *player = &run->players[who];
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)(FIRST_PORT + who % PORTS_AN_ADDRESS)),
                              .sin_addr.s_addr =
                                  htonl(FIRST_ADDRESS + 1 + 256 * (uint32_t)run->index +
                                        (uint32_t)(who / PORTS_AN_ADDRESS))};

    *player = (struct player){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0),
                              .leaves_ns = now_ns + stay_ns};
    if (bind(player->fd, (const struct sockaddr *)&own, sizeof own) != 0 ||
        connect(player->fd, (const struct sockaddr *)&run->proxy, sizeof run->proxy) != 0)
        fail("a player's socket");
    watch(run->epoll, player->fd, (uint32_t)who);
    run->counts.joined++;
    wait_until(run, who, now_ns);
}

static void leave(struct run *run, struct player *player)
{
    close(player->fd);
    player->fd = -1;
    run->gone++;
    run->counts.left_unanswered += player->answered < player->sent;
}

/* A player's turn in the wheel: it sends, or it is over. */
static void act(struct run *run, uint64_t who, int64_t now_ns)
{
    struct player *player = &run->players[who];
    bool is_over = now_ns >= player->leaves_ns;
    struct datagram data = {.who = run->index * run->most + who, .number = player->sent + 1};

    if (is_over && (now_ns >= player->leaves_ns + LINGER_NS || player->answered == player->sent)) {
        leave(run, player);
        return;
    }
    if (is_over) {
        wait_until(run, who, now_ns + PAUSE_NS);
        return;
    }
    bool is_sent = send(player->fd, &data, sizeof data, 0) == sizeof data;
    player->sent += is_sent;
    run->counts.sent += is_sent;
    run->counts.unsent += !is_sent;
    wait_until(run, who, now_ns + (player->sent < JOIN_BURST ? PAUSE_NS : PACE_NS));
}

static void turn_wheel(struct run *run, int64_t now_ns)
{
    while (run->tick <= (uint64_t)(now_ns / TICK_NS)) {
        uint32_t *slot = &run->wheel[run->tick++ % TICKS], who = *slot;
        *slot = NOBODY;
        while (who != NOBODY) {
            uint32_t next = run->players[who].next;
            act(run, who, now_ns);
            who = next;
        }
    }
}

static void take(struct run *run, uint32_t who)
{
    struct player *player = &run->players[who];
    struct datagram data;

    while (player->fd >= 0) {
        ssize_t bytes = recv(player->fd, &data, sizeof data, 0);
        if (bytes < 0) {
            run->counts.errors += errno != EAGAIN;
            return;
        }
        run->counts.received++;
        if (bytes != sizeof data || data.who != run->index * run->most + who) {
            run->counts.strays++;
            continue;
        }
        player->answered++;
        run->counts.overtaken += data.number < player->last;
        run->counts.twice += data.number == player->last;
        player->last = data.number > player->last ? data.number : player->last;
    }
}

static void receive(struct run *run)
{
    struct epoll_event events[512];
    int ready = epoll_wait(run->epoll, events, 512, 1);
    for (int i = 0; i < ready; i++)
        take(run, events[i].data.u32);
}

/* Players come until so many have; @return how long that took. */
static double play(struct run *run, uint64_t players, double joins)
{
    int64_t start_ns = clock_monotonic_ns(), now_ns = start_ns, came_ns = start_ns;
    int64_t stay_ns = (int64_t)((double)players / joins * 1e9);

    run->tick = (uint64_t)(now_ns / TICK_NS);
    while (run->gone < run->most) {
        now_ns = clock_monotonic_ns();
        uint64_t due = (uint64_t)((double)(now_ns - start_ns) * 1e-9 * joins);
        for (unsigned n = 0; run->came < run->most && run->came < due && n < BATCH; n++) {
            join(run, now_ns, stay_ns);
            came_ns = now_ns;
        }
        turn_wheel(run, now_ns);
        receive(run);
    }
    return (double)(came_ns - start_ns) * 1e-9;
}

static void print_counts(const struct counts *counts, double seconds)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"joined", counts->joined},       {"sent", counts->sent},
                {"unsent", counts->unsent},       {"received", counts->received},
                {"strays", counts->strays},       {"twice", counts->twice},
                {"overtaken", counts->overtaken}, {"left_unanswered", counts->left_unanswered},
                {"errors", counts->errors}};
    printf("{\"seconds\": %.3f", seconds);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf(", \"%s\": %" PRIu64, rows[i].name, rows[i].value);
    printf("}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct run run = {.epoll = epoll_create1(0), .proxy.sin_family = AF_INET};
    struct servers servers = {0};
    struct rlimit files;
    pthread_t thread;

    if (argc != 11 || inet_pton(AF_INET, argv[3], &run.proxy.sin_addr) != 1)
        return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uint64_t players = strtoull(argv[8], NULL, 10);
    double joins = strtod(argv[9], NULL);
    run.index = strtoull(argv[1], NULL, 10);
    run.proxy.sin_port = htons((uint16_t)atoi(argv[4]));
    run.most = players + (uint64_t)(joins * strtod(argv[10], NULL));
    run.players = calloc(run.most, sizeof *run.players);
    servers.players = run.most * strtoull(argv[2], NULL, 10);
    servers.last = calloc(servers.players, sizeof *servers.last);
    for (unsigned i = 0; i < TICKS; i++)
        run.wheel[i] = NOBODY;
    open_servers(&servers, argv[5], (uint16_t)atoi(argv[6]), (unsigned)atoi(argv[7]));
    if (pthread_create(&thread, NULL, serve, &servers) != 0)
        fail("pthread_create");

    puts("ready");
    fflush(stdout);
    getchar();
    print_counts(&run.counts, play(&run, players, joins));
    while (getchar() != EOF)
        continue;
    atomic_store(&servers.is_over, true);
    pthread_join(thread, NULL);
    print_counts(&servers.counts, 0);
    free(run.players);
    free(servers.last);
    return EXIT_SUCCESS;
}
