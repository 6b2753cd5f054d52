/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics.h"
#include "metrics/system.h"

typedef void write_fn(struct metrics *out);

/* The caller frees it. */
static char *render(write_fn *write, enum metrics_format format)
{
    char *text = NULL;
    size_t bytes = 0;
    struct metrics out = {.out = open_memstream(&text, &bytes), .format = format};

    assert_non_null(out.out);
    write(&out);
    assert_int_equal(metrics_end(&out), 0);
    assert_int_equal(fclose(out.out), 0);
    return text;
}

/* Checks what is written in both formats. */
static void check(write_fn *write, const char *text, const char *openmetrics)
{
    char *written = render(write, METRICS_TEXT);

    assert_string_equal(written, text);
    free(written);
    written = render(write, METRICS_OPENMETRICS);
    assert_string_equal(written, openmetrics);
    free(written);
}

static void write_gauge(struct metrics *out)
{
    metrics_family(out, "load_ratio", METRICS_GAUGE, NULL, "How much.");
    metrics_sample(out, UINT64_MAX, NULL);
    metrics_sample(out, 0, "a", "b", NULL);
}

static void a_gauge_has_the_same_name_in_both_formats(void **state)
{
    (void)state;
#define GAUGE                                                                                      \
    "# HELP load_ratio How much.\n# TYPE load_ratio gauge\n"                                       \
    "load_ratio 18446744073709551615\nload_ratio{a=\"b\"} 0\n"
    check(write_gauge, GAUGE, GAUGE "# EOF\n");
}

static void write_counter(struct metrics *out)
{
    metrics_family(out, "cpu_seconds", METRICS_COUNTER, "seconds", "Its time.");
    metrics_seconds(out, UINT64_C(12000000345), "a", "b", "c", "d", NULL);
    metrics_seconds(out, 1, NULL);
    metrics_sample(out, 7, "a", "", NULL);
}

static void a_counter_ends_with_total_and_its_seconds_are_exact(void **state)
{
    (void)state;
#define SAMPLES                                                                                    \
    "cpu_seconds_total{a=\"b\",c=\"d\"} 12.000000345\ncpu_seconds_total 0.000000001\n"             \
    "cpu_seconds_total{a=\"\"} 7\n"
    check(write_counter,
          "# HELP cpu_seconds_total Its time.\n# TYPE cpu_seconds_total counter\n" SAMPLES,
          "# HELP cpu_seconds Its time.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds "
          "seconds\n" SAMPLES "# EOF\n");
}

static void write_named_counter(struct metrics *out)
{
    metrics_family(out, "events", METRICS_NAMED_COUNTER, NULL, "How many.");
    metrics_sample(out, 3, NULL);
}

static void a_counter_may_have_a_name_that_is_given(void **state)
{
    (void)state;
    check(write_named_counter, "# HELP events How many.\n# TYPE events counter\nevents 3\n",
          "# HELP events How many.\n# TYPE events unknown\nevents 3\n# EOF\n");
}

static void write_odd_texts(struct metrics *out)
{
    metrics_info(out, "it_info", "What it is.", "id",
                 "a\\b\"c\nd\xff\xc3\xa9\xed\xa0\x80}\t{,=", "none", "", "cut", "\xe2\x82", NULL);
}

static void values_of_labels_are_escaped_and_repaired(void **state)
{
    (void)state;
#define INFO                                                                                       \
    "# HELP it_info What it is.\n# TYPE it_info gauge\n"                                           \
    "it_info{id=\"a\\\\b\\\"c\\nd\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd}\t"      \
    "{,=\",none=\"\",cut=\"\xef\xbf\xbd\xef\xbf\xbd\"} 1\n"
    check(write_odd_texts, INFO, INFO "# EOF\n");
}

static void record(struct histogram_sum *sum, const struct histogram_bounds *bounds,
                   const uint64_t *values, size_t count)
{
    struct histogram histogram;

    histogram_init(&histogram, bounds);
    for (size_t i = 0; i < count; i++)
        histogram_record(&histogram, values[i]);
    histogram_add(sum, &histogram);
}

static void write_histograms(struct metrics *out)
{
    static const struct histogram_bounds times = {
        .count = 4, .in_seconds = true, .upper = {1e-6, 0.0001, .5, 1}};
    static const struct histogram_bounds packets = {.count = 2, .upper = {1, 32}};
    struct histogram_sum sum = {{0}, 0};

    record(&sum, &times, (const uint64_t[]){1000, 1001, UINT64_C(1000000001)}, 3);
    metrics_family(out, "hold_seconds", METRICS_HISTOGRAM, "seconds", "How long.");
    metrics_histogram(out, &times, &sum, NULL);
    sum = (struct histogram_sum){{0}, 0};
    record(&sum, &packets, (const uint64_t[]){1, 33}, 2);
    metrics_family(out, "batch", METRICS_HISTOGRAM, NULL, "How many.");
    metrics_histogram(out, &packets, &sum, "a", "\"", "c", "d", NULL);
}

static void a_histogram_has_cumulative_buckets_and_its_labels_in_each_series(void **state)
{
    (void)state;
#define TIMES                                                                                      \
    "hold_seconds_bucket{le=\"1e-06\"} 1\nhold_seconds_bucket{le=\"0.0001\"} 2\n"                  \
    "hold_seconds_bucket{le=\"0.5\"} 2\nhold_seconds_bucket{le=\"1.0\"} 2\n"                       \
    "hold_seconds_bucket{le=\"+Inf\"} 3\nhold_seconds_sum 1.000002002\nhold_seconds_count 3\n"     \
    "# HELP batch How many.\n# TYPE batch histogram\n"                                             \
    "batch_bucket{a=\"\\\"\",c=\"d\",le=\"1.0\"} 1\nbatch_bucket{a=\"\\\"\",c=\"d\",le=\"32.0\"} " \
    "1\nbatch_bucket{a=\"\\\"\",c=\"d\",le=\"+Inf\"} 2\nbatch_sum{a=\"\\\"\",c=\"d\"} 34\n"        \
    "batch_count{a=\"\\\"\",c=\"d\"} 2\n"
#define HOLD "# HELP hold_seconds How long.\n# TYPE hold_seconds histogram\n"
    check(write_histograms, HOLD TIMES, HOLD "# UNIT hold_seconds seconds\n" TIMES "# EOF\n");
}

/* The bounds of filters, 0.000125 x 2.5^n, of which most are no whole nanoseconds. */
static void write_powers(struct metrics *out)
{
    struct histogram_bounds bounds = {.count = 11, .in_seconds = true};
    struct histogram_sum sum = {{0}, 0};

    for (size_t i = 0; i < bounds.count; i++)
        bounds.upper[i] = i == 0 ? 0.000125 : bounds.upper[i - 1] * 2.5;
    record(&sum, &bounds, (const uint64_t[]){4882812, 4882813}, 2);
    metrics_family(out, "filter", METRICS_HISTOGRAM, NULL, "How long.");
    metrics_histogram(out, &bounds, &sum, NULL);
}

static void a_bound_is_written_so_that_it_is_read_back_as_itself(void **state)
{
    char *text = render(write_powers, METRICS_TEXT);

    (void)state;
    assert_non_null(strstr(text, "filter_bucket{le=\"0.000125\"} 0\n"
                                 "filter_bucket{le=\"0.0003125\"} 0\n"
                                 "filter_bucket{le=\"0.00078125\"} 0\n"
                                 "filter_bucket{le=\"0.001953125\"} 0\n"
                                 "filter_bucket{le=\"0.0048828125\"} 1\n"
                                 "filter_bucket{le=\"0.01220703125\"} 2\n"));
    assert_non_null(strstr(text, "filter_bucket{le=\"1.1920928955078125\"} 2\n"
                                 "filter_bucket{le=\"+Inf\"} 2\n"));
    free(text);
}

static void the_system_shows_its_clock_and_the_process(void **state)
{
    static const char *const families[] = {"process_cpu_seconds_total",
                                           "process_start_time_seconds",
                                           "process_virtual_memory_bytes",
                                           "process_resident_memory_bytes",
                                           "process_open_fds",
                                           "process_max_fds"};
    struct metrics_clock clock;
    char *text = render(metrics_system_write, METRICS_TEXT);

    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "\n%s ", families[i]);
        const char *sample = strstr(text, line);
        assert_non_null(sample);
        assert_true(strtod(sample + strlen(line), NULL) > 0);
    }
    assert_int_equal(strstr(text, "paddock_clock_max_error_seconds ") != NULL,
                     metrics_clock_read(&clock) == 0);
    free(text);
}

static void a_stream_that_fails_is_an_error(void **state)
{
    struct metrics out = {.out = fopen("/dev/full", "we")};

    (void)state;
    assert_non_null(out.out);
    setvbuf(out.out, NULL, _IONBF, 0);
    write_gauge(&out);
    assert_int_equal(metrics_end(&out), -EIO);
    fclose(out.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gauge_has_the_same_name_in_both_formats),
        cmocka_unit_test(a_counter_ends_with_total_and_its_seconds_are_exact),
        cmocka_unit_test(a_counter_may_have_a_name_that_is_given),
        cmocka_unit_test(values_of_labels_are_escaped_and_repaired),
        cmocka_unit_test(a_histogram_has_cumulative_buckets_and_its_labels_in_each_series),
        cmocka_unit_test(a_bound_is_written_so_that_it_is_read_back_as_itself),
        cmocka_unit_test(the_system_shows_its_clock_and_the_process),
        cmocka_unit_test(a_stream_that_fails_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
