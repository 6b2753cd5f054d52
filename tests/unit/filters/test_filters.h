/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the tests of filters share.
 */
#ifndef PADDOCK_TEST_FILTERS_H
#define PADDOCK_TEST_FILTERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/chain_run.h"

#define ID(name, Name) "quilkin.filters." name ".v1alpha1." Name
#define CAPTURE ID("capture", "Capture")
#define ROUTER ID("token_router", "TokenRouter")
#define HASHED_ROUTER ID("token_router", "HashedTokenRouter")
#define BALANCER ID("load_balancer", "LoadBalancer")
#define DROP ID("drop", "Drop")
#define RATE_LIMIT ID("local_rate_limit", "LocalRateLimit")
#define PASS ID("pass", "Pass")

static inline void make(struct chain_run *run, const char *list)
{
    struct error error;
    int code = chain_run_init(run, list, strlen(list), &error);
    if (code != 0)
        print_error("%s: %s\n", list, error.text);
    CHECK(code == 0);
}

static inline void assert_refused(const char *list, const char *expected)
{
    struct chain_run run;
    struct error error;
    if (chain_run_init(&run, list, strlen(list), &error) == 0) {
        chain_run_fini(&run);
        fail_msg("%s: accepted", list);
    }
    assert_string_equal(error.text, expected);
}

static inline void assert_passed(struct chain_run *run, const char *text, const char *left)
{
    if (chain_run_pass(run, false, text, strlen(text)) != FILTER_NEXT)
        fail_msg("'%s' was dropped: %s", text, run->reason);
    assert_int_equal(run->packet.bytes, strlen(left));
    assert_memory_equal(run->packet.data, left, strlen(left));
}

static inline void assert_dropped(struct chain_run *run, const char *text, const char *reason)
{
    assert_int_equal(chain_run_pass(run, false, text, strlen(text)), FILTER_DROP);
    assert_string_equal(run->reason, reason);
}

#endif
