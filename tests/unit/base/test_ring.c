/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/ring.h"

#define ITEMS 8
#define NUMBERS 100000

static void items_come_out_in_order_and_one_too_many_is_lost(void **state)
{
    struct ring ring;
    (void)state;
    assert_int_equal(ring_init(&ring, ITEMS, sizeof(uint32_t)), 0);
    assert_null(ring_peek(&ring));
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t *item = ring_reserve(&ring);
        if (item == NULL)
            fail();
        else
            *item = i;
        ring_commit(&ring);
    }
    assert_null(ring_reserve(&ring));
    assert_null(ring_reserve(&ring));
    assert_int_equal(ring_take_lost(&ring), 2);
    assert_int_equal(ring_take_lost(&ring), 0);
    for (uint32_t i = 0; i < ITEMS; i++, ring_release(&ring))
        assert_memory_equal(ring_peek(&ring), &i, sizeof i);
    assert_null(ring_peek(&ring));
    assert_non_null(ring_reserve(&ring));
    ring_fini(&ring);
}

struct pair {
    uint64_t number, again;
};

static void *write_numbers(void *user)
{
    for (uint64_t i = 1; i <= NUMBERS;) {
        struct pair *pair = ring_reserve(user);
        if (pair == NULL) {
            sched_yield();
            continue;
        }
        *pair = (struct pair){i, i};
        ring_commit(user);
        i++;
    }
    return NULL;
}

static void a_reader_in_another_thread_sees_whole_items_in_order(void **state)
{
    pthread_t writer;
    struct ring ring;
    (void)state;
    assert_int_equal(ring_init(&ring, ITEMS, sizeof(struct pair)), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_numbers, &ring), 0);
    for (uint64_t i = 1; i <= NUMBERS;) {
        const struct pair *pair = ring_peek(&ring);
        if (pair == NULL) {
            sched_yield();
            continue;
        }
        assert_int_equal(pair->number, i);
        assert_int_equal(pair->again, i);
        ring_release(&ring);
        i++;
    }
    pthread_join(writer, NULL);
    ring_fini(&ring);
}

static void a_zeroed_one_can_be_ended(void **state)
{
    struct ring ring = {.items = 0};
    (void)state;
    ring_fini(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_one_too_many_is_lost),
        cmocka_unit_test(a_reader_in_another_thread_sees_whole_items_in_order),
        cmocka_unit_test(a_zeroed_one_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
