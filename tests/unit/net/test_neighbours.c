/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours of the network namespace of this test, which has one interface of its own. */
#include "net/neighbours.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/cmocka.h"

static struct in6_addr address(const char *text)
{
    struct in6_addr parsed;
    assert_int_equal(inet_pton(AF_INET6, text, &parsed), 1);
    return parsed;
}

static void those_that_do_not_answer_are_missing_and_no_others(void **state)
{
    struct neighbours *neighbours = neighbours_new();
    const struct in6_addr missing[] = {address("::ffff:10.1.0.9"), address("fd00:1::9")};
    const struct in6_addr others[] = {address("::ffff:10.1.0.8"), address("fd00:1::8"),
                                      address("::ffff:10.1.0.7")};
    (void)state;

    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
        skip();
    if (system(
            "ip link add v type veth peer name w && ip link set v up && ip addr add 10.1.0.1/24 "
            "dev v &&"
            "ip neigh add 10.1.0.9 dev v nud failed && ip neigh add fd00:1::9 dev v nud failed &&"
            "ip neigh add 10.1.0.8 dev v lladdr 02:00:00:00:00:08 nud reachable") != 0)
        skip();
    assert_non_null(neighbours);
    for (int i = 0; i < 2; i++)
        assert_false(neighbours_is_missing(neighbours, &missing[i]));
    assert_int_equal(neighbours_look(neighbours), 2);
    for (int i = 0; i < 2; i++)
        assert_true(neighbours_is_missing(neighbours, &missing[i]));
    for (int i = 0; i < 3; i++)
        assert_false(neighbours_is_missing(neighbours, &others[i]));

    assert_int_equal(system("ip neigh flush nud failed"), 0);
    assert_int_equal(neighbours_look(neighbours), 0);
    assert_false(neighbours_is_missing(neighbours, &missing[0]));
    neighbours_free(neighbours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_do_not_answer_are_missing_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
