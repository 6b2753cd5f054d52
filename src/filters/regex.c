/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>

#include "filters/regex_syntax.h"

/* What one search may cost: a step for each part of the expression that is tried, and for each byte
 * that was passed since the last one. The matcher's own limit counts neither the bytes that one
 * repetition takes nor those that it gives back, and begins anew at each byte. */
#define STEPS 10000
#define STEPS_PER_BYTE 20
#define HEAP_LIMIT_KIB 32768
#define JIT_STACK_BYTES ((size_t)32 << 10)
#define JIT_STACK_MAX_BYTES ((size_t)16 << 20) /* pages are used as a search needs them */
#define NEST_LIMIT 100

struct regex {
    pcre2_code *code;
};

struct regex_memory {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* NULL: the system's */
    size_t steps, last;     /* steps that are left, and where the last one was */
};

static int count_steps(pcre2_callout_block *block, void *user)
{
    struct regex_memory *memory = user;
    size_t at = block->current_position;
    size_t cost = 1 + (at > memory->last ? at - memory->last : memory->last - at);
    memory->last = at;
    if (cost > memory->steps)
        return PCRE2_ERROR_CALLOUT;
    memory->steps -= cost;
    return 0;
}

int regex_new(struct regex **regex, const char *pattern, struct error *error)
{
    char *translated = malloc(REGEX_TRANSLATED_BYTES);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    struct regex *made = calloc(1, sizeof *made);
    bool is_unicode = true;
    int code = translated != NULL && context != NULL && made != NULL
                   ? regex_translate(pattern, translated, &is_unicode, error)
                   : error_set(error, -ENOMEM, "out of memory");

    if (code == 0 && made != NULL) {
        uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C |
                           PCRE2_AUTO_CALLOUT;
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
    made->stack = pcre2_jit_stack_create(JIT_STACK_BYTES, JIT_STACK_MAX_BYTES, NULL);
    pcre2_set_heap_limit(made->context, HEAP_LIMIT_KIB);
    pcre2_set_callout(made->context, count_steps, made);
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
    memory->steps = STEPS + STEPS_PER_BYTE * bytes;
    memory->last = 0;
    if (pcre2_match(regex->code, data, bytes, 0, 0, memory->data, memory->context) <= 0)
        return 0;
    *begin = places[0];
    *end = places[1];
    /* An empty match right behind another one does not count. */
    int found = pcre2_match(regex->code, data, bytes, *end, PCRE2_NOTEMPTY_ATSTART, memory->data,
                            memory->context);
    return found > 0 ? 2 : 1;
}
