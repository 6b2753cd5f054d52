/** @file
 * The clocks of the program in the kernel: it can read the monotonic one, and needs to be told how
 * far that is from UTC. They run at the same speed, whoever disciplines them; what is between them
 * changes when somebody sets the wall clock, and at a leap second. (The program could read TAI as
 * well, but what that is from UTC may change without anybody being told.)
 */
#ifndef PADDOCK_FASTPATH_CLOCK_H
#define PADDOCK_FASTPATH_CLOCK_H

#include <stdint.h>

/** UTC minus the monotonic clock, as exact as three reads of clocks in a row are apart: some ten
 * nanoseconds. Does not block. */
int64_t xdp_clock_offset_ns(void);

/** @return a descriptor that becomes readable when the wall clock is set, at once; or a negative
 * errno value. */
int xdp_clock_watch(void);

/** Makes a descriptor of xdp_clock_watch() wait for the next time. */
void xdp_clock_rewatch(int fd);

#endif
