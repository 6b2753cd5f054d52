/* SPDX-License-Identifier: Apache-2.0 */
/* Which worker has the session of a token with a server. */
#include "support/cmocka.h"

#include "proxy/homes.h"

static struct homes *make(uint64_t sessions)
{
    struct homes *homes;
    assert_int_equal(homes_new(&homes, sessions), 0);
    return homes;
}

static uint64_t key_of(const struct homes *homes, uint32_t token, uint16_t port)
{
    const struct endpoint server = {.port = port};
    return homes_key(homes, homes_token(homes, (const uint8_t *)&token, sizeof token), &server);
}

static void what_was_put_last_is_found(void **state)
{
    struct homes *homes = make(100);
    struct home home;
    uint64_t key = key_of(homes, 1, 7);
    const struct home first = {3, 5}, last = {HOMES_MAX_WORKERS - 1, HOMES_MAX_SESSIONS - 1};

    (void)state;
    assert_false(homes_find(homes, key, &home));
    homes_put(homes, key, first);
    assert_true(homes_find(homes, key, &home));
    assert_int_equal(home.worker, 3);
    assert_int_equal(home.session, 5);
    assert_false(homes_find(homes, key_of(homes, 2, 7), &home));
    assert_false(homes_find(homes, key_of(homes, 1, 8), &home)); /* another server */
    homes_put(homes, key, last);
    assert_true(homes_find(homes, key, &home));
    assert_int_equal(home.worker, last.worker);
    assert_int_equal(home.session, last.session);
    homes_remove(homes, key, first); /* it is not there any more */
    assert_true(homes_find(homes, key, &home));
    homes_remove(homes, key, last);
    assert_false(homes_find(homes, key, &home));
    homes_free(homes);
}

static void as_many_as_there_may_be_are_found(void **state)
{
    const uint32_t sessions = 1U << 17;
    struct homes *homes = make(sessions);
    unsigned found = 0, wrong = 0;

    (void)state;
    for (uint32_t i = 0; i < sessions; i++)
        homes_put(homes, key_of(homes, i, 7), (struct home){i % 64, i});
    for (uint32_t i = 0; i < sessions; i++) {
        struct home home;
        bool is_found = homes_find(homes, key_of(homes, i, 7), &home);
        found += is_found;
        wrong += is_found && (home.session != i || home.worker != i % 64);
    }
    assert_int_equal(wrong, 0); /* one of 2^45 keys has that of another, in the mean */
    assert_in_range(found, sessions - sessions / 100, sessions);
    homes_free(homes);
}

static void the_oldest_gives_way_to_the_newest(void **state)
{
    struct homes *homes = make(1);
    struct home home;

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        homes_put(homes, key_of(homes, i, 7), (struct home){0, i});
        assert_true(homes_find(homes, key_of(homes, i, 7), &home));
        assert_int_equal(home.session, i);
    }
    homes_free(homes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_last_is_found),
        cmocka_unit_test(as_many_as_there_may_be_are_found),
        cmocka_unit_test(the_oldest_gives_way_to_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
