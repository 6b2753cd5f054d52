/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The structured log: one event a line, as JSON or as text.
 *
 * Whatever the values hold, a line stays one line and a field stays one field. A line that cannot
 * be written is counted and forgotten; the program goes on. Writing to a closed pipe raises
 * SIGPIPE, which the caller ignores (`signal(SIGPIPE, SIG_IGN)`) if it is to live.
 */
#ifndef PADDOCK_BASE_LOG_H
#define PADDOCK_BASE_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log_file.h"
#include "base/log_limit.h"

enum log_level {
    LOG_LEVEL_OFF = 0, /**< of a log: nothing is written; no event has it */
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE
};

enum log_format {
    LOG_FORMAT_AUTO = 0, /**< pretty on a terminal, JSON elsewhere */
    LOG_FORMAT_JSON,
    LOG_FORMAT_PLAIN,
    LOG_FORMAT_PRETTY
};

enum log_kind {
    LOG_KIND_TEXT,
    LOG_KIND_INT,
    LOG_KIND_UINT,
    LOG_KIND_BOOL
};

/** One named value of an event. Made by log_text() and its siblings; lives as long as the call that
 * logs it. */
struct log_field {
    const char *name; /**< a literal of the program: small letters, digits, `_` */
    enum log_kind kind;
    union {
        const char *text;
        int64_t integer;
        uint64_t natural;
        bool truth;
    } value;
};

struct log_options {
    int fd; /**< stays the caller's, and open as long as the log is used */
    enum log_format format;
    enum log_level level;  /**< the least urgent that is written */
    bool is_colourless;    /**< a pretty line has no colours */
    bool may_block;        /**< true: wait for a slow reader; false: lose what it has no room for */
    struct log_file *file; /**< takes the lines as well; stays the caller's; NULL: none */
    log_clock_fn clock;    /**< NULL: clock_wall_ns() */
    void *user;            /**< for the clock */
};

/** A log in the caller's memory; it owns nothing. The members are its own affair. */
struct log {
    struct log_options options;
    pthread_mutex_t lock;      /**< over the file descriptor and torn */
    struct log_limit limit;    /**< of warnings */
    bool torn;                 /**< the last line is there in part only */
    atomic_uint_fast64_t lost; /**< relaxed: a count that orders nothing */
};

/** Starts a log. Asks the file descriptor whether it is a terminal if the format is
 * #LOG_FORMAT_AUTO. */
void log_init(struct log *log, const struct log_options *options);

/**
 * Writes one event. Thread-safe. It allocates; it blocks only if the options allow it, or if
 * another process filled the pipe that both share in the very same moment.
 *
 * A line of up to PIPE_BUF bytes is one write(2), a longer one is written in pieces of that size.
 * Text that is not valid UTF-8 is repaired: U+FFFD for each bad byte in JSON, an escape in the
 * other formats. Numbers above INT64_MAX are text in JSON.
 *
 * A warning that has been written within the last second is not written again: the next one of it
 * says how many were not, in a field `suppressed`; or, if none comes, log_flush() does.
 *
 * @param fields the first is the message and must be text; borrowed during the call. A NULL text is
 * null.
 * @param count  at least 1.
 */
void log_write(struct log *log, enum log_level level, const struct log_field *fields, size_t count);

/**
 * Writes what warnings were not written and have not come again since: one line for each, with the
 * message and the field `suppressed`. To be called every second or so.
 *
 * @param is_last also of those whose second is not over: at the end.
 */
void log_flush(struct log *log, bool is_last);

/** The most fields that an event has; a warning that tells what was suppressed leaves further ones
 * out. */
#define LOG_MAX_FIELDS 24

/** LOG_EVENT(log, level, field...): log_write() with its fields in place. */
#define LOG_EVENT(log, level, ...)                                                                 \
    log_write((log), (level), (const struct log_field[]){__VA_ARGS__},                             \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/** How many lines could not be written, in whole or in part. */
uint64_t log_lost(const struct log *log);

/**
 * Reads a level from a RUST_LOG value: a list of directives with commas between them, in any
 * capitals. A bare level and `paddock=LEVEL` count; the latter wins, and of two alike the last.
 *
 * @param rust_log NULL is an empty list.
 * @param[out] level untouched when nothing counts.
 * @param[out] ignored whether there were other directives, which the caller may want to warn about.
 */
void log_level_parse(const char *rust_log, enum log_level *level, bool *ignored);

/** A text value; NULL is fine. */
static inline struct log_field log_text(const char *name, const char *text)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_TEXT, .value.text = text};
}

/** A signed number. */
static inline struct log_field log_int(const char *name, int64_t integer)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_INT, .value.integer = integer};
}

/** An unsigned number. */
static inline struct log_field log_uint(const char *name, uint64_t natural)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_UINT, .value.natural = natural};
}

/** A truth value. */
static inline struct log_field log_bool(const char *name, bool truth)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_BOOL, .value.truth = truth};
}

#endif
