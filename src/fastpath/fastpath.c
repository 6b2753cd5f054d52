/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/fastpath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "fastpath/addresses.h"
#include "fastpath/clock.h"
#include "fastpath/device.h"
#include "fastpath/health.h"
#include "fastpath/shared.h"

#include "fastpath.skel.h"

#define ATTEMPTS 3

/* A host whose interfaces come and go by the hundred must not keep us busy. */
#define LIST_AGAIN_NS INT64_C(100000000)
#define LIST_TRIES 10

struct fastpath {
    struct fastpath_bpf *program;
    struct fastpath_cpu *cpus; /* mapped to be read */
    size_t cpus_bytes;
    unsigned cpus_count;

    struct fastpath_device device; /* as it was at the start */
    unsigned interface;
    unsigned parts; /* a bit for each part that is set */
    bool automatic;
    bool losing; /* said already */
    int link_fd; /* -1: detached */
    atomic_bool attached;

    struct in6_addr listen[NET_MAX_ADDRESSES];
    size_t listen_count;
    struct fastpath_addresses addresses; /* as the map holds them */
    bool addresses_stale;
    int64_t listed_ns; /* monotonic */
    unsigned unlisted; /* tries since then that failed for want of something */

    int poll_fd;
    int clock_fd;
    int addresses_fd;

    struct fastpath_health health;
    uint64_t errors_before;           /* the interface's, before us */
    _Atomic uint64_t transmit_errors; /* relaxed: a number by itself */
};

static struct fastpath_settings *settings_of(const struct fastpath *fastpath)
{
    return &fastpath->program->bss->settings;
}

static int find_interface(struct fastpath *fastpath, const struct fastpath_options *options,
                          struct error *error)
{
    bool is_default = options->interface[0] == '\0';

    fastpath->interface = is_default ? xdp_default_interface() : if_nametoindex(options->interface);
    if (fastpath->interface == 0 && is_default)
        return error_set(error, -ENODEV,
                         "no default route says which network interface: name it with "
                         "--service.udp.xdp.network-interface");
    if (fastpath->interface == 0)
        return error_set(error, -ENODEV, "there is no network interface '%s'", options->interface);
    int code = fastpath_device_read(fastpath->interface, &fastpath->device);
    if (code != 0)
        return error_system(error, code, "cannot ask for the network interface");
    if (!fastpath->device.has_ethernet)
        return error_set(error, -EAFNOSUPPORT, "%s is no Ethernet interface",
                         fastpath->device.name);
    if (options->automatic && !fastpath->device.is_hardware)
        return error_set(error, -ENODEV, "%s is no hardware interface", fastpath->device.name);
    return 0;
}

static int load(struct fastpath *fastpath, struct error *error)
{
    /* libbpf would print what only an author of BPF programs understands. */
    libbpf_set_print(NULL);
    int count = libbpf_num_possible_cpus();
    if (count < 0) {
        error_system(error, count, "cannot count the CPUs");
        return count;
    }
    fastpath->cpus_count = (unsigned)count;
    fastpath->program = fastpath_bpf__open();
    if (fastpath->program == NULL) {
        error_system(error, -errno, "cannot open the XDP program");
        return -ENOMEM;
    }
    struct bpf_map *cpus = fastpath->program->maps.cpus;
    int code = bpf_map__set_max_entries(cpus, fastpath->cpus_count);
    if (code == 0)
        code = fastpath_bpf__load(fastpath->program);
    if (code != 0)
        return error_system(error, code, "cannot load the XDP program (it needs %s)",
                            code == -EPERM || code == -EACCES
                                ? "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
                                : "Linux 6.1");
    fastpath->cpus_bytes = fastpath->cpus_count * sizeof *fastpath->cpus;
    void *mapped = mmap(NULL, fastpath->cpus_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE,
                        bpf_map__fd(cpus), 0);
    if (mapped == MAP_FAILED)
        return error_system(error, -errno, "cannot map the counters of the XDP program");
    fastpath->cpus = mapped;
    return 0;
}

static int watch(struct fastpath *fastpath, int *fd, int opened)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (opened < 0)
        return opened;
    *fd = opened;
    return epoll_ctl(fastpath->poll_fd, EPOLL_CTL_ADD, opened, &event) == 0 ? 0 : -errno;
}

static void follow_clock(struct fastpath *fastpath)
{
    fastpath_clock_rewatch(fastpath->clock_fd);
    __atomic_store_n(&settings_of(fastpath)->clock_offset_ns, fastpath_clock_offset_ns(),
                     __ATOMIC_RELAXED);
}

/* A list that keeps changing is left for a later tick, and so is one that cannot be had, for a
 * while, for want of something that others may give back. */
static int follow_addresses(struct fastpath *fastpath)
{
    struct fastpath_settings *settings = settings_of(fastpath);
    const struct fastpath_address_filter filter = {.interface = fastpath->interface,
                                                   .listen = fastpath->listen,
                                                   .listen_count = fastpath->listen_count};
    const struct fastpath_addresses_place place = {
        .map_fd = bpf_map__fd(fastpath->program->maps.addresses), .settings = settings};
    struct fastpath_addresses next = {.items = NULL};
    struct fastpath_device device;
    int64_t now_ns = clock_monotonic_ns();
    int code = -EINTR;

    if (fastpath_addresses_changed(fastpath->addresses_fd))
        fastpath->addresses_stale = true;
    if (!fastpath->addresses_stale || now_ns - fastpath->listed_ns < LIST_AGAIN_NS)
        return 0;
    fastpath->listed_ns = now_ns;
    if (fastpath_device_read(fastpath->interface, &device) == 0)
        __atomic_store_n(&settings->mac, device.mac, __ATOMIC_RELAXED);
    for (int i = 0; i < ATTEMPTS && code == -EINTR; i++)
        code = fastpath_addresses_list(&next, &filter);
    bool may_pass = code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM;
    if (code == -EINTR || (may_pass && ++fastpath->unlisted < LIST_TRIES))
        return 0;
    if (code == 0)
        code = fastpath_addresses_store(&place, &fastpath->addresses, &next);
    if (code != 0) {
        fastpath_addresses_fini(&next);
        return code;
    }
    fastpath_addresses_fini(&fastpath->addresses);
    fastpath->addresses = next;
    fastpath->addresses_stale = false;
    fastpath->unlisted = 0;
    return 0;
}

/* What the program knows before it is attached. */
static int set_up(struct fastpath *fastpath, struct error *error)
{
    int code = fastpath_clock_namespace_ns(&settings_of(fastpath)->monotonic_offset_ns);

    if (code != 0)
        return error_system(error, code,
                            "cannot tell this time namespace's clocks from the "
                            "kernel's (/proc/self/timens_offsets)");
    fastpath->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    code = fastpath->poll_fd >= 0 ? 0 : -errno;
    if (code == 0)
        code = watch(fastpath, &fastpath->clock_fd, fastpath_clock_watch());
    if (code == 0)
        code = watch(fastpath, &fastpath->addresses_fd, fastpath_addresses_watch());
    if (code != 0)
        return error_system(error, code, "cannot watch clock and addresses");
    follow_clock(fastpath);
    fastpath->addresses_stale = true;
    code = follow_addresses(fastpath);
    return code == 0 ? 0 : error_system(error, code, "cannot list the addresses of this host");
}

int fastpath_open(struct fastpath **fastpath, const struct fastpath_options *options,
                  struct error *error)
{
    struct fastpath *opened = calloc(1, sizeof *opened);

    if (opened == NULL)
        return error_system(error, -ENOMEM, "cannot open XDP");
    opened->link_fd = opened->poll_fd = opened->clock_fd = opened->addresses_fd = -1;
    opened->automatic = options->automatic;
    opened->listed_ns = INT64_MIN / 2;
    opened->listen_count = options->listen_count;
    memcpy(opened->listen, options->listen, options->listen_count * sizeof *options->listen);
    int code = find_interface(opened, options, error);
    if (code == 0)
        code = load(opened, error);
    if (code == 0)
        code = set_up(opened, error);
    if (code != 0)
        goto fail;

    settings_of(opened)->interface = (opened->device.is_veth ? FASTPATH_IS_VETH : 0) |
                                     (options->mode == XDP_MODE_GENERIC ? FASTPATH_IS_GENERIC : 0);
    fastpath_device_transmit_errors(opened->interface, &opened->errors_before);
    const struct xdp_attachment wanted = {.program_fd =
                                              bpf_program__fd(opened->program->progs.paddock),
                                          .interface = opened->interface,
                                          .mode = options->mode,
                                          .instead = "the generic mode"};
    code = opened->link_fd = xdp_attach(&wanted, error);
    if (code < 0)
        goto fail;
    opened->attached = true;
    *fastpath = opened;
    return 0;

fail:
    fastpath_close(opened);
    return code;
}

const char *fastpath_interface(const struct fastpath *fastpath)
{
    return fastpath->device.name;
}

int fastpath_cpus_fd(const struct fastpath *fastpath)
{
    return bpf_map__fd(fastpath->program->maps.cpus);
}

int64_t fastpath_monotonic_offset_ns(const struct fastpath *fastpath)
{
    return settings_of(fastpath)->monotonic_offset_ns;
}

/* An array of programs is emptied without a privilege and without memory. Should that fail, all
 * parts leave with the program. */
int fastpath_part_set(struct fastpath *fastpath, enum fastpath_part part, int program_fd)
{
    int fd = bpf_map__fd(fastpath->program->maps.parts);
    uint32_t slot = part, bit = 1U << slot;

    if (program_fd >= 0) {
        int code = bpf_map_update_elem(fd, &slot, &program_fd, BPF_ANY);
        fastpath->parts |= code == 0 ? bit : 0;
        return code;
    }
    if ((fastpath->parts & bit) == 0)
        return 0;
    fastpath->parts &= ~bit;
    if (bpf_map_delete_elem(fd, &slot) != 0 || fastpath->parts == 0)
        fastpath_detach(fastpath);
    return 0;
}

void fastpath_port_add(struct fastpath *fastpath, uint16_t port, enum fastpath_part part)
{
    __atomic_store_n(&settings_of(fastpath)->parts[port], (uint8_t)part, __ATOMIC_RELAXED);
}

void fastpath_port_remove(struct fastpath *fastpath, uint16_t port)
{
    fastpath_port_add(fastpath, port, FASTPATH_NOBODY);
}

int fastpath_poll_fd(const struct fastpath *fastpath)
{
    return fastpath->poll_fd;
}

static bool loses_frames(struct fastpath *fastpath)
{
    uint64_t transmitted = 0, errors;

    /* What cannot be read now is looked at the next time: as 0 it would look like a loss then. */
    if (fastpath_device_transmit_errors(fastpath->interface, &errors) != 0)
        return false;
    errors = errors > fastpath->errors_before ? errors - fastpath->errors_before : 0;
    atomic_store_explicit(&fastpath->transmit_errors, errors, memory_order_relaxed);
    for (unsigned cpu = 0; cpu < fastpath->cpus_count; cpu++)
        transmitted += __atomic_load_n(&fastpath->cpus[cpu].transmitted, __ATOMIC_RELAXED);
    return fastpath_health_is_bad(&fastpath->health, transmitted, errors);
}

enum fastpath_event fastpath_tick(struct fastpath *fastpath)
{
    struct fastpath_settings *settings = settings_of(fastpath);
    enum fastpath_event event = FASTPATH_NOTHING;
    struct bpf_link_info link = {0};
    uint32_t bytes = sizeof link;

    if (fastpath->link_fd < 0)
        return FASTPATH_NOTHING;
    follow_clock(fastpath);
    /* On a CPU that reorders loads, one of them may have remembered an address just as it went. */
    fastpath_addresses_forget_last(settings, settings->addresses_version);
    if (bpf_obj_get_info_by_fd(fastpath->link_fd, &link, &bytes) != 0 ||
        link.xdp.ifindex != fastpath->interface) {
        event = FASTPATH_GONE;
    } else if (follow_addresses(fastpath) != 0) {
        event = FASTPATH_FAILED;
    } else if (loses_frames(fastpath) && !fastpath->losing) {
        fastpath->losing = true;
        event = fastpath->automatic ? FASTPATH_LOSSES : FASTPATH_LOSING;
    }
    if (event != FASTPATH_NOTHING && event != FASTPATH_LOSING)
        fastpath_detach(fastpath);
    return event;
}

bool fastpath_is_attached(const struct fastpath *fastpath)
{
    return atomic_load_explicit(&fastpath->attached, memory_order_relaxed);
}

uint64_t fastpath_transmit_errors(const struct fastpath *fastpath)
{
    return atomic_load_explicit(&fastpath->transmit_errors, memory_order_relaxed);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void fastpath_detach(struct fastpath *fastpath)
{
    atomic_store_explicit(&fastpath->attached, false, memory_order_relaxed);
    close_fd(&fastpath->link_fd);
    close_fd(&fastpath->clock_fd);
    close_fd(&fastpath->addresses_fd);
}

void fastpath_close(struct fastpath *fastpath)
{
    if (fastpath == NULL)
        return;
    fastpath_detach(fastpath);
    close_fd(&fastpath->poll_fd);
    fastpath_addresses_fini(&fastpath->addresses);
    if (fastpath->cpus != NULL)
        munmap(fastpath->cpus, fastpath->cpus_bytes);
    fastpath_bpf__destroy(fastpath->program);
    free(fastpath);
}
