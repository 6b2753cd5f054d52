#include "support/cmocka.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"

static bool yes(void *user)
{
    (void)user;
    return true;
}

static int write_nothing(FILE *out, bool with_access, void *user)
{
    (void)with_access;
    (void)out;
    (void)user;
    return 0;
}

static int write_no_metrics(FILE *out, enum metrics_format format, void *user)
{
    (void)format;
    return write_nothing(out, false, user);
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

static int start(struct admin **admin, const void *address)
{
    struct admin_options options = {
        .address = address,
        .callbacks = {
            .live = yes, .ready = yes, .metrics = write_no_metrics, .config = write_nothing}};
    return admin_start(admin, &options);
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

/* Whether an address connects; a connected socket is told what it asks for. */
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
    print_message("skipped: this host has no IPv6\n");
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
    struct admin *admin = NULL;
    (void)state;
    assert_int_equal(start(&admin, &any), 0);
    assert_int_not_equal(admin_port(admin), 0);
    struct sockaddr_in taken = ipv4(INADDR_LOOPBACK, admin_port(admin));
    assert_true(answers(&taken, sizeof taken));
    admin_stop(admin);
    assert_false(answers(&taken, sizeof taken));
}

static void a_port_in_use_is_an_error_and_leaves_the_output(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct admin *first = NULL;
    struct admin *second = NULL;
    (void)state;
    assert_int_equal(start(&first, &any), 0);
    struct sockaddr_in taken = ipv4(INADDR_LOOPBACK, admin_port(first));
    unsigned before = open_fds();
    assert_int_equal(start(&second, &taken), -EADDRINUSE);
    assert_null(second);
    assert_int_equal(open_fds(), before);
    admin_stop(first);
}

static void a_port_can_be_had_again_at_once(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct admin *admin = NULL;
    (void)state;
    assert_int_equal(start(&admin, &any), 0);
    struct sockaddr_in same = ipv4(INADDR_LOOPBACK, admin_port(admin));
    assert_true(answers(&same, sizeof same));
    admin_stop(admin);
    assert_int_equal(start(&admin, &same), 0);
    admin_stop(admin);
}

static void any_ipv6_address_is_for_ipv4_as_well(void **state)
{
    struct sockaddr_in6 any = ipv6(in6addr_any, 0);
    struct admin *admin = NULL;
    (void)state;
    require_ipv6();
    assert_int_equal(start(&admin, &any), 0);
    struct sockaddr_in by_ipv4 = ipv4(INADDR_LOOPBACK, admin_port(admin));
    struct sockaddr_in6 by_ipv6 = ipv6(in6addr_loopback, admin_port(admin));
    assert_true(answers(&by_ipv4, sizeof by_ipv4));
    assert_true(answers(&by_ipv6, sizeof by_ipv6));
    admin_stop(admin);
}

static void a_host_without_ipv6_is_served_over_ipv4(void **state)
{
    struct sockaddr_in6 any = ipv6(in6addr_any, 0);
    struct sockaddr_in6 one = ipv6(in6addr_loopback, 0);
    struct admin *admin = NULL;
    (void)state;
    host.without_ipv6 = true;
    int any_error = start(&admin, &any);
    int one_error = any_error == 0 ? start(&(struct admin *){NULL}, &one) : 0;
    host.without_ipv6 = false;
    assert_int_equal(any_error, 0);
    assert_int_equal(one_error, -EAFNOSUPPORT);
    struct sockaddr_in by_ipv4 = ipv4(INADDR_LOOPBACK, admin_port(admin));
    assert_true(answers(&by_ipv4, sizeof by_ipv4));
    admin_stop(admin);
}

static void other_families_and_foreign_addresses_are_errors(void **state)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    struct sockaddr_in foreign = ipv4(0xc0000201, 0); /* 192.0.2.1, for documents */
    struct admin *admin = NULL;
    (void)state;
    assert_int_equal(start(&admin, &local), -EAFNOSUPPORT);
    assert_int_equal(start(&admin, &foreign), -EADDRNOTAVAIL);
    assert_null(admin);
}

static void stop_closes_connections_and_every_descriptor(void **state)
{
    struct sockaddr_in any = ipv4(INADDR_LOOPBACK, 0);
    struct admin *admin = NULL;
    char byte;
    (void)state;
    unsigned before = open_fds();
    assert_int_equal(start(&admin, &any), 0);
    struct sockaddr_in address = ipv4(INADDR_LOOPBACK, admin_port(admin));
    int fd = __real_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    /* The server takes connections in their order, so that it has the first by now. */
    assert_true(answers(&address, sizeof address));
    admin_stop(admin);
    assert_true(read(fd, &byte, 1) <= 0);
    close(fd);
    assert_int_equal(open_fds(), before);
    admin_stop(NULL);
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
        cmocka_unit_test(stop_closes_connections_and_every_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
