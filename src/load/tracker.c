/* SPDX-License-Identifier: Apache-2.0 */
#include "load/tracker.h"

#include <stdlib.h>

#include <qcmp/wire.h>

#define NONCE_BITS 8
#define LEAST_SLOTS (UINT32_C(1) << NONCE_BITS)
#define NONE UINT32_MAX

enum slot_state {
    SLOT_UNUSED, /* nothing that comes is an answer to it */
    SLOT_IN_FLIGHT,
    SLOT_LOST,
    SLOT_ANSWERED
};

struct slot {
    int64_t stamp_ns;
    int64_t due_ns;
    int64_t sent_ns;
    uint32_t older; /* in flight: the neighbours in the order of sending */
    uint32_t newer;
    uint32_t flow;
    enum slot_state state;
};

struct tracker {
    struct slot *slots;
    uint32_t *free; /* a ring of the slots that are not in flight, the longest unused at first */
    uint32_t count; /* the number of slots, a power of two */
    uint32_t free_first;
    uint32_t in_flight;
    uint32_t oldest;
    uint32_t newest;
    unsigned stamp_bits; /* how many bits of a timestamp are the lowest of the slot's number */
    int64_t stamp_mask;
    int64_t last_stamp_ns;
    int64_t timeout_ns;
    int64_t epoch_ns;
};

struct tracker *tracker_new(uint32_t slots, int64_t timeout_ns, int64_t epoch_ns)
{
    struct tracker *tracker = calloc(1, sizeof *tracker);
    if (tracker == NULL)
        return NULL;
    *tracker = (struct tracker){.count = LEAST_SLOTS,
                                .oldest = NONE,
                                .newest = NONE,
                                .timeout_ns = timeout_ns,
                                .epoch_ns = epoch_ns};
    while (tracker->count < slots && tracker->count < TRACKER_MAX_SLOTS)
        tracker->count *= 2;
    tracker->stamp_bits = (unsigned)__builtin_ctz(tracker->count >> NONCE_BITS);
    tracker->stamp_mask = (int64_t)(tracker->count >> NONCE_BITS) - 1;
    tracker->slots = calloc(tracker->count, sizeof *tracker->slots);
    tracker->free = calloc(tracker->count, sizeof *tracker->free);
    if (tracker->slots == NULL || tracker->free == NULL) {
        tracker_free(tracker);
        return NULL;
    }
    for (uint32_t i = 0; i < tracker->count; i++)
        tracker->free[i] = i;
    return tracker;
}

void tracker_free(struct tracker *tracker)
{
    if (tracker == NULL)
        return;
    free(tracker->slots);
    free(tracker->free);
    free(tracker);
}

uint32_t tracker_slots(const struct tracker *tracker)
{
    return tracker->count;
}

uint32_t tracker_in_flight(const struct tracker *tracker)
{
    return tracker->in_flight;
}

static uint32_t slot_number(const struct tracker *tracker, uint8_t nonce, int64_t stamp_ns)
{
    return (uint32_t)nonce << tracker->stamp_bits | (uint32_t)(stamp_ns & tracker->stamp_mask);
}

/* A timestamp with the slot's bits in it, above all before. Slots that follow each other differ in
 * these bits first, so that the timestamps of pings that leave together are a nanosecond apart. */
static int64_t next_stamp(struct tracker *tracker, int64_t sent_ns, uint32_t number)
{
    int64_t bits = (int64_t)number & tracker->stamp_mask;
    int64_t stamp_ns = ((sent_ns + tracker->epoch_ns) & ~tracker->stamp_mask) | bits;
    if (stamp_ns <= tracker->last_stamp_ns)
        stamp_ns = (tracker->last_stamp_ns & ~tracker->stamp_mask) | bits;
    if (stamp_ns <= tracker->last_stamp_ns)
        stamp_ns += tracker->stamp_mask + 1;
    tracker->last_stamp_ns = stamp_ns;
    return stamp_ns;
}

static void end(struct tracker *tracker, uint32_t number, enum slot_state state)
{
    struct slot *slot = &tracker->slots[number];
    uint32_t last = tracker->count - tracker->in_flight;

    if (slot->older != NONE)
        tracker->slots[slot->older].newer = slot->newer;
    else
        tracker->oldest = slot->newer;
    if (slot->newer != NONE)
        tracker->slots[slot->newer].older = slot->older;
    else
        tracker->newest = slot->older;
    tracker->in_flight--;
    slot->state = state;
    tracker->free[(tracker->free_first + last) & (tracker->count - 1)] = number;
}

int tracker_send(struct tracker *tracker, struct tracker_ping *ping)
{
    if (tracker->in_flight == tracker->count)
        return -1;
    uint32_t number = tracker->free[tracker->free_first];
    tracker->free_first = (tracker->free_first + 1) & (tracker->count - 1);
    ping->nonce = (uint8_t)(number >> tracker->stamp_bits);
    ping->stamp_ns = next_stamp(tracker, ping->sent_ns, number);
    tracker->slots[number] = (struct slot){.stamp_ns = ping->stamp_ns,
                                           .due_ns = ping->due_ns,
                                           .sent_ns = ping->sent_ns,
                                           .flow = ping->flow,
                                           .older = tracker->newest,
                                           .newer = NONE,
                                           .state = SLOT_IN_FLIGHT};
    if (tracker->newest != NONE)
        tracker->slots[tracker->newest].newer = number;
    else
        tracker->oldest = number;
    tracker->newest = number;
    tracker->in_flight++;
    return 0;
}

void tracker_withdraw(struct tracker *tracker, const struct tracker_ping *ping)
{
    end(tracker, slot_number(tracker, ping->nonce, ping->stamp_ns), SLOT_UNUSED);
}

static int64_t deadline_of(const struct tracker *tracker, const struct slot *slot)
{
    return slot->sent_ns + tracker->timeout_ns;
}

enum tracker_answer tracker_receive(struct tracker *tracker,
                                    const struct tracker_datagram *datagram,
                                    struct tracker_ping *ping, bool *was_in_flight)
{
    struct qcmp_packet pong;
    if (qcmp_packet_decode(datagram->data, datagram->bytes, &pong, NULL) != QCMP_PONG)
        return TRACKER_FOREIGN;
    uint32_t number = slot_number(tracker, pong.nonce, pong.client_ns);
    struct slot *slot = &tracker->slots[number];
    if (slot->state == SLOT_UNUSED || slot->flow != datagram->flow ||
        slot->stamp_ns != pong.client_ns)
        return TRACKER_FOREIGN;
    if (slot->state == SLOT_ANSWERED)
        return TRACKER_DUPLICATE;
    *ping = (struct tracker_ping){.flow = slot->flow,
                                  .nonce = pong.nonce,
                                  .stamp_ns = slot->stamp_ns,
                                  .due_ns = slot->due_ns,
                                  .sent_ns = slot->sent_ns};
    *was_in_flight = slot->state == SLOT_IN_FLIGHT;
    bool in_time = *was_in_flight && datagram->received_ns < deadline_of(tracker, slot);
    if (*was_in_flight)
        end(tracker, number, SLOT_ANSWERED);
    else
        slot->state = SLOT_ANSWERED;
    return in_time ? TRACKER_ANSWERED : TRACKER_LATE;
}

int64_t tracker_deadline_ns(const struct tracker *tracker)
{
    if (tracker->oldest == NONE)
        return INT64_MAX;
    return deadline_of(tracker, &tracker->slots[tracker->oldest]);
}

int64_t tracker_expire(struct tracker *tracker, int64_t now_ns)
{
    if (tracker->oldest == NONE || tracker_deadline_ns(tracker) > now_ns)
        return -1;
    uint32_t number = tracker->oldest;
    end(tracker, number, SLOT_LOST);
    return tracker->slots[number].flow;
}
