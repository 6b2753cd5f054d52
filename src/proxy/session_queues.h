/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The memory of one table's sessions, and the queues in which they stand: by server, by age, and by
 * the second in which they are due. A session has an index and does not move; what stands in queues
 * is linked by indexes, which are half as long as pointers.
 */
#ifndef PADDOCK_PROXY_SESSION_QUEUES_H
#define PADDOCK_PROXY_SESSION_QUEUES_H

#include "proxy/sessions.h"

#define SESSION_CHUNK_SHIFT 10
#define SESSION_CHUNK (1U << SESSION_CHUNK_SHIFT)

/** Empty when zeroed. */
struct session_slab {
    struct session **chunks;
    uint32_t chunks_count, made;
    uint32_t free; /**< 1 + the first index of a list by next_of_player; 0: it is empty */
};

/** Frees all sessions. */
void session_slab_fini(struct session_slab *slab);

/** Memory for a session, of which its index alone is set. @return NULL without memory. */
struct session *session_slab_take(struct session_slab *slab);

void session_slab_give_back(struct session_slab *slab, struct session *session);

/** The session of an index below @p made. */
static inline struct session *session_at(const struct session_slab *slab, uint32_t index)
{
    return &slab->chunks[index >> SESSION_CHUNK_SHIFT][index & (SESSION_CHUNK - 1)];
}

/** Which of a session's links a queue goes by. */
enum session_link {
    BY_SERVER,
    BY_AGE,
    BY_WHEEL
};

struct session_queue {
    uint32_t first, last; /**< #SESSION_NONE: it is empty */
};

static inline void session_queue_add(struct session_queue *queue, const struct session_slab *slab,
                                     enum session_link link, struct session *session)
{
    session->links[link] = (struct session_links){queue->last, SESSION_NONE};
    if (queue->last != SESSION_NONE)
        session_at(slab, queue->last)->links[link].next = session->index;
    else
        queue->first = session->index;
    queue->last = session->index;
}

static inline void session_queue_remove(struct session_queue *queue,
                                        const struct session_slab *slab, enum session_link link,
                                        struct session *session)
{
    struct session_links links = session->links[link];
    if (links.before != SESSION_NONE)
        session_at(slab, links.before)->links[link].next = links.next;
    else
        queue->first = links.next;
    if (links.next != SESSION_NONE)
        session_at(slab, links.next)->links[link].before = links.before;
    else
        queue->last = links.before;
}

#define SESSION_WHEEL_SECONDS 256

/** Queues by the second in which sessions are due. One that is due beyond the wheel stands in its
 * last second, and is to be put in again then. */
struct session_wheel {
    struct session_queue seconds[SESSION_WHEEL_SECONDS];
    int64_t second; /**< up to which it was turned; below 0: it was not started */
};

void session_wheel_init(struct session_wheel *wheel);

/** Starts a wheel, before the first session stands in it; another time it does nothing. */
void session_wheel_start(struct session_wheel *wheel, int64_t now_ns);

void session_wheel_add(struct session_wheel *wheel, const struct session_slab *slab,
                       struct session *session, int64_t when_ns);

void session_wheel_remove(struct session_wheel *wheel, const struct session_slab *slab,
                          struct session *session);

/** Takes all sessions out of one of the queues, by its number modulo #SESSION_WHEEL_SECONDS. They
 * stay linked by BY_WHEEL. @return the index of the first one, or #SESSION_NONE. */
uint32_t session_wheel_take(struct session_wheel *wheel, int64_t second);

/** Takes out what is due in the next second that is over, as session_wheel_take().
 * @return false: no second is over, and @p first is untouched. */
bool session_wheel_turn(struct session_wheel *wheel, int64_t now_ns, uint32_t *first);

#endif
