/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include <qcmp/client.h>

#include "client/clock.h"

#define EVENTS_A_CALL 16
#define CALLS_A_STEP 64 /* so that a flood does not hold up a frame */

/* What comes back with a ping of a survey is the address of its site's endpoint. */
static int find_site(const struct qcmp_survey *survey, const void *user, size_t *site)
{
    for (size_t i = 0; user != NULL && qcmp_survey_site(survey, i) != NULL; i++) {
        if (qcmp_survey_site(survey, i) == user) {
            *site = i;
            return 1;
        }
    }
    return 0;
}

int qcmp_survey_send(struct qcmp_survey *survey, struct qcmp_client *client)
{
    size_t site;
    if (!qcmp_survey_next(survey, qcmp_clock_monotonic_ns(), &site))
        return 0;
    const struct qcmp_endpoint *at = qcmp_survey_site(survey, site);
    /* The same address, without its const: it is in the survey's memory. */
    void *user = (char *)survey + ((const char *)at - (const char *)survey);
    if (qcmp_client_ping_endpoint(client, at, qcmp_survey_timeout_ns(survey), user, NULL) != 0)
        qcmp_survey_loss(survey, site);
    return 1;
}

int qcmp_survey_take(struct qcmp_survey *survey, const struct qcmp_client_event *event)
{
    size_t site;
    if (!find_site(survey, event->user, &site))
        return 0;
    if (event->kind == QCMP_CLIENT_ANSWERED)
        qcmp_survey_answer(survey, site, event->sample.rtt_ns);
    else
        qcmp_survey_loss(survey, site);
    return 1;
}

int qcmp_survey_step(struct qcmp_survey *survey, struct qcmp_client *client)
{
    struct qcmp_client_event events[EVENTS_A_CALL];
    int count = EVENTS_A_CALL;
    for (int calls = 0; calls < CALLS_A_STEP && count == EVENTS_A_CALL; calls++) {
        count = qcmp_client_process(client, events, EVENTS_A_CALL);
        for (int i = 0; i < count; i++)
            (void)qcmp_survey_take(survey, &events[i]);
    }
    (void)qcmp_survey_send(survey, client);
    return count < 0 ? count : !qcmp_survey_is_done(survey);
}

int64_t qcmp_survey_wait_ns(const struct qcmp_survey *survey, const struct qcmp_client *client)
{
    int64_t client_ns = qcmp_client_deadline(client);
    int64_t due_ns = qcmp_survey_due(survey);
    if (due_ns == INT64_MAX)
        return client_ns;
    int64_t now_ns = qcmp_clock_monotonic_ns();
    int64_t survey_ns = due_ns <= now_ns ? 0 : due_ns - now_ns;
    return survey_ns < client_ns ? survey_ns : client_ns;
}
