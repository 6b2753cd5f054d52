/* SPDX-License-Identifier: Apache-2.0 */
/* Real files in a folder of the test's own; the clock is the test's. */
#include "daemon/watch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

#define SECOND_NS INT64_C(1000000000)
#define SWAPS 2000

/* One path under watch in a folder of its own, which is the working directory. */
struct place {
    char folder[64];
    struct watch watch;
    int64_t now_ns;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* As mv does it, so that no moment is without the file. */
static void replace_file(const char *path, const char *text)
{
    write_file("replacement", text);
    assert_int_equal(rename("replacement", path), 0);
}

static void swap_link(const char *link, const char *target)
{
    assert_int_equal(symlink(target, "replacement"), 0);
    assert_int_equal(rename("replacement", link), 0);
}

static void watch_path(struct place *place, const char *path)
{
    struct file_identity known = file_identity_read(path);
    watch_open(&place->watch, path, &known);
    assert_true(place->watch.fd >= 0);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    snprintf(place->folder, sizeof place->folder, "/tmp/paddock-watch-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    assert_int_equal(chdir(place->folder), 0);
    place->now_ns = SECOND_NS;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[128];

    watch_close(&place->watch);
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static bool is_readable(const struct watch *watch)
{
    struct pollfd wait = {.fd = watch->fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

/* Looks now, without a pause. */
static bool look(struct place *place, bool *settling)
{
    return watch_look(&place->watch, place->now_ns, settling);
}

static void assert_quiet(struct place *place)
{
    bool settling;
    place->now_ns += WATCH_SETTLE_NS;
    assert_false(look(place, &settling));
    assert_false(settling);
}

/* A change is seen at once, taken after the time to settle and not before, and taken once. */
static void assert_taken(struct place *place)
{
    bool settling;
    assert_false(look(place, &settling));
    assert_true(settling);
    place->now_ns += WATCH_SETTLE_NS - 1;
    assert_false(look(place, &settling));
    assert_true(settling);
    place->now_ns += 1;
    assert_true(look(place, &settling));
    assert_false(settling);
    assert_quiet(place);
}

/* As assert_taken(), for a change that the folder of the path tells of. */
static void assert_told_and_taken(struct place *place)
{
    assert_true(is_readable(&place->watch));
    assert_taken(place);
    assert_false(is_readable(&place->watch));
}

static void what_is_known_is_no_change(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    assert_false(is_readable(&place->watch));
    assert_quiet(place);
}

static void a_change_before_the_first_look_is_taken(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    struct file_identity known = file_identity_read("file");
    write_file("file", "ab");
    watch_open(&place->watch, "file", &known);
    assert_taken(place);
}

static void a_file_written_in_place_is_taken(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    write_file("file", "ab");
    assert_told_and_taken(place);
}

static void a_file_that_is_being_written_waits_until_it_settles(void **state)
{
    struct place *place = *state;
    bool settling;
    FILE *file = fopen("file", "w");
    assert_non_null(file);
    watch_path(place, "file");
    for (int i = 0; i < 40; i++) {
        assert_true(fputc('x', file) != EOF);
        assert_int_equal(fflush(file), 0);
        assert_true(is_readable(&place->watch));
        assert_false(look(place, &settling));
        assert_true(settling);
        place->now_ns += WATCH_SETTLE_NS - 1;
    }
    assert_int_equal(fclose(file), 0);
    place->now_ns += 1;
    assert_true(look(place, &settling));
    assert_quiet(place);
}

static void a_file_replaced_by_a_rename_is_taken(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    replace_file("file", "a");
    assert_told_and_taken(place);
}

static void a_file_that_is_linked_into_its_place_is_taken(void **state)
{
    struct place *place = *state;
    write_file("other", "a");
    watch_path(place, "file");
    assert_int_equal(link("other", "file"), 0);
    assert_told_and_taken(place);
}

static void a_link_in_its_folder_that_is_swapped_is_taken(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir("one", 0700), 0);
    assert_int_equal(mkdir("two", 0700), 0);
    write_file("one/file", "1");
    write_file("two/file", "2");
    assert_int_equal(symlink("one", "data"), 0);
    assert_int_equal(symlink("data/file", "file"), 0);
    watch_path(place, "file");
    swap_link("data", "two");
    assert_told_and_taken(place);
}

static void a_folder_above_that_is_swapped_is_taken_and_watched_from_then_on(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir("one", 0700), 0);
    assert_int_equal(mkdir("two", 0700), 0);
    write_file("one/file", "1");
    write_file("two/file", "2");
    assert_int_equal(symlink("one", "current"), 0);
    watch_path(place, "current/file");
    swap_link("current", "two");
    assert_taken(place);
    write_file("two/file", "22");
    assert_told_and_taken(place);
}

static void a_mode_that_changes_is_taken(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    assert_int_equal(chmod("file", 0600), 0);
    watch_path(place, "file");
    assert_int_equal(chmod("file", 0644), 0);
    assert_told_and_taken(place);
}

static void an_owner_that_changes_is_taken(void **state)
{
    struct place *place = *state;
    if (geteuid() != 0) {
        print_message("SKIPPED: only root gives files away\n");
        skip();
    }
    write_file("file", "a");
    watch_path(place, "file");
    assert_int_equal(chown("file", 1, 1), 0);
    assert_told_and_taken(place);
}

static void a_file_that_is_gone_is_no_change_until_it_is_back(void **state)
{
    struct place *place = *state;
    bool settling;
    write_file("file", "a");
    watch_path(place, "file");
    assert_int_equal(unlink("file"), 0);
    assert_true(is_readable(&place->watch));
    assert_false(look(place, &settling));
    assert_false(settling);
    assert_quiet(place);
    write_file("file", "b");
    assert_told_and_taken(place);
}

static void a_file_that_comes_later_is_taken(void **state)
{
    struct place *place = *state;
    watch_path(place, "file");
    assert_quiet(place);
    write_file("file", "a");
    assert_told_and_taken(place);
}

static void a_folder_that_comes_later_is_watched_from_the_next_look_on(void **state)
{
    struct place *place = *state;
    watch_path(place, "later/file");
    assert_int_equal(mkdir("later", 0700), 0);
    assert_quiet(place);
    write_file("later/file", "a");
    assert_told_and_taken(place);
}

static void a_file_beside_it_is_no_change(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    write_file("other", "b");
    assert_true(is_readable(&place->watch));
    assert_quiet(place);
}

static void without_inotify_looks_see_it_all_the_same(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    watch_close(&place->watch);
    write_file("file", "ab");
    assert_taken(place);
}

static void every_swap_is_seen(void **state)
{
    struct place *place = *state;
    write_file("file", "a");
    watch_path(place, "file");
    for (int i = 0; i < SWAPS; i++) {
        bool settling;
        replace_file("file", "a");
        assert_true(is_readable(&place->watch));
        assert_false(look(place, &settling));
        assert_true(settling);
        place->now_ns += WATCH_SETTLE_NS;
        assert_true(look(place, &settling));
    }
    assert_quiet(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_known_is_no_change),
        TEST(a_change_before_the_first_look_is_taken),
        TEST(a_file_written_in_place_is_taken),
        TEST(a_file_that_is_being_written_waits_until_it_settles),
        TEST(a_file_replaced_by_a_rename_is_taken),
        TEST(a_file_that_is_linked_into_its_place_is_taken),
        TEST(a_link_in_its_folder_that_is_swapped_is_taken),
        TEST(a_folder_above_that_is_swapped_is_taken_and_watched_from_then_on),
        TEST(a_mode_that_changes_is_taken),
        TEST(an_owner_that_changes_is_taken),
        TEST(a_file_that_is_gone_is_no_change_until_it_is_back),
        TEST(a_file_that_comes_later_is_taken),
        TEST(a_folder_that_comes_later_is_watched_from_the_next_look_on),
        TEST(a_file_beside_it_is_no_change),
        TEST(without_inotify_looks_see_it_all_the_same),
        TEST(every_swap_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
