/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Runs a probe beside its model (support/probe_shadow.h) through a script, which is any string of
 * bytes: for the fuzz harness and for random runs.
 */
#ifndef PADDOCK_SUPPORT_PROBE_SCRIPT_H
#define PADDOCK_SUPPORT_PROBE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

/** Runs one script of at most @p max_pings pings; ends the program where probe and model differ.
 * @return how many pings it sent. */
size_t probe_script_run(const uint8_t *script, size_t bytes, size_t max_pings);

#endif
