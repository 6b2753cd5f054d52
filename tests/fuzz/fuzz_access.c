/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Access lists as text: a line is `+` or `-` and a prefix, or an address to ask for. Oracles: a
 * prefix that was read and written reads the same; the trie answers what a look at each prefix
 * does.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "guard/access.h"
#include "support/access_oracle.h"
#include "support/check.h"

#define MAX_ADDRESSES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct prefix_list allow, deny;
    struct in6_addr addresses[MAX_ADDRESSES];
    size_t addresses_count;
};

static void check_round_trip(const struct prefix *prefix)
{
    struct prefix again;
    char text[PREFIX_TEXT_BYTES];

    CHECK(prefix->bits <= 128);
    prefix_format(prefix, text);
    CHECK(prefix_parse(text, &again) == 0);
    CHECK(memcmp(&again.address, &prefix->address, sizeof again.address) == 0);
    CHECK(again.bits == prefix->bits);
    CHECK(oracle_has(prefix, &prefix->address));
}

static void take_line(struct input *input, const char *line)
{
    struct prefix prefix;
    struct in_addr ipv4;

    if (line[0] == '+' || line[0] == '-') {
        if (prefix_parse(line + 1, &prefix) != 0)
            return;
        check_round_trip(&prefix);
        CHECK(prefix_list_add(line[0] == '+' ? &input->allow : &input->deny, &prefix) == 0);
    } else if (input->addresses_count < MAX_ADDRESSES) {
        struct in6_addr *address = &input->addresses[input->addresses_count];
        if (inet_pton(AF_INET, line, &ipv4) == 1) {
            memset(address, 0, 10);
            memset(address->s6_addr + 10, 0xff, 2);
            memcpy(address->s6_addr + 12, &ipv4, 4);
            input->addresses_count++;
        } else if (inet_pton(AF_INET6, line, address) == 1) {
            input->addresses_count++;
        }
    }
}

static void check_address(const struct input *input, const struct access *access,
                          const struct in6_addr *address)
{
    bool expected = oracle_allows(&input->allow, &input->deny, address);
    CHECK((access == NULL || access_allows(access, address)) == expected);
}

/* The addresses that were asked for, and both ends of each prefix. */
static void check_all(const struct input *input, const struct access *access,
                      const struct prefix_list *list)
{
    for (size_t i = 0; i < input->addresses_count; i++)
        check_address(input, access, &input->addresses[i]);
    for (size_t i = 0; i < list->count; i++) {
        struct in6_addr last = list->items[i].address;
        check_address(input, access, &last);
        for (unsigned bit = list->items[i].bits; bit < 128; bit++)
            last.s6_addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        check_address(input, access, &last);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {0};
    struct access *access;
    char *text = strndup(size > 0 ? (const char *)data : "", size < 4096 ? size : 4096),
         *rest = text;

    CHECK(text != NULL);
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        take_line(&input, line);
    CHECK(access_new(&access, &input.allow, &input.deny) == 0);
    CHECK((access == NULL) == (input.allow.count + input.deny.count == 0));
    check_all(&input, access, &input.allow);
    check_all(&input, access, &input.deny);
    access_free(access);
    prefix_list_fini(&input.allow);
    prefix_list_fini(&input.deny);
    free(text);
    return 0;
}
