/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/lease.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define SECOND_NS INT64_C(1000000000)
#define DURATION_NS SECOND_NS
#define RENEW_NS (DURATION_NS / 2)

/* A follower asks oftener, so that it knows soon after the last renewal. */
#define LOOK_NS (DURATION_NS / 4)

/* From the beginning of the last renewal that was answered. Others wait for a whole duration, and
 * have seen the renewal later than it began. */
#define LEAD_NS (DURATION_NS * 9 / 10)
#define GIVE_BACK_NS (SECOND_NS / 2)
#define BASE "/apis/coordination.k8s.io/v1/namespaces/%s/leases"

static void ask(void *user);

static void copy_text(char *to, size_t room, json_t *value)
{
    const char *text = json_string_value(value);

    snprintf(to, room, "%s", text != NULL ? text : "");
}

int lease_read(json_t *object, struct lease_facts *facts)
{
    json_t *spec = json_object_get(object, "spec"), *metadata = json_object_get(object, "metadata");
    json_int_t seconds = json_integer_value(json_object_get(spec, "leaseDurationSeconds"));
    json_int_t transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));

    copy_text(facts->holder, sizeof facts->holder, json_object_get(spec, "holderIdentity"));
    copy_text(facts->renewed, sizeof facts->renewed, json_object_get(spec, "renewTime"));
    copy_text(facts->acquired, sizeof facts->acquired, json_object_get(spec, "acquireTime"));
    copy_text(facts->version, sizeof facts->version, json_object_get(metadata, "resourceVersion"));
    facts->duration_ns = seconds >= 1 && seconds <= 3600 ? seconds * SECOND_NS : DURATION_NS;
    facts->transitions = transitions >= 0 && transitions < INT32_MAX ? transitions : 0;
    return facts->version[0] != '\0' ? 0 : -1;
}

static void lead(struct lease *lease, bool is_leader)
{
    if (lease->is_leader == is_leader)
        return;
    lease->is_leader = is_leader;
    atomic_store_explicit(&lease->options.metrics->is_leader, is_leader, memory_order_relaxed);
    LOG_EVENT(lease->options.api->log, LOG_LEVEL_INFO,
              log_text("message", is_leader ? "this replica leads" : "this replica leads no more"),
              log_text("lease", lease->options.name), log_text("id", lease->options.id));
    lease->options.changed(is_leader, lease->options.user);
}

static void expire(void *user)
{
    lead(user, false);
}

static bool is_own(const struct lease *lease)
{
    return strcmp(lease->seen.holder, lease->options.id) == 0;
}

/* When the Lease may be taken. */
static int64_t free_ns(const struct lease *lease)
{
    return lease->seen.holder[0] == '\0' ? 0 : lease->seen_ns + lease->seen.duration_ns;
}

static void format_now(char text[32])
{
    int64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / SECOND_NS);
    struct tm parts;
    size_t length;

    gmtime_r(&seconds, &parts);
    length = strftime(text, 24, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, 32 - length, ".%06dZ", (int)(now_ns % SECOND_NS / 1000));
}

/* What makes this replica the leader, or lets it be one. */
static json_t *make_body(const struct lease *lease, bool is_new)
{
    char now[32];

    format_now(now);
    json_t *spec =
        json_pack("{s:s, s:i, s:s}", "holderIdentity", lease->options.id, "leaseDurationSeconds",
                  (int)(DURATION_NS / SECOND_NS), "renewTime", now);
    if (spec != NULL && (is_new || !is_own(lease))) {
        json_int_t transitions = is_new ? 0 : (json_int_t)lease->seen.transitions + 1;

        json_object_set_new(spec, "acquireTime", json_string(now));
        json_object_set_new(spec, "leaseTransitions", json_integer(transitions));
    }
    if (is_new)
        return json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "coordination.k8s.io/v1", "kind",
                         "Lease", "metadata", "name", lease->options.name, "spec", spec);
    /* The version makes the server refuse it where another replica was faster. */
    return json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", lease->seen.version, "spec",
                     spec);
}

static void fail(struct lease *lease, const char *error)
{
    counter_add(&lease->options.metrics->errors[K8S_LEASE][K8S_FAILED_LEASE], 1);
    if (!lease->is_failing)
        LOG_EVENT(lease->options.api->log, LOG_LEVEL_WARN,
                  log_text("message", "the lease is not reached"),
                  log_text("lease", lease->options.name), log_text("error", error));
    lease->is_failing = true;
}

static void ask_after(struct lease *lease, int64_t wait_ns)
{
    loop_timer_set(lease->options.loop, &lease->next, clock_monotonic_ns() + wait_ns);
}

static void start(struct lease *lease, const char *method, bool is_new)
{
    const struct lease_options *options = &lease->options;
    struct api_request request = {.method = method, .total_ns = LEAD_NS};
    char path[3 * K8S_NAME_BYTES + 1024];
    int length = snprintf(path, sizeof path, BASE, options->namespace);

    if (!is_new)
        (void)snprintf(path + length, sizeof path - (size_t)length, "/%s", options->name);
    lease->is_writing = method != NULL;
    lease->is_answered = false;
    if (lease->is_writing) {
        request.body = make_body(lease, is_new);
        request.type = is_new ? "application/json" : "application/merge-patch+json";
    }
    request.path = path;
    pieces_fini(&lease->answer);
    lease->asked_ns = clock_monotonic_ns();
    if ((lease->is_writing && request.body == NULL) ||
        api_start(options->api, &lease->call, &request) != 0) {
        fail(lease, "out of memory");
        ask_after(lease, RENEW_NS);
    }
    json_decref(request.body);
}

/* A leader knows the version, and need not ask first. */
static void ask(void *user)
{
    struct lease *lease = user;

    start(lease, lease->is_leader && !lease->is_refused ? "PATCH" : NULL, false);
}

static int take_lease(json_t *object, void *user)
{
    struct lease *lease = user;
    struct lease_facts facts;

    if (lease_read(object, &facts) != 0)
        return -EINVAL;
    if (!lease->is_known || strcmp(facts.version, lease->seen.version) != 0)
        lease->seen_ns = clock_monotonic_ns();
    lease->seen = facts;
    lease->is_known = lease->is_answered = true;
    return 0;
}

static int take(const char *data, size_t bytes, void *user)
{
    struct lease *lease = user;

    return pieces_take(&lease->answer, data, bytes, take_lease, lease) == 0 ? 0 : -1;
}

/* After an answer: takes the Lease if it can be taken, or looks again when that may be so. */
static void decide(struct lease *lease)
{
    int64_t now_ns = clock_monotonic_ns(), wait_ns = free_ns(lease) - now_ns;

    if (is_own(lease) || wait_ns <= 0) {
        start(lease, "PATCH", false);
        return;
    }
    lead(lease, false);
    lease->is_refused = false;
    ask_after(lease, wait_ns < LOOK_NS ? wait_ns : LOOK_NS);
}

/* The Lease is gone, which its holder may not know yet: another replica gives it time to notice. */
static void make(struct lease *lease)
{
    if (lease->seen.version[0] != '\0') {
        lease->seen.version[0] = '\0';
        lease->seen.duration_ns = DURATION_NS;
        lease->seen_ns = clock_monotonic_ns();
    }
    if (lease->is_leader || free_ns(lease) <= clock_monotonic_ns())
        start(lease, "POST", true);
    else
        ask_after(lease, LOOK_NS);
}

static void win(struct lease *lease)
{
    lease->is_refused = false;
    lease->renewed_ns = lease->asked_ns;
    loop_timer_set(lease->options.loop, &lease->deadline, lease->renewed_ns + LEAD_NS);
    lead(lease, clock_monotonic_ns() < lease->renewed_ns + LEAD_NS);
    ask_after(lease, RENEW_NS);
}

static void done(const struct api_result *result, void *user)
{
    struct lease *lease = user;
    bool is_fine = result->error == NULL && lease->is_answered;
    bool was_refused = lease->is_refused;

    if (is_fine && lease->is_failing)
        LOG_EVENT(lease->options.api->log, LOG_LEVEL_INFO,
                  log_text("message", "the lease is reached again"),
                  log_text("lease", lease->options.name));
    lease->is_failing &= !is_fine;
    if (is_fine && lease->is_writing && is_own(lease)) {
        win(lease);
    } else if (is_fine && !lease->is_writing) {
        decide(lease);
    } else if (result->status == 404 && !lease->is_writing) {
        make(lease);
    } else if (lease->is_writing && !was_refused &&
               (result->status == 409 || result->status == 404)) {
        lease->is_refused = true; /* another one was faster; or the namespace is gone, or so */
        start(lease, NULL, false);
    } else {
        fail(lease, result->error != NULL ? result->error : "the answer is no Lease");
        ask_after(lease, LOOK_NS);
    }
}

void lease_init(struct lease *lease, const struct lease_options *options)
{
    *lease = (struct lease){.options = *options,
                            .call = {.data = take, .done = done, .user = lease},
                            .next = {.fire = ask, .user = lease},
                            .deadline = {.fire = expire, .user = lease}};
}

void lease_fini(struct lease *lease)
{
    if (lease->options.loop == NULL)
        return;
    api_cancel(&lease->call);
    loop_timer_stop(lease->options.loop, &lease->next);
    loop_timer_stop(lease->options.loop, &lease->deadline);
    pieces_fini(&lease->answer);
    *lease = (struct lease){0};
}

void lease_start(struct lease *lease)
{
    loop_timer_set(lease->options.loop, &lease->next, 1);
}

bool lease_is_ready(const struct lease *lease)
{
    return lease->is_known;
}

static int skip(const char *data, size_t bytes, void *user)
{
    (void)data;
    (void)bytes;
    (void)user;
    return 0;
}

static void given_back(const struct api_result *result, void *user)
{
    bool *is_over = user;

    (void)result;
    *is_over = true;
}

/* On a loop of its own, as the service's own turns for others as well. As long as this replica
 * leads no other can have changed the Lease, so that its version, which a renewal under way may
 * change, does not matter. */
void lease_give_back(struct lease *lease)
{
    const struct lease_options *options = &lease->options;
    int64_t until_ns = clock_monotonic_ns() + GIVE_BACK_NS;
    struct api api = {.credentials = options->api->credentials, .log = options->api->log};
    struct loop *loop = NULL;
    bool is_over = false;
    struct api_call call = {.data = skip, .done = given_back, .user = &is_over};
    char path[3 * K8S_NAME_BYTES];

    /* It may be the first that runs after a long pause. */
    if (!lease->is_leader || clock_monotonic_ns() >= lease->renewed_ns + LEAD_NS)
        return;
    api_cancel(&lease->call);
    lead(lease, false);
    snprintf(path, sizeof path, BASE "/%s", options->namespace, options->name);
    json_t *body = json_pack("{s:{s:s}}", "spec", "holderIdentity", "");
    const struct api_request request = {.path = path,
                                        .method = "PATCH",
                                        .type = "application/merge-patch+json",
                                        .body = body,
                                        .total_ns = GIVE_BACK_NS};
    if (body != NULL && loop_new(&loop) == 0 && fetcher_new(&api.fetcher, loop) == 0 &&
        api_start(&api, &call, &request) == 0) {
        while (!is_over && clock_monotonic_ns() < until_ns)
            loop_turn(loop, until_ns);
        api_cancel(&call);
    }
    fetcher_free(api.fetcher);
    loop_free(loop);
    json_decref(body);
}
