/* SPDX-License-Identifier: Apache-2.0 */
#include "net/prefix.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "net/address.h"

/* How many bits the text's family has, with the address; 0: it is none. */
static unsigned parse_address(const char *text, struct in6_addr *address)
{
    struct in_addr ipv4;
    if (inet_pton(AF_INET6, text, address) == 1)
        return 128;
    if (inet_pton(AF_INET, text, &ipv4) != 1)
        return 0;
    *address = address_from_ipv4(ipv4);
    return 32;
}

static bool has_bits_behind(const struct in6_addr *address, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        if ((address->s6_addr[i / 8] & 0x80 >> i % 8) != 0)
            return true;
    }
    return false;
}

int prefix_parse(const char *text, struct prefix *prefix)
{
    char host[INET6_ADDRSTRLEN];
    struct prefix parsed;
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

    if (length >= sizeof host)
        return -1;
    memcpy(host, text, length);
    host[length] = '\0';
    unsigned family_bits = parse_address(host, &parsed.address);
    uint64_t bits = family_bits;
    if (family_bits == 0 || (slash != NULL && number_parse(slash + 1, 0, family_bits, &bits) != 0))
        return -1;
    parsed.bits = (unsigned)bits + 128 - family_bits;
    if (has_bits_behind(&parsed.address, parsed.bits))
        return -1;
    *prefix = parsed;
    return 0;
}

bool prefix_is_ipv4(const struct prefix *prefix)
{
    return prefix->bits >= PREFIX_IPV4_BITS && IN6_IS_ADDR_V4MAPPED(&prefix->address);
}

void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool ipv4 = prefix_is_ipv4(prefix);

    inet_ntop(ipv4 ? AF_INET : AF_INET6, prefix->address.s6_addr + (ipv4 ? 12 : 0), host,
              sizeof host);
    snprintf(text, PREFIX_TEXT_BYTES, "%s/%u", host, prefix->bits - (ipv4 ? PREFIX_IPV4_BITS : 0));
}

int prefix_list_add(struct prefix_list *list, const struct prefix *prefix)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        struct prefix *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return -1;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *prefix;
    return 0;
}

void prefix_list_fini(struct prefix_list *list)
{
    free(list->items);
    *list = (struct prefix_list){0};
}
