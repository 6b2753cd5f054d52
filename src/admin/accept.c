#include "admin/accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* What a range can be for us, from the least specific. */
enum range {
    RANGE_ANY,
    RANGE_TEXT_ANY,
    RANGE_TEXT_PLAIN,
    RANGE_OPENMETRICS,
    RANGES
};

struct span {
    const char *text;
    size_t bytes;
};

#define NO_Q (-1)

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span span)
{
    while (span.bytes > 0 && is_space(span.text[0])) {
        span.text++;
        span.bytes--;
    }
    while (span.bytes > 0 && is_space(span.text[span.bytes - 1]))
        span.bytes--;
    return span;
}

static bool equals(struct span span, const char *text)
{
    return span.bytes == strlen(text) && strncasecmp(span.text, text, span.bytes) == 0;
}

/* Cuts off what stands before the first separator outside of quotes. Returns false at the end. */
static bool next_part(struct span *rest, char separator, struct span *part)
{
    bool quoted = false;
    size_t i = 0;
    if (rest->text == NULL)
        return false;
    for (; i < rest->bytes && (quoted || rest->text[i] != separator); i++) {
        if (rest->text[i] == '"')
            quoted = !quoted;
        else if (quoted && rest->text[i] == '\\' && i + 1 < rest->bytes)
            i++;
    }
    *part = trim((struct span){rest->text, i});
    if (i < rest->bytes)
        *rest = (struct span){rest->text + i + 1, rest->bytes - i - 1};
    else
        rest->text = NULL;
    return true;
}

/* Reads a qvalue: 0 to 1 with at most three decimals. Returns thousandths, or NO_Q. */
static int parse_q(struct span q)
{
    if (q.bytes == 0 || q.bytes > 5 || (q.text[0] != '0' && q.text[0] != '1'))
        return NO_Q;
    if (q.bytes > 1 && q.text[1] != '.')
        return NO_Q;
    int value = (q.text[0] - '0') * 1000;
    int place = 100;
    for (size_t i = 2; i < q.bytes; i++, place /= 10) {
        if (q.text[i] < '0' || q.text[i] > '9')
            return NO_Q;
        value += (q.text[i] - '0') * place;
    }
    return value <= 1000 ? value : NO_Q;
}

static enum range range_of(struct span name)
{
    static const char *const names[RANGES] = {"*/*", "text/*", "text/plain",
                                              "application/openmetrics-text"};
    size_t i = 0;
    while (i < RANGES && !equals(name, names[i]))
        i++;
    return (enum range)i;
}

/* Reads the parameters of a range. Returns its q, or NO_Q when it does not count. */
static int read_parameters(struct span rest, enum range range)
{
    struct span parameter;
    int q = 1000;
    while (q != NO_Q && next_part(&rest, ';', &parameter)) {
        struct span name;
        struct span value = {"", 0};
        struct span after = parameter;
        next_part(&after, '=', &name);
        if (after.text != NULL)
            value = trim(after);
        if (equals(name, "q"))
            q = parse_q(value);
        else if (range == RANGE_OPENMETRICS && equals(name, "version") && !equals(value, "1.0.0") &&
                 !equals(value, "\"1.0.0\""))
            q = NO_Q;
    }
    return q;
}

bool accept_openmetrics(const char *accept)
{
    int q[RANGES] = {NO_Q, NO_Q, NO_Q, NO_Q};
    struct span rest = {accept, accept != NULL ? strlen(accept) : 0};
    struct span element;
    while (next_part(&rest, ',', &element)) {
        struct span name;
        next_part(&element, ';', &name);
        enum range range = range_of(name);
        if (range == RANGES)
            continue;
        int value = read_parameters(element, range);
        if (value > q[range])
            q[range] = value;
    }
    int text = 0;
    for (enum range i = RANGE_ANY; i <= RANGE_TEXT_PLAIN; i++)
        text = q[i] != NO_Q ? q[i] : text;
    return q[RANGE_OPENMETRICS] > 0 && q[RANGE_OPENMETRICS] >= text;
}
