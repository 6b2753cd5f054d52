/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Memory order between the control thread, which replaces versions of something, and workers, which
 * read them: the only place of the tree where more than relaxed order is asked for.
 *
 * A worker takes a version by quiescent_read() within a turn of its loop, and keeps it no longer
 * than that turn, at whose end it calls quiescent_pass(). The control thread replaces a version by
 * quiescent_publish(), then notes each worker's turns by quiescent_turns(). As soon as they have
 * changed for each worker, nobody uses the version that was replaced, and it may be freed.
 *
 * Why that holds: let a worker read the old version in turn t. Its turns are changed from t to t+1
 * after that read, so the control thread sees t+1 only when the read is over. A worker whose turns
 * the control thread noted as t must not read the old version in turn t+1 or later. That is the
 * store-buffer case: the worker stores its turns, then loads the version; the control thread stores
 * the version, then loads the turns. Without a full barrier between store and load on both sides,
 * both can load old values: the worker uses the old version in turn t+1 and the control thread
 * takes t+1, when it sees it, for the end of the last use. Both sides therefore are sequentially
 * consistent read-modify-writes, and full barriers. tests/unit/loop/test_quiescent.c fails without
 * either of them.
 */
#ifndef PADDOCK_LOOP_QUIESCENT_H
#define PADDOCK_LOOP_QUIESCENT_H

#include <stdatomic.h>
#include <stdint.h>

/** How often a worker's loop has turned. */
struct quiescent {
    _Atomic uint64_t turns;
};

/** A replaceable pointer to something that does not change. */
struct quiescent_slot {
    void *_Atomic version;
};

/** Takes the version in force; by a worker, until its next quiescent_pass(). Pairs with
 * quiescent_publish(): what was written before that is seen. */
static inline void *quiescent_read(const struct quiescent_slot *slot)
{
    return atomic_load_explicit(&slot->version, memory_order_acquire);
}

/** Ends a worker's turn: no version that it has read is used any more. Full barrier; pairs with
 * quiescent_publish() and quiescent_turns(). */
static inline void quiescent_pass(struct quiescent *worker)
{
    atomic_fetch_add_explicit(&worker->turns, 1, memory_order_seq_cst);
}

/** Puts a version in force. Full barrier; pairs with quiescent_read() and quiescent_pass().
 * @return the version before. */
static inline void *quiescent_publish(struct quiescent_slot *slot, void *version)
{
    return atomic_exchange_explicit(&slot->version, version, memory_order_seq_cst);
}

/** The turns of a worker: another number than one that was noted after quiescent_publish() says
 * that the worker has passed since. Pairs with quiescent_pass(). */
static inline uint64_t quiescent_turns(const struct quiescent *worker)
{
    return atomic_load_explicit(&worker->turns, memory_order_seq_cst);
}

#endif
