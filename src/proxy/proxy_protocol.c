/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/proxy_protocol.h"

#include <string.h>

#define SIGNATURE_BYTES 12
#define FIXED_BYTES 16

#define VERSION_2 0x20
#define COMMAND_LOCAL (VERSION_2 | 0)
#define COMMAND_PROXY (VERSION_2 | 1)

/* The family in the upper four bits, the transport in the lower ones. */
#define UDP_IPV4 0x12
#define UDP_IPV6 0x22

static const uint8_t signature[SIGNATURE_BYTES] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                                   '\n', 'Q',  'U',  'I',  'T', '\n'};

static uint8_t *put(uint8_t *at, const void *data, size_t bytes)
{
    memcpy(at, data, bytes);
    return at + bytes;
}

static void begin(uint8_t *header, uint8_t command, uint8_t family, uint8_t rest)
{
    uint8_t *at = put(header, signature, sizeof signature);
    at[0] = command;
    at[1] = family;
    at[2] = 0;
    at[3] = rest;
}

uint32_t proxy_protocol_encode(const struct endpoint *player, const struct endpoint *local,
                               uint8_t header[PROXY_PROTOCOL_BYTES])
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&player->address) && IN6_IS_ADDR_V4MAPPED(&local->address);
    size_t bytes = is_ipv4 ? 4 : 16;
    uint8_t *at = header + FIXED_BYTES;

    at = put(at, &player->address.s6_addr[16 - bytes], bytes);
    at = put(at, &local->address.s6_addr[16 - bytes], bytes);
    at = put(at, &player->port, sizeof player->port);
    at = put(at, &local->port, sizeof local->port);
    begin(header, COMMAND_PROXY, is_ipv4 ? UDP_IPV4 : UDP_IPV6,
          (uint8_t)(at - header - FIXED_BYTES));
    return (uint32_t)(at - header);
}

uint32_t proxy_protocol_encode_local(uint8_t header[PROXY_PROTOCOL_BYTES])
{
    begin(header, COMMAND_LOCAL, 0, 0);
    return FIXED_BYTES;
}

uint32_t proxy_protocol_length(const uint8_t *data, uint32_t bytes)
{
    if (bytes < FIXED_BYTES || memcmp(data, signature, sizeof signature) != 0 ||
        (data[SIGNATURE_BYTES] != COMMAND_PROXY && data[SIGNATURE_BYTES] != COMMAND_LOCAL))
        return 0;
    uint32_t length = FIXED_BYTES + (uint32_t)data[14] * 256 + data[15];
    return length <= bytes ? length : 0;
}
