/* SPDX-License-Identifier: Apache-2.0 */
/* carry bare INTERFACE PROXY PLAYERS-AND-SERVER COUNT: a bare XDP forwarder, until its input ends.
 * carry pass INTERFACE PROXY PLAYERS-AND-SERVER COUNT: a program that passes everything, as long.
 * carry flood INTERFACE PROXY PLAYERS-AND-SERVER COUNT MAC SECONDS TOKEN OFFERED: round trips of so
 * many players through the proxy at PROXY, whose MAC address is given, as fast as one CPU makes
 * them, or with so many datagrams of players a second, whether or not they come back; as JSON. The
 * sessions have to be there. TOKEN ends each datagram. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/carry.h"

#include "carry.skel.h"

#define PAYLOAD_BYTES 22 /* frames of 64 bytes */
#define HEADER_BYTES (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define FRAMES_A_CALL 1000000
#define BATCH 64

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static uint32_t sum(const void *data, size_t bytes)
{
    uint32_t total = 0;
    for (size_t i = 0; i < bytes; i += 2) {
        uint16_t word = 0;
        memcpy(&word, (const char *)data + i, bytes - i < 2 ? 1 : 2);
        total += word;
    }
    while (total > UINT16_MAX)
        total = (total >> 16) + (total & UINT16_MAX);
    return total;
}

static void attach(const struct bpf_program *program, const char *interface)
{
    struct bpf_link *link = bpf_program__attach_xdp(program, (int)if_nametoindex(interface));
    if (link == NULL)
        fail("attach");
}

/* By how much the sum of words changes. */
static uint32_t difference(uint32_t before, uint32_t after)
{
    uint32_t total = after + (uint16_t)~before;
    return (total >> 16) + (total & UINT16_MAX);
}

static void add_way(const struct carry_bpf *bpf, const struct carry_key *key, uint32_t own,
                    struct carry_way way)
{
    uint32_t before[] = {key->source, own}, after[] = {way.source, way.destination};
    uint16_t before_ports[] = {key->source_port, key->port};
    uint16_t after_ports[] = {way.source_port, way.port};
    way.addresses = difference(sum(before, sizeof before), sum(after, sizeof after));
    uint32_t ports =
        difference(sum(before_ports, sizeof before_ports), sum(after_ports, sizeof after_ports));
    way.all = way.addresses + ports;
    way.all = (way.all >> 16) + (way.all & UINT16_MAX);
    if (bpf_map_update_elem(bpf_map__fd(bpf->maps.ways), key, &way, BPF_ANY) != 0)
        fail("map");
}

static void forward(struct carry_bpf *bpf, uint32_t proxy, uint32_t far, unsigned players)
{
    for (unsigned i = 0; i < players; i++) {
        uint16_t player = htons((uint16_t)(CARRY_FIRST_PORT + i));
        uint16_t number = htons((uint16_t)(CARRY_FIRST_NUMBER + i));
        uint16_t port = htons(CARRY_PORT), server = htons(CARRY_SERVER_PORT);
        add_way(bpf, &(struct carry_key){far, player, port}, proxy,
                (struct carry_way){proxy, far, number, server, 0, 0});
        add_way(bpf, &(struct carry_key){far, server, number}, proxy,
                (struct carry_way){proxy, far, port, player, 0, 0});
    }
}

static size_t make_frame(uint8_t *frame, uint32_t proxy, uint32_t far, const char *mac,
                         const char *token)
{
    struct ethhdr ethernet = {.h_proto = htons(ETH_P_IP), .h_source = {2, 0, 0, 0, 0, 1}};
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    struct udphdr udp = {.source = htons(CARRY_FIRST_PORT), .dest = htons(CARRY_PORT)};
    uint8_t payload[PAYLOAD_BYTES] = {0};
    uint16_t balance = htons(CARRY_MAX_PLAYERS), bytes = sizeof udp + sizeof payload;
    unsigned octets[ETH_ALEN];

    if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &octets[0], &octets[1], &octets[2], &octets[3], &octets[4],
               &octets[5]) != ETH_ALEN)
        fail("MAC");
    for (unsigned i = 0; i < ETH_ALEN; i++)
        ethernet.h_dest[i] = (uint8_t)octets[i];
    memcpy(payload, &balance, sizeof balance);
    for (size_t i = 0, length = strlen(token); i < length; i++)
        payload[sizeof payload - length + i] = (uint8_t)token[i];
    ip.tot_len = htons((uint16_t)(sizeof ip + bytes));
    ip.saddr = far;
    ip.daddr = proxy;
    ip.check = (uint16_t)~sum(&ip, sizeof ip);
    udp.len = htons(bytes);
    uint32_t all = sum(&ip.saddr, 8) + htons(IPPROTO_UDP) + udp.len + sum(&udp, sizeof udp) +
                   sum(payload, sizeof payload);
    all = (all >> 16) + (all & UINT16_MAX);
    udp.check = (uint16_t) ~((all >> 16) + all);
    memcpy(frame, &ethernet, sizeof ethernet);
    memcpy(frame + sizeof ethernet, &ip, sizeof ip);
    memcpy(frame + sizeof ethernet + sizeof ip, &udp, sizeof udp);
    memcpy(frame + HEADER_BYTES, payload, sizeof payload);
    return HEADER_BYTES + sizeof payload;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void flood(struct carry_bpf *bpf, uint8_t *frame, size_t bytes, const char *interface,
                  double seconds)
{
    struct xdp_md context = {.data_end = (uint32_t)bytes,
                             .ingress_ifindex = if_nametoindex(interface)};
    struct bpf_test_run_opts test = {.sz = sizeof test,
                                     .data_in = frame,
                                     .data_size_in = (uint32_t)bytes,
                                     .ctx_in = &context,
                                     .ctx_size_in = sizeof context,
                                     .repeat = FRAMES_A_CALL,
                                     .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                     .batch_size = BATCH};
    double began = now(), ended;
    do {
        if (bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.carry_send), &test) != 0)
            fail("BPF_PROG_RUN");
        ended = now();
    } while (ended - began < seconds);
    usleep(100000);
    printf("{\"seconds\": %.6f, \"sent\": %llu, \"reached\": %llu, \"round_trips\": %llu}\n",
           ended - began, (unsigned long long)bpf->bss->sent, (unsigned long long)bpf->bss->reached,
           (unsigned long long)bpf->bss->round_trips);
}

int main(int argc, char **argv)
{
    uint8_t frame[HEADER_BYTES + PAYLOAD_BYTES];
    uint32_t proxy, far;

    if (argc < 6 || inet_pton(AF_INET, argv[3], &proxy) != 1 ||
        inet_pton(AF_INET, argv[4], &far) != 1)
        return 2;
    struct carry_bpf *bpf = carry_bpf__open_and_load();
    if (bpf == NULL)
        fail("load");
    unsigned players = (unsigned)strtoul(argv[5], NULL, 10);
    bpf->bss->settings.players = players;
    bool is_bare = strcmp(argv[1], "bare") == 0;
    if (is_bare || strcmp(argv[1], "pass") == 0) {
        forward(bpf, proxy, far, players);
        attach(is_bare ? bpf->progs.carry_bare : bpf->progs.carry_pass, argv[2]);
        while (getchar() != EOF)
            continue;
        return EXIT_SUCCESS;
    }
    if (argc != 10)
        return 2;
    size_t bytes = make_frame(frame, proxy, far, argv[6], argv[8]);
    bpf->bss->settings.offered = (uint32_t)strtoul(argv[9], NULL, 10);
    memcpy(bpf->bss->settings.frame, frame, sizeof frame);
    attach(bpf->progs.carry_far, argv[2]);
    flood(bpf, frame, bytes, argv[2], strtod(argv[7], NULL));
    return EXIT_SUCCESS;
}
