/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "catalog/datacenters.h"

static void list(void **state)
{
    const struct datacenter nodes[] = {{"192.0.2.1", 7600, "EFHK"},
                                       {"192.0.2.1", 7601, "EFHK"},
                                       {"2001:db8::1", 7600, "XXXX"},
                                       {"2001:db8::1", 7602, "XXXX"},
                                       {"192.0.2.12", 7600, "EFHK"}};
    struct datacenters *a = datacenters_new(), *b = datacenters_new(), *copy;
    json_t *map,
        *expected = json_loads("{\"192.0.2.1\":{\"qcmp_port\":7600,\"icao_code\":\"EFHK\"},"
                               "\"192.0.2.1:7601\":{\"qcmp_port\":7601,\"icao_code\":\"EFHK\"},"
                               "\"2001:db8::1\":{\"qcmp_port\":7600,\"icao_code\":\"XXXX\"},"
                               "\"[2001:db8::1]:7602\":{\"qcmp_port\":7602,\"icao_code\":\"XXXX\"},"
                               "\"192.0.2.12\":{\"qcmp_port\":7600,\"icao_code\":\"EFHK\"}}",
                               0, NULL);

    (void)state;
    assert_true(datacenters_equal(a, NULL) && datacenters_equal(a, b));
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        assert_int_equal(datacenters_add(a, &nodes[i]), 0);
        assert_int_equal(datacenters_add(a, &nodes[i]), -EEXIST);
        assert_false(datacenters_equal(a, b));
        copy = datacenters_copy(a);
        assert_true(datacenters_equal(a, copy));
        datacenters_free(copy);
    }
    assert_int_equal(datacenters_add(b, &(struct datacenter){"192.0.2.1", 7600, "EFHL"}), 0);
    copy = datacenters_new();
    assert_int_equal(datacenters_add(copy, &nodes[0]), 0);
    assert_false(datacenters_equal(b, copy));
    map = datacenters_show(a);
    assert_true(json_equal(map, expected));
    json_decref(map);
    map = datacenters_show(NULL);
    assert_int_equal(json_object_size(map), 0);
    json_decref(map);
    json_decref(expected);
    datacenters_free(copy);
    datacenters_free(a);
    datacenters_free(b);
    datacenters_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(list)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
