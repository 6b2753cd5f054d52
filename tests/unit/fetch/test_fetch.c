/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fetch/fetch.h"
#include "http/server.h"

#define PATIENCE_NS INT64_C(20000000000)

/* A server, and what a fetch has brought from it. */
struct place {
    struct loop *loop;
    struct fetcher *fetcher;
    struct http_server *server;
    char url[64];
    char body[8192], error[256];
    size_t bytes, most;
    struct fetch_result result;
    unsigned done;
};

static int answer_token(const struct http_request *request, struct http_reply *reply, void *user)
{
    const char *token = http_request_header(request, "Authorization");

    (void)user;
    fprintf(reply->out, "%s %s", request->method, token != NULL ? token : "none");
    return 0;
}

static int answer_busy(const struct http_request *request, struct http_reply *reply, void *user)
{
    (void)request;
    (void)user;
    reply->status = 429;
    reply->retry_after_s = 3;
    return 0;
}

static int answer_much(const struct http_request *request, struct http_reply *reply, void *user)
{
    (void)request;
    (void)user;
    fprintf(reply->out, "%04000d", 7);
    return 0;
}

static int take(unsigned status, const char *data, size_t bytes, void *user)
{
    struct place *place = user;

    assert_true(status >= 200);
    if (place->bytes + bytes > place->most)
        return -1;
    memcpy(place->body + place->bytes, data, bytes);
    place->bytes += bytes;
    return 0;
}

static void done(const struct fetch_result *result, void *user)
{
    struct place *place = user;

    place->result = *result;
    snprintf(place->error, sizeof place->error, "%s", result->error != NULL ? result->error : "");
    place->done++;
}

static int set_up(void **state)
{
    static const struct http_route routes[] = {
        {"/token", answer_token}, {"/busy", answer_busy}, {"/much", answer_much}, {NULL, NULL}};
    static struct place place;
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const struct http_options options = {.name = "test", .routes = routes};

    place = (struct place){.most = sizeof place.body};
    assert_int_equal(loop_new(&place.loop), 0);
    assert_int_equal(fetcher_new(&place.fetcher, place.loop), 0);
    assert_int_equal(http_server_new(&place.server, &options), 0);
    assert_int_equal(http_server_listen(place.server, (const struct sockaddr *)&any, NULL), 0);
    assert_int_equal(http_server_start(place.server), 0);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    fetcher_free(place->fetcher);
    http_server_stop(place->server);
    loop_free(place->loop);
    return 0;
}

static struct fetch *start(struct place *place, const char *path, struct fetch_request request)
{
    snprintf(place->url, sizeof place->url, "http://127.0.0.1:%u%s",
             http_server_port(place->server), path);
    request.url = place->url;
    request.data = take;
    request.done = done;
    request.user = place;
    return fetch_start(place->fetcher, &request);
}

static void await(struct place *place, unsigned count)
{
    int64_t until_ns = clock_monotonic_ns() + PATIENCE_NS;

    while (place->done < count) {
        assert_true(clock_monotonic_ns() < until_ns);
        loop_turn(place->loop, until_ns);
    }
}

static void a_response_comes_with_its_status_and_body(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer abc", NULL};
    struct place *place = *state;

    assert_non_null(start(place, "/token", (struct fetch_request){.headers = headers}));
    await(place, 1);
    assert_string_equal(place->error, "");
    assert_int_equal(place->result.status, 200);
    assert_memory_equal(place->body, "GET Bearer abc", 14);
    assert_int_equal(place->bytes, 14);
}

static void a_server_may_ask_to_wait(void **state)
{
    struct place *place = *state;

    assert_non_null(start(place, "/busy", (struct fetch_request){.redirects = 2}));
    await(place, 1);
    assert_int_equal(place->result.status, 429);
    assert_int_equal(place->result.retry_ns, INT64_C(3000000000));
}

static void a_body_that_is_not_wanted_ends_the_request(void **state)
{
    struct place *place = *state;

    place->most = 100;
    assert_non_null(start(place, "/much", (struct fetch_request){.idle_ns = PATIENCE_NS}));
    await(place, 1);
    assert_int_equal(place->result.status, 200);
    assert_string_not_equal(place->error, "");
    assert_false(place->result.is_out_of_time);
}

static void a_server_that_is_not_there_is_an_error(void **state)
{
    struct place *place = *state;

    assert_non_null(start(place, "/token", (struct fetch_request){.connect_to = "::127.0.0.1:1"}));
    await(place, 1);
    assert_int_equal(place->result.status, 0);
    assert_string_not_equal(place->error, "");
}

static void other_protocols_are_refused(void **state)
{
    struct place *place = *state;
    const struct fetch_request request = {
        .url = "file:///etc/passwd", .data = take, .done = done, .user = place};

    assert_non_null(fetch_start(place->fetcher, &request));
    await(place, 1);
    assert_string_not_equal(place->error, "");
    assert_int_equal(place->bytes, 0);
}

static void a_server_that_says_nothing_runs_out_of_time(void **state)
{
    struct place *place = *state;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char there[32];

    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &length), 0);
    snprintf(there, sizeof there, "::127.0.0.1:%u", ntohs(any.sin_port));
    assert_non_null(
        start(place, "/token", (struct fetch_request){.connect_to = there, .total_ns = 50000000}));
    await(place, 1);
    assert_true(place->result.is_out_of_time);
    close(fd);
}

static void what_is_ended_is_not_done(void **state)
{
    struct place *place = *state;
    struct fetch *first = start(place, "/token", (struct fetch_request){0});

    assert_non_null(first);
    assert_non_null(start(place, "/token", (struct fetch_request){0}));
    fetch_cancel(first);
    await(place, 1);
    assert_non_null(start(place, "/token", (struct fetch_request){0}));
    assert_int_equal(place->done, 1); /* the rest goes with the fetcher */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_response_comes_with_its_status_and_body, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_server_may_ask_to_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_that_is_not_wanted_ends_the_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_not_there_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_protocols_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_says_nothing_runs_out_of_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_ended_is_not_done, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
