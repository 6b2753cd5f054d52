/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/interface.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <unistd.h>

#include "fastpath.skel.h"

#define ATTEMPTS 3

int fastpath_interface_find(struct fastpath_interface *interface, const char *name, bool automatic,
                            struct error *error)
{
    bool is_default = name[0] == '\0';

    interface->index = is_default ? xdp_default_interface() : if_nametoindex(name);
    if (interface->index == 0 && is_default)
        return error_set(error, -ENODEV,
                         "no default route says which network interface: name it with "
                         "--service.udp.xdp.network-interface");
    if (interface->index == 0)
        return error_set(error, -ENODEV, "there is no network interface '%s'", name);
    int code = fastpath_device_read(interface->index, &interface->device);
    if (code != 0)
        return error_system(error, code, "cannot ask for network interface %u", interface->index);
    if (!interface->device.has_ethernet)
        return error_set(error, -EAFNOSUPPORT, "%s is no Ethernet interface",
                         interface->device.name);
    if (automatic && !interface->device.is_hardware)
        return error_set(error, -ENODEV, "%s is no hardware interface", interface->device.name);
    return 0;
}

static int share_maps(struct fastpath_bpf *program, const struct fastpath_interface *first)
{
    if (first == NULL)
        return bpf_map__set_max_entries(program->maps.cpus, (uint32_t)libbpf_num_possible_cpus());
    int code = bpf_map__reuse_fd(program->maps.cpus, fastpath_interface_cpus_fd(first));
    return code == 0 ? bpf_map__reuse_fd(program->maps.parts, fastpath_interface_parts_fd(first))
                     : code;
}

int fastpath_interface_load(struct fastpath_interface *interface,
                            const struct fastpath_interface *first, unsigned number,
                            struct error *error)
{
    struct fastpath_bpf *program = interface->program = fastpath_bpf__open();
    if (program == NULL)
        return error_system(error, -errno, "cannot open the XDP program");
    int code = share_maps(program, first);
    if (code == 0)
        code = fastpath_bpf__load(program);
    if (code != 0)
        return error_system(error, code, "cannot load the XDP program (it needs %s)",
                            code == -EPERM || code == -EACCES
                                ? "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
                                : "Linux 6.1");
    program->bss->settings.addresses_version = FASTPATH_MAX_INTERFACES + number;
    program->bss->settings.interface = (number + 1) << FASTPATH_NUMBER_SHIFT;
    return 0;
}

int fastpath_interface_follow(struct fastpath_interface *interface,
                              struct fastpath_address_filter filter)
{
    struct fastpath_settings *settings = fastpath_interface_settings(interface);
    const struct fastpath_addresses_place place = {
        .map_fd = bpf_map__fd(interface->program->maps.addresses), .settings = settings};
    struct fastpath_addresses next = {.items = NULL};
    int code = -EINTR;

    filter.interface = interface->index;
    if (fastpath_device_read(interface->index, &interface->device) == 0)
        __atomic_store_n(&settings->mac, interface->device.mac, __ATOMIC_RELAXED);
    for (int i = 0; i < ATTEMPTS && code == -EINTR; i++)
        code = fastpath_addresses_list(&next, &filter);
    if (code != 0)
        return code;
    code = fastpath_addresses_store(&place, &interface->addresses, &next);
    if (code != 0) {
        fastpath_addresses_fini(&next);
        return code;
    }
    uint32_t bits = settings->interface & ~FASTPATH_IS_STRICT;
    bits |= next.is_strict ? FASTPATH_IS_STRICT : 0;
    __atomic_store_n(&settings->interface, bits, __ATOMIC_RELAXED);
    fastpath_addresses_fini(&interface->addresses);
    interface->addresses = next;
    return 0;
}

int fastpath_interface_attach(struct fastpath_interface *interface, enum xdp_mode mode,
                              struct error *error)
{
    const struct xdp_attachment wanted = {.program_fd =
                                              bpf_program__fd(interface->program->progs.paddock),
                                          .interface = interface->index,
                                          .mode = mode,
                                          .instead = "the generic mode"};
    fastpath_interface_settings(interface)->interface |=
        (interface->device.is_veth ? FASTPATH_IS_VETH : 0) |
        (mode == XDP_MODE_GENERIC ? FASTPATH_IS_GENERIC : 0);
    fastpath_device_transmit_errors(interface->index, &interface->errors_before);
    int fd = xdp_attach(&wanted, error);
    if (fd < 0)
        return fd;
    interface->link_fd = fd;
    return 0;
}

bool fastpath_interface_is_attached(const struct fastpath_interface *interface)
{
    struct bpf_link_info link = {0};
    uint32_t bytes = sizeof link;

    return bpf_obj_get_info_by_fd(interface->link_fd, &link, &bytes) == 0 &&
           link.xdp.ifindex == interface->index;
}

bool fastpath_interface_errors(const struct fastpath_interface *interface, uint64_t *errors)
{
    uint64_t now;
    if (fastpath_device_transmit_errors(interface->index, &now) != 0)
        return false;
    *errors += now > interface->errors_before ? now - interface->errors_before : 0;
    return true;
}

struct fastpath_settings *fastpath_interface_settings(const struct fastpath_interface *interface)
{
    return &interface->program->bss->settings;
}

int fastpath_interface_parts_fd(const struct fastpath_interface *interface)
{
    return bpf_map__fd(interface->program->maps.parts);
}

int fastpath_interface_cpus_fd(const struct fastpath_interface *interface)
{
    return bpf_map__fd(interface->program->maps.cpus);
}

void fastpath_interface_detach(struct fastpath_interface *interface)
{
    if (interface->link_fd >= 0)
        close(interface->link_fd);
    interface->link_fd = -1;
}

void fastpath_interface_fini(struct fastpath_interface *interface)
{
    fastpath_interface_detach(interface);
    fastpath_addresses_fini(&interface->addresses);
    fastpath_bpf__destroy(interface->program);
}
