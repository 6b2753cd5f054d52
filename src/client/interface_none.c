/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <errno.h>

/* The BSDs have no option for it. */
int qcmp_socket_confine(qcmp_fd fd, bool ipv6, uint32_t interface_index)
{
    (void)fd;
    (void)ipv6;
    (void)interface_index;
    return qcmp_error_from_os(EOPNOTSUPP);
}
