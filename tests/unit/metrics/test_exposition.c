#include "support/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/exposition.h"

static const struct metrics_clock some_clock = {.synchronized = true, .max_error_ns = 1500000};

static const struct metrics_process some_process = {.cpu_ns = UINT64_C(12000000345),
                                                    .start_ns = UINT64_C(1700000000250000000),
                                                    .virtual_bytes = 8192,
                                                    .resident_bytes = 4096,
                                                    .open_fds = 12,
                                                    .max_fds = UINT64_MAX};

static struct metrics_sources some_sources(const struct counters_sum *counters)
{
    return (struct metrics_sources){.id = "host",
                                    .version = "1.2.3",
                                    .commit = "abc",
                                    .compiler = "gcc 12",
                                    .active = 1,
                                    .counters = counters,
                                    .kernel_drops = UINT64_MAX,
                                    .failed_port_changes = 1,
                                    .reloads_ok = 2,
                                    .reloads_failed = 3,
                                    .xdp = {.attached = true, .answered = 7, .transmit_errors = 3},
                                    .clock = &some_clock,
                                    .process = &some_process};
}

/* The caller frees it. */
static char *render(const struct metrics_sources *sources, enum metrics_format format)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_int_equal(metrics_render(out, sources, format), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void count_something(struct counters *counters)
{
    counters_init(counters);
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        counter_add(&counters->packets[i], i + 1);
        counter_add(&counters->bytes[i], 100 * (i + 1));
    }
    counter_add(&counters->answered, 9);
    counter_add(&counters->send_errors, 3);
    counter_add(&counters->receive_errors, 4);
    for (uint64_t n = 1; n <= 33; n += 16)
        histogram_record(&counters->batch_packets, n);
    histogram_record(&counters->hold_ns, 1000);
    histogram_record(&counters->hold_ns, 1001);
    histogram_record(&counters->hold_ns, UINT64_C(1000000001));
}

/* Everything up to the histograms of times, which are long and alike. */
static const char golden_text[] =
    "# HELP quilkin_info Which service this is.\n"
    "# TYPE quilkin_info gauge\n"
    "quilkin_info{id=\"host\",version=\"1.2.3\",commit=\"abc\"} 1\n"
    "# HELP paddock_build_info Which program this is.\n"
    "# TYPE paddock_build_info gauge\n"
    "paddock_build_info{version=\"1.2.3\",commit=\"abc\",compiler=\"gcc 12\"} 1\n"
    "# HELP quilkin_shutdown_initiated Whether the process has been told to stop.\n"
    "# TYPE quilkin_shutdown_initiated gauge\n"
    "quilkin_shutdown_initiated 0\n"
    "# HELP quilkin_service_qcmp_active QCMP services that answer.\n"
    "# TYPE quilkin_service_qcmp_active gauge\n"
    "quilkin_service_qcmp_active 1\n"
    "# HELP quilkin_service_qcmp_packets_total Datagrams that were decoded, by what they turned "
    "out to be.\n"
    "# TYPE quilkin_service_qcmp_packets_total counter\n"
    "quilkin_service_qcmp_packets_total{kind=\"valid\"} 15\n"
    "quilkin_service_qcmp_packets_total{kind=\"invalid\"} 18\n"
    "quilkin_service_qcmp_packets_total{kind=\"unsupported\"} 2\n"
    "# HELP quilkin_service_qcmp_bytes_total Their UDP payload.\n"
    "# TYPE quilkin_service_qcmp_bytes_total counter\n"
    "quilkin_service_qcmp_bytes_total{kind=\"valid\"} 1500\n"
    "quilkin_service_qcmp_bytes_total{kind=\"invalid\"} 1800\n"
    "quilkin_service_qcmp_bytes_total{kind=\"unsupported\"} 200\n"
    "# HELP quilkin_service_qcmp_errors_total What went wrong: with a datagram, with receiving "
    "(io), or with a change of the port.\n"
    "# TYPE quilkin_service_qcmp_errors_total counter\n"
    "quilkin_service_qcmp_errors_total{reason=\"unknown_version\"} 4\n"
    "quilkin_service_qcmp_errors_total{reason=\"invalid_command\"} 5\n"
    "quilkin_service_qcmp_errors_total{reason=\"length_mismatch\"} 6\n"
    "quilkin_service_qcmp_errors_total{reason=\"io\"} 4\n"
    "quilkin_service_qcmp_errors_total{reason=\"failed_port_change\"} 1\n"
    "# HELP paddock_qcmp_received_total Datagrams that were read from the socket, and "
    "pings that XDP took.\n"
    "# TYPE paddock_qcmp_received_total counter\n"
    "paddock_qcmp_received_total 105\n"
    "# HELP paddock_qcmp_answered_total Replies that the kernel took.\n"
    "# TYPE paddock_qcmp_answered_total counter\n"
    "paddock_qcmp_answered_total 9\n"
    "# HELP paddock_qcmp_send_errors_total Replies that the kernel refused.\n"
    "# TYPE paddock_qcmp_send_errors_total counter\n"
    "paddock_qcmp_send_errors_total 3\n"
    "# HELP paddock_qcmp_dropped_total Datagrams that were refused, whatever they were.\n"
    "# TYPE paddock_qcmp_dropped_total counter\n"
    "paddock_qcmp_dropped_total{reason=\"source_port_zero\"} 7\n"
    "paddock_qcmp_dropped_total{reason=\"source_not_unicast\"} 8\n"
    "paddock_qcmp_dropped_total{reason=\"destination_not_unicast\"} 9\n"
    "paddock_qcmp_dropped_total{reason=\"too_old\"} 10\n"
    "paddock_qcmp_dropped_total{reason=\"access_denied\"} 11\n"
    "paddock_qcmp_dropped_total{reason=\"rate_limited\"} 12\n"
    "paddock_qcmp_dropped_total{reason=\"process_cap\"} 13\n"
    "# HELP paddock_qcmp_leaked_total Pings over the limit of their source that were answered all "
    "the same; among the valid ones.\n"
    "# TYPE paddock_qcmp_leaked_total counter\n"
    "paddock_qcmp_leaked_total 14\n"
    "# HELP paddock_qcmp_kernel_drops_total Datagrams that the kernel dropped: no room in the "
    "receive buffer.\n"
    "# TYPE paddock_qcmp_kernel_drops_total counter\n"
    "paddock_qcmp_kernel_drops_total 18446744073709551615\n"
    "# HELP paddock_config_reloads_total Times that the configuration was read again.\n"
    "# TYPE paddock_config_reloads_total counter\n"
    "paddock_config_reloads_total{result=\"ok\"} 2\n"
    "paddock_config_reloads_total{result=\"error\"} 3\n"
    "# HELP paddock_qcmp_batch_packets Datagrams that one receive call gave.\n"
    "# TYPE paddock_qcmp_batch_packets histogram\n"
    "paddock_qcmp_batch_packets_bucket{le=\"1.0\"} 1\n"
    "paddock_qcmp_batch_packets_bucket{le=\"2.0\"} 1\n"
    "paddock_qcmp_batch_packets_bucket{le=\"4.0\"} 1\n"
    "paddock_qcmp_batch_packets_bucket{le=\"8.0\"} 1\n"
    "paddock_qcmp_batch_packets_bucket{le=\"16.0\"} 1\n"
    "paddock_qcmp_batch_packets_bucket{le=\"32.0\"} 2\n"
    "paddock_qcmp_batch_packets_bucket{le=\"+Inf\"} 3\n"
    "paddock_qcmp_batch_packets_sum 51\n"
    "paddock_qcmp_batch_packets_count 3\n";

/* Everything after the histograms. */
static const char golden_openmetrics_end[] =
    "# HELP paddock_xdp_attached Whether the XDP program is on its interface.\n"
    "# TYPE paddock_xdp_attached gauge\n"
    "paddock_xdp_attached 1\n"
    "# HELP paddock_xdp_answered Replies by the XDP program, which are among all answered.\n"
    "# TYPE paddock_xdp_answered counter\n"
    "paddock_xdp_answered_total 7\n"
    "# HELP paddock_xdp_transmit_errors Frames of XDP programs that the interface lost, as far as "
    "its driver counts them.\n"
    "# TYPE paddock_xdp_transmit_errors counter\n"
    "paddock_xdp_transmit_errors_total 3\n"
    "# HELP paddock_clock_synchronized Whether the kernel's clock is kept in step with others.\n"
    "# TYPE paddock_clock_synchronized gauge\n"
    "paddock_clock_synchronized 1\n"
    "# HELP paddock_clock_max_error_seconds How far off the kernel's clock may be.\n"
    "# TYPE paddock_clock_max_error_seconds gauge\n"
    "# UNIT paddock_clock_max_error_seconds seconds\n"
    "paddock_clock_max_error_seconds 0.001500000\n"
    "# HELP process_cpu_seconds CPU time that the process has used.\n"
    "# TYPE process_cpu_seconds counter\n"
    "# UNIT process_cpu_seconds seconds\n"
    "process_cpu_seconds_total 12.000000345\n"
    "# HELP process_start_time_seconds When the process started, since 1970.\n"
    "# TYPE process_start_time_seconds gauge\n"
    "# UNIT process_start_time_seconds seconds\n"
    "process_start_time_seconds 1700000000.250000000\n"
    "# HELP process_virtual_memory_bytes Its address space.\n"
    "# TYPE process_virtual_memory_bytes gauge\n"
    "# UNIT process_virtual_memory_bytes bytes\n"
    "process_virtual_memory_bytes 8192\n"
    "# HELP process_resident_memory_bytes Its memory in RAM.\n"
    "# TYPE process_resident_memory_bytes gauge\n"
    "# UNIT process_resident_memory_bytes bytes\n"
    "process_resident_memory_bytes 4096\n"
    "# HELP process_open_fds Its open descriptors.\n"
    "# TYPE process_open_fds gauge\n"
    "process_open_fds 12\n"
    "# HELP process_max_fds How many descriptors it may have open.\n"
    "# TYPE process_max_fds gauge\n"
    "process_max_fds 18446744073709551615\n"
    "# EOF\n";

static void text_is_as_it_was_agreed(void **state)
{
    struct counters counters;
    (void)state;
    count_something(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    char *text = render(&sources, METRICS_TEXT);
    assert_true(strlen(text) > sizeof golden_text);
    text[sizeof golden_text - 1] = '\0';
    assert_string_equal(text, golden_text);
    free(text);
}

static void openmetrics_is_as_it_was_agreed(void **state)
{
    struct counters counters;
    (void)state;
    count_something(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    char *text = render(&sources, METRICS_OPENMETRICS);
    const char *end = strstr(text, "# HELP paddock_xdp_attached");
    assert_non_null(end);
    assert_string_equal(end, golden_openmetrics_end);
    assert_non_null(strstr(text, "# TYPE quilkin_service_qcmp_bytes counter\n"
                                 "# UNIT quilkin_service_qcmp_bytes bytes\n"
                                 "quilkin_service_qcmp_bytes_total{kind=\"valid\"} 1500\n"));
    free(text);
}

static void times_are_exact_seconds_with_cumulative_buckets(void **state)
{
    struct counters counters;
    (void)state;
    count_something(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    char *text = render(&sources, METRICS_TEXT);
    assert_non_null(strstr(text, "\npaddock_qcmp_hold_seconds_bucket{le=\"1e-06\"} 1\n"
                                 "paddock_qcmp_hold_seconds_bucket{le=\"2e-06\"} 2\n"
                                 "paddock_qcmp_hold_seconds_bucket{le=\"5e-06\"} 2\n"
                                 "paddock_qcmp_hold_seconds_bucket{le=\"1e-05\"} 2\n"));
    assert_non_null(strstr(text, "\npaddock_qcmp_hold_seconds_bucket{le=\"0.0001\"} 2\n"));
    assert_non_null(strstr(text, "\npaddock_qcmp_hold_seconds_bucket{le=\"1.0\"} 2\n"
                                 "paddock_qcmp_hold_seconds_bucket{le=\"+Inf\"} 3\n"
                                 "paddock_qcmp_hold_seconds_sum 1.000002002\n"
                                 "paddock_qcmp_hold_seconds_count 3\n"));
    free(text);
}

static void every_metric_of_the_specification_has_its_type_and_help(void **state)
{
    static const char *const metrics[][2] = {{"quilkin_info", "gauge"},
                                             {"quilkin_service_qcmp_active", "gauge"},
                                             {"quilkin_service_qcmp_packets_total", "counter"},
                                             {"quilkin_service_qcmp_bytes_total", "counter"},
                                             {"quilkin_service_qcmp_errors_total", "counter"},
                                             {"quilkin_shutdown_initiated", "gauge"},
                                             {"paddock_build_info", "gauge"},
                                             {"paddock_qcmp_received_total", "counter"},
                                             {"paddock_qcmp_answered_total", "counter"},
                                             {"paddock_qcmp_send_errors_total", "counter"},
                                             {"paddock_qcmp_dropped_total", "counter"},
                                             {"paddock_qcmp_leaked_total", "counter"},
                                             {"paddock_qcmp_kernel_drops_total", "counter"},
                                             {"paddock_qcmp_batch_packets", "histogram"},
                                             {"paddock_qcmp_hold_seconds", "histogram"},
                                             {"paddock_qcmp_queue_delay_seconds", "histogram"},
                                             {"paddock_xdp_attached", "gauge"},
                                             {"paddock_xdp_answered_total", "counter"},
                                             {"paddock_xdp_transmit_errors_total", "counter"},
                                             {"paddock_config_reloads_total", "counter"},
                                             {"paddock_clock_synchronized", "gauge"},
                                             {"paddock_clock_max_error_seconds", "gauge"},
                                             {"process_cpu_seconds_total", "counter"},
                                             {"process_start_time_seconds", "gauge"},
                                             {"process_virtual_memory_bytes", "gauge"},
                                             {"process_resident_memory_bytes", "gauge"},
                                             {"process_open_fds", "gauge"},
                                             {"process_max_fds", "gauge"}};
    struct counters counters;
    (void)state;
    counters_init(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    char *text = render(&sources, METRICS_TEXT);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "# TYPE %s %s\n", metrics[i][0], metrics[i][1]);
        assert_non_null(strstr(text, line));
        snprintf(line, sizeof line, "# HELP %s ", metrics[i][0]);
        assert_non_null(strstr(text, line));
    }
    free(text);
}

static void label_values_are_escaped_and_repaired(void **state)
{
    struct counters counters;
    (void)state;
    counters_init(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    sources.id = "a\\b\"c\nd\xff\xc3\xa9\xed\xa0\x80}";
    sources.version = "";
    for (int format = METRICS_TEXT; format <= METRICS_OPENMETRICS; format++) {
        char *text = render(&sources, (enum metrics_format)format);
        assert_non_null(strstr(text, "\nquilkin_info{id=\"a\\\\b\\\"c\\nd\xef\xbf\xbd\xc3\xa9\xef"
                                     "\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd}\",version=\"\","
                                     "commit=\"abc\"} 1\n"));
        free(text);
    }
}

static void what_is_not_known_is_left_out(void **state)
{
    struct counters counters;
    (void)state;
    counters_init(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    sources.clock = NULL;
    sources.process = NULL;
    char *text = render(&sources, METRICS_TEXT);
    assert_null(strstr(text, "paddock_clock_"));
    assert_null(strstr(text, "\nprocess_"));
    free(text);
}

static void a_service_without_workers_has_the_same_series(void **state)
{
    struct counters counters;
    (void)state;
    counters_init(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    char *with = render(&sources, METRICS_TEXT);
    sum = counters_sum(NULL, 0);
    char *without = render(&sources, METRICS_TEXT);
    assert_string_equal(with, without);
    free(with);
    free(without);
}

static void a_stream_that_fails_is_an_error(void **state)
{
    struct counters counters;
    (void)state;
    counters_init(&counters);
    struct counters_sum sum = counters_sum(&counters, 1);
    struct metrics_sources sources = some_sources(&sum);
    FILE *full = fopen("/dev/full", "we");
    assert_non_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    assert_int_equal(metrics_render(full, &sources, METRICS_TEXT), -EIO);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_as_it_was_agreed),
        cmocka_unit_test(openmetrics_is_as_it_was_agreed),
        cmocka_unit_test(times_are_exact_seconds_with_cumulative_buckets),
        cmocka_unit_test(every_metric_of_the_specification_has_its_type_and_help),
        cmocka_unit_test(label_values_are_escaped_and_repaired),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(a_service_without_workers_has_the_same_series),
        cmocka_unit_test(a_stream_that_fails_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
