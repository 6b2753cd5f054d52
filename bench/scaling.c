/* What workers get done when nobody else uses the machine: pings are queued first, then the workers
 * start, and the time until all are answered is taken. usage: scaling WORKERS PINGS; prints one
 * JSON object. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "daemon/qcmp_service.h"

#define CLIENTS 256
#define RECEIVE_BUFFER_NS INT64_C(2000000000)

/* Their pongs are not read: what does not fit into a small buffer is dropped. */
static int client_open(uint16_t port)
{
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons(port)};
    int small = 1;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("scaling");
        exit(1);
    }
    return fd;
}

static void queue_pings(uint16_t port, unsigned pings)
{
    int fds[CLIENTS];
    uint8_t data[QCMP_PING_BYTES];
    for (unsigned i = 0; i < CLIENTS; i++)
        fds[i] = client_open(port);
    for (unsigned i = 0; i < pings; i++) {
        struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = (uint8_t)i, .client_ns = i};
        qcmp_packet_encode(&ping, data, sizeof data);
        send(fds[i % CLIENTS], data, sizeof data, 0);
    }
}

static int64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000000) +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * INT64_C(1000);
}

int main(int argc, char **argv)
{
    struct in6_addr any = in6addr_any;
    struct counters_sum sum;
    struct qcmp_service *service;
    uint64_t drops;
    struct qcmp_service_options options = {.addresses = &any,
                                           .addresses_count = 1,
                                           .pin = true,
                                           .receive_buffer_ns = RECEIVE_BUFFER_NS};
    if (argc != 3 || atoi(argv[1]) < 1) {
        fprintf(stderr, "usage: %s WORKERS PINGS\n", argv[0]);
        return 2;
    }
    options.workers = (unsigned)atoi(argv[1]);
    if (qcmp_service_open(&service, &options) != 0)
        return 1;
    queue_pings(qcmp_service_port(service), (unsigned)atoi(argv[2]));
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = cpu_ns();
    if (qcmp_service_start(service) != 0)
        return 1;
    qcmp_service_stop(service, &sum, &drops);
    int64_t end_ns = clock_monotonic_ns();
    printf("{\"answered\":%" PRIu64 ",\"drops\":%" PRIu64 ",\"elapsed_ns\":%" PRId64
           ",\"cpu_ns\":%" PRId64 "}\n",
           sum.answered, drops, end_ns - start_ns, cpu_ns() - start_cpu_ns);
    return 0;
}
