/* SPDX-License-Identifier: Apache-2.0 */
#include "xdp/program.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "fastpath/clock.h"
#include "fastpath/parts.h"
#include "support/cmocka.h"
#include "xdp/netns.h"

#define SOURCE_PORT 40001

static int load(struct programs *programs)
{
    uint32_t cpus = (uint32_t)libbpf_num_possible_cpus(), slot = FASTPATH_QCMP;

    programs->fastpath = fastpath_bpf__open();
    programs->qcmp = qcmp_bpf__open();
    if (programs->fastpath == NULL || programs->qcmp == NULL)
        return -EIO;
    bpf_map__set_max_entries(programs->fastpath->maps.cpus, cpus);
    bpf_map__set_max_entries(programs->qcmp->maps.counters, cpus);
    int error = fastpath_bpf__load(programs->fastpath);
    if (error == 0)
        error = bpf_map__reuse_fd(programs->qcmp->maps.cpus,
                                  bpf_map__fd(programs->fastpath->maps.cpus));
    if (error == 0)
        error = qcmp_bpf__load(programs->qcmp);
    if (error != 0)
        return error;
    int part = bpf_program__fd(programs->qcmp->progs.paddock_qcmp);
    return bpf_map_update_elem(bpf_map__fd(programs->fastpath->maps.parts), &slot, &part, BPF_ANY);
}

struct programs *program_load(void)
{
    static const uint8_t mac[6] = PROGRAM_MAC;
    struct programs *programs = calloc(1, sizeof *programs);
    uint32_t first;
    uint16_t last;

    assert_non_null(programs);
    int error = load(programs);
    if (error != 0) {
        fprintf(stderr, "cannot load the program: %s\n", strerror(-error));
        exit(error == -EPERM ? NETNS_SKIP : EXIT_FAILURE);
    }
    struct fastpath_settings *settings = &programs->fastpath->bss->settings;
    memcpy(&first, mac, sizeof first);
    memcpy(&last, mac + sizeof first, sizeof last);
    settings->mac = fastpath_mac(first, last);
    settings->clock_offset_ns = fastpath_clock_offset_ns();
    assert_int_equal(fastpath_clock_namespace_ns(&settings->monotonic_offset_ns), 0);
    return programs;
}

void program_unload(struct programs *programs)
{
    qcmp_bpf__destroy(programs->qcmp);
    fastpath_bpf__destroy(programs->fastpath);
    free(programs);
}

void program_add_address(const struct programs *programs, const struct in6_addr *address,
                         uint32_t tags)
{
    struct fastpath_address key = {.tags = tags};
    uint8_t present = 1;
    memcpy(key.address, address, sizeof key.address);
    int fd = bpf_map__fd(programs->fastpath->maps.addresses);
    assert_int_equal(bpf_map_update_elem(fd, &key, &present, BPF_ANY), 0);
}

void program_add_source(const struct programs *programs, const struct in6_addr *source)
{
    uint32_t ipv6 = IN6_IS_ADDR_V4MAPPED(source) ? 0 : FASTPATH_TAGS_IPV6;
    program_add_address(programs, source, FASTPATH_TAGS_NO_SOURCE | ipv6);
    programs->fastpath->bss->settings.sources |= fastpath_source_bit(source->s6_addr32);
}

void program_add_port(const struct programs *programs, uint16_t port)
{
    programs->fastpath->bss->settings.parts[port] = FASTPATH_QCMP;
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

uint32_t program_run(const struct programs *programs, struct frame *frame)
{
    uint8_t input[FRAME_MAX_BYTES];
    memcpy(input, frame->bytes, frame->length);
    struct bpf_test_run_opts options = {.sz = sizeof options,
                                        .data_in = input,
                                        .data_size_in = (uint32_t)frame->length,
                                        .data_out = frame->bytes,
                                        .data_size_out = FRAME_MAX_BYTES,
                                        .repeat = 1};
    int error =
        bpf_prog_test_run_opts(bpf_program__fd(programs->fastpath->progs.paddock), &options);
    if (error != 0)
        fail_msg("BPF_PROG_TEST_RUN over %zu bytes: %s", frame->length, strerror(-error));
    frame->length = options.data_size_out;
    return options.retval;
}

struct program_counts program_counters(const struct programs *programs)
{
    struct program_counts sum = {.answered = 0};
    uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();

    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        struct qcmp_fast_counters own;
        struct fastpath_cpu shared;
        int fd = bpf_map__fd(programs->qcmp->maps.counters);
        assert_int_equal(bpf_map_lookup_elem(fd, &cpu, &own), 0);
        fd = bpf_map__fd(programs->fastpath->maps.cpus);
        assert_int_equal(bpf_map_lookup_elem(fd, &cpu, &shared), 0);
        for (int i = 0; i < OUTCOME_COUNT; i++) {
            sum.qcmp.packets[i] += own.packets[i];
            sum.qcmp.bytes[i] += own.bytes[i];
        }
        sum.answered += shared.transmitted;
    }
    return sum;
}
