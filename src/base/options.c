#include "base/options.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

#define SHOWN_BYTES 80

__attribute__((format(printf, 2, 3))) static enum options_event fail(struct options *options,
                                                                     const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(options->error, sizeof options->error, format, arguments);
    va_end(arguments);
    return OPTIONS_ERROR;
}

int options_refuse(const char *name, const char *value, const char *expected, char *message,
                   size_t capacity)
{
    char shown[SHOWN_BYTES];

    text_escape(value, shown, sizeof shown);
    snprintf(message, capacity, "option '--%s': '%s' is not %s", name, shown, expected);
    return -1;
}

static enum options_event fail_unknown(struct options *options, const char *word)
{
    char shown[SHOWN_BYTES];

    text_escape(word, shown, sizeof shown);
    return fail(options, "unknown option '%s'", shown);
}

/* A dash alone is a word: it names the standard input to many programs. */
static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

/* The argument after the option, if there is one; not consumed. */
static const char *following(const struct options *options)
{
    return options->index < options->argc ? options->argv[options->index] : NULL;
}

static bool is_boolean(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static enum options_event take_switch(struct options *options, const char *attached)
{
    char shown[SHOWN_BYTES];
    const char *next = following(options);

    options->value = attached;
    if (attached == NULL && options->letters == NULL && next != NULL && is_boolean(next)) {
        options->value = next;
        options->index++;
    } else if (attached == NULL) {
        options->value = "true";
    }
    if (is_boolean(options->value))
        return OPTIONS_OPTION;
    text_escape(options->value, shown, sizeof shown);
    return fail(options, "option '--%s' takes true or false, not '%s'", options->spec->name, shown);
}

/* A number below zero was surely meant as the value; any other word may be the next option. */
static bool is_negative(const struct option_spec *specs, const char *word)
{
    if (word[0] != '-' || word[1] < '0' || word[1] > '9')
        return false;
    while (specs->name != NULL && specs->letter != word[1])
        specs++;
    return specs->name == NULL;
}

static enum options_event fail_no_value(struct options *options, const char *next)
{
    const char *name = options->spec->name;
    char shown[SHOWN_BYTES];

    if (next == NULL || !is_negative(options->specs, next))
        return fail(options, "option '--%s' needs a value", name);
    text_escape(next, shown, sizeof shown);
    return fail(options, "option '--%s' needs a value; one that begins with '-' needs '--%s=%s'",
                name, name, shown);
}

static enum options_event take_value(struct options *options, const char *attached)
{
    const char *next = following(options);

    options->value = attached;
    if (attached != NULL)
        return OPTIONS_OPTION;
    if (next == NULL || is_option(next))
        return fail_no_value(options, next);
    options->value = next;
    options->index++;
    return OPTIONS_OPTION;
}

/* attached: the value in the same argument; NULL: none. */
static enum options_event take(struct options *options, const char *attached)
{
    switch (options->spec->kind) {
    case OPTION_FLAG:
        options->value = NULL;
        if (attached != NULL)
            return fail(options, "option '--%s' takes no value", options->spec->name);
        return OPTIONS_OPTION;
    case OPTION_SWITCH:
        return take_switch(options, attached);
    case OPTION_VALUE:
        return take_value(options, attached);
    }
    return OPTIONS_ERROR;
}

static enum options_event take_name(struct options *options, const char *word)
{
    const char *name = word + strlen("--");
    size_t length = strcspn(name, "=");

    for (const struct option_spec *spec = options->specs; spec->name != NULL; spec++) {
        if (strlen(spec->name) == length && memcmp(spec->name, name, length) == 0) {
            options->spec = spec;
            return take(options, name[length] == '=' ? name + length + 1 : NULL);
        }
    }
    return fail_unknown(options, word);
}

/* What follows a letter is its value after a `=`, or if it needs one; otherwise more letters. */
static enum options_event take_letter(struct options *options)
{
    const char *rest = options->letters + 1;

    for (const struct option_spec *spec = options->specs; spec->name != NULL; spec++) {
        if (spec->letter != *options->letters)
            continue;
        bool is_attached = *rest == '=' || (*rest != '\0' && spec->kind == OPTION_VALUE);
        options->spec = spec;
        options->letters = is_attached || *rest == '\0' ? NULL : rest;
        return take(options, is_attached ? rest + (*rest == '=') : NULL);
    }
    return fail_unknown(options, options->argv[options->index - 1]);
}

void options_init(struct options *options, const struct option_spec *specs,
                  enum options_words words, int argc, char *const *argv)
{
    *options =
        (struct options){.specs = specs, .words = words, .argc = argc, .argv = argv, .index = 1};
}

enum options_event options_next(struct options *options)
{
    const char *word;

    if (options->letters != NULL)
        return take_letter(options);
    word = following(options);
    if (word != NULL && !options->only_words && strcmp(word, "--") == 0) {
        options->only_words = true;
        options->index++;
        word = following(options);
    }
    if (word == NULL)
        return OPTIONS_END;
    if (options->only_words || !is_option(word)) {
        if (options->words == OPTIONS_STOP_AT_WORD)
            return OPTIONS_END;
        options->index++;
        options->spec = NULL;
        options->value = word;
        return OPTIONS_WORD;
    }
    options->index++;
    if (word[1] == '-')
        return take_name(options, word);
    options->letters = word + 1;
    return take_letter(options);
}

/* The left column of a row; returns its width. */
static int print_left(char *text, size_t capacity, const struct option_spec *spec)
{
    char letter[] = "    ";
    const char *value = "";

    if (spec->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", spec->letter);
    if (spec->kind == OPTION_SWITCH)
        value = "[BOOL]";
    else if (spec->kind == OPTION_VALUE)
        value = spec->placeholder;
    return snprintf(text, capacity, "  %s--%s%s%s", letter, spec->name, *value != '\0' ? " " : "",
                    value);
}

void options_print_help(FILE *stream, const struct option_spec *specs)
{
    char left[SHOWN_BYTES];
    int column = 0;

    for (const struct option_spec *spec = specs; spec->name != NULL; spec++) {
        int width = spec->hidden ? 0 : print_left(left, sizeof left, spec);
        column = width > column ? width : column;
    }
    for (const struct option_spec *spec = specs; spec->name != NULL; spec++) {
        if (spec->hidden)
            continue;
        print_left(left, sizeof left, spec);
        fprintf(stream, "%-*s  %s", column, left, spec->help);
        if (spec->default_text != NULL)
            fprintf(stream, " [default: %s]", spec->default_text);
        if (spec->environment != NULL)
            fprintf(stream, " [environment: %s]", spec->environment);
        fputc('\n', stream);
    }
}
