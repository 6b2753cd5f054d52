/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Access lists by the words of their description: each prefix is looked at.
 */
#ifndef PADDOCK_SUPPORT_ACCESS_ORACLE_H
#define PADDOCK_SUPPORT_ACCESS_ORACLE_H

#include "net/prefix.h"

static inline bool oracle_has(const struct prefix *prefix, const struct in6_addr *address)
{
    if (prefix_is_ipv4(prefix) != (bool)IN6_IS_ADDR_V4MAPPED(address))
        return false;
    for (unsigned i = 0; i < prefix->bits; i++) {
        unsigned differs = prefix->address.s6_addr[i / 8] ^ address->s6_addr[i / 8];
        if ((differs & 0x80 >> i % 8) != 0)
            return false;
    }
    return true;
}

/* The bits of the longest prefix that has the address, or -1. */
static inline int oracle_longest(const struct prefix_list *list, const struct in6_addr *address)
{
    int longest = -1;
    for (size_t i = 0; i < list->count; i++) {
        if (oracle_has(&list->items[i], address) && (int)list->items[i].bits > longest)
            longest = (int)list->items[i].bits;
    }
    return longest;
}

/** Whether an address may ask. */
static inline bool oracle_allows(const struct prefix_list *allow, const struct prefix_list *deny,
                                 const struct in6_addr *address)
{
    int allowed = oracle_longest(allow, address), denied = oracle_longest(deny, address);
    if (allowed < 0 && denied < 0)
        return allow->count == 0;
    return allowed > denied;
}

#endif
