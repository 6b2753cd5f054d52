/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <qcmp/survey.h>

#define MS INT64_C(1000000)
#define SITES 20

/* Memory for the largest survey here. */
static union {
    max_align_t align;
    unsigned char bytes[1 << 20];
} memory;

/* A network whose every answer comes from a seed. */
struct world {
    uint64_t seed;
    int64_t base_ns[SITES];
    int64_t noise_ns;
    unsigned lost_in_1000[SITES];
};

static uint64_t random_below(struct world *world, uint64_t limit)
{
    world->seed = world->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (world->seed >> 33) % limit;
}

static struct qcmp_survey *survey_of(size_t count, const struct qcmp_survey_options *options)
{
    struct qcmp_endpoint sites[SITES];
    struct qcmp_survey *survey = NULL;
    memset(sites, 0, sizeof sites);
    for (size_t i = 0; i < count; i++)
        sites[i].port = (uint16_t)(7600 + i);
    assert_true(qcmp_survey_bytes(count, options) <= sizeof memory.bytes);
    assert_int_equal(
        qcmp_survey_init(&survey, memory.bytes, sizeof memory.bytes, sites, count, options), 0);
    return survey;
}

static void answer_as(struct world *world, struct qcmp_survey *survey, size_t site)
{
    if (random_below(world, 1000) < world->lost_in_1000[site])
        qcmp_survey_loss(survey, site);
    else
        qcmp_survey_answer(survey, site,
                           world->base_ns[site] +
                               (int64_t)random_below(world, (uint64_t)world->noise_ns + 1));
}

/* Runs to the end. @return the pings that it took. */
static unsigned run(struct world *world, struct qcmp_survey *survey)
{
    int64_t now_ns = 0;
    unsigned pings = 0;
    while (!qcmp_survey_is_done(survey)) {
        size_t site;
        assert_true(qcmp_survey_due(survey) != INT64_MAX);
        now_ns = qcmp_survey_due(survey) > now_ns ? qcmp_survey_due(survey) : now_ns;
        assert_int_equal(qcmp_survey_next(survey, now_ns, &site), 1);
        answer_as(world, survey, site);
        pings++;
        assert_true(pings < 100000);
    }
    assert_int_equal(qcmp_survey_due(survey), INT64_MAX);
    return pings;
}

static struct world world_of(uint64_t seed, int64_t step_ns, int64_t noise_ns)
{
    struct world world = {.seed = seed, .noise_ns = noise_ns};
    for (size_t i = 0; i < SITES; i++)
        world.base_ns[i] = 20 * MS + (int64_t)((i * 7 + seed) % SITES) * step_ns;
    return world;
}

static int nearest(const struct world *world)
{
    int best = 0;
    for (int i = 1; i < SITES; i++)
        best = world->base_ns[i] < world->base_ns[best] ? i : best;
    return best;
}

static void finds_the_nearest_of_twenty_and_stops_when_it_is_clear(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world world = world_of(seed, 5 * MS, 2 * MS);
        struct qcmp_survey *survey = survey_of(SITES, NULL);
        int certain = 0;
        unsigned pings = run(&world, survey);
        assert_int_equal(qcmp_survey_best(survey, &certain), nearest(&world));
        assert_int_equal(certain, 1);
        assert_in_range(pings, 8 * SITES, 9 * SITES); /* the least that says anything at 99 % */
    }
}

static void asks_on_only_where_the_answer_is_open(void **state)
{
    (void)state;
    struct world world = world_of(1, 20 * MS, 10 * MS);
    world.base_ns[0] = world.base_ns[1] = 10 * MS;
    world.base_ns[1] += 4 * MS; /* within the noise of the nearest */
    const struct qcmp_survey_options options = {.most = 200};
    struct qcmp_survey *survey = survey_of(SITES, &options);
    struct qcmp_survey_result near, far;
    run(&world, survey);
    assert_int_equal(qcmp_survey_best(survey, NULL), 0);
    assert_int_equal(qcmp_survey_get(survey, 0, &near), 0);
    assert_int_equal(qcmp_survey_get(survey, 5, &far), 0);
    assert_true(near.sent > far.sent);
    assert_true(far.sent <= 9);
}

static void does_not_ask_on_between_sites_that_are_equally_good(void **state)
{
    (void)state;
    struct world world = world_of(3, 0, MS / 2);
    struct qcmp_survey *survey = survey_of(SITES, NULL);
    assert_true(run(&world, survey) <= 9 * SITES);
}

static void ends_without_certainty_when_the_pings_are_used_up(void **state)
{
    (void)state;
    struct world world = world_of(4, 0, 100 * MS);
    const struct qcmp_survey_options options = {.most = 12};
    struct qcmp_survey *survey = survey_of(SITES, &options);
    int certain = 1;
    assert_true(run(&world, survey) <= 12 * SITES);
    assert_true(qcmp_survey_best(survey, &certain) >= 0);
    assert_int_equal(certain, 0);
}

static void a_lost_ping_by_accident_costs_nothing_and_a_lossy_site_loses(void **state)
{
    (void)state;
    struct world world = world_of(5, 20 * MS, MS);
    const struct qcmp_survey_options options = {.most = 100, .least = 40};
    struct qcmp_survey *survey = survey_of(SITES, &options);
    struct qcmp_survey_result result;
    int first = nearest(&world);
    world.lost_in_1000[first] = 400;
    run(&world, survey);
    assert_int_not_equal(qcmp_survey_best(survey, NULL), first);
    assert_int_equal(qcmp_survey_get(survey, (size_t)first, &result), 0);
    assert_true(result.loss > 0.2 && result.loss < 0.6);
    assert_true(result.loss_proven > 0.05 && result.loss_proven < result.loss);

    survey = survey_of(2, NULL);
    for (int i = 0; i < 32; i++) {
        size_t site;
        assert_int_equal(qcmp_survey_next(survey, i * 1000 * MS, &site), 1);
        if (i == 4)
            qcmp_survey_loss(survey, site);
        else
            qcmp_survey_answer(survey, site, site == 0 ? 10 * MS : 30 * MS);
        if (qcmp_survey_is_done(survey))
            break;
    }
    assert_int_equal(qcmp_survey_best(survey, NULL), 0);
}

static void a_silent_site_is_given_up_and_a_silent_world_ends(void **state)
{
    (void)state;
    struct world world = world_of(6, 20 * MS, MS);
    struct qcmp_survey *survey = survey_of(SITES, NULL);
    struct qcmp_survey_result result;
    world.lost_in_1000[3] = 1000;
    run(&world, survey);
    assert_int_equal(qcmp_survey_get(survey, 3, &result), 0);
    assert_int_equal(result.sent, 3);
    assert_int_equal(result.known, 0);
    for (size_t i = 0; i < SITES; i++)
        world.lost_in_1000[i] = 1000;
    survey = survey_of(SITES, NULL);
    run(&world, survey);
    assert_int_equal(qcmp_survey_best(survey, NULL), -1);
}

static void one_site_gets_its_least_pings(void **state)
{
    (void)state;
    struct world world = world_of(0, MS, MS);
    struct qcmp_survey *survey = survey_of(1, NULL);
    assert_int_equal(run(&world, survey), 8);
}

/* Each gap is kept whatever the frames do: a pause is followed by one ping, not by those missed. */
static void paces_without_bursts(void **state)
{
    (void)state;
    const struct qcmp_survey_options options = {.gap_ns = 10 * MS, .interval_ns = 50 * MS};
    struct qcmp_survey *survey = survey_of(SITES, &options);
    int64_t last_ns = -1000 * MS, site_last_ns[SITES];
    for (size_t i = 0; i < SITES; i++)
        site_last_ns[i] = -1000 * MS;
    for (int64_t now_ns = 0; now_ns < 3000 * MS; now_ns += now_ns == 400 * MS ? 900 * MS : MS) {
        size_t site;
        if (!qcmp_survey_next(survey, now_ns, &site))
            continue;
        assert_true(now_ns - last_ns >= 10 * MS);
        assert_true(now_ns - site_last_ns[site] >= 50 * MS);
        last_ns = site_last_ns[site] = now_ns;
        qcmp_survey_answer(survey, site, (int64_t)(site + 1) * 10 * MS);
    }
}

static void says_what_was_measured(void **state)
{
    (void)state;
    const int64_t rtts[] = {30, 10, 20, 50, 40, 60, 80, 70, 90, 100};
    const struct qcmp_survey_options options = {.least = 10};
    struct qcmp_survey *survey = survey_of(1, &options);
    struct qcmp_survey_result result;
    size_t site;
    assert_int_equal(qcmp_survey_get(survey, 0, &result), 0);
    assert_int_equal(result.known, 0);
    assert_int_equal(result.high_ns, INT64_MAX);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(qcmp_survey_next(survey, i * 1000 * MS, &site), 1);
        qcmp_survey_answer(survey, site, rtts[i] * MS);
    }
    assert_int_equal(qcmp_survey_get(survey, 0, &result), 0);
    assert_int_equal(result.answered, 10);
    assert_int_equal(result.median_ns, 55 * MS);
    assert_int_equal(result.p95_ns, 100 * MS);
    assert_int_equal(result.least_ns, 10 * MS);
    assert_int_equal(result.jitter_ns, (20 + 10 + 30 + 10 + 20 + 20 + 10 + 20 + 10) * MS / 9);
    /* Ten answers: P(at most 0 below the median) = 1/1024 <= 0.5 %, P(at most 1) = 11/1024 is not.
     */
    assert_int_equal(result.low_ns, 10 * MS);
    assert_int_equal(result.high_ns, 100 * MS);
    assert_int_equal(result.score_ns, 55 * MS);
    assert_int_equal(qcmp_survey_get(survey, 1, &result), QCMP_ERROR_INVALID_ARGUMENT);
}

/* The interval holds the true median about as often as it says. */
static void the_interval_is_as_good_as_its_confidence(void **state)
{
    (void)state;
    const struct qcmp_survey_options options = {.least = 30, .most = 30};
    int held = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct world world = {.seed = seed * 7919, .noise_ns = 100 * MS};
        struct qcmp_survey *survey = survey_of(1, &options);
        struct qcmp_survey_result result;
        run(&world, survey);
        assert_int_equal(qcmp_survey_get(survey, 0, &result), 0);
        held += result.low_ns <= 50 * MS && result.high_ns >= 50 * MS;
    }
    assert_in_range(held, 980, 1000);
}

static void answers_nobody_waits_for_change_nothing(void **state)
{
    (void)state;
    struct qcmp_survey *survey = survey_of(2, NULL);
    struct qcmp_survey_result result;
    qcmp_survey_answer(survey, 0, MS);
    qcmp_survey_loss(survey, 1);
    qcmp_survey_loss(survey, 99);
    qcmp_survey_answer(survey, 99, MS);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(qcmp_survey_get(survey, i, &result), 0);
        assert_int_equal(result.answered + result.lost, 0);
    }
    assert_int_equal(qcmp_survey_best(survey, NULL), -1);
}

static void hostile_times_do_no_harm(void **state)
{
    (void)state;
    const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX, INT64_MAX, INT64_MIN, INT64_MAX, 1, 2};
    struct qcmp_survey *survey = survey_of(1, &(struct qcmp_survey_options){.least = 9});
    struct qcmp_survey_result result;
    size_t site;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(qcmp_survey_next(survey, i * 1000 * MS, &site), 1);
        qcmp_survey_answer(survey, site, times[i]);
    }
    assert_int_equal(qcmp_survey_get(survey, 0, &result), 0);
    assert_int_equal(result.least_ns, 0);
    assert_true(result.p95_ns > 0 && result.jitter_ns > 0 && result.score_ns == result.median_ns);
}

static void bad_arguments_are_errors(void **state)
{
    (void)state;
    const struct qcmp_survey_options bad[] = {
        {.gap_ns = -1}, {.interval_ns = -1},     {.timeout_ns = -1},   {.margin_ns = -1},
        {.most = 1001}, {.least = 9, .most = 8}, {.gap_ns = INT64_MAX}};
    struct qcmp_endpoint site = {.port = 1};
    struct qcmp_survey *survey = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(qcmp_survey_bytes(1, &bad[i]), 0);
        assert_int_equal(
            qcmp_survey_init(&survey, memory.bytes, sizeof memory.bytes, &site, 1, &bad[i]),
            QCMP_ERROR_INVALID_ARGUMENT);
    }
    assert_int_equal(qcmp_survey_bytes(0, NULL), 0);
    assert_int_equal(qcmp_survey_bytes(QCMP_SURVEY_MOST_SITES + 1, NULL), 0);
    assert_int_equal(qcmp_survey_init(&survey, memory.bytes, 8, &site, 1, NULL),
                     QCMP_ERROR_BUFFER_TOO_SMALL);
    assert_int_equal(qcmp_survey_init(&survey, memory.bytes + 1, 100000, &site, 1, NULL),
                     QCMP_ERROR_INVALID_ARGUMENT);
    assert_null(survey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_nearest_of_twenty_and_stops_when_it_is_clear),
        cmocka_unit_test(asks_on_only_where_the_answer_is_open),
        cmocka_unit_test(does_not_ask_on_between_sites_that_are_equally_good),
        cmocka_unit_test(ends_without_certainty_when_the_pings_are_used_up),
        cmocka_unit_test(a_lost_ping_by_accident_costs_nothing_and_a_lossy_site_loses),
        cmocka_unit_test(a_silent_site_is_given_up_and_a_silent_world_ends),
        cmocka_unit_test(one_site_gets_its_least_pings),
        cmocka_unit_test(paces_without_bursts),
        cmocka_unit_test(says_what_was_measured),
        cmocka_unit_test(the_interval_is_as_good_as_its_confidence),
        cmocka_unit_test(answers_nobody_waits_for_change_nothing),
        cmocka_unit_test(hostile_times_do_no_harm),
        cmocka_unit_test(bad_arguments_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
