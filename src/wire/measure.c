/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/measure.h>

#include "wire/bits.h"

#include <stdbool.h>

/* A sum of a few 64-bit numbers, exact: two's complement in two words. */
struct wide {
    int64_t high;
    uint64_t low;
};

static struct wide wide_add(struct wide sum, int64_t number)
{
    const uint64_t low = sum.low + (uint64_t)number;

    sum.high += (low < sum.low) - (number < 0);
    sum.low = low;
    return sum;
}

static struct wide wide_subtract(struct wide sum, int64_t number)
{
    const uint64_t low = sum.low - (uint64_t)number;

    sum.high += (number < 0) - (low > sum.low);
    sum.low = low;
    return sum;
}

static bool wide_is_negative(struct wide sum)
{
    return sum.high < 0;
}

/* Rounds down. */
static struct wide wide_halve(struct wide sum)
{
    const int64_t odd = sum.high % 2 != 0;

    sum.low = sum.low >> 1 | (uint64_t)odd << 63;
    sum.high = (sum.high - odd) / 2;
    return sum;
}

static int wide_get(struct wide sum, int64_t *number)
{
    const int64_t value = bits_to_signed(sum.low);

    if (sum.high != -(value < 0))
        return QCMP_ERROR_OVERFLOW;
    *number = value;
    return 0;
}

static struct wide difference(int64_t left, int64_t right)
{
    const struct wide zero = {0, 0};

    return wide_subtract(wide_add(zero, left), right);
}

static struct wide wide_delay(const struct qcmp_times *times)
{
    const struct wide round_trip = difference(times->client_receive_ns, times->client_transmit_ns);

    return wide_add(wide_subtract(round_trip, times->server_transmit_ns), times->server_receive_ns);
}

int qcmp_times_delay(const struct qcmp_times *times, int64_t *delay_ns)
{
    return wide_get(wide_delay(times), delay_ns);
}

int qcmp_times_incoming(const struct qcmp_times *times, int64_t *incoming_ns)
{
    return wide_get(difference(times->server_receive_ns, times->client_transmit_ns), incoming_ns);
}

int qcmp_times_outgoing(const struct qcmp_times *times, int64_t *outgoing_ns)
{
    return wide_get(difference(times->client_receive_ns, times->server_transmit_ns), outgoing_ns);
}

int qcmp_times_hold(const struct qcmp_times *times, int64_t *hold_ns)
{
    return wide_get(difference(times->server_transmit_ns, times->server_receive_ns), hold_ns);
}

int qcmp_times_offset(const struct qcmp_times *times, int64_t *offset_ns, int64_t *error_bound_ns)
{
    const struct wide delay = wide_delay(times);
    const struct wide incoming = difference(times->server_receive_ns, times->client_transmit_ns);
    const struct wide twice =
        wide_subtract(wide_add(incoming, times->server_transmit_ns), times->client_receive_ns);
    int64_t offset;
    int64_t bound;

    if (wide_is_negative(delay))
        return QCMP_ERROR_IMPLAUSIBLE;
    /* Halving rounds down: one more turns that into towards zero below it, and into up for the
     * bound. */
    if (wide_get(wide_halve(wide_add(twice, wide_is_negative(twice))), &offset) != 0 ||
        wide_get(wide_halve(wide_add(delay, 1)), &bound) != 0)
        return QCMP_ERROR_OVERFLOW;
    *offset_ns = offset;
    *error_bound_ns = bound;
    return 0;
}

int qcmp_sample_compute(const struct qcmp_times *times, struct qcmp_sample *sample)
{
    struct qcmp_sample made = {0, 0, 0, 0, 0, 0, QCMP_SUSPECT_NOTHING};

    if (times->client_receive_ns < times->client_transmit_ns)
        return QCMP_ERROR_IMPLAUSIBLE;
    if (wide_get(difference(times->client_receive_ns, times->client_transmit_ns),
                 &made.raw_rtt_ns) != 0)
        return QCMP_ERROR_OVERFLOW;
    if (qcmp_times_hold(times, &made.hold_ns) == 0)
        made.known |= QCMP_SAMPLE_HOLD;
    if (qcmp_times_incoming(times, &made.incoming_ns) == 0)
        made.known |= QCMP_SAMPLE_INCOMING;
    if (qcmp_times_outgoing(times, &made.outgoing_ns) == 0)
        made.known |= QCMP_SAMPLE_OUTGOING;

    const bool believed = (made.known & QCMP_SAMPLE_HOLD) != 0 && made.hold_ns >= 0 &&
                          made.hold_ns <= made.raw_rtt_ns;

    made.suspect = believed ? QCMP_SUSPECT_NOTHING : QCMP_SUSPECT_HOLD;
    made.rtt_ns = believed ? made.raw_rtt_ns - made.hold_ns : made.raw_rtt_ns;
    *sample = made;
    return 0;
}
