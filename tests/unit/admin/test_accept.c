#include "support/cmocka.h"

#include "admin/accept.h"

#define OPENMETRICS "application/openmetrics-text"

struct row {
    const char *accept;
    bool expected;
};

static void check(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (accept_openmetrics(rows[i].accept) != rows[i].expected)
            print_error("Accept: %s\n", rows[i].accept);
        assert_int_equal(accept_openmetrics(rows[i].accept), rows[i].expected);
    }
}

#define CHECK_ROWS(rows) check((rows), sizeof(rows) / sizeof(rows)[0])

static void text_is_for_who_does_not_name_openmetrics(void **state)
{
    static const struct row rows[] = {{NULL, false},
                                      {"", false},
                                      {"*/*", false},
                                      {"application/*", false},
                                      {"text/plain", false},
                                      {"text/html,application/xml;q=0.9,*/*;q=0.8", false},
                                      {OPENMETRICS "s", false},
                                      {"x" OPENMETRICS, false}};
    (void)state;
    CHECK_ROWS(rows);
}

static void openmetrics_is_for_who_names_it_and_prefers_nothing_else(void **state)
{
    static const struct row rows[] = {{OPENMETRICS, true},
                                      {"APPLICATION/OpenMetrics-Text", true},
                                      {" \t" OPENMETRICS " ", true},
                                      {OPENMETRICS ", text/plain", true},
                                      {"text/plain,," OPENMETRICS, true},
                                      {OPENMETRICS ";q=0.5, text/plain;q=0.5", true},
                                      {OPENMETRICS ";q=0.5, text/plain;q=0.6", false},
                                      {OPENMETRICS ";q=0.5, text/plain;q=0.501", false},
                                      {OPENMETRICS ";q=0", false},
                                      {OPENMETRICS ";q=0.000", false},
                                      {OPENMETRICS ";q=0.001", true}};
    (void)state;
    CHECK_ROWS(rows);
}

static void the_most_specific_range_speaks_for_text(void **state)
{
    static const struct row rows[] = {
        {OPENMETRICS ";q=0.5, */*", false},
        {OPENMETRICS ";q=0.5, text/*", false},
        {OPENMETRICS ";q=0.5, */*, text/*;q=0.4", true},
        {OPENMETRICS ";q=0.5, text/plain;q=0.1, text/*;q=0.9, */*", true},
        {OPENMETRICS ";q=0.5, text/plain;q=0.1, text/plain;version=0.0.4;q=0.9", false}};
    (void)state;
    CHECK_ROWS(rows);
}

static void other_versions_of_openmetrics_do_not_count(void **state)
{
    static const struct row rows[] = {
        {OPENMETRICS ";version=1.0.0", true},
        {OPENMETRICS "; version=\"1.0.0\"; charset=utf-8", true},
        {OPENMETRICS ";version=0.0.1", false},
        {OPENMETRICS ";version=2.0.0, text/plain;q=0.1", false},
        {OPENMETRICS ";version=1.0.0;q=0.2," OPENMETRICS ";version=0.0.1,text/plain;q=0.3", false},
        {OPENMETRICS ";version=1.0.0," OPENMETRICS ";version=0.0.1;q=0.75,"
                     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         true}};
    (void)state;
    CHECK_ROWS(rows);
}

static void a_q_that_is_none_makes_its_range_void(void **state)
{
    static const struct row rows[] = {{OPENMETRICS ";q=", false},
                                      {OPENMETRICS ";q", false},
                                      {OPENMETRICS ";q=1.001", false},
                                      {OPENMETRICS ";q=2", false},
                                      {OPENMETRICS ";q=-1", false},
                                      {OPENMETRICS ";q=0.1234", false},
                                      {OPENMETRICS ";q=.5", false},
                                      {OPENMETRICS ";q=0,5", false},
                                      {OPENMETRICS ";q=1e9", false},
                                      {OPENMETRICS ";q=\"1\"", false},
                                      {OPENMETRICS ";q=1.", true},
                                      {OPENMETRICS ";q=1.000", true},
                                      {OPENMETRICS ";Q=0.5", true},
                                      {OPENMETRICS " ; q = 0.5 ", true},
                                      {OPENMETRICS ", text/plain;q=9", true}};
    (void)state;
    CHECK_ROWS(rows);
}

static void quotes_hide_separators(void **state)
{
    static const struct row rows[] = {
        {"a/b;c=\"," OPENMETRICS "\"", false}, {"a/b;c=\"\\\"," OPENMETRICS "\"", false},
        {"a/b;c=\"\\\\\"," OPENMETRICS, true}, {OPENMETRICS ";c=\";q=0\"", true},
        {OPENMETRICS ";c=\"", true},           {OPENMETRICS ";c=\"\\", true}};
    (void)state;
    CHECK_ROWS(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_for_who_does_not_name_openmetrics),
        cmocka_unit_test(openmetrics_is_for_who_names_it_and_prefers_nothing_else),
        cmocka_unit_test(the_most_specific_range_speaks_for_text),
        cmocka_unit_test(other_versions_of_openmetrics_do_not_count),
        cmocka_unit_test(a_q_that_is_none_makes_its_range_void),
        cmocka_unit_test(quotes_hide_separators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
