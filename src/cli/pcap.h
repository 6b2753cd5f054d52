/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A file of UDP datagrams as tcpdump and Wireshark read it: the format of libpcap, with nanoseconds
 * and raw IP.
 */
#ifndef PADDOCK_CLI_PCAP_H
#define PADDOCK_CLI_PCAP_H

#include <stdint.h>
#include <stdio.h>

#include "net/endpoint.h"

/** A datagram. IPv4 in both ends is written as IPv4, all else as IPv6. */
struct pcap_datagram {
    int64_t at_ns; /**< Unix nanoseconds */
    struct endpoint from, to;
    const uint8_t *data;
    uint32_t bytes; /**< at most 65,507 */
};

/** Begins a file. @return 0, or -1: see errno. */
int pcap_begin(FILE *file);

/** Adds a datagram. @return 0, or -1: see errno. */
int pcap_add(FILE *file, const struct pcap_datagram *datagram);

#endif
