/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <errno.h>

int qcmp_socket_confine(qcmp_fd fd, bool ipv6, uint32_t interface_index)
{
    int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int name = ipv6 ? IPV6_BOUND_IF : IP_BOUND_IF;
    if (setsockopt(fd, level, name, &interface_index, sizeof interface_index) != 0)
        return qcmp_error_from_os(errno);
    return 0;
}
