/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/version.h>

#include "base/clock.h"
#include "base/text.h"
#include "metrics/system.h"

/* Of a list of sessions, where nobody says how many. */
#define DEFAULT_ROWS 100

#ifdef __clang__
#define COMPILER __VERSION__ /* with its name */
#else
#define COMPILER "gcc " __VERSION__
#endif

static bool flag(const atomic_bool *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static bool live(void *user)
{
    const struct daemon *daemon = user;
    int64_t ticked_ns = atomic_load_explicit(&daemon->ticked_ns, memory_order_relaxed);
    return flag(&daemon->is_alive) && clock_monotonic_ns() - ticked_ns < DAEMON_DEAD_NS;
}

static void shown_unref(struct shown *shown)
{
    if (shown == NULL ||
        atomic_fetch_sub_explicit(&shown->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < 2; i++)
        http_blob_unref(shown->blobs[i]);
    json_decref(shown->in_force);
    config_free(shown->config);
    pthread_mutex_destroy(&shown->lock);
    free(shown);
}

static struct shown *shown_take(struct daemon *daemon)
{
    pthread_mutex_lock(&daemon->lock);
    struct shown *shown = daemon->shown;
    atomic_fetch_add_explicit(&shown->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&daemon->lock);
    return shown;
}

static bool ready(void *user)
{
    struct daemon *daemon = user;
    bool is_ready = live(user) && flag(&daemon->is_started) && !flag(&daemon->is_stopping);
    for (size_t i = 0; i < daemon->running_count && is_ready; i++) {
        const struct service_ops *ops = daemon->running[i].ops;
        is_ready = ops->is_ready == NULL || ops->is_ready(daemon->running[i].self);
    }
    if (is_ready) { /* as long as a provider has told nothing yet, it is not */
        struct shown *shown = shown_take(daemon);
        const struct config_file *provider = config_provider(shown->config);
        is_ready = provider == NULL || provider->is_loaded;
        shown_unref(shown);
    }
    return is_ready;
}

static void write_metrics(struct metrics *out, void *user)
{
    struct daemon *daemon = user;
    struct shown *shown = shown_take(daemon);
    const struct process_settings *settings = config_settings(shown->config, &process_section);

    metrics_info(out, "quilkin_info", "Which service this is.", "id", settings->id, "version",
                 qcmp_version(), "commit", PADDOCK_COMMIT, NULL);
    shown_unref(shown);
    metrics_info(out, "paddock_build_info", "Which program this is.", "version", qcmp_version(),
                 "commit", PADDOCK_COMMIT, "compiler", COMPILER, NULL);
    metrics_single(out, "quilkin_shutdown_initiated", METRICS_GAUGE, flag(&daemon->is_stopping),
                   "Whether the process has been told to stop.");
    for (size_t i = 0; i < daemon->running_count; i++)
        daemon->running[i].ops->metrics(daemon->running[i].self, live(daemon), out);

    metrics_family(out, "paddock_config_reloads", METRICS_COUNTER, NULL,
                   "Times that the configuration was read again.");
    metrics_sample(out, atomic_load_explicit(&daemon->reloads_ok, memory_order_relaxed), "result",
                   "ok", NULL);
    metrics_sample(out, atomic_load_explicit(&daemon->reloads_failed, memory_order_relaxed),
                   "result", "error", NULL);
    metrics_family(out, "quilkin_provider_task_failures", METRICS_COUNTER, NULL,
                   "Times that a provider failed.");
    metrics_sample(out, atomic_load_explicit(&daemon->provider_failures, memory_order_relaxed),
                   "task", "fs_watch_provider", NULL);
    for (size_t i = 0; i < daemon->running_count; i++) {
        if (daemon->running[i].ops->failures != NULL)
            daemon->running[i].ops->failures(daemon->running[i].self, out);
    }
    const struct fastpath *fastpath = daemon->fastpath;
    metrics_single(out, "paddock_xdp_attached", METRICS_GAUGE,
                   fastpath != NULL && fastpath_is_attached(fastpath),
                   "Whether the XDP program is on its interface.");
    metrics_single(out, "paddock_xdp_transmit_errors", METRICS_COUNTER,
                   fastpath != NULL ? fastpath_transmit_errors(fastpath) : 0,
                   "Frames of XDP programs that an interface lost, as far as its driver counts "
                   "them.");
    metrics_system_write(out);
}

/* What services and the catalog hold is the control thread's. One that does not answer in time
 * finds the question withdrawn. */
static struct http_blob *ask(struct daemon *daemon, const struct question *asked)
{
    struct question *question = &daemon->question;
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&question->lock);
    question->is_refresh = asked->is_refresh;
    question->wanted = asked->wanted;
    question->number++;
    question->is_asked = true;
    question->is_answered = false;
    loop_wake(daemon->loop);
    while (!question->is_answered && error == 0)
        error = pthread_cond_timedwait(&question->changed, &question->lock, &until);
    question->is_asked = question->is_answered = false;
    struct http_blob *answer = question->answer;
    question->answer = NULL;
    pthread_mutex_unlock(&question->lock);
    return answer;
}

/* Rendered when somebody asks for it first, then shared. */
static struct http_blob *show_config(bool with_access, void *user)
{
    const struct question fresh = {.is_refresh = true};
    (void)ask(user, &fresh); /* an answer that does not come in time leaves what was shown last */
    struct shown *shown = shown_take(user);
    struct http_blob *blob = NULL;

    pthread_mutex_lock(&shown->lock);
    if (shown->blobs[with_access] == NULL) {
        json_t *json = config_to_json(shown->config, with_access);
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = json != NULL ? open_memstream(&text, &bytes) : NULL;
        bool is_written =
            out != NULL &&
            (shown->in_force == NULL || json_object_update_recursive(json, shown->in_force) == 0) &&
            json_dumpf(json, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
        if (out != NULL && fclose(out) == 0 && is_written) {
            shown->blobs[with_access] = http_blob_new(text, bytes);
            text = NULL;
        }
        free(text);
        json_decref(json);
    }
    if (shown->blobs[with_access] != NULL)
        blob = http_blob_ref(shown->blobs[with_access]);
    pthread_mutex_unlock(&shown->lock);
    shown_unref(shown);
    return blob;
}

static const char *const orders[] = {"idle", "age", "packets", "bytes", NULL};
static const char *const traced[] = {"drops", "top", "capture", NULL};

static int parse_peer(const char *text, void *value)
{
    return server_numeric_parse(text, value);
}

/* A name would say nothing here. The scope of an address would be ignored, and to look up an
 * interface takes a socket, for which a thread of HTTP is killed. */
static const struct field_type peer_type = {.parse = parse_peer,
                                            .expected = SERVER_NUMERIC_EXPECTED};

#define ROW_SORT                                                                                   \
    {                                                                                              \
        .key = "sort", .kind = FIELD_WORD, .words = orders, FIELD_AT(struct service_list, order)   \
    }
#define ROW_LIMIT                                                                                  \
    {                                                                                              \
        .key = "limit", .kind = FIELD_NUMBER, .min = 1, .max = SERVICE_LIST_MOST,                  \
        FIELD_AT(struct service_list, limit)                                                       \
    }

/* What may be asked of each path, with what is asked where the query does not say. */
static const struct list_path {
    const char *path;
    struct service_list wanted;
    struct field rows[6];
} list_paths[] = {
    {"/sessions", {.subject = SERVICE_SESSIONS, .limit = DEFAULT_ROWS}, {ROW_SORT, ROW_LIMIT}},
    {"/control", {.subject = SERVICE_PEERS}, {{0}}},
    {"/trace",
     {.limit = DEFAULT_ROWS},
     {{.key = "what",
       .kind = FIELD_WORD,
       .flags = FIELD_REQUIRED,
       .words = traced,
       FIELD_AT(struct service_list, subject)},
      ROW_SORT,
      ROW_LIMIT,
      {.key = "player",
       .kind = FIELD_CUSTOM,
       .type = &peer_type,
       FIELD_AT(struct service_list, player)},
      {.key = "server",
       .kind = FIELD_CUSTOM,
       .type = &peer_type,
       FIELD_AT(struct service_list, server)}}}};

#define SHOWN_BYTES 128

static bool has_row(const struct field *rows, const char *key)
{
    while (rows->key != NULL && strcmp(rows->key, key) != 0)
        rows++;
    return rows->key != NULL;
}

/* An empty value is none. */
static int parse_query(const struct http_request *request, const struct field *rows,
                       struct service_list *wanted, struct error *error)
{
    char shown[SHOWN_BYTES], expected[FIELD_EXPECTED_BYTES];
    const char *key = NULL, *value;

    while ((key = http_request_next(request, key, &value)) != NULL) {
        text_escape(key, shown, sizeof shown);
        if (!has_row(rows, key))
            return error_set(error, -EINVAL, "%s: unknown key", shown);
        if (http_request_query(request, key) != value)
            return error_set(error, -EINVAL, "%s: given more than once", shown);
    }
    for (const struct field *row = rows; row->key != NULL; row++) {
        value = http_request_query(request, row->key);
        bool is_given = value != NULL && value[0] != '\0';
        if (!is_given && (row->flags & FIELD_REQUIRED) == 0)
            continue;
        if (is_given && field_parse_text(row, value, wanted) == 0)
            continue;
        text_escape(is_given ? value : "", shown, sizeof shown);
        return error_set(error, -EINVAL, "%s: expected %s, not '%s'", row->key,
                         field_expected(row, expected), shown);
    }
    return 0;
}

static struct http_blob *show_list(const struct http_request *request, struct error *error,
                                   void *user)
{
    const struct list_path *asked = list_paths;

    while (strcmp(asked->path, request->path) != 0)
        asked++;
    struct question question = {.wanted = asked->wanted};
    return parse_query(request, asked->rows, &question.wanted, error) == 0 ? ask(user, &question)
                                                                           : NULL;
}

static json_t *list(struct daemon *daemon, const struct service_list *wanted)
{
    for (size_t i = 0; i < daemon->running_count; i++) {
        const struct running *service = &daemon->running[i];
        if (service->ops->list != NULL)
            return service->ops->list(service->self, wanted);
    }
    return json_pack("{s:i, s:[]}", "total", 0, "sessions");
}

/* Shows what services and the catalog have now. */
static void complete(struct daemon *daemon)
{
    struct shown *shown = daemon->shown;
    json_t *in_force = json_object();
    if (in_force == NULL)
        return;

    uint64_t changes = catalog_changes(daemon->catalog);
    if (catalog_show(daemon->catalog, in_force, daemon->settings->shows_tokens) != 0) {
        json_decref(in_force);
        return;
    }
    for (size_t i = 0; i < daemon->running_count; i++) {
        if (daemon->running[i].ops->show != NULL)
            daemon->running[i].ops->show(daemon->running[i].self, in_force);
    }
    pthread_mutex_lock(&shown->lock);
    json_decref(shown->in_force);
    shown->in_force = in_force;
    shown->changes = changes;
    for (size_t i = 0; i < 2; i++) {
        http_blob_unref(shown->blobs[i]);
        shown->blobs[i] = NULL;
    }
    pthread_mutex_unlock(&shown->lock);
}

void operator_complete(struct daemon *daemon)
{
    if (daemon->shown->in_force == NULL)
        complete(daemon);
}

static json_t *list_peers(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->running_count; i++) {
        const struct running *service = &daemon->running[i];
        if (service->ops->peers != NULL)
            return json_pack("{s:o}", "peers", service->ops->peers(service->self));
    }
    return json_pack("{s:[]}", "peers");
}

static struct http_blob *answer_to(struct daemon *daemon, const struct question *question)
{
    if (question->is_refresh) {
        if (daemon->shown->changes != catalog_changes(daemon->catalog))
            complete(daemon);
        return NULL;
    }
    json_t *json = question->wanted.subject == SERVICE_PEERS ? list_peers(daemon)
                                                             : list(daemon, &question->wanted);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text != NULL ? http_blob_new(text, strlen(text)) : NULL;
}

void operator_answer(struct daemon *daemon)
{
    struct question *question = &daemon->question;
    pthread_mutex_lock(&question->lock);
    bool is_asked = question->is_asked && !question->is_answered;
    struct question asked = {.is_refresh = question->is_refresh, .wanted = question->wanted};
    uint64_t number = question->number;
    pthread_mutex_unlock(&question->lock);
    if (!is_asked)
        return;

    struct http_blob *blob = answer_to(daemon, &asked);
    pthread_mutex_lock(&question->lock);
    bool is_wanted = question->is_asked && !question->is_answered && question->number == number;
    if (is_wanted) {
        question->answer = blob;
        question->is_answered = true;
        pthread_cond_signal(&question->changed);
    }
    pthread_mutex_unlock(&question->lock);
    if (!is_wanted)
        http_blob_unref(blob);
}

struct admin_callbacks operator_callbacks(void)
{
    return (struct admin_callbacks){.live = live,
                                    .ready = ready,
                                    .metrics = write_metrics,
                                    .config = show_config,
                                    .list = show_list};
}

struct shown *operator_prepare(struct config *config)
{
    struct shown *shown = calloc(1, sizeof *shown);
    if (shown == NULL)
        return NULL;
    atomic_init(&shown->references, 1);
    pthread_mutex_init(&shown->lock, NULL);
    shown->config = config;
    return shown;
}

void operator_abandon(struct shown *shown)
{
    if (shown != NULL)
        shown->config = NULL;
    shown_unref(shown);
}

void operator_show(struct daemon *daemon, struct shown *shown)
{
    pthread_mutex_lock(&daemon->lock);
    struct shown *before = daemon->shown;
    daemon->shown = shown;
    pthread_mutex_unlock(&daemon->lock);
    daemon->config = shown->config;
    daemon->settings = config_settings(shown->config, &process_section);
    shown_unref(before);
    operator_complete(daemon);
}

void operator_forget(struct daemon *daemon)
{
    shown_unref(daemon->shown);
    daemon->shown = NULL;
}
