/** @file
 * The clocks of this host, in nanoseconds. Neither call blocks, allocates or fails.
 */
#ifndef PADDOCK_BASE_CLOCK_H
#define PADDOCK_BASE_CLOCK_H

#include <stdint.h>

/** Unix time, UTC. It jumps when someone sets the clock. */
int64_t clock_wall_ns(void);

/** Time since some fixed moment; never jumps and never goes back. Stands still while the host
 * sleeps. */
int64_t clock_monotonic_ns(void);

#endif
