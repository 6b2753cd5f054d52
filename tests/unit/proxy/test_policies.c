/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/settings.h"

/* Reads a text; expects an error that ends with a text, or none where that is NULL. */
static struct policies *take(const char *text, const char *expected)
{
    struct proxy_settings settings = {0};
    struct yaml_document document;
    struct error error = {0};
    assert_int_equal(yaml_parse(text, strlen(text), &document, &error), 0);
    int code = field_parse_tree(proxy_section.fields, document.root, &settings, &error);
    yaml_fini(&document);
    assert_string_equal(error.text, expected != NULL ? expected : "");
    assert_int_equal(code != 0, expected != NULL);
    struct policies *policies = NULL;
    assert_int_equal(policies_copy(&policies, settings.policies), 0);
    field_fini(proxy_section.fields, &settings);
    return policies;
}

static void the_locality_decides_or_else_the_star(void **state)
{
    struct policies *policies =
        take("paddock: {udp: {clusters: {'*': {proxy_protocol: first}, eu:west: {}, us: "
             "{proxy_protocol: every}}}}",
             NULL);
    (void)state;
    assert_int_equal(policies_find(policies, "us")->proxy_protocol, POLICY_EVERY_HEADER);
    assert_int_equal(policies_find(policies, "eu:west")->proxy_protocol, POLICY_NO_HEADER);
    assert_int_equal(policies_find(policies, "eu")->proxy_protocol, POLICY_FIRST_HEADER);
    assert_int_equal(policies_find(policies, "")->proxy_protocol, POLICY_FIRST_HEADER);
    assert_int_equal(policies_find(NULL, "us")->proxy_protocol, POLICY_NO_HEADER);
    policies_free(policies);
}

static void the_same_text_is_the_same(void **state)
{
    static const char text[] = "paddock: {udp: {clusters: {us: {proxy_protocol: every}}}}";
    struct policies *a = take(text, NULL), *b = take(text, NULL);
    struct policies *c = take("paddock: {udp: {clusters: {us: {proxy_protocol: first}}}}", NULL);
    (void)state;
    assert_true(policies_equal(a, b));
    assert_false(policies_equal(a, c));
    assert_false(policies_equal(a, NULL));
    assert_true(policies_equal(NULL, NULL));
    policies_free(a);
    policies_free(b);
    policies_free(c);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    take("paddock: {udp: {clusters: []}}",
         "1:27: paddock.udp.clusters: expected a map by locality, found a list");
    take("paddock: {udp: {clusters: {'a:': {}}}}",
         "1:28: paddock.udp.clusters: expected a locality (region[:zone[:sub_zone]]) or '*', found "
         "the text 'a:'");
    take("paddock: {udp: {clusters: {a: 1}}}",
         "1:31: paddock.udp.clusters.a: expected a map, found '1'");
    take("paddock:\n  udp:\n    clusters:\n      a.b: {proxy_protocol: twice}\n",
         "4:29: paddock.udp.clusters.a.b.proxy_protocol: expected off, every or first, found "
         "'twice'");
    take("paddock: {udp: {clusters: {'*': {proxy: every}}}}",
         "1:34: paddock.udp.clusters.*: unknown key 'proxy', expected one of "
         "proxy_protocol, health");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_locality_decides_or_else_the_star),
        cmocka_unit_test(the_same_text_is_the_same),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
