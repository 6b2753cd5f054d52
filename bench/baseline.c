/* SPDX-License-Identifier: Apache-2.0 */
/* The responder that everybody would write first, to compare with: one thread, epoll, a recvfrom
 * and a sendto for each ping, timestamps from user space. It answers on [::]:PORT until it is
 * killed. */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <qcmp/wire.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void answer(int fd)
{
    uint8_t data[64];
    struct sockaddr_in6 from;
    struct qcmp_packet packet;
    socklen_t from_bytes = sizeof from;
    ssize_t bytes = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_bytes);
    int64_t start_ns = now_ns();
    if (bytes < 0 || qcmp_packet_decode(data, (size_t)bytes, &packet, NULL) != QCMP_PING)
        return;
    packet.kind = QCMP_PONG;
    packet.server_start_ns = start_ns;
    packet.server_transmit_ns = now_ns();
    qcmp_packet_encode(&packet, data, sizeof data);
    sendto(fd, data, QCMP_PONG_BYTES, 0, (struct sockaddr *)&from, from_bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)atoi(argv[1]))};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int events = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0 || events < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror(argv[0]);
        return 1;
    }
    for (;;) {
        if (epoll_wait(events, &event, 1, -1) == 1)
            answer(fd);
    }
}
