/* SPDX-License-Identifier: Apache-2.0 */
/* A program that uses every struct that may grow, each with a guard behind it; embed.py runs it
 * with a library whose structs are longer, and with one whose structs are shorter. */
#include <stdlib.h>
#include <string.h>

#include <qcmp/qcmp.h>

#define GUARDED(type)                                                                              \
    struct {                                                                                       \
        struct type value;                                                                         \
        unsigned char guard[256];                                                                  \
    }
#define GUARD(object) memset((object).guard, 0xa5, sizeof(object).guard)
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            exit(__LINE__ % 256);                                                                  \
    } while (0)

static void check_guard(const unsigned char *guard, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        CHECK(guard[i] == 0xa5);
}

static void check_client(void)
{
    GUARDED(qcmp_client_options) options;
    GUARDED(qcmp_client_event) event;
    struct qcmp_endpoint to;
    struct qcmp_client *client;
    memset(&options, 0, sizeof options);
    GUARD(options);
    GUARD(event);
    options.value.slots = 2;
    CHECK(qcmp_client_bytes(&options.value) != 0);
    CHECK(qcmp_client_new(&client, &options.value) == 0);
    CHECK(qcmp_endpoint_parse(&to, "127.0.0.1:9", 0) == 0);
    CHECK(qcmp_client_ping_endpoint(client, &to, QCMP_DEFAULT_TIMEOUT_NS, &to, NULL) == 0);
    CHECK(qcmp_client_cancel_all(client, &event.value, 1) == 1);
    CHECK(event.value.kind == QCMP_CLIENT_CANCELLED && event.value.user == &to);
    check_guard(event.guard, sizeof event.guard);
    CHECK(qcmp_client_ping_endpoint(client, &to, 1, &to, NULL) == 0);
    while (qcmp_client_process(client, &event.value, 1) == 0)
        CHECK(qcmp_client_wait(client, QCMP_NO_DEADLINE) == 0);
    CHECK(event.value.user == &to);
    check_guard(event.guard, sizeof event.guard);
    qcmp_client_free(client);
}

static void check_probe(void)
{
    GUARDED(qcmp_probe_request) request;
    GUARDED(qcmp_probe_event) event;
    struct qcmp_probe *probe;
    unsigned char ping[QCMP_PING_BYTES];
    uint64_t id;
    void *memory = malloc(qcmp_probe_bytes(4));
    CHECK(memory != NULL && qcmp_probe_init(&probe, memory, qcmp_probe_bytes(4), 4) == 0);
    memset(&request, 0, sizeof request);
    GUARD(request);
    GUARD(event);
    request.value.timeout_ns = 5;
    request.value.random = 77;
    for (int i = 0; i < 4; i++)
        CHECK(qcmp_probe_ping(probe, &request.value, ping, &id) == 0);
    CHECK(qcmp_probe_cancel(probe, id, &event.value) == 0 && event.value.id == id);
    CHECK(qcmp_probe_cancel_next(probe, &event.value) == 1);
    CHECK(qcmp_probe_expire(probe, 6, &event.value) == 1);
    CHECK(event.value.kind == QCMP_PROBE_TIMED_OUT);
    qcmp_probe_receive(probe, &request.value.to, ping, sizeof ping, 0, &event.value);
    CHECK(event.value.kind == QCMP_PROBE_REJECTED && event.value.reason == QCMP_REJECT_NOT_PONG);
    check_guard(event.guard, sizeof event.guard);
    free(memory);
}

static void check_survey(void)
{
    GUARDED(qcmp_survey_options) options;
    GUARDED(qcmp_survey_result) result;
    struct qcmp_endpoint site;
    struct qcmp_survey *survey;
    size_t index;
    memset(&site, 0, sizeof site);
    memset(&options, 0, sizeof options);
    GUARD(options);
    GUARD(result);
    options.value.most = 9;
    size_t bytes = qcmp_survey_bytes(1, &options.value);
    void *memory = malloc(bytes);
    CHECK(memory != NULL && bytes != 0);
    CHECK(qcmp_survey_init(&survey, memory, bytes, &site, 1, &options.value) == 0);
    CHECK(qcmp_survey_next(survey, 0, &index) == 1);
    qcmp_survey_answer(survey, index, 7);
    CHECK(qcmp_survey_get(survey, 0, &result.value) == 0 && result.value.median_ns == 7);
    check_guard(result.guard, sizeof result.guard);
    free(memory);
}

int main(void)
{
    check_client();
    check_probe();
    check_survey();
    return 0;
}
