/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/client.h"

#include <stdalign.h>
#include <string.h>

#include "client/address.h"

/* Memory of a client with one slot; a test holds it against qcmp_client_bytes(). */
#define CLIENT_BYTES 8192
#define CLIENT_ALIGNMENT 16

/* Errors of the socket, and of waiting on it, may pass: the ping's own end comes by its deadline.
 */
static int await(struct qcmp_client *client, uint64_t id, struct qcmp_sample *sample)
{
    for (;;) {
        struct qcmp_client_event event;
        (void)qcmp_client_wait(client, QCMP_NO_DEADLINE);
        if (qcmp_client_process(client, &event, 1) == 1 && event.id == id) {
            if (event.kind == QCMP_CLIENT_ANSWERED)
                *sample = event.sample;
            return event.error;
        }
    }
}

int qcmp_distance_measure_endpoint(const struct qcmp_endpoint *to, int64_t timeout_ns,
                                   struct qcmp_sample *sample)
{
    alignas(CLIENT_ALIGNMENT) unsigned char memory[CLIENT_BYTES];
    struct qcmp_client_options options;
    struct qcmp_client *client;
    uint64_t id;
    if (to == NULL || sample == NULL || timeout_ns < 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    memset(&options, 0, sizeof options);
    options.slots = 1;
    options.family = qcmp_endpoint_is_ipv4(to) ? QCMP_FAMILY_IPV4 : QCMP_FAMILY_IPV6;
    int error = qcmp_client_open(&client, memory, sizeof memory, &options);
    if (error != 0)
        return error;
    error = qcmp_client_ping_endpoint(
        client, to, timeout_ns != 0 ? timeout_ns : QCMP_DEFAULT_TIMEOUT_NS, NULL, &id);
    if (error == 0) {
        qcmp_client_take_stamp(client);
        error = await(client, id, sample);
    }
    qcmp_client_close(client);
    return error;
}

int qcmp_distance_measure(const struct sockaddr *to, size_t to_bytes, int64_t timeout_ns,
                          struct qcmp_sample *sample)
{
    struct qcmp_endpoint endpoint;
    int error = qcmp_endpoint_from_sockaddr(&endpoint, to, to_bytes);
    return error != 0 ? error : qcmp_distance_measure_endpoint(&endpoint, timeout_ns, sample);
}
