/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <mswsock.h>
#include <stdio.h>
#include <string.h>

#include "client/address.h"
#include "client/clock.h"

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif

/* Refusals of earlier pings that one call gets out of its way. */
#define REFUSALS_A_CALL 64

static int winsock_error(void)
{
    return qcmp_error_from_os(WSAGetLastError());
}

static int set_flag(SOCKET fd, int level, int name, DWORD value)
{
    return setsockopt(fd, level, name, (const char *)&value, sizeof value);
}

static SOCKET socket_of_family(enum qcmp_family family, bool *ipv6)
{
    *ipv6 = family != QCMP_FAMILY_IPV4;
    SOCKET fd = socket(*ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    if (fd == INVALID_SOCKET && family == QCMP_FAMILY_ANY && WSAGetLastError() == WSAEAFNOSUPPORT) {
        *ipv6 = false;
        fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    }
    return fd;
}

/* IPv4 takes the index in network order. */
int qcmp_socket_confine(qcmp_fd fd, bool ipv6, uint32_t interface_index)
{
    if (set_flag(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(interface_index)) != 0 && !ipv6)
        return winsock_error();
    if (ipv6 && set_flag(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, interface_index) != 0)
        return winsock_error();
    return 0;
}

/* Always bound, because receiving from a socket that is not is an error here. A refused ping makes
 * the next receive fail, and the option that turns this off is not on every system: see receive. */
static int prepare(SOCKET fd, bool ipv6, enum qcmp_family family,
                   const struct qcmp_client_options *options)
{
    struct sockaddr_storage address;
    u_long nonblocking = 1;
    DWORD off = 0, written;
    /* The number has bit 31 set, and the parameter a sign. */
    if (ioctlsocket(fd, (long)FIONBIO, &nonblocking) != 0 ||
        (ipv6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, family == QCMP_FAMILY_IPV6) != 0))
        return winsock_error();
    WSAIoctl(fd, SIO_UDP_CONNRESET, &off, sizeof off, NULL, 0, &written, NULL, NULL);
    if (options->interface_index != 0) {
        int error = qcmp_socket_confine(fd, ipv6, options->interface_index);
        if (error != 0)
            return error;
    }
    int bytes = qcmp_endpoint_fill(&options->source, ipv6, &address);
    return bind(fd, (const struct sockaddr *)&address, bytes) != 0 ? winsock_error() : 0;
}

int qcmp_socket_open(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                     size_t slots)
{
    enum qcmp_family family;
    WSADATA winsock;
    (void)slots;
    int error = qcmp_options_family(options, &family);
    if (error == 0 && options->dscp != 0)
        error = qcmp_error_from_os(WSAEOPNOTSUPP);
    if (error != 0)
        return error;
    int started = WSAStartup(MAKEWORD(2, 2), &winsock);
    if (started != 0)
        return qcmp_error_from_os(started);
    sock->fd = socket_of_family(family, &sock->ipv6);
    sock->ipv6_only = family == QCMP_FAMILY_IPV6;
    sock->refused = false;
    error = sock->fd == INVALID_SOCKET ? winsock_error()
                                       : prepare(sock->fd, sock->ipv6, family, options);
    if (error != 0) {
        if (sock->fd != INVALID_SOCKET)
            closesocket(sock->fd);
        WSACleanup();
    }
    return error;
}

void qcmp_socket_close(struct qcmp_socket *sock)
{
    closesocket(sock->fd);
    WSACleanup();
}

int qcmp_socket_send(struct qcmp_socket *sock, const struct qcmp_endpoint *to, const void *data,
                     size_t bytes)
{
    struct sockaddr_storage address;
    if (qcmp_endpoint_is_ipv4(to) ? sock->ipv6_only : !sock->ipv6)
        return qcmp_error_from_os(WSAEAFNOSUPPORT);
    int address_bytes = qcmp_endpoint_fill(to, sock->ipv6, &address);
    int sent = sendto(sock->fd, (const char *)data, (int)bytes, 0,
                      (const struct sockaddr *)&address, address_bytes);
    return sent < 0 ? winsock_error() : 0;
}

/* A datagram longer than the buffer is an error here, though its beginning has been read. */
static int receive_one(SOCKET fd, struct qcmp_arrival *arrival)
{
    struct sockaddr_storage from;
    for (int tries = 0; tries < REFUSALS_A_CALL; tries++) {
        int from_bytes = sizeof from;
        int bytes = recvfrom(fd, (char *)arrival->data, sizeof arrival->data, 0,
                             (struct sockaddr *)&from, &from_bytes);
        int error = bytes < 0 ? WSAGetLastError() : 0;
        if (error == WSAECONNRESET || error == WSAENETRESET)
            continue;
        if (error != 0 && error != WSAEMSGSIZE)
            return error == WSAEWOULDBLOCK ? 0 : qcmp_error_from_os(error);
        arrival->read = qcmp_clock_read();
        arrival->kernel_ns = 0;
        arrival->bytes = bytes < 0 ? sizeof arrival->data : (size_t)bytes;
        memset(&arrival->from, 0, sizeof arrival->from);
        qcmp_endpoint_from_sockaddr(&arrival->from, (struct sockaddr *)&from, (size_t)from_bytes);
        return 1;
    }
    return 0;
}

int qcmp_socket_receive(struct qcmp_socket *sock, struct qcmp_arrival *arrivals, int capacity)
{
    int received = 0;
    while (received < capacity) {
        int result = receive_one(sock->fd, &arrivals[received]);
        if (result <= 0)
            return received > 0 ? received : result;
        received++;
    }
    return received;
}

int qcmp_socket_notice(struct qcmp_socket *sock, struct qcmp_notice *notice)
{
    (void)sock;
    (void)notice;
    return 0;
}

int qcmp_socket_wait(const struct qcmp_socket *sock, int64_t timeout_ns)
{
    WSAPOLLFD poll_fd = {sock->fd, POLLRDNORM, 0};
    int64_t timeout_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    int limited_ms = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
    return WSAPoll(&poll_fd, 1, limited_ms) < 0 ? winsock_error() : 0;
}

/* Scopes are numbers on this system. */
uint32_t qcmp_interface_index(const char *name)
{
    (void)name;
    return 0;
}

void qcmp_os_error_text(int os_error, char *text, size_t capacity)
{
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                  (DWORD)os_error, 0, text, (DWORD)capacity, NULL);
    while (length > 0 && strchr(".\r\n ", text[length - 1]) != NULL)
        text[--length] = '\0';
    if (length == 0)
        snprintf(text, capacity, "error %d of the operating system", os_error);
}
