/* SPDX-License-Identifier: Apache-2.0 */
/* A build without BPF: opening fails, so that no other function is called with a fast path. They
 * are one that does nothing, by many names; their header is not included, as it has other types. */
#include <errno.h>

#include "base/error.h"

#define NOTHING(name) void name(void) __attribute__((alias("fastpath_nothing")))

struct fastpath;
struct fastpath_options;

int fastpath_open(struct fastpath **fastpath, const struct fastpath_options *options,
                  struct error *error);
void fastpath_nothing(void);

int fastpath_open(struct fastpath **fastpath, const struct fastpath_options *options,
                  struct error *error)
{
    (void)fastpath;
    (void)options;
    return error_set(error, -ENOSYS, "this build of paddock has no XDP");
}

void fastpath_nothing(void)
{
}

NOTHING(fastpath_is_automatic);
NOTHING(fastpath_interfaces);
NOTHING(fastpath_port_add);
NOTHING(fastpath_port_remove);
NOTHING(fastpath_poll_fd);
NOTHING(fastpath_tick);
NOTHING(fastpath_is_attached);
NOTHING(fastpath_transmit_errors);
NOTHING(fastpath_detach);
NOTHING(fastpath_close);
NOTHING(packet_filter_exists);
