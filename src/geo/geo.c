/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/geo.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_identity.h"
#include "fetch/fetch.h"
#include "geo/mmdb.h"
#include "metrics/counter.h"

#define SECOND_NS INT64_C(1000000000)
#define DAY_NS (86400 * SECOND_NS)

/* After a failure a URL is asked again. */
#define RETRY_NS (300 * SECOND_NS)

#define CONNECT_NS (10 * SECOND_NS)
#define IDLE_NS (30 * SECOND_NS)
#define FETCH_NS (600 * SECOND_NS)
#define REDIRECTS 5

/* Workers go first where there is no processor for both. */
#define LEAST_PRIORITY 19

/* One database. */
struct source {
    struct geo *geo;
    char *where;
    bool is_url;
    struct quiescent_slot table;
    struct counter ranges; /* how many the table has */
    struct file_identity known, seen;
    int64_t due_ns; /* when a URL is fetched next; files have no such time */
    struct fetch *fetch;
    int64_t bytes; /* that were fetched */
    struct loop_watch done;

    /* A thread that reads, if is_reading, and what it has until it says so by `done`. */
    bool is_reading;
    pthread_t thread;
    int fd; /* the bytes of a database, in memory; -1: none yet */
    atomic_bool is_stopped;
    struct geo_table *made;
    struct error error;
    int code;
};

struct geo {
    struct geo_options options;
    struct fetcher *fetcher; /* NULL: no source is a URL */
    struct counter loads[2]; /* that succeeded, that failed */
    unsigned count;
    struct source sources[GEO_MAX_SOURCES];
};

static bool is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

bool geo_is_list(const char *sources)
{
    unsigned count = 0;
    for (const char *at = sources;; at += strcspn(at, ",") + 1) {
        size_t length = strcspn(at, ",");
        if (length == 0 || ++count > GEO_MAX_SOURCES)
            return false;
        if (at[length] == '\0')
            return true;
    }
}

/* A source as the log may have it: a URL may hold a name, a password or a key. */
static const char *shown(const struct source *source, char text[GEO_TEXT_BYTES])
{
    const char *rest = source->where;
    size_t scheme = source->is_url ? (size_t)(strstr(rest, "//") - rest) + 2 : 0;
    const char *host = rest + scheme, *at = host;
    size_t length = source->is_url ? strcspn(host, "?#") : strlen(host);
    size_t authority = source->is_url ? strcspn(host, "/?#") : 0;
    for (size_t i = 0; i < authority; i++) {
        if (host[i] == '@')
            at = host + i + 1;
    }
    length -= (size_t)(at - host);
    memcpy(text, rest, scheme);
    memcpy(text + scheme, at, length);
    text[scheme + length] = '\0';
    return text;
}

/* What a file grows by meanwhile is read at the next look. */
static int copy_bytes(struct source *source, int from, int64_t left)
{
    static _Thread_local char part[65536];
    ssize_t got = 1;
    while (left > 0 && (got = read(from, part, sizeof part)) > 0) {
        if (write(source->fd, part, (size_t)got) != got)
            return error_system(&source->error, -ENOSPC, "cannot keep it in memory");
        if (atomic_load_explicit(&source->is_stopped, memory_order_relaxed))
            return -EINTR;
        left -= got;
    }
    return got < 0 ? error_system(&source->error, -errno, "cannot read it") : 0;
}

/* Puts a file's bytes into memory, where nobody cuts them off while they are read. */
static int copy_file(struct source *source)
{
    struct stat status;
    int fd = open(source->where, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code;
    if (fd < 0)
        return error_system(&source->error, -errno, "cannot open it");

    if (fstat(fd, &status) != 0)
        code = error_system(&source->error, -errno, "cannot look at it");
    else if (!S_ISREG(status.st_mode))
        code = error_set(&source->error, -EINVAL, "expected a regular file");
    else if (status.st_size > MMDB_MAX_BYTES)
        code = error_set(&source->error, -EFBIG, "it has more than a GiB");
    else
        code = copy_bytes(source, fd, status.st_size);
    close(fd);
    return code;
}

static void *read_database(void *user)
{
    struct source *source = user;
    setpriority(PRIO_PROCESS, 0, LEAST_PRIORITY); /* this thread's; the system may forbid it */
    source->code = source->is_url ? 0 : copy_file(source);
    if (source->code == 0)
        source->code = mmdb_read(&source->made, source->fd, &source->is_stopped, &source->error);
    eventfd_write(source->done.fd, 1);
    return NULL;
}

static void close_memory(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

static void fail(struct source *source, const char *why, int64_t retry_ns)
{
    char text[GEO_TEXT_BYTES];
    close_memory(source);
    source->due_ns = clock_monotonic_ns() + (retry_ns > RETRY_NS ? retry_ns : RETRY_NS);
    counter_add(&source->geo->loads[1], 1);
    LOG_EVENT(source->geo->options.log, LOG_LEVEL_ERROR,
              log_text("message", "a database of places stays as it was"),
              log_text("source", shown(source, text)), log_text("error", why));
}

static void fail_system(struct source *source, int code, const char *what)
{
    struct error error;
    error_system(&error, code, "%s", what);
    fail(source, error.text, 0);
}

static int open_memory(struct source *source)
{
    source->fd = memfd_create("mmdb", MFD_CLOEXEC);
    return source->fd >= 0 ? 0 : -errno;
}

static void start_reading(struct source *source)
{
    atomic_store_explicit(&source->is_stopped, false, memory_order_relaxed);
    int code = -pthread_create(&source->thread, NULL, read_database, source);
    source->is_reading = code == 0;
    if (code != 0)
        fail_system(source, code, "cannot start a thread");
}

static void take_database(uint32_t events, void *user)
{
    struct source *source = user;
    struct geo *geo = source->geo;
    char text[GEO_TEXT_BYTES];
    eventfd_t value;
    (void)events;

    eventfd_read(source->done.fd, &value);
    pthread_join(source->thread, NULL);
    source->is_reading = false;
    if (source->code != 0) {
        fail(source, source->error.text, 0);
        return;
    }
    close_memory(source);
    struct geo_table *before = quiescent_publish(&source->table, source->made);
    if (before != NULL)
        workers_retire(geo->options.workers, &before->retired, geo_table_release);
    counter_add(&geo->loads[0], 1);
    atomic_store_explicit(&source->ranges.value, source->made->count, memory_order_relaxed);
    LOG_EVENT(geo->options.log, LOG_LEVEL_INFO, log_text("message", "database of places read"),
              log_text("source", shown(source, text)), log_uint("networks", source->made->count));
    source->made = NULL;
}

static int take_bytes(unsigned status, const char *data, size_t bytes, void *user)
{
    struct source *source = user;
    if (status != 200)
        return 0; /* the status says it all */
    source->bytes += (int64_t)bytes;
    return source->bytes <= MMDB_MAX_BYTES && write(source->fd, data, bytes) == (ssize_t)bytes ? 0
                                                                                               : -1;
}

static void take_response(const struct fetch_result *result, void *user)
{
    struct source *source = user;
    struct error error;
    source->fetch = NULL;
    if (result->error == NULL && result->status == 200) {
        start_reading(source);
        return;
    }
    if (result->error == NULL)
        error_set(&error, -EPROTO, "expected status 200, not %u", result->status);
    fail(source, result->error != NULL ? result->error : error.text, result->retry_ns);
}

static void start_fetch(struct source *source, int64_t now_ns)
{
    const struct fetch_request request = {.url = source->where,
                                          .redirects = REDIRECTS,
                                          .connect_ns = CONNECT_NS,
                                          .total_ns = FETCH_NS,
                                          .idle_ns = IDLE_NS,
                                          .data = take_bytes,
                                          .done = take_response,
                                          .user = source};
    source->due_ns = now_ns + DAY_NS;
    source->bytes = 0;
    int code = open_memory(source);
    if (code == 0) {
        source->fetch = fetch_start(source->geo->fetcher, &request);
        code = source->fetch != NULL ? 0 : -ENOMEM;
    }
    if (code != 0)
        fail_system(source, code, "cannot fetch it");
}

/* A file is read when two looks in a row find it the same, and another one than before. One that is
 * not there, at the start or any more, fails to be read once. */
static void look_at_file(struct source *source)
{
    struct file_identity now = file_identity_read(source->where);
    bool has_settled = file_identity_equal(&now, &source->seen);
    source->seen = now;
    if (!has_settled || file_identity_equal(&now, &source->known))
        return;
    source->known = now;
    int code = open_memory(source);
    if (code == 0)
        start_reading(source);
    else
        fail_system(source, code, "cannot read it");
}

void geo_tick(struct geo *geo, int64_t now_ns)
{
    for (unsigned i = 0; i < geo->count; i++) {
        struct source *source = &geo->sources[i];
        if (source->is_reading || source->fetch != NULL)
            continue;
        if (!source->is_url)
            look_at_file(source);
        else if (now_ns >= source->due_ns)
            start_fetch(source, now_ns);
    }
}

static int open_source(struct geo *geo, const char *where, size_t length)
{
    struct source *source = &geo->sources[geo->count];
    /* No file is the one that is known at first. */
    *source = (struct source){.geo = geo, .fd = -1, .known.exists = true};
    source->where = strndup(where, length);
    if (source->where == NULL)
        return -ENOMEM;
    source->is_url = is_url(source->where);
    source->done = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = take_database, .user = source};
    int code = source->done.fd >= 0 ? loop_add(geo->options.loop, &source->done, EPOLLIN) : -errno;
    if (code == 0 && source->is_url && geo->fetcher == NULL)
        code = fetcher_new(&geo->fetcher, geo->options.loop);
    geo->count++;
    return code;
}

int geo_new(struct geo **made, const struct geo_options *options)
{
    struct geo *geo = calloc(1, sizeof *geo);
    int code = geo != NULL ? 0 : -ENOMEM;
    if (code == 0)
        geo->options = *options;
    for (const char *at = options->sources; code == 0;) {
        size_t length = strcspn(at, ",");
        code = open_source(geo, at, length);
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    if (code != 0)
        geo_free(geo);
    else
        *made = geo;
    return code;
}

static void close_source(struct source *source)
{
    if (source->fetch != NULL)
        fetch_cancel(source->fetch);
    if (source->is_reading) {
        atomic_store_explicit(&source->is_stopped, true, memory_order_relaxed);
        pthread_join(source->thread, NULL);
    }
    if (source->done.fd >= 0) {
        loop_remove(source->geo->options.loop, &source->done);
        close(source->done.fd);
    }
    close_memory(source);
    geo_table_free(source->made);
    geo_table_free(source->table.version);
    free(source->where);
}

void geo_free(struct geo *geo)
{
    if (geo == NULL)
        return;
    for (unsigned i = 0; i < geo->count; i++)
        close_source(&geo->sources[i]);
    fetcher_free(geo->fetcher);
    free(geo);
}

struct geo_place geo_find(const struct geo *geo, const struct in6_addr *address)
{
    struct geo_place place = {.asn = 0};
    for (unsigned i = 0; geo != NULL && i < geo->count; i++) {
        struct geo_place more = geo_table_find(quiescent_read(&geo->sources[i].table), address);
        if (place.country[0] == '\0')
            memcpy(place.country, more.country, sizeof place.country);
        if (place.asn == 0)
            place.asn = more.asn;
    }
    return place;
}

void geo_metrics(const struct geo *geo, struct metrics *out)
{
    uint64_t ranges = 0;
    if (geo == NULL)
        return;
    for (unsigned i = 0; i < geo->count; i++)
        ranges += counter_read(&geo->sources[i].ranges);
    metrics_family(out, "paddock_mmdb_loads", METRICS_COUNTER, NULL,
                   "Times that a database of places was read.");
    metrics_sample(out, counter_read(&geo->loads[0]), "result", "ok", NULL);
    metrics_sample(out, counter_read(&geo->loads[1]), "result", "error", NULL);
    metrics_single(out, "paddock_mmdb_networks", METRICS_GAUGE, ranges,
                   "Networks in the databases of places in use, neighbours alike taken as one.");
}
