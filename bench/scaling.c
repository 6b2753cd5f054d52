/* SPDX-License-Identifier: Apache-2.0 */
/* Answers pings that were queued before its workers began, so that workers can be timed while
 * nobody else uses the machine. The clients take turns, each with BURST pings. Prints one JSON
 * object. usage: scaling WORKERS PINGS CLIENTS BURST 4|6 (of IP) */
#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "net/address.h"
#include "serve.h"

#define MAX_CLIENTS 256

/* Their pongs are not read: what does not fit into a small buffer is dropped. */
static int client_open(unsigned ip, uint16_t port)
{
    struct in_addr ipv4 = {htonl(INADDR_LOOPBACK)};
    struct in6_addr address = ip == 4 ? address_from_ipv4(ipv4) : in6addr_loopback;
    struct sockaddr_storage to;
    socklen_t bytes = address_to_socket(&address, port, &to);
    int small = 1;
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0 ||
        connect(fd, (struct sockaddr *)&to, bytes) != 0) {
        perror("scaling");
        exit(1);
    }
    return fd;
}

/* What the kernel drops is told at the end. The sockets stay open, as those of clients do. */
static void queue_pings(uint16_t port, unsigned ip, unsigned pings, unsigned clients,
                        unsigned burst)
{
    int fds[MAX_CLIENTS] = {0};
    uint8_t data[QCMP_PING_BYTES];
    assert(clients > 0 && burst > 0);
    for (unsigned i = 0; i < clients; i++)
        fds[i] = client_open(ip, port);
    for (unsigned i = 0; i < pings; i++) {
        struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = (uint8_t)i, .client_ns = i};
        qcmp_packet_encode(&ping, data, sizeof data);
        if (send(fds[i / burst % clients], data, sizeof data, 0) != sizeof data)
            perror("scaling");
    }
}

static int64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000000) +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * INT64_C(1000);
}

/* Returns the exit status: 1 unless all that was queued was answered. */
static int answer(struct served *served, unsigned pings)
{
    uint64_t drops;
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = cpu_ns();
    serve_start(served);
    uint64_t answered = serve_stop(served, &drops);
    int64_t end_ns = clock_monotonic_ns();
    printf("{\"answered\":%" PRIu64 ",\"drops\":%" PRIu64 ",\"elapsed_ns\":%" PRId64
           ",\"cpu_ns\":%" PRId64 "}\n",
           answered, drops, end_ns - start_ns, cpu_ns() - start_cpu_ns);
    return answered == pings ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const char *const flags[] = {"--service.qcmp.port",
                                        "0",
                                        "--service.qcmp.receive-buffer",
                                        "2s",
                                        "--service.qcmp.guard",
                                        "false",
                                        NULL};
    unsigned numbers[5] = {0};
    for (int i = 0; i < 5 && argc == 6; i++)
        numbers[i] = (unsigned)strtoul(argv[1 + i], NULL, 10);
    if (numbers[0] == 0 || numbers[2] == 0 || numbers[2] > MAX_CLIENTS || numbers[3] == 0 ||
        (numbers[4] != 4 && numbers[4] != 6)) {
        fprintf(stderr, "usage: %s WORKERS PINGS CLIENTS BURST 4|6\n", argv[0]);
        return 2;
    }
    struct served *served = serve_open(numbers[0], flags);
    queue_pings(serve_port(served), numbers[4], numbers[1], numbers[2], numbers[3]);
    return answer(served, numbers[1]);
}
