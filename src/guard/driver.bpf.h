/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Access lists and limits in a program in the driver: its maps, which guard/driver.h fills, and the
 * decisions. To be included by one source of a program.
 */
#ifndef PADDOCK_GUARD_DRIVER_BPF_H
#define PADDOCK_GUARD_DRIVER_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "guard/driver_shared.h"
#include "guard/guard_core.h"

/** 0: the rules in use admit everybody, and need not be looked at. Written by the process. */
uint32_t has_rules;

/* The guard's, which the workers map: a source has its tokens once, whichever path its datagrams
 * take. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, GUARD_TABLE_SETS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct guard_set);
} table SEC(".maps");

/* Two versions of the rules, each with a trie: one is in use, the other waits to be the next. */
struct version {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct guard_driver_rules);
} first_rules SEC(".maps"), second_rules SEC(".maps");

struct prefixes {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, GUARD_MAX_PREFIXES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct guard_driver_prefix);
    __type(value, uint8_t);
} first_prefixes SEC(".maps"), second_prefixes SEC(".maps");

/* A short form of the tries for IPv4: one half for each version. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2 * GUARD_NETWORKS_WORDS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, uint64_t);
} networks SEC(".maps");

/* The version in use. A call that changes an array of maps returns only when no program can be
 * using the version before, so that it may be written to again. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __array(values, struct version);
} current_rules SEC(".maps") = {.values = {&first_rules}};

/** The rules in use; to be called once a packet, if has_rules. */
static inline __attribute__((always_inline)) const struct guard_driver_rules *
guard_driver_rules(void)
{
    uint32_t key = 0;
    void *version = bpf_map_lookup_elem(&current_rules, &key);

    return version != NULL ? bpf_map_lookup_elem(version, &key) : NULL;
}

/* What the lists say of an IPv4 address; GUARD_NETWORK_MIXED, too, where there is none. */
static inline __attribute__((always_inline)) uint64_t
find_network(const struct guard_driver_rules *rules, uint32_t address)
{
    uint32_t network = address >> 8;
    uint32_t at = (rules->prefixes != 0) * GUARD_NETWORKS_WORDS + network / GUARD_NETWORKS_PER_WORD;
    const uint64_t *word = bpf_map_lookup_elem(&networks, &at);

    return word != NULL ? *word >> 2 * (network % GUARD_NETWORKS_PER_WORD) & 3
                        : GUARD_NETWORK_MIXED;
}

/**
 * What the access lists say of a source.
 * @param source network order; IPv4 as v4-mapped.
 * @return #GUARD_NETWORK_ALLOWED, #GUARD_NETWORK_DENIED, or #GUARD_NETWORK_MIXED if the lists are
 * not there: the sockets know.
 */
static inline __attribute__((always_inline)) uint64_t
guard_driver_ask(const struct guard_driver_rules *rules, const uint32_t source[4], bool is_ipv4)
{
    struct guard_driver_prefix key = {.bits = 8 * sizeof key.address};

    if (is_ipv4) {
        uint64_t network = find_network(rules, bpf_ntohl(source[3]));
        if (network != GUARD_NETWORK_MIXED)
            return network;
    }
    __builtin_memcpy(key.address, source, sizeof key.address);
    const uint8_t *may_ask = rules->prefixes == 0 ? bpf_map_lookup_elem(&first_prefixes, &key)
                                                  : bpf_map_lookup_elem(&second_prefixes, &key);
    if (may_ask == NULL)
        return GUARD_NETWORK_MIXED;
    return *may_ask ? GUARD_NETWORK_ALLOWED : GUARD_NETWORK_DENIED;
}

/** For guard_decide() and guard_leaks(), over the map `table`. */
static inline __attribute__((always_inline)) struct guard_set *guard_driver_set(void *map,
                                                                                uint32_t index)
{
    return bpf_map_lookup_elem(map, &index);
}

/** A source in network order, as guard_decide() has it. */
static inline __attribute__((always_inline)) struct guard_address
guard_driver_address(const uint32_t source[4])
{
    return (struct guard_address){
        .high = (uint64_t)bpf_ntohl(source[0]) << 32 | bpf_ntohl(source[1]),
        .low = (uint64_t)bpf_ntohl(source[2]) << 32 | bpf_ntohl(source[3])};
}

#endif
