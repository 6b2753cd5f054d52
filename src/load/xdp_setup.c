/* SPDX-License-Identifier: Apache-2.0 */
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
#include "load/xdp_frame.h"
#include "load_xdp.skel.h"
#include "loop/signals.h"
#include "net/address.h"
#include "net/endpoint.h"

#define MIN_SLOTS (UINT32_C(1) << 16)
#define MAX_SLOTS (UINT32_C(1) << 21)
#define NONCE_BITS 8

#define LEARN_ATTEMPTS 5
#define LEARN_LOOKS 200
#define LEARN_LOOK_NS 1000000

void xdp_setup_wait(struct xdp_setup *setup, int64_t ns)
{
    struct pollfd stop = {.fd = setup->options->stop_fd, .events = POLLIN};
    const struct timespec timeout = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ppoll(&stop, 1, &timeout, NULL) > 0)
        while (signals_take(setup->options->stop_fd) != 0)
            setup->signals++;
}

/* Opens the sockets that hold the ports, and learns their address. */
static int open_flows(struct xdp_setup *setup)
{
    const struct load_options *options = setup->options;
    setup->flows = malloc(options->flows * sizeof *setup->flows);
    if (setup->flows == NULL)
        return error_system(setup->error, -ENOMEM, "flows");
    for (uint32_t i = 0; i < options->flows; i++)
        setup->flows[i] = -1;
    flow_raise_limit();
    for (uint32_t i = 0; i < options->flows; i++) {
        setup->flows[i] = flow_open(&options->target, options->target_bytes, false);
        if (setup->flows[i] < 0)
            return error_system(setup->error, setup->flows[i],
                                "cannot open a socket to the target");
    }
    socklen_t bytes = sizeof setup->own;
    if (getsockname(setup->flows[0], (struct sockaddr *)&setup->own, &bytes) != 0)
        return error_system(setup->error, -errno, "getsockname");
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

static int find_interface(struct xdp_setup *setup)
{
    struct ifaddrs *all;
    setup->interface = setup->options->interface;
    if (setup->interface != 0)
        return 0;
    if (getifaddrs(&all) != 0)
        return error_system(setup->error, -errno, "cannot list the interfaces");
    struct in6_addr own = address_from_socket(&setup->own);
    for (const struct ifaddrs *one = all; one != NULL && setup->interface == 0;
         one = one->ifa_next) {
        if (one->ifa_addr == NULL || one->ifa_addr->sa_family != setup->own.ss_family)
            continue;
        struct endpoint other = endpoint_from_socket(one->ifa_addr);
        if (IN6_ARE_ADDR_EQUAL(&other.address, &own))
            setup->interface = if_nametoindex(one->ifa_name);
    }
    freeifaddrs(all);
    return setup->interface != 0
               ? 0
               : error_system(setup->error, -ENODEV, "no interface has the source address");
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

static int load_programs(struct xdp_setup *setup)
{
    libbpf_set_print(NULL);
    setup->bpf = load_xdp_bpf__open();
    if (setup->bpf == NULL)
        return error_system(setup->error, -errno, "cannot open the BPF programs");
    /* As many as pings are sent in twice the time-out, if that is known. */
    double wanted = 2 * (double)setup->options->rate * (double)setup->options->timeout_ns / 1e9;
    setup->slot_count = MIN_SLOTS;
    while (setup->slot_count < MAX_SLOTS &&
           (setup->options->rate == 0 || setup->slot_count < wanted))
        setup->slot_count *= 2;
    struct load_xdp_settings settings = settings_for(setup);
    int error = fastpath_clock_namespace_ns(&settings.monotonic_offset_ns);
    if (error != 0)
        return error_system(setup->error, error, "cannot read /proc/self/timens_offsets");
    memcpy(&setup->bpf->rodata->settings, &settings, sizeof settings);
    error = bpf_map__set_max_entries(setup->bpf->maps.slots, setup->slot_count);
    if (error == 0)
        error = load_xdp_bpf__load(setup->bpf);
    if (error != 0)
        return error_system(setup->error, error,
                            "the kernel refuses the BPF programs (they need CAP_BPF)");
    void *slots = mmap(NULL, setup->slot_count * sizeof *setup->slots, PROT_READ | PROT_WRITE,
                       MAP_SHARED, bpf_map__fd(setup->bpf->maps.slots), 0);
    if (slots == MAP_FAILED)
        return error_system(setup->error, -errno, "cannot map the slots");
    setup->slots = slots;

    for (uint32_t i = 0; i < setup->options->flows; i++) {
        uint16_t port = address_bound_port(setup->flows[i]);
        setup->bpf->bss->ports[i] = port;
        setup->bpf->bss->is_ours[port / 64] |= UINT64_C(1) << port % 64;
    }
    return 0;
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
        return error_set(setup->error, -ETIMEDOUT,
                         "no answer to a ping over a socket, so that the target's Ethernet address "
                         "is not known: is there a responder, and does its answer come through "
                         "this interface? --target-mac does without");
    }
    memcpy(ends->own_mac, setup->bpf->bss->learned, 6);
    memcpy(ends->target_mac, setup->bpf->bss->learned + 6, 6);
    return 0;
}

static int make_frame(struct xdp_setup *setup)
{
    struct xdp_frame_ends ends = {.own = setup->own, .target = setup->options->target};
    struct ifreq request = {0};
    int error = 0;

    if (!setup->options->has_target_mac) {
        error = learn_addresses(setup, &ends);
    } else if (if_indextoname(setup->interface, request.ifr_name) == NULL ||
               ioctl(setup->flows[0], SIOCGIFHWADDR, &request) != 0) {
        error = error_system(setup->error, -errno, "cannot read the interface's Ethernet address");
    } else {
        memcpy(ends.target_mac, setup->options->target_mac, 6);
        memcpy(ends.own_mac, request.ifr_hwaddr.sa_data, 6);
    }
    if (error != 0)
        return error;
    setup->frame_bytes = xdp_frame_write(&ends, setup->frame, &setup->bpf->bss->frame_sum);
    memcpy(setup->bpf->bss->frame, setup->frame, sizeof setup->frame);
    return 0;
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
    setup->link = xdp_attach(&wanted, setup->error);
    return setup->link >= 0 ? make_frame(setup) : setup->link;
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
