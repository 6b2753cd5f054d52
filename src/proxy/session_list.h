/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A list of live sessions for people: of all workers, sorted, with as many rows as are asked for.
 */
#ifndef PADDOCK_PROXY_SESSION_LIST_H
#define PADDOCK_PROXY_SESSION_LIST_H

#include <jansson.h>

#include "loop/worker.h"
#include "proxy/worker.h"
#include "service/service.h"

/** Makes `{"total":N,"sessions":[...]}`, as docs/operations.md has it. Each worker goes through its
 * sessions once, between two batches, and copies what belongs into the list. By the control thread.
 * @param own each worker's, by its index.
 * @param now_ns monotonic.
 * @return a new reference, or NULL without memory. */
json_t *session_list(struct workers *workers, struct proxy_worker *const *own,
                     const struct service_list *wanted, int64_t now_ns);

#endif
