/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the programs of the fast path share with this process, and with each other: the layouts of
 * maps.
 */
#ifndef PADDOCK_FASTPATH_SHARED_H
#define PADDOCK_FASTPATH_SHARED_H

#include <stdint.h>

/** Entries of the map of addresses at most. Frames for addresses that have no room go to the
 * sockets; sources come first. */
#define FASTPATH_MAX_ADDRESSES 32768

/** Interfaces that have the program at most. */
#define FASTPATH_MAX_INTERFACES 7

/** VLAN tags of a frame that are parsed at most. */
#define FASTPATH_MAX_TAGS 2

/** The tags of a frame as one number: none is 0; 13 bits for each, the outer one lowest. */
#define FASTPATH_TAG_BITS 13
#define FASTPATH_TAG_IS_8021AD UINT32_C(0x1000)     /**< else 802.1Q; below it the id, 1 to 4095 */
#define FASTPATH_TAGS_IPV6 (UINT32_C(1) << 31)      /**< with a native IPv6 address */
#define FASTPATH_TAGS_NO_SOURCE (UINT32_C(1) << 30) /**< in place of tags: nobody's source */

/** An address of this host, and the tags with which frames for it come: those of the VLAN device
 * that has it. So nothing is answered that another VLAN sent; nor, at an address of a VLAN device,
 * a frame whose tag the hardware removed before the program could see it. At other addresses such a
 * frame cannot be told from one without a tag.
 *
 * With FASTPATH_TAGS_NO_SOURCE, whatever tags a frame bears: an address that no other host may send
 * from, because it is one of this host's or a broadcast address of one of its networks. The kernel
 * drops such frames, or the answer would come to this host itself. */
struct fastpath_address {
    uint32_t address[4]; /**< network order; IPv4 as v4-mapped IPv6 */
    uint32_t tags;
};

/** A MAC address as one number, from its bytes as they are in memory: of four, and of two. */
static inline uint64_t fastpath_mac(uint32_t first, uint16_t last)
{
    return first | (uint64_t)last << 32;
}

/** The bit of fastpath_settings.sources that stands for an address, as in struct fastpath_address.
 */
static inline uint64_t fastpath_source_bit(const uint32_t address[4])
{
    uint32_t mixed = address[0] ^ address[1] ^ address[2] ^ address[3];
    return UINT64_C(1) << (mixed * UINT32_C(0x9e3779b1) >> 26);
}

/** What an interface is, for parts. On veth a sender of the same host may have left the checksum to
 * the interface. In the generic mode the kernel still knows that of the frame, and where the UDP
 * header was: what is sent must have such a checksum as well, at the same place. Where it is
 * strict, or a VLAN on it, the kernel takes an IPv4 packet only from whom it would answer by the
 * same interface (`rp_filter`). */
#define FASTPATH_IS_VETH 1U
#define FASTPATH_IS_GENERIC 2U
#define FASTPATH_IS_STRICT 4U

/** Above these bits: which of the interfaces it is, from 1. That of a frame may be another one,
 * below it, as with a bond. */
#define FASTPATH_NUMBER_SHIFT 8

/** Written by this process, read by the program at any time; each member stands for itself. Zeroed
 * at first: all frames go to the sockets. */
struct fastpath_settings {
    int64_t clock_offset_ns;     /**< UTC minus this process's monotonic clock */
    int64_t monotonic_offset_ns; /**< this process's monotonic clock minus the kernel's */
    uint64_t mac;                /**< the interface's, as fastpath_mac() */
    uint64_t sources; /**< the bits of all addresses with FASTPATH_TAGS_NO_SOURCE at least: the map
                         is asked about no others */
    uint32_t addresses_version; /**< another one after each change of the addresses; 0 meanwhile. No
                                   two interfaces have the same, as they share the CPUs' memory */
    uint32_t interface;         /**< FASTPATH_IS_ bits, and its number */
    uint8_t parts[65536];       /**< which enum fastpath_part claims each UDP port */
};

/** An interface that has the program. */
struct fastpath_door {
    uint64_t mac;   /**< as fastpath_mac() */
    uint32_t index; /**< the kernel's */
    uint32_t mtu;   /**< bytes of the longest IP packet that it sends; 0: it is down */
};

/** A UDP datagram that reached a port of a part: to an address of this host, from a source that may
 * be answered, whole, without options or fragments, and with the checks done that the kernel does,
 * but for the checksum of UDP. Network order unless a comment says otherwise. */
struct fastpath_datagram {
    uint64_t own_mac, peer_mac;           /**< as fastpath_mac() */
    uint32_t raw_tags[FASTPATH_MAX_TAGS]; /**< type and control of each */
    uint32_t tags_count;
    uint32_t source[4];                  /**< IPv4 as v4-mapped */
    struct fastpath_address destination; /**< with the tags */
    uint16_t source_port, port;
    uint16_t type;      /**< the network layer: ETH_P_IP or ETH_P_IPV6 */
    uint16_t udp_bytes; /**< header and payload, host order; all of it is in the frame */
    uint32_t udp_at;    /**< offset of the UDP header in the frame, host order */
    uint8_t hops;       /**< TTL or hop limit */
    uint8_t traffic;    /**< DSCP and ECN */
};

/** What one CPU has to itself, on cache lines of its own. A part takes the datagram from here. */
struct fastpath_cpu {
    struct fastpath_datagram datagram;
    int64_t clock_offset_ns, monotonic_offset_ns; /**< those of the settings, for the parts */
    uint64_t transmitted;                         /**< frames that parts sent */
    uint64_t lost;    /**< those of them that an interface did not take from another one */
    uint64_t leaving; /**< those that wait for a driver to take them from another one */
    struct fastpath_address destination; /**< the last address of this host, */
    uint32_t version;                    /**< by fastpath_settings.addresses_version */
    uint32_t interface;                  /**< as in the settings, for the parts */
} __attribute__((aligned(64)));

#endif
