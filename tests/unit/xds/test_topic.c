/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "xds/topic.h"

#define CLAIM_BYTES 128 /* what each version costs beside its text */

static Xds__DeltaDiscoveryRequest make_request(void)
{
    Xds__DeltaDiscoveryRequest request;

    xds__delta_discovery_request__init(&request);
    return request;
}

/* A snapshot with these names, each in version "1". */
static struct snapshot *make_snapshot(char *const *names, size_t count)
{
    Xds__DeltaDiscoveryRequest request = make_request();
    Xds__Pair entries[4], *pointers[4];
    static char version[] = "1";

    for (size_t i = 0; i < count; i++) {
        xds__pair__init(&entries[i]);
        entries[i].key = names[i];
        entries[i].value = version;
        pointers[i] = &entries[i];
    }
    request.initial_resource_versions = pointers;
    request.n_initial_resource_versions = count;
    struct snapshot *snapshot = snapshot_claimed(RESOURCE_CLUSTER, &request);
    assert_non_null(snapshot);
    return snapshot;
}

static enum grpc_status take_names(struct topic *topic, char **added, size_t added_count,
                                   char **dropped, size_t dropped_count)
{
    Xds__DeltaDiscoveryRequest request = make_request();
    struct error error = {0};

    request.resource_names_subscribe = added;
    request.n_resource_names_subscribe = added_count;
    request.resource_names_unsubscribe = dropped;
    request.n_resource_names_unsubscribe = dropped_count;
    return topic_take_names(topic, &request, &error);
}

static void assert_selects(const struct topic *topic, struct snapshot *now, size_t count)
{
    struct snapshot *selected = topic_select(topic, now);

    assert_non_null(selected);
    assert_int_equal(selected->count, count);
    snapshot_unref(selected);
}

static void names_choose_clusters_and_none_stand_for_all(void **state)
{
    struct topic all = {.type = RESOURCE_CLUSTER}, some = all,
                 whole = {.type = RESOURCE_DATACENTER};
    char a[] = "a", b[] = "b", c[] = "c", star[] = "*";
    char *names[] = {a, b, c};
    struct snapshot *now = make_snapshot(names, 3);
    size_t claimed = 0;

    (void)state;
    assert_null(topic_select(&all, now));
    assert_int_equal(take_names(&all, NULL, 0, NULL, 0), GRPC_OK);
    assert_selects(&all, now, 3);
    assert_int_equal(take_names(&whole, names, 1, NULL, 0), GRPC_OK);
    assert_true(whole.is_wildcard);

    assert_int_equal(take_names(&some, (char *[]){c, a, a}, 3, NULL, 0), GRPC_OK);
    assert_selects(&some, now, 2);
    assert_int_equal(take_names(&some, (char *[]){b}, 1, (char *[]){a, c}, 2), GRPC_OK);
    assert_selects(&some, now, 1);
    assert_string_equal(some.names[0], "b");
    assert_int_equal(take_names(&some, (char *[]){star}, 1, NULL, 0), GRPC_OK);
    assert_selects(&some, now, 3);
    assert_int_equal(take_names(&some, NULL, 0, (char *[]){star}, 1), GRPC_OK);
    assert_selects(&some, now, 1);

    snapshot_unref(now);
    topic_fini(&all, &claimed);
    topic_fini(&some, &claimed);
    topic_fini(&whole, &claimed);
}

static void too_many_names_leave_those_before(void **state)
{
    struct topic topic = {.type = RESOURCE_CLUSTER};
    static char name[] = "a";
    char *many[1001];
    size_t claimed = 0;

    (void)state;
    for (size_t i = 0; i < 1001; i++)
        many[i] = name;
    assert_int_equal(take_names(&topic, many, 1001, NULL, 0), GRPC_RESOURCE_EXHAUSTED);
    assert_false(topic.is_wanted);
    assert_int_equal(take_names(&topic, many, 1000, NULL, 0), GRPC_OK);
    assert_int_equal(take_names(&topic, NULL, 0, many, 1001), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(topic.names_count, 1);
    topic_fini(&topic, &claimed);
}

static void claims_are_counted_until_they_end(void **state)
{
    struct topic topic = {.type = RESOURCE_CLUSTER};
    Xds__DeltaDiscoveryRequest request = make_request();
    Xds__Pair entry, *entries[] = {&entry};
    char name[] = "ab", version[] = "1", *names[] = {name};
    struct snapshot *now = make_snapshot(names, 1);
    size_t claimed = (size_t)1000, full = ((size_t)256 << 20) - CLAIM_BYTES - 2;
    struct error error = {0};

    (void)state;
    xds__pair__init(&entry);
    entry.key = name;
    entry.value = version;
    request.initial_resource_versions = entries;
    request.n_initial_resource_versions = 1;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(topic_take_versions(&topic, NULL, &request, &claimed, &error), GRPC_OK);
        assert_int_equal(claimed, 1000 + CLAIM_BYTES + 3);
    }
    assert_int_equal(topic_take_versions(&topic, now, &request, &claimed, &error), GRPC_OK);
    assert_int_equal(claimed, 1000);
    assert_ptr_equal(topic.acknowledged, now);
    assert_int_equal(topic_take_versions(&topic, NULL, &request, &full, &error),
                     GRPC_RESOURCE_EXHAUSTED);
    assert_string_not_equal(error.text, "");
    assert_ptr_equal(topic.acknowledged, now);
    assert_int_equal(topic_take_versions(&topic, NULL, &request, &claimed, &error), GRPC_OK);
    topic_fini(&topic, &claimed);
    assert_int_equal(claimed, 1000);
    snapshot_unref(now);
}

static void only_an_answer_to_the_last_response_counts(void **state)
{
    struct topic topic = {.type = RESOURCE_CLUSTER, .is_wanted = true, .is_wildcard = true};
    Xds__DeltaDiscoveryRequest request = make_request();
    Xds__Status status;
    char a[] = "a", b[] = "b", *names[] = {a, b}, why[] = "no";
    char first[TOPIC_NONCE_BYTES] = "first", second[TOPIC_NONCE_BYTES] = "second";
    struct snapshot *one = make_snapshot(names, 1), *two = make_snapshot(names, 2);
    size_t claimed = 0;

    (void)state;
    xds__status__init(&status);
    status.message = why;
    topic_send(&topic, first, one);
    topic_send(&topic, second, two);
    request.response_nonce = first;
    assert_false(topic_take_answer(&topic, two, &request));
    assert_ptr_equal(topic.sent, two);
    assert_null(topic.acknowledged);

    request.response_nonce = second;
    request.error_detail = &status;
    assert_true(topic_take_answer(&topic, two, &request));
    assert_ptr_equal(topic.refused, two);
    assert_null(topic.sent);
    assert_null(topic.acknowledged);
    assert_false(topic_take_answer(&topic, two, &request)); /* once */

    topic_send(&topic, first, one);
    request.response_nonce = first;
    request.error_detail = NULL;
    assert_false(topic_take_answer(&topic, two, &request));
    assert_ptr_equal(topic.acknowledged, one);
    assert_int_equal(topic.exchange.responses, 3);
    assert_int_equal(topic.exchange.acks, 1);
    assert_int_equal(topic.exchange.nacks, 1);

    topic_fini(&topic, &claimed);
    snapshot_unref(one);
    snapshot_unref(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_choose_clusters_and_none_stand_for_all),
        cmocka_unit_test(too_many_names_leave_those_before),
        cmocka_unit_test(claims_are_counted_until_they_end),
        cmocka_unit_test(only_an_answer_to_the_last_response_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
