/** @file
 * The clocks of the program in the kernel: it can read TAI, and needs to be told how far that is
 * from UTC. Both move together when somebody sets the wall clock; what changes between them is what
 * a time daemon tells the kernel about leap seconds.
 */
#ifndef PADDOCK_ENGINE_XDP_CLOCK_H
#define PADDOCK_ENGINE_XDP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/** The kernel's TAI minus its UTC, in nanoseconds; whole seconds. Does not block. */
int64_t xdp_clock_tai_offset_ns(void);

/** @return a descriptor that becomes readable when any clock is set, so that the offset may have
 * changed; or a negative errno value. */
int xdp_clock_watch(void);

/** Makes a descriptor of xdp_clock_watch() wait for the next time. */
void xdp_clock_rewatch(int fd);

#endif
