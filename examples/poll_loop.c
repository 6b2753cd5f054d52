/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest of several servers, from a loop of one's own around poll():
 * poll_loop ADDRESS PORT [ADDRESS PORT...] */
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>

#include <qcmp/qcmp.h>

#define TIMEOUT_NS 1000000000

/* Sends one ping to each server. Returns how many are in flight. */
static int ping_all(struct qcmp_client *client, int count, char **words)
{
    int sent = 0;
    for (int i = 0; i + 1 < count; i += 2) {
        struct addrinfo *to;
        if (getaddrinfo(words[i], words[i + 1], NULL, &to) != 0)
            continue;
        sent +=
            qcmp_client_ping(client, to->ai_addr, to->ai_addrlen, TIMEOUT_NS, words[i], NULL) == 0;
        freeaddrinfo(to);
    }
    return sent;
}

static int to_poll_ms(int64_t ns)
{
    int64_t ms = ns / 1000000 + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

int main(int argc, char **argv)
{
    const char *nearest = NULL;
    int64_t least_ns = INT64_MAX;
    struct qcmp_client *client;
    if (argc < 3 || qcmp_client_new(&client, NULL) != 0)
        return 2;
    ping_all(client, argc - 1, argv + 1);
    while (qcmp_client_in_flight(client) > 0) {
        struct pollfd fds[] = {{.fd = qcmp_client_fd(client), .events = POLLIN}};
        poll(fds, 1, to_poll_ms(qcmp_client_deadline(client)));

        struct qcmp_client_event event;
        while (qcmp_client_process(client, &event, 1) == 1) {
            if (event.kind == QCMP_CLIENT_ANSWERED && event.sample.rtt_ns < least_ns) {
                least_ns = event.sample.rtt_ns;
                nearest = event.user;
            }
        }
    }
    if (nearest != NULL)
        printf("%s is the nearest: %.3f ms\n", nearest, (double)least_ns / 1e6);
    qcmp_client_free(client);
    return nearest == NULL;
}
