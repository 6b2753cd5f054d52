/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "catalog/clusters.h"
#include "net/address.h"

#define NAME_MAX_BYTES 253
#define LABEL_MAX_BYTES 63

static bool is_one_of(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte) != NULL;
}

/* A last label of digits alone is an address that is none, such as 192.0.2. */
static int parse_name(const char *text, char name[TARGET_HOST_BYTES])
{
    static const char digits[] = "0123456789", letters[] = "abcdefghijklmnopqrstuvwxyz-_";
    size_t length = strlen(text), label = 0, numerals = 0;

    if (length > 1 && text[length - 1] == '.')
        length--;
    if (length == 0 || length > NAME_MAX_BYTES)
        return -1;
    for (size_t i = 0; i < length; i++) {
        char byte = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);

        if (byte == '.' ? label == 0 : !is_one_of(byte, digits) && !is_one_of(byte, letters))
            return -1;
        label = byte == '.' ? 0 : label + 1;
        numerals = byte == '.' ? 0 : numerals + is_one_of(byte, digits);
        if (label > LABEL_MAX_BYTES)
            return -1;
        name[i] = byte;
    }
    if (label == 0 || label == numerals)
        return -1;
    memcpy(name + length, text + length, strlen(text) - length + 1);
    return 0;
}

int server_host_parse(const char *text, struct server_address *address)
{
    struct server_address found = {0};
    const char *scope = strchr(text, '%');
    char host[INET6_ADDRSTRLEN];
    struct in_addr ipv4;

    if (scope != NULL && (size_t)(scope - text) < sizeof host) {
        memcpy(host, text, (size_t)(scope - text));
        host[scope - text] = '\0';
        found.at.scope = if_nametoindex(scope + 1);
        if (inet_pton(AF_INET6, host, &found.at.address) != 1 ||
            !address_is_link_local(&found.at.address) || found.at.scope == 0)
            return -1;
    } else if (inet_pton(AF_INET, text, &ipv4) == 1) {
        found.at.address = address_from_ipv4(ipv4);
    } else if (inet_pton(AF_INET6, text, &found.at.address) != 1 &&
               parse_name(text, found.name) != 0) {
        return -1;
    }
    *address = found;
    return 0;
}

int server_address_parse(const char *text, struct server_address *address)
{
    struct server_address found;
    struct target target;

    if (strncmp(text, "udp://", 6) == 0)
        text += 6;
    if (target_parse(text, 0, &target) != TARGET_OK || target.port == 0 ||
        (text[0] == '[' && strchr(target.host, ':') == NULL) ||
        server_host_parse(target.host, &found) != 0)
        return -1;
    found.at.port = htons(target.port);
    *address = found;
    return 0;
}

int server_numeric_parse(const char *text, struct endpoint *endpoint)
{
    struct server_address address;

    if (strchr(text, '%') != NULL ||
        (server_address_parse(text, &address) != 0 && server_host_parse(text, &address) != 0) ||
        address.name[0] != '\0')
        return -1;
    *endpoint = address.at;
    return 0;
}
