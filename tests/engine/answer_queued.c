/* Answers pings that were queued before its worker began, so that a tool which counts instructions
 * finds the same work every time. usage: answer_queued PINGS CLIENTS BURST; the clients take turns,
 * each with BURST pings. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "daemon/qcmp_service.h"

#define MAX_CLIENTS 64

static int connect_to(uint16_t port)
{
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("answer_queued");
        exit(1);
    }
    return fd;
}

static void send_pings(uint16_t port, unsigned pings, unsigned clients, unsigned burst)
{
    int fds[MAX_CLIENTS] = {0};
    uint8_t data[QCMP_PING_BYTES];
    for (unsigned i = 0; i < clients; i++)
        fds[i] = connect_to(port);
    for (unsigned i = 0; i < pings; i++) {
        struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = (uint8_t)i, .client_ns = i};
        qcmp_packet_encode(&ping, data, sizeof data);
        if (send(fds[i / burst % clients], data, sizeof data, 0) != sizeof data)
            perror("answer_queued");
    }
    for (unsigned i = 0; i < clients; i++)
        close(fds[i]);
}

int main(int argc, char **argv)
{
    struct in6_addr any = in6addr_any;
    struct qcmp_service_options options = {
        .addresses = &any, .addresses_count = 1, .workers = 1, .receive_buffer_ns = 100000000};
    struct qcmp_service *service;
    struct counters_sum sum;
    uint64_t drops;
    unsigned pings = argc == 4 ? (unsigned)atoi(argv[1]) : 0;
    unsigned clients = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
    unsigned burst = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
    if (pings == 0 || clients == 0 || clients > MAX_CLIENTS || burst == 0) {
        fprintf(stderr, "usage: %s PINGS CLIENTS BURST\n", argv[0]);
        return 2;
    }
    if (qcmp_service_open(&service, &options) != 0)
        return 1;
    send_pings(qcmp_service_port(service), pings, clients, burst);
    if (qcmp_service_start(service) != 0)
        return 1;
    qcmp_service_stop(service, &sum, &drops);
    printf("answered %llu\n", (unsigned long long)sum.packets[OUTCOME_VALID]);
    return sum.packets[OUTCOME_VALID] == pings ? 0 : 1;
}
