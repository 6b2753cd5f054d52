/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/ring.h"

/* A datagram, or its first part. */
struct item {
    struct handover handover;
    uint8_t data[PACKET_HEAD + HANDOVER_PART_BYTES];
};
_Static_assert(sizeof(struct item) <= 2048, "two items have room in a page");

struct handovers {
    unsigned workers, opened; /* descriptors */
    int *fds;                 /* one a worker */
    bool *is_due;             /* by from, then to: the writer's */
    struct ring *rings;       /* as well */
    uint8_t **whole;          /* one a worker: room for a datagram of several parts */
};

int handovers_new(struct handovers **made, unsigned workers)
{
    size_t pairs = (size_t)workers * workers;
    struct handovers *handovers = calloc(1, sizeof *handovers);
    if (handovers == NULL)
        return -ENOMEM;

    handovers->workers = workers;
    handovers->fds = calloc(workers, sizeof *handovers->fds);
    handovers->is_due = calloc(pairs, sizeof *handovers->is_due);
    handovers->rings = calloc(pairs, sizeof *handovers->rings);
    handovers->whole = calloc(workers, sizeof *handovers->whole);
    bool has_room = handovers->fds != NULL && handovers->is_due != NULL &&
                    handovers->rings != NULL && handovers->whole != NULL;
    for (unsigned i = 0; i < workers && has_room; i++) {
        handovers->whole[i] = malloc(PACKET_HEAD + PACKET_MAX_BYTES);
        has_room = handovers->whole[i] != NULL;
    }
    int code = has_room ? 0 : -ENOMEM;
    for (; code == 0 && handovers->opened < workers; handovers->opened += code == 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        handovers->fds[handovers->opened] = fd;
        code = fd >= 0 ? 0 : -errno;
    }
    for (size_t i = 0; i < pairs && code == 0; i++) {
        if (i / workers != i % workers)
            code = ring_init(&handovers->rings[i], HANDOVER_QUEUE, sizeof(struct item));
    }
    if (code != 0)
        handovers_free(handovers);
    else
        *made = handovers;
    return code;
}

void handovers_free(struct handovers *handovers)
{
    if (handovers == NULL)
        return;
    size_t pairs = (size_t)handovers->workers * handovers->workers;
    for (size_t i = 0; handovers->rings != NULL && i < pairs; i++)
        ring_fini(&handovers->rings[i]);
    for (unsigned i = 0; i < handovers->opened; i++)
        close(handovers->fds[i]);
    for (unsigned i = 0; handovers->whole != NULL && i < handovers->workers; i++)
        free(handovers->whole[i]);
    free(handovers->whole);
    free(handovers->rings);
    free(handovers->is_due);
    free(handovers->fds);
    free(handovers);
}

int handovers_fd(const struct handovers *handovers, unsigned to)
{
    return handovers->fds[to];
}

/* Of bytes that do not fit into the first item: how many further ones they take. */
static uint32_t further_items(uint32_t bytes)
{
    return bytes <= HANDOVER_PART_BYTES
               ? 0
               : (uint32_t)((bytes - HANDOVER_PART_BYTES + sizeof(struct item) - 1) /
                            sizeof(struct item));
}

/* The bytes of one further item. */
static size_t further_bytes(uint32_t bytes, uint32_t i, size_t *at)
{
    *at = HANDOVER_PART_BYTES + (size_t)(i - 1) * sizeof(struct item);
    return bytes - *at < sizeof(struct item) ? bytes - *at : sizeof(struct item);
}

bool handovers_put(struct handovers *handovers, unsigned from, unsigned to,
                   const struct handover *handover)
{
    size_t pair = (size_t)from * handovers->workers + to, at;
    struct ring *ring = &handovers->rings[pair];
    uint32_t bytes = handover->packet.bytes, further = further_items(bytes);
    if (!ring_has_room(ring, 1 + further))
        return false;

    struct item *item = ring_next(ring, 0);
    item->handover = *handover;
    item->handover.packet.data = item->data + PACKET_HEAD;
    memcpy(item->handover.packet.data, handover->packet.data,
           further > 0 ? HANDOVER_PART_BYTES : bytes);
    for (uint32_t i = 1; i <= further; i++) {
        size_t part = further_bytes(bytes, i, &at);
        memcpy(ring_next(ring, i), handover->packet.data + at, part);
    }
    ring_commit_all(ring, 1 + further);
    handovers->is_due[pair] = true;
    return true;
}

void handovers_wake(struct handovers *handovers, unsigned from)
{
    bool *is_due = handovers->is_due + (size_t)from * handovers->workers;
    for (unsigned to = 0; to < handovers->workers; to++) {
        if (is_due[to])
            eventfd_write(handovers->fds[to], 1);
        is_due[to] = false;
    }
}

/* Puts the parts of a datagram together. */
static struct handover join(const struct ring *ring, const struct item *item, uint8_t *whole)
{
    struct handover joined = item->handover;
    uint32_t bytes = joined.packet.bytes;
    size_t at;
    joined.packet.data = whole + PACKET_HEAD;
    memcpy(joined.packet.data, item->handover.packet.data, HANDOVER_PART_BYTES);
    for (uint32_t i = 1; i <= further_items(bytes); i++) {
        size_t part = further_bytes(bytes, i, &at);
        memcpy(joined.packet.data + at, ring_peek_after(ring, i), part);
    }
    return joined;
}

/* No more than were in a queue when the descriptor was read: what comes later wakes again. */
void handovers_take(struct handovers *handovers, unsigned to,
                    void (*take)(const struct handover *handover, void *user), void *user)
{
    eventfd_t value;
    eventfd_read(handovers->fds[to], &value);
    for (unsigned from = 0; from < handovers->workers; from++) {
        struct ring *ring = &handovers->rings[(size_t)from * handovers->workers + to];
        const struct item *item;
        for (unsigned i = 0; i < ring->items && (item = ring_peek(ring)) != NULL; i++) {
            uint32_t further = further_items(item->handover.packet.bytes);
            struct handover handover =
                further > 0 ? join(ring, item, handovers->whole[to]) : item->handover;
            take(&handover, user);
            ring_release_all(ring, 1 + further);
        }
    }
}
