/* SPDX-License-Identifier: Apache-2.0 */
/* Databases of places, good and bad. */
#include "support/cmocka.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "geo/mmdb.h"
#include "support/mmdb_write.h"

#define ROOM 65536

static const atomic_bool goes_on;

static struct in6_addr address(const char *text)
{
    struct in6_addr made = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    if (inet_pton(AF_INET, text, &made.s6_addr[12]) != 1)
        assert_int_equal(inet_pton(AF_INET6, text, &made), 1);
    return made;
}

static void add(struct mmdb_write *made, const char *text, unsigned bits, uint32_t record)
{
    struct in6_addr first = address(text);
    if (IN6_IS_ADDR_V4MAPPED(&first)) {
        memset(first.s6_addr, 0, 12);
        bits += 96;
    }
    mmdb_network(made, first.s6_addr, bits, record);
}

/* As those of MaxMind for countries and for networks, and as others write both into one. */
static size_t make(uint8_t *out)
{
    static struct mmdb_write made;
    memset(&made, 0, sizeof made);
    uint32_t country = mmdb_record(&made);
    mmdb_map(&made, 2);
    mmdb_text(&made, "continent");
    mmdb_map(&made, 1);
    mmdb_text(&made, "code");
    mmdb_text(&made, "EU");
    mmdb_text(&made, "country");
    mmdb_map(&made, 1);
    mmdb_text(&made, "iso_code");
    mmdb_text(&made, "DE");
    uint32_t network = mmdb_record(&made);
    mmdb_map(&made, 1);
    mmdb_text(&made, "autonomous_system_number");
    mmdb_number(&made, 64500);
    uint32_t both = mmdb_record(&made);
    mmdb_map(&made, 3);
    mmdb_text(&made, "asn");
    mmdb_text(&made, "AS64501");
    mmdb_text(&made, "as_name");
    mmdb_text(&made, "Example");
    mmdb_text(&made, "country_code");
    mmdb_text(&made, "SE");
    uint32_t odd = mmdb_record(&made);
    mmdb_map(&made, 2);
    mmdb_text(&made, "country");
    mmdb_text(&made, "Norway");
    mmdb_text(&made, "asn");
    mmdb_text(&made, "ASx");
    add(&made, "192.0.2.0", 24, country);
    add(&made, "192.0.3.0", 24, country);
    add(&made, "198.51.100.128", 25, network);
    add(&made, "2001:db8::", 32, both);
    add(&made, "203.0.113.7", 32, odd);
    return mmdb_finish(&made, out);
}

static int read_bytes(struct geo_table **table, const uint8_t *data, size_t bytes,
                      struct error *error)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(write(fd, data, bytes), bytes);
    int code = mmdb_read(table, fd, &goes_on, error);
    close(fd);
    return code;
}

static void assert_place(const struct geo_table *table, const char *text, const char *country,
                         uint32_t asn)
{
    struct in6_addr wanted = address(text);
    struct geo_place place = geo_table_find(table, &wanted);
    assert_int_equal(place.asn, asn);
    assert_int_equal(strncmp(place.country, country, 2), 0);
}

static void places_are_those_of_the_database(void **state)
{
    uint8_t *data = malloc(ROOM);
    struct geo_table *table;
    struct error error;

    (void)state;
    assert_int_equal(read_bytes(&table, data, make(data), &error), 0);
    assert_place(table, "192.0.1.255", "", 0);
    assert_place(table, "192.0.2.0", "DE", 0);
    assert_place(table, "192.0.3.255", "DE", 0);
    assert_place(table, "192.0.4.0", "", 0);
    assert_place(table, "198.51.100.127", "", 0);
    assert_place(table, "198.51.100.128", "", 64500);
    assert_place(table, "198.51.101.0", "", 0);
    assert_place(table, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "", 0);
    assert_place(table, "2001:db8::", "SE", 64501);
    assert_place(table, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "SE", 64501);
    assert_place(table, "2001:db9::", "", 0);
    assert_place(table, "203.0.113.7", "", 0);
    assert_place(table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", 0);
    assert_int_equal(table->count, 7); /* neighbours alike are one */
    geo_table_free(table);
    assert_place(NULL, "192.0.2.0", "", 0);
    free(data);
}

static void no_truncation_is_used(void **state)
{
    uint8_t *data = malloc(ROOM);
    struct geo_table *table = NULL;
    struct error error;
    size_t bytes = make(data);

    (void)state;
    for (size_t i = 0; i + 1 < bytes; i++) {
        int code = read_bytes(&table, data, i, &error);
        /* The last bytes are a version that says 0 without them. */
        assert_true(code == -EINVAL || i + 8 > bytes);
        if (code == 0)
            geo_table_free(table);
    }
    free(data);
}

/* What is left is a database that says something else, or none; it is read to the end. */
static void no_changed_byte_does_harm(void **state)
{
    static const uint8_t changes[] = {0x01, 0x20, 0x80, 0xff};
    uint8_t *data = malloc(ROOM);
    struct geo_table *table;
    struct error error;
    size_t bytes = make(data);
    unsigned refused = 0;

    (void)state;
    for (size_t i = 0; i < bytes; i++) {
        for (unsigned j = 0; j < sizeof changes; j++) {
            data[i] ^= changes[j];
            if (read_bytes(&table, data, bytes, &error) == 0)
                geo_table_free(table);
            else
                refused++;
            data[i] ^= changes[j];
        }
    }
    assert_in_range(refused, bytes, 4 * bytes);
    free(data);
}

/* Each node leads to the next one by both sides: 2^96 networks. */
static void an_archive_is_called_one(void **state)
{
    struct geo_table *table = NULL;
    struct error error = {0};

    (void)state;
    assert_int_equal(read_bytes(&table, (const uint8_t[]){0x1f, 0x8b, 8, 0}, 4, &error), -EINVAL);
    assert_non_null(strstr(error.text, "found an archive or a compressed file"));
    assert_null(table);
}

static void a_tree_without_end_is_given_up(void **state)
{
    static struct mmdb_write made;
    uint8_t *data = malloc(ROOM);
    struct geo_table *table;
    struct error error;
    atomic_bool is_stopped = true;

    (void)state;
    mmdb_record(&made);
    mmdb_map(&made, 0);
    made.count = 100;
    for (uint32_t i = 0; i < made.count; i++)
        made.nodes[i][0] = made.nodes[i][1] = i + 2 < made.count ? i + 2 : MMDB_NODES + 1;
    size_t bytes = mmdb_finish(&made, data);
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(write(fd, data, bytes), bytes);
    assert_int_equal(mmdb_read(&table, fd, &is_stopped, &error), -ETIME);
    assert_string_equal(error.text, "it takes too long to read");
    assert_int_equal(pwrite(fd, data, make(data), 0), make(data)); /* a short one as well */
    assert_int_equal(ftruncate(fd, (off_t)make(data)), 0);
    assert_int_equal(mmdb_read(&table, fd, &is_stopped, &error), -ETIME);

    made.nodes[99][0] = made.nodes[99][1] = made.nodes[98][0] = made.nodes[98][1] = 1; /* a ring */
    assert_int_equal(read_bytes(&table, data, mmdb_finish(&made, data), &error), -EINVAL);
    assert_string_equal(error.text, "it is corrupt");
    close(fd);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_those_of_the_database),
        cmocka_unit_test(no_truncation_is_used),
        cmocka_unit_test(no_changed_byte_does_harm),
        cmocka_unit_test(an_archive_is_called_one),
        cmocka_unit_test(a_tree_without_end_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
