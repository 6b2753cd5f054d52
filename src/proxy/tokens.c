/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tokens.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/siphash.h"

/* A page of so many pairs is split: it has 512 entries then, of which three of four are in use. */
#define PAGE_FULL 384

/* The directory does not grow beyond a place for so many pairs: a token with many owners is a page
 * that cannot be split. */
#define LEAST_PER_PLACE 32

#define FREE_ENTRY UINT32_MAX

#define HUGE_BYTES ((size_t)2 << 20)
#define CHUNK_BYTES (4 * HUGE_BYTES)
#define POOLED_BYTES (sizeof(struct page) + 512 * sizeof(struct entry))
/* Tables with fewer pairs are small enough without. */
#define POOL_LEAST 16384

/* A token of so many bytes stands in its entry, where a search needs one line of the cache. */
#define INLINE_BYTES 16

/* A pair. */
struct entry {
    uint32_t owner; /* FREE_ENTRY: none */
    uint32_t tag;   /* of the token: half of its hash */
    uint16_t bytes;
    uint16_t times;     /* how often the pair is there */
    uint32_t is_shared; /* whether other entries may have the token, too */
    union {
        uint8_t data[INLINE_BYTES];
        uint32_t at; /* of a longer one: where the page's bytes have it */
    };
};
_Static_assert(sizeof(struct entry) == 32, "a line of the cache has two");

/* Pairs whose tags end in the same bits: a table of open addressing, with the bytes of the longer
 * tokens behind it. */
struct page {
    uint64_t serial;   /* of the table that may change it */
    struct page *next; /* in the pool */
    bool is_pooled;
    uint32_t references;  /* places of directories */
    uint32_t depth;       /* how many bits the tags have in common */
    uint32_t used;        /* entries */
    uint32_t bytes, room; /* of longer tokens: in use, and all */
    alignas(64) struct entry entries[];
};

/* A place of the directory. A search needs the mask alone of what is said of the page. */
struct place {
    struct page *page; /* NULL: no pairs */
    uint32_t mask;     /* of its entries */
};

/* Memory for pages of the usual size, of all tables that come from one, in huge pages of the
 * processor: a search at random would miss the TLB else, which costs as much as the search. What is
 * given back is used again, and freed with the last table. */
struct pool {
    uint32_t references;
    struct chunk {
        struct chunk *next;
    } * chunks;
    size_t chunk_used; /* bytes of the first chunk */
    struct page *free;
};

struct tokens {
    struct pool *pool;
    struct siphash_key key;
    uint64_t serial, count;
    uint32_t depth; /* the directory has 1 << depth places, for the last bits of a tag */
    struct place *places;
};

/* What is looked for. */
struct wanted {
    const void *token;
    uint32_t bytes, tag;
};

static size_t size_of(const struct tokens *tokens)
{
    return (size_t)1 << tokens->depth;
}

static struct wanted want(const struct tokens *tokens, const void *token, size_t bytes)
{
    return (struct wanted){token, (uint32_t)bytes, (uint32_t)siphash(&tokens->key, token, bytes)};
}

static struct place *place_of(const struct tokens *tokens, uint32_t tag)
{
    return &tokens->places[tag & (size_of(tokens) - 1)];
}

/* Where a tag would be in a page, by the bits that its tags do not have in common. */
static uint32_t home_of(uint32_t tag, uint32_t mask)
{
    return __builtin_bswap32(tag) & mask;
}

static uint8_t *bytes_of(const struct place *place)
{
    return (uint8_t *)&place->page->entries[place->mask + 1];
}

static const uint8_t *token_of(const struct place *place, const struct entry *entry)
{
    return entry->bytes <= INLINE_BYTES ? entry->data : bytes_of(place) + entry->at;
}

static bool is_token(const struct place *place, const struct entry *entry,
                     const struct wanted *wanted)
{
    return entry->tag == wanted->tag && entry->bytes == wanted->bytes &&
           memcmp(token_of(place, entry), wanted->token, wanted->bytes) == 0;
}

/* The entry of a pair, or the free one for it.
 * @param[out] other another entry of the token that was passed on the way; or NULL. */
static struct entry *find_pair(const struct place *place, const struct wanted *wanted,
                               uint32_t owner, struct entry **other)
{
    assert(place->page != NULL);
    struct entry *entries = place->page->entries;
    *other = NULL;
    for (uint32_t i = home_of(wanted->tag, place->mask);; i = (i + 1) & place->mask) {
        bool is_same = entries[i].owner != FREE_ENTRY && is_token(place, &entries[i], wanted);
        if (entries[i].owner == FREE_ENTRY || (is_same && entries[i].owner == owner))
            return &entries[i];
        if (is_same)
            *other = &entries[i];
    }
}

/* How many bytes a page needs beside the entry of a token. */
static uint32_t bytes_beside(size_t bytes)
{
    return bytes > INLINE_BYTES ? (uint32_t)bytes : 0;
}

static struct page *pool_take(struct pool *pool)
{
    struct page *page = pool->free;
    if (page != NULL) {
        pool->free = page->next;
        return page;
    }
    if (pool->chunks == NULL || pool->chunk_used + POOLED_BYTES > CHUNK_BYTES) {
        struct chunk *chunk = aligned_alloc(HUGE_BYTES, CHUNK_BYTES);
        if (chunk == NULL)
            return NULL;
        (void)madvise(chunk, CHUNK_BYTES, MADV_HUGEPAGE); /* a system without them does without */
        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->chunk_used = alignof(struct page);
    }
    page = (struct page *)((char *)pool->chunks + pool->chunk_used);
    pool->chunk_used += POOLED_BYTES;
    return page;
}

static void pool_unref(struct pool *pool)
{
    if (--pool->references > 0)
        return;
    while (pool->chunks != NULL) {
        struct chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        free(chunk);
    }
    free(pool);
}

/* Makes a page without pairs, with room for so many and for bytes of longer tokens. */
static int page_new(const struct tokens *tokens, uint32_t pairs, uint32_t room, struct place *made)
{
    uint32_t capacity = 8;
    while (3 * (uint64_t)capacity < 4 * (uint64_t)pairs)
        capacity *= 2;
    size_t bytes = sizeof(struct page) + capacity * sizeof(struct entry) + room;
    bool is_pooled = bytes == POOLED_BYTES && tokens->count >= POOL_LEAST;
    struct page *page = is_pooled ? pool_take(tokens->pool)
                                  : aligned_alloc(alignof(struct page), (bytes + 63) / 64 * 64);
    if (page == NULL)
        return -ENOMEM;
    *page = (struct page){.serial = tokens->serial, .is_pooled = is_pooled, .room = room};
    for (uint32_t i = 0; i < capacity; i++)
        page->entries[i].owner = FREE_ENTRY;
    *made = (struct place){page, capacity - 1};
    return 0;
}

static void page_free(const struct tokens *tokens, struct page *page)
{
    if (!page->is_pooled) {
        free(page);
        return;
    }
    page->next = tokens->pool->free;
    tokens->pool->free = page;
}

static void page_unref(const struct tokens *tokens, struct page *page)
{
    if (page != NULL && --page->references == 0)
        page_free(tokens, page);
}

/* Adds an entry whose pair is not there, with the bytes of its token. */
static void page_add(const struct place *place, const struct entry *entry, const void *token)
{
    struct page *page = place->page;
    uint32_t i = home_of(entry->tag, place->mask);
    while (page->entries[i].owner != FREE_ENTRY)
        i = (i + 1) & place->mask;
    page->entries[i] = *entry;
    page->used++;
    if (entry->bytes <= INLINE_BYTES) {
        memcpy(page->entries[i].data, token, entry->bytes);
        return;
    }
    page->entries[i].at = page->bytes;
    memcpy(bytes_of(place) + page->bytes, token, entry->bytes);
    page->bytes += entry->bytes;
}

/* Closes the gap that an entry leaves behind. */
static void page_remove(const struct place *place, struct entry *entry)
{
    struct entry *entries = place->page->entries;
    uint32_t hole = (uint32_t)(entry - entries), mask = place->mask;
    for (uint32_t i = (hole + 1) & mask; entries[i].owner != FREE_ENTRY; i = (i + 1) & mask) {
        if (((i - home_of(entries[i].tag, mask)) & mask) < ((i - hole) & mask))
            continue;
        entries[hole] = entries[i];
        hole = i;
    }
    entries[hole].owner = FREE_ENTRY;
    place->page->used--;
}

/* Puts a page into all places of its tags. */
static void put(struct tokens *tokens, uint32_t tag, const struct place *place)
{
    size_t step = (size_t)1 << place->page->depth;
    for (size_t i = tag & (step - 1); i < size_of(tokens); i += step) {
        place->page->references++;
        page_unref(tokens, tokens->places[i].page);
        tokens->places[i] = *place;
    }
}

/* Makes the page of a tag one that may be changed, with room for one more pair. */
static int own_page(struct tokens *tokens, uint32_t tag, uint32_t bytes)
{
    const struct place from = *place_of(tokens, tag);
    const struct page *page = from.page;
    uint32_t used = page != NULL ? page->used : 0, kept = page != NULL ? page->bytes : 0;
    bool is_own = page != NULL && page->serial == tokens->serial;
    struct place to;

    if (is_own && 4 * (used + 1) <= 3 * (from.mask + 1) && page->room - kept >= bytes)
        return 0;
    if (page_new(tokens, used + 1, bytes + (is_own ? 2 * kept : kept), &to) != 0)
        return -ENOMEM;
    to.page->depth = page != NULL ? page->depth : tokens->depth;
    for (uint32_t i = 0; page != NULL && i <= from.mask; i++) {
        if (page->entries[i].owner != FREE_ENTRY)
            page_add(&to, &page->entries[i], token_of(&from, &page->entries[i]));
    }
    put(tokens, tag, &to);
    return 0;
}

static int double_directory(struct tokens *tokens)
{
    size_t size = size_of(tokens);
    struct place *places = realloc(tokens->places, 2 * size * sizeof *places);
    if (places == NULL)
        return -ENOMEM;
    memcpy(places + size, places, size * sizeof *places);
    for (size_t i = 0; i < size; i++) {
        if (places[i].page != NULL)
            places[i].page->references++;
    }
    tokens->places = places;
    tokens->depth++;
    return 0;
}

/* Splits a page by the next bit of its tags. */
static int split(struct tokens *tokens, uint32_t tag)
{
    const struct place from = *place_of(tokens, tag);
    const struct page *page = from.page;
    uint32_t bit = UINT32_C(1) << page->depth, used[2] = {0};
    struct place to[2] = {0};

    if (page->depth == tokens->depth && double_directory(tokens) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i <= from.mask; i++) {
        if (page->entries[i].owner != FREE_ENTRY)
            used[(page->entries[i].tag & bit) != 0]++;
    }
    if (page_new(tokens, used[0] + 1, page->bytes, &to[0]) != 0)
        return -ENOMEM;
    if (page_new(tokens, used[1] + 1, page->bytes, &to[1]) != 0) {
        page_free(tokens, to[0].page);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i <= from.mask; i++) {
        const struct entry *entry = &page->entries[i];
        if (entry->owner != FREE_ENTRY)
            page_add(&to[(entry->tag & bit) != 0], entry, token_of(&from, entry));
    }
    to[0].page->depth = to[1].page->depth = page->depth + 1;
    put(tokens, tag & (bit - 1), &to[0]);
    put(tokens, (tag & (bit - 1)) | bit, &to[1]);
    return 0;
}

struct tokens *tokens_new(uint64_t expected)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens == NULL)
        return NULL;
    while (tokens->depth < 24 && size_of(tokens) * PAGE_FULL < expected * 5 / 4)
        tokens->depth++;
    tokens->pool = calloc(1, sizeof *tokens->pool);
    tokens->places = calloc(size_of(tokens), sizeof *tokens->places);
    if (tokens->pool == NULL || tokens->places == NULL || siphash_key_init(&tokens->key) != 0) {
        free(tokens->pool);
        free(tokens->places);
        free(tokens);
        return NULL;
    }
    tokens->pool->references = 1;
    return tokens;
}

struct tokens *tokens_next(const struct tokens *before)
{
    struct tokens *tokens = malloc(sizeof *tokens);
    size_t size = size_of(before);
    if (tokens == NULL)
        return NULL;
    *tokens = *before;
    tokens->serial++;
    tokens->places = malloc(size * sizeof *tokens->places);
    if (tokens->places == NULL) {
        free(tokens);
        return NULL;
    }
    tokens->pool->references++;
    memcpy(tokens->places, before->places, size * sizeof *tokens->places);
    for (size_t i = 0; i < size; i++) {
        if (tokens->places[i].page != NULL)
            tokens->places[i].page->references++;
    }
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (size_t i = 0; i < size_of(tokens); i++)
        page_unref(tokens, tokens->places[i].page);
    pool_unref(tokens->pool);
    free(tokens->places);
    free(tokens);
}

int tokens_add(struct tokens *tokens, const void *token, size_t bytes, uint32_t owner)
{
    if (bytes > TOKEN_MAX_BYTES)
        return 0;
    struct wanted wanted = want(tokens, token, bytes);
    const struct page *page = place_of(tokens, wanted.tag)->page;
    if (page != NULL && page->used >= PAGE_FULL &&
        (page->depth < tokens->depth || size_of(tokens) < tokens->count / LEAST_PER_PLACE) &&
        split(tokens, wanted.tag) != 0)
        return -ENOMEM;
    if (own_page(tokens, wanted.tag, bytes_beside(bytes)) != 0)
        return -ENOMEM;

    const struct place *place = place_of(tokens, wanted.tag);
    struct entry *other, *entry = find_pair(place, &wanted, owner, &other);
    if (entry->owner == FREE_ENTRY) {
        const struct entry made = {.owner = owner,
                                   .tag = wanted.tag,
                                   .bytes = (uint16_t)bytes,
                                   .times = 1,
                                   .is_shared = other != NULL};
        if (other != NULL)
            other->is_shared = true;
        page_add(place, &made, token);
        tokens->count++;
        return 0;
    }
    if (entry->times == UINT16_MAX)
        return -E2BIG;
    entry->times++;
    return 0;
}

int tokens_remove(struct tokens *tokens, const void *token, size_t bytes, uint32_t owner)
{
    if (bytes > TOKEN_MAX_BYTES)
        return 0;
    struct wanted wanted = want(tokens, token, bytes);
    if (own_page(tokens, wanted.tag, 0) != 0)
        return -ENOMEM;
    const struct place *place = place_of(tokens, wanted.tag);
    struct entry *other, *entry = find_pair(place, &wanted, owner, &other);
    assert(entry->owner == owner);
    if (--entry->times == 0) {
        page_remove(place, entry);
        tokens->count--;
    }
    return 0;
}

uint32_t tokens_find(const struct tokens *tokens, const void *token, size_t bytes, uint32_t *owners,
                     uint32_t most)
{
    struct wanted wanted = want(tokens, token, bytes);
    const struct place *place = place_of(tokens, wanted.tag);
    uint32_t count = 0;
    if (place->page == NULL)
        return 0;
    const struct entry *entries = place->page->entries;
    for (uint32_t i = home_of(wanted.tag, place->mask);
         entries[i].owner != FREE_ENTRY && count < most; i = (i + 1) & place->mask) {
        if (is_token(place, &entries[i], &wanted)) {
            owners[count++] = entries[i].owner;
            if (!entries[i].is_shared)
                break;
        }
    }
    return count;
}
