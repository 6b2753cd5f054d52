#include "client/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <qcmp/client.h>

static const uint8_t MAPPED_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool qcmp_endpoint_is_ipv4(const struct qcmp_endpoint *endpoint)
{
    return memcmp(endpoint->address, MAPPED_PREFIX, sizeof MAPPED_PREFIX) == 0;
}

static bool is_link_local(const uint8_t address[16])
{
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static void from_ipv4(struct qcmp_endpoint *endpoint, const struct sockaddr *address)
{
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof v4);
    memcpy(endpoint->address, MAPPED_PREFIX, sizeof MAPPED_PREFIX);
    memcpy(endpoint->address + sizeof MAPPED_PREFIX, &v4.sin_addr, 4);
    endpoint->scope = 0;
    endpoint->port = ntohs(v4.sin_port);
}

static void from_ipv6(struct qcmp_endpoint *endpoint, const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof v6);
    memcpy(endpoint->address, &v6.sin6_addr, sizeof endpoint->address);
    endpoint->scope = is_link_local(endpoint->address) ? v6.sin6_scope_id : 0;
    endpoint->port = ntohs(v6.sin6_port);
}

int qcmp_endpoint_from_sockaddr(struct qcmp_endpoint *endpoint, const struct sockaddr *address,
                                size_t address_bytes)
{
    if (endpoint == NULL || address == NULL || address_bytes < sizeof address->sa_family)
        return QCMP_ERROR_INVALID_ARGUMENT;
    struct qcmp_endpoint result;
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

socklen_t qcmp_endpoint_to_sockaddr(const struct qcmp_endpoint *endpoint, bool ipv6,
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
    memcpy(&v4->sin_addr, endpoint->address + sizeof MAPPED_PREFIX, 4);
    return sizeof *v4;
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
        inet_ntop(AF_INET, endpoint->address + sizeof MAPPED_PREFIX, address, sizeof address);
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
    if (strerror_r(os_error, words, sizeof words) != 0)
        snprintf(words, sizeof words, "error %d of the operating system", os_error);
    return printed(snprintf(text, capacity, "%s", words));
}
