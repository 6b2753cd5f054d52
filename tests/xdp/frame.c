/* SPDX-License-Identifier: Apache-2.0 */
#include "xdp/frame.h"

#include <string.h>

#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8

static void put16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

uint16_t frame_sum(const uint8_t *bytes, size_t length, uint32_t before)
{
    uint32_t sum = before;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum > 0xffff)
        sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

void frame_fix_ipv4(uint8_t *ip)
{
    put16(ip + 10, 0);
    put16(ip + 10, 0xffffU & ~(unsigned)frame_sum(ip, IPV4_BYTES, 0));
}

static size_t put_ethernet(uint8_t *out, const struct fields *fields)
{
    size_t at = 12;
    memcpy(out, fields->to_mac, 6);
    memcpy(out + 6, fields->from_mac, 6);
    for (size_t i = 0; i < fields->tags_count; i++, at += 4) {
        put16(out + at, fields->tag_types[i]);
        put16(out + at + 2, fields->tags[i]);
    }
    put16(out + at, IN6_IS_ADDR_V4MAPPED(&fields->source) ? 0x0800 : 0x86dd);
    return at + 2;
}

static size_t put_ipv4(uint8_t *out, const struct fields *fields, size_t payload)
{
    memset(out, 0, IPV4_BYTES);
    out[0] = 0x45;
    put16(out + 2, IPV4_BYTES + payload);
    put16(out + 4, 0x1234);
    out[6] = fields->may_be_cut ? 0 : 0x40;
    out[8] = 7;
    out[9] = IPPROTO_UDP;
    memcpy(out + 12, fields->source.s6_addr + 12, 4);
    memcpy(out + 16, fields->destination.s6_addr + 12, 4);
    frame_fix_ipv4(out);
    return IPV4_BYTES;
}

static size_t put_ipv6(uint8_t *out, const struct fields *fields, size_t payload)
{
    memset(out, 0, IPV6_BYTES);
    out[0] = 0x6a;
    out[3] = 0x77;
    put16(out + 4, payload);
    out[6] = IPPROTO_UDP;
    out[7] = 3;
    memcpy(out + 8, &fields->source, 16);
    memcpy(out + 24, &fields->destination, 16);
    return IPV6_BYTES;
}

static uint32_t sum_of_addresses(const struct fields *fields)
{
    size_t skipped = IN6_IS_ADDR_V4MAPPED(&fields->source) ? 12 : 0;
    uint32_t sum = frame_sum(fields->source.s6_addr + skipped, 16 - skipped, IPPROTO_UDP);
    return frame_sum(fields->destination.s6_addr + skipped, 16 - skipped, sum);
}

uint16_t frame_partial_checksum(const struct fields *fields)
{
    return frame_sum(NULL, 0, sum_of_addresses(fields) + UDP_BYTES + (uint32_t)fields->data_bytes);
}

struct frame frame_make(const struct fields *fields)
{
    struct frame frame;
    size_t payload = UDP_BYTES + fields->data_bytes;
    size_t at = put_ethernet(frame.bytes, fields);
    at += IN6_IS_ADDR_V4MAPPED(&fields->source) ? put_ipv4(frame.bytes + at, fields, payload)
                                                : put_ipv6(frame.bytes + at, fields, payload);
    uint8_t *udp = frame.bytes + at;
    put16(udp, fields->source_port);
    put16(udp + 2, fields->port);
    put16(udp + 4, payload);
    put16(udp + 6, 0);
    memcpy(udp + UDP_BYTES, fields->data, fields->data_bytes);
    uint32_t sum = sum_of_addresses(fields) + (uint32_t)payload;
    uint16_t checksum = (uint16_t)~frame_sum(udp, payload, sum);
    put16(udp + 6, checksum != 0 ? checksum : 0xffff);
    memset(udp + payload, 0xa5, fields->padding);
    frame.length = at + payload + fields->padding;
    return frame;
}

static void map_ipv4(struct in6_addr *address, const uint8_t *octets)
{
    *address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(address->s6_addr + 12, octets, 4);
}

/* Each returns the length of the header that it has read, and sets what it says of its payload's; 0
 * if it is another one. */
static size_t get_ipv4(const uint8_t *ip, size_t length, struct fields *fields, size_t *payload)
{
    if (length < IPV4_BYTES || ip[0] != 0x45 || ip[9] != IPPROTO_UDP || (ip[6] & 0x3f) != 0 ||
        ip[7] != 0 || frame_sum(ip, IPV4_BYTES, 0) != 0xffff || get16(ip + 2) < IPV4_BYTES)
        return 0;
    map_ipv4(&fields->source, ip + 12);
    map_ipv4(&fields->destination, ip + 16);
    *payload = get16(ip + 2) - (size_t)IPV4_BYTES;
    return IPV4_BYTES;
}

static size_t get_ipv6(const uint8_t *ip, size_t length, struct fields *fields, size_t *payload)
{
    if (length < IPV6_BYTES || ip[0] >> 4 != 6 || ip[6] != IPPROTO_UDP)
        return 0;
    memcpy(&fields->source, ip + 8, 16);
    memcpy(&fields->destination, ip + 24, 16);
    *payload = get16(ip + 4);
    return IPV6_BYTES;
}

static size_t get_ethernet(const struct frame *frame, struct fields *fields, uint16_t *type)
{
    const uint8_t *in = frame->bytes;
    size_t at = 12;
    if (frame->length < ETHERNET_BYTES)
        return 0;
    memcpy(fields->to_mac, in, 6);
    memcpy(fields->from_mac, in + 6, 6);
    while (get16(in + at) == 0x8100 || get16(in + at) == 0x88a8) {
        if (fields->tags_count == 2 || frame->length < at + 6)
            return 0;
        fields->tag_types[fields->tags_count] = get16(in + at);
        fields->tags[fields->tags_count++] = get16(in + at + 2);
        at += 4;
    }
    *type = get16(in + at);
    return at + 2;
}

bool frame_read(const struct frame *frame, struct fields *fields)
{
    struct fields read = {.tags_count = 0};
    uint16_t type = 0;
    size_t payload = 0, header = 0;
    size_t at = get_ethernet(frame, &read, &type);
    if (at == 0)
        return false;
    const uint8_t *ip = frame->bytes + at;
    if (type == 0x0800)
        header = get_ipv4(ip, frame->length - at, &read, &payload);
    else if (type == 0x86dd)
        header = get_ipv6(ip, frame->length - at, &read, &payload);
    at += header;
    const uint8_t *udp = frame->bytes + at;
    if (header == 0 || payload < UDP_BYTES || frame->length - at < payload ||
        get16(udp + 4) != payload || payload > UDP_BYTES + sizeof read.data)
        return false;
    read.source_port = get16(udp);
    read.port = get16(udp + 2);
    read.is_ipv6 = type == 0x86dd;
    read.checksum = get16(udp + 6);
    read.data_bytes = payload - UDP_BYTES;
    memcpy(read.data, udp + UDP_BYTES, read.data_bytes);
    read.padding = frame->length - at - payload;
    *fields = read;
    return true;
}

bool frame_udp_checksum_is_right(const struct frame *frame, const struct fields *fields)
{
    size_t payload = UDP_BYTES + fields->data_bytes;
    const uint8_t *udp = frame->bytes + frame->length - fields->padding - payload;
    uint32_t sum = sum_of_addresses(fields) + (uint32_t)payload;
    return get16(udp + 6) != 0 && frame_sum(udp, payload, sum) == 0xffff;
}
