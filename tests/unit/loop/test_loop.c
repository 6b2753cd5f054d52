/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/loop.h"

#define MS_NS INT64_C(1000000)

/* What was called, in order, one letter a call. */
struct story {
    struct loop *loop;
    char text[32];
    struct loop_watch *removes;
    struct loop_timer *sets;
};

struct character {
    struct story *story;
    char letter;
};

static void tell(struct story *story, char letter)
{
    size_t length = strlen(story->text);
    assert_true(length + 1 < sizeof story->text);
    story->text[length] = letter;
}

static void ready(uint32_t events, void *user)
{
    struct character *character = user;
    struct story *story = character->story;
    assert_true((events & EPOLLIN) != 0);
    tell(story, character->letter);
    if (story->removes != NULL)
        loop_remove(story->loop, story->removes);
}

static void fire(void *user)
{
    struct character *character = user;
    struct story *story = character->story;
    tell(story, character->letter);
    if (story->sets != NULL)
        loop_timer_set(story->loop, story->sets, 0);
    story->sets = NULL;
}

static struct loop_watch watch_new(struct character *character)
{
    return (struct loop_watch){
        .fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), .ready = ready, .user = character};
}

static void timers_fire_once_in_their_order(void **state)
{
    struct story story = {0};
    struct character a = {&story, 'a'}, b = {&story, 'b'}, c = {&story, 'c'};
    struct loop_timer first = {.fire = fire, .user = &a}, second = {.fire = fire, .user = &b},
                      third = {.fire = fire, .user = &c};
    int64_t now_ns = clock_monotonic_ns();
    (void)state;
    assert_int_equal(loop_new(&story.loop), 0);
    loop_timer_set(story.loop, &third, now_ns + 2 * MS_NS);
    loop_timer_set(story.loop, &first, now_ns);
    loop_timer_set(story.loop, &second, now_ns + 1 * MS_NS);
    while (strlen(story.text) < 3)
        loop_turn(story.loop, now_ns + 1000 * MS_NS);
    assert_string_equal(story.text, "abc");
    assert_true(clock_monotonic_ns() >= now_ns + 2 * MS_NS);
    loop_turn(story.loop, 0);
    assert_string_equal(story.text, "abc");
    loop_free(story.loop);
}

static void a_timer_that_is_set_again_or_stopped_keeps_one_place(void **state)
{
    struct story story = {0};
    struct character a = {&story, 'a'}, b = {&story, 'b'};
    struct loop_timer first = {.fire = fire, .user = &a}, second = {.fire = fire, .user = &b};
    (void)state;
    assert_int_equal(loop_new(&story.loop), 0);
    loop_timer_set(story.loop, &first, 1);
    loop_timer_set(story.loop, &second, 2);
    loop_timer_set(story.loop, &first, 3);
    loop_turn(story.loop, 0);
    assert_string_equal(story.text, "ba");
    loop_timer_set(story.loop, &first, 1);
    loop_timer_stop(story.loop, &first);
    loop_timer_stop(story.loop, &first);
    loop_turn(story.loop, 0);
    assert_string_equal(story.text, "ba");
    loop_free(story.loop);
}

static void a_timer_may_set_another_as_it_fires(void **state)
{
    struct story story = {0};
    struct character a = {&story, 'a'}, b = {&story, 'b'};
    struct loop_timer first = {.fire = fire, .user = &a}, second = {.fire = fire, .user = &b};
    (void)state;
    assert_int_equal(loop_new(&story.loop), 0);
    story.sets = &second;
    loop_timer_set(story.loop, &first, 1);
    loop_turn(story.loop, 0);
    assert_string_equal(story.text, "ab");
    loop_free(story.loop);
}

static void a_watch_that_is_removed_by_another_is_not_called(void **state)
{
    struct story story = {0};
    struct character a = {&story, 'x'}, b = {&story, 'x'};
    (void)state;
    assert_int_equal(loop_new(&story.loop), 0);
    struct loop_watch first = watch_new(&a), second = watch_new(&b);
    assert_int_equal(loop_add(story.loop, &first, EPOLLIN), 0);
    assert_int_equal(loop_add(story.loop, &second, EPOLLIN), 0);
    loop_turn(story.loop, 0);
    assert_string_equal(story.text, "xx");
    a.letter = 'a';
    b.letter = 'b';
    memset(story.text, 0, sizeof story.text);
    story.removes = &second;
    loop_turn(story.loop, 0);
    loop_turn(story.loop, 0);
    /* Either the first removed it in time, or it ran once and removed itself. */
    assert_true(strcmp(story.text, "aa") == 0 || strcmp(story.text, "baa") == 0);
    close(first.fd);
    close(second.fd);
    loop_free(story.loop);
}

static void *wake(void *user)
{
    loop_wake(user);
    return NULL;
}

static void another_thread_wakes_a_loop_that_would_wait_for_ever(void **state)
{
    struct loop *loop;
    pthread_t thread;
    (void)state;
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake, loop), 0);
    loop_turn(loop, LOOP_NEVER);
    assert_int_equal(pthread_join(thread, NULL), 0);
    int64_t before_ns = clock_monotonic_ns();
    loop_turn(loop, before_ns + 20 * MS_NS); /* the wake-up is used up: this waits */
    assert_true(clock_monotonic_ns() >= before_ns + 20 * MS_NS);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_in_their_order),
        cmocka_unit_test(a_timer_that_is_set_again_or_stopped_keeps_one_place),
        cmocka_unit_test(a_timer_may_set_another_as_it_fires),
        cmocka_unit_test(a_watch_that_is_removed_by_another_is_not_called),
        cmocka_unit_test(another_thread_wakes_a_loop_that_would_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
