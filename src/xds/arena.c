/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "xds/resources.h"

#define FIRST_BYTES 4096
#define LARGEST_BYTES 1048576

/* A part of two bytes may need a structure of a hundred. */
#define FACTOR 16
#define SPARE_BYTES 1048576

struct arena_block {
    struct arena_block *older;
    size_t used, bytes;
    max_align_t data[];
};

static void *take(void *user, size_t bytes)
{
    struct arena *arena = user;
    struct arena_block *block = arena->blocks;
    size_t align = _Alignof(max_align_t);

    bytes = (bytes + align - 1) / align * align;
    if (bytes > arena->left)
        return NULL;
    if (block == NULL || block->bytes - block->used < bytes) {
        size_t room = block == NULL ? FIRST_BYTES : block->bytes * 2;

        room = room > LARGEST_BYTES ? LARGEST_BYTES : room;
        room = room < bytes ? bytes : room;
        block = malloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        *block = (struct arena_block){.older = arena->blocks, .bytes = room};
        arena->blocks = block;
    }
    arena->left -= bytes;
    block->used += bytes;
    return (char *)block->data + block->used - bytes;
}

static void give_back(void *user, void *data)
{
    (void)user;
    (void)data;
}

void arena_init(struct arena *arena, size_t message_bytes)
{
    *arena =
        (struct arena){.allocator = {.alloc = take, .free = give_back, .allocator_data = arena},
                       .left = message_bytes * FACTOR + SPARE_BYTES};
}

void arena_fini(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;

        arena->blocks = block->older;
        free(block);
    }
}

void *arena_take(struct arena *arena, size_t bytes)
{
    void *data = take(arena, bytes);

    return data != NULL ? memset(data, 0, bytes) : NULL;
}
