/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Random prefixes and addresses for tests of access lists.
 */
#ifndef PADDOCK_SUPPORT_RANDOM_PREFIX_H
#define PADDOCK_SUPPORT_RANDOM_PREFIX_H

#include "net/prefix.h"
#include "support/random.h"

/** A prefix of few distinct bits, so that they meet. */
static inline struct prefix random_prefix(uint64_t *seed)
{
    struct prefix prefix = {0};
    bool ipv4 = random_next(seed) % 2 == 0;
    if (ipv4)
        prefix.address.s6_addr[10] = prefix.address.s6_addr[11] = 0xff;
    for (unsigned i = ipv4 ? 12 : 0; i < 16; i++)
        prefix.address.s6_addr[i] =
            (uint8_t)(random_next(seed) % 8 == 0 ? random_next(seed) : 0x80);
    unsigned first = ipv4 ? PREFIX_IPV4_BITS : 0;
    prefix.bits = first + (unsigned)(random_next(seed) % (129 - first));
    for (unsigned i = prefix.bits; i < 128; i++)
        prefix.address.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return prefix;
}

/** An address in or next to a prefix. */
static inline struct in6_addr random_address(uint64_t *seed, const struct prefix *near)
{
    struct in6_addr address = near->address;
    bool ipv4 = prefix_is_ipv4(near);
    for (unsigned i = near->bits; i < 128; i++)
        address.s6_addr[i / 8] ^= (uint8_t)((random_next(seed) & 1) << (7 - i % 8));
    if (random_next(seed) % 4 == 0) {
        unsigned bit = (unsigned)(random_next(seed) % 128);
        if (!ipv4 || bit >= PREFIX_IPV4_BITS)
            address.s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
    return address;
}

#endif
