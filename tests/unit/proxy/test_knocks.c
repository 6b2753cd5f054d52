/* SPDX-License-Identifier: Apache-2.0 */
/* Which players are told from made-up sources by a second datagram. */
#include "support/cmocka.h"

#include <arpa/inet.h>

#include "net/address.h"
#include "proxy/knocks.h"

#define SECOND_NS INT64_C(1000000000)
#define FLOOD 20000

static const struct siphash_key key = {{1, 2}};

static struct endpoint player(uint32_t address, uint16_t port)
{
    return (struct endpoint){.address = address_from_ipv4((struct in_addr){htonl(address)}),
                             .port = htons(port)};
}

static void a_player_is_known_by_the_second_knock(void **state)
{
    struct knocks *knocks = knocks_new(&key);
    const struct endpoint one = player(0x0a000001, 7), other = player(0x0a000001, 8);
    int64_t now_ns = 1000 * SECOND_NS;

    (void)state;
    assert_non_null(knocks);
    assert_false(knocks_again(knocks, &one, now_ns));
    assert_false(knocks_again(knocks, &other, now_ns));
    assert_true(knocks_again(knocks, &one, now_ns + KNOCKS_SECONDS * SECOND_NS));
    assert_true(knocks_again(knocks, &one, now_ns + 2 * KNOCKS_SECONDS * SECOND_NS));
    assert_false(knocks_again(knocks, &other, now_ns + (KNOCKS_SECONDS + 1) * SECOND_NS));
    knocks_free(knocks);
}

/* As many sources as come in a fifth of a second of 100,000 a second. */
static void most_are_remembered_in_a_flood(void **state)
{
    struct knocks *knocks = knocks_new(&key);
    unsigned early = 0, known = 0;

    (void)state;
    assert_non_null(knocks);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < FLOOD; i++) {
            const struct endpoint one = player(0x0a000000 + i, 7);
            bool is_known = knocks_again(knocks, &one, SECOND_NS);
            early += turn == 0 && is_known;
            known += turn == 1 && is_known;
        }
    }
    assert_int_equal(early, 0);
    assert_in_range(known, FLOOD * 7 / 10, FLOOD);
    knocks_free(knocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_player_is_known_by_the_second_knock),
        cmocka_unit_test(most_are_remembered_in_a_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
