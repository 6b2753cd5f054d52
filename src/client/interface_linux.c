/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

/* By name, which takes no privilege since Linux 5.7; the option with an index came later, and needs
 * the same. */
int qcmp_socket_confine(qcmp_fd fd, bool ipv6, uint32_t interface_index)
{
    char name[IF_NAMESIZE];
    (void)ipv6;
    if (if_indextoname(interface_index, name) == NULL ||
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) != 0)
        return qcmp_error_from_os(errno);
    return 0;
}
