#include "fastpath/xdp.h"

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
#include "fastpath/device.h"
#include "fastpath/health.h"
#include "fastpath/rules.h"
#include "fastpath/shared.h"
#include "responder.skel.h"

#define ATTEMPTS 3
#define TABLE_BYTES mapped_bytes(GUARD_TABLE_SETS * sizeof(struct guard_set))
#define NETWORKS_BYTES (sizeof(uint64_t) * 2 * XDP_NETWORKS_WORDS)

/* A host whose interfaces come and go by the hundred must not keep us busy. */
#define LIST_AGAIN_NS INT64_C(100000000)
#define LIST_TRIES 10

struct xdp {
    struct responder_bpf *programs;
    struct xdp_counters *counters; /* one a CPU, mapped to be read */
    size_t counters_bytes;
    unsigned cpus;

    struct guard_set *table; /* mapped */
    uint64_t *networks;      /* mapped */
    struct xdp_rules_store rules;
    bool unruled; /* not said yet */

    struct xdp_device device; /* as it was at the start */
    unsigned interface;
    bool automatic;
    bool losing; /* said already */
    int link_fd; /* -1: detached */
    atomic_bool attached;

    struct in6_addr listen[NET_MAX_ADDRESSES];
    size_t listen_count;
    struct xdp_addresses addresses; /* as the map holds them */
    bool addresses_stale;
    int64_t listed_ns; /* monotonic */
    unsigned unlisted; /* tries since then that failed by what may pass */

    int poll_fd;
    int clock_fd;
    int addresses_fd;

    struct xdp_health health;
    uint64_t errors_before;           /* of the interface, before us */
    _Atomic uint64_t transmit_errors; /* relaxed: a number by itself */
};

static struct xdp_settings *settings_of(const struct xdp *xdp)
{
    return &xdp->programs->bss->settings;
}

static int fail(char *error, size_t capacity, int code, const char *what)
{
    snprintf(error, capacity, "%s: %s", what, strerror(-code));
    return code;
}

static int find_interface(struct xdp *xdp, const struct xdp_options *options, char *error,
                          size_t capacity)
{
    bool is_default = options->interface[0] == '\0';
    xdp->interface = is_default ? xdp_default_interface() : if_nametoindex(options->interface);
    if (xdp->interface == 0 && is_default)
        snprintf(error, capacity,
                 "no default route says which network interface: name it with "
                 "--service.udp.xdp.network-interface");
    else if (xdp->interface == 0)
        snprintf(error, capacity, "there is no network interface '%s'", options->interface);
    if (xdp->interface == 0)
        return -ENODEV;
    int code = xdp_device_read(xdp->interface, &xdp->device);
    if (code != 0)
        return fail(error, capacity, code, "cannot ask for the network interface");
    if (!xdp->device.has_ethernet) {
        snprintf(error, capacity, "%s is no Ethernet interface", xdp->device.name);
        return -EAFNOSUPPORT;
    }
    if (options->automatic && !xdp->device.is_hardware) {
        snprintf(error, capacity, "%s is no hardware interface", xdp->device.name);
        return -ENODEV;
    }
    return 0;
}

static const char *load_hint(int code)
{
    return code == -EPERM || code == -EACCES
               ? "cannot load the XDP program (it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)"
               : "cannot load the XDP program (it needs Linux 6.1)";
}

static int load(struct xdp *xdp, char *error, size_t capacity)
{
    /* What it would print is for who writes BPF programs. */
    libbpf_set_print(NULL);
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        return fail(error, capacity, cpus, "cannot count the CPUs");
    xdp->cpus = (unsigned)cpus;
    xdp->programs = responder_bpf__open();
    if (xdp->programs == NULL)
        return fail(error, capacity, -errno, "cannot open the XDP program");
    int code = bpf_map__set_max_entries(xdp->programs->maps.counters, xdp->cpus);
    if (code == 0)
        code = responder_bpf__load(xdp->programs);
    return code == 0 ? 0 : fail(error, capacity, code, load_hint(code));
}

/* Pages of a map's values. */
static size_t mapped_bytes(size_t values_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (values_bytes + page - 1) / page * page;
}

/* Returns NULL where it cannot. */
static void *map_values(const struct bpf_map *map, size_t bytes, int protection)
{
    void *mapped = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, bpf_map__fd(map), 0);
    return mapped != MAP_FAILED ? mapped : NULL;
}

static int map_all(struct xdp *xdp, char *error, size_t capacity)
{
    const struct responder_bpf *programs = xdp->programs;
    int both = PROT_READ | PROT_WRITE;
    xdp->counters_bytes = mapped_bytes(xdp->cpus * sizeof(struct xdp_counters));
    xdp->counters = map_values(programs->maps.counters, xdp->counters_bytes, PROT_READ);
    if (xdp->counters != NULL)
        xdp->table = map_values(programs->maps.table, TABLE_BYTES, both);
    if (xdp->table != NULL)
        xdp->networks = map_values(programs->maps.networks, NETWORKS_BYTES, both);
    return xdp->networks != NULL
               ? 0
               : fail(error, capacity, -errno, "cannot map what the XDP program works with");
}

static void find_rules(struct xdp *xdp)
{
    const struct responder_bpf *programs = xdp->programs;
    xdp->rules.maps =
        (struct xdp_rules_maps){.current = bpf_map__fd(programs->maps.current_rules),
                                .versions = {bpf_map__fd(programs->maps.first_rules),
                                             bpf_map__fd(programs->maps.second_rules)},
                                .prefixes = {bpf_map__fd(programs->maps.first_prefixes),
                                             bpf_map__fd(programs->maps.second_prefixes)},
                                .networks = xdp->networks,
                                .has_rules = &settings_of(xdp)->has_rules};
}

static int watch(struct xdp *xdp, int *fd, int opened)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (opened < 0)
        return opened;
    *fd = opened;
    return epoll_ctl(xdp->poll_fd, EPOLL_CTL_ADD, opened, &event) == 0 ? 0 : -errno;
}

static int watch_all(struct xdp *xdp, char *error, size_t capacity)
{
    xdp->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    int code = xdp->poll_fd >= 0 ? 0 : -errno;
    if (code == 0)
        code = watch(xdp, &xdp->clock_fd, xdp_clock_watch());
    if (code == 0)
        code = watch(xdp, &xdp->addresses_fd, xdp_addresses_watch());
    return code == 0 ? 0 : fail(error, capacity, code, "cannot watch clock and addresses");
}

static void follow_clock(struct xdp *xdp)
{
    xdp_clock_rewatch(xdp->clock_fd);
    __atomic_store_n(&settings_of(xdp)->clock_offset_ns, xdp_clock_offset_ns(), __ATOMIC_RELAXED);
}

static void follow_mac(struct xdp *xdp)
{
    struct xdp_device now;
    if (xdp_device_read(xdp->interface, &now) == 0)
        __atomic_store_n(&settings_of(xdp)->mac, xdp_mac(now.mac), __ATOMIC_RELAXED);
}

static int list_addresses(const struct xdp *xdp, struct xdp_addresses *addresses)
{
    struct xdp_address_filter filter = {
        .interface = xdp->interface, .listen = xdp->listen, .listen_count = xdp->listen_count};
    int code = -EINTR;
    for (int i = 0; i < ATTEMPTS && code == -EINTR; i++)
        code = xdp_addresses_list(addresses, &filter);
    return code;
}

static int store_addresses(const struct xdp *xdp, const struct xdp_addresses *next)
{
    struct xdp_addresses_place place = {.map_fd = bpf_map__fd(xdp->programs->maps.addresses),
                                        .settings = settings_of(xdp)};
    return xdp_addresses_store(&place, &xdp->addresses, next);
}

/* For want of something that others may give back. */
static bool may_pass(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM;
}

/* A list that keeps changing is left for a later tick, and so is one that cannot be had, for a
 * while.
 */
static int follow_addresses(struct xdp *xdp)
{
    struct xdp_addresses next = {.items = NULL};
    if (xdp_addresses_changed(xdp->addresses_fd))
        xdp->addresses_stale = true;
    int64_t now_ns = clock_monotonic_ns();
    if (!xdp->addresses_stale || now_ns - xdp->listed_ns < LIST_AGAIN_NS)
        return 0;
    xdp->listed_ns = now_ns;
    follow_mac(xdp);
    int code = list_addresses(xdp, &next);
    if (code == -EINTR || (may_pass(code) && ++xdp->unlisted < LIST_TRIES))
        return 0;
    if (code == 0)
        code = store_addresses(xdp, &next);
    if (code != 0) {
        xdp_addresses_fini(&next);
        return code;
    }
    xdp_addresses_fini(&xdp->addresses);
    xdp->addresses = next;
    xdp->addresses_stale = false;
    xdp->unlisted = 0;
    return 0;
}

static int prepare(struct xdp *xdp, const struct xdp_options *options, char *error, size_t capacity)
{
    int code = find_interface(xdp, options, error, capacity);
    if (code == 0)
        code = load(xdp, error, capacity);
    if (code == 0)
        code = map_all(xdp, error, capacity);
    if (code == 0)
        code = watch_all(xdp, error, capacity);
    if (code != 0)
        return code;
    find_rules(xdp);
    follow_clock(xdp);
    xdp->addresses_stale = true;
    code = follow_addresses(xdp);
    return code == 0 ? 0 : fail(error, capacity, code, "cannot list the addresses of this host");
}

int xdp_open(struct xdp **xdp, const struct xdp_options *options, char *error, size_t capacity)
{
    struct xdp *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return fail(error, capacity, -ENOMEM, "cannot open XDP");
    opened->link_fd = opened->poll_fd = opened->clock_fd = opened->addresses_fd = -1;
    opened->automatic = options->automatic;
    opened->listed_ns = INT64_MIN / 2;
    opened->listen_count = options->listen_count;
    memcpy(opened->listen, options->listen, options->listen_count * sizeof *options->listen);
    int code = prepare(opened, options, error, capacity);
    if (code == 0) {
        xdp_device_transmit_errors(opened->interface, &opened->errors_before);
        const struct xdp_attachment wanted = {
            .program_fd = bpf_program__fd(opened->programs->progs.paddock_qcmp),
            .interface = opened->interface,
            .mode = options->mode,
            .instead = "the generic mode"};
        opened->link_fd = xdp_attach(&wanted, error, capacity);
        code = opened->link_fd < 0 ? opened->link_fd : 0;
    }
    if (code != 0) {
        xdp_close(opened);
        return code;
    }
    opened->attached = true;
    *xdp = opened;
    return 0;
}

const char *xdp_interface(const struct xdp *xdp)
{
    return xdp->device.name;
}

struct guard_set *xdp_guard_table(const struct xdp *xdp)
{
    return xdp->table;
}

int xdp_prepare_rules(struct xdp *xdp, const struct xdp_rules_options *options)
{
    return xdp_rules_prepare(&xdp->rules, options);
}

int xdp_replace_rules(struct xdp *xdp)
{
    int error = xdp_rules_apply(&xdp->rules);
    if (error != 0 && xdp->link_fd >= 0) {
        xdp->unruled = true;
        xdp_detach(xdp);
    }
    return error;
}

void xdp_port_add(struct xdp *xdp, uint16_t port)
{
    __atomic_fetch_or(&settings_of(xdp)->ports[port / 64], UINT64_C(1) << port % 64,
                      __ATOMIC_RELAXED);
}

void xdp_port_remove(struct xdp *xdp, uint16_t port)
{
    __atomic_fetch_and(&settings_of(xdp)->ports[port / 64], ~(UINT64_C(1) << port % 64),
                       __ATOMIC_RELAXED);
}

int xdp_poll_fd(const struct xdp *xdp)
{
    return xdp->poll_fd;
}

static bool is_on_interface(const struct xdp *xdp)
{
    struct bpf_link_info info = {0};
    uint32_t bytes = sizeof info;
    return bpf_obj_get_info_by_fd(xdp->link_fd, &info, &bytes) == 0 &&
           info.xdp.ifindex == xdp->interface;
}

/* On a CPU that reorders loads, one of them may have remembered an address just as it went. */
static void forget_last_addresses(struct xdp *xdp)
{
    xdp_addresses_forget_last(settings_of(xdp), settings_of(xdp)->addresses_version);
}

static bool loses_answers(struct xdp *xdp)
{
    struct counters_sum sum = {0};
    uint64_t answered = 0;
    uint64_t errors;
    /* What cannot be read now is looked at the next time: as 0 it would look like a loss then. */
    if (xdp_device_transmit_errors(xdp->interface, &errors) != 0)
        return false;
    errors = errors > xdp->errors_before ? errors - xdp->errors_before : 0;
    atomic_store_explicit(&xdp->transmit_errors, errors, memory_order_relaxed);
    xdp_count(xdp, &sum, &answered);
    return xdp_health_is_bad(&xdp->health, answered, errors);
}

static enum xdp_event look(struct xdp *xdp)
{
    follow_clock(xdp);
    forget_last_addresses(xdp);
    if (!is_on_interface(xdp))
        return XDP_GONE;
    if (follow_addresses(xdp) != 0)
        return XDP_FAILED;
    if (!loses_answers(xdp) || xdp->losing)
        return XDP_NOTHING;
    xdp->losing = true;
    return xdp->automatic ? XDP_LOSSES : XDP_LOSING;
}

enum xdp_event xdp_tick(struct xdp *xdp)
{
    if (xdp->unruled) {
        xdp->unruled = false;
        return XDP_UNRULED;
    }
    if (xdp->link_fd < 0)
        return XDP_NOTHING;
    enum xdp_event event = look(xdp);
    if (event != XDP_NOTHING && event != XDP_LOSING)
        xdp_detach(xdp);
    return event;
}

bool xdp_is_attached(const struct xdp *xdp)
{
    return atomic_load_explicit(&xdp->attached, memory_order_relaxed);
}

void xdp_count(const struct xdp *xdp, struct counters_sum *sum, uint64_t *answered)
{
    for (unsigned cpu = 0; cpu < xdp->cpus; cpu++) {
        const struct xdp_counters *own = &xdp->counters[cpu];
        for (size_t i = 0; i < OUTCOME_COUNT; i++) {
            uint64_t packets = __atomic_load_n(&own->packets[i], __ATOMIC_RELAXED);
            sum->packets[i] += packets;
            sum->received += packets;
            sum->bytes[i] += __atomic_load_n(&own->bytes[i], __ATOMIC_RELAXED);
        }
        uint64_t own_answers = __atomic_load_n(&own->answered, __ATOMIC_RELAXED);
        sum->answered += own_answers;
        *answered += own_answers;
    }
}

uint64_t xdp_transmit_errors(const struct xdp *xdp)
{
    return atomic_load_explicit(&xdp->transmit_errors, memory_order_relaxed);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void xdp_detach(struct xdp *xdp)
{
    atomic_store_explicit(&xdp->attached, false, memory_order_relaxed);
    close_fd(&xdp->link_fd);
    close_fd(&xdp->clock_fd);
    close_fd(&xdp->addresses_fd);
}

static void unmap(void *mapped, size_t bytes)
{
    if (mapped != NULL)
        munmap(mapped, bytes);
}

void xdp_close(struct xdp *xdp)
{
    if (xdp == NULL)
        return;
    xdp_detach(xdp);
    close_fd(&xdp->poll_fd);
    xdp_addresses_fini(&xdp->addresses);
    xdp_rules_fini(&xdp->rules);
    unmap(xdp->networks, NETWORKS_BYTES);
    unmap(xdp->table, TABLE_BYTES);
    unmap(xdp->counters, xdp->counters_bytes);
    responder_bpf__destroy(xdp->programs);
    free(xdp);
}
