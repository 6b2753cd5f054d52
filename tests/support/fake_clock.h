/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The client's clock, which a test can step. Linked in place of src/client/clock.c.
 */
#ifndef PADDOCK_TESTS_SUPPORT_FAKE_CLOCK_H
#define PADDOCK_TESTS_SUPPORT_FAKE_CLOCK_H

#include <stdint.h>

/** Moves the wall clock, as the client sees it, by @p step_ns against the true one. */
void fake_clock_step(int64_t step_ns);

/** Makes the client's readings as uncertain as @p width_ns. */
void fake_clock_widen(int64_t width_ns);

#endif
