/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a client, endpoints as text, structs of other versions, and a survey over functions
 * that the caller brought in the place of a socket. */
#include "support/loopback.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <qcmp/client.h>

#define SECOND_NS INT64_C(1000000000)

/* Only Linux has all of 127.0.0.0/8. */
#ifdef __linux__
#define OTHER_LOOPBACK "127.0.0.2"
#else
#define OTHER_LOOPBACK "127.0.0.1"
#endif

static struct qcmp_endpoint endpoint_of(const char *text)
{
    struct qcmp_endpoint endpoint;
    assert_int_equal(qcmp_endpoint_parse(&endpoint, text, 7600), 0);
    return endpoint;
}

/* ---- Endpoints ---- */

static void reads_endpoints_as_people_write_them(void **state)
{
    static const struct {
        const char *text, *formatted;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1:7600"},
        {"192.0.2.1:9", "192.0.2.1:9"},
        {"192.0.2.1:0", "192.0.2.1:0"},
        {"192.0.2.1:65535", "192.0.2.1:65535"},
        {"2001:db8::1", "[2001:db8::1]:7600"},
        {"[2001:db8::1]", "[2001:db8::1]:7600"},
        {"[2001:db8::1]:80", "[2001:db8::1]:80"},
        {"::", "[::]:7600"},
        {"::ffff:192.0.2.1", "192.0.2.1:7600"},
        {"[::ffff:192.0.2.1]:5", "192.0.2.1:5"},
        {"fe80::1", "[fe80::1]:7600"},
        {"fe80::1%3", "[fe80::1%3]:7600"},
        {"[fe80::1%4294967295]:1", "[fe80::1%4294967295]:1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[80];
        struct qcmp_endpoint endpoint = endpoint_of(cases[i].text);
        qcmp_endpoint_format(&endpoint, text, sizeof text);
        assert_string_equal(text, cases[i].formatted);
        struct qcmp_endpoint again = endpoint_of(text);
        assert_memory_equal(&again, &endpoint, sizeof again);
    }
}

static void refuses_what_is_no_endpoint(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "host",
                                        "192.0.2.1:",
                                        "192.0.2.1:65536",
                                        "192.0.2.1:+1",
                                        "192.0.2.1: 1",
                                        "192.0.2.1:1 ",
                                        "192.0.2.1:000001",
                                        " 192.0.2.1",
                                        "192.0.2",
                                        "192.0.2.256",
                                        "[192.0.2.1]:1",
                                        "[2001:db8::1",
                                        "2001:db8::1]:80",
                                        "[2001:db8::1]80",
                                        "[2001:db8::1]:",
                                        "[2001:db8::1]:80x",
                                        "[]:1",
                                        "[",
                                        ":1",
                                        "2001:db8::1%3",
                                        "fe80::1%",
                                        "fe80::1%0",
                                        "fe80::1%no-such-interface",
                                        "192.0.2.1%1",
                                        "::ffff:192.0.2.1%1"};
    struct qcmp_endpoint endpoint, before;
    (void)state;
    memset(&endpoint, 0xa5, sizeof endpoint);
    before = endpoint;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (qcmp_endpoint_parse(&endpoint, texts[i], 1) != QCMP_ERROR_INVALID_ARGUMENT)
            fail_msg("'%s' was accepted", texts[i]);
        assert_memory_equal(&endpoint, &before, sizeof before);
    }
    assert_int_equal(qcmp_endpoint_parse(&endpoint, NULL, 1), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_endpoint_parse(NULL, "192.0.2.1", 1), QCMP_ERROR_INVALID_ARGUMENT);
}

static void an_endpoint_becomes_a_socket_address_and_comes_back(void **state)
{
    static const char *const texts[] = {"192.0.2.1:9", "[2001:db8::1]:9", "[fe80::1%3]:9"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sockaddr_storage address;
        struct qcmp_endpoint endpoint = endpoint_of(texts[i]), back;
        int bytes = qcmp_endpoint_to_sockaddr(&endpoint, &address, sizeof address);
        assert_int_equal(bytes, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(address.ss_family, i == 0 ? AF_INET : AF_INET6);
        assert_int_equal(
            qcmp_endpoint_from_sockaddr(&back, (struct sockaddr *)&address, (size_t)bytes), 0);
        assert_memory_equal(&back, &endpoint, sizeof back);
        assert_int_equal(qcmp_endpoint_to_sockaddr(&endpoint, &address, (size_t)bytes - 1),
                         QCMP_ERROR_BUFFER_TOO_SMALL);
    }
}

/* ---- Structs of other versions ---- */

static void structs_that_may_grow_have_no_padding_at_their_end(void **state)
{
#define ENDS_WITH(type, member)                                                                    \
    assert_int_equal(offsetof(struct type, member) + sizeof((struct type *)NULL)->member,          \
                     sizeof(struct type))
    (void)state;
    ENDS_WITH(qcmp_client_options, io_user);
    ENDS_WITH(qcmp_client_event, receive_source);
    ENDS_WITH(qcmp_probe_request, random);
    ENDS_WITH(qcmp_probe_event, pong);
    ENDS_WITH(qcmp_survey_options, most);
    ENDS_WITH(qcmp_survey_result, loss_proven);
}

/* A struct as a later version has it. */
struct later_options {
    struct qcmp_client_options known;
    uint64_t added;
};
struct later_event {
    struct qcmp_client_event known;
    uint64_t added;
};

static void a_later_programs_options_are_taken_if_what_is_new_is_zero(void **state)
{
    struct later_options options;
    struct qcmp_client *client = NULL;
    (void)state;
    memset(&options, 0, sizeof options);
    options.known.slots = 3;
    assert_int_equal(qcmp_client_bytes_sized(&options.known, sizeof options),
                     qcmp_client_bytes(&options.known));
    assert_int_equal(qcmp_client_new_sized(&client, &options.known, sizeof options), 0);
    qcmp_client_free(client);
    options.added = 1;
    client = NULL;
    assert_int_equal(qcmp_client_bytes_sized(&options.known, sizeof options), 0);
    assert_int_equal(qcmp_client_new_sized(&client, &options.known, sizeof options),
                     QCMP_ERROR_INVALID_ARGUMENT);
    assert_null(client);
}

static void an_earlier_programs_options_are_read_no_further_than_they_go(void **state)
{
    struct qcmp_client_options options;
    struct qcmp_client *client;
    (void)state;
    memset(&options, 0xa5, sizeof options);
    options.slots = 3;
    assert_int_equal(qcmp_client_new_sized(&client, &options, sizeof options.slots), 0);
    qcmp_client_free(client);
}

static void events_are_as_large_as_the_program_says(void **state)
{
    enum {
        EARLIER_BYTES = offsetof(struct qcmp_client_event, peer)
    };
    struct qcmp_endpoint nobody = endpoint_of("127.0.0.1:9");
    struct later_event events[3];
    unsigned char earlier[3 * EARLIER_BYTES];
    struct qcmp_client *client;
    int mark = 0;
    (void)state;
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    memset(events, 0xa5, sizeof events);
    memset(earlier, 0xa5, sizeof earlier);
    for (int i = 0; i < 4; i++)
        assert_int_equal(qcmp_client_ping_endpoint(client, &nobody, 100 * SECOND_NS, &mark, NULL),
                         0);
    assert_int_equal(qcmp_client_cancel_all_sized(client, &events[0].known, sizeof events[0], 2),
                     2);
    assert_ptr_equal(events[1].known.user, &mark);
    assert_int_equal(events[1].added, 0);
    assert_int_equal(events[2].added, UINT64_C(0xa5a5a5a5a5a5a5a5));
    assert_int_equal(qcmp_client_cancel_all_sized(
                         client, (struct qcmp_client_event *)(void *)earlier, EARLIER_BYTES, 2),
                     2);
    int kind;
    memcpy(&kind, earlier + EARLIER_BYTES, sizeof kind);
    assert_int_equal(kind, QCMP_CLIENT_CANCELLED);
    assert_int_equal(earlier[2 * EARLIER_BYTES], 0xa5);
    qcmp_client_free(client);
}

/* ---- A socket as the options want it ---- */

static struct qcmp_endpoint source_seen(const struct qcmp_client_options *options)
{
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_endpoint to, from;
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;
    struct qcmp_client *client;
    uint8_t data[QCMP_MAX_BYTES];
    assert_int_equal(qcmp_endpoint_from_sockaddr(&to, (struct sockaddr *)&server.address,
                                                 (size_t)server.address_bytes),
                     0);
    assert_int_equal(qcmp_client_new(&client, options), 0);
    assert_int_equal(qcmp_client_ping_endpoint(client, &to, SECOND_NS, NULL, NULL), 0);
    assert_int_equal(loopback_receive(&server, data, sizeof data, &peer, &peer_bytes),
                     QCMP_PING_BYTES);
    assert_int_equal(
        qcmp_endpoint_from_sockaddr(&from, (struct sockaddr *)&peer, (size_t)peer_bytes), 0);
    qcmp_client_free(client);
    loopback_close(&server);
    return from;
}

static void pings_leave_from_the_source_that_was_given(void **state)
{
    struct loopback taken = loopback_open(AF_INET);
    struct qcmp_client_options options = {.source = endpoint_of(OTHER_LOOPBACK ":0")};
    struct qcmp_client *client = NULL;
    (void)state;
    struct qcmp_endpoint seen = source_seen(&options);
    assert_memory_equal(seen.address, options.source.address, sizeof seen.address);
    struct qcmp_endpoint any = {.port = source_seen(NULL).port}; /* free again by now */
    options.source = any;
    assert_int_equal(source_seen(&options).port, any.port);
    assert_int_equal(qcmp_endpoint_from_sockaddr(&options.source, (struct sockaddr *)&taken.address,
                                                 (size_t)taken.address_bytes),
                     0);
    assert_int_equal(qcmp_client_new(&client, &options), LOOPBACK_ERROR(EADDRINUSE));
    loopback_close(&taken);
}

static void options_that_contradict_each_other_are_errors(void **state)
{
    const struct qcmp_client_options bad[] = {
        {.family = QCMP_FAMILY_IPV6, .source = endpoint_of("127.0.0.1:0")},
        {.family = QCMP_FAMILY_IPV4, .source = endpoint_of("[::1]:0")},
        {.dscp = -1},
        {.dscp = 64},
    };
    struct qcmp_client *client = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(qcmp_client_new(&client, &bad[i]), QCMP_ERROR_INVALID_ARGUMENT);
    assert_null(client);
}

static void the_class_of_service_is_set_or_refused(void **state)
{
    struct qcmp_client_options options = {.family = QCMP_FAMILY_IPV4, .dscp = 46};
    struct qcmp_client *client = NULL;
    (void)state;
#ifdef _WIN32
    assert_int_equal(qcmp_client_new(&client, &options), LOOPBACK_ERROR(EOPNOTSUPP));
#else
    int tos = 0;
    socklen_t bytes = sizeof tos;
    assert_int_equal(qcmp_client_new(&client, &options), 0);
    assert_int_equal(getsockopt(qcmp_client_fd(client), IPPROTO_IP, IP_TOS, &tos, &bytes), 0);
    assert_int_equal(tos, 46 << 2);
    qcmp_client_free(client);
#endif
}

static void an_interface_that_is_not_there_is_an_error(void **state)
{
    const struct qcmp_client_options options = {.interface_index = 0x7ffffff0};
    struct qcmp_client *client = NULL;
    (void)state;
#ifdef _WIN32
    skip(); /* wine takes any index */
#endif
    assert_true(qcmp_error_to_os(qcmp_client_new(&client, &options)) != 0);
    assert_null(client);
}

#ifdef __linux__
static void a_client_keeps_to_its_interface(void **state)
{
    struct qcmp_client_options options = {.interface_index = 1, .family = QCMP_FAMILY_IPV4};
    (void)state;
    assert_int_equal(source_seen(&options).address[12], 127);
}
#endif

/* ---- The caller's own socket, and a survey over it ---- */

/* A network in memory: what is sent comes back as an answer, unless its port is that of a dead
 * site. */
struct wire {
    struct qcmp_endpoint from[64];
    uint8_t data[64][QCMP_MAX_BYTES];
    int first, last;
    int send_error;
};

static int wire_send(const struct qcmp_endpoint *to, const void *data, size_t bytes, void *user)
{
    struct wire *wire = user;
    struct qcmp_packet packet;
    if (wire->send_error != 0)
        return wire->send_error;
    assert_int_equal(qcmp_packet_decode(data, bytes, &packet, NULL), QCMP_PING);
    if (to->port == 3)
        return 0;
    packet.kind = QCMP_PONG;
    packet.server_start_ns = packet.server_transmit_ns = packet.client_ns;
    wire->from[wire->last % 64] = *to;
    qcmp_packet_encode(&packet, wire->data[wire->last++ % 64], QCMP_MAX_BYTES);
    return 0;
}

static int wire_receive(struct qcmp_endpoint *from, void *data, size_t *bytes, void *user)
{
    struct wire *wire = user;
    if (wire->first == wire->last)
        return 0;
    assert_true(*bytes > QCMP_MAX_BYTES);
    *from = wire->from[wire->first % 64];
    memcpy(data, wire->data[wire->first++ % 64], QCMP_PONG_BYTES);
    *bytes = QCMP_PONG_BYTES;
    return 1;
}

static void a_client_works_over_the_callers_own_socket(void **state)
{
    struct wire wire = {.send_error = 0};
    struct qcmp_client_options options = {
        .send = wire_send, .receive = wire_receive, .io_user = &wire};
    struct qcmp_endpoint to = endpoint_of("192.0.2.1:7600");
    struct qcmp_client *client;
    struct qcmp_client_event event;
    (void)state;
    assert_int_equal(qcmp_client_new(&client, &options), 0);
    assert_true(qcmp_client_fd(client) == QCMP_NO_FD);
    assert_int_equal(qcmp_client_ping_endpoint(client, &to, SECOND_NS, &wire, NULL), 0);
    assert_int_equal(qcmp_client_process(client, &event, 1), 1);
    assert_int_equal(event.kind, QCMP_CLIENT_ANSWERED);
    assert_int_equal(event.transmit_source, QCMP_STAMP_USER);
    assert_int_equal(qcmp_client_process(client, &event, 1), 0);
    assert_int_equal(qcmp_client_wait(client, 0), LOOPBACK_ERROR(EOPNOTSUPP));
    wire.send_error = QCMP_ERROR_NO_SLOT;
    assert_int_equal(qcmp_client_ping_endpoint(client, &to, SECOND_NS, NULL, NULL),
                     QCMP_ERROR_NO_SLOT);
    assert_int_equal(qcmp_client_in_flight(client), 0);
    qcmp_client_free(client);
    options.receive = NULL;
    assert_int_equal(qcmp_client_new(&client, &options), QCMP_ERROR_INVALID_ARGUMENT);
}

static void a_survey_runs_over_a_client(void **state)
{
    struct wire wire = {.send_error = 0};
    const struct qcmp_client_options options = {
        .send = wire_send, .receive = wire_receive, .io_user = &wire};
    const struct qcmp_survey_options quick = {
        .gap_ns = 1000, .interval_ns = 1000, .timeout_ns = 50000000, .margin_ns = SECOND_NS};
    struct qcmp_endpoint sites[4];
    struct qcmp_survey *survey;
    struct qcmp_survey_result result;
    struct qcmp_client *client;
    void *memory = malloc(qcmp_survey_bytes(4, &quick));
    int certain, running = 1;
    (void)state;
    assert_non_null(memory);
    for (uint16_t i = 0; i < 4; i++) {
        sites[i] = endpoint_of("192.0.2.1");
        sites[i].port = i;
    }
    assert_int_equal(qcmp_client_new(&client, &options), 0);
    assert_int_equal(
        qcmp_survey_init(&survey, memory, qcmp_survey_bytes(4, &quick), sites, 4, &quick), 0);
    assert_int_equal(qcmp_survey_wait_ns(survey, client), 0);
    while (running) {
        running = qcmp_survey_step(survey, client);
        assert_true(running >= 0);
        assert_true(!running || qcmp_survey_wait_ns(survey, client) < 100000000);
    }
    assert_true(qcmp_survey_best(survey, &certain) >= 0);
    assert_int_equal(certain, 1);
    assert_int_equal(qcmp_survey_get(survey, 3, &result), 0);
    assert_int_equal(result.answered, 0);
    assert_true(result.lost >= 3);
    assert_int_equal(qcmp_survey_get(survey, 0, &result), 0);
    assert_true(result.answered >= 8 && result.median_ns >= 0 && result.median_ns < SECOND_NS);
    qcmp_client_free(client);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_endpoints_as_people_write_them),
        cmocka_unit_test(refuses_what_is_no_endpoint),
        cmocka_unit_test(an_endpoint_becomes_a_socket_address_and_comes_back),
        cmocka_unit_test(structs_that_may_grow_have_no_padding_at_their_end),
        cmocka_unit_test(a_later_programs_options_are_taken_if_what_is_new_is_zero),
        cmocka_unit_test(an_earlier_programs_options_are_read_no_further_than_they_go),
        cmocka_unit_test(events_are_as_large_as_the_program_says),
        cmocka_unit_test(pings_leave_from_the_source_that_was_given),
        cmocka_unit_test(options_that_contradict_each_other_are_errors),
        cmocka_unit_test(the_class_of_service_is_set_or_refused),
        cmocka_unit_test(an_interface_that_is_not_there_is_an_error),
#ifdef __linux__
        cmocka_unit_test(a_client_keeps_to_its_interface),
#endif
        cmocka_unit_test(a_client_works_over_the_callers_own_socket),
        cmocka_unit_test(a_survey_runs_over_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
