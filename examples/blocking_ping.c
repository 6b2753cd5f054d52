/* SPDX-License-Identifier: Apache-2.0 */
/* One ping, waiting for the answer: blocking_ping ADDRESS PORT */
#include <netdb.h>
#include <stdio.h>

#include <qcmp/qcmp.h>

int main(int argc, char **argv)
{
    struct addrinfo *to;
    struct qcmp_sample sample;
    char text[128];
    if (argc != 3 || getaddrinfo(argv[1], argv[2], NULL, &to) != 0)
        return 2;
    int error = qcmp_distance_measure(to->ai_addr, to->ai_addrlen, 0, &sample);
    freeaddrinfo(to);
    if (error == 0)
        snprintf(text, sizeof text, "%.3f ms", (double)sample.rtt_ns / 1e6);
    else
        qcmp_error_format(error, text, sizeof text);
    puts(text);
    return error != 0;
}
