/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a program does that got libqcmp one way or another: a little of each layer. Valid C11 and
 * C++11.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <stdio.h>
#include <string.h>

#include <qcmp/qcmp.h>

static inline int exercise_wire(void)
{
    struct qcmp_packet ping, back;
    unsigned char bytes[QCMP_PING_BYTES];

    memset(&ping, 0, sizeof ping);
    ping.kind = QCMP_PING;
    ping.nonce = 0xBF;
    ping.client_ns = 1672931671;
    if (qcmp_packet_encode(&ping, bytes, sizeof bytes) != QCMP_PING_BYTES)
        return 0;
    if (qcmp_packet_decode(bytes, sizeof bytes, &back, NULL) != QCMP_PING)
        return 0;
    return back.nonce == ping.nonce && back.client_ns == ping.client_ns;
}

static inline int exercise_measure(void)
{
    struct qcmp_times times = {100, 5000, 5010, 150};
    struct qcmp_sample sample;

    return qcmp_sample_compute(&times, &sample) == 0 && sample.raw_rtt_ns == 50 &&
           sample.hold_ns == 10 && sample.rtt_ns == 40;
}

static inline int exercise_client(void)
{
    struct qcmp_client *client;
    int opened = qcmp_client_new(&client, NULL);

    if (opened != 0) {
        char text[128];
        qcmp_error_format(opened, text, sizeof text);
        fprintf(stderr, "qcmp_client_new: %s\n", text);
        return 0;
    }
    int idle =
        qcmp_client_in_flight(client) == 0 && qcmp_client_deadline(client) == QCMP_NO_DEADLINE;
    qcmp_client_free(client);
    return idle;
}

/** Prints the version of the library on success. @return the exit status. */
static inline int exercise(void)
{
    if (strcmp(qcmp_version(), QCMP_VERSION) != 0 || !exercise_wire() || !exercise_measure() ||
        !exercise_client()) {
        fprintf(stderr, "libqcmp %s does not do what its headers say\n", qcmp_version());
        return 1;
    }
    printf("qcmp %s\n", qcmp_version());
    return 0;
}

#endif
