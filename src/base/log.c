/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/text.h"

#define TIMESTAMP_BYTES 48

struct event {
    char timestamp[TIMESTAMP_BYTES];
    enum log_level level;
    const struct log_field *fields;
    size_t count;
};

static const struct {
    const char *name;
    const char *colour;
} levels[] = {
    [LOG_LEVEL_OFF] = {"OFF", ""},
    [LOG_LEVEL_ERROR] = {"ERROR", "\033[31m"},
    [LOG_LEVEL_WARN] = {"WARN", "\033[33m"},
    [LOG_LEVEL_INFO] = {"INFO", "\033[32m"},
    [LOG_LEVEL_DEBUG] = {"DEBUG", "\033[34m"},
    [LOG_LEVEL_TRACE] = {"TRACE", "\033[35m"},
};

/* RFC 3339 with microseconds; times before 1970 count down to the second before. */
static void format_timestamp(int64_t ns, char text[TIMESTAMP_BYTES])
{
    int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);
    int64_t nanoseconds = (ns % 1000000000 + 1000000000) % 1000000000;
    time_t time = (time_t)seconds;
    struct tm utc = {0};

    gmtime_r(&time, &utc);
    size_t length = strftime(text, TIMESTAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, TIMESTAMP_BYTES - length, ".%06" PRId64 "Z", nanoseconds / 1000);
}

static json_t *json_value(const struct log_field *field)
{
    char text[24];

    switch (field->kind) {
    case LOG_KIND_TEXT:
        return field->value.text != NULL ? text_to_json(field->value.text) : json_null();
    case LOG_KIND_INT:
        return json_integer(field->value.integer);
    case LOG_KIND_UINT:
        if (field->value.natural <= INT64_MAX)
            return json_integer((json_int_t)field->value.natural);
        /* JSON's readers, and jansson, have no integers beyond 63 bits: a text is exact where a
         * number would not be. */
        snprintf(text, sizeof text, "%" PRIu64, field->value.natural);
        return json_string(text);
    case LOG_KIND_BOOL:
        return json_boolean(field->value.truth);
    }
    return NULL;
}

/* Where memory ran out jansson hands on NULL: the call that gets it fails, and frees what it was
 * given. */
static int print_json(FILE *line, const struct event *event)
{
    json_t *fields = json_object();
    json_t *root = json_object();
    int error = 0;

    for (size_t i = 0; i < event->count; i++)
        error |= json_object_set_new(fields, event->fields[i].name, json_value(&event->fields[i]));
    error |= json_object_set_new(root, "timestamp", json_string(event->timestamp));
    error |= json_object_set_new(root, "level", json_string(levels[event->level].name));
    error |= json_object_set_new(root, "fields", fields);
    if (error == 0)
        error = json_dumpf(root, line, JSON_COMPACT);
    json_decref(root);
    return error;
}

/* Bare text must not look like the end of a value or like another field: a space ends values,
 * though not messages. */
static void print_value(FILE *line, const struct log_field *field, const char *reserved)
{
    const char *text =
        field->kind == LOG_KIND_TEXT && field->value.text != NULL ? field->value.text : "null";
    bool is_quoted = *text == '\0' || strpbrk(text, reserved) != NULL || !text_is_plain(text);
    char piece[TEXT_PIECE_BYTES];

    switch (field->kind) {
    case LOG_KIND_TEXT:
        fputs(is_quoted ? "\"" : "", line);
        for (size_t bytes; (bytes = text_escape_next(text, piece)) > 0; text += bytes)
            fputs(piece, line);
        fputs(is_quoted ? "\"" : "", line);
        break;
    case LOG_KIND_INT:
        fprintf(line, "%" PRId64, field->value.integer);
        break;
    case LOG_KIND_UINT:
        fprintf(line, "%" PRIu64, field->value.natural);
        break;
    case LOG_KIND_BOOL:
        fputs(field->value.truth ? "true" : "false", line);
        break;
    }
}

static void print_words(FILE *line, const struct event *event, bool coloured)
{
    const char *dim = coloured ? "\033[2m" : "";
    const char *colour = coloured ? levels[event->level].colour : "";
    const char *normal = coloured ? "\033[0m" : "";

    fprintf(line, "%s%s%s %s%5s%s ", dim, event->timestamp, normal, colour,
            levels[event->level].name, normal);
    print_value(line, &event->fields[0], "=");
    for (size_t i = 1; i < event->count; i++) {
        fprintf(line, " %s%s=%s", dim, event->fields[i].name, normal);
        print_value(line, &event->fields[i], "= ");
    }
}

/* The line, between the newline that would end a torn line before it, and its own. NULL: no memory;
 * otherwise free() it. */
static char *line_new(enum log_format format, const struct event *event, size_t *length)
{
    char *bytes = NULL;
    FILE *line = open_memstream(&bytes, length);

    if (line == NULL)
        return NULL;
    fputc('\n', line);
    int error = 0;
    if (format == LOG_FORMAT_JSON)
        error = print_json(line, event);
    else
        print_words(line, event, format == LOG_FORMAT_PRETTY);
    fputc('\n', line);
    error |= ferror(line);
    error |= fclose(line);
    if (error == 0)
        return bytes;
    free(bytes);
    return NULL;
}

/* Writes a line. While the file descriptor is ready write(2) does not block, as there is room for
 * PIPE_BUF bytes then. */
static bool emit(struct log *log, const char *line, size_t length)
{
    const struct log_options *options = &log->options;
    struct pollfd ready = {.fd = options->fd, .events = POLLOUT};

    pthread_mutex_lock(&log->lock);
    size_t first = log->torn ? 0 : 1, at = first;
    while (at < length) {
        int count = poll(&ready, 1, options->may_block ? -1 : 0);
        if (count < 0 && errno == EINTR)
            continue;
        size_t rest = length - at;
        ssize_t written =
            count > 0 ? write(options->fd, line + at, rest < PIPE_BUF ? rest : PIPE_BUF) : 0;
        if (written > 0)
            at += (size_t)written;
        else if (written == 0 || errno != EINTR)
            break;
    }
    if (at > first)
        log->torn = at < length;
    pthread_mutex_unlock(&log->lock);
    return at == length;
}

static int64_t wall_clock(void *user)
{
    (void)user;
    return clock_wall_ns();
}

void log_init(struct log *log, const struct log_options *options)
{
    *log = (struct log){.options = *options, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (log->options.clock == NULL)
        log->options.clock = wall_clock;
    if (log->options.format == LOG_FORMAT_AUTO)
        log->options.format = isatty(options->fd) ? LOG_FORMAT_PRETTY : LOG_FORMAT_JSON;
    if (log->options.format == LOG_FORMAT_PRETTY && options->is_colourless)
        log->options.format = LOG_FORMAT_PLAIN;
}

static void write_event(struct log *log, const struct event *event)
{
    enum log_format format = log->options.format;
    enum log_format file_format = format == LOG_FORMAT_PRETTY ? LOG_FORMAT_PLAIN : format;
    size_t length = 0;
    char *line = line_new(format, event, &length);
    bool is_whole = line != NULL && emit(log, line, length);

    if (log->options.file != NULL && file_format != format) {
        free(line);
        line = line_new(file_format, event, &length);
    }
    if (log->options.file != NULL)
        is_whole &= line != NULL && log_file_write(log->options.file, line + 1, length - 1);
    if (!is_whole)
        atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
    free(line);
}

/* FNV-1a over names and values: what makes a warning distinct. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_fields(const struct log_field *fields, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        const struct log_field *field = &fields[i];
        hash = hash_bytes(hash, field->name, strlen(field->name) + 1);
        if (field->kind == LOG_KIND_TEXT && field->value.text != NULL)
            hash = hash_bytes(hash, field->value.text, strlen(field->value.text) + 1);
        else if (field->kind == LOG_KIND_BOOL)
            hash = hash_bytes(hash, field->value.truth ? "1" : "0", 1);
        else if (field->kind != LOG_KIND_TEXT)
            hash = hash_bytes(hash, &field->value.natural, sizeof field->value.natural);
    }
    return hash;
}

void log_write(struct log *log, enum log_level level, const struct log_field *fields, size_t count)
{
    struct event event = {.level = level, .fields = fields, .count = count};
    struct log_field more[LOG_MAX_FIELDS + 1];
    uint64_t suppressed = 0;

    assert(level != LOG_LEVEL_OFF && count > 0);
    if (level > log->options.level)
        return;
    int64_t now_ns = log->options.clock(log->options.user);
    format_timestamp(now_ns, event.timestamp);
    if (level == LOG_LEVEL_WARN) {
        uint64_t key = hash_fields(fields, count);
        pthread_mutex_lock(&log->lock);
        bool may = log_limit_pass(&log->limit, key, fields[0].value.text, now_ns, &suppressed);
        pthread_mutex_unlock(&log->lock);
        if (!may)
            return;
    }
    if (suppressed > 0) {
        event.count = count < LOG_MAX_FIELDS ? count : LOG_MAX_FIELDS;
        memcpy(more, fields, event.count * sizeof *more);
        more[event.count++] = log_uint("suppressed", suppressed);
        event.fields = more;
    }
    write_event(log, &event);
}

void log_flush(struct log *log, bool is_last)
{
    struct log_limit_entry taken;
    int64_t now_ns = log->options.clock(log->options.user);

    for (;;) {
        pthread_mutex_lock(&log->lock);
        bool is_found = log_limit_take(&log->limit, is_last ? INT64_MAX : now_ns, &taken);
        pthread_mutex_unlock(&log->lock);
        if (!is_found)
            return;
        const struct log_field fields[] = {log_text("message", taken.message),
                                           log_uint("suppressed", taken.suppressed)};
        struct event event = {.level = LOG_LEVEL_WARN, .fields = fields, .count = 2};
        format_timestamp(now_ns, event.timestamp);
        write_event(log, &event);
    }
}

uint64_t log_lost(const struct log *log)
{
    return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

static bool equals(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

static bool find_level(const char *text, size_t length, enum log_level *level)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (equals(text, length, levels[i].name)) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_level_parse(const char *rust_log, enum log_level *level, bool *ignored)
{
    static const char own[] = "paddock=";
    const size_t own_length = sizeof own - 1;
    bool has_own = false;

    *ignored = false;
    for (const char *next = rust_log; next != NULL && *next != '\0';) {
        const char *directive = next;
        size_t length = strcspn(directive, ",");
        next = directive + length + (directive[length] == ',');
        size_t blanks = strspn(directive, " \t");
        blanks = blanks < length ? blanks : length;
        directive += blanks;
        length -= blanks;
        while (length > 0 && strchr(" \t", directive[length - 1]) != NULL)
            length--;
        enum log_level found;
        bool is_own = length > own_length && equals(directive, own_length, own);
        size_t skip = is_own ? own_length : 0;
        if (!find_level(directive + skip, length - skip, &found)) {
            *ignored |= length > 0;
        } else if (is_own || !has_own) {
            *level = found;
            has_own = is_own;
        }
    }
}
