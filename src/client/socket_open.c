#include "client/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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
