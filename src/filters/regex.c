/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>

#include "filters/regex_syntax.h"

/* Steps of one search, which the matcher counts as it goes back to try something else. */
#define MATCH_LIMIT 100000
#define DEPTH_LIMIT 1000
#define HEAP_LIMIT_KIB 1024
#define JIT_STACK_BYTES (256 * 1024)
#define NEST_LIMIT 100

struct regex {
    pcre2_code *code;
};

struct regex_memory {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* NULL: the system's */
};

int regex_new(struct regex **regex, const char *pattern, struct error *error)
{
    char *translated = malloc(REGEX_TRANSLATED_BYTES);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    struct regex *made = calloc(1, sizeof *made);
    bool is_unicode = true;
    int code = translated != NULL && context != NULL && made != NULL
                   ? regex_translate(pattern, translated, &is_unicode, error)
                   : error_set(error, -ENOMEM, "out of memory");

    if (code == 0) {
        uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C;
        if (is_unicode)
            options |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
        PCRE2_UCHAR text[128];
        PCRE2_SIZE at;
        int reason;
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        pcre2_set_parens_nest_limit(context, NEST_LIMIT);
        made->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED, options, &reason,
                                   &at, context);
        if (made->code == NULL) {
            pcre2_get_error_message(reason, text, sizeof text);
            code = error_set(error, -EINVAL, "expected a regular expression: %s", (char *)text);
        } else { /* without executable memory it is interpreted */
            (void)pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE);
        }
    }
    pcre2_compile_context_free(context);
    free(translated);
    if (code != 0) {
        free(made);
        return code;
    }
    *regex = made;
    return 0;
}

void regex_free(struct regex *regex)
{
    if (regex == NULL)
        return;
    pcre2_code_free(regex->code);
    free(regex);
}

struct regex_memory *regex_memory_new(const struct regex *regex)
{
    struct regex_memory *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
    made->context = pcre2_match_context_create(NULL);
    if (made->data == NULL || made->context == NULL) {
        regex_memory_free(made);
        return NULL;
    }
    made->stack = pcre2_jit_stack_create(JIT_STACK_BYTES, JIT_STACK_BYTES, NULL);
    pcre2_set_match_limit(made->context, MATCH_LIMIT);
    pcre2_set_depth_limit(made->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(made->context, HEAP_LIMIT_KIB);
    if (made->stack != NULL)
        pcre2_jit_stack_assign(made->context, NULL, made->stack);
    return made;
}

void regex_memory_free(struct regex_memory *memory)
{
    if (memory == NULL)
        return;
    pcre2_match_data_free(memory->data);
    pcre2_match_context_free(memory->context);
    pcre2_jit_stack_free(memory->stack);
    free(memory);
}

unsigned regex_find(const struct regex *regex, struct regex_memory *memory, const uint8_t *data,
                    size_t bytes, size_t *begin, size_t *end)
{
    const PCRE2_SIZE *places = pcre2_get_ovector_pointer(memory->data);
    if (pcre2_match(regex->code, data, bytes, 0, 0, memory->data, memory->context) <= 0)
        return 0;
    *begin = places[0];
    *end = places[1];
    /* An empty match right behind another one does not count. */
    int found = pcre2_match(regex->code, data, bytes, *end, PCRE2_NOTEMPTY_ATSTART, memory->data,
                            memory->context);
    return found > 0 ? 2 : 1;
}
