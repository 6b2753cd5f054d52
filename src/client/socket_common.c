#include "client/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/address.h"

int qcmp_socket_create(struct qcmp_socket *sock, enum qcmp_family family, int type)
{
    bool ipv6 = family != QCMP_FAMILY_IPV4;
    int ipv6_only = family == QCMP_FAMILY_IPV6;
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, type, 0);
    if (fd < 0 && family == QCMP_FAMILY_ANY && errno == EAFNOSUPPORT) {
        ipv6 = false;
        fd = socket(AF_INET, type, 0);
    }
    if (fd < 0)
        return qcmp_error_from_os(errno);
    if (ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof ipv6_only) != 0) {
        int error = qcmp_error_from_os(errno);
        close(fd);
        return error;
    }
    *sock = (struct qcmp_socket){.fd = fd, .ipv6 = ipv6, .ipv6_only = ipv6_only != 0};
    return 0;
}

int qcmp_socket_send_once(struct qcmp_socket *sock, const struct qcmp_endpoint *to,
                          const void *data, size_t bytes)
{
    if (qcmp_endpoint_is_ipv4(to) ? sock->ipv6_only : !sock->ipv6)
        return qcmp_error_from_os(EAFNOSUPPORT);
    struct sockaddr_storage address;
    socklen_t address_bytes = qcmp_endpoint_to_sockaddr(to, sock->ipv6, &address);
    ssize_t sent;
    do
        sent = sendto(sock->fd, data, bytes, 0, (const struct sockaddr *)&address, address_bytes);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? qcmp_error_from_os(errno) : 0;
}
