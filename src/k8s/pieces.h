/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * JSON of Kubernetes' API in pieces, as it comes: each object of a list or of a watch is handed on
 * as soon as it is whole, so that no more than one of them is in memory as text.
 */
#ifndef PADDOCK_K8S_PIECES_H
#define PADDOCK_K8S_PIECES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/** The most that one object may have. etcd takes 1.5 MiB. */
#define PIECES_OBJECT_BYTES ((size_t)8388608)
/** The most that a list may have beside its items. */
#define PIECES_ENVELOPE_BYTES ((size_t)65536)

struct pieces_text {
    char *data;
    size_t bytes, capacity;
};

/** A text under way. Zeroed it is the beginning of a watch. */
struct pieces {
    bool is_list; /**< an object whose `items` are handed on; otherwise objects one after another */
    bool in_text, is_escaped, in_items;
    unsigned depth;
    struct pieces_text object, envelope;
};

/** Takes an object, borrowed. @return 0, or a negative errno value to end with. */
typedef int pieces_object_fn(json_t *object, void *user);

/** Takes bytes, in any pieces.
 * @return 0; -EINVAL: they are not what is expected; -E2BIG; -ENOMEM; or what the callback says. It
 * is of no use afterwards, save to pieces_fini(). */
int pieces_take(struct pieces *pieces, const char *data, size_t bytes, pieces_object_fn *object,
                void *user);

/** The end of a list.
 * @return what it has beside its items, which are an empty list: a reference of the caller's; NULL:
 * it is not whole. */
json_t *pieces_end(const struct pieces *pieces);

/** Releases what it has, and zeroes it. */
void pieces_fini(struct pieces *pieces);

#endif
