/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"

#define REQUEST_BYTES 512

static int connect_to(const struct target *target)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval wait = {.tv_sec = FETCH_SECONDS};
    struct addrinfo *found;
    char port[8];
    int fd = -1;

    snprintf(port, sizeof port, "%u", (unsigned)target->port);
    if (getaddrinfo(target->host, port, &hints, &found) != 0)
        return -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* The whole answer to one request, terminated; NULL where there is none. */
static char *ask(const struct target *from, const char *path, size_t most_bytes)
{
    const int64_t end_ns = clock_monotonic_ns() + FETCH_SECONDS * INT64_C(1000000000);
    char request[REQUEST_BYTES];
    size_t used = 0, capacity = 65536;
    ssize_t got = -1;
    int fd = connect_to(from);
    if (fd < 0)
        return NULL;

    int length =
        snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, from->host);
    char *reply = malloc(capacity);
    if (reply != NULL && send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
        while (clock_monotonic_ns() < end_ns &&
               (got = recv(fd, reply + used, capacity - used - 1, 0)) > 0) {
            used += (size_t)got;
            if (used + 1 < capacity)
                continue;
            char *larger = capacity < most_bytes ? realloc(reply, 2 * capacity) : NULL;
            if (larger == NULL)
                break;
            reply = larger;
            capacity *= 2;
        }
    }
    close(fd);
    if (got != 0) {
        free(reply);
        return NULL;
    }
    reply[used] = '\0';
    return reply;
}

int fetch_json(const struct target *from, const char *path, size_t most_bytes, size_t flags,
               json_t **json)
{
    char *reply = ask(from, path, most_bytes);
    const char *body = reply != NULL ? strstr(reply, "\r\n\r\n") : NULL;
    int code = body != NULL ? -EPROTO : -ENOTCONN;

    if (body != NULL && strncmp(reply, "HTTP/1.", 7) == 0 && strncmp(reply + 8, " 200", 4) == 0) {
        json_t *found = json_loads(body, flags, NULL);
        code = found != NULL ? 0 : -EPROTO;
        if (found != NULL)
            *json = found;
    }
    free(reply);
    return code;
}
