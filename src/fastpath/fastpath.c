/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/fastpath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "fastpath/addresses.h"
#include "fastpath/clock.h"
#include "fastpath/health.h"
#include "fastpath/interface.h"
#include "fastpath/narrowing.h"
#include "fastpath/tap.h"

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS (3600 * SECOND_NS)

/* A host whose interfaces come and go by the hundred must not keep us busy. */
#define LIST_AGAIN_NS INT64_C(100000000)
#define LIST_TRIES 10

/* One change of a network is news after news, so many are told at once; but no more than one a
 * second where they never end, as each has sessions ask. */
#define REROUTES_AT_ONCE 8

struct fastpath {
    struct fastpath_interface interfaces[FASTPATH_MAX_INTERFACES];
    unsigned interfaces_count;
    char names[FASTPATH_MAX_INTERFACES * IF_NAMESIZE];
    struct fastpath_cpu *cpus; /* mapped to be read */
    size_t cpus_bytes;
    unsigned cpus_count;

    unsigned parts; /* a bit for each part that is set */
    bool automatic;
    bool losing; /* said already */
    atomic_bool attached;

    struct in6_addr listen[NET_MAX_ADDRESSES];
    size_t listen_count;
    bool addresses_stale;
    int64_t listed_ns; /* monotonic */
    unsigned unlisted; /* tries since then that failed for want of something */

    int poll_fd;
    int clock_fd;
    int addresses_fd;

    struct fastpath_departures departures; /* without a program: nobody wants to know of them */
    int tap_fds[FASTPATH_MAX_INTERFACES];
    int narrowing_fds[2];
    struct fastpath_routes *routes;
    struct fastpath_reroute reroute; /* what has not been told yet */
    int64_t rerouted_ns; /* monotonic, as if each had been told a second after the one before */
    int64_t rerouted_all_ns;

    struct fastpath_health health;
    _Atomic uint64_t transmit_errors; /* relaxed: a number by itself */
};

static struct fastpath_settings *settings_of(const struct fastpath *fastpath, unsigned number)
{
    return fastpath_interface_settings(&fastpath->interfaces[number]);
}

/* Finds one interface more. */
static int find_interface(struct fastpath *fastpath, const char *name, struct error *error)
{
    unsigned count = fastpath->interfaces_count;
    if (count == FASTPATH_MAX_INTERFACES)
        return error_set(error, -E2BIG, "more than %d network interfaces", FASTPATH_MAX_INTERFACES);
    struct fastpath_interface *interface = &fastpath->interfaces[count];
    int code = fastpath_interface_find(interface, name, fastpath->automatic, error);
    if (code != 0)
        return code;
    for (unsigned i = 0; i < count; i++) {
        if (fastpath->interfaces[i].index == interface->index)
            return error_set(error, -EINVAL, "network interface '%s' twice", name);
    }
    size_t used = strlen(fastpath->names);
    snprintf(fastpath->names + used, sizeof fastpath->names - used, "%s%s", count > 0 ? "," : "",
             interface->device.name);
    fastpath->interfaces_count++;
    return 0;
}

static int find_interfaces(struct fastpath *fastpath, const char *names, struct error *error)
{
    for (;;) {
        char name[IF_NAMESIZE] = "";
        size_t length = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, names);
        int code = find_interface(fastpath, name, error);
        if (code != 0 || names[length] == '\0')
            return code;
        names += length + 1;
    }
}

static int load(struct fastpath *fastpath, struct error *error)
{
    /* libbpf would print what only an author of BPF programs understands. */
    libbpf_set_print(NULL);
    const struct fastpath_interface *first = NULL;
    int count = libbpf_num_possible_cpus();
    if (count < 0)
        return error_system(error, count, "cannot count the CPUs");
    fastpath->cpus_count = (unsigned)count;
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        int code = fastpath_interface_load(&fastpath->interfaces[i], first, i, error);
        if (code != 0)
            return code;
        first = &fastpath->interfaces[0];
    }
    fastpath->cpus_bytes = fastpath->cpus_count * sizeof *fastpath->cpus;
    void *mapped = mmap(NULL, fastpath->cpus_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE,
                        fastpath_cpus_fd(fastpath), 0);
    if (mapped == MAP_FAILED)
        return error_system(error, -errno, "cannot map the counters of the XDP program");
    fastpath->cpus = mapped;
    return 0;
}

static int watch(struct fastpath *fastpath, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(fastpath->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Watches what was opened, and keeps it. */
static int watch_opened(struct fastpath *fastpath, int *fd, int opened)
{
    if (opened < 0)
        return opened;
    *fd = opened;
    return watch(fastpath, opened);
}

static void follow_clock(struct fastpath *fastpath)
{
    fastpath_clock_rewatch(fastpath->clock_fd);
    int64_t offset_ns = fastpath_clock_offset_ns();
    for (unsigned i = 0; i < fastpath->interfaces_count; i++)
        __atomic_store_n(&settings_of(fastpath, i)->clock_offset_ns, offset_ns, __ATOMIC_RELAXED);
}

/* A list that keeps changing is left for a later tick, and so is one that cannot be had, for a
 * while, for want of something that others may give back. */
static int follow_addresses(struct fastpath *fastpath)
{
    const struct fastpath_address_filter filter = {.listen = fastpath->listen,
                                                   .listen_count = fastpath->listen_count};
    int64_t now_ns = clock_monotonic_ns();
    int code = 0;

    if (fastpath_addresses_changed(fastpath->addresses_fd))
        fastpath->addresses_stale = true;
    if (!fastpath->addresses_stale || now_ns - fastpath->listed_ns < LIST_AGAIN_NS)
        return 0;
    fastpath->listed_ns = now_ns;
    for (unsigned i = 0; i < fastpath->interfaces_count && code == 0; i++)
        code = fastpath_interface_follow(&fastpath->interfaces[i], filter);
    bool may_pass = code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM;
    if (code == -EINTR || (may_pass && ++fastpath->unlisted < LIST_TRIES))
        return 0;
    if (code != 0)
        return code;
    fastpath->addresses_stale = false;
    fastpath->unlisted = 0;
    fastpath->reroute.is_all = true; /* the interfaces may have other MAC addresses */
    return 0;
}

static void note_narrower(struct fastpath_reroute *reroute, const struct in6_addr *peer)
{
    if (reroute->narrower_count > FASTPATH_REROUTED_NEIGHBOURS)
        return;
    for (unsigned i = 0; i < reroute->narrower_count; i++) {
        if (memcmp(&reroute->narrower[i], peer, sizeof *peer) == 0)
            return;
    }
    if (reroute->narrower_count < FASTPATH_REROUTED_NEIGHBOURS)
        reroute->narrower[reroute->narrower_count] = *peer;
    reroute->narrower_count++;
}

/* Takes what routers say. */
static void follow_paths(struct fastpath *fastpath)
{
    struct in6_addr peer;

    for (unsigned i = 0; i < 2; i++) {
        while (fastpath_narrowing_read(fastpath->narrowing_fds[i], &peer))
            note_narrower(&fastpath->reroute, &peer);
    }
}

/* Tells what may go another way. */
static void follow_routes(struct fastpath *fastpath)
{
    struct fastpath_reroute *reroute = &fastpath->reroute;
    int64_t now_ns = clock_monotonic_ns();

    if (fastpath->routes == NULL)
        return;
    fastpath_routes_read(fastpath->routes, reroute);
    follow_paths(fastpath);
    if (now_ns - fastpath->rerouted_all_ns >= HOUR_NS)
        reroute->is_all = true;
    if (fastpath->rerouted_ns < now_ns - REROUTES_AT_ONCE * SECOND_NS)
        fastpath->rerouted_ns = now_ns - REROUTES_AT_ONCE * SECOND_NS;
    if ((!reroute->is_all && reroute->count == 0 && reroute->narrower_count == 0) ||
        now_ns - fastpath->rerouted_ns < SECOND_NS)
        return;
    fastpath->rerouted_ns += SECOND_NS;
    if (reroute->is_all)
        fastpath->rerouted_all_ns = now_ns;
    fastpath->departures.rerouted(reroute, fastpath->departures.user);
    *reroute = (struct fastpath_reroute){.is_all = false};
}

/* What the program knows before it is attached. */
static int set_up(struct fastpath *fastpath, struct error *error)
{
    int64_t offset_ns = 0;
    int code = fastpath_clock_namespace_ns(&offset_ns);

    for (unsigned i = 0; i < fastpath->interfaces_count; i++)
        settings_of(fastpath, i)->monotonic_offset_ns = offset_ns;
    if (code != 0)
        return error_system(error, code,
                            "cannot tell this time namespace's clocks from the "
                            "kernel's (/proc/self/timens_offsets)");
    fastpath->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    code = fastpath->poll_fd >= 0 ? 0 : -errno;
    if (code == 0)
        code = watch_opened(fastpath, &fastpath->clock_fd, fastpath_clock_watch());
    if (code == 0)
        code = watch_opened(fastpath, &fastpath->addresses_fd, fastpath_addresses_watch());
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
    opened->poll_fd = opened->clock_fd = opened->addresses_fd = -1;
    opened->narrowing_fds[0] = opened->narrowing_fds[1] = -1;
    for (unsigned i = 0; i < FASTPATH_MAX_INTERFACES; i++)
        opened->interfaces[i].link_fd = opened->tap_fds[i] = -1;
    opened->automatic = options->automatic;
    opened->listed_ns = opened->rerouted_ns = INT64_MIN / 2;
    opened->listen_count = options->listen_count;
    memcpy(opened->listen, options->listen, options->listen_count * sizeof *options->listen);
    int code = find_interfaces(opened, options->interfaces, error);
    if (code == 0)
        code = load(opened, error);
    if (code == 0)
        code = set_up(opened, error);
    for (unsigned i = 0; i < opened->interfaces_count && code == 0; i++)
        code = fastpath_interface_attach(&opened->interfaces[i], options->mode, error);
    if (code != 0) {
        fastpath_close(opened);
        return code;
    }
    opened->attached = true;
    *fastpath = opened;
    return 0;
}

bool fastpath_is_automatic(const struct fastpath *fastpath)
{
    return fastpath->automatic;
}

const char *fastpath_interfaces(const struct fastpath *fastpath)
{
    return fastpath->names;
}

unsigned fastpath_doors(const struct fastpath *fastpath,
                        struct fastpath_door doors[FASTPATH_MAX_INTERFACES])
{
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        const struct fastpath_interface *interface = &fastpath->interfaces[i];
        const struct fastpath_device *device = &interface->device;
        doors[i] = (struct fastpath_door){
            .mac = device->mac, .index = interface->index, .mtu = device->is_up ? device->mtu : 0};
    }
    return fastpath->interfaces_count;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_departures(struct fastpath *fastpath)
{
    for (unsigned i = 0; i < FASTPATH_MAX_INTERFACES; i++)
        close_fd(&fastpath->tap_fds[i]);
    for (unsigned i = 0; i < 2; i++)
        close_fd(&fastpath->narrowing_fds[i]);
    fastpath_routes_close(fastpath->routes);
    fastpath->routes = NULL;
}

static int open_taps(struct fastpath *fastpath, int program_fd, struct error *error)
{
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        const struct fastpath_interface *interface = &fastpath->interfaces[i];
        int fd = fastpath->tap_fds[i] = fastpath_tap_open(interface->index, program_fd);
        if (fd < 0)
            return error_system(error, fd, "cannot see what leaves by %s%s", interface->device.name,
                                fd == -EPERM ? " (it needs CAP_NET_RAW)" : "");
    }
    return 0;
}

static int open_narrowings(struct fastpath *fastpath, int program_fd, struct error *error)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (unsigned i = 0; i < 2; i++) {
        int code = watch_opened(fastpath, &fastpath->narrowing_fds[i],
                                fastpath_narrowing_open(families[i], program_fd));
        if (code != 0 && !(families[i] == AF_INET6 && code == -EAFNOSUPPORT))
            return error_system(error, code, "cannot hear which packets are too long");
    }
    return 0;
}

int fastpath_watch_departures(struct fastpath *fastpath,
                              const struct fastpath_departures *departures, struct error *error)
{
    int code = fastpath_routes_open(&fastpath->routes);
    if (code == 0)
        code = watch(fastpath, fastpath_routes_fd(fastpath->routes));
    if (code != 0)
        error_system(error, code, "cannot follow the routes of this host");
    else
        code = open_taps(fastpath, departures->program_fd, error);
    if (code == 0)
        code = open_narrowings(fastpath, departures->narrowing_fd, error);
    if (code != 0) {
        close_departures(fastpath);
        return code;
    }
    fastpath->departures = *departures;
    fastpath->rerouted_all_ns = clock_monotonic_ns();
    return 0;
}

int fastpath_cpus_fd(const struct fastpath *fastpath)
{
    return fastpath_interface_cpus_fd(&fastpath->interfaces[0]);
}

int64_t fastpath_monotonic_offset_ns(const struct fastpath *fastpath)
{
    return settings_of(fastpath, 0)->monotonic_offset_ns;
}

/* An array of programs is emptied without a privilege and without memory. Should that fail, all
 * parts leave with the program. */
int fastpath_part_set(struct fastpath *fastpath, enum fastpath_part part, int program_fd)
{
    int fd = fastpath_interface_parts_fd(&fastpath->interfaces[0]);
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
    for (unsigned i = 0; i < fastpath->interfaces_count; i++)
        __atomic_store_n(&settings_of(fastpath, i)->parts[port], (uint8_t)part, __ATOMIC_RELAXED);
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
    uint64_t transmitted = 0, errors = 0;

    /* What cannot be read now is looked at the next time: as 0 it would look like a loss then. */
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        if (!fastpath_interface_errors(&fastpath->interfaces[i], &errors))
            return false;
    }
    for (unsigned cpu = 0; cpu < fastpath->cpus_count; cpu++) {
        transmitted += __atomic_load_n(&fastpath->cpus[cpu].transmitted, __ATOMIC_RELAXED);
        errors += __atomic_load_n(&fastpath->cpus[cpu].lost, __ATOMIC_RELAXED);
    }
    atomic_store_explicit(&fastpath->transmit_errors, errors, memory_order_relaxed);
    return fastpath_health_is_bad(&fastpath->health, transmitted, errors);
}

static bool is_complete(const struct fastpath *fastpath)
{
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        if (!fastpath_interface_is_attached(&fastpath->interfaces[i]))
            return false;
    }
    return true;
}

enum fastpath_event fastpath_tick(struct fastpath *fastpath)
{
    enum fastpath_event event = FASTPATH_NOTHING;

    if (!fastpath_is_attached(fastpath))
        return FASTPATH_NOTHING;
    follow_clock(fastpath);
    /* On a CPU that reorders loads, one of them may have remembered an address just as it went. */
    for (unsigned i = 0; i < fastpath->interfaces_count; i++) {
        struct fastpath_settings *settings = settings_of(fastpath, i);
        fastpath_addresses_forget_last(settings, settings->addresses_version);
    }
    if (!is_complete(fastpath)) {
        event = FASTPATH_GONE;
    } else if (follow_addresses(fastpath) != 0) {
        event = FASTPATH_FAILED;
    } else if (loses_frames(fastpath) && !fastpath->losing) {
        fastpath->losing = true;
        event = fastpath->automatic ? FASTPATH_LOSSES : FASTPATH_LOSING;
    }
    if (event != FASTPATH_NOTHING && event != FASTPATH_LOSING)
        fastpath_detach(fastpath);
    else
        follow_routes(fastpath);
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

void fastpath_detach(struct fastpath *fastpath)
{
    atomic_store_explicit(&fastpath->attached, false, memory_order_relaxed);
    for (unsigned i = 0; i < FASTPATH_MAX_INTERFACES; i++)
        fastpath_interface_detach(&fastpath->interfaces[i]);
    close_departures(fastpath);
    close_fd(&fastpath->clock_fd);
    close_fd(&fastpath->addresses_fd);
}

void fastpath_close(struct fastpath *fastpath)
{
    if (fastpath == NULL)
        return;
    fastpath_detach(fastpath);
    close_fd(&fastpath->poll_fd);
    if (fastpath->cpus != NULL)
        munmap(fastpath->cpus, fastpath->cpus_bytes);
    for (unsigned i = 0; i < FASTPATH_MAX_INTERFACES; i++)
        fastpath_interface_fini(&fastpath->interfaces[i]);
    free(fastpath);
}
