/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "guard/access.h"
#include "support/access_oracle.h"
#include "support/random.h"
#include "support/random_prefix.h"

struct lists {
    struct prefix_list allow, deny;
    struct access *access;
};

static void add(struct prefix_list *list, const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(text, &prefix), 0);
    assert_int_equal(prefix_list_add(list, &prefix), 0);
}

/* Texts end with NULL. */
static struct lists lists(const char *const *allow, const char *const *deny)
{
    struct lists built = {0};
    for (; *allow != NULL; allow++)
        add(&built.allow, *allow);
    for (; *deny != NULL; deny++)
        add(&built.deny, *deny);
    assert_int_equal(access_new(&built.access, &built.allow, &built.deny), 0);
    return built;
}

static void lists_fini(struct lists *lists)
{
    access_free(lists->access);
    prefix_list_fini(&lists->allow);
    prefix_list_fini(&lists->deny);
}

static bool allows(const struct lists *lists, const char *text)
{
    struct in6_addr address;
    assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    bool allowed = access_allows(lists->access, &address);
    assert_int_equal(allowed, oracle_allows(&lists->allow, &lists->deny, &address));
    return allowed;
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NONE ((const char *const[]){NULL})

static void no_lists_are_no_trie(void **state)
{
    struct lists none = lists(NONE, NONE);
    (void)state;
    assert_null(none.access);
}

static void what_is_denied_is_and_all_else_is_not(void **state)
{
    struct lists l = lists(NONE, TEXTS("192.0.2.0/24", "2001:db8::/32", "198.51.100.7"));
    (void)state;
    assert_false(allows(&l, "::ffff:192.0.2.0"));
    assert_false(allows(&l, "::ffff:192.0.2.255"));
    assert_true(allows(&l, "::ffff:192.0.1.255"));
    assert_true(allows(&l, "::ffff:192.0.3.0"));
    assert_false(allows(&l, "::ffff:198.51.100.7"));
    assert_true(allows(&l, "::ffff:198.51.100.6"));
    assert_false(allows(&l, "2001:db8:ffff::1"));
    assert_true(allows(&l, "2001:db9::1"));
    lists_fini(&l);
}

static void a_list_of_the_allowed_denies_the_others_of_both_families(void **state)
{
    struct lists l = lists(TEXTS("10.0.0.0/8"), NONE);
    (void)state;
    assert_true(allows(&l, "::ffff:10.255.0.1"));
    assert_false(allows(&l, "::ffff:11.0.0.1"));
    assert_false(allows(&l, "2001:db8::1"));
    assert_false(allows(&l, "::1"));
    lists_fini(&l);
}

static void the_longest_prefix_decides_and_among_equals_deny(void **state)
{
    struct lists l = lists(TEXTS("10.0.0.0/8", "10.1.2.0/24", "10.1.2.4/32", "2001:db8::/33"),
                           TEXTS("10.1.0.0/16", "10.1.2.4/30", "10.1.2.4", "2001:db8::/33"));
    (void)state;
    assert_true(allows(&l, "::ffff:10.0.0.1"));
    assert_false(allows(&l, "::ffff:10.1.3.1"));
    assert_true(allows(&l, "::ffff:10.1.2.1"));
    assert_false(allows(&l, "::ffff:10.1.2.4"));
    assert_false(allows(&l, "::ffff:10.1.2.5"));
    assert_true(allows(&l, "::ffff:10.1.2.8"));
    assert_false(allows(&l, "2001:db8::1"));
    lists_fini(&l);
}

static void the_families_do_not_touch_each_other(void **state)
{
    struct lists l = lists(TEXTS("::/0"), NONE);
    (void)state;
    assert_true(allows(&l, "2001:db8::1"));
    assert_true(allows(&l, "::"));
    assert_false(allows(&l, "::ffff:192.0.2.1"));
    lists_fini(&l);
    l = lists(NONE, TEXTS("::ffff:0:0/96"));
    assert_false(allows(&l, "::ffff:192.0.2.1"));
    assert_true(allows(&l, "::fffe:192.0.2.1"));
    lists_fini(&l);
}

static void a_trie_of_random_lists_agrees_with_a_naive_search(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        struct lists l = {0};
        struct prefix all[64];
        size_t count = 1 + random_next(&seed) % 64;
        for (size_t i = 0; i < count; i++) {
            all[i] = random_prefix(&seed);
            bool allow = random_next(&seed) % 3 == 0;
            assert_int_equal(prefix_list_add(allow ? &l.allow : &l.deny, &all[i]), 0);
        }
        assert_int_equal(access_new(&l.access, &l.allow, &l.deny), 0);
        for (unsigned i = 0; i < 200; i++) {
            struct in6_addr address = random_address(&seed, &all[random_next(&seed) % count]);
            assert_int_equal(access_allows(l.access, &address),
                             oracle_allows(&l.allow, &l.deny, &address));
        }
        lists_fini(&l);
    }
}

static void a_hundred_thousand_prefixes_fit(void **state)
{
    struct lists l = {0};
    uint64_t seed = 2;
    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        struct prefix prefix = {.bits = i % 2 == 0 ? PREFIX_IPV4_BITS + 24 : 64};
        uint64_t random = random_next(&seed);
        memcpy(prefix.address.s6_addr, &random, 8);
        if (i % 2 == 0) {
            memset(prefix.address.s6_addr, 0, 10);
            memset(prefix.address.s6_addr + 10, 0xff, 2);
            memcpy(prefix.address.s6_addr + 12, &random, 3);
        }
        assert_int_equal(prefix_list_add(&l.deny, &prefix), 0);
    }
    assert_int_equal(access_new(&l.access, &l.allow, &l.deny), 0);
    for (size_t i = 0; i < l.deny.count; i++) {
        struct in6_addr address = random_address(&seed, &l.deny.items[i]);
        if (oracle_has(&l.deny.items[i], &address))
            assert_false(access_allows(l.access, &address));
    }
    lists_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_lists_are_no_trie),
        cmocka_unit_test(what_is_denied_is_and_all_else_is_not),
        cmocka_unit_test(a_list_of_the_allowed_denies_the_others_of_both_families),
        cmocka_unit_test(the_longest_prefix_decides_and_among_equals_deny),
        cmocka_unit_test(the_families_do_not_touch_each_other),
        cmocka_unit_test(a_trie_of_random_lists_agrees_with_a_naive_search),
        cmocka_unit_test(a_hundred_thousand_prefixes_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
