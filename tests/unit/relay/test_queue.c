/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/queue.h"
#include "support/random.h"

#define CAPACITY 1000
#define BYTES 65535

static void push(struct relay_queue *queue, int64_t due_ns, uint64_t number)
{
    assert_int_equal(relay_queue_push(queue, due_ns, NULL, (const uint8_t *)&number, sizeof number),
                     0);
}

static uint64_t pop(struct relay_queue *queue, int64_t now_ns)
{
    struct relay_datagram *datagram = relay_queue_pop(queue, now_ns);
    uint64_t number;
    assert_non_null(datagram);
    assert_int_equal(datagram->bytes, sizeof number);
    memcpy(&number, datagram->data, sizeof number);
    free(datagram);
    return number;
}

static void datagrams_leave_when_they_are_due_and_not_before(void **state)
{
    struct relay_queue queue;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    assert_true(relay_queue_due_ns(&queue) == RELAY_QUEUE_NEVER);
    assert_null(relay_queue_pop(&queue, INT64_MAX));
    push(&queue, 300, 3);
    push(&queue, 100, 1);
    push(&queue, 200, 2);
    assert_int_equal(relay_queue_due_ns(&queue), 100);
    assert_null(relay_queue_pop(&queue, 99));
    assert_int_equal(pop(&queue, 100), 1);
    assert_null(relay_queue_pop(&queue, 199));
    assert_int_equal(pop(&queue, 1000), 2);
    assert_int_equal(pop(&queue, 1000), 3);
    assert_null(relay_queue_pop(&queue, INT64_MAX));
    relay_queue_fini(&queue);
}

static void those_due_together_leave_in_the_order_in_which_they_came(void **state)
{
    struct relay_queue queue;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    for (uint64_t i = 0; i < CAPACITY; i++)
        push(&queue, 5, i);
    for (uint64_t i = 0; i < CAPACITY; i++)
        assert_int_equal(pop(&queue, 5), i);
    relay_queue_fini(&queue);
}

static int compare(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    if (a[0] != b[0])
        return a[0] < b[0] ? -1 : 1;
    return a[1] < b[1] ? -1 : 1;
}

/* Pushes and pops in any order, against a list that is sorted each time. */
static void the_order_is_that_of_a_sorted_list(void **state)
{
    static uint64_t model[CAPACITY][2]; /* when due, which */
    struct relay_queue queue;
    uint64_t random = 1, count = 0;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    for (uint64_t number = 0; number < 20000; number++) {
        if (count < 64 && random_next(&random) % 2 == 0) {
            model[count][0] = random_next(&random) % 32;
            model[count][1] = number;
            push(&queue, (int64_t)model[count][0], number);
            count++;
        } else if (count > 0) {
            qsort(model, count, sizeof model[0], compare);
            assert_int_equal(relay_queue_due_ns(&queue), model[0][0]);
            assert_int_equal(pop(&queue, 31), model[0][1]);
            count--;
            memmove(model[0], model[1], count * sizeof model[0]);
        }
        assert_int_equal(queue.count, count);
    }
    relay_queue_fini(&queue);
}

static void a_full_queue_takes_no_more_and_loses_nothing(void **state)
{
    struct relay_queue queue;
    uint8_t data = 0;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, 3, BYTES), 0);
    push(&queue, 2, 2);
    push(&queue, 1, 1);
    push(&queue, 3, 3);
    assert_int_equal(relay_queue_push(&queue, 0, NULL, &data, 1), -1);
    assert_int_equal(queue.count, 3);
    assert_int_equal(pop(&queue, 9), 1);
    push(&queue, 4, 4);
    for (uint64_t i = 2; i <= 4; i++)
        assert_int_equal(pop(&queue, 9), i);
    relay_queue_fini(&queue);
}

static void a_queue_that_is_full_of_bytes_takes_what_still_fits(void **state)
{
    static const uint8_t data[BYTES];
    struct relay_queue queue;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    assert_int_equal(relay_queue_push(&queue, 1, NULL, data, BYTES - 8), 0);
    assert_int_equal(relay_queue_push(&queue, 1, NULL, data, 9), -1);
    push(&queue, 2, 2);
    assert_int_equal(relay_queue_push(&queue, 3, NULL, data, 1), -1);
    assert_int_equal(relay_queue_push(&queue, 3, NULL, NULL, 0), 0);
    free(relay_queue_pop(&queue, 1));
    assert_int_equal(queue.bytes, 8);
    assert_int_equal(relay_queue_push(&queue, 3, NULL, data, BYTES - 7), -1);
    assert_int_equal(relay_queue_push(&queue, 3, NULL, data, BYTES - 8), 0);
    assert_int_equal(pop(&queue, 2), 2);
    relay_queue_fini(&queue);
}

static void every_size_and_the_owner_come_back_as_they_were(void **state)
{
    static const size_t sizes[] = {0, 1, 1200, 65507, 65527, 65535};
    static uint8_t data[65535];
    struct relay_queue queue;
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(relay_queue_push(&queue, 1, &queue, sizes[i] > 0 ? data : NULL, sizes[i]),
                         0);
        struct relay_datagram *datagram = relay_queue_pop(&queue, 1);
        assert_non_null(datagram);
        assert_ptr_equal(datagram->owner, &queue);
        assert_int_equal(datagram->bytes, sizes[i]);
        assert_memory_equal(datagram->data, data, sizes[i]);
        free(datagram);
    }
    relay_queue_fini(&queue);
}

static void what_waits_at_the_end_is_freed(void **state)
{
    struct relay_queue queue;
    (void)state;
    assert_int_equal(relay_queue_init(&queue, CAPACITY, BYTES), 0);
    for (uint64_t i = 0; i < 10; i++)
        push(&queue, 1, i);
    assert_int_equal(queue.count, 10);
    relay_queue_fini(&queue); /* AddressSanitizer looks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_leave_when_they_are_due_and_not_before),
        cmocka_unit_test(those_due_together_leave_in_the_order_in_which_they_came),
        cmocka_unit_test(the_order_is_that_of_a_sorted_list),
        cmocka_unit_test(a_full_queue_takes_no_more_and_loses_nothing),
        cmocka_unit_test(a_queue_that_is_full_of_bytes_takes_what_still_fits),
        cmocka_unit_test(every_size_and_the_owner_come_back_as_they_were),
        cmocka_unit_test(what_waits_at_the_end_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
