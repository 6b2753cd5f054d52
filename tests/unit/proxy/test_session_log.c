/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/address.h"
#include "proxy/session_log.h"

#define SECOND INT64_C(1000000000)
#define ROOM 4096 /* the lines of one worker that wait */

static const struct geo_place FINLAND = {.country = {'F', 'I'}, .asn = 64500};

struct upstream {
    uint16_t number;
};

/* A table of sessions whose ends worker 0 notes; and where the log goes. */
struct bench {
    struct sessions *table;
    struct session_log *lines;
    struct upstream upstream;
    struct log log;
    FILE *file;
};

static int open_upstream(void *user, struct upstream **upstream, uint16_t *number)
{
    *upstream = &((struct bench *)user)->upstream;
    *number = 4711;
    return 0;
}

static void close_upstream(void *user, struct upstream *upstream)
{
    (void)user;
    (void)upstream;
}

static void free_number(void *user, uint16_t number)
{
    (void)user;
    (void)number;
}

static void note(void *user, const struct session *session, enum session_end end)
{
    session_log_note(((struct bench *)user)->lines, 0, session, FINLAND, end);
}

static int open_bench(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    const struct sessions_options options = {.max = 10,
                                             .max_resting = 10,
                                             .timeout_ns = 60 * SECOND,
                                             .open = open_upstream,
                                             .close = close_upstream,
                                             .freed = free_number,
                                             .ended = note,
                                             .user = bench};
    bench->file = tmpfile();
    log_init(&bench->log, &(struct log_options){.fd = fileno(bench->file),
                                                .format = LOG_FORMAT_JSON,
                                                .level = LOG_LEVEL_INFO,
                                                .may_block = true});
    assert_int_equal(session_log_new(&bench->lines, 2), 0);
    assert_int_equal(sessions_new(&bench->table, &options), 0);
    *state = bench;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *bench = *state;
    sessions_free(bench->table);
    session_log_free(bench->lines);
    fclose(bench->file);
    free(bench);
    return 0;
}

static struct endpoint endpoint(const char *text, uint16_t port)
{
    struct endpoint made = {.address = {{{[10] = 0xff, [11] = 0xff}}}, .port = htons(port)};
    if (inet_pton(AF_INET, text, &made.address.s6_addr[12]) != 1)
        assert_int_equal(inet_pton(AF_INET6, text, &made.address), 1);
    return made;
}

/* The last line, and how many there are that hold a text. */
static unsigned count(struct bench *bench, const char *text, char last[1024])
{
    unsigned found = 0;
    char line[1024];
    rewind(bench->file);
    while (fgets(line, sizeof line, bench->file) != NULL) {
        found += strstr(line, text) != NULL;
        memcpy(last, line, sizeof line);
    }
    return found;
}

static struct session *make(struct bench *bench)
{
    struct endpoint player = endpoint("192.0.2.7", 5000), server = endpoint("2001:db8::1", 7000);
    struct session *session;
    assert_int_equal(sessions_make(bench->table, &player, &server, SECOND, &session), SESSION_MADE);
    session->local = endpoint("198.51.100.1", 7777);
    return session;
}

static void a_line_says_what_a_session_was(void **state)
{
    struct bench *bench = *state;
    struct session *session = make(bench);
    struct endpoint moved = endpoint("192.0.2.7", 5001);
    char line[1024];

    assert_true(sessions_migrate(bench->table, session, &moved));
    session->read = (struct session_count){3, 400};
    session->written = (struct session_count){2, 100};
    sessions_touch(bench->table, session, true, 3 * SECOND + SECOND / 2);
    sessions_end(bench->table, session, SESSION_MOVED, 9 * SECOND);
    session_log_write(bench->lines, &bench->log, 10);
    assert_int_equal(count(bench, "\"udp session ended\"", line), 1);
    assert_non_null(strstr(line,
                           "\"reason\":\"moved\",\"player\":\"192.0.2.7:5001\","
                           "\"local\":\"198.51.100.1:7777\",\"server\":\"[2001:db8::1]:7000\","
                           "\"upstream_port\":4711,\"migrations\":1,\"duration_ms\":2500,"
                           "\"read_packets\":3,"
                           "\"read_bytes\":400,\"write_packets\":2,\"write_bytes\":100,"
                           "\"country\":\"FI\",\"asn\":64500"));
}

static void lines_over_the_rate_wait_and_those_without_room_are_counted(void **state)
{
    struct bench *bench = *state;
    struct session *session = make(bench);
    char line[1024];

    for (unsigned i = 0; i < ROOM + 3; i++)
        session_log_note(bench->lines, 0, session, FINLAND, SESSION_IDLE);
    session_log_write(bench->lines, &bench->log, 10);
    assert_int_equal(count(bench, "\"udp session ended\"", line), 10);
    assert_non_null(strstr(line, "\"lost\":3"));
    assert_int_equal(session_log_lost(bench->lines), 3);
    session_log_write(bench->lines, &bench->log, ROOM);
    assert_int_equal(count(bench, "\"udp session ended\"", line), ROOM);
    assert_int_equal(session_log_lost(bench->lines), 3);
}

static void workers_have_their_lines_in_turn(void **state)
{
    struct bench *bench = *state;
    struct session *session = make(bench);
    char line[1024];

    for (unsigned i = 0; i < 100; i++)
        session_log_note(bench->lines, 0, session, FINLAND, SESSION_IDLE);
    session_log_note(bench->lines, 1, session, FINLAND, SESSION_EVICTED);
    session_log_write(bench->lines, &bench->log, 2);
    assert_int_equal(count(bench, "\"evicted\"", line), 1);
}

static void what_still_waits_at_the_end_is_lost_and_told(void **state)
{
    struct bench *bench = *state;
    struct session *session = make(bench);
    char line[1024];

    for (unsigned i = 0; i < 7; i++)
        session_log_note(bench->lines, i % 2, session, FINLAND, SESSION_STOPPED);
    session_log_write(bench->lines, &bench->log, 2);
    session_log_end(bench->lines, &bench->log);
    assert_int_equal(count(bench, "\"udp session ended\"", line), 2);
    assert_non_null(strstr(line, "\"lost\":5"));
    assert_int_equal(session_log_lost(bench->lines), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_says_what_a_session_was),
        TEST(lines_over_the_rate_wait_and_those_without_room_are_counted),
        TEST(workers_have_their_lines_in_turn),
        TEST(what_still_waits_at_the_end_is_lost_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
