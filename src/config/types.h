/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What more than one owner of settings has: scalars, and rows of a kind.
 */
#ifndef PADDOCK_CONFIG_TYPES_H
#define PADDOCK_CONFIG_TYPES_H

#include <netinet/in.h>
#include <stdint.h>

#include "config/field.h"
#include "net/address.h"
#include "net/prefix.h"

/** struct in6_addr: any numeric address; IPv4 as v4-mapped. */
extern const struct field_type type_address;

/** struct in6_addr: one that a host can have, `::` or 0.0.0.0, not a link-local one. */
extern const struct field_type type_listen_address;

/** The items of a list of addresses to bind. */
extern const struct field listen_address_row[];

/** struct prefix. */
extern const struct field_type type_prefix;

/** The items of a struct prefix_list. */
extern const struct field prefix_row[];

/** char[5]: four letters A-Z, an airport. */
extern const struct field_type type_icao;

/** char[256]: an address or a name, without blanks. */
extern const struct field_type type_host;

/** Of a row for a port number, a uint16_t; 0 is one. */
#define TYPES_PORT .placeholder = "PORT", .kind = FIELD_NUMBER, .max = UINT16_MAX

/** Of a row for addresses to bind: a member `struct in6_addr NAME[NET_MAX_ADDRESSES]` beside
 * `size_t NAME_count`. */
#define TYPES_LISTEN(type, member)                                                                 \
    .kind = FIELD_ARRAY, .flags = FIELD_FIXED | FIELD_UNIQUE, .min = 1, .max = NET_MAX_ADDRESSES,  \
    .expected = "a list of 1 to 16 numeric addresses", .members = listen_address_row,              \
    .item_bytes = sizeof(struct in6_addr), FIELD_AT(type, member),                                 \
    .count_offset = offsetof(type, member##_count)

/** Of a row for the receive buffer of ports, as struct ports_options has it. */
#define TYPES_RECEIVE_BUFFER                                                                       \
    .default_text = "20ms", .kind = FIELD_DURATION, .flags = FIELD_FIXED, .min = 1,                \
    .max = INT64_C(5000000000)

#endif
