/* SPDX-License-Identifier: Apache-2.0 */
#include "config/flags.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/rows.h"

#define SHOWN_BYTES 128

const struct field *flags_row(const struct field_table *tables, size_t count, size_t row,
                              void **settings)
{
    for (size_t i = 0; i < count; i++) {
        for (const struct field *field = tables[i].fields; rows_is_row(field); field++) {
            if (row-- > 0)
                continue;
            if (settings != NULL)
                *settings = tables[i].settings;
            return field;
        }
    }
    return NULL;
}

/* A dash alone is a word: it names the standard input to many programs. */
static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

static bool is_boolean(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool takes_value(const struct field *field)
{
    return field->kind != FIELD_BOOLEAN && field->kind != FIELD_MARK;
}

/* The argument after the flag, if there is one; not consumed. */
static const char *following(const struct flags_reader *reader)
{
    return reader->index < reader->argc ? reader->argv[reader->index] : NULL;
}

static enum flags_event fail_unknown(struct flags_reader *reader, const char *word)
{
    char shown[SHOWN_BYTES];

    text_escape(word, shown, sizeof shown);
    error_set(reader->error, -EINVAL, "unknown option '%s'", shown);
    return FLAGS_ERROR;
}

/* Finds the row with a long name or a letter. */
static bool find(struct flags_reader *reader, const char *name, size_t length, char letter)
{
    for (size_t row = 0;
         (reader->field = flags_row(reader->tables, reader->count, row, NULL)) != NULL; row++) {
        const char *flag = reader->field->flag;
        reader->row = row;
        if (flag == NULL)
            continue;
        if (letter != '\0' ? reader->field->letter == letter
                           : strlen(flag) == length && memcmp(flag, name, length) == 0)
            return true;
    }
    return false;
}

static enum flags_event take_boolean(struct flags_reader *reader, const char *attached)
{
    char shown[SHOWN_BYTES];
    const char *next = following(reader);

    reader->value = attached != NULL ? attached : "true";
    if (attached == NULL && reader->letters == NULL && next != NULL && is_boolean(next)) {
        reader->value = next;
        reader->index++;
    }
    if (is_boolean(reader->value))
        return FLAGS_FLAG;
    text_escape(reader->value, shown, sizeof shown);
    error_set(reader->error, -EINVAL, "option '--%s' takes true or false, not '%s'",
              reader->field->flag, shown);
    return FLAGS_ERROR;
}

/* A number below zero was surely meant as the value; any other word may be the next flag. */
static enum flags_event fail_no_value(struct flags_reader *reader, const char *next)
{
    const struct field *field = reader->field;
    char shown[SHOWN_BYTES];

    if (next == NULL || next[1] < '0' || next[1] > '9' || find(reader, NULL, 0, next[1])) {
        error_set(reader->error, -EINVAL, "option '--%s' needs a value", field->flag);
        return FLAGS_ERROR;
    }
    text_escape(next, shown, sizeof shown);
    error_set(reader->error, -EINVAL,
              "option '--%s' needs a value; one that begins with '-' needs '--%s=%s'", field->flag,
              field->flag, shown);
    return FLAGS_ERROR;
}

/* attached: the value in the same argument; NULL: none. */
static enum flags_event take(struct flags_reader *reader, const char *attached)
{
    const char *next = following(reader);

    if (reader->field->kind == FIELD_BOOLEAN)
        return take_boolean(reader, attached);
    if (reader->field->kind == FIELD_MARK) {
        reader->value = "true";
        if (attached == NULL)
            return FLAGS_FLAG;
        error_set(reader->error, -EINVAL, "option '--%s' takes no value", reader->field->flag);
        return FLAGS_ERROR;
    }
    reader->value = attached;
    if (attached != NULL)
        return FLAGS_FLAG;
    if (next == NULL || is_flag(next))
        return fail_no_value(reader, next);
    reader->value = next;
    reader->index++;
    return FLAGS_FLAG;
}

/* What follows a letter is its value after a `=`, or if it needs one; otherwise more letters. */
static enum flags_event take_letter(struct flags_reader *reader)
{
    const char *rest = reader->letters + 1;

    if (!find(reader, NULL, 0, *reader->letters))
        return fail_unknown(reader, reader->argv[reader->index - 1]);
    bool is_attached = *rest == '=' || (*rest != '\0' && takes_value(reader->field));
    reader->letters = is_attached || *rest == '\0' ? NULL : rest;
    return take(reader, is_attached ? rest + (*rest == '=') : NULL);
}

enum flags_event flags_next(struct flags_reader *reader)
{
    const char *word;

    if (reader->letters != NULL)
        return take_letter(reader);
    word = following(reader);
    if (word != NULL && !reader->only_words && strcmp(word, "--") == 0) {
        reader->only_words = true;
        reader->index++;
        word = following(reader);
    }
    if (word == NULL)
        return FLAGS_END;
    if (reader->only_words || !is_flag(word)) {
        if (reader->stops_at_word)
            return FLAGS_END;
        reader->index++;
        reader->value = word;
        return FLAGS_WORD;
    }
    reader->index++;
    if (word[1] != '-') {
        reader->letters = word + 1;
        return take_letter(reader);
    }
    size_t length = strcspn(word + 2, "=");
    if (!find(reader, word + 2, length, '\0'))
        return fail_unknown(reader, word);
    return take(reader, word[2 + length] == '=' ? word + 2 + length + 1 : NULL);
}

int flags_note(struct flags *flags, const struct field *field, size_t row, const char *text)
{
    char *joined;

    if ((field->flags & FIELD_REPEATED) == 0 || flags->texts[row] == NULL) {
        flags->texts[row] = text;
        return 0;
    }
    if (asprintf(&joined, "%s,%s", flags->texts[row], text) < 0)
        return -ENOMEM;
    free(flags->joined[row]);
    flags->texts[row] = flags->joined[row] = joined;
    return 0;
}

void flags_fini(struct flags *flags)
{
    for (size_t row = 0; row < FLAGS_MAX; row++)
        free(flags->joined[row]);
}

/* A text for a row, and where it comes from. */
struct source {
    const char *dashes; /* "--" for a flag */
    const char *name;
    const char *text; /* NULL: there is none */
};

static int fail_value(struct error *error, const struct source *source, const struct field *field)
{
    char shown[SHOWN_BYTES], expected[FIELD_EXPECTED_BYTES];

    text_escape(source->text, shown, sizeof shown);
    return error_set(error, -EINVAL, "%s%s: expected %s, not '%s'", source->dashes, source->name,
                     field_expected(field, expected), shown);
}

int flags_parse(const struct field_table *table, int argc, char *const *argv,
                struct flags_words *words, struct error *error)
{
    struct flags_reader reader = {
        .tables = table, .count = 1, .argc = argc, .argv = argv, .index = 1, .error = error};
    char shown[SHOWN_BYTES], expected[FIELD_EXPECTED_BYTES];

    for (;;) {
        switch (flags_next(&reader)) {
        case FLAGS_END:
            return 0;
        case FLAGS_ERROR:
            return -EINVAL;
        case FLAGS_WORD:
            if (words->items == NULL) {
                text_escape(reader.value, shown, sizeof shown);
                return error_set(error, -EINVAL, "'%s' is not an option", shown);
            }
            words->items[words->count++] = reader.value;
            break;
        case FLAGS_FLAG:
            if (field_parse_text(reader.field, reader.value, table->settings) == 0)
                break;
            text_escape(reader.value, shown, sizeof shown);
            return error_set(error, -EINVAL, "option '--%s': '%s' is not %s", reader.field->flag,
                             shown, field_expected(reader.field, expected));
        }
    }
}

static struct source find_source(const struct flags *flags, const struct field *field, size_t row,
                                 const struct config_environment *environment)
{
    if (flags->texts[row] != NULL || field->variable == NULL)
        return (struct source){"--", field->flag, flags->texts[row]};
    const char *text = environment->get(field->variable, environment->user);
    return (struct source){"", field->variable, text != NULL && *text != '\0' ? text : NULL};
}

static int apply_alias(const struct flags *flags, size_t row, const struct source *source,
                       const struct config_environment *environment, struct error *error)
{
    const struct field *alias = flags_row(flags->tables, flags->count, row, NULL), *field;
    void *settings;

    row = 0;
    while ((field = flags_row(flags->tables, flags->count, row, &settings)) != NULL &&
           (field->flag == NULL || strcmp(field->flag, alias->alias) != 0))
        row++;
    assert(field != NULL); /* an alias is of a flag that is there */
    bool is_alias_flag = source->dashes[0] != '\0';
    struct source other = find_source(flags, field, row, environment);
    if (other.text != NULL && (other.dashes[0] != '\0') == is_alias_flag &&
        strcmp(other.text, alias->alias_text) != 0)
        return error_set(error, -EINVAL, "%s%s: contradicts %s%s %s", source->dashes, source->name,
                         other.dashes, other.name, other.text);
    if (other.text == NULL || is_alias_flag)
        (void)field_parse_text(field, alias->alias_text, settings);
    return 0;
}

int flags_apply(const struct flags *flags, const struct config_environment *environment,
                bool supported_only, struct error *error)
{
    const struct field *field;
    void *settings;

    for (size_t row = 0; (field = flags_row(flags->tables, flags->count, row, &settings)) != NULL;
         row++) {
        struct source source = find_source(flags, field, row, environment);
        bool is_unsupported = (field->flags & FIELD_UNSUPPORTED) != 0;
        if (source.text == NULL || (is_unsupported && supported_only && source.dashes[0] == '\0'))
            continue;
        if (is_unsupported)
            return error_set(error, -EINVAL, "%s%s: not supported yet", source.dashes, source.name);
        if (field_parse_text(field, source.text, settings) != 0)
            return fail_value(error, &source, field);
    }
    for (size_t row = 0; (field = flags_row(flags->tables, flags->count, row, NULL)) != NULL;
         row++) {
        struct source source = find_source(flags, field, row, environment);
        if (field->alias == NULL || source.text == NULL || strcmp(source.text, "true") != 0)
            continue;
        if (apply_alias(flags, row, &source, environment, error) != 0)
            return -EINVAL;
    }
    return 0;
}

/* The left column of a row; returns its width. */
static int print_left(char text[SHOWN_BYTES], const struct field *field)
{
    char letter[] = "    ";
    const char *value = field->kind == FIELD_BOOLEAN ? "[BOOL]"
                        : field->placeholder != NULL ? field->placeholder
                                                     : "";

    if (field->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", field->letter);
    return snprintf(text, SHOWN_BYTES, "  %s--%s%s%s", letter, field->flag,
                    *value != '\0' ? " " : "", value);
}

static bool is_shown(const struct field *field)
{
    return field->flag != NULL && (field->flags & (FIELD_HIDDEN | FIELD_UNSUPPORTED)) == 0;
}

void flags_print_help(FILE *stream, const struct field_table *tables, size_t count)
{
    const struct field *field;
    char left[SHOWN_BYTES];
    int column = 0;

    for (size_t row = 0; (field = flags_row(tables, count, row, NULL)) != NULL; row++) {
        int width = is_shown(field) ? print_left(left, field) : 0;
        column = width > column ? width : column;
    }
    for (size_t row = 0; (field = flags_row(tables, count, row, NULL)) != NULL; row++) {
        const char *default_text =
            field->default_help != NULL ? field->default_help : field->default_text;
        if (!is_shown(field))
            continue;
        print_left(left, field);
        fprintf(stream, "%-*s  %s", column, left, field->help);
        if (default_text != NULL)
            fprintf(stream, " [default: %s]", default_text);
        if (field->variable != NULL)
            fprintf(stream, " [environment: %s]", field->variable);
        fputc('\n', stream);
    }
}
