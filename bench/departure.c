/* SPDX-License-Identifier: Apache-2.0 */
/* How true the transmit stamps of the responder are: it answers on PORT for SECONDS with one
 * worker, and holds the stamp in each pong against the kernel's transmit stamp of the datagram that
 * carried it. usage: departure PORT SECONDS; prints one JSON object. */
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <qcmp/wire.h>

#include "base/clock.h"
#include "base/hdr_histogram.h"
#include "net/address.h"
#include "serve.h"

#define MAX_FD 64
#define HEADERS_BYTES 62 /* Ethernet, IPv6 and UDP; an error queue gives them back, too */
#define SECOND_NS INT64_C(1000000000)

/* The service keeps its socket to itself; here it is found by its port. */
static int find_socket(uint16_t port)
{
    for (int fd = 3; fd < MAX_FD; fd++) {
        int type = 0;
        socklen_t bytes = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_DGRAM &&
            address_bound_port(fd) == port)
            return fd;
    }
    return -1;
}

static int ask_for_stamps(int fd)
{
    int stamps =
        SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps);
}

static int64_t departure(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamps;
            memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
            return (int64_t)stamps.ts[0].tv_sec * SECOND_NS + stamps.ts[0].tv_nsec;
        }
    }
    return 0;
}

/* The error queue gives back the whole frame; a pong ends it, the last of several. */
static void take(int fd, struct hdr_histogram *errors, struct hdr_histogram *sizes)
{
    uint8_t frame[65536];
    union {
        char bytes[512];
        struct cmsghdr alignment;
    } control;
    struct iovec vector = {frame, sizeof frame};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t bytes = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    struct qcmp_packet pong;
    if (bytes < QCMP_PONG_BYTES || qcmp_packet_decode(frame + bytes - QCMP_PONG_BYTES,
                                                      QCMP_PONG_BYTES, &pong, NULL) != QCMP_PONG)
        return;
    int64_t error_ns = departure(&message) - pong.server_transmit_ns;
    hdr_histogram_record(errors, error_ns < 0 ? -error_ns : error_ns);
    hdr_histogram_record(sizes, (bytes - HEADERS_BYTES) / QCMP_PONG_BYTES);
}

static void collect(int fd, int64_t end_ns, struct hdr_histogram *errors,
                    struct hdr_histogram *sizes)
{
    while (clock_monotonic_ns() < end_ns) {
        struct pollfd errors_ready = {.fd = fd};
        if (poll(&errors_ready, 1, 50) > 0)
            take(fd, errors, sizes);
    }
}

int main(int argc, char **argv)
{
    static struct hdr_histogram errors, sizes;
    uint64_t drops;
    if (argc != 3) {
        fprintf(stderr, "usage: %s PORT SECONDS\n", argv[0]);
        return 2;
    }
    const char *const flags[] = {"--service.qcmp.port", argv[1], "--service.qcmp.guard", "false",
                                 NULL};
    struct served *served = serve_open(1, flags);
    int fd = find_socket((uint16_t)atoi(argv[1]));
    if (fd < 0 || ask_for_stamps(fd) != 0)
        return 1;
    serve_start(served);
    collect(fd, clock_monotonic_ns() + atoi(argv[2]) * SECOND_NS, &errors, &sizes);
    uint64_t answered = serve_stop(served, &drops);
    printf("{\"answered\":%" PRIu64 ",\"stamped\":%" PRIu64 ",\"segments_p50\":%" PRId64
           ",\"error_ns\":{\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"max\":%" PRId64 "}}\n",
           answered, errors.count, hdr_histogram_quantile(&sizes, 0.5),
           hdr_histogram_quantile(&errors, 0.5), hdr_histogram_quantile(&errors, 0.99), errors.max);
    return 0;
}
