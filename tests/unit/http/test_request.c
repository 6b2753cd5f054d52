/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "http/request.h"

/* A head on the heap, so that AddressSanitizer sees each byte too many; the caller frees it. */
static char *copy(const char *text, size_t bytes)
{
    char *head = malloc(bytes + 1);

    assert_non_null(head);
    memcpy(head, text, bytes);
    head[bytes] = 'x';
    return head;
}

static void check_refused(const char *text, size_t bytes, unsigned expected)
{
    struct http_request request;
    char *head = copy(text, bytes);

    assert_int_equal(http_request_parse(head, bytes, &request), expected);
    free(head);
}

static void check_path(const char *target, const char *expected)
{
    char text[256];
    struct http_request request;
    int bytes = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    char *head = copy(text, (size_t)bytes);

    assert_int_equal(http_request_parse(head, (size_t)bytes, &request), 0);
    assert_string_equal(request.path, expected);
    assert_string_equal(request.method, "GET");
    assert_string_equal(http_request_header(&request, "host"), "a");
    free(head);
}

static void the_end_is_the_empty_line_however_the_text_comes(void **state)
{
    static const struct {
        const char *text;
        size_t end;
    } heads[] = {{"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n", 24},
                 {"GET / HTTP/1.1\nA: b\n\nbody", 21},
                 {"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22},
                 {"GET / HTTP/1.1\r\nA: b\r\n", 0},
                 {"\r\n\r\n\r\n", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t bytes = strlen(heads[i].text);
        for (size_t step = 1; step <= bytes; step++) {
            size_t end = 0, from = 0;
            for (size_t have = step; end == 0 && from < bytes; have += step) {
                have = have < bytes ? have : bytes;
                char *text = copy(heads[i].text, have);
                text[have] = '\0';
                end = http_request_end(text, have, from);
                from = have;
                free(text);
            }
            assert_int_equal(end, heads[i].end);
        }
    }
}

static void a_target_has_two_forms(void **state)
{
    (void)state;
    check_path("/live", "/live");
    check_path("/live?a=b", "/live");
    check_path("http://host/live", "/live");
    check_path("http://host/live?access=true", "/live");
    check_path("http://host:8000/live", "/live");
    check_path("http://[::1]:8000/live", "/live");
    check_path("https://user@host/live", "/live");
    check_path("HTTP://HOST/live", "/live");
    check_path("http://host", "/");
    check_path("http://host?a=b", "/");
    check_path("http:/live", "http:/live");
    check_path("*", "*");
    check_path("host:80", "host:80");
    check_path("//live", "//live");
}

static void a_path_is_decoded_once(void **state)
{
    (void)state;
    check_path("/l%69ve", "/live");
    check_path("/%4C%4c", "/LL");
    check_path("/%2541", "/%41");
    check_path("/%00", "/%00");
    check_path("/%", "/%");
    check_path("/%4", "/%4");
    check_path("/%g1", "/%g1");
    check_path("/a%3fb", "/a?b");
}

static void a_query_is_looked_up_by_key(void **state)
{
    static const char text[] = "GET /?a=1&b=&&c&=d&e=x%3d%26y&a=2&%61b=3&f=%00 HTTP/1.1\r\n\r\n";
    struct http_request request;
    char *head = copy(text, sizeof text - 1);

    (void)state;
    assert_int_equal(http_request_parse(head, sizeof text - 1, &request), 0);
    assert_string_equal(http_request_query(&request, "a"), "1");
    assert_string_equal(http_request_query(&request, "b"), "");
    assert_null(http_request_query(&request, "c"));
    assert_string_equal(http_request_query(&request, "e"), "x=&y");
    assert_string_equal(http_request_query(&request, "ab"), "3");
    assert_string_equal(http_request_query(&request, "f"), "%00");
    assert_null(http_request_query(&request, "A"));
    free(head);
}

static void the_keys_of_a_query_come_in_turn(void **state)
{
    static const char text[] = "GET /?a=1&b=&&c&a=2 HTTP/1.1\r\n\r\n";
    struct http_request request;
    const char *key = NULL, *value;
    char *head = copy(text, sizeof text - 1), found[16] = "";

    (void)state;
    assert_int_equal(http_request_parse(head, sizeof text - 1, &request), 0);
    while ((key = http_request_next(&request, key, &value)) != NULL)
        strcat(strcat(strcat(found, key), value), " ");
    assert_string_equal(found, "a1 b a2 ");
    request.query = "";
    assert_null(http_request_next(&request, NULL, &value));
    free(head);
}

static void headers_are_looked_up_in_any_case_and_trimmed(void **state)
{
    static const char text[] = "\r\nHEAD / HTTP/1.0\nAccept:\t a b \t\r\nempty:\r\nACCEPT: c\r\n"
                               "x:y:z\n\r\n";
    struct http_request request;
    char *head = copy(text, sizeof text - 1);

    (void)state;
    assert_int_equal(http_request_parse(head, sizeof text - 1, &request), 0);
    assert_string_equal(request.method, "HEAD");
    assert_string_equal(http_request_header(&request, "aCCept"), "a b");
    assert_string_equal(http_request_header(&request, "Empty"), "");
    assert_string_equal(http_request_header(&request, "X"), "y:z");
    assert_null(http_request_header(&request, "y"));
    assert_null(http_request_query(&request, "Accept"));
    free(head);
}

static void what_is_no_request_is_refused(void **state)
{
    static const char *const malformed[] = {"GET\r\n\r\n",
                                            "GET /\r\n\r\n",
                                            " / HTTP/1.1\r\n\r\n",
                                            "G(T / HTTP/1.1\r\n\r\n",
                                            "GET / HTTPS/1.1\r\n\r\n",
                                            "GET /a b HTTP/1.1\r\n\r\n",
                                            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                            "GET / HTTP/1.1\r\n: no name\r\n\r\n",
                                            "GET / HTTP/1.1\r\nA : space\r\n\r\n",
                                            "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"};
    static const char *const versions[] = {"GET / HTTP/2.0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                                           "GET / HTTP/1.11\r\n\r\n", "GET / HTTP/\r\n\r\n"};
    static const char with_nul[] = "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n";

    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        check_refused(malformed[i], strlen(malformed[i]), 400);
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        check_refused(versions[i], strlen(versions[i]), 505);
    check_refused(with_nul, sizeof with_nul - 1, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_the_empty_line_however_the_text_comes),
        cmocka_unit_test(a_target_has_two_forms),
        cmocka_unit_test(a_path_is_decoded_once),
        cmocka_unit_test(a_query_is_looked_up_by_key),
        cmocka_unit_test(the_keys_of_a_query_come_in_turn),
        cmocka_unit_test(headers_are_looked_up_in_any_case_and_trimmed),
        cmocka_unit_test(what_is_no_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
