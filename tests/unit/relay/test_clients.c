/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay/clients.h"
#include "support/random.h"

#define CAPACITY 100

static const struct siphash_key KEY = {{1, 2}};

static struct endpoint address_of(uint16_t number)
{
    return (struct endpoint){.port = number, .address = IN6ADDR_LOOPBACK_INIT};
}

static struct relay_client *add(struct relay_clients *clients, uint16_t number, int64_t now_ns)
{
    struct endpoint address = address_of(number);
    return relay_clients_add(clients, &address, now_ns);
}

static struct relay_client *find(const struct relay_clients *clients, uint16_t number)
{
    struct endpoint address = address_of(number);
    return relay_clients_find(clients, &address);
}

static void remove_all(struct relay_clients *clients)
{
    while (clients->oldest != NULL)
        relay_clients_remove(clients, clients->oldest);
    relay_clients_fini(clients);
}

static void clients_are_numbered_as_they_come_and_a_number_is_not_used_again(void **state)
{
    struct relay_clients clients;
    (void)state;
    assert_int_equal(relay_clients_init(&clients, CAPACITY, &KEY), 0);
    assert_int_equal(add(&clients, 7, 0)->number, 0);
    assert_int_equal(add(&clients, 8, 0)->number, 1);
    relay_clients_remove(&clients, find(&clients, 7));
    assert_null(find(&clients, 7));
    assert_int_equal(add(&clients, 7, 0)->number, 2);
    assert_int_equal(find(&clients, 8)->number, 1);
    remove_all(&clients);
}

static void addresses_that_differ_in_anything_are_different_clients(void **state)
{
    struct relay_clients clients;
    struct endpoint first = address_of(7), second = first;
    (void)state;
    assert_int_equal(relay_clients_init(&clients, CAPACITY, &KEY), 0);
    assert_non_null(relay_clients_add(&clients, &first, 0));
    second.scope = 2;
    assert_null(relay_clients_find(&clients, &second));
    second = first;
    second.address.s6_addr[0] = 1;
    assert_null(relay_clients_find(&clients, &second));
    assert_non_null(relay_clients_find(&clients, &first));
    remove_all(&clients);
}

static void a_full_table_takes_nobody_and_counts_nobody(void **state)
{
    struct relay_clients clients;
    (void)state;
    assert_int_equal(relay_clients_init(&clients, 3, &KEY), 0);
    for (uint16_t i = 0; i < 3; i++)
        assert_non_null(add(&clients, i, 0));
    assert_null(add(&clients, 3, 0));
    assert_int_equal(clients.numbers, 3);
    assert_int_equal(clients.count, 3);
    relay_clients_remove(&clients, find(&clients, 1));
    assert_int_equal(add(&clients, 3, 0)->number, 3);
    remove_all(&clients);
}

/* Takes ports whose clients all have the same place under KEY. */
static void choose_slow(uint16_t slow[CAPACITY])
{
    struct relay_clients clients;
    unsigned found = 0;
    assert_int_equal(relay_clients_init(&clients, CAPACITY, &KEY), 0);
    for (uint16_t port = 1; found < CAPACITY && port != 0; port++) {
        struct relay_client *client = add(&clients, port, 0);
        if (clients.buckets[0] == client)
            slow[found++] = port;
        relay_clients_remove(&clients, client);
    }
    assert_int_equal(found, CAPACITY);
    relay_clients_fini(&clients);
}

static size_t longest_chain(const struct relay_clients *clients)
{
    size_t longest = 0;
    for (size_t i = 0; i < clients->buckets_count; i++) {
        size_t length = 0;
        for (const struct relay_client *at = clients->buckets[i]; at != NULL; at = at->next)
            length++;
        longest = length > longest ? length : longest;
    }
    return longest;
}

static void addresses_that_are_slow_with_one_key_are_not_with_another(void **state)
{
    static const struct siphash_key other = {{3, 4}};
    const struct siphash_key *keys[] = {&KEY, &other};
    size_t longest[2];
    uint16_t slow[CAPACITY];
    (void)state;
    choose_slow(slow);
    for (unsigned i = 0; i < 2; i++) {
        struct relay_clients clients;
        assert_int_equal(relay_clients_init(&clients, CAPACITY, keys[i]), 0);
        for (unsigned k = 0; k < CAPACITY; k++)
            assert_non_null(add(&clients, slow[k], 0));
        longest[i] = longest_chain(&clients);
        remove_all(&clients);
    }
    assert_int_equal(longest[0], CAPACITY);
    assert_in_range(longest[1], 1, 8);
}

static void the_oldest_is_who_was_seen_least_recently(void **state)
{
    struct relay_clients clients;
    (void)state;
    assert_int_equal(relay_clients_init(&clients, CAPACITY, &KEY), 0);
    for (uint16_t i = 0; i < 4; i++)
        add(&clients, i, i);
    relay_clients_touch(&clients, find(&clients, 0), 10);
    relay_clients_touch(&clients, find(&clients, 2), 11);
    relay_clients_touch(&clients, find(&clients, 2), 12);
    const uint16_t expected[] = {1, 3, 0, 2};
    const int64_t seen_ns[] = {1, 3, 10, 12};
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(clients.oldest, find(&clients, expected[i]));
        assert_int_equal(clients.oldest->seen_ns, seen_ns[i]);
        relay_clients_remove(&clients, clients.oldest);
    }
    assert_null(clients.oldest);
    relay_clients_fini(&clients);
}

/* Against an array of what must be there. */
static void the_table_agrees_with_a_model(void **state)
{
    struct relay_clients clients;
    bool there[2 * CAPACITY] = {false};
    uint64_t random = 1;
    size_t count = 0;
    (void)state;
    assert_int_equal(relay_clients_init(&clients, CAPACITY, &KEY), 0);
    for (int step = 0; step < 20000; step++) {
        uint16_t number = (uint16_t)(random_next(&random) % (2 * CAPACITY));
        struct relay_client *client = find(&clients, number);
        assert_int_equal(client != NULL, there[number]);
        if (client != NULL && random_next(&random) % 2 == 0) {
            relay_clients_remove(&clients, client);
            there[number] = false;
            count--;
        } else if (client != NULL) {
            relay_clients_touch(&clients, client, step);
        } else if (add(&clients, number, step) != NULL) {
            there[number] = true;
            count++;
        } else {
            assert_int_equal(count, CAPACITY);
        }
        assert_int_equal(clients.count, count);
    }
    size_t seen = 0;
    for (struct relay_client *client = NULL;
         (client = relay_clients_next(&clients, client)) != NULL; seen++)
        assert_true(there[client->address.port]);
    assert_int_equal(seen, count);
    int64_t last_ns = 0;
    for (struct relay_client *client = clients.oldest; client != NULL; client = client->newer) {
        assert_true(client->seen_ns >= last_ns);
        last_ns = client->seen_ns;
    }
    remove_all(&clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_numbered_as_they_come_and_a_number_is_not_used_again),
        cmocka_unit_test(addresses_that_differ_in_anything_are_different_clients),
        cmocka_unit_test(a_full_table_takes_nobody_and_counts_nobody),
        cmocka_unit_test(addresses_that_are_slow_with_one_key_are_not_with_another),
        cmocka_unit_test(the_oldest_is_who_was_seen_least_recently),
        cmocka_unit_test(the_table_agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
