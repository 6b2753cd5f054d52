/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which of several sites is the best: pings are paced, answers counted, and the survey knows when
 * more pings would not change the answer.
 *
 * A survey does no I/O: time and results are passed in, what to ping comes out. qcmp_survey_step()
 * of qcmp/client.h runs one over a client. No allocation, no threads; one survey belongs to one
 * thread at a time.
 *
 * The best site has the least *score*: the median of its round trips, plus
 * #QCMP_SURVEY_LOSS_COST_NS times the loss that its pings prove (the lower end of the 99 % Wilson
 * interval of the loss: one ping lost by accident costs nothing). The true median lies between two
 * of the round trips with a confidence of 99 %, whatever their distribution (the sign test; it
 * needs eight). A site is out when the interval of its score begins above the end of the leader's,
 * or less than margin_ns below it; it gets no more pings. The survey is done when all sites but the
 * leader are out, or none may be pinged again.
 */
#ifndef QCMP_SURVEY_H
#define QCMP_SURVEY_H

#include <stddef.h>
#include <stdint.h>

#include <qcmp/error.h>
#include <qcmp/export.h>
#include <qcmp/probe.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QCMP_SURVEY_LOSS_COST_NS INT64_C(1000000000) /**< 1 % of proven loss weighs 10 ms */
#define QCMP_SURVEY_MOST_PINGS 1000                  /**< to one site */
#define QCMP_SURVEY_MOST_SITES 65536

struct qcmp_survey;

/** How to survey; a zero stands for its default. Members may be added at the end. */
struct qcmp_survey_options {
    int64_t gap_ns;      /**< least time between two pings; default 10 ms. Pings that a pause held
                            up are not made up for */
    int64_t interval_ns; /**< least time between two pings to one site; default 100 ms */
    int64_t timeout_ns;  /**< for each ping; default 1 s */
    int64_t margin_ns;   /**< sites this close to each other are equally good; default 1 ms */
    uint32_t least;      /**< answers or losses of a site before it can be in or out; default 8 */
    uint32_t most;       /**< pings to a site; default 32, at most QCMP_SURVEY_MOST_PINGS */
};

/** What is known about one site. Members may be added at the end. */
struct qcmp_survey_result {
    uint32_t sent, answered, lost; /**< pings; those in flight are in sent alone */
    int known;                     /**< 1: there are answers, and the times below mean something */
    int64_t median_ns, p95_ns, least_ns; /**< of the round trips, without the server's hold time */
    int64_t jitter_ns; /**< mean difference of a round trip from the one before (D of RFC 3550,
                          section 6.4.1, not smoothed, because there are few) */
    int64_t low_ns, high_ns; /**< the true median lies between, with a confidence of 99 %; 0 and
                                INT64_MAX as long as there are less than eight answers */
    int64_t score_ns;        /**< the median and the price of the loss; the least is the best */
    double loss;             /**< lost / (answered + lost), 0 to 1 */
    double loss_proven;      /**< the loss is above this, with a confidence of 99.5 % */
};

/* The functions behind the inline ones below; see qcmp/version.h. */
QCMP_EXPORT size_t qcmp_survey_bytes_sized(size_t sites, const struct qcmp_survey_options *options,
                                           size_t options_bytes);
QCMP_EXPORT int qcmp_survey_init_sized(struct qcmp_survey **survey, void *memory, size_t bytes,
                                       const struct qcmp_endpoint *sites, size_t count,
                                       const struct qcmp_survey_options *options,
                                       size_t options_bytes);
QCMP_EXPORT int qcmp_survey_get_sized(const struct qcmp_survey *survey, size_t site,
                                      struct qcmp_survey_result *result, size_t result_bytes);

/** Bytes of memory that a survey of @p sites sites needs with these options (NULL: the defaults);
 * 0 when they are not valid: no site, too many, a negative time, least above most. */
static inline size_t qcmp_survey_bytes(size_t sites, const struct qcmp_survey_options *options)
{
    return qcmp_survey_bytes_sized(sites, options, sizeof *options);
}

/**
 * Makes a survey in the caller's memory. There is nothing to undo.
 *
 * @param[out] survey  inside @p memory, which must outlive it; untouched on failure.
 * @param memory       aligned as malloc aligns.
 * @param bytes        at least qcmp_survey_bytes().
 * @param sites        copied.
 * @param count        how many.
 * @param options      NULL for the defaults; copied.
 * @return 0, QCMP_ERROR_INVALID_ARGUMENT or QCMP_ERROR_BUFFER_TOO_SMALL.
 */
static inline int qcmp_survey_init(struct qcmp_survey **survey, void *memory, size_t bytes,
                                   const struct qcmp_endpoint *sites, size_t count,
                                   const struct qcmp_survey_options *options)
{
    return qcmp_survey_init_sized(survey, memory, bytes, sites, count, options, sizeof *options);
}

/** The site to ping now, which counts as sent: end it with qcmp_survey_answer() or
 * qcmp_survey_loss().
 * @param now_ns     on a clock that is never set.
 * @param[out] site  untouched when none is due.
 * @return 1, or 0 when none is due. */
QCMP_EXPORT int qcmp_survey_next(struct qcmp_survey *survey, int64_t now_ns, size_t *site);

/** When qcmp_survey_next() has something to do, on the same clock; INT64_MAX: not before an answer
 * or a loss, or never. */
QCMP_EXPORT int64_t qcmp_survey_due(const struct qcmp_survey *survey);

/** Notes an answer to a ping of the survey. @param rtt_ns below 0 counts as 0. */
QCMP_EXPORT void qcmp_survey_answer(struct qcmp_survey *survey, size_t site, int64_t rtt_ns);

/** Notes that a ping of the survey has no answer. */
QCMP_EXPORT void qcmp_survey_loss(struct qcmp_survey *survey, size_t site);

/** Whether more pings would not change the answer, or none may be sent. Pings in flight are not
 * waited for when they cannot change it. @return 1 or 0. */
QCMP_EXPORT int qcmp_survey_is_done(const struct qcmp_survey *survey);

/** The best site so far. Of several with the same score, the first.
 * @param[out] certain 1 when all others are out; may be NULL.
 * @return its index, or -1 when no site has answered. */
QCMP_EXPORT int qcmp_survey_best(const struct qcmp_survey *survey, int *certain);

/** What is known about a site so far.
 * @return 0, or QCMP_ERROR_INVALID_ARGUMENT when there is no such site, with @p result untouched.
 */
static inline int qcmp_survey_get(const struct qcmp_survey *survey, size_t site,
                                  struct qcmp_survey_result *result)
{
    return qcmp_survey_get_sized(survey, site, result, sizeof *result);
}

/** A site's endpoint, as given; NULL when there is no such site. It stays the survey's. */
QCMP_EXPORT const struct qcmp_endpoint *qcmp_survey_site(const struct qcmp_survey *survey,
                                                         size_t site);

/** The time-out that the survey's pings are to have, ns. */
QCMP_EXPORT int64_t qcmp_survey_timeout_ns(const struct qcmp_survey *survey);

#ifdef __cplusplus
}
#endif
#endif
