#include "daemon/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/cmocka.h"

#define FILE_NAME "watched"

/* On a busy machine those that there is time for. */
#define MOST_SWAPS 20000
#define MOST_NS INT64_C(2000000000)

static int enter_folder(void **state)
{
    static char folder[] = "/tmp/paddock-watch-XXXXXX";
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    return mkdtemp(folder) != NULL ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
    char folder[256];
    (void)state;
    unlink(FILE_NAME);
    return getcwd(folder, sizeof folder) != NULL && chdir("/") == 0 ? rmdir(folder) : -1;
}

static void write_file(const char *text)
{
    FILE *file = fopen(FILE_NAME, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0 ? fclose(file) : -1, 0);
}

static struct watch *open_watch(const char *path, struct file_identity known)
{
    struct watch *watch = malloc(sizeof *watch);
    assert_non_null(watch);
    assert_int_equal(watch_open(watch, path, &known), 0);
    return watch;
}

static void close_watch(struct watch *watch)
{
    watch_close(watch);
    free(watch);
}

static void a_file_that_is_as_it_was_read_has_not_changed(void **state)
{
    (void)state;
    write_file("text");
    struct watch *watch = open_watch(FILE_NAME, file_identity_read(FILE_NAME));
    assert_false(watch_changed(watch));
    assert_false(watch_changed(watch));
    close_watch(watch);
}

static void a_change_between_the_read_and_the_watch_is_told_once(void **state)
{
    (void)state;
    write_file("text");
    struct file_identity known = file_identity_read(FILE_NAME);
    write_file("longer text");
    struct watch *watch = open_watch(FILE_NAME, known);
    assert_true(watch_changed(watch));
    assert_false(watch_changed(watch));
    close_watch(watch);
}

static void a_file_that_came_between_the_search_and_the_watch_is_told(void **state)
{
    (void)state;
    write_file("text");
    struct watch *watch = open_watch(FILE_NAME, (struct file_identity){0});
    assert_true(watch_changed(watch));
    close_watch(watch);
}

static void a_file_that_is_made_is_told_when_it_is_closed(void **state)
{
    (void)state;
    struct watch *watch = open_watch("./" FILE_NAME, (struct file_identity){0});
    assert_false(watch_changed(watch));
    FILE *file = fopen(FILE_NAME, "w");
    assert_non_null(file);
    assert_true(fputs("half", file) >= 0 && fflush(file) == 0);
    assert_false(watch_changed(watch));
    assert_int_equal(fclose(file), 0);
    assert_true(watch_changed(watch));
    close_watch(watch);
}

static void a_file_below_directories_that_come_later_is_told(void **state)
{
    (void)state;
    struct watch *watch = open_watch("a/b/f", (struct file_identity){0});
    assert_false(watch_changed(watch));
    assert_int_equal(mkdir("a", 0700), 0);
    assert_false(watch_changed(watch));
    assert_int_equal(mkdir("a/b", 0700), 0);
    write_file("text");
    assert_false(watch_changed(watch));
    assert_int_equal(rename(FILE_NAME, "a/b/f"), 0);
    assert_true(watch_changed(watch));
    close_watch(watch);
    assert_int_equal(unlink("a/b/f") | rmdir("a/b") | rmdir("a"), 0);
}

static void a_directory_that_is_no_directory_yet_is_no_error(void **state)
{
    (void)state;
    write_file("text");
    struct watch *watch = open_watch(FILE_NAME "/f", (struct file_identity){0});
    assert_false(watch_changed(watch));
    assert_int_equal(unlink(FILE_NAME) | mkdir(FILE_NAME, 0700) | mkdir("other", 0700), 0);
    assert_int_equal(symlink("/proc/self/comm", "other/f") | rmdir(FILE_NAME), 0);
    assert_int_equal(rename("other", FILE_NAME), 0);
    assert_true(watch_changed(watch));
    close_watch(watch);
    assert_int_equal(unlink(FILE_NAME "/f") | rmdir(FILE_NAME), 0);
}

/* "f/../" is one name that is watched. */
static void names_that_are_too_many_to_watch_are_an_error(void **state)
{
    char path[8 * WATCH_MAX_STEPS] = "";
    struct watch *watch = malloc(sizeof *watch);
    struct file_identity none = {0};
    (void)state;
    assert_non_null(watch);
    assert_int_equal(mkdir("f", 0700), 0);
    for (unsigned i = 0; i < WATCH_MAX_STEPS - 1; i++)
        memcpy(path + strlen(path), "f/../", sizeof "f/../");
    memcpy(path + strlen(path), FILE_NAME, sizeof FILE_NAME);
    assert_int_equal(watch_open(watch, path, &none), 0);
    watch_close(watch);
    memcpy(path + strlen(path) - strlen(FILE_NAME), "f/../" FILE_NAME, sizeof "f/../" FILE_NAME);
    assert_int_equal(watch_open(watch, path, &none), -ENAMETOOLONG);
    assert_true(watch->fd >= 0);
    watch_close(watch);
    assert_int_equal(rmdir("f"), 0);
    free(watch);
}

/* Whoever swaps, when told, while another looks. */
struct swapper {
    sem_t go;
    atomic_uint done;
    atomic_bool stopped;
};

static void *swap(void *user)
{
    struct swapper *swapper = user;
    for (unsigned i = 0; sem_wait(&swapper->go) == 0 && !swapper->stopped; i++) {
        if (symlink(i % 2 == 0 ? "second" : "first", "other") != 0 ||
            rename("other", FILE_NAME) != 0)
            break;
        swapper->done++;
    }
    swapper->stopped = true;
    return NULL;
}

static void look_until_swapped(struct watch *watch, struct swapper *swapper, unsigned number)
{
    struct pollfd fd = {.fd = watch->fd, .events = POLLIN};
    sem_post(&swapper->go);
    while (!watch_changed(watch)) {
        assert_false(swapper->stopped);
        if (swapper->done == number && poll(&fd, 1, 0) == 0 && !watch_changed(watch))
            fail_msg("swap %u was not noticed", number);
    }
}

/* As the events of neighbours make the service do it. A look at the watches must not make the
 * kernel forget the rename. */
static void no_swap_is_lost_to_a_look_at_the_same_time(void **state)
{
    static struct swapper swapper; /* outlives a failure */
    pthread_t thread;
    (void)state;
    write_file("text");
    assert_int_equal(rename(FILE_NAME, "first"), 0);
    write_file("text");
    assert_int_equal(rename(FILE_NAME, "second") | symlink("first", FILE_NAME), 0);
    struct watch *watch = open_watch(FILE_NAME, file_identity_read(FILE_NAME));
    assert_false(watch_changed(watch));
    assert_int_equal(sem_init(&swapper.go, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
    int64_t end_ns = clock_monotonic_ns() + MOST_NS;
    for (unsigned i = 1; i <= MOST_SWAPS && clock_monotonic_ns() < end_ns; i++)
        look_until_swapped(watch, &swapper, i);
    swapper.stopped = true;
    sem_post(&swapper.go);
    pthread_join(thread, NULL);
    sem_destroy(&swapper.go);
    close_watch(watch);
    assert_int_equal(unlink("first") | unlink("second"), 0);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_that_is_as_it_was_read_has_not_changed),
        IN_FOLDER(a_change_between_the_read_and_the_watch_is_told_once),
        IN_FOLDER(a_file_that_came_between_the_search_and_the_watch_is_told),
        IN_FOLDER(a_file_that_is_made_is_told_when_it_is_closed),
        IN_FOLDER(a_file_below_directories_that_come_later_is_told),
        IN_FOLDER(a_directory_that_is_no_directory_yet_is_no_error),
        IN_FOLDER(names_that_are_too_many_to_watch_are_an_error),
        IN_FOLDER(no_swap_is_lost_to_a_look_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
