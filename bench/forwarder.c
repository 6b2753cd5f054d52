/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of a UDP proxy on sockets: recvmmsg, a hash table, a connected socket for each session,
 * sendmmsg; no filters, no limits, no counters, no end of a session. With several servers the last
 * byte of a player's datagram says which one, and is taken off.
 * usage: forwarder PORT SERVER-ADDRESS SERVER-PORT... */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define BATCH 32
#define BYTES 65536
#define BUCKETS (1U << 18)
#define MAX_SERVERS 64

struct session {
    struct sockaddr_in player;
    unsigned server;
    int fd;
};

struct forwarder {
    int front, epoll;
    unsigned servers;
    struct sockaddr_in server[MAX_SERVERS];
    struct session *table[BUCKETS];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in peers[BATCH];
    char data[BATCH][BYTES];
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(const struct forwarder *forwarder, int fd, void *user)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = user};
    if (epoll_ctl(forwarder->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static struct session *find(struct forwarder *forwarder, const struct sockaddr_in *player,
                            unsigned server)
{
    uint64_t key = (uint64_t)player->sin_addr.s_addr << 16 | player->sin_port;
    uint64_t hash = (key + server) * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    struct session **entry = &forwarder->table[hash % BUCKETS];

    while (*entry != NULL &&
           ((*entry)->server != server || (*entry)->player.sin_port != player->sin_port ||
            (*entry)->player.sin_addr.s_addr != player->sin_addr.s_addr))
        entry = entry + 1 < forwarder->table + BUCKETS ? entry + 1 : forwarder->table;
    if (*entry != NULL)
        return *entry;

    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        fail("calloc");
    session->player = *player;
    session->server = server;
    session->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (session->fd < 0 || connect(session->fd, (const struct sockaddr *)&forwarder->server[server],
                                   sizeof forwarder->server[server]) != 0)
        fail("socket");
    watch(forwarder, session->fd, session);
    *entry = session;
    return session;
}

static int receive(struct forwarder *forwarder, int fd)
{
    for (unsigned i = 0; i < BATCH; i++) {
        forwarder->vectors[i].iov_len = BYTES;
        forwarder->messages[i].msg_hdr = (struct msghdr){.msg_name = &forwarder->peers[i],
                                                         .msg_namelen = sizeof forwarder->peers[i],
                                                         .msg_iov = &forwarder->vectors[i],
                                                         .msg_iovlen = 1};
    }
    return recvmmsg(fd, forwarder->messages, BATCH, MSG_DONTWAIT, NULL);
}

static void to_servers(struct forwarder *forwarder)
{
    int received = receive(forwarder, forwarder->front);
    for (int i = 0; i < received; i++) {
        size_t bytes = forwarder->messages[i].msg_len;
        unsigned server = 0;
        if (forwarder->servers > 1 && bytes > 0)
            server = (unsigned char)forwarder->data[i][--bytes] % forwarder->servers;
        const struct session *session = find(forwarder, &forwarder->peers[i], server);
        if (send(session->fd, forwarder->data[i], bytes, MSG_DONTWAIT) < 0 && errno != EAGAIN &&
            errno != ECONNREFUSED)
            fail("send");
    }
}

static void to_player(struct forwarder *forwarder, struct session *session)
{
    int received = receive(forwarder, session->fd), sent = 0;
    for (int i = 0; i < received; i++) {
        forwarder->vectors[i].iov_len = forwarder->messages[i].msg_len;
        forwarder->messages[i].msg_hdr.msg_name = &session->player;
    }
    while (sent < received) {
        int done = sendmmsg(forwarder->front, forwarder->messages + sent,
                            (unsigned)(received - sent), MSG_DONTWAIT);
        sent += done > 0 ? done : 1;
    }
}

int main(int argc, char **argv)
{
    struct forwarder *forwarder = calloc(1, sizeof *forwarder);
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct rlimit files;
    struct in_addr address;
    int buffer = 4 << 20;
    if (argc < 4 || argc - 3 > MAX_SERVERS || inet_pton(AF_INET, argv[2], &address) != 1 ||
        forwarder == NULL) {
        free(forwarder);
        return 2;
    }

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    any.sin_port = htons((uint16_t)atoi(argv[1]));
    for (int i = 3; i < argc; i++)
        forwarder->server[forwarder->servers++] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[i])), .sin_addr = address};
    for (unsigned i = 0; i < BATCH; i++)
        forwarder->vectors[i].iov_base = forwarder->data[i];
    forwarder->epoll = epoll_create1(0);
    forwarder->front = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (forwarder->front < 0 ||
        bind(forwarder->front, (const struct sockaddr *)&any, sizeof any) != 0)
        fail("bind");
    setsockopt(forwarder->front, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    watch(forwarder, forwarder->front, NULL);
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(forwarder->epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL)
                to_servers(forwarder);
            else
                to_player(forwarder, events[i].data.ptr);
        }
    }
}
