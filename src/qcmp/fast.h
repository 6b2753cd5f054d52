/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * QCMP's part of the fast path: a program that answers pings in the driver, by the access lists and
 * the limits that the responder's sockets go by. Datagrams that it does not decide about go to the
 * sockets, and are counted there; so each datagram is counted once.
 *
 * One thread uses it, but for the functions that say otherwise.
 */
#ifndef PADDOCK_QCMP_FAST_H
#define PADDOCK_QCMP_FAST_H

#include <stdint.h>

#include "base/error.h"
#include "fastpath/fastpath.h"
#include "guard/driver.h"
#include "guard/guard_core.h"
#include "qcmp/outcome.h"

struct qcmp_fast;

/**
 * Loads the part and sets it: it answers everybody on the ports that are added for #FASTPATH_QCMP.
 * Needs the privileges of fastpath_open(); no other function of this header needs any.
 * @param[out] fast allocated; untouched on failure. Closed with qcmp_fast_close().
 * @param fastpath  borrowed; closed after @p fast.
 * @param[out] error set on failure.
 * @return 0 or a negative errno value.
 */
int qcmp_fast_open(struct qcmp_fast **fast, struct fastpath *fastpath, struct error *error);

/** The memory of the guard's table by which the part decides, for the sockets to share; all of it
 * resident, and zeroed at first. It lives as long as @p fast; any thread may use its words. */
struct guard_set *qcmp_fast_guard_table(const struct qcmp_fast *fast);

/** Makes rules ready, as guard_driver_prepare(). The limits are for qcmp_fast_guard_table(). */
int qcmp_fast_prepare(struct qcmp_fast *fast, const struct guard_driver_options *options);

/** Decides by the rules that qcmp_fast_prepare() has made ready last, as guard_driver_apply().
 * Where that fails the part is taken off for good, so that nothing is answered by the rules before.
 * @return 0 or a negative errno value. */
int qcmp_fast_replace(struct qcmp_fast *fast);

/** Adds the datagrams that the part has decided about, and the bytes of their UDP payload, to
 * @p packets and @p bytes, arrays of #OUTCOME_COUNT; and its answers to @p answered. From any
 * thread. */
void qcmp_fast_count(const struct qcmp_fast *fast, uint64_t *packets, uint64_t *bytes,
                     uint64_t *answered);

/** Takes the part off, and frees. NULL is fine. */
void qcmp_fast_close(struct qcmp_fast *fast);

#endif
