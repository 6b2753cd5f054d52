/* SPDX-License-Identifier: Apache-2.0 */
#include "client/address.h"

#include <stdio.h>
#include <string.h>

#include <qcmp/client.h>

#include "client/socket.h"

#define IPV4_OFFSET 12 /* behind ::ffff: */

static bool is_link_local(const uint8_t address[16])
{
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

bool qcmp_endpoint_is_ipv4(const struct qcmp_endpoint *endpoint)
{
    static const uint8_t mapped[IPV4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(endpoint->address, mapped, sizeof mapped) == 0;
}

int qcmp_options_family(const struct qcmp_client_options *options, enum qcmp_family *family)
{
    static const uint8_t any[16] = {0};
    const struct qcmp_endpoint *source = &options->source;
    *family = options->family;
    if (memcmp(source->address, any, sizeof any) == 0)
        return 0;
    *family = qcmp_endpoint_is_ipv4(source) ? QCMP_FAMILY_IPV4 : QCMP_FAMILY_IPV6;
    bool fits = options->family == QCMP_FAMILY_ANY || options->family == *family;
    return fits ? 0 : QCMP_ERROR_INVALID_ARGUMENT;
}

static void set_ipv4(struct qcmp_endpoint *endpoint, const void *address)
{
    memset(endpoint->address, 0, sizeof endpoint->address);
    memset(endpoint->address + IPV4_OFFSET - 2, 0xff, 2);
    memcpy(endpoint->address + IPV4_OFFSET, address, 4);
}

static void from_ipv4(struct qcmp_endpoint *endpoint, const struct sockaddr *address)
{
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof v4);
    set_ipv4(endpoint, &v4.sin_addr);
    endpoint->port = ntohs(v4.sin_port);
}

static void from_ipv6(struct qcmp_endpoint *endpoint, const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof v6);
    memcpy(endpoint->address, &v6.sin6_addr, sizeof endpoint->address);
    endpoint->scope = is_link_local(endpoint->address) ? (uint32_t)v6.sin6_scope_id : 0;
    endpoint->port = ntohs(v6.sin6_port);
}

int qcmp_endpoint_from_sockaddr(struct qcmp_endpoint *endpoint, const struct sockaddr *address,
                                size_t address_bytes)
{
    const size_t least = offsetof(struct sockaddr, sa_family) + sizeof address->sa_family;
    struct qcmp_endpoint result;
    if (endpoint == NULL || address == NULL || address_bytes < least)
        return QCMP_ERROR_INVALID_ARGUMENT;
    memset(&result, 0, sizeof result);
    if (address->sa_family == AF_INET && address_bytes >= sizeof(struct sockaddr_in))
        from_ipv4(&result, address);
    else if (address->sa_family == AF_INET6 && address_bytes >= sizeof(struct sockaddr_in6))
        from_ipv6(&result, address);
    else
        return QCMP_ERROR_INVALID_ARGUMENT;
    *endpoint = result;
    return 0;
}

socklen_t qcmp_endpoint_fill(const struct qcmp_endpoint *endpoint, bool ipv6,
                             struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (ipv6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(endpoint->port);
        v6->sin6_scope_id = endpoint->scope;
        memcpy(&v6->sin6_addr, endpoint->address, sizeof endpoint->address);
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint->port);
    memcpy(&v4->sin_addr, endpoint->address + IPV4_OFFSET, 4);
    return sizeof *v4;
}

int qcmp_endpoint_to_sockaddr(const struct qcmp_endpoint *endpoint, void *address, size_t capacity)
{
    struct sockaddr_storage filled;
    if (endpoint == NULL || address == NULL)
        return QCMP_ERROR_INVALID_ARGUMENT;
    size_t bytes = (size_t)qcmp_endpoint_fill(endpoint, !qcmp_endpoint_is_ipv4(endpoint), &filled);
    if (capacity < bytes)
        return QCMP_ERROR_BUFFER_TOO_SMALL;
    memcpy(address, &filled, bytes);
    return (int)bytes;
}

/* A decimal number without a sign, and nothing else. */
static bool parse_number(const char *text, size_t length, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > most)
            return false;
    }
    *number = (uint32_t)value;
    return length > 0;
}

static bool parse_scope(const char *text, uint32_t *scope)
{
    if (!parse_number(text, strlen(text), UINT32_MAX, scope))
        *scope = qcmp_interface_index(text);
    return *scope != 0;
}

static bool parse_address(const char *text, size_t length, struct qcmp_endpoint *endpoint)
{
    char words[80]; /* an address, '%', and a name of an interface */
    struct in_addr v4;
    if (length >= sizeof words || memchr(text, '\0', length) != NULL)
        return false;
    memcpy(words, text, length);
    words[length] = '\0';
    if (inet_pton(AF_INET, words, &v4) == 1) {
        set_ipv4(endpoint, &v4);
        return true;
    }
    char *scope = strchr(words, '%');
    if (scope != NULL)
        *scope++ = '\0';
    return inet_pton(AF_INET6, words, endpoint->address) == 1 &&
           (scope == NULL ||
            (is_link_local(endpoint->address) && parse_scope(scope, &endpoint->scope)));
}

int qcmp_endpoint_parse(struct qcmp_endpoint *endpoint, const char *text, uint16_t default_port)
{
    struct qcmp_endpoint result;
    uint32_t port = default_port;
    if (endpoint == NULL || text == NULL)
        return QCMP_ERROR_INVALID_ARGUMENT;
    /* An address with several colons is IPv6, and has a port only behind brackets. */
    bool bracketed = text[0] == '[';
    const char *address = text + bracketed;
    const char *colon = strchr(address, ':');
    const char *end = address + strlen(address);
    if (bracketed)
        end = strchr(address, ']');
    else if (colon != NULL && strchr(colon + 1, ':') == NULL)
        end = colon;
    memset(&result, 0, sizeof result);
    if (end == NULL || !parse_address(address, (size_t)(end - address), &result) ||
        (bracketed && qcmp_endpoint_is_ipv4(&result) &&
         memchr(address, ':', (size_t)(end - address)) == NULL))
        return QCMP_ERROR_INVALID_ARGUMENT;
    const char *rest = end + bracketed;
    if (*rest != '\0' && (*rest != ':' || strlen(rest) > 6 ||
                          !parse_number(rest + 1, strlen(rest + 1), UINT16_MAX, &port)))
        return QCMP_ERROR_INVALID_ARGUMENT;
    result.port = (uint16_t)port;
    *endpoint = result;
    return 0;
}

static size_t printed(int length)
{
    return length > 0 ? (size_t)length : 0;
}

size_t qcmp_endpoint_format(const struct qcmp_endpoint *endpoint, char *text, size_t capacity)
{
    char address[INET6_ADDRSTRLEN] = "";
    unsigned port = endpoint->port;
    if (qcmp_endpoint_is_ipv4(endpoint)) {
        inet_ntop(AF_INET, endpoint->address + IPV4_OFFSET, address, sizeof address);
        return printed(snprintf(text, capacity, "%s:%u", address, port));
    }
    inet_ntop(AF_INET6, endpoint->address, address, sizeof address);
    if (endpoint->scope == 0)
        return printed(snprintf(text, capacity, "[%s]:%u", address, port));
    return printed(
        snprintf(text, capacity, "[%s%%%u]:%u", address, (unsigned)endpoint->scope, port));
}

size_t qcmp_error_format(int error, char *text, size_t capacity)
{
    int os_error = qcmp_error_to_os(error);
    if (os_error == 0)
        return printed(snprintf(text, capacity, "%s", qcmp_error_text(error)));
    char words[128];
    qcmp_os_error_text(os_error, words, sizeof words);
    return printed(snprintf(text, capacity, "%s", words));
}
