/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k8s/pieces.h"

static int collect(json_t *object, void *user)
{
    return json_array_append(user, object);
}

/* What comes of a text in pieces of so many bytes: its objects, or NULL. */
static json_t *read_in(const char *text, bool is_list, size_t bytes, json_t **envelope)
{
    struct pieces pieces = {.is_list = is_list};
    json_t *list = json_array();
    size_t length = strlen(text);
    int error = 0;

    for (size_t i = 0; i < length && error == 0; i += bytes)
        error =
            pieces_take(&pieces, text + i, length - i < bytes ? length - i : bytes, collect, list);
    if (envelope != NULL)
        *envelope = error == 0 ? pieces_end(&pieces) : NULL;
    pieces_fini(&pieces);
    if (error == 0)
        return list;
    json_decref(list);
    return NULL;
}

static void assert_json(json_t *json, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);

    assert_true(json_equal(json, wanted));
    json_decref(wanted);
    json_decref(json);
}

static void items_of_a_list_come_one_by_one_in_whatever_pieces(void **state)
{
    static const char text[] =
        " {\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\",\"x\":{\"items\":[1,{}]}},\"y\":"
        "\"\\\"items\\\":[\", \"items\" : [ {\"a\":\"]}\\\"{\"},\n{\"b\":[{},[]]} ],\"z\":[{}]}\n";

    (void)state;
    for (size_t bytes = 1; bytes <= sizeof text; bytes++) {
        json_t *envelope;

        assert_json(read_in(text, true, bytes, &envelope), "[{\"a\":\"]}\\\"{\"},{\"b\":[{},[]]}]");
        assert_json(envelope, "{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\",\"x\":{"
                              "\"items\":[1,{}]}},\"y\":\"\\\"items\\\":[\",\"items\":[],\"z\":[{}]"
                              "}");
    }
}

static void a_list_without_items_is_whole(void **state)
{
    json_t *envelope;

    (void)state;
    assert_json(read_in("{\"items\":null}", true, 3, &envelope), "[]");
    assert_json(envelope, "{\"items\":null}");
}

static void a_list_that_is_cut_has_no_end(void **state)
{
    static const char text[] = "{\"metadata\":{},\"items\":[{\"a\":1},{\"b\":2}]}";

    (void)state;
    for (size_t bytes = 0; bytes < sizeof text - 1; bytes++) {
        struct pieces pieces = {.is_list = true};
        json_t *list = json_array();

        assert_int_equal(pieces_take(&pieces, text, bytes, collect, list), 0);
        assert_null(pieces_end(&pieces));
        pieces_fini(&pieces);
        json_decref(list);
    }
}

static void objects_of_a_watch_come_one_after_another(void **state)
{
    static const char text[] = "{\"a\":\"}\"}\n{\"b\":{\"c\":[]}}{}\r\n {\"d\":";

    (void)state;
    for (size_t bytes = 1; bytes <= sizeof text; bytes++)
        assert_json(read_in(text, false, bytes, NULL), "[{\"a\":\"}\"},{\"b\":{\"c\":[]}},{}]");
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const watches[] = {"x", "[{}]", "}", "{}x", "\"a\"", "{\"a\"}", "{]", "{},"};
    static const char *const lists[] = {"{\"items\":[1]}", "{\"items\":[[]]}",
                                        "{\"items\":[{\"a\"}]}", "{\"items\":[\"{}\"]}", "]"};

    (void)state;
    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++)
        assert_null(read_in(watches[i], false, 1, NULL));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        assert_null(read_in(lists[i], true, 1, NULL));
}

static void what_is_too_big_is_refused(void **state)
{
    struct pieces object = {.is_list = false}, envelope = {.is_list = true};
    size_t bytes = PIECES_OBJECT_BYTES + 1;
    char *text = malloc(bytes);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', bytes);
    text[0] = '{';
    assert_int_equal(pieces_take(&object, text, bytes, collect, NULL), -E2BIG);
    assert_int_equal(pieces_take(&envelope, text, PIECES_ENVELOPE_BYTES + 1, collect, NULL),
                     -E2BIG);
    pieces_fini(&object);
    pieces_fini(&envelope);
    free(text);
}

static int stop(json_t *object, void *user)
{
    (void)object;
    ++*(int *)user;
    return -ECANCELED;
}

static void who_takes_objects_may_end_it(void **state)
{
    struct pieces pieces = {.is_list = false};
    int calls = 0;

    (void)state;
    assert_int_equal(pieces_take(&pieces, "{}{}", 4, stop, &calls), -ECANCELED);
    assert_int_equal(calls, 1);
    pieces_fini(&pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_a_list_come_one_by_one_in_whatever_pieces),
        cmocka_unit_test(a_list_without_items_is_whole),
        cmocka_unit_test(a_list_that_is_cut_has_no_end),
        cmocka_unit_test(objects_of_a_watch_come_one_after_another),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(what_is_too_big_is_refused),
        cmocka_unit_test(who_takes_objects_may_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
