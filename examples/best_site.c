/* SPDX-License-Identifier: Apache-2.0 */
/* The best of several sites, found beside a game's frames: best_site ADDRESS[:PORT]... */
#include <stdio.h>

#include <qcmp/qcmp.h>

#define MOST_SITES 64
#define FRAME_NS 16666667

int main(int argc, char **argv)
{
    struct qcmp_endpoint sites[MOST_SITES];
    struct qcmp_survey_result result;
    struct qcmp_survey *survey;
    struct qcmp_client *client;
    size_t count = 0;
    while (count < MOST_SITES && (int)count + 1 < argc &&
           qcmp_endpoint_parse(&sites[count], argv[count + 1], QCMP_PORT) == 0)
        count++;
    static _Alignas(16) unsigned char memory[1 << 16]; /* qcmp_survey_bytes() says how many */
    if (qcmp_survey_init(&survey, memory, sizeof memory, sites, count, NULL) != 0 ||
        qcmp_client_new(&client, NULL) != 0)
        return 2;
    while (qcmp_survey_step(survey, client) > 0) {
        /* ... input, simulation, drawing: here a frame passes by waiting ... */
        qcmp_client_wait(client, FRAME_NS);
    }
    int best = qcmp_survey_best(survey, NULL);
    if (best >= 0 && qcmp_survey_get(survey, (size_t)best, &result) == 0)
        printf("%s is the best: %.3f ms, jitter %.3f ms, loss %.0f %%\n", argv[best + 1],
               (double)result.median_ns / 1e6, (double)result.jitter_ns / 1e6, result.loss * 100);
    qcmp_client_free(client);
    return best < 0;
}
