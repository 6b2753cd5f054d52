/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/field.h"
#include "config/flags.h"

/* What a filter might have. */
enum mode {
    APPEND,
    PREPEND
};

struct route {
    char name[8];
    uint32_t weight;
};

struct endpoint {
    struct route *items;
    size_t count, capacity;
};

struct limits {
    uint32_t most, least;
    bool least_given;
};

struct filter {
    enum mode mode;
    uint16_t size;
    bool size_given;
    int64_t wait_ns;
    struct endpoint routes;
    struct limits limits;
    bool verbose;
};

static const struct field route_rows[] = {
    {.key = "name", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, FIELD_AT(struct route, name)},
    {.key = "weight",
     .kind = FIELD_NUMBER,
     .default_text = "7",
     .min = 1,
     .max = 100,
     FIELD_AT(struct route, weight)},
    {0},
};

static const struct field limits_rows[] = {
    {.key = "most",
     .kind = FIELD_NUMBER,
     .max = 9,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct limits, most)},
    {.key = "least",
     .kind = FIELD_NUMBER,
     .max = 9,
     FIELD_AT(struct limits, least),
     FIELD_GIVEN(struct limits, least_given)},
    {0},
};

static int check_limits(const void *map)
{
    const struct limits *limits = map;
    return !limits->least_given || limits->least <= limits->most ? 0 : -1;
}

static const char *const modes[] = {"APPEND", "PREPEND", NULL};

static const struct field rows[] = {
    {.key = "strategy.mode",
     .flag = "mode",
     .letter = 'm',
     .kind = FIELD_WORD,
     .words = modes,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct filter, mode)},
    {.key = "strategy.size",
     .flag = "size",
     .kind = FIELD_NUMBER,
     .default_text = "5",
     .max = 1000,
     FIELD_AT(struct filter, size),
     FIELD_GIVEN(struct filter, size_given)},
    {.key = "wait",
     .kind = FIELD_DURATION,
     .max = INT64_C(3600000000000),
     FIELD_AT(struct filter, wait_ns)},
    {.key = "routes",
     .kind = FIELD_LIST,
     .max = 3,
     .members = route_rows,
     .item_bytes = sizeof(struct route),
     FIELD_AT(struct filter, routes)},
    {.key = "limits",
     .kind = FIELD_MAP,
     .members = limits_rows,
     .check = check_limits,
     .check_expected = "least to be at most most",
     FIELD_AT(struct filter, limits)},
    {.flag = "verbose", .letter = 'v', .kind = FIELD_MARK, FIELD_AT(struct filter, verbose)},
    {0},
};

static int parse(const char *text, struct filter *filter, struct error *error)
{
    struct yaml_document document = {0};

    memset(filter, 0, sizeof *filter);
    field_defaults(rows, filter);
    assert_int_equal(yaml_parse(text, strlen(text), &document, error), 0);
    int result = field_parse_tree(rows, document.root, filter, error);
    yaml_fini(&document);
    return result;
}

static void assert_refused(const char *text, const char *expected)
{
    struct filter filter;
    struct error error = {0};

    assert_int_not_equal(parse(text, &filter, &error), 0);
    assert_string_equal(error.text, expected);
    field_fini(rows, &filter);
}

static void a_map_is_read_by_dotted_keys_lists_and_words(void **state)
{
    struct filter filter;
    struct error error;

    (void)state;
    assert_int_equal(parse("strategy: {mode: PREPEND}\nwait: 1.5s\n"
                           "routes: [{name: a}, {weight: 3, name: b}]\nlimits: {most: 4}\n",
                           &filter, &error),
                     0);
    assert_int_equal(filter.mode, PREPEND);
    assert_int_equal(filter.size, 5);
    assert_false(filter.size_given);
    assert_int_equal(filter.wait_ns, INT64_C(1500000000));
    assert_int_equal(filter.routes.count, 2);
    assert_string_equal(filter.routes.items[0].name, "a");
    assert_int_equal(filter.routes.items[0].weight, 7);
    assert_int_equal(filter.routes.items[1].weight, 3);
    assert_int_equal(filter.limits.most, 4);
    field_fini(rows, &filter);
    assert_int_equal(filter.routes.count, 0);
}

static void json_text_is_read_the_same(void **state)
{
    struct filter filter;
    struct error error;

    (void)state;
    assert_int_equal(parse("{\"strategy\": {\"mode\": \"APPEND\", \"size\": 6},"
                           " \"routes\": [{\"name\": \"\\u00e9\"}]}",
                           &filter, &error),
                     0);
    assert_int_equal(filter.mode, APPEND);
    assert_int_equal(filter.size, 6);
    assert_true(filter.size_given);
    assert_string_equal(filter.routes.items[0].name, "é");
    field_fini(rows, &filter);
}

static void what_is_wrong_is_said_with_its_place_and_key(void **state)
{
    (void)state;
    assert_refused("wait: 1\n", "1:1: expected the key 'strategy.mode', found a map without it");
    assert_refused("strategy: {size: 1}\n",
                   "1:11: strategy: expected the key 'mode', found a map without it");
    assert_refused("strategy: {mode: append}\n",
                   "1:18: strategy.mode: expected APPEND or PREPEND, found 'append'");
    assert_refused("strategy: {mode: APPEND, size: 0x10}\n",
                   "1:32: strategy.size: expected a number from 0 to 1000, found '0x10'");
    assert_refused("strategy: {mode: APPEND, size: 010}\n",
                   "1:32: strategy.size: expected a number from 0 to 1000, found '010'");
    assert_refused("strategy.mode: APPEND\n", "1:1: unknown key 'strategy.mode', expected one of "
                                              "strategy, wait, routes, limits");
    assert_refused("strategy: {mode: APPEND}\nroutes: [{name: a}, {weight: 1}]\n",
                   "2:21: routes[1]: expected the key 'name', found a map without it");
    assert_refused("strategy: {mode: APPEND}\nroutes: [{name: abcdefgh}]\n",
                   "2:17: routes[0].name: expected 1 to 7 bytes of text without controls and "
                   "quotes, found 'abcdefgh'");
    assert_refused("strategy: {mode: APPEND}\nroutes: [{}, {}, {}, {}]\n",
                   "2:9: routes: expected a list of 0 to 3 items, found 4");
    assert_refused("strategy: {mode: APPEND}\nlimits: {least: 1}\n",
                   "2:9: limits: expected the key 'most', found a map without it");
    assert_refused("strategy: {mode: APPEND}\nlimits: {least: 5, most: 4}\n",
                   "2:9: limits: expected least to be at most most");
}

static void what_is_shown_is_read_again(void **state)
{
    struct filter filter, again;
    struct error error;

    (void)state;
    assert_int_equal(parse("strategy: {mode: PREPEND, size: 9}\nwait: 90s\nroutes: [{name: a}]\n",
                           &filter, &error),
                     0);
    json_t *json = json_object();
    assert_int_equal(field_show(rows, &filter, json, true, true), 0);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"strategy\":{\"mode\":\"PREPEND\",\"size\":9},\"wait\":\"90s\","
                              "\"routes\":[{\"name\":\"a\",\"weight\":7}],"
                              "\"limits\":{\"most\":0,\"least\":0}}");
    assert_int_equal(parse(text, &again, &error), 0);
    for (const struct field *field = rows; field->key != NULL; field++)
        assert_false(field_differs(field, &filter, &again));
    again.size = 8;
    assert_true(field_differs(&rows[1], &filter, &again));
    free(text);
    json_decref(json);
    field_fini(rows, &filter);
    field_fini(rows, &again);
}

static void a_command_reads_its_flags_and_words_by_the_same_rows(void **state)
{
    char *argv[] = {"command", "-vm", "PREPEND", "word", "--size=7", "--", "--size"};
    char *bad[] = {"command", "--size", "1001"};
    const char *items[7];
    struct flags_words words = {.items = items}, none = {.items = NULL};
    struct filter filter = {.size = 0};
    const struct field_table table = {rows, &filter};
    struct error error;

    (void)state;
    assert_int_equal(flags_parse(&table, 7, argv, &words, &error), 0);
    assert_true(filter.verbose);
    assert_int_equal(filter.mode, PREPEND);
    assert_int_equal(filter.size, 7);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.items[0], "word");
    assert_string_equal(words.items[1], "--size");
    assert_int_not_equal(flags_parse(&table, 4, argv, &none, &error), 0);
    assert_string_equal(error.text, "'word' is not an option");
    assert_int_not_equal(flags_parse(&table, 3, bad, &none, &error), 0);
    assert_string_equal(error.text, "option '--size': '1001' is not a number from 0 to 1000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_read_by_dotted_keys_lists_and_words),
        cmocka_unit_test(json_text_is_read_the_same),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place_and_key),
        cmocka_unit_test(what_is_shown_is_read_again),
        cmocka_unit_test(a_command_reads_its_flags_and_words_by_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
