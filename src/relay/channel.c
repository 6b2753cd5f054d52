/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/channel.h"

int relay_channel_init(struct relay_channel *channel, const struct impair_settings *settings)
{
    struct relay_queue queue;
    if (relay_queue_init(&queue, RELAY_QUEUE_CAPACITY, RELAY_QUEUE_BYTES) != 0)
        return -1;
    *channel = (struct relay_channel){.settings = *settings, .queue = queue};
    return 0;
}

void relay_channel_fini(struct relay_channel *channel)
{
    relay_queue_fini(&channel->queue);
}

/* One copy on its way into the queue. Returns whether it got there. */
static size_t enqueue(struct relay_channel *channel, void *owner,
                      const struct relay_payload *payload, int64_t arrival_ns, int64_t due_ns)
{
    size_t carried_bytes = payload->bytes + payload->header_bytes;
    if (!impair_bucket_take(&channel->bucket, channel->settings.rate_bits, carried_bytes,
                            arrival_ns)) {
        channel->counts.dropped_rate++;
        return 0;
    }
    if (relay_queue_push(&channel->queue, due_ns, owner, payload->data, payload->bytes) != 0) {
        channel->counts.queue_full++;
        return 0;
    }
    return 1;
}

size_t relay_channel_offer(struct relay_channel *channel, struct impair_stream *stream, void *owner,
                           const struct relay_payload *payload, int64_t arrival_ns)
{
    struct impair_choice choice = impair_choose(&channel->settings, stream);
    channel->counts.received++;
    if (choice.lost) {
        channel->counts.lost++;
        return 0;
    }
    size_t queued = enqueue(channel, owner, payload, arrival_ns, arrival_ns + choice.delay_ns);
    if (choice.reordered)
        channel->counts.reordered += queued;
    if (choice.duplicated) {
        channel->counts.duplicated++;
        queued += enqueue(channel, owner, payload, arrival_ns, arrival_ns + choice.copy_delay_ns);
    }
    return queued;
}

void relay_channel_refuse(struct relay_channel *channel)
{
    channel->counts.received++;
    channel->counts.no_client++;
}

int64_t relay_channel_due_ns(const struct relay_channel *channel)
{
    return relay_queue_due_ns(&channel->queue);
}

struct relay_datagram *relay_channel_pop(struct relay_channel *channel, int64_t now_ns)
{
    return relay_queue_pop(&channel->queue, now_ns);
}

void relay_channel_sent(struct relay_channel *channel, size_t sent, size_t failed)
{
    channel->counts.forwarded += sent;
    channel->counts.send_errors += failed;
}

struct relay_counts relay_channel_counts(const struct relay_channel *channel)
{
    struct relay_counts counts = channel->counts;
    counts.unsent = channel->queue.count;
    counts.dropped_queue =
        counts.queue_full + counts.no_client + counts.send_errors + counts.unsent;
    return counts;
}
