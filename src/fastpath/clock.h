/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The clocks of the program in the kernel: it can read the monotonic one, and needs to be told how
 * far that is from UTC. They run at the same speed, whatever disciplines them; what is between them
 * changes when somebody sets the wall clock, and at a leap second. (The program could read TAI as
 * well, but what that is from UTC may change without anybody being told.)
 */
#ifndef PADDOCK_FASTPATH_CLOCK_H
#define PADDOCK_FASTPATH_CLOCK_H

#include <stdint.h>

/** UTC minus the monotonic clock, as exact as three reads of clocks in a row are apart: some ten
 * nanoseconds. Does not block. */
int64_t fastpath_clock_offset_ns(void);

/**
 * This process's monotonic clock minus the kernel's, which a program in the kernel reads: 0 outside
 * of time namespaces. It does not change while a process is in one.
 * @param[out] offset_ns untouched on failure.
 * @return 0 or a negative errno value.
 */
int fastpath_clock_namespace_ns(int64_t *offset_ns);

/** @return a descriptor that becomes readable when the wall clock is set, at once; or a negative
 * errno value. */
int fastpath_clock_watch(void);

/** Makes a descriptor of fastpath_clock_watch() wait for the next time. */
void fastpath_clock_rewatch(int fd);

#endif
