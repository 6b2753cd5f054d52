/* SPDX-License-Identifier: Apache-2.0 */
/* many_pings ENDPOINT COUNT: sends pings one after another and says how many were answered. */
#include <stdio.h>
#include <stdlib.h>

#include <qcmp/qcmp.h>

#define TIMEOUT_NS INT64_C(2000000000)

static int answered(struct qcmp_client *client, const struct qcmp_endpoint *to)
{
    struct qcmp_client_event event;
    if (qcmp_client_ping_endpoint(client, to, TIMEOUT_NS, NULL, NULL) != 0)
        return 0;
    while (qcmp_client_process(client, &event, 1) != 1)
        qcmp_client_wait(client, TIMEOUT_NS);
    return event.kind == QCMP_CLIENT_ANSWERED && event.sample.suspect == QCMP_SUSPECT_NOTHING;
}

int main(int argc, char **argv)
{
    struct qcmp_endpoint to;
    struct qcmp_client *client;
    int count = argc == 3 ? atoi(argv[2]) : 0;
    int answers = 0;
    if (count < 1 || qcmp_endpoint_parse(&to, argv[1], QCMP_PORT) != 0 ||
        qcmp_client_new(&client, NULL) != 0)
        return 2;
    for (int i = 0; i < count; i++)
        answers += answered(client, &to);
    qcmp_client_free(client);
    printf("%d of %d answered\n", answers, count);
    return answers != count;
}
