/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define SECOND_NS INT64_C(1000000000)
#define LEAST_WAIT_NS (SECOND_NS / 4)
#define MOST_WAIT_NS (2 * SECOND_NS)
#define LIST_NS (60 * SECOND_NS)

/* The most until a watch is answered. */
#define ANSWER_NS (30 * SECOND_NS)

/* The most that a server's Retry-After is obeyed. */
#define MOST_RETRY_NS (60 * SECOND_NS)

/* A server ends a watch by itself after this time; one that does not is left a little later. */
#define WATCH_SECONDS 290

static void list(struct watcher *watcher);
static void watch(struct watcher *watcher);

int64_t watcher_wait_ns(int64_t *backoff_ns, uint64_t random)
{
    int64_t wait_ns = *backoff_ns < LEAST_WAIT_NS ? LEAST_WAIT_NS : *backoff_ns;

    *backoff_ns = wait_ns * 2 < MOST_WAIT_NS ? wait_ns * 2 : MOST_WAIT_NS;
    return wait_ns + (int64_t)(random % (uint64_t)(wait_ns / 2));
}

static void wait(struct watcher *watcher, int64_t least_ns)
{
    uint64_t random = siphash_17(&watcher->key, watcher->rounds++, 0, 0);
    int64_t wait_ns = watcher_wait_ns(&watcher->backoff_ns, random);

    least_ns = least_ns > MOST_RETRY_NS ? MOST_RETRY_NS : least_ns;
    wait_ns = wait_ns < least_ns ? least_ns : wait_ns;
    loop_timer_set(watcher->options.loop, &watcher->again, clock_monotonic_ns() + wait_ns);
}

/* The next try lists anew. */
static void forget_version(struct watcher *watcher)
{
    watcher->version[0] = '\0';
    free(watcher->rest);
    watcher->rest = NULL;
}

static void count(struct watcher *watcher, enum k8s_event event)
{
    counter_add(&watcher->options.metrics->events[watcher->options.kind][event], 1);
}

/* Logged once for each outage, and again when the server's answer is another. */
static void fail(struct watcher *watcher, const struct api_result *result, const char *error)
{
    struct k8s_metrics *metrics = watcher->options.metrics;
    enum k8s_failure failure = watcher->is_listing ? K8S_FAILED_LIST : K8S_FAILED_WATCH;

    counter_add(&metrics->errors[watcher->options.kind][failure], 1);
    counter_add(&metrics->failures, 1);
    unsigned status = result->status >= 300 ? result->status : 0;
    if (!watcher->is_failing || watcher->failed_status != status)
        LOG_EVENT(watcher->options.api->log, LOG_LEVEL_WARN,
                  log_text("message", "kubernetes not watched: what it told stays"),
                  log_text("kind", k8s_kind_name(watcher->options.kind)),
                  log_text("path", watcher->options.path),
                  log_text("step", watcher->is_listing ? "list" : "watch"),
                  log_text("error", error));
    watcher->is_failing = true;
    watcher->failed_status = status;
    wait(watcher, result->retry_ns);
}

static void recover(struct watcher *watcher)
{
    if (watcher->is_failing)
        LOG_EVENT(watcher->options.api->log, LOG_LEVEL_INFO,
                  log_text("message", "kubernetes watched again"),
                  log_text("kind", k8s_kind_name(watcher->options.kind)),
                  log_text("path", watcher->options.path));
    watcher->is_failing = false;
}

/* After a wait for another try, or for the answer to one. */
static void go_on(void *user)
{
    struct watcher *watcher = user;
    const struct api_result none = {0};

    if (watcher->call.fetch != NULL) {
        api_cancel(&watcher->call);
        fail(watcher, &none, "no answer in time");
    } else if (watcher->version[0] != '\0') {
        watch(watcher);
    } else {
        list(watcher);
    }
}

/* Starts a call that is answered by objects. */
static void start(struct watcher *watcher, const char *query, bool is_list, int64_t total_ns)
{
    const struct api_result none = {0};
    const struct api_request request = {.path = query, .total_ns = total_ns};

    pieces_fini(&watcher->pieces);
    watcher->pieces.is_list = is_list;
    watcher->is_listing = is_list;
    watcher->is_expired = watcher->is_broken = watcher->has_news = false;
    watcher->error = 0;
    watcher->begun_ns = clock_monotonic_ns();
    if (query == NULL || api_start(watcher->options.api, &watcher->call, &request) != 0)
        fail(watcher, &none, "out of memory");
}

static void list(struct watcher *watcher)
{
    const struct watcher_options *options = &watcher->options;
    char *query = NULL;

    if (watcher->rest == NULL) {
        count(watcher, K8S_INIT);
        options->begin(options->user);
    }
    if (asprintf(&query, "%s?limit=500%s%s%s", options->path, options->selector,
                 watcher->rest != NULL ? "&continue=" : "",
                 watcher->rest != NULL ? watcher->rest : "") < 0)
        query = NULL;
    start(watcher, query, true, LIST_NS);
    free(query);
}

static void watch(struct watcher *watcher)
{
    const struct watcher_options *options = &watcher->options;
    char query[WATCHER_PATH_BYTES + 512];

    snprintf(query, sizeof query,
             "%s?watch=true&timeoutSeconds=%d&allowWatchBookmarks=true&resourceVersion=%s%s",
             options->path, WATCH_SECONDS, watcher->version, options->selector);
    start(watcher, query, false, (WATCH_SECONDS + 10) * SECOND_NS);
    if (watcher->call.fetch != NULL)
        loop_timer_set(options->loop, &watcher->again, clock_monotonic_ns() + ANSWER_NS);
}

static bool is_plain(const char *text)
{
    return text[strspn(
               text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")] == '\0';
}

static void take_version(struct watcher *watcher, json_t *object)
{
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));

    if (version != NULL && strlen(version) < sizeof watcher->version && is_plain(version))
        snprintf(watcher->version, sizeof watcher->version, "%s", version);
}

static int take_item(json_t *object, void *user)
{
    struct watcher *watcher = user;

    count(watcher, K8S_INIT_APPLY);
    return watcher->options.put(object, watcher->options.user);
}

static int take_event(json_t *event, void *user)
{
    struct watcher *watcher = user;
    const struct watcher_options *options = &watcher->options;
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *object = json_object_get(event, "object");
    int error = 0;

    if (type == NULL || !json_is_object(object))
        return -EINVAL;
    if (strcmp(type, "ERROR") == 0) {
        watcher->is_expired = json_integer_value(json_object_get(object, "code")) == 410;
        return -ESTALE;
    }
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        count(watcher, K8S_APPLY);
        error = options->put(object, options->user);
    } else if (strcmp(type, "DELETED") == 0) {
        count(watcher, K8S_DONE);
        options->drop(object, options->user);
    }
    if (error == 0)
        take_version(watcher, object);
    watcher->has_news = true;
    return error;
}

static int take(const char *data, size_t bytes, void *user)
{
    struct watcher *watcher = user;

    if (bytes == 0 && !watcher->is_listing) {
        loop_timer_stop(watcher->options.loop, &watcher->again);
        recover(watcher);
    }
    watcher->error = pieces_take(&watcher->pieces, data, bytes,
                                 watcher->is_listing ? take_item : take_event, watcher);
    watcher->is_broken = watcher->error != 0;
    return watcher->is_broken ? -1 : 0;
}

/* Where a list goes on is opaque, and goes into a query.
 * Returns whether it is known where, or that it does not. */
static bool take_rest(struct watcher *watcher, json_t *envelope)
{
    const char *rest =
        json_string_value(json_object_get(json_object_get(envelope, "metadata"), "continue"));
    size_t bytes = rest != NULL ? strlen(rest) : 0, length = 0;

    free(watcher->rest);
    watcher->rest = bytes > 0 ? malloc(3 * bytes + 1) : NULL;
    for (size_t i = 0; i < bytes && watcher->rest != NULL; i++)
        length += (size_t)sprintf(watcher->rest + length, "%%%02X", (unsigned char)rest[i]);
    return bytes == 0 || watcher->rest != NULL;
}

static void end_list(struct watcher *watcher, const struct api_result *result)
{
    const struct watcher_options *options = &watcher->options;
    json_t *envelope = pieces_end(&watcher->pieces);
    bool is_whole = envelope != NULL && take_rest(watcher, envelope);

    if (is_whole && watcher->rest == NULL)
        take_version(watcher, envelope);
    json_decref(envelope);
    if (is_whole && watcher->rest != NULL) {
        list(watcher);
    } else if (watcher->version[0] == '\0') {
        forget_version(watcher);
        fail(watcher, result, "the list is not whole");
    } else {
        watcher->is_listed = true;
        count(watcher, K8S_INIT_DONE);
        options->end(options->user);
        watch(watcher);
    }
}

/* What the server no longer knows is listed at once, unless that has just been done. */
static void expire(struct watcher *watcher)
{
    const struct watcher_options *options = &watcher->options;

    counter_add(&options->metrics->errors[options->kind][K8S_FAILED_EXPIRED], 1);
    forget_version(watcher);
    if (watcher->backoff_ns == 0) {
        watcher->backoff_ns = LEAST_WAIT_NS;
        list(watcher);
    } else {
        wait(watcher, 0);
    }
}

static const char *reason(const struct watcher *watcher, const struct api_result *result)
{
    switch (watcher->is_broken ? watcher->error : 0) {
    case 0:
        return result->error;
    case -ESTALE:
        return "the server ends the watch by an error";
    case -E2BIG:
        return "an object is too big";
    case -ENOMEM:
        return "out of memory";
    default:
        return "the server's answer is not what is expected";
    }
}

static void done(const struct api_result *result, void *user)
{
    struct watcher *watcher = user;
    int64_t lived_ns = clock_monotonic_ns() - watcher->begun_ns;
    bool is_answered = result->status >= 200 && result->status < 300;

    loop_timer_stop(watcher->options.loop, &watcher->again);
    if (!watcher->is_listing && is_answered && !watcher->is_broken && lived_ns >= SECOND_NS)
        watcher->backoff_ns = 0;
    if (watcher->is_expired || result->status == 410) {
        expire(watcher);
    } else if (result->error == NULL && watcher->is_listing) {
        end_list(watcher, result);
    } else if (is_answered && !watcher->is_broken && !watcher->is_listing &&
               (result->error == NULL || result->is_out_of_time) && lived_ns >= SECOND_NS) {
        watch(watcher);
    } else if (result->error == NULL && watcher->has_news) {
        watcher->backoff_ns = 0; /* as short as it was, it was of use */
        wait(watcher, 0);
    } else {
        if (watcher->is_listing || watcher->is_broken ||
            (result->status >= 300 && result->status != 429))
            forget_version(watcher);
        fail(watcher, result, result->error != NULL ? reason(watcher, result) : "it ended at once");
    }
}

int watcher_init(struct watcher *watcher, const struct watcher_options *options)
{
    *watcher = (struct watcher){.options = *options,
                                .call = {.data = take, .done = done, .user = watcher},
                                .again = {.fire = go_on, .user = watcher}};
    int error = siphash_key_init(&watcher->key);
    if (error != 0)
        *watcher = (struct watcher){0};
    return error;
}

void watcher_fini(struct watcher *watcher)
{
    if (watcher->options.loop == NULL)
        return;
    api_cancel(&watcher->call);
    loop_timer_stop(watcher->options.loop, &watcher->again);
    pieces_fini(&watcher->pieces);
    free(watcher->rest);
    *watcher = (struct watcher){0};
}

void watcher_start(struct watcher *watcher)
{
    loop_timer_set(watcher->options.loop, &watcher->again, 1);
}

bool watcher_is_ready(const struct watcher *watcher)
{
    return watcher->is_listed && !watcher->is_failing;
}
