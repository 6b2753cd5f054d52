/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "config/yaml.h"

#define MEBIBYTE 1048576

/* The unit, over and over, behind a prefix. */
static char *repeat_new(const char *prefix, const char *unit, size_t bytes)
{
    char *text = malloc(bytes + 1);
    size_t length = strlen(prefix), unit_bytes = strlen(unit);

    assert_non_null(text);
    memcpy(text, prefix, length);
    for (; length + unit_bytes <= bytes; length += unit_bytes)
        memcpy(text + length, unit, unit_bytes);
    text[length] = '\0';
    return text;
}

static long resident_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void small_files_take_no_large_memory(void **state)
{
    static const struct {
        const char *prefix, *unit;
    } texts[] = {{"", "["},          {"", "{a: "},        {"x: ", "["},     {"- ", "[1,"},
                 {"- {", "? "},      {"", "!a "},         {"x: [", "&a "},  {"- {", ": "},
                 {"- 'a'\n ", "1,"}, {"- 'a'\n [", "1,"}, {"- a\n[", "1,"}, {"x: [\"", "\"\""},
                 {"[", "- "},        {"[", "''"},         {"", "- "},       {"- *a ", "["}};
    long before = resident_kib();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct yaml_document document = {0};
        struct error error;
        char *text = repeat_new(texts[i].prefix, texts[i].unit, MEBIBYTE);
        assert_int_not_equal(yaml_parse(text, strlen(text), &document, &error), 0);
        free(text);
    }
    /* 358 MB for the first alone, before there was a scan; sanitizers keep what is freed. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(resident_kib() - before, 0, 100 * 1024);
#else
    (void)before;
#endif
}

static void brackets_in_texts_do_not_count(void **state)
{
    static const char *const prefixes[] = {"a: |\n  ", "a: \"", "a: x", "# ", "a: b\n  "};
    static const char *const ends[] = {"\n", "\"\n", "\n", "\n", "\n"};

    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        struct yaml_document document = {0};
        struct error error;
        char *text = repeat_new(prefixes[i], "[", MEBIBYTE);
        size_t length = strlen(text);
        memcpy(text + length - strlen(ends[i]), ends[i], strlen(ends[i]));
        assert_int_equal(yaml_parse(text, length, &document, &error), 0);
        yaml_fini(&document);
        free(text);
    }
}

static void assert_refused(const char *text, const char *expected)
{
    struct yaml_document document = {0};
    struct error error;

    assert_int_not_equal(yaml_parse(text, strlen(text), &document, &error), 0);
    assert_string_equal(error.text, expected);
}

static void scalars_have_their_types_and_aliases_stand_for_copies(void **state)
{
    static const char text[] = "a: &x [1, {b: &y c}]\nd: *x\ne: *y\nx: &x 2\nf: *x\n"
                               "n: [1, 0x1F, 1.5, ~, true, \"1\"]\n";
    struct yaml_document document;
    struct error error;

    (void)state;
    assert_int_equal(yaml_parse(text, strlen(text), &document, &error), 0);
    json_t *json = yaml_to_json(document.root);
    char *shown = json_dumps(json, JSON_COMPACT);
    assert_string_equal(
        shown, "{\"a\":[1,{\"b\":\"c\"}],\"d\":[1,{\"b\":\"c\"}],\"e\":\"c\",\"x\":2,\"f\":2,"
               "\"n\":[1,31,1.5,null,true,\"1\"]}");
    free(shown);
    json_decref(json);
    yaml_fini(&document);
}

static void alias_bombs_are_refused(void **state)
{
    (void)state;
    assert_refused("a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
                   "6:8: more than 300000 values");
    assert_refused("a: &a [*a]\n", "1:8: an alias inside what it stands for");
    char *text = repeat_new("a: &a \"", "x", MEBIBYTE / 2);
    char *bomb = realloc(text, MEBIBYTE);
    assert_non_null(bomb);
    size_t length = strlen(bomb);
    memcpy(bomb + length, "\"\nb: [", strlen("\"\nb: [") + 1);
    for (int i = 0; i < 40; i++)
        strcat(bomb + length, "*a,");
    strcat(bomb + length, "]\n");
    assert_refused(bomb, "2:101: aliases for more than 16 MiB");
    free(bomb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_files_take_no_large_memory),
        cmocka_unit_test(brackets_in_texts_do_not_count),
        cmocka_unit_test(scalars_have_their_types_and_aliases_stand_for_copies),
        cmocka_unit_test(alias_bombs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
