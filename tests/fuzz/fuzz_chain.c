/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A list of filters in YAML, a byte 0, then datagrams: two bytes of length each, and the bytes.
 * Oracles: what is shown of a chain makes the same chain; a datagram stays within its memory; with
 * filters that only take, it is a part of what it was; destinations are there; a datagram has one
 * reason or none; where no filter counts over time, it has the same end in a fresh worker.
 * Endpoints weigh the same or not by the size of the input; sessions are those of no player.
 */
#include <stdlib.h>

#include "support/chain_run.h"

static bool is_odd(const struct filter_sessions *none, const struct endpoint *player,
                   uint32_t place)
{
    (void)none;
    (void)player;
    CHECK(place < CHAIN_RUN_ENDPOINTS);
    return place % 2 == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static void check_shown(const struct chain *chain)
{
    struct chain_run again;
    struct error error;
    json_t *shown = chain_show(chain);
    CHECK(shown != NULL);
    char *text = json_dumps(shown, 0);
    CHECK(chain_run_init(&again, text, strlen(text), &error) == 0);
    json_t *shown_again = chain_show(again.chain);
    CHECK(json_equal(shown, shown_again));
    json_decref(shown);
    json_decref(shown_again);
    free(text);
    chain_run_fini(&again);
}

/* Whether no filter of a chain can do more than to take bytes off and to choose destinations. */
static bool only_takes(const struct chain *chain)
{
    static const char *const plain[] = {"Capture", "TokenRouter", "Drop", "Pass"};
    const char *name;
    for (size_t i = 0; (name = chain_filter_name(chain, i)) != NULL; i++) {
        bool is_plain = false;
        for (size_t j = 0; j < sizeof plain / sizeof *plain; j++)
            is_plain |= strstr(name, plain[j]) != NULL;
        if (!is_plain)
            return false;
    }
    return true;
}

static void check_same_again(struct chain_run *run, bool is_write, enum filter_result result,
                             const uint8_t *data, size_t bytes)
{
    struct chain_worker *fresh = chain_worker_new(run->chain, NULL, 1), *used = run->worker;
    const char *reason = run->reason;
    uint32_t left = run->packet.bytes;
    CHECK(fresh != NULL);
    run->worker = fresh;
    CHECK(chain_run_pass(run, is_write, data, bytes) == result && run->reason == reason);
    CHECK(run->packet.bytes == left);
    run->worker = used;
    chain_worker_free(fresh);
}

static void check_datagram(struct chain_run *run, bool is_write, const uint8_t *data, size_t bytes)
{
    enum filter_result result = chain_run_pass(run, is_write, data, bytes);
    const struct packet *packet = &run->packet;
    const uint8_t *begin = run->buffer + PACKET_ROOM;

    CHECK((result == FILTER_DROP) == (run->reason != NULL));
    CHECK(packet->data >= run->call.floor);
    CHECK(packet->data + packet->bytes <= run->call.ceiling);
    CHECK(!run->call.is_chosen || result == FILTER_DROP || run->call.chosen_count > 0);
    for (uint32_t i = 0; run->call.is_chosen && i < run->call.chosen_count; i++)
        CHECK(run->call.chosen[i] < CHAIN_RUN_ENDPOINTS);
    CHECK(!is_write || !run->call.is_chosen);
    for (unsigned i = 0; i < FILTER_MAX_NAMES; i++) {
        const struct metadata *value = &run->call.metadata[i];
        CHECK(value->kind != METADATA_BYTES || value->bytes <= FILTER_SPARE_BYTES);
        CHECK(value->kind != METADATA_BOOL || value->number <= 1);
    }

    if (!only_takes(run->chain))
        return;
    CHECK(packet->data >= begin && packet->data + packet->bytes <= begin + bytes);
    CHECK(memcmp(packet->data, data + (packet->data - begin), packet->bytes) == 0);
    CHECK(run->call.scratch_bytes + packet->bytes == bytes);
    check_same_again(run, is_write, result, data, bytes);
}

static uint32_t find_none(const struct filter_sessions *none, const struct endpoint *player,
                          unsigned n)
{
    (void)none;
    (void)player;
    (void)n;
    return FILTER_NOWHERE;
}

static uint32_t count_some(const struct filter_sessions *none, uint32_t place)
{
    (void)none;
    CHECK(place < CHAIN_RUN_ENDPOINTS);
    return 7 * place % 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t weights[CHAIN_RUN_ENDPOINTS] = {1, 1001, 1003, 1004};
    static const struct filter_sessions sessions = {find_none, count_some, is_odd};
    const uint8_t *end = memchr(data, 0, size);
    struct chain_run run;
    struct error error;
    size_t at = end != NULL ? (size_t)(end - data) : size;

    if (chain_run_init(&run, (const char *)data, at, &error) != 0)
        return 0;
    check_shown(run.chain);
    run.world.weights = size % 2 != 0 ? weights : NULL;
    run.call.sessions = &sessions;
    at += end != NULL;
    for (unsigned n = 0; at + 2 <= size && n < 64; n++) {
        size_t bytes = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        bytes = bytes <= size - at ? bytes : size - at;
        bytes = bytes <= PACKET_MAX_BYTES ? bytes : PACKET_MAX_BYTES;
        check_datagram(&run, n % 2 != 0, data + at, bytes);
        at += bytes;
    }
    chain_run_fini(&run);
    return 0;
}
