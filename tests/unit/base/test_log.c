/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"

#define STAMP "2026-11-22T18:00:00.123456Z"
#define STAMP_NS INT64_C(1795370400123456789)

static int64_t stopped_clock(void *user)
{
    return *(const int64_t *)user;
}

/* A log into memory, with a clock that stands still. */
struct fixture {
    struct log log;
    int64_t now;
    int fd;
    char text[65536];
};

static void start(struct fixture *fixture, enum log_format format, enum log_level level)
{
    struct log_options options = {
        .format = format, .level = level, .clock = stopped_clock, .user = &fixture->now};

    fixture->now = STAMP_NS;
    fixture->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fixture->fd >= 0);
    options.fd = fixture->fd;
    log_init(&fixture->log, &options);
}

/* What was written so far, as text. */
static const char *written(struct fixture *fixture)
{
    ssize_t count = pread(fixture->fd, fixture->text, sizeof fixture->text - 1, 0);

    assert_true(count >= 0);
    fixture->text[count] = '\0';
    return fixture->text;
}

static void stop(struct fixture *fixture)
{
    assert_int_equal(log_lost(&fixture->log), 0);
    assert_int_equal(close(fixture->fd), 0);
}

/* The fields of the only line, which must be JSON; the caller's. */
static json_t *written_fields(struct fixture *fixture)
{
    json_t *root = json_loads(written(fixture), JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(root);
    json_t *fields = json_incref(json_object_get(root, "fields"));
    json_decref(root);
    return fields;
}

static void json_line_has_the_documented_shape(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "qcmp ready"),
              log_int("port", 7600), log_text("address", "[::]:7600"), log_uint("count", 1),
              log_bool("dual", true), log_text("none", NULL));
    assert_string_equal(written(&fixture),
                        "{\"timestamp\":\"" STAMP "\",\"level\":\"INFO\",\"fields\":{"
                        "\"message\":\"qcmp ready\",\"port\":7600,\"address\":\"[::]:7600\","
                        "\"count\":1,\"dual\":true,\"none\":null}}\n");
    stop(&fixture);
}

static void plain_line_has_the_documented_shape(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "qcmp ready"),
              log_int("port", 7600), log_text("address", "[::]:7600"), log_bool("dual", false),
              log_text("none", NULL));
    LOG_EVENT(&fixture.log, LOG_LEVEL_ERROR, log_text("message", "stop"));
    assert_string_equal(written(&fixture), STAMP
                        "  INFO qcmp ready port=7600 address=[::]:7600 dual=false none=null\n" STAMP
                        " ERROR stop\n");
    stop(&fixture);
}

static void pretty_line_is_the_plain_one_in_colour(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_PRETTY, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "late"), log_int("by_ms", -3));
    assert_string_equal(written(&fixture),
                        "\033[2m" STAMP
                        "\033[0m \033[33m WARN\033[0m late \033[2mby_ms=\033[0m-3\n");
    stop(&fixture);
}

static void numbers_of_64_bits_are_exact(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "m"), log_int("low", INT64_MIN),
              log_int("high", INT64_MAX), log_uint("fits", INT64_MAX),
              log_uint("beyond", (uint64_t)INT64_MAX + 1), log_uint("most", UINT64_MAX));
    assert_non_null(
        strstr(written(&fixture),
               "{\"message\":\"m\",\"low\":-9223372036854775808,"
               "\"high\":9223372036854775807,\"fits\":9223372036854775807,"
               "\"beyond\":\"9223372036854775808\",\"most\":\"18446744073709551615\"}"));
    stop(&fixture);
}

static void timestamps_are_right_over_the_whole_range(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},         {999, "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},        {-1000000000, "1969-12-31T23:59:59.000000Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775Z"}, {INT64_MIN, "1677-09-21T00:12:43.145224Z"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        start(&fixture, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
        fixture.now = cases[i].ns;
        LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "m"));
        assert_memory_equal(written(&fixture), cases[i].text, strlen(cases[i].text));
        stop(&fixture);
    }
}

static void events_below_the_level_are_not_written(void **state)
{
    (void)state;
    static const size_t lines[] = {0, 1, 2, 3, 4, 5};

    for (int level = LOG_LEVEL_OFF; level <= LOG_LEVEL_TRACE; level++) {
        struct fixture fixture;
        size_t count = 0;
        start(&fixture, LOG_FORMAT_JSON, (enum log_level)level);
        for (int event = LOG_LEVEL_ERROR; event <= LOG_LEVEL_TRACE; event++)
            LOG_EVENT(&fixture.log, (enum log_level)event, log_text("message", "m"));
        for (const char *text = written(&fixture); *text != '\0'; text++)
            count += *text == '\n';
        assert_int_equal(count, lines[level]);
        stop(&fixture);
    }
}

static void repeated_warnings_are_counted_and_written_once_a_second(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
    for (int i = 0; i < 3; i++) {
        LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 1));
        LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 2));
    }
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "a"));
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "a"));
    fixture.now = STAMP_NS + LOG_LIMIT_NS;
    LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 1));
    assert_string_equal(written(&fixture),
                        STAMP "  WARN full fd=1\n" STAMP "  WARN full fd=2\n" STAMP
                              "  INFO a\n" STAMP "  INFO a\n"
                              "2026-11-22T18:00:01.123456Z  WARN full fd=1 suppressed=2\n");
    stop(&fixture);
}

static void warnings_that_do_not_come_again_are_told_by_the_flush(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
    for (int i = 0; i < 3; i++)
        LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 1));
    log_flush(&fixture.log, false);
    fixture.now = STAMP_NS + LOG_LIMIT_NS;
    log_flush(&fixture.log, false);
    LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 1));
    log_flush(&fixture.log, true);
    LOG_EVENT(&fixture.log, LOG_LEVEL_WARN, log_text("message", "full"), log_int("fd", 1));
    log_flush(&fixture.log, true);
    assert_string_equal(written(&fixture),
                        STAMP "  WARN full fd=1\n"
                              "2026-11-22T18:00:01.123456Z  WARN full suppressed=2\n"
                              "2026-11-22T18:00:01.123456Z  WARN full fd=1\n"
                              "2026-11-22T18:00:01.123456Z  WARN full suppressed=1\n");
    stop(&fixture);
}

static void json_repairs_text_that_is_no_utf8(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO,
              log_text("message", "a\xff"
                                  "b\xc3\xb6\xe2\x82"),
              log_text("over", "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80"));
    json_t *fields = written_fields(&fixture);
    assert_string_equal(json_string_value(json_object_get(fields, "message")),
                        "a\xef\xbf\xbd"
                        "b\xc3\xb6\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(strlen(json_string_value(json_object_get(fields, "over"))), 9 * 3);
    json_decref(fields);
    stop(&fixture);
}

/* Every byte value, alone and between others: one line, and JSON gives valid characters back as
 * they were. */
static void json_stays_one_valid_line_whatever_the_bytes(void **state)
{
    (void)state;

    for (int byte = 1; byte < 256; byte++) {
        struct fixture fixture;
        char text[] = {'a', (char)byte, '"', (char)byte, '\0'};
        start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
        LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", text), log_text("value", text));
        const char *line = written(&fixture);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        json_t *fields = written_fields(&fixture);
        if (byte < 0x80)
            assert_string_equal(json_string_value(json_object_get(fields, "value")), text);
        assert_int_equal(json_object_size(fields), 2);
        json_decref(fields);
        stop(&fixture);
    }
}

static void assert_plain(const char *message, const char *value, const char *expected)
{
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", message), log_text("key", value));
    const char *line = written(&fixture);
    const size_t before = strlen(STAMP "  INFO ");
    assert_true(strlen(line) == before + strlen(expected) + 1);
    assert_memory_equal(line + before, expected, strlen(expected));
    stop(&fixture);
}

static void plain_values_cannot_forge_fields_or_lines(void **state)
{
    (void)state;
    assert_plain("m", "bare", "m key=bare");
    assert_plain("m", "", "m key=\"\"");
    assert_plain("m", "a b", "m key=\"a b\"");
    assert_plain("m", "x admin=true", "m key=\"x admin=true\"");
    assert_plain("m", "a=b", "m key=\"a=b\"");
    assert_plain("m", "\" admin=true \"", "m key=\"\\\" admin=true \\\"\"");
    assert_plain("m", "\\", "m key=\"\\\\\"");
    assert_plain("m", "x\n" STAMP " ERROR forged", "m key=\"x\\n" STAMP " ERROR forged\"");
    assert_plain("m", "\r\033[2K", "m key=\"\\r\\u{1b}[2K\"");
    assert_plain("m", "\xe2\x80\xa8", "m key=\"\\u{2028}\"");
    assert_plain("m", "\xff", "m key=\"\\xff\"");
    assert_plain("m", "\xc3\xb6", "m key=\xc3\xb6");
}

static void plain_messages_cannot_forge_fields_or_lines(void **state)
{
    (void)state;
    assert_plain("two words", "v", "two words key=v");
    assert_plain("done admin=true", "v", "\"done admin=true\" key=v");
    assert_plain("done\nx", "v", "\"done\\nx\" key=v");
    assert_plain("", "v", "\"\" key=v");
}

static void automatic_format_is_json_where_there_is_no_terminal(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "m"));
    assert_int_equal(written(&fixture)[0], '{');
    stop(&fixture);
}

static void automatic_format_is_pretty_on_a_terminal(void **state)
{
    (void)state;
    char text[256] = "";
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        print_message("SKIPPED: no terminal can be had\n");
        skip();
    }
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    struct log log;
    log_init(&log, &(struct log_options){.fd = terminal, .level = LOG_LEVEL_INFO});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    assert_true(read(master, text, sizeof text - 1) > 0);
    assert_memory_equal(text, "\033[2m", 4);
    assert_int_equal(log_lost(&log), 0);
    log_init(&log,
             &(struct log_options){.fd = terminal, .level = LOG_LEVEL_INFO, .is_colourless = true});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    ssize_t bytes = read(master, text, sizeof text - 1);
    assert_true(bytes > 0);
    assert_null(memchr(text, '\033', (size_t)bytes));
    close(terminal);
    close(master);
}

static void default_clock_is_that_of_the_host(void **state)
{
    (void)state;
    struct fixture fixture;
    struct log_options options = {.level = LOG_LEVEL_INFO};

    start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    options.fd = fixture.fd;
    log_init(&fixture.log, &options);
    LOG_EVENT(&fixture.log, LOG_LEVEL_INFO, log_text("message", "m"));
    int year = 0;
    assert_int_equal(sscanf(written(&fixture), "{\"timestamp\":\"%d-", &year), 1);
    assert_true(year >= 2024);
    stop(&fixture);
}

static void full_device_loses_lines_and_counts_them(void **state)
{
    (void)state;
    struct log log;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        print_message("SKIPPED: there is no /dev/full\n");
        skip();
    }
    log_init(&log, &(struct log_options){.fd = fd, .level = LOG_LEVEL_INFO});
    for (int i = 0; i < 3; i++)
        LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    assert_int_equal(log_lost(&log), 3);
    close(fd);
}

static void closed_pipe_loses_lines_and_counts_them(void **state)
{
    (void)state;
    struct log log;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    log_init(&log,
             &(struct log_options){.fd = ends[1], .level = LOG_LEVEL_INFO, .may_block = true});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    assert_int_equal(log_lost(&log), 2);
    close(ends[1]);
}

static void closed_descriptor_loses_lines_and_counts_them(void **state)
{
    (void)state;
    struct log log;

    int closed = memfd_create("closed", MFD_CLOEXEC);
    close(closed);
    log_init(&log, &(struct log_options){.fd = closed, .level = LOG_LEVEL_INFO, .may_block = true});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    assert_int_equal(log_lost(&log), 1);
}

/* Reads until @p bytes have come or the pipe is empty; returns how many. */
static size_t drain(int fd, char *text, size_t bytes)
{
    size_t done = 0;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (ssize_t count; done < bytes && (count = read(fd, text + done, bytes - done)) > 0;)
        done += (size_t)count;
    return done;
}

static void full_pipe_loses_lines_without_blocking(void **state)
{
    (void)state;
    static const size_t lines = 5000;
    char *text = malloc(1 << 20);
    struct log log;
    int ends[2];
    size_t whole = 0;

    assert_non_null(text);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    log_init(&log, &(struct log_options){.fd = ends[1], .level = LOG_LEVEL_INFO});
    for (size_t i = 0; i < lines; i++)
        LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "m"));
    size_t length = drain(ends[0], text, (1 << 20) - 1);
    for (size_t i = 0; i < length; i++)
        whole += text[i] == '\n';
    assert_true(whole > 0);
    assert_int_equal(text[length - 1], '\n');
    assert_int_equal(whole + log_lost(&log), lines);

    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "again"));
    length = drain(ends[0], text, (1 << 20) - 1);
    assert_true(length > 0 && text[0] == '{' && text[length - 1] == '\n');
    close(ends[0]);
    close(ends[1]);
    free(text);
}

static void torn_line_does_not_spoil_the_next(void **state)
{
    (void)state;
    enum {
        LONG = 20000
    };
    static char value[LONG + 1];
    static char text[LONG * 2];
    struct log log;
    int ends[2];

    memset(value, 'x', LONG);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
    log_init(&log, &(struct log_options){.fd = ends[1], .level = LOG_LEVEL_INFO});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", value));
    assert_int_equal(log_lost(&log), 1);
    assert_int_equal(drain(ends[0], text, sizeof text), 8192);
    assert_null(memchr(text, '\n', 8192));

    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "next"));
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "last"));
    size_t length = drain(ends[0], text, sizeof text - 1);
    text[length] = '\0';
    assert_memory_equal(text, "\n{", 2);
    assert_non_null(strstr(text, "}\n{"));
    assert_int_equal(log_lost(&log), 1);
    close(ends[0]);
    close(ends[1]);
}

#define THREADS 8
#define EVENTS 500

struct writer {
    struct log *log;
    int number;
};

static void *write_events(void *user)
{
    const struct writer *writer = user;
    char padding[200];

    memset(padding, 'p', sizeof padding - 1);
    padding[sizeof padding - 1] = '\0';
    for (int i = 0; i < EVENTS; i++)
        LOG_EVENT(writer->log, LOG_LEVEL_INFO, log_text("message", "m"),
                  log_int("thread", writer->number), log_int("event", i),
                  log_text("padding", padding));
    return NULL;
}

static void start_writers(struct log *log, struct writer *writers, pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.log = log, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, &writers[i]), 0);
    }
}

static void join_writers(pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Each line is whole, and the events of each thread are in order; returns how many lines there
 * were. */
static int count_events(FILE *stream)
{
    char line[512];
    json_int_t next[THREADS] = {0};
    int lines = 0;

    for (; fgets(line, sizeof line, stream) != NULL; lines++) {
        json_t *root = json_loads(line, 0, NULL);
        assert_non_null(root);
        json_t *fields = json_object_get(root, "fields");
        json_int_t thread = json_integer_value(json_object_get(fields, "thread"));
        json_int_t event = json_integer_value(json_object_get(fields, "event"));
        assert_true(thread >= 0 && thread < THREADS);
        assert_true(event == next[thread]);
        next[thread]++;
        json_decref(root);
    }
    return lines;
}

static void threads_write_whole_lines_into_a_file(void **state)
{
    (void)state;
    struct fixture fixture;
    struct writer writers[THREADS];
    pthread_t threads[THREADS];

    start(&fixture, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    start_writers(&fixture.log, writers, threads);
    join_writers(threads);
    assert_int_equal(lseek(fixture.fd, 0, SEEK_SET), 0);
    FILE *stream = fdopen(dup(fixture.fd), "r");
    assert_non_null(stream);
    assert_int_equal(count_events(stream), THREADS * EVENTS);
    fclose(stream);
    stop(&fixture);
}

static void threads_wait_for_a_slow_reader_where_they_may(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    struct log log;
    int ends[2];
    int lines;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    log_init(&log,
             &(struct log_options){.fd = ends[1], .level = LOG_LEVEL_INFO, .may_block = true});
    start_writers(&log, writers, threads);
    FILE *stream = fdopen(ends[0], "r");
    assert_non_null(stream);
    /* The end of the pipe can be closed only when all have written, so the last line is awaited by
     * its number. */
    char line[512];
    for (lines = 0; lines < THREADS * EVENTS && fgets(line, sizeof line, stream) != NULL; lines++)
        assert_true(line[0] == '{' && line[strlen(line) - 1] == '\n');
    assert_int_equal(lines, THREADS * EVENTS);
    join_writers(threads);
    assert_int_equal(log_lost(&log), 0);
    close(ends[1]);
    assert_null(fgets(line, sizeof line, stream));
    fclose(stream);
}

static void assert_level(const char *rust_log, enum log_level expected, bool expect_ignored)
{
    enum log_level level = LOG_LEVEL_INFO;
    bool ignored = !expect_ignored;

    log_level_parse(rust_log, &level, &ignored);
    if (level != expected || ignored != expect_ignored)
        fail_msg("'%s' gave level %d, ignored %d", rust_log != NULL ? rust_log : "NULL", level,
                 ignored);
}

static void level_is_read_in_any_capitals(void **state)
{
    (void)state;
    assert_level("error", LOG_LEVEL_ERROR, false);
    assert_level("WARN", LOG_LEVEL_WARN, false);
    assert_level("Info", LOG_LEVEL_INFO, false);
    assert_level("dEBUG", LOG_LEVEL_DEBUG, false);
    assert_level("trace", LOG_LEVEL_TRACE, false);
    assert_level("off", LOG_LEVEL_OFF, false);
    assert_level("PADDOCK=Debug", LOG_LEVEL_DEBUG, false);
}

static void level_of_this_program_wins_over_the_bare_one(void **state)
{
    (void)state;
    assert_level("paddock=trace,warn", LOG_LEVEL_TRACE, false);
    assert_level("warn,paddock=trace", LOG_LEVEL_TRACE, false);
    assert_level("warn,error", LOG_LEVEL_ERROR, false);
    assert_level("paddock=warn,paddock=error,trace", LOG_LEVEL_ERROR, false);
}

static void level_directives_of_others_are_reported(void **state)
{
    (void)state;
    assert_level("quilkin=debug", LOG_LEVEL_INFO, true);
    assert_level("error,hyper=trace", LOG_LEVEL_ERROR, true);
    assert_level("hyper=off,paddock=debug", LOG_LEVEL_DEBUG, true);
    assert_level("paddock", LOG_LEVEL_INFO, true);
    assert_level("paddock=", LOG_LEVEL_INFO, true);
    assert_level("paddock=loud", LOG_LEVEL_INFO, true);
    assert_level("paddock=loud,warn", LOG_LEVEL_WARN, true);
    assert_level("paddock2=debug", LOG_LEVEL_INFO, true);
    assert_level("debugging", LOG_LEVEL_INFO, true);
    assert_level("debu", LOG_LEVEL_INFO, true);
    assert_level("\xff\xfe", LOG_LEVEL_INFO, true);
}

static void level_survives_empty_lists(void **state)
{
    (void)state;
    assert_level(NULL, LOG_LEVEL_INFO, false);
    assert_level("", LOG_LEVEL_INFO, false);
    assert_level(",,,", LOG_LEVEL_INFO, false);
    assert_level("  ,\t, warn , ", LOG_LEVEL_WARN, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_has_the_documented_shape),
        cmocka_unit_test(plain_line_has_the_documented_shape),
        cmocka_unit_test(pretty_line_is_the_plain_one_in_colour),
        cmocka_unit_test(numbers_of_64_bits_are_exact),
        cmocka_unit_test(timestamps_are_right_over_the_whole_range),
        cmocka_unit_test(events_below_the_level_are_not_written),
        cmocka_unit_test(repeated_warnings_are_counted_and_written_once_a_second),
        cmocka_unit_test(warnings_that_do_not_come_again_are_told_by_the_flush),
        cmocka_unit_test(json_repairs_text_that_is_no_utf8),
        cmocka_unit_test(json_stays_one_valid_line_whatever_the_bytes),
        cmocka_unit_test(plain_values_cannot_forge_fields_or_lines),
        cmocka_unit_test(plain_messages_cannot_forge_fields_or_lines),
        cmocka_unit_test(automatic_format_is_json_where_there_is_no_terminal),
        cmocka_unit_test(automatic_format_is_pretty_on_a_terminal),
        cmocka_unit_test(default_clock_is_that_of_the_host),
        cmocka_unit_test(full_device_loses_lines_and_counts_them),
        cmocka_unit_test(closed_pipe_loses_lines_and_counts_them),
        cmocka_unit_test(closed_descriptor_loses_lines_and_counts_them),
        cmocka_unit_test(full_pipe_loses_lines_without_blocking),
        cmocka_unit_test(torn_line_does_not_spoil_the_next),
        cmocka_unit_test(threads_write_whole_lines_into_a_file),
        cmocka_unit_test(threads_wait_for_a_slow_reader_where_they_may),
        cmocka_unit_test(level_is_read_in_any_capitals),
        cmocka_unit_test(level_of_this_program_wins_over_the_bare_one),
        cmocka_unit_test(level_directives_of_others_are_reported),
        cmocka_unit_test(level_survives_empty_lists),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
