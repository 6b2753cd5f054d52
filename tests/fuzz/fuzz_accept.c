/** @file
 * The Accept header. Oracles: a header that is made from known ranges gives what follows from them,
 * however it is written and whatever foreign ranges stand between; and any bytes at all give the
 * same with other capitals, and yield to a range that outweighs everything.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/accept.h"
#include "support/check.h"
#include "support/input.h"

#define OPENMETRICS "application/openmetrics-text"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum range {
    ANY,
    TEXT_ANY,
    TEXT_PLAIN,
    OM,
    OM_OTHER_VERSION,
    FOREIGN,
    RANGES
};

static void write_name(FILE *out, enum range range, unsigned style)
{
    static const char *const names[RANGES] = {"*/*",
                                              "text/*",
                                              "text/plain",
                                              OPENMETRICS,
                                              "application/openmetrics-text; version=9",
                                              "x/y; z=\",\\\";q=1\""};
    static const char *const spaces[] = {"", " ", "\t", "  "};
    fputs(spaces[style & 3], out);
    for (const char *c = names[range]; *c != '\0'; c++)
        fputc(style & 4 && range != FOREIGN ? toupper((unsigned char)*c) : *c, out);
    if (style & 8)
        fputs(" ;charset=\"utf-8;,\"", out);
}

/* Writes one range and notes its weight, which must be 0 to 1000. */
static void write_range(FILE *out, struct input *input, int weights[RANGES])
{
    enum range range = (enum range)(input_take(input) % RANGES);
    unsigned style = input_take(input);
    int q = (int)((input_take(input) * 256 + input_take(input)) % 1001);
    write_name(out, range, style);
    if (style & 16)
        q = 1000;
    else
        fprintf(out, style & 32 ? " ; Q=%d.%03d" : ";q=%d.%03d", q / 1000, q % 1000);
    fputs(style & 64 ? " ,," : ",", out);
    if (q > weights[range])
        weights[range] = q;
}

static bool expected(const int weights[RANGES])
{
    int text = weights[TEXT_PLAIN];
    if (text < 0)
        text = weights[TEXT_ANY];
    if (text < 0)
        text = weights[ANY];
    return weights[OM] > 0 && weights[OM] >= text;
}

static void check_made(struct input input)
{
    int weights[RANGES] = {-1, -1, -1, -1, -1, -1};
    char *header = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&header, &bytes);
    CHECK(out != NULL);
    while (input.size > 0)
        write_range(out, &input, weights);
    CHECK(fclose(out) == 0);
    CHECK(accept_openmetrics(header) == expected(weights));
    free(header);
}

static bool accepts_with(const char *before, const char *header, const char *after)
{
    char *text = NULL;
    CHECK(asprintf(&text, "%s%s%s", before, header, after) >= 0);
    bool accepts = accept_openmetrics(text);
    free(text);
    return accepts;
}

static void check_any(struct input input)
{
    /* An allocation that ends with the terminator, so that reading past it is seen. */
    char *header = strndup(input.size > 0 ? (const char *)input.data : "", input.size);
    CHECK(header != NULL);
    bool accepts = accept_openmetrics(header);
    CHECK(accepts_with(" ,", header, "") == accepts);
    CHECK(accepts_with("x/y,", header, "") == accepts);
    CHECK(accepts_with(OPENMETRICS ",", header, ""));
    for (char *c = header; *c != '\0'; c++)
        *c = (char)(isupper((unsigned char)*c) ? tolower((unsigned char)*c)
                                               : toupper((unsigned char)*c));
    CHECK(accept_openmetrics(header) == accepts);
    free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    check_made(input);
    check_any(input);
    return 0;
}
