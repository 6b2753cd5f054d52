/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A chain of filters with one datagram at a time, for unit tests and fuzz harnesses. The world has
 * four endpoints; the token "t" is of the second and third one, "u" of the first.
 */
#ifndef PADDOCK_SUPPORT_CHAIN_RUN_H
#define PADDOCK_SUPPORT_CHAIN_RUN_H

#include <string.h>

#include "filters/chain.h"
#include "support/check.h"

#define CHAIN_RUN_ENDPOINTS 4

struct chain_run {
    struct chain *chain;
    struct chain_worker *worker;
    struct filter_world world;
    struct filter_call call;
    struct endpoint source;
    struct packet packet;
    uint8_t *buffer, *scratch, *spare;
    const char *reason; /**< why the last datagram was dropped, else NULL */
};

static uint32_t chain_run_find(const struct filter_world *world, const uint8_t *token,
                               uint32_t bytes, uint32_t *chosen, uint32_t most)
{
    CHECK(world->count == CHAIN_RUN_ENDPOINTS && most == FILTER_MAX_CHOSEN);
    if (bytes != 1 || (token[0] != 't' && token[0] != 'u'))
        return 0;
    chosen[0] = token[0] == 't';
    chosen[1] = 2;
    return token[0] == 't' ? 2 : 1;
}

/** Makes a chain of a list as a file has it. @return 0, or as error_set(). */
static inline int chain_run_init(struct chain_run *run, const char *list, size_t bytes,
                                 struct error *error)
{
    struct yaml_document document = {0};
    struct field_walk walk = {.error = error, .path = "filters"};

    *run =
        (struct chain_run){.world = {.count = CHAIN_RUN_ENDPOINTS, .find_token = chain_run_find}};
    int code = yaml_parse(list, bytes, &document, error);
    if (code == 0 && document.root == NULL)
        code = -1;
    if (code == 0)
        code = chain_take(&run->chain, document.root, &walk);
    yaml_fini(&document);
    if (code != 0)
        return code;
    run->worker = chain_worker_new(run->chain, NULL, 0);
    run->buffer = malloc(PACKET_ROOM + PACKET_MAX_BYTES + PACKET_ROOM);
    run->scratch = malloc(FILTER_SCRATCH_BYTES);
    run->spare = malloc(FILTER_SPARE_BYTES);
    CHECK(run->worker != NULL && run->buffer != NULL);
    CHECK(run->scratch != NULL && run->spare != NULL);
    return 0;
}

static inline enum filter_result chain_run_pass(struct chain_run *run, bool is_write,
                                                const void *data, size_t bytes)
{
    unsigned reason = UINT32_MAX;
    memcpy(run->buffer + PACKET_ROOM, data, bytes);
    run->packet = (struct packet){.data = run->buffer + PACKET_ROOM, .bytes = (uint32_t)bytes};
    run->call.packet = &run->packet;
    run->call.source = &run->source;
    run->call.server = is_write ? &run->source : NULL;
    run->call.player = is_write ? &run->source : NULL;
    run->call.world = &run->world;
    run->call.scratch = run->scratch;
    run->call.spare = run->spare;
    enum filter_result result = is_write ? chain_write(run->worker, &run->call, &reason)
                                         : chain_read(run->worker, &run->call, &reason);
    run->reason = result == FILTER_DROP ? chain_reason(reason) : NULL;
    return result;
}

static inline void chain_run_fini(struct chain_run *run)
{
    chain_worker_free(run->worker);
    chain_unref(run->chain);
    free(run->buffer);
    free(run->scratch);
    free(run->spare);
}

#endif
