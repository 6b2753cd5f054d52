/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server.h"

static int answer_ok(const struct http_request *request, struct http_reply *reply, void *user)
{
    (void)request;
    (void)user;
    fputs("ok\n", reply->out);
    return 0;
}

/* Says in the reply's own fields what came with the request. */
static int answer_fields(const struct http_request *request, struct http_reply *reply, void *user)
{
    struct sockaddr_in peer;

    memcpy(&peer, request->peer, sizeof peer);
    reply->status = 200;
    reply->type = "text/x";
    reply->cache_control = "no-store";
    fprintf(reply->out, "%s %s %08x %s", request->method, request->path,
            (unsigned)ntohl(peer.sin_addr.s_addr), http_request_query(request, "key"));
    assert_string_equal(user, "user");
    return 0;
}

static const char *allow_origin(const struct http_request *request, void *user)
{
    (void)user;
    return http_request_header(request, "Origin");
}

/* Fails after it has written, and has given a document. */
static int answer_failure(const struct http_request *request, struct http_reply *reply, void *user)
{
    (void)request;
    (void)user;
    reply->cache_control = "max-age=60";
    reply->blob = http_blob_new(strdup("document"), 8);
    fputs("a text that is longer than what replaces it", reply->out);
    return -EIO;
}

/* What a host without IPv6 does: the linker puts this before the true one (--wrap). */
struct host {
    bool without_ipv6;
};

static struct host host;

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);

int __wrap_socket(int family, int type, int protocol)
{
    if (host.without_ipv6 && family == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return __real_socket(family, type, protocol);
}

static int start(struct http_server **server, const void *address)
{
    static const struct http_route routes[] = {{"/live", answer_ok},
                                               {"/fields", answer_fields},
                                               {"/failure", answer_failure},
                                               {NULL, NULL}};
    static char user[] = "user";
    const struct http_options options = {
        .name = "test", .routes = routes, .allow_origin = allow_origin, .user = user};
    struct http_server *made;

    assert_int_equal(http_server_new(&made, &options), 0);
    int code = http_server_listen(made, address, NULL);
    if (code == 0)
        code = http_server_start(made);
    if (code == 0)
        *server = made;
    else
        http_server_stop(made);
    return code;
}

static struct sockaddr_in ipv4(in_addr_t address, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(port)};
}

static struct sockaddr_in6 ipv6(struct in6_addr address, uint16_t port)
{
    return (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_addr = address, .sin6_port = htons(port)};
}

/* Whether an address connects, and then answers. */
static bool answers(const void *address, socklen_t bytes)
{
    static const char question[] = "GET /live HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[16] = "";
    int fd = __real_socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    bool connected = connect(fd, address, bytes) == 0;
    if (connected) {
        assert_int_equal(write(fd, question, sizeof question - 1), sizeof question - 1);
        assert_int_equal(recv(fd, answer, 12, MSG_WAITALL), 12);
        assert_string_equal(answer, "HTTP/1.1 200");
    }
    close(fd);
    return connected;
}

static void require_ipv6(void)
{
    struct sockaddr_in6 address = ipv6(in6addr_loopback, 0);
    int fd = __real_socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    if (has)
        return;
    print_message("SKIPPED: this host has no IPv6\n");
    skip();
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void a_free_port_is_taken_and_told(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    (void)state;
    assert_int_equal(start(&server, &any), 0);
    assert_int_not_equal(http_server_port(server), 0);
    struct sockaddr_in taken = ipv4(INADDR_LOOPBACK, http_server_port(server));
    assert_true(answers(&taken, sizeof taken));
    http_server_stop(server);
    assert_false(answers(&taken, sizeof taken));
}

static void a_port_in_use_is_an_error_and_leaves_the_output(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *first = NULL;
    struct http_server *second = NULL;
    (void)state;
    assert_int_equal(start(&first, &any), 0);
    struct sockaddr_in taken = ipv4(INADDR_LOOPBACK, http_server_port(first));
    unsigned before = open_fds();
    assert_int_equal(start(&second, &taken), -EADDRINUSE);
    assert_null(second);
    assert_int_equal(open_fds(), before);
    http_server_stop(first);
}

static void a_port_can_be_had_again_at_once(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    (void)state;
    assert_int_equal(start(&server, &any), 0);
    struct sockaddr_in same = ipv4(INADDR_LOOPBACK, http_server_port(server));
    assert_true(answers(&same, sizeof same));
    http_server_stop(server);
    assert_int_equal(start(&server, &same), 0);
    http_server_stop(server);
}

static void any_ipv6_address_is_for_ipv4_as_well(void **state)
{
    struct sockaddr_in6 any = ipv6(in6addr_any, 0);
    struct http_server *server = NULL;
    (void)state;
    require_ipv6();
    assert_int_equal(start(&server, &any), 0);
    struct sockaddr_in by_ipv4 = ipv4(INADDR_LOOPBACK, http_server_port(server));
    struct sockaddr_in6 by_ipv6 = ipv6(in6addr_loopback, http_server_port(server));
    assert_true(answers(&by_ipv4, sizeof by_ipv4));
    assert_true(answers(&by_ipv6, sizeof by_ipv6));
    http_server_stop(server);
}

static void a_host_without_ipv6_is_served_over_ipv4(void **state)
{
    struct sockaddr_in6 any = ipv6(in6addr_any, 0);
    struct sockaddr_in6 one = ipv6(in6addr_loopback, 0);
    struct http_server *server = NULL;
    (void)state;
    host.without_ipv6 = true;
    int any_error = start(&server, &any);
    int one_error = any_error == 0 ? start(&(struct http_server *){NULL}, &one) : 0;
    host.without_ipv6 = false;
    assert_int_equal(any_error, 0);
    assert_int_equal(one_error, -EAFNOSUPPORT);
    struct sockaddr_in by_ipv4 = ipv4(INADDR_LOOPBACK, http_server_port(server));
    assert_true(answers(&by_ipv4, sizeof by_ipv4));
    http_server_stop(server);
}

static void other_families_and_foreign_addresses_are_errors(void **state)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    struct sockaddr_in foreign = ipv4(0xc0000201, 0); /* 192.0.2.1, for documents */
    struct http_server *server = NULL;
    (void)state;
    assert_int_equal(start(&server, &local), -EAFNOSUPPORT);
    assert_int_equal(start(&server, &foreign), -EADDRNOTAVAIL);
    assert_null(server);
}

static void stop_closes_connections_and_every_descriptor(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    char byte;
    (void)state;
    unsigned before = open_fds();
    assert_int_equal(start(&server, &any), 0);
    struct sockaddr_in address = ipv4(INADDR_LOOPBACK, http_server_port(server));
    int fd = __real_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    /* The server takes connections in their order, so that it has the first by now. */
    assert_true(answers(&address, sizeof address));
    http_server_stop(server);
    assert_true(read(fd, &byte, 1) <= 0);
    close(fd);
    assert_int_equal(open_fds(), before);
    http_server_stop(NULL);
}

/* Asks a server, and checks the lines of its answer and the whole body. */
static void check_answer(const char *question, const char *const *lines, const char *body)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    char answer[1024] = "";
    assert_int_equal(start(&server, &any), 0);
    any.sin_port = htons(http_server_port(server));
    int fd = __real_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(write(fd, question, strlen(question)), strlen(question));
    assert_true(recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0);
    close(fd);
    http_server_stop(server);
    char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
    for (; *lines != NULL; lines++)
        assert_non_null(strstr(answer, *lines));
    assert_int_equal(strstr(answer, "max-age") != NULL, false);
}

static void a_handler_sees_the_request_and_its_fields_are_sent(void **state)
{
    (void)state;
    check_answer("GET /fields?key=%41 HTTP/1.1\r\nORIGIN: https://a\r\n\r\n",
                 (const char *const[]){"HTTP/1.1 200 OK\r\n", "\r\nContent-Type: text/x\r\n",
                                       "\r\nContent-Length: 22\r\n",
                                       "\r\nCache-Control: no-store\r\n",
                                       "\r\nAccess-Control-Allow-Origin: https://a\r\n",
                                       "\r\nConnection: close\r\n", " GMT\r\n", NULL},
                 "GET /fields 7f000001 A");
}

static void nothing_is_left_of_what_a_handler_that_fails_had_made(void **state)
{
    (void)state;
    check_answer("GET /failure HTTP/1.1\r\nOrigin: https://a\r\n\r\n",
                 (const char *const[]){"HTTP/1.1 500 Internal Server Error\r\n",
                                       "\r\nContent-Type: text/plain; charset=utf-8\r\n",
                                       "\r\nAccess-Control-Allow-Origin: https://a\r\n",
                                       "\r\nContent-Length: 7\r\n", NULL},
                 "failed\n");
}

static void an_error_names_the_address(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    const struct http_options options = {.name = "test"};
    struct http_server *server = NULL;
    struct error error = {0};
    char expected[128];
    (void)state;
    assert_int_equal(http_server_new(&server, &options), 0);
    assert_int_equal(http_server_listen(server, (const struct sockaddr *)&any, &error), 0);
    any.sin_port = htons(http_server_port(server));
    assert_int_equal(http_server_listen(server, (const struct sockaddr *)&any, &error),
                     -EADDRINUSE);
    assert_int_equal(error.code, -EADDRINUSE);
    snprintf(expected, sizeof expected, "cannot serve HTTP on 127.0.0.1:%u: Address already in use",
             http_server_port(server));
    assert_string_equal(error.text, expected);
    assert_int_equal(http_server_listen(server, (const struct sockaddr *)&local, &error),
                     -EAFNOSUPPORT);
    assert_non_null(strstr(error.text, "no IP address"));
    http_server_stop(server);
}

static void one_server_listens_on_several_addresses(void **state)
{
    static const struct http_route routes[] = {{"/live", answer_ok}, {NULL, NULL}};
    const struct http_options options = {.name = "test", .routes = routes};
    struct sockaddr_in at[HTTP_ADDRESSES + 1] = {ipv4(INADDR_LOOPBACK, 0)};
    struct http_server *server = NULL;
    (void)state;
    assert_int_equal(http_server_new(&server, &options), 0);
    for (in_addr_t i = 0; i <= HTTP_ADDRESSES; i++) {
        at[i] = ipv4(INADDR_LOOPBACK + i, i > 0 ? http_server_port(server) : 0);
        assert_int_equal(http_server_listen(server, (const struct sockaddr *)&at[i], NULL),
                         i < HTTP_ADDRESSES ? 0 : -E2BIG);
    }
    at[0].sin_port = htons(http_server_port(server));
    assert_int_equal(http_server_start(server), 0);
    for (size_t i = 0; i < HTTP_ADDRESSES; i++)
        assert_true(answers(&at[i], sizeof at[i]));
    http_server_stop(server);
}

static bool admits_the_first(const struct http_request *request, void *user)
{
    assert_int_equal(request->peer->sa_family, AF_INET);
    return ++*(unsigned *)user == 1;
}

static void what_is_not_admitted_is_told_to_come_again(void **state)
{
    static const struct http_route routes[] = {{"/live", answer_ok}, {NULL, NULL}};
    static const char question[] = "GET /live HTTP/1.1\r\n\r\n";
    unsigned asked = 0;
    const struct http_options options = {
        .name = "test", .routes = routes, .admits = admits_the_first, .user = &asked};
    struct sockaddr_in at = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    char answer[512] = "";
    (void)state;
    assert_int_equal(http_server_new(&server, &options), 0);
    assert_int_equal(http_server_listen(server, (const struct sockaddr *)&at, NULL), 0);
    at.sin_port = htons(http_server_port(server));
    assert_int_equal(http_server_start(server), 0);
    assert_true(answers(&at, sizeof at));
    int fd = __real_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(write(fd, question, sizeof question - 1), sizeof question - 1);
    assert_true(recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0);
    close(fd);
    http_server_stop(server);
    assert_non_null(strstr(answer, "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
}

static void a_server_that_was_never_started_is_stopped_as_well(void **state)
{
    const struct http_options options = {.name = "test"};
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *server = NULL;
    unsigned before = open_fds();
    (void)state;
    assert_int_equal(http_server_new(&server, &options), 0);
    assert_int_equal(http_server_listen(server, (const struct sockaddr *)&any, NULL), 0);
    http_server_stop(server);
    assert_int_equal(open_fds(), before);
}

static void several_servers_run_side_by_side(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct http_server *servers[3] = {NULL};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(start(&servers[i], &any), 0);
    for (size_t i = 0; i < 3; i++) {
        struct sockaddr_in address = ipv4(INADDR_LOOPBACK, http_server_port(servers[i]));
        assert_true(answers(&address, sizeof address));
        http_server_stop(servers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_free_port_is_taken_and_told),
        cmocka_unit_test(a_port_in_use_is_an_error_and_leaves_the_output),
        cmocka_unit_test(a_port_can_be_had_again_at_once),
        cmocka_unit_test(any_ipv6_address_is_for_ipv4_as_well),
        cmocka_unit_test(a_host_without_ipv6_is_served_over_ipv4),
        cmocka_unit_test(other_families_and_foreign_addresses_are_errors),
        cmocka_unit_test(a_handler_sees_the_request_and_its_fields_are_sent),
        cmocka_unit_test(nothing_is_left_of_what_a_handler_that_fails_had_made),
        cmocka_unit_test(an_error_names_the_address),
        cmocka_unit_test(one_server_listens_on_several_addresses),
        cmocka_unit_test(what_is_not_admitted_is_told_to_come_again),
        cmocka_unit_test(a_server_that_was_never_started_is_stopped_as_well),
        cmocka_unit_test(several_servers_run_side_by_side),
        cmocka_unit_test(stop_closes_connections_and_every_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
