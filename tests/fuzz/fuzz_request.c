/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The head of an HTTP request. Oracles: the end is found wherever the text is cut; what was parsed,
 * written again and parsed again is the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/request.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy with the terminator that the parser needs; the caller frees it. */
static char *copy(const void *data, size_t size)
{
    char *text = malloc(size + 1);

    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

static void write_headers(FILE *out, const char *list)
{
    while (list[0] != '\0') {
        const char *value = list + strlen(list) + 1;
        fprintf(out, "%s: %s\r\n", list, value);
        list = value + strlen(value) + 1;
    }
}

static void check_same_list(const char *a, const char *b)
{
    for (; a[0] != '\0'; a += strlen(a) + 1, b += strlen(b) + 1) {
        CHECK(strcmp(a, b) == 0);
        a += strlen(a) + 1;
        b += strlen(b) + 1;
        CHECK(strcmp(a, b) == 0);
    }
    CHECK(b[0] == '\0');
}

static void check_again(const struct http_request *request)
{
    struct http_request again;
    char *text = NULL;
    size_t bytes = 0;

    FILE *out = open_memstream(&text, &bytes);
    CHECK(out != NULL);
    fprintf(out, "%s /x HTTP/1.1\r\n", request->method);
    write_headers(out, request->headers);
    fputs("\r\n", out);
    CHECK(fclose(out) == 0);
    CHECK(http_request_end(text, bytes, 0) == bytes);
    CHECK(http_request_parse(text, bytes, &again) == 0);
    CHECK(strcmp(again.method, request->method) == 0);
    CHECK(strcmp(again.path, "/x") == 0);
    check_same_list(request->headers, again.headers);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request;

    char *text = copy(data, size);
    size_t end = http_request_end(text, size, 0);
    CHECK(end <= size);
    for (size_t cut = 0; cut < size && cut < 64; cut++) {
        char *part = copy(data, cut);
        size_t early = http_request_end(part, cut, 0);
        CHECK(early == (end > 0 && cut >= end ? end : 0));
        CHECK(early != 0 || http_request_end(text, size, cut) == end);
        free(part);
    }
    free(text);
    if (end == 0)
        return 0;

    text = copy(data, end);
    if (http_request_parse(text, end, &request) == 0) {
        CHECK(request.path[0] != '\0');
        check_again(&request);
    }
    free(text);
    return 0;
}
