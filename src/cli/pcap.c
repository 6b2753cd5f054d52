/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pcap.h"

#include <arpa/inet.h>
#include <string.h>

/* Source: IETF draft-ietf-opsawg-pcap. */
#define MAGIC_NANOSECONDS 0xa1b23c4dU
#define LINKTYPE_RAW 101U
#define SNAP_BYTES 262144U

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define HOPS 64

int pcap_begin(FILE *file)
{
    const uint32_t header[6] = {MAGIC_NANOSECONDS, 2U | 4U << 16, 0, 0, SNAP_BYTES, LINKTYPE_RAW};
    return fwrite(header, sizeof header, 1, file) == 1 ? 0 : -1;
}

static uint64_t add_words(uint64_t sum, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i + 1 < bytes; i += 2)
        sum += (uint64_t)data[i] << 8 | data[i + 1];
    return bytes % 2 == 0 ? sum : sum + ((uint64_t)data[bytes - 1] << 8);
}

static uint16_t fold(uint64_t sum)
{
    while (sum > UINT16_MAX)
        sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The header of IP, with room for that of UDP behind it. Returns its length. */
static uint32_t write_ip(const struct pcap_datagram *datagram, uint8_t header[IPV6_BYTES])
{
    const struct in6_addr *from = &datagram->from.address, *to = &datagram->to.address;
    uint32_t bytes = UDP_BYTES + datagram->bytes;

    if (IN6_IS_ADDR_V4MAPPED(from) && IN6_IS_ADDR_V4MAPPED(to)) {
        header[0] = 0x45;
        put16(header + 2, IPV4_BYTES + bytes);
        header[8] = HOPS;
        header[9] = IPPROTO_UDP;
        memcpy(header + 12, &from->s6_addr[12], 4);
        memcpy(header + 16, &to->s6_addr[12], 4);
        put16(header + 10, fold(add_words(0, header, IPV4_BYTES)));
        return IPV4_BYTES;
    }
    header[0] = 0x60;
    put16(header + 4, bytes);
    header[6] = IPPROTO_UDP;
    header[7] = HOPS;
    memcpy(header + 8, from, 16);
    memcpy(header + 24, to, 16);
    return IPV6_BYTES;
}

int pcap_add(FILE *file, const struct pcap_datagram *datagram)
{
    uint8_t headers[IPV6_BYTES + UDP_BYTES] = {0};
    uint32_t ip_bytes = write_ip(datagram, headers), bytes = UDP_BYTES + datagram->bytes;
    uint8_t *udp = headers + ip_bytes;
    const uint8_t *addresses = ip_bytes == IPV4_BYTES ? headers + 12 : headers + 8;

    memcpy(udp, &datagram->from.port, 2);
    memcpy(udp + 2, &datagram->to.port, 2);
    put16(udp + 4, bytes);
    uint64_t sum = add_words(IPPROTO_UDP + bytes, addresses, (size_t)(udp - addresses));
    sum = add_words(add_words(sum, udp, UDP_BYTES), datagram->data, datagram->bytes);
    uint16_t checksum = fold(sum);
    put16(udp + 6, checksum != 0 ? checksum : UINT16_MAX);

    const uint32_t record[4] = {(uint32_t)(datagram->at_ns / 1000000000),
                                (uint32_t)(datagram->at_ns % 1000000000), ip_bytes + bytes,
                                ip_bytes + bytes};
    bool is_written =
        fwrite(record, sizeof record, 1, file) == 1 &&
        fwrite(headers, ip_bytes + UDP_BYTES, 1, file) == 1 &&
        (datagram->bytes == 0 || fwrite(datagram->data, datagram->bytes, 1, file) == 1);
    return is_written ? 0 : -1;
}
