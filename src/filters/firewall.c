/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "filters/list.h"
#include "net/prefix.h"

#define MAX_RULES 65536
#define ADDRESS_BITS 128

/* Ports from the first to below the end. */
struct range {
    uint32_t first, end;
};

struct ranges {
    struct range *items;
    size_t count, capacity;
};

struct rule {
    enum action {
        ALLOW,
        DENY
    } action;
    struct prefix_list sources;
    struct ranges ports;
};

struct rules {
    struct rule *items;
    size_t count, capacity;
};

struct firewall {
    struct rules on_read, on_write;
};

static const char *const reasons[] = {"filter::firewall::denied", NULL};
static const char *const actions[] = {"ALLOW", "DENY", NULL};

static void clear_behind(struct prefix *prefix, unsigned bits)
{
    for (unsigned byte = 0; byte < sizeof prefix->address; byte++) {
        unsigned kept = bits > 8 * byte ? bits - 8 * byte : 0;
        if (kept < 8)
            prefix->address.s6_addr[byte] &= (uint8_t)(0xff00U >> kept);
    }
    prefix->bits = bits;
}

/* An address, or a prefix, whose bits behind it may be set. */
static int parse_source(const char *text, void *value)
{
    char address[PREFIX_TEXT_BYTES];
    struct prefix prefix;
    size_t length = strcspn(text, "/");
    uint64_t bits;

    if (length >= sizeof address)
        return -1;
    snprintf(address, sizeof address, "%.*s", (int)length, text);
    if (prefix_parse(address, &prefix) != 0)
        return -1;
    unsigned common = prefix_is_ipv4(&prefix) ? PREFIX_IPV4_BITS : 0;
    if (text[length] == '/') {
        if (number_parse(text + length + 1, 0, ADDRESS_BITS - common, &bits) != 0)
            return -1;
        clear_behind(&prefix, common + (unsigned)bits);
    }
    memcpy(value, &prefix, sizeof prefix);
    return 0;
}

static json_t *show_source(const void *value)
{
    char text[PREFIX_TEXT_BYTES];
    prefix_format(value, text);
    return json_string(text);
}

static int parse_ports(const char *text, void *value)
{
    char first[16];
    size_t length = strcspn(text, "-");
    uint64_t low, end;

    if (length >= sizeof first)
        return -1;
    snprintf(first, sizeof first, "%.*s", (int)length, text);
    if (number_parse(first, 0, UINT16_MAX, &low) != 0)
        return -1;
    end = low + 1;
    if (text[length] == '-' && number_parse(text + length + 1, low + 1, UINT16_MAX, &end) != 0)
        return -1;
    memcpy(value, &(struct range){(uint32_t)low, (uint32_t)end}, sizeof(struct range));
    return 0;
}

static json_t *show_ports(const void *value)
{
    const struct range *range = value;
    return range->end == range->first + 1 ? json_sprintf("%u", range->first)
                                          : json_sprintf("%u-%u", range->first, range->end);
}

static const struct field_type source_type = {
    .parse = parse_source,
    .show = show_source,
    .expected = "an address, or a prefix such as 192.0.2.0/24",
    .schema = "{\"type\":\"string\",\"pattern\":\"^[0-9A-Fa-f:.]+(/[0-9]+)?$\"}"};
static const struct field_type ports_type = {
    .parse = parse_ports,
    .show = show_ports,
    .expected = "a port, or two with '-' between them: the first one and the one behind the last",
    .schema = "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0,\"maximum\":65535},"
              "{\"type\":\"string\",\"pattern\":\"^[0-9]+(-[0-9]+)?$\"}]}",
    .takes_numbers = true};

static const struct field source_row[] = {
    {.key = "", .kind = FIELD_CUSTOM, .type = &source_type, .bytes = sizeof(struct prefix)}, {0}};
static const struct field ports_row[] = {
    {.key = "", .kind = FIELD_CUSTOM, .type = &ports_type, .bytes = sizeof(struct range)}, {0}};

#define LIST(key_, rows_, item_, type_, member_)                                                   \
    .key = (key_), .kind = FIELD_LIST, .flags = FIELD_REQUIRED, .max = MAX_RULES,                  \
    .members = (rows_), .item_bytes = sizeof(item_), FIELD_AT(type_, member_)

static const struct field rule_fields[] = {
    {.key = "action",
     .help = "what becomes of a datagram that fits",
     .kind = FIELD_WORD,
     .words = actions,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct rule, action)},
    {.help = "addresses and prefixes, of which one must fit",
     LIST("sources", source_row, struct prefix, struct rule, sources)},
    {.help = "ports, of which one must fit; a range ends before its second number",
     LIST("ports", ports_row, struct range, struct rule, ports)},
    {0},
};

static const struct field fields[] = {
    {.help = "rules for players' datagrams, by the player; the first that fits decides",
     LIST("on_read", rule_fields, struct rule, struct firewall, on_read)},
    {.help = "rules for servers' datagrams, by the server",
     LIST("on_write", rule_fields, struct rule, struct firewall, on_write)},
    {0},
};

/* The first bits of 64, in network order. */
static uint64_t first_bits(unsigned bits)
{
    return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : htobe64(UINT64_MAX << (64 - bits));
}

/* A prefix of IPv6 has no address of IPv4, however short it is. */
static bool has_address(const struct prefix *prefix, const struct in6_addr *address)
{
    uint64_t own[2], other[2];
    memcpy(own, &prefix->address, sizeof own);
    memcpy(other, address, sizeof other);
    uint64_t differs =
        ((own[0] ^ other[0]) & first_bits(prefix->bits)) |
        ((own[1] ^ other[1]) & first_bits(prefix->bits > 64 ? prefix->bits - 64 : 0));
    return differs == 0 && prefix_is_ipv4(prefix) == (IN6_IS_ADDR_V4MAPPED(address) != 0);
}

static bool fits(const struct rule *rule, const struct endpoint *at)
{
    uint16_t port = ntohs(at->port);
    size_t i = 0, j = 0;
    while (i < rule->ports.count &&
           (port < rule->ports.items[i].first || port >= rule->ports.items[i].end))
        i++;
    if (i == rule->ports.count)
        return false;
    while (j < rule->sources.count && !has_address(&rule->sources.items[j], &at->address))
        j++;
    return j < rule->sources.count;
}

static enum filter_result decide(const struct rules *rules, struct filter_call *call)
{
    call->reason = 0;
    for (size_t i = 0; i < rules->count; i++) {
        if (fits(&rules->items[i], call->source))
            return rules->items[i].action == ALLOW ? FILTER_NEXT : FILTER_DROP;
    }
    return FILTER_DROP;
}

static enum filter_result read_firewall(const void *filter, void *mine, struct filter_call *call)
{
    (void)mine;
    return decide(&((const struct firewall *)filter)->on_read, call);
}

static enum filter_result write_firewall(const void *filter, void *mine, struct filter_call *call)
{
    (void)mine;
    return decide(&((const struct firewall *)filter)->on_write, call);
}

const struct filter_ops filter_firewall = {.id = "quilkin.filters.firewall.v1alpha1.Firewall",
                                           .fields = fields,
                                           .needs_config = true,
                                           .reasons = reasons,
                                           .filter_bytes = sizeof(struct firewall),
                                           .read = read_firewall,
                                           .write = write_firewall,
                                           .repeats = filter_always_repeats};
