/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tokens.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

/* A page of so many pairs is split. */
#define PAGE_FULL 512

/* The directory does not grow beyond a place for so many pairs: a token with many owners is a page
 * that cannot be split. */
#define LEAST_PER_PLACE 32

#define FREE_ENTRY UINT32_MAX

/* A pair. */
struct entry {
    uint32_t owner; /* FREE_ENTRY: none */
    uint32_t tag;   /* of the token: half of its hash */
    uint32_t at;    /* where the page's bytes have the token */
    uint16_t bytes;
    uint16_t times; /* how often the pair is there */
};

/* Pairs whose tags end in the same bits: a table of open addressing, with the bytes of the tokens
 * behind it. */
struct page {
    uint64_t serial;      /* of the table that may change it */
    uint32_t references;  /* places of directories */
    uint32_t depth;       /* how many bits the tags have in common */
    uint32_t used;        /* entries */
    uint32_t bytes, room; /* of tokens: in use, and all */
    struct entry entries[];
};

/* A place of the directory. A search needs the mask alone of what is said of the page. */
struct place {
    struct page *page; /* NULL: no pairs */
    uint32_t mask;     /* of its entries */
};

struct tokens {
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

static bool is_token(const struct place *place, const struct entry *entry,
                     const struct wanted *wanted)
{
    return entry->tag == wanted->tag && entry->bytes == wanted->bytes &&
           memcmp(bytes_of(place) + entry->at, wanted->token, wanted->bytes) == 0;
}

/* The entry of a pair, or the free one for it. */
static struct entry *find_pair(const struct place *place, const struct wanted *wanted,
                               uint32_t owner)
{
    uint32_t i = home_of(wanted->tag, place->mask);
    struct entry *entries = place->page->entries;
    while (entries[i].owner != FREE_ENTRY &&
           (entries[i].owner != owner || !is_token(place, &entries[i], wanted)))
        i = (i + 1) & place->mask;
    return &entries[i];
}

/* Makes a page without pairs: with room for so many, at most half full, and so many bytes. */
static int page_new(const struct tokens *tokens, uint32_t pairs, uint32_t room, struct place *made)
{
    uint32_t capacity = 8;
    while (capacity < 2 * pairs)
        capacity *= 2;
    struct page *page = malloc(sizeof *page + capacity * sizeof(struct entry) + room);
    if (page == NULL)
        return -ENOMEM;
    *page = (struct page){.serial = tokens->serial, .room = room};
    for (uint32_t i = 0; i < capacity; i++)
        page->entries[i].owner = FREE_ENTRY;
    *made = (struct place){page, capacity - 1};
    return 0;
}

static void page_unref(struct page *page)
{
    if (page != NULL && --page->references == 0)
        free(page);
}

/* Adds an entry whose pair is not there, with the bytes of its token. */
static void page_add(const struct place *place, const struct entry *entry, const void *token)
{
    struct page *page = place->page;
    uint32_t i = home_of(entry->tag, place->mask);
    while (page->entries[i].owner != FREE_ENTRY)
        i = (i + 1) & place->mask;
    page->entries[i] = *entry;
    page->entries[i].at = page->bytes;
    memcpy(bytes_of(place) + page->bytes, token, entry->bytes);
    page->bytes += entry->bytes;
    page->used++;
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
        page_unref(tokens->places[i].page);
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

    if (is_own && 2 * (used + 1) <= from.mask + 1 && page->room - kept >= bytes)
        return 0;
    if (page_new(tokens, used + 1, bytes + (is_own ? 2 * kept : kept), &to) != 0)
        return -ENOMEM;
    to.page->depth = page != NULL ? page->depth : tokens->depth;
    for (uint32_t i = 0; page != NULL && i <= from.mask; i++) {
        if (page->entries[i].owner != FREE_ENTRY)
            page_add(&to, &page->entries[i], bytes_of(&from) + page->entries[i].at);
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
        free(to[0].page);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i <= from.mask; i++) {
        const struct entry *entry = &page->entries[i];
        if (entry->owner != FREE_ENTRY)
            page_add(&to[(entry->tag & bit) != 0], entry, bytes_of(&from) + entry->at);
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
    while (tokens->depth < 24 && size_of(tokens) * PAGE_FULL < 2 * expected)
        tokens->depth++;
    tokens->places = calloc(size_of(tokens), sizeof *tokens->places);
    if (tokens->places == NULL || siphash_key_init(&tokens->key) != 0) {
        free(tokens->places);
        free(tokens);
        return NULL;
    }
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
        page_unref(tokens->places[i].page);
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
    if (own_page(tokens, wanted.tag, wanted.bytes) != 0)
        return -ENOMEM;

    const struct place *place = place_of(tokens, wanted.tag);
    struct entry *entry = find_pair(place, &wanted, owner);
    if (entry->owner == FREE_ENTRY) {
        const struct entry made = {
            .owner = owner, .tag = wanted.tag, .bytes = (uint16_t)bytes, .times = 1};
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
    struct entry *entry = find_pair(place, &wanted, owner);
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
        if (is_token(place, &entries[i], &wanted))
            owners[count++] = entries[i].owner;
    }
    return count;
}
