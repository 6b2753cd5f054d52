/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/tokens.h"
#include "support/random.h"

/* What a table should have: how often each owner has each token, which is a number. */
#define TOKENS 3000
#define OWNERS 4
struct model {
    uint8_t times[TOKENS][OWNERS];
};

static void assert_same(const struct tokens *tokens, const struct model *model)
{
    for (uint32_t token = 0; token < TOKENS; token++) {
        uint32_t found[OWNERS + 1];
        bool is_found[OWNERS] = {false};
        uint32_t count = tokens_find(tokens, &token, sizeof token, found, OWNERS + 1);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(found[i] < OWNERS);
            assert_false(is_found[found[i]]);
            is_found[found[i]] = true;
        }
        for (uint32_t owner = 0; owner < OWNERS; owner++)
            assert_int_equal(is_found[owner], model->times[token][owner] > 0);
    }
}

static void change(struct tokens *tokens, struct model *model, uint64_t *random, unsigned changes)
{
    for (unsigned i = 0; i < changes; i++) {
        uint32_t token = (uint32_t)(random_next(random) % TOKENS);
        uint32_t owner = (uint32_t)(random_next(random) % OWNERS);
        if (model->times[token][owner] > 0 && random_next(random) % 2 == 0) {
            model->times[token][owner]--;
            assert_int_equal(tokens_remove(tokens, &token, sizeof token, owner), 0);
        } else if (model->times[token][owner] < 3) {
            model->times[token][owner]++;
            assert_int_equal(tokens_add(tokens, &token, sizeof token, owner), 0);
        }
    }
}

static void a_table_stays_as_it_was_while_the_next_one_changes(void **state)
{
    static struct model models[2];
    uint64_t random = 5;
    struct tokens *tokens = tokens_new(0);

    (void)state;
    memset(models, 0, sizeof models);
    for (unsigned run = 0; run < 40; run++) {
        struct tokens *next = tokens_next(tokens);
        models[1] = models[0];
        change(next, &models[1], &random, run % 2 == 0 ? 2000 : 3);
        assert_same(tokens, &models[0]);
        assert_same(next, &models[1]);
        if (run % 5 == 4) { /* an attempt that is given up */
            tokens_free(next);
            assert_same(tokens, &models[0]);
            continue;
        }
        tokens_free(tokens);
        tokens = next;
        models[0] = models[1];
        assert_same(tokens, &models[0]);
    }
    tokens_free(tokens);
}

static void tokens_of_all_lengths_are_told_apart(void **state)
{
    static uint8_t zeros[TOKEN_MAX_BYTES + 1];
    struct tokens *tokens = tokens_new(1);
    uint32_t owner;

    (void)state;
    for (uint32_t bytes = 0; bytes < 300; bytes++)
        assert_int_equal(tokens_add(tokens, zeros, bytes, bytes), 0);
    assert_int_equal(tokens_add(tokens, zeros, TOKEN_MAX_BYTES, 300), 0);
    assert_int_equal(tokens_add(tokens, zeros, TOKEN_MAX_BYTES + 1, 301), 0); /* fits nowhere */
    for (uint32_t bytes = 0; bytes < 300; bytes++) {
        assert_int_equal(tokens_find(tokens, zeros, bytes, &owner, 1), 1);
        assert_int_equal(owner, bytes);
    }
    assert_int_equal(tokens_find(tokens, zeros, TOKEN_MAX_BYTES, &owner, 1), 1);
    assert_int_equal(tokens_find(tokens, zeros, 300, &owner, 1), 0);
    assert_int_equal(tokens_remove(tokens, zeros, TOKEN_MAX_BYTES + 1, 301), 0);
    tokens_free(tokens);
}

/* They stand in one page, whatever its size. */
static void a_token_may_have_many_owners(void **state)
{
    enum {
        MANY = 5000
    };
    static uint32_t found[MANY + 1];
    static bool is_found[MANY];
    struct tokens *tokens = tokens_new(0);

    (void)state;
    for (uint32_t owner = 0; owner < MANY; owner++)
        assert_int_equal(tokens_add(tokens, "t", 1, owner), 0);
    assert_int_equal(tokens_find(tokens, "t", 1, found, 10), 10);
    assert_int_equal(tokens_find(tokens, "t", 1, found, MANY + 1), MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_false(is_found[found[i]]);
        is_found[found[i]] = true;
    }
    for (uint32_t owner = 0; owner < MANY; owner++)
        assert_int_equal(tokens_remove(tokens, "t", 1, owner), 0);
    assert_int_equal(tokens_find(tokens, "t", 1, found, 10), 0);
    tokens_free(tokens);
}

static void a_pair_is_there_65535_times_at_most(void **state)
{
    struct tokens *tokens = tokens_new(0);
    uint32_t owner;

    (void)state;
    for (unsigned i = 0; i < UINT16_MAX; i++)
        assert_int_equal(tokens_add(tokens, "t", 1, 7), 0);
    assert_int_equal(tokens_add(tokens, "t", 1, 7), -E2BIG);
    for (unsigned i = 0; i < UINT16_MAX; i++) {
        assert_int_equal(tokens_find(tokens, "t", 1, &owner, 1), 1);
        assert_int_equal(tokens_remove(tokens, "t", 1, 7), 0);
    }
    assert_int_equal(tokens_find(tokens, "t", 1, &owner, 1), 0);
    tokens_free(tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_stays_as_it_was_while_the_next_one_changes),
        cmocka_unit_test(tokens_of_all_lengths_are_told_apart),
        cmocka_unit_test(a_token_may_have_many_owners),
        cmocka_unit_test(a_pair_is_there_65535_times_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
