/* SPDX-License-Identifier: Apache-2.0 */
/* Pings in others' names: raw frames from an interface, to measure how a responder stands a flood.
 * Meant for a network namespace: it refuses an interface that is not a veth. Bounded by a count and
 * a rate, both of which have to be given.
 *
 * Usage: paddock_flood INTERFACE MAC ADDRESS PORT COUNT RATE [SOURCE [PORTS]]
 * Sends COUNT pings, RATE a second, to ADDRESS:PORT at MAC, each from a random IPv4 address and
 * port, or from SOURCE, or from so many ports of that in turn. Prints how many were sent and in how
 * long. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <qcmp/wire.h>

#define BATCH 64
#define SECOND_NS INT64_C(1000000000)

struct frame {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    uint8_t ping[QCMP_PING_BYTES];
} __attribute__((packed));

struct flood {
    int fd;
    uint64_t count, rate;
    uint32_t source;           /* network order; 0: random */
    unsigned ports, next_port; /* 0: random */
    uint64_t random;
    struct frame frames[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "paddock_flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* By value, because a frame is packed. */
static uint16_t checksum(struct iphdr ip)
{
    uint16_t words[sizeof ip / 2];
    uint32_t sum = 0;
    memcpy(words, &ip, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* First octets 1 to 126 and 128 to 223 but for 10: what a flood from anywhere has. */
static uint32_t random_source(struct flood *flood)
{
    for (;;) {
        uint32_t address = (uint32_t)(next_random(&flood->random) >> 32);
        uint32_t first = address >> 24;
        if (first != 0 && first != 10 && first != 127 && first < 224)
            return htonl(address);
    }
}

static void frame_init(struct frame *frame, char *const *argv, int fd)
{
    unsigned mac[6];
    struct ifreq request = {0};
    if (sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
               &mac[5]) != 6)
        fail("MAC");
    for (int i = 0; i < 6; i++)
        frame->ethernet.ether_dhost[i] = (uint8_t)mac[i];
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", argv[1]);
    if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
        fail("SIOCGIFHWADDR");
    memcpy(frame->ethernet.ether_shost, request.ifr_hwaddr.sa_data, 6);
    frame->ethernet.ether_type = htons(ETHERTYPE_IP);
    frame->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    frame->ip.tot_len = htons(sizeof *frame - sizeof frame->ethernet);
    struct in_addr to;
    if (inet_pton(AF_INET, argv[3], &to) != 1)
        fail("ADDRESS");
    frame->ip.daddr = to.s_addr;
    frame->udp.dest = htons((uint16_t)strtoul(argv[4], NULL, 10));
    frame->udp.len = htons(sizeof frame->udp + sizeof frame->ping); /* checksum 0: none */
    struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = 1, .client_ns = 1};
    qcmp_packet_encode(&ping, frame->ping, sizeof frame->ping);
}

static void refuse_real_interfaces(int fd, const char *name)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (void *)&info};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, SIOCETHTOOL, &request) < 0)
        fail(name);
    if (strcmp(info.driver, "veth") != 0) {
        fprintf(stderr, "paddock_flood: %s is no veth\n", name);
        exit(1);
    }
}

static void flood_open(struct flood *flood, char *const *argv)
{
    int bypass = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET};
    address.sll_ifindex = (int)if_nametoindex(argv[1]);
    flood->fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (flood->fd < 0 || address.sll_ifindex == 0 ||
        bind(flood->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail(argv[1]);
    refuse_real_interfaces(flood->fd, argv[1]);
    setsockopt(flood->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass);
    for (unsigned i = 0; i < BATCH; i++) {
        frame_init(&flood->frames[i], argv, flood->fd);
        flood->vectors[i] = (struct iovec){&flood->frames[i], sizeof flood->frames[i]};
        flood->messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &flood->vectors[i], .msg_iovlen = 1};
    }
}

static void send_batch(struct flood *flood, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct frame *frame = &flood->frames[i];
        frame->ip.saddr = flood->source != 0 ? flood->source : random_source(flood);
        frame->ip.check = 0;
        frame->ip.check = checksum(frame->ip);
        uint64_t port = flood->ports > 0 ? flood->next_port++ % flood->ports
                                         : next_random(&flood->random) % 60000;
        frame->udp.source = htons((uint16_t)(1024 + port));
    }
    for (unsigned sent = 0; sent < count;) {
        int taken = sendmmsg(flood->fd, flood->messages + sent, count - sent, 0);
        if (taken < 0 && errno != ENOBUFS && errno != EINTR)
            fail("sendmmsg");
        sent += taken > 0 ? (unsigned)taken : 0;
    }
}

static void flood_run(struct flood *flood)
{
    int64_t start_ns = now_ns();
    for (uint64_t sent = 0; sent < flood->count;) {
        uint64_t elapsed_ns = (uint64_t)(now_ns() - start_ns);
        uint64_t due = (uint64_t)((double)elapsed_ns * 1e-9 * (double)flood->rate);
        uint64_t count = due > sent ? due - sent : 0;
        if (count > flood->count - sent)
            count = flood->count - sent;
        if (count > BATCH)
            count = BATCH;
        if (count == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            continue;
        }
        send_batch(flood, (unsigned)count);
        sent += count;
    }
    printf("%llu %.3f\n", (unsigned long long)flood->count,
           (double)(now_ns() - start_ns) / SECOND_NS);
}

int main(int argc, char **argv)
{
    static struct flood flood = {.random = UINT64_C(0x9e3779b97f4a7c15)};
    if (argc < 7 || argc > 9) {
        fprintf(stderr, "Usage: paddock_flood INTERFACE MAC ADDRESS PORT COUNT RATE "
                        "[SOURCE [PORTS]]\n");
        return 2;
    }
    flood.count = strtoull(argv[5], NULL, 10);
    flood.rate = strtoull(argv[6], NULL, 10);
    if (flood.count == 0 || flood.rate == 0 || flood.count > 1000000000) {
        fprintf(stderr, "paddock_flood: COUNT and RATE must be numbers above 0\n");
        return 2;
    }
    if (argc >= 8 && inet_pton(AF_INET, argv[7], &flood.source) != 1)
        fail("SOURCE");
    if (argc == 9)
        flood.ports = (unsigned)strtoul(argv[8], NULL, 10);
    flood_open(&flood, argv);
    flood_run(&flood);
    close(flood.fd);
    return 0;
}
