/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the log in a folder of the test's own, over a clock that the test sets. */
#include "support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define HOUR_NS INT64_C(3600000000000)
/* 2026-11-28T22:00:00Z */
#define START_NS (INT64_C(1795903200) * 1000000000)

static int64_t clock_of(void *user)
{
    return *(int64_t *)user;
}

static void expect_file(const char *folder, const char *name, const char *text)
{
    char path[256], found[256] = "";

    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (text == NULL) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(fd >= 0);
    assert_true(read(fd, found, sizeof found - 1) >= 0);
    close(fd);
    assert_string_equal(found, text);
    unlink(path);
}

static void each_hour_has_a_file_and_five_are_kept(void **state)
{
    char folder[] = "/tmp/paddock-log-XXXXXX", other[64];
    int64_t now_ns = START_NS - 2 * HOUR_NS;
    struct log_file *file;
    struct error error;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(other, sizeof other, "%s/p.2020-01-01-0x", folder);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    const struct log_file_options options = {
        .folder = folder, .prefix = "p", .clock = clock_of, .user = &now_ns};
    for (int i = 0; i < 7; i++, now_ns += HOUR_NS) {
        char line[] = "line 0\n";
        line[5] = (char)('0' + i);
        assert_int_equal(log_file_open(&file, &options, &error), 0);
        assert_true(log_file_write(file, line, strlen(line)));
        log_file_close(file);
    }
    expect_file(folder, "p.2026-11-28-20", NULL);
    expect_file(folder, "p.2026-11-28-21", NULL);
    expect_file(folder, "p.2026-11-28-22", "line 2\n");
    expect_file(folder, "p.2026-11-28-23", "line 3\n");
    expect_file(folder, "p.2026-11-29-00", "line 4\n");
    expect_file(folder, "p.2026-11-29-01", "line 5\n");
    expect_file(folder, "p.2026-11-29-02", "line 6\n");
    assert_int_equal(unlink(other), 0); /* which is none of the log's */
    assert_int_equal(rmdir(folder), 0);
}

static void a_log_writes_its_lines_there_as_well_without_colours(void **state)
{
    char folder[] = "/tmp/paddock-log-XXXXXX";
    int64_t now_ns = START_NS;
    struct log_file *file;
    struct error error;
    struct log log;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(
        log_file_open(&file,
                      &(struct log_file_options){
                          .folder = folder, .prefix = "p", .clock = clock_of, .user = &now_ns},
                      &error),
        0);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_init(&log, &(struct log_options){.fd = null,
                                         .format = LOG_FORMAT_PRETTY,
                                         .level = LOG_LEVEL_INFO,
                                         .clock = clock_of,
                                         .user = &now_ns,
                                         .file = file});
    LOG_EVENT(&log, LOG_LEVEL_INFO, log_text("message", "one"), log_uint("number", 2));
    log_file_close(file);
    close(null);
    assert_int_equal(log_lost(&log), 0);
    expect_file(folder, "p.2026-11-28-22", "2026-11-28T22:00:00.000000Z  INFO one number=2\n");
    assert_int_equal(rmdir(folder), 0);
}

static void a_folder_that_cannot_be_had_is_named(void **state)
{
    struct log_file *file = NULL;
    struct error error;

    (void)state;
    assert_int_equal(
        log_file_open(&file, &(struct log_file_options){.folder = "/dev/null/x", .prefix = "p"},
                      &error),
        -20);
    assert_string_equal(error.text, "cannot log to a file in /dev/null/x: Not a directory");
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hour_has_a_file_and_five_are_kept),
        cmocka_unit_test(a_log_writes_its_lines_there_as_well_without_colours),
        cmocka_unit_test(a_folder_that_cannot_be_had_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
