/* SPDX-License-Identifier: Apache-2.0 */
#include "config/types.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"
#include "net/address.h"
#include "net/prefix.h"
#include "net/target.h"

#define ADDRESS_SCHEMA                                                                             \
    "{\"type\":\"string\",\"anyOf\":[{\"format\":\"ipv4\"},{\"format\":\"ipv6\"}]}"

static int parse_address(const char *text, void *value)
{
    struct in6_addr address;
    struct in_addr ipv4;

    if (inet_pton(AF_INET6, text, &address) != 1) {
        if (inet_pton(AF_INET, text, &ipv4) != 1)
            return -1;
        address = address_from_ipv4(ipv4);
    }
    memcpy(value, &address, sizeof address);
    return 0;
}

/* Of which interface a link-local one is, an address alone does not say. */
static int parse_listen_address(const char *text, void *value)
{
    struct in6_addr address;

    if (parse_address(text, &address) != 0 || address_is_link_local(&address) ||
        (!address_is_any(&address) && !address_is_unicast(&address)))
        return -1;
    memcpy(value, &address, sizeof address);
    return 0;
}

static json_t *show_address(const void *value)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    memcpy(&address, value, sizeof address);
    address_format_host(&address, text);
    return json_string(text);
}

static int parse_prefix(const char *text, void *value)
{
    return prefix_parse(text, value);
}

static json_t *show_prefix(const void *value)
{
    char text[PREFIX_TEXT_BYTES];

    prefix_format(value, text);
    return json_string(text);
}

static int parse_icao(const char *text, void *value)
{
    if (strlen(text) != 4 || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 4)
        return -1;
    memcpy(value, text, 5);
    return 0;
}

static json_t *show_text(const void *value)
{
    const char *text = value;

    return *text != '\0' ? json_string(text) : json_null();
}

static int parse_host(const char *text, void *value)
{
    size_t length = strlen(text);

    if (length == 0 || length >= TARGET_HOST_BYTES || strchr(text, ' ') != NULL ||
        !text_is_plain(text))
        return -1;
    memcpy(value, text, length + 1);
    return 0;
}

const struct field_type type_address = {.parse = parse_address,
                                        .show = show_address,
                                        .expected = "a numeric address",
                                        .schema = ADDRESS_SCHEMA};
const struct field_type type_listen_address = {
    .parse = parse_listen_address,
    .show = show_address,
    .expected = "a numeric address that a host can have, or :: (also for link-local ones) or "
                "0.0.0.0, and each only once",
    .schema = ADDRESS_SCHEMA};

const struct field listen_address_row[] = {
    {.key = "",
     .kind = FIELD_CUSTOM,
     .type = &type_listen_address,
     .bytes = sizeof(struct in6_addr)},
    {0},
};

const struct field prefix_row[] = {
    {.key = "", .kind = FIELD_CUSTOM, .type = &type_prefix, .bytes = sizeof(struct prefix)},
    {0},
};
const struct field_type type_prefix = {
    .parse = parse_prefix,
    .show = show_prefix,
    .expected = "an address or a prefix without bits behind it, such as 192.0.2.0/24",
    .schema = "{\"type\":\"string\",\"pattern\":\"^[0-9A-Fa-f:.]+(/[0-9]+)?$\"}"};
const struct field_type type_icao = {.parse = parse_icao,
                                     .show = show_text,
                                     .expected = "four letters A-Z",
                                     .schema = "{\"type\":\"string\",\"pattern\":\"^[A-Z]{4}$\"}"};
const struct field_type type_host = {
    .parse = parse_host,
    .show = show_text,
    .expected = "an address or a name of 1 to 255 bytes",
    .schema = "{\"type\":\"string\",\"maxLength\":255,\"pattern\":\"^[^\\\\u0000-\\\\u0020\\\""
              "\\\\\\\\\\\\u007f-\\\\u009f\\\\u061c\\\\u200e\\\\u200f\\\\u2028-\\\\u202e\\\\u2066-"
              "\\\\u2069]+$\"}"};
