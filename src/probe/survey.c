/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/survey.h>

#include <stdalign.h>
#include <stdbool.h>

#include "wire/sized.h"

#define DEFAULT_GAP_NS 10000000
#define DEFAULT_INTERVAL_NS 100000000
#define DEFAULT_TIMEOUT_NS 1000000000
#define DEFAULT_MARGIN_NS 1000000
#define DEFAULT_LEAST 8
#define DEFAULT_MOST 32

/* Losses without an answer after which a site counts as dead. */
#define SILENT_AFTER 3

/* Quantiles of the binomial and the normal distribution for 99 %, two-sided. */
#define TAIL 0.005
#define SIGMAS 2.5758

/* Far above any round trip, and far below what sums of them could take. */
#define MOST_RTT_NS INT64_C(3600000000000)

struct site {
    struct qcmp_endpoint at;
    uint32_t sent, answered, lost;
    int64_t due_ns; /* not before */
    int64_t last_rtt_ns, differences_ns;
    int64_t *rtts; /* the answers, least first */
    double loss_proven;
    int64_t low_ns, high_ns; /* of the median */
    int64_t score_ns;
};

struct qcmp_survey {
    struct qcmp_survey_options options;
    struct site *sites;
    size_t count;
    int64_t due_ns; /* no ping before */
};

/* ---- Statistics ---- */

/* The rank, from 1, of the round trip that is the lower end of a 99 % interval of the median; 0
 * when there are too few. How many of n lie below the median is binomial. */
static uint32_t median_rank(uint32_t n)
{
    double term = 1, sum = 0;
    uint32_t rank = 0;

    for (uint32_t i = 0; i < n; i++)
        term /= 2;
    for (; rank < n; rank++) {
        sum += term;
        if (sum > TAIL)
            break;
        term *= (double)(n - rank) / (double)(rank + 1);
    }
    return rank;
}

/* By Newton, because the module has no C library; for 0 to 1. */
static double square_root(double number)
{
    double root = 1;

    for (int i = 0; i < 32 && number > 0; i++)
        root = (root + number / root) / 2;
    return number > 0 ? root : 0;
}

/* The lower end of Wilson's interval. */
static double loss_proven(uint32_t lost, uint32_t answered)
{
    const double n = (double)lost + (double)answered;

    if (lost == 0)
        return 0;

    const double square = SIGMAS * SIGMAS, p = (double)lost / n;
    const double spread = SIGMAS * square_root(p * (1 - p) / n + square / (4 * n * n));

    return (p + square / (2 * n) - spread) / (1 + square / n);
}

static int64_t median_of(const struct site *site)
{
    const uint32_t n = site->answered;

    return (site->rtts[(n - 1) / 2] + site->rtts[n / 2]) / 2;
}

static int64_t loss_cost(const struct site *site)
{
    return (int64_t)(site->loss_proven * (double)QCMP_SURVEY_LOSS_COST_NS);
}

static void site_judge(struct site *site)
{
    const uint32_t n = site->answered;
    const uint32_t rank = median_rank(n);

    site->loss_proven = loss_proven(site->lost, n);
    site->low_ns = rank > 0 ? site->rtts[rank - 1] : 0;
    site->high_ns = rank > 0 ? site->rtts[n - rank] : INT64_MAX;
    site->score_ns = n > 0 ? median_of(site) + loss_cost(site) : INT64_MAX;
}

static bool site_is_dead(const struct site *site)
{
    return site->answered == 0 && site->lost >= SILENT_AFTER;
}

static bool site_is_judged(const struct qcmp_survey *survey, const struct site *site)
{
    return site->answered + site->lost >= survey->options.least;
}

/* ---- The decision ---- */

static const struct site *leader(const struct qcmp_survey *survey)
{
    const struct site *best = NULL;

    for (size_t i = 0; i < survey->count; i++) {
        const struct site *site = &survey->sites[i];

        if (site->answered > 0 && (best == NULL || site->score_ns < best->score_ns))
            best = site;
    }
    return best;
}

/* Whether more pings to a site would not make it the best. */
static bool site_is_out(const struct qcmp_survey *survey, const struct site *site,
                        const struct site *best)
{
    if (site_is_dead(site))
        return true;
    if (best == NULL || best == site || best->high_ns == INT64_MAX ||
        !site_is_judged(survey, best) || !site_is_judged(survey, site))
        return false;
    return best->high_ns + loss_cost(best) <=
           site->low_ns + loss_cost(site) + survey->options.margin_ns;
}

/* Sites that are not out, the leader included. */
static size_t sites_in(const struct qcmp_survey *survey, const struct site *best)
{
    size_t in = 0;

    for (size_t i = 0; i < survey->count; i++)
        in += !site_is_out(survey, &survey->sites[i], best);
    return in;
}

/* ---- Memory ---- */

static int64_t time_or(int64_t time_ns, int64_t otherwise_ns)
{
    return time_ns != 0 ? time_ns : otherwise_ns;
}

static bool options_complete(const struct qcmp_survey_options *options, size_t options_bytes,
                             struct qcmp_survey_options *complete)
{
    struct qcmp_survey_options *o = complete;

    if (!qcmp_sized_read(o, sizeof *o, options, options != NULL ? options_bytes : 0))
        return false;
    o->gap_ns = time_or(o->gap_ns, DEFAULT_GAP_NS);
    o->interval_ns = time_or(o->interval_ns, DEFAULT_INTERVAL_NS);
    o->timeout_ns = time_or(o->timeout_ns, DEFAULT_TIMEOUT_NS);
    o->margin_ns = time_or(o->margin_ns, DEFAULT_MARGIN_NS);
    if (o->most == 0)
        o->most = o->least > DEFAULT_MOST ? o->least : DEFAULT_MOST;
    if (o->least == 0)
        o->least = o->most < DEFAULT_LEAST ? o->most : DEFAULT_LEAST;
    return o->gap_ns > 0 && o->interval_ns > 0 && o->timeout_ns > 0 && o->margin_ns > 0 &&
           o->gap_ns < MOST_RTT_NS && o->interval_ns < MOST_RTT_NS && o->margin_ns < MOST_RTT_NS &&
           o->least <= o->most && o->most <= QCMP_SURVEY_MOST_PINGS;
}

size_t qcmp_survey_bytes_sized(size_t sites, const struct qcmp_survey_options *options,
                               size_t options_bytes)
{
    struct qcmp_survey_options complete;

    if (sites == 0 || sites > QCMP_SURVEY_MOST_SITES ||
        !options_complete(options, options_bytes, &complete))
        return 0;
    return sizeof(struct qcmp_survey) + alignof(struct site) +
           sites * (sizeof(struct site) + complete.most * sizeof(int64_t));
}

/* NOLINTNEXTLINE(readability-function-size): six, and the size of the last */
int qcmp_survey_init_sized(struct qcmp_survey **survey, void *memory, size_t bytes,
                           const struct qcmp_endpoint *sites, size_t count,
                           const struct qcmp_survey_options *options, size_t options_bytes)
{
    const size_t needed = qcmp_survey_bytes_sized(count, options, options_bytes);
    struct qcmp_survey *made = (struct qcmp_survey *)memory;
    const size_t unit = alignof(struct site);
    const size_t first = (sizeof *made + unit - 1) / unit * unit;

    if (survey == NULL || memory == NULL || sites == NULL || needed == 0 ||
        (uintptr_t)memory % unit != 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    if (bytes < needed)
        return QCMP_ERROR_BUFFER_TOO_SMALL;

    for (size_t i = 0; i < needed; i++)
        ((unsigned char *)memory)[i] = 0;
    (void)options_complete(options, options_bytes, &made->options);
    made->sites = (struct site *)(void *)((unsigned char *)memory + first);
    made->count = count;
    made->due_ns = INT64_MIN;

    int64_t *rtts = (int64_t *)(void *)&made->sites[count];

    for (size_t i = 0; i < count; i++, rtts += made->options.most) {
        made->sites[i].at = sites[i];
        made->sites[i].rtts = rtts;
        made->sites[i].due_ns = INT64_MIN;
        site_judge(&made->sites[i]);
    }
    *survey = made;
    return 0;
}

/* ---- Pings ---- */

/* The site to ping next: among those that may be, one that has waited longest. */
static struct site *next_site(const struct qcmp_survey *survey)
{
    const struct site *best = leader(survey);
    struct site *next = NULL;

    if (qcmp_survey_is_done(survey))
        return NULL;
    for (size_t i = 0; i < survey->count; i++) {
        struct site *site = &survey->sites[i];

        if (site->sent < survey->options.most && !site_is_out(survey, site, best) &&
            (next == NULL || site->due_ns < next->due_ns))
            next = site;
    }
    return next;
}

int qcmp_survey_next(struct qcmp_survey *survey, int64_t now_ns, size_t *site)
{
    struct site *next = next_site(survey);

    if (next == NULL || now_ns < survey->due_ns || now_ns < next->due_ns)
        return 0;
    next->sent++;
    next->due_ns = now_ns + survey->options.interval_ns;
    survey->due_ns = now_ns + survey->options.gap_ns;
    *site = (size_t)(next - survey->sites);
    return 1;
}

int64_t qcmp_survey_due(const struct qcmp_survey *survey)
{
    const struct site *next = next_site(survey);

    if (next == NULL)
        return INT64_MAX;
    return survey->due_ns > next->due_ns ? survey->due_ns : next->due_ns;
}

/* A ping that ended twice, or was never sent, changes nothing. */
static struct site *site_in_flight(struct qcmp_survey *survey, size_t index)
{
    struct site *site = index < survey->count ? &survey->sites[index] : NULL;

    return site != NULL && site->answered + site->lost < site->sent ? site : NULL;
}

void qcmp_survey_answer(struct qcmp_survey *survey, size_t index, int64_t rtt_ns)
{
    struct site *site = site_in_flight(survey, index);

    if (site == NULL)
        return;
    rtt_ns = rtt_ns < 0 ? 0 : rtt_ns;
    rtt_ns = rtt_ns > MOST_RTT_NS ? MOST_RTT_NS : rtt_ns;

    const int64_t change = rtt_ns - site->last_rtt_ns;
    uint32_t at = site->answered;

    if (site->answered > 0)
        site->differences_ns += change < 0 ? -change : change;
    site->last_rtt_ns = rtt_ns;
    for (; at > 0 && site->rtts[at - 1] > rtt_ns; at--)
        site->rtts[at] = site->rtts[at - 1];
    site->rtts[at] = rtt_ns;
    site->answered++;
    site_judge(site);
}

void qcmp_survey_loss(struct qcmp_survey *survey, size_t index)
{
    struct site *site = site_in_flight(survey, index);

    if (site == NULL)
        return;
    site->lost++;
    site_judge(site);
}

/* ---- Results ---- */

int qcmp_survey_is_done(const struct qcmp_survey *survey)
{
    const struct site *best = leader(survey);
    bool may_change = false;

    if (sites_in(survey, best) <= (best != NULL) && (best == NULL || site_is_judged(survey, best)))
        return 1;
    for (size_t i = 0; i < survey->count; i++) {
        const struct site *site = &survey->sites[i];

        if (!site_is_out(survey, site, best))
            may_change = may_change || site->sent < survey->options.most ||
                         site->answered + site->lost < site->sent;
    }
    return !may_change;
}

int qcmp_survey_best(const struct qcmp_survey *survey, int *certain)
{
    const struct site *best = leader(survey);

    if (certain != NULL)
        *certain = best != NULL && sites_in(survey, best) == 1;
    return best != NULL ? (int)(best - survey->sites) : -1;
}

int qcmp_survey_get_sized(const struct qcmp_survey *survey, size_t index,
                          struct qcmp_survey_result *result, size_t result_bytes)
{
    if (index >= survey->count)
        return QCMP_ERROR_INVALID_ARGUMENT;

    const struct site *site = &survey->sites[index];
    const uint32_t n = site->answered, ended = n + site->lost;
    struct qcmp_survey_result made = {
        site->sent,     n, site->lost,       n > 0, 0, 0, 0, 0, site->low_ns, site->high_ns,
        site->score_ns, 0, site->loss_proven};

    if (ended > 0)
        made.loss = (double)site->lost / (double)ended;
    if (n > 0) {
        made.median_ns = median_of(site);
        made.p95_ns = site->rtts[(n * 19 + 19) / 20 - 1]; /* the nearest rank */
        made.least_ns = site->rtts[0];
    }
    if (n > 1)
        made.jitter_ns = site->differences_ns / (n - 1);
    qcmp_sized_write(result, result_bytes, &made, sizeof made);
    return 0;
}

const struct qcmp_endpoint *qcmp_survey_site(const struct qcmp_survey *survey, size_t site)
{
    return site < survey->count ? &survey->sites[site].at : NULL;
}

int64_t qcmp_survey_timeout_ns(const struct qcmp_survey *survey)
{
    return survey->options.timeout_ns;
}
