/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/queue.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int relay_queue_init(struct relay_queue *queue, size_t capacity, size_t capacity_bytes)
{
    struct relay_queue_entry *entries = calloc(capacity, sizeof *entries);
    if (entries == NULL)
        return -1;
    *queue = (struct relay_queue){
        .entries = entries, .capacity = capacity, .capacity_bytes = capacity_bytes};
    return 0;
}

void relay_queue_fini(struct relay_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        free(queue->entries[i].datagram);
    free(queue->entries);
}

static bool comes_before(const struct relay_queue_entry *a, const struct relay_queue_entry *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

/* Moves parents down until the place at `at` is where the entry belongs. */
static void sift_up(struct relay_queue *queue, size_t at, struct relay_queue_entry entry)
{
    while (at > 0 && comes_before(&entry, &queue->entries[(at - 1) / 2])) {
        queue->entries[at] = queue->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->entries[at] = entry;
}

/* Moves children up in the same way, from the root on. */
static void sift_down(struct relay_queue *queue, struct relay_queue_entry entry)
{
    struct relay_queue_entry *entries = queue->entries;
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->count && comes_before(&entries[child + 1], &entries[child]))
            child++;
        if (child >= queue->count || !comes_before(&entries[child], &entry))
            break;
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = entry;
}

static struct relay_datagram *datagram_new(void *owner, const uint8_t *data, size_t bytes)
{
    struct relay_datagram *datagram = malloc(sizeof *datagram + bytes);
    if (datagram == NULL)
        return NULL;
    datagram->owner = owner;
    datagram->bytes = bytes;
    if (bytes > 0)
        memcpy(datagram->data, data, bytes);
    return datagram;
}

int relay_queue_push(struct relay_queue *queue, int64_t due_ns, void *owner, const uint8_t *data,
                     size_t bytes)
{
    struct relay_queue_entry entry = {.due_ns = due_ns, .order = queue->order};
    if (queue->count < queue->capacity && bytes <= queue->capacity_bytes - queue->bytes)
        entry.datagram = datagram_new(owner, data, bytes);
    if (entry.datagram == NULL)
        return -1;
    queue->order++;
    queue->bytes += bytes;
    sift_up(queue, queue->count++, entry);
    return 0;
}

int64_t relay_queue_due_ns(const struct relay_queue *queue)
{
    return queue->count > 0 ? queue->entries[0].due_ns : RELAY_QUEUE_NEVER;
}

struct relay_datagram *relay_queue_pop(struct relay_queue *queue, int64_t now_ns)
{
    if (queue->count == 0 || queue->entries[0].due_ns > now_ns)
        return NULL;
    struct relay_datagram *first = queue->entries[0].datagram;
    struct relay_queue_entry last = queue->entries[--queue->count];
    queue->bytes -= first->bytes;
    if (queue->count > 0)
        sift_down(queue, last);
    return first;
}
