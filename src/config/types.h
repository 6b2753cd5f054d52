/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Scalars that more than one owner of settings has.
 */
#ifndef PADDOCK_CONFIG_TYPES_H
#define PADDOCK_CONFIG_TYPES_H

#include "config/field.h"

/** struct in6_addr: any numeric address; IPv4 as v4-mapped. */
extern const struct field_type type_address;

/** struct in6_addr: one that a host can have, `::` or 0.0.0.0, not a link-local one. */
extern const struct field_type type_listen_address;

/** The items of a list of addresses to bind. */
extern const struct field listen_address_row[];

/** struct prefix. */
extern const struct field_type type_prefix;

/** char[5]: four letters A-Z, an airport. */
extern const struct field_type type_icao;

/** char[256]: an address or a name, without blanks. */
extern const struct field_type type_host;

#endif
