/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/measure.h>

#include "support/cmocka.h"
#include "support/random.h"

#include <stdbool.h>
#include <string.h>

#define UNTOUCHED INT64_C(0x5a5a5a5a5a5a5a5a)

__extension__ typedef __int128 exact;

typedef int (*times_fn)(const struct qcmp_times *times, int64_t *result);

static const int64_t CORNERS[] = {
    INT64_MIN, INT64_MIN + 1, INT64_MIN / 2 - 1, INT64_MIN / 2, -2,       -1, 0, 1,
    2,         INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX - 1, INT64_MAX};

#define CORNER_COUNT (sizeof CORNERS / sizeof *CORNERS)

static bool fits(exact value)
{
    return value >= INT64_MIN && value <= INT64_MAX;
}

static void assert_exact(times_fn compute, const struct qcmp_times *times, exact expected)
{
    int64_t result = UNTOUCHED;

    assert_int_equal(compute(times, &result), fits(expected) ? 0 : QCMP_ERROR_OVERFLOW);
    assert_true(result == (fits(expected) ? (int64_t)expected : UNTOUCHED));
}

static void assert_differences(const struct qcmp_times *times)
{
    const exact t0 = times->client_transmit_ns;
    const exact t1 = times->server_receive_ns;
    const exact t2 = times->server_transmit_ns;
    const exact t3 = times->client_receive_ns;

    assert_exact(qcmp_times_delay, times, (t3 - t0) - (t2 - t1));
    assert_exact(qcmp_times_incoming, times, t1 - t0);
    assert_exact(qcmp_times_outgoing, times, t3 - t2);
    assert_exact(qcmp_times_hold, times, t2 - t1);
}

static void assert_offset(const struct qcmp_times *times)
{
    const exact t0 = times->client_transmit_ns;
    const exact t1 = times->server_receive_ns;
    const exact t2 = times->server_transmit_ns;
    const exact t3 = times->client_receive_ns;
    const exact delay = (t3 - t0) - (t2 - t1);
    const exact offset = ((t1 - t0) + (t2 - t3)) / 2;
    const exact bound = delay / 2 + delay % 2;
    const bool possible = delay >= 0 && fits(offset) && fits(bound);
    int64_t offset_ns = UNTOUCHED;
    int64_t bound_ns = UNTOUCHED;
    const int result = qcmp_times_offset(times, &offset_ns, &bound_ns);

    if (delay < 0)
        assert_int_equal(result, QCMP_ERROR_IMPLAUSIBLE);
    else
        assert_int_equal(result, possible ? 0 : QCMP_ERROR_OVERFLOW);
    assert_true(offset_ns == (possible ? (int64_t)offset : UNTOUCHED));
    assert_true(bound_ns == (possible ? (int64_t)bound : UNTOUCHED));
}

static void assert_part(exact value, int64_t part, unsigned known, unsigned flag)
{
    assert_int_equal((known & flag) != 0, fits(value));
    assert_true(part == (fits(value) ? (int64_t)value : 0));
}

static void assert_sample(const struct qcmp_times *times)
{
    const exact raw = (exact)times->client_receive_ns - times->client_transmit_ns;
    const exact hold = (exact)times->server_transmit_ns - times->server_receive_ns;
    const bool believed = hold >= 0 && hold <= raw;
    struct qcmp_sample sample, untouched;

    memset(&untouched, 0x5a, sizeof untouched);
    memcpy(&sample, &untouched, sizeof sample);

    const int result = qcmp_sample_compute(times, &sample);

    if (raw < 0 || !fits(raw)) {
        assert_int_equal(result, raw < 0 ? QCMP_ERROR_IMPLAUSIBLE : QCMP_ERROR_OVERFLOW);
        assert_memory_equal(&sample, &untouched, sizeof sample);
        return;
    }
    assert_int_equal(result, 0);
    assert_true(sample.raw_rtt_ns == (int64_t)raw);
    assert_true(sample.rtt_ns == (int64_t)(believed ? raw - hold : raw));
    assert_int_equal(sample.suspect, believed ? QCMP_SUSPECT_NOTHING : QCMP_SUSPECT_HOLD);
    assert_int_equal(sample.known & ~7U, 0);
    assert_part(hold, sample.hold_ns, sample.known, QCMP_SAMPLE_HOLD);
    assert_part((exact)times->server_receive_ns - times->client_transmit_ns, sample.incoming_ns,
                sample.known, QCMP_SAMPLE_INCOMING);
    assert_part((exact)times->client_receive_ns - times->server_transmit_ns, sample.outgoing_ns,
                sample.known, QCMP_SAMPLE_OUTGOING);
}

static void every_result_is_exact_or_an_error_at_the_corners(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORNER_COUNT * CORNER_COUNT * CORNER_COUNT * CORNER_COUNT; i++) {
        const struct qcmp_times times = {
            .client_transmit_ns = CORNERS[i % CORNER_COUNT],
            .server_receive_ns = CORNERS[i / CORNER_COUNT % CORNER_COUNT],
            .server_transmit_ns = CORNERS[i / CORNER_COUNT / CORNER_COUNT % CORNER_COUNT],
            .client_receive_ns = CORNERS[i / CORNER_COUNT / CORNER_COUNT / CORNER_COUNT],
        };

        assert_differences(&times);
        assert_offset(&times);
        assert_sample(&times);
    }
}

static void every_result_is_exact_or_an_error_for_random_times(void **state)
{
    uint64_t seed = 3;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        const unsigned shift = (unsigned)(random_next(&seed) % 64);
        const struct qcmp_times times = {
            .client_transmit_ns = (int64_t)(random_next(&seed) >> shift),
            .server_receive_ns = (int64_t)(random_next(&seed) >> shift),
            .server_transmit_ns = (int64_t)(random_next(&seed) >> shift),
            .client_receive_ns = (int64_t)(random_next(&seed) >> shift),
        };

        assert_differences(&times);
        assert_offset(&times);
        assert_sample(&times);
    }
}

static void the_delay_cancels_the_offset_of_the_clocks(void **state)
{
    const struct qcmp_times times = {100, 1000130, 1000150, 200};
    int64_t delay = UNTOUCHED;

    (void)state;
    assert_int_equal(qcmp_times_delay(&times, &delay), 0);
    assert_int_equal(delay, 80);
}

static void incoming_and_outgoing_add_up_to_the_delay(void **state)
{
    const struct qcmp_times times = {100, -1000, -990, 200};
    int64_t incoming = UNTOUCHED;
    int64_t outgoing = UNTOUCHED;

    (void)state;
    assert_int_equal(qcmp_times_incoming(&times, &incoming), 0);
    assert_int_equal(qcmp_times_outgoing(&times, &outgoing), 0);
    assert_int_equal(incoming, -1100);
    assert_int_equal(outgoing, 1190);
    assert_int_equal(incoming + outgoing, 90);
}

static void the_delay_fits_where_its_parts_do_not(void **state)
{
    const struct qcmp_times times = {INT64_MIN, INT64_MIN, INT64_MAX, INT64_MAX};
    int64_t result = UNTOUCHED;

    (void)state;
    assert_int_equal(qcmp_times_hold(&times, &result), QCMP_ERROR_OVERFLOW);
    assert_int_equal(result, UNTOUCHED);
    assert_int_equal(qcmp_times_delay(&times, &result), 0);
    assert_int_equal(result, 0);
}

static void the_offset_is_rounded_towards_zero_and_its_bound_up(void **state)
{
    const struct qcmp_times ahead = {0, 6, 6, 1};
    const struct qcmp_times behind = {0, -5, -5, 1};
    int64_t offset = UNTOUCHED;
    int64_t bound = UNTOUCHED;

    (void)state;
    assert_int_equal(qcmp_times_offset(&ahead, &offset, &bound), 0);
    assert_int_equal(offset, 5);
    assert_int_equal(bound, 1);
    assert_int_equal(qcmp_times_offset(&behind, &offset, &bound), 0);
    assert_int_equal(offset, -5);
    assert_int_equal(bound, 1);
}

static void assert_hold_is_suspect(int64_t start_ns, int64_t transmit_ns, unsigned hold_known)
{
    const struct qcmp_times times = {1000, start_ns, transmit_ns, 1100};
    struct qcmp_sample sample;

    assert_int_equal(qcmp_sample_compute(&times, &sample), 0);
    assert_int_equal(sample.suspect, QCMP_SUSPECT_HOLD);
    assert_int_equal(sample.rtt_ns, 100);
    assert_int_equal(sample.raw_rtt_ns, 100);
    assert_int_equal(sample.known & QCMP_SAMPLE_HOLD, hold_known);
}

static void a_hold_that_cannot_be_is_not_believed(void **state)
{
    (void)state;
    assert_hold_is_suspect(1050, 1049, QCMP_SAMPLE_HOLD);
    assert_hold_is_suspect(1050, 1151, QCMP_SAMPLE_HOLD);
    assert_hold_is_suspect(0, INT64_MIN, QCMP_SAMPLE_HOLD);
    assert_hold_is_suspect(INT64_MAX, INT64_MIN, 0);
    assert_hold_is_suspect(INT64_MIN, INT64_MAX, 0);
}

static void a_hold_between_0_and_the_raw_round_trip_is_taken_out(void **state)
{
    const int64_t holds[] = {0, 1, 99, 100};

    (void)state;
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        const struct qcmp_times times = {1000, 5000, 5000 + holds[i], 1100};
        struct qcmp_sample sample;

        assert_int_equal(qcmp_sample_compute(&times, &sample), 0);
        assert_int_equal(sample.suspect, QCMP_SUSPECT_NOTHING);
        assert_int_equal(sample.rtt_ns, 100 - holds[i]);
        assert_int_equal(sample.raw_rtt_ns, 100);
        assert_int_equal(sample.hold_ns, holds[i]);
        assert_int_equal(sample.incoming_ns, 4000);
        assert_int_equal(sample.outgoing_ns, -3900 - holds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_result_is_exact_or_an_error_at_the_corners),
        cmocka_unit_test(every_result_is_exact_or_an_error_for_random_times),
        cmocka_unit_test(the_delay_cancels_the_offset_of_the_clocks),
        cmocka_unit_test(incoming_and_outgoing_add_up_to_the_delay),
        cmocka_unit_test(the_delay_fits_where_its_parts_do_not),
        cmocka_unit_test(the_offset_is_rounded_towards_zero_and_its_bound_up),
        cmocka_unit_test(a_hold_that_cannot_be_is_not_believed),
        cmocka_unit_test(a_hold_between_0_and_the_raw_round_trip_is_taken_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
