/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What strangers write, as text: durations, numbers, and text to be shown. Oracles: what
 * was read and written again reads the same; what is escaped is one plain line.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/text.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* printf, with room for whatever the input brings. */
__attribute__((format(printf, 1, 2))) static char *text_new(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    return text;
}

static void check_same_duration(int64_t ns, char *text, int expected_result)
{
    int64_t again = -1;

    CHECK(duration_parse(text, &again) == expected_result);
    CHECK(again == (expected_result == 0 ? ns : -1));
    free(text);
}

static void check_duration(const char *text)
{
    char shown[DURATION_TEXT_BYTES];
    int64_t ns = -1;

    if (duration_parse(text, &ns) != 0) {
        CHECK(ns == -1);
        return;
    }
    CHECK(ns >= 0);
    check_same_duration(ns, text_new("%" PRId64 "ns", ns), 0);
    check_same_duration(ns, text_new("%" PRId64 ".%09" PRId64, ns / 1000000000, ns % 1000000000),
                        0);
    check_same_duration(ns, text_new("0%s", text), 0);
    check_same_duration(ns, text_new("-%s", text), -1);
    check_same_duration(ns, text_new(" %s", text), -1);
    check_same_duration(ns, text_new("%s ", text), -1);
    size_t length = duration_format(ns, shown, sizeof shown);
    CHECK(length < sizeof shown && strlen(shown) == length);
    CHECK(length == duration_format(ns, NULL, 0));
}

static void check_number(const char *text)
{
    uint64_t value = 0;
    uint64_t again = 0;

    if (number_parse(text, 0, UINT64_MAX, &value) != 0)
        return;
    char *written = text_new("%" PRIu64, value);
    CHECK(number_parse(written, value, value, &again) == 0 && again == value);
    CHECK(strspn(text, "0") + strlen(written) == strlen(text) || value == 0);
    free(written);
}

static void check_text(const char *text)
{
    size_t capacity = strlen(text) * TEXT_PIECE_BYTES + 4;
    char *whole = malloc(capacity);
    char cut[16];

    CHECK(whole != NULL);
    text_escape(text, whole, capacity);
    CHECK((strcmp(text, whole) == 0) == text_is_plain(text));
    for (const char *next = whole; *next != '\0'; next++)
        CHECK((unsigned char)*next >= 0x20 && *next != 0x7f);
    uint32_t code_point = 0;
    for (size_t at = 0, bytes; (bytes = text_decode(whole + at, &code_point)) > 0; at += bytes)
        CHECK(code_point != TEXT_INVALID);

    text_escape(text, cut, sizeof cut);
    size_t kept = strlen(cut);
    CHECK(kept < sizeof cut);
    if (strcmp(cut, whole) != 0) {
        CHECK(kept >= 3 && strcmp(cut + kept - 3, "...") == 0);
        CHECK(strncmp(cut, whole, kept - 3) == 0);
    }
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An allocation that ends with the terminator, so that reading past it is seen. */
    char *text = strndup(size > 0 ? (const char *)data : "", size);

    CHECK(text != NULL);
    check_duration(text);
    check_number(text);
    check_text(text);
    free(text);
    return 0;
}
