/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Structs that may grow, across the border between a program and a library of different versions;
 * see qcmp/version.h. Not installed.
 */
#ifndef PADDOCK_WIRE_SIZED_H
#define PADDOCK_WIRE_SIZED_H

#include <stdbool.h>
#include <stddef.h>

/** Copies the caller's struct: what it lacks is zero. @return false when it has a member that is
 * not known here and not zero; @p to is then of no use. */
bool qcmp_sized_read(void *to, size_t to_bytes, const void *from, size_t from_bytes);

/** Fills the caller's struct: what is not known here is zero, and nothing is written behind it. */
void qcmp_sized_write(void *to, size_t to_bytes, const void *from, size_t from_bytes);

#endif
