/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The program of the fast path on one network interface. All of them share what they have of their
 * own of each CPU, and the parts to which they jump.
 */
#ifndef PADDOCK_FASTPATH_INTERFACE_H
#define PADDOCK_FASTPATH_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fastpath/addresses.h"
#include "fastpath/attach.h"
#include "fastpath/device.h"
#include "fastpath/shared.h"

struct fastpath_bpf;

/** Zeroed but for link_fd, which is -1, there is nothing on it. */
struct fastpath_interface {
    struct fastpath_device device; /**< as it was when it was looked at last */
    struct fastpath_bpf *program;
    struct fastpath_addresses addresses; /**< as the map of the program holds them */
    unsigned index;                      /**< the kernel's */
    int link_fd;                         /**< -1: detached */
    uint64_t errors_before;              /**< frames that it had lost before us */
};

/** Finds an interface by its name, or that of the default route where the name is empty.
 * @param automatic whether it has to be a hardware interface.
 * @return 0 or a negative errno value, also in @p error. */
int fastpath_interface_find(struct fastpath_interface *interface, const char *name, bool automatic,
                            struct error *error);

/** Loads the program.
 * @param first the interface whose maps are shared; NULL: this is the first one.
 * @param number of this one, from 0; below FASTPATH_MAX_INTERFACES.
 * @return 0 or a negative errno value, also in @p error. */
int fastpath_interface_load(struct fastpath_interface *interface,
                            const struct fastpath_interface *first, unsigned number,
                            struct error *error);

/** Looks at the interface and at the addresses of this host, for its program.
 * @param filter of which the interface is set here.
 * @return 0 or a negative errno value; -EINTR: they keep changing, and all is as it was. */
int fastpath_interface_follow(struct fastpath_interface *interface,
                              struct fastpath_address_filter filter);

/** @return 0 or a negative errno value, also in @p error. */
int fastpath_interface_attach(struct fastpath_interface *interface, enum xdp_mode mode,
                              struct error *error);

/** Whether the program is on the interface. */
bool fastpath_interface_is_attached(const struct fastpath_interface *interface);

/** Frames that it lost since it was attached, as far as its driver counts them.
 * @param[out] errors is added to. @return whether they could be read. */
bool fastpath_interface_errors(const struct fastpath_interface *interface, uint64_t *errors);

/** What the program goes by. */
struct fastpath_settings *fastpath_interface_settings(const struct fastpath_interface *interface);

/** The descriptor of the map of parts, or that of CPUs. */
int fastpath_interface_parts_fd(const struct fastpath_interface *interface);
int fastpath_interface_cpus_fd(const struct fastpath_interface *interface);

/** Takes the program off. */
void fastpath_interface_detach(struct fastpath_interface *interface);

/** Takes it off and unloads it. */
void fastpath_interface_fini(struct fastpath_interface *interface);

#endif
