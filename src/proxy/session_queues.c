/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session_queues.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

void session_slab_fini(struct session_slab *slab)
{
    for (uint32_t i = 0; i < slab->chunks_count; i++)
        free(slab->chunks[i]);
    free(slab->chunks);
}

struct session *session_slab_take(struct session_slab *slab)
{
    if (slab->free > 0) {
        struct session *session = session_at(slab, slab->free - 1);
        slab->free = session->next_of_player;
        return session;
    }
    if (slab->made == slab->chunks_count * SESSION_CHUNK) {
        struct session **chunks = realloc(slab->chunks, (slab->chunks_count + 1) * sizeof *chunks);
        if (chunks == NULL)
            return NULL;
        slab->chunks = chunks;
        chunks[slab->chunks_count] = calloc(SESSION_CHUNK, sizeof **chunks);
        if (chunks[slab->chunks_count] == NULL)
            return NULL;
        slab->chunks_count++;
    }
    struct session *session = session_at(slab, slab->made);
    session->index = slab->made++;
    return session;
}

void session_slab_give_back(struct session_slab *slab, struct session *session)
{
    session->next_of_player = slab->free;
    slab->free = session->index + 1;
}

void session_wheel_init(struct session_wheel *wheel)
{
    memset(wheel->seconds, 0xff, sizeof wheel->seconds);
    wheel->second = -1;
}

void session_wheel_start(struct session_wheel *wheel, int64_t now_ns)
{
    if (wheel->second < 0)
        wheel->second = now_ns / SECOND_NS;
}

void session_wheel_add(struct session_wheel *wheel, const struct session_slab *slab,
                       struct session *session, int64_t when_ns)
{
    int64_t second = when_ns / SECOND_NS + 1;
    if (second <= wheel->second)
        second = wheel->second + 1;
    if (second >= wheel->second + SESSION_WHEEL_SECONDS)
        second = wheel->second + SESSION_WHEEL_SECONDS - 1;
    session_queue_add(&wheel->seconds[second % SESSION_WHEEL_SECONDS], slab, BY_WHEEL, session);
}

/* The queue is not known from the session: its neighbours are, and the few heads. */
void session_wheel_remove(struct session_wheel *wheel, const struct session_slab *slab,
                          struct session *session)
{
    struct session_queue *queue = NULL;
    const struct session_links *links = &session->links[BY_WHEEL];
    for (unsigned i = 0;
         (links->before == SESSION_NONE || links->next == SESSION_NONE) && queue == NULL; i++) {
        struct session_queue *candidate = &wheel->seconds[i];
        if (candidate->first == session->index || candidate->last == session->index)
            queue = candidate;
    }
    session_queue_remove(queue, slab, BY_WHEEL, session);
}

uint32_t session_wheel_take(struct session_wheel *wheel, int64_t second)
{
    struct session_queue *queue = &wheel->seconds[second % SESSION_WHEEL_SECONDS];
    uint32_t first = queue->first;
    *queue = (struct session_queue){SESSION_NONE, SESSION_NONE};
    return first;
}

bool session_wheel_turn(struct session_wheel *wheel, int64_t now_ns, uint32_t *first)
{
    int64_t now_second = now_ns / SECOND_NS;
    if (wheel->second < 0 || wheel->second >= now_second)
        return false;
    if (wheel->second + SESSION_WHEEL_SECONDS < now_second)
        wheel->second = now_second - SESSION_WHEEL_SECONDS;
    *first = session_wheel_take(wheel, ++wheel->second);
    return true;
}
