#include "xdp/program.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "fastpath/clock.h"
#include "support/cmocka.h"
#include "xdp/netns.h"

#define SOURCE_PORT 40001

static void configure(const struct responder_bpf *programs)
{
    struct xdp_settings *settings = &programs->bss->settings;
    const uint8_t mac[6] = PROGRAM_MAC;
    uint16_t halves[3];
    memcpy(halves, mac, sizeof halves);
    settings->mac = xdp_mac(halves);
    settings->clock_offset_ns = xdp_clock_offset_ns();
}

struct responder_bpf *program_load(void)
{
    int error = -EIO;
    struct responder_bpf *programs = responder_bpf__open();
    if (programs != NULL)
        error =
            bpf_map__set_max_entries(programs->maps.counters, (uint32_t)libbpf_num_possible_cpus());
    if (error == 0)
        error = responder_bpf__load(programs);
    if (error != 0) {
        fprintf(stderr, "cannot load the program: %s\n", strerror(-error));
        exit(error == -EPERM ? NETNS_SKIP : EXIT_FAILURE);
    }
    configure(programs);
    return programs;
}

void program_add_address(const struct responder_bpf *programs, const struct in6_addr *address,
                         uint32_t tags)
{
    struct xdp_address key = {.tags = tags};
    uint8_t present = 1;
    memcpy(key.address, address, sizeof key.address);
    int fd = bpf_map__fd(programs->maps.addresses);
    assert_int_equal(bpf_map_update_elem(fd, &key, &present, BPF_ANY), 0);
}

void program_add_source(const struct responder_bpf *programs, const struct in6_addr *source)
{
    uint32_t ipv6 = IN6_IS_ADDR_V4MAPPED(source) ? 0 : XDP_TAGS_IPV6;
    program_add_address(programs, source, XDP_TAGS_NO_SOURCE | ipv6);
    programs->bss->settings.sources |= xdp_source_bit(source->s6_addr32);
}

void program_add_port(const struct responder_bpf *programs, uint16_t port)
{
    programs->bss->settings.ports[port / 64] |= UINT64_C(1) << port % 64;
}

struct fields program_ping(const struct in6_addr *source, const struct in6_addr *destination,
                           uint16_t port)
{
    struct fields fields = {.to_mac = PROGRAM_MAC,
                            .from_mac = PROGRAM_PEER_MAC,
                            .source = *source,
                            .destination = *destination,
                            .source_port = SOURCE_PORT,
                            .port = port};
    struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = 1, .client_ns = 2};
    fields.data_bytes = (size_t)qcmp_packet_encode(&ping, fields.data, sizeof fields.data);
    return fields;
}

uint32_t program_run(const struct responder_bpf *programs, struct frame *frame)
{
    uint8_t input[FRAME_MAX_BYTES];
    memcpy(input, frame->bytes, frame->length);
    struct bpf_test_run_opts options = {.sz = sizeof options,
                                        .data_in = input,
                                        .data_size_in = (uint32_t)frame->length,
                                        .data_out = frame->bytes,
                                        .data_size_out = FRAME_MAX_BYTES,
                                        .repeat = 1};
    int error = bpf_prog_test_run_opts(bpf_program__fd(programs->progs.paddock_qcmp), &options);
    if (error != 0)
        fail_msg("BPF_PROG_TEST_RUN over %zu bytes: %s", frame->length, strerror(-error));
    frame->length = options.data_size_out;
    return options.retval;
}

struct xdp_counters program_counters(const struct responder_bpf *programs)
{
    struct xdp_counters sum = {.answered = 0}, own;
    uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        int fd = bpf_map__fd(programs->maps.counters);
        assert_int_equal(bpf_map_lookup_elem(fd, &cpu, &own), 0);
        for (int i = 0; i < OUTCOME_COUNT; i++) {
            sum.packets[i] += own.packets[i];
            sum.bytes[i] += own.bytes[i];
        }
        sum.answered += own.answered;
    }
    return sum;
}
