/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fake_clock.h"

#include "client/clock.h"

/* The state that a replaced clock cannot do without. base_ns is what the wall clock is ahead of the
 * monotonic one, so that the kernel's stamps fit; 0 = not read yet. */
static int64_t offset_ns, width_ns, base_ns;

void fake_clock_step(int64_t step_ns)
{
    offset_ns += step_ns;
}

void fake_clock_widen(int64_t width)
{
    width_ns = width;
}

struct qcmp_reading qcmp_clock_read(void)
{
    if (base_ns == 0)
        base_ns = qcmp_clock_wall_ns() - qcmp_clock_monotonic_ns();
    int64_t monotonic_ns = qcmp_clock_monotonic_ns();
    return (struct qcmp_reading){
        .at = {.wall_ns = base_ns + monotonic_ns + offset_ns, .monotonic_ns = monotonic_ns},
        .width_ns = width_ns};
}
