#include <qcmp/client.h>

#include <stdalign.h>
#include <sys/socket.h>

#include "client/clock.h"

/* Memory of a client with one slot; a test holds it against qcmp_client_bytes(). */
#define CLIENT_BYTES 8192

/* Errors of the socket, and of waiting on it, may pass: the ping's own end comes by its deadline.
 */
static int await(struct qcmp_client *client, uint64_t id, struct qcmp_sample *sample)
{
    for (;;) {
        struct qcmp_client_event event;
        int count = qcmp_client_process(client, &event, 1);
        if (count == 1 && event.id == id) {
            if (event.kind == QCMP_CLIENT_ANSWERED)
                *sample = event.sample;
            return event.error;
        }
        if (count <= 0)
            (void)qcmp_client_wait(client, QCMP_NO_DEADLINE);
    }
}

int qcmp_distance_measure(const struct sockaddr *to, size_t to_bytes, int64_t timeout_ns,
                          struct qcmp_sample *sample)
{
    alignas(max_align_t) unsigned char memory[CLIENT_BYTES];
    struct qcmp_client_options options = {.slots = 1};
    struct qcmp_client *client;
    uint64_t id;
    if (to == NULL || sample == NULL || timeout_ns < 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    options.family = to->sa_family == AF_INET ? QCMP_FAMILY_IPV4 : QCMP_FAMILY_ANY;
    int error = qcmp_client_open(&client, memory, sizeof memory, &options);
    if (error != 0)
        return error;
    error = qcmp_client_ping(client, to, to_bytes,
                             timeout_ns != 0 ? timeout_ns : QCMP_DEFAULT_TIMEOUT_NS, NULL, &id);
    if (error == 0)
        error = await(client, id, sample);
    qcmp_client_close(client);
    return error;
}
