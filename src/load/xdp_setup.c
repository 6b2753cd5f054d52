#include "load/xdp_setup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "fastpath/attach.h"
#include "fastpath/clock.h"
#include "load/flow.h"
#include "load/stop.h"
#include "load/xdp_frame.h"
#include "load_xdp.skel.h"

#define MIN_SLOTS (UINT32_C(1) << 16)
#define MAX_SLOTS (UINT32_C(1) << 21)
#define NONCE_BITS 8

#define LEARN_ATTEMPTS 5
#define LEARN_LOOKS 200
#define LEARN_LOOK_NS 1000000

int xdp_setup_fail(const struct xdp_setup *setup, int error, const char *what)
{
    snprintf(setup->error, LOAD_ERROR_BYTES, "%s: %s", what, strerror(-error));
    return error;
}

void xdp_setup_wait(struct xdp_setup *setup, int64_t ns)
{
    struct pollfd stop = {.fd = setup->options->stop_fd, .events = POLLIN};
    const struct timespec timeout = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ppoll(&stop, 1, &timeout, NULL) > 0)
        setup->signals += stop_signals_take(setup->options->stop_fd);
}

/* Opens the sockets that hold the ports, and learns their address. */
static int open_flows(struct xdp_setup *setup)
{
    const struct load_options *options = setup->options;
    setup->flows = malloc(options->flows * sizeof *setup->flows);
    if (setup->flows == NULL)
        return xdp_setup_fail(setup, -ENOMEM, "flows");
    for (uint32_t i = 0; i < options->flows; i++)
        setup->flows[i] = -1;
    flow_raise_limit();
    for (uint32_t i = 0; i < options->flows; i++) {
        setup->flows[i] = flow_open(&options->target, options->target_bytes, false);
        if (setup->flows[i] < 0)
            return xdp_setup_fail(setup, setup->flows[i], "cannot open a socket to the target");
    }
    socklen_t bytes = sizeof setup->own;
    if (getsockname(setup->flows[0], (struct sockaddr *)&setup->own, &bytes) != 0)
        return xdp_setup_fail(setup, -errno, "getsockname");
    return 0;
}

/* The address in network order, 4 or 16 bytes. */
static void copy_address(const struct sockaddr_storage *from, uint8_t to[16])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, from, sizeof v4);
    memcpy(&v6, from, sizeof v6);
    if (from->ss_family == AF_INET6)
        memcpy(to, &v6.sin6_addr, 16);
    else
        memcpy(to, &v4.sin_addr, 4);
}

static uint16_t port_of(const struct sockaddr_storage *from)
{
    struct sockaddr_in address; /* where an IPv6 address has its port, too */
    memcpy(&address, from, sizeof address);
    return ntohs(address.sin_port);
}

static bool has_own_address(const struct xdp_setup *setup, const struct ifaddrs *one)
{
    struct sockaddr_storage other = {0};
    uint8_t own_bytes[16] = {0}, other_bytes[16] = {0};
    bool is_ipv6 = setup->own.ss_family == AF_INET6;
    if (one->ifa_addr == NULL || one->ifa_addr->sa_family != setup->own.ss_family)
        return false;
    memcpy(&other, one->ifa_addr,
           is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    copy_address(&setup->own, own_bytes);
    copy_address(&other, other_bytes);
    return memcmp(own_bytes, other_bytes, sizeof own_bytes) == 0;
}

static int find_interface(struct xdp_setup *setup)
{
    struct ifaddrs *all;
    setup->interface = setup->options->interface;
    if (setup->interface != 0)
        return 0;
    if (getifaddrs(&all) != 0)
        return xdp_setup_fail(setup, -errno, "cannot list the interfaces");
    for (const struct ifaddrs *one = all; one != NULL && setup->interface == 0; one = one->ifa_next)
        if (has_own_address(setup, one))
            setup->interface = if_nametoindex(one->ifa_name);
    freeifaddrs(all);
    return setup->interface != 0
               ? 0
               : xdp_setup_fail(setup, -ENODEV, "no interface has the source address");
}

/* As many as pings are sent in twice the time-out, if that is known. */
static uint32_t slots_for(const struct load_options *options)
{
    double wanted = 2 * (double)options->rate * (double)options->timeout_ns / 1e9;
    uint32_t slots = MIN_SLOTS;
    while (slots < MAX_SLOTS && (options->rate == 0 || slots < wanted))
        slots *= 2;
    return slots;
}

static struct load_xdp_settings settings_for(const struct xdp_setup *setup)
{
    const struct load_options *options = setup->options;
    struct load_xdp_settings settings = {.is_ipv6 = options->target.ss_family == AF_INET6,
                                         .is_open_loop = setup->options->rate != 0,
                                         .target_port = port_of(&options->target),
                                         .flows = options->flows,
                                         .burst = options->burst,
                                         .in_flight = options->in_flight,
                                         .slots = setup->slot_count,
                                         .stamp_bits = (uint32_t)__builtin_ctz(setup->slot_count) -
                                                       NONCE_BITS,
                                         .timeout_ns = options->timeout_ns,
                                         .epoch_ns = clock_wall_ns() - clock_monotonic_ns()};
    if (!settings.is_open_loop && settings.burst > settings.in_flight)
        settings.burst = settings.in_flight;
    copy_address(&options->target, settings.target);
    copy_address(&setup->own, settings.own);
    return settings;
}

static int set_ports(struct xdp_setup *setup)
{
    for (uint32_t i = 0; i < setup->options->flows; i++) {
        struct sockaddr_storage own;
        socklen_t bytes = sizeof own;
        if (getsockname(setup->flows[i], (struct sockaddr *)&own, &bytes) != 0)
            return xdp_setup_fail(setup, -errno, "getsockname");
        uint16_t port = port_of(&own);
        setup->bpf->bss->ports[i] = port;
        setup->bpf->bss->is_ours[port / 64] |= UINT64_C(1) << port % 64;
    }
    return 0;
}

static int load_programs(struct xdp_setup *setup)
{
    libbpf_set_print(NULL);
    setup->bpf = load_xdp_bpf__open();
    if (setup->bpf == NULL)
        return xdp_setup_fail(setup, -errno, "cannot open the BPF programs");
    setup->slot_count = slots_for(setup->options);
    struct load_xdp_settings settings = settings_for(setup);
    int error = fastpath_clock_namespace_ns(&settings.monotonic_offset_ns);
    if (error != 0)
        return xdp_setup_fail(setup, error, "cannot read /proc/self/timens_offsets");
    memcpy(&setup->bpf->rodata->settings, &settings, sizeof settings);
    error = bpf_map__set_max_entries(setup->bpf->maps.slots, setup->slot_count);
    if (error == 0)
        error = load_xdp_bpf__load(setup->bpf);
    if (error != 0)
        return xdp_setup_fail(setup, error,
                              "the kernel refuses the BPF programs (they need CAP_BPF)");
    void *slots = mmap(NULL, setup->slot_count * sizeof *setup->slots, PROT_READ | PROT_WRITE,
                       MAP_SHARED, bpf_map__fd(setup->bpf->maps.slots), 0);
    if (slots == MAP_FAILED)
        return xdp_setup_fail(setup, -errno, "cannot map the slots");
    setup->slots = slots;
    return set_ports(setup);
}

/* The flag is cleared by the program, once an answer has come. */
static bool learn_once(struct xdp_setup *setup)
{
    uint8_t bytes[QCMP_PING_BYTES];
    const struct qcmp_packet ping = {.kind = QCMP_PING, .client_ns = clock_wall_ns()};
    (void)qcmp_packet_encode(&ping, bytes, sizeof bytes);
    (void)!send(setup->flows[0], bytes, sizeof bytes, 0);
    for (int i = 0; i < LEARN_LOOKS && setup->signals == 0; i++) {
        if (__atomic_load_n(&setup->bpf->bss->learning, __ATOMIC_ACQUIRE) == 0)
            return true;
        xdp_setup_wait(setup, LEARN_LOOK_NS);
    }
    return false;
}

static int learn_addresses(struct xdp_setup *setup, struct xdp_frame_ends *ends)
{
    bool is_learned = false;
    __atomic_store_n(&setup->bpf->bss->learning, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < LEARN_ATTEMPTS && !is_learned && setup->signals == 0; i++)
        is_learned = learn_once(setup);
    __atomic_store_n(&setup->bpf->bss->learning, 0, __ATOMIC_RELEASE);
    if (!is_learned) {
        snprintf(setup->error, LOAD_ERROR_BYTES,
                 "no answer to a ping over a socket, so that the target's Ethernet address is not "
                 "known: is there a responder, and does its answer come through this interface? "
                 "--target-mac does without");
        return -ETIMEDOUT;
    }
    memcpy(ends->own_mac, setup->bpf->bss->learned, 6);
    memcpy(ends->target_mac, setup->bpf->bss->learned + 6, 6);
    return 0;
}

static int read_own_mac(struct xdp_setup *setup, uint8_t mac[6])
{
    struct ifreq request = {0};
    if (if_indextoname(setup->interface, request.ifr_name) == NULL ||
        ioctl(setup->flows[0], SIOCGIFHWADDR, &request) != 0)
        return xdp_setup_fail(setup, -errno, "cannot read the interface's Ethernet address");
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    return 0;
}

static int make_frame(struct xdp_setup *setup)
{
    struct xdp_frame_ends ends = {.own = setup->own, .target = setup->options->target};
    int error;
    if (setup->options->has_target_mac) {
        memcpy(ends.target_mac, setup->options->target_mac, 6);
        error = read_own_mac(setup, ends.own_mac);
    } else {
        error = learn_addresses(setup, &ends);
    }
    if (error == 0) {
        setup->frame_bytes = xdp_frame_write(&ends, setup->frame, &setup->bpf->bss->frame_sum);
        memcpy(setup->bpf->bss->frame, setup->frame, sizeof setup->frame);
    }
    return error;
}

int xdp_setup_open(struct xdp_setup *setup)
{
    int error = open_flows(setup);
    if (error == 0)
        error = find_interface(setup);
    if (error == 0)
        error = load_programs(setup);
    if (error != 0)
        return error;
    const struct xdp_attachment wanted = {.program_fd =
                                              bpf_program__fd(setup->bpf->progs.load_receive),
                                          .interface = setup->interface,
                                          .mode = XDP_MODE_NATIVE,
                                          .instead = "--via sockets"};
    struct error why;
    setup->link = xdp_attach(&wanted, &why);
    if (setup->link >= 0)
        return make_frame(setup);
    snprintf(setup->error, LOAD_ERROR_BYTES, "%.*s", LOAD_ERROR_BYTES - 1, why.text);
    return setup->link;
}

void xdp_setup_close(struct xdp_setup *setup)
{
    if (setup->link >= 0)
        close(setup->link);
    if (setup->slots != NULL)
        munmap(setup->slots, setup->slot_count * sizeof *setup->slots);
    load_xdp_bpf__destroy(setup->bpf);
    for (uint32_t i = 0; setup->flows != NULL && i < setup->options->flows; i++)
        if (setup->flows[i] >= 0)
            close(setup->flows[i]);
    free(setup->flows);
}
