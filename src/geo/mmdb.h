/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Databases in the format of MaxMind, read once into a table of ours by libmaxminddb: what workers
 * use has been looked at whole, and no byte of a database is read after that.
 *
 * Countries are at `country.iso_code`, `registered_country.iso_code`, `country_code` or `country`,
 * autonomous systems at `autonomous_system_number` or `asn`, as a number or as "AS64500".
 */
#ifndef PADDOCK_GEO_MMDB_H
#define PADDOCK_GEO_MMDB_H

#include <stdatomic.h>

#include "base/error.h"
#include "geo/table.h"

/** The longest database, and the longest time that reading one may take. */
#define MMDB_MAX_BYTES (INT64_C(1) << 30)
#define MMDB_MAX_NS (INT64_C(60) * 1000000000)

/** Reads a database, which takes long: about a microsecond for each of its networks.
 * @param fd of a file that nobody changes meanwhile.
 * @param is_stopped it gives up when this is set.
 * @param[out] table untouched on failure; freed with geo_table_free().
 * @return 0, or a negative errno value, also in @p error; -EINVAL: it is corrupt. */
int mmdb_read(struct geo_table **table, int fd, const atomic_bool *is_stopped, struct error *error);

#endif
