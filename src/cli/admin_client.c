/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin_client.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ADMIN_PORT 8000
#define WAIT_SECONDS 5
#define MAX_REPLY_BYTES ((size_t)64 << 20)

static int parse_admin(const char *text, void *value)
{
    return target_parse(text, ADMIN_PORT, value) == TARGET_OK ? 0 : -1;
}

const struct field_type admin_target_type = {
    .parse = parse_admin, .expected = "an address and a port, such as 127.0.0.1:8000"};

static int connect_to(const struct target *target)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval wait = {.tv_sec = WAIT_SECONDS};
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
static char *ask(const struct target *admin, const char *path)
{
    char request[512];
    size_t used = 0, capacity = 65536;
    ssize_t got = -1;
    int fd = connect_to(admin);
    if (fd < 0)
        return NULL;

    int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    char *reply = malloc(capacity);
    if (reply != NULL && send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
        while ((got = recv(fd, reply + used, capacity - used - 1, 0)) > 0) {
            used += (size_t)got;
            if (used + 1 < capacity)
                continue;
            char *larger = capacity < MAX_REPLY_BYTES ? realloc(reply, 2 * capacity) : NULL;
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

json_t *admin_ask(const struct target *admin, const char *path, char failure[ADMIN_FAILURE_BYTES])
{
    char *reply = ask(admin, path);
    const char *body = reply != NULL ? strstr(reply, "\r\n\r\n") : NULL;
    bool is_fine =
        body != NULL && strncmp(reply, "HTTP/1.", 7) == 0 && strncmp(reply + 8, " 200", 4) == 0;
    json_t *json = is_fine ? json_loads(body, 0, NULL) : NULL;
    if (json == NULL)
        snprintf(failure, ADMIN_FAILURE_BYTES,
                 body == NULL ? "nothing answers at %.64s, port %u"
                              : "what answers at %.64s, port %u, does not tell",
                 admin->host, (unsigned)admin->port);
    free(reply);
    return json;
}
