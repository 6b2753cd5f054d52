/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/access.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bits of the address that a node decides about: as many slots as a word has bits. */
#define STRIDE 6
#define SLOTS 64

/* A slot is a verdict, or, where children has its bit, another node: the nodes of all such slots
 * stand side by side from first on. */
struct node {
    uint64_t children;
    uint64_t allowed;
    uint32_t first;
};

struct access {
    struct node *nodes; /* of IPv4 the first, of IPv6 the second is the root */
    size_t count, capacity;
};

/* The bits of an address that are not looked at yet, from the highest on. */
struct key {
    uint64_t high, low;
};

/* A prefix of one of the lists. */
struct rule {
    struct key key;
    unsigned bits; /* of the key */
    bool is_ipv4;
    bool is_allowed;
};

/* Rules that are inside one node, and what stands for it without them. */
struct span {
    const struct rule *rules;
    size_t count;
    unsigned depth; /* bits above the node */
    bool is_allowed;
};

static struct key key_of(const struct in6_addr *address, bool is_ipv4)
{
    uint64_t words[2];
    memcpy(words, address->s6_addr, sizeof words);
    struct key key = {be64toh(words[0]), be64toh(words[1])};
    return is_ipv4 ? (struct key){key.low << 32, 0} : key;
}

static struct key key_skip(struct key key, unsigned bits)
{
    while (bits >= 32) {
        key = (struct key){key.high << 32 | key.low >> 32, key.low << 32};
        bits -= 32;
    }
    return bits == 0 ? key
                     : (struct key){key.high << bits | key.low >> (64 - bits), key.low << bits};
}

static unsigned slot_of(struct key key, unsigned depth)
{
    return (unsigned)(key_skip(key, depth).high >> (64 - STRIDE));
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* What is inside comes behind what it is in, and of equal prefixes deny last: a reader that applies
 * them in this order ends with the right verdict. */
static int compare_rules(const void *first, const void *second)
{
    const struct rule *a = first, *b = second;
    int order = (int)b->is_ipv4 - (int)a->is_ipv4;
    if (order == 0)
        order = compare_numbers(a->key.high, b->key.high);
    if (order == 0)
        order = compare_numbers(a->key.low, b->key.low);
    if (order == 0)
        order = compare_numbers(a->bits, b->bits);
    return order != 0 ? order : (int)b->is_allowed - (int)a->is_allowed;
}

/* @return the index of the first of them, or SIZE_MAX without memory. */
static size_t nodes_add(struct access *access, size_t count)
{
    size_t first = access->count;
    if (first + count > access->capacity) {
        size_t capacity = 2 * (first + count);
        struct node *nodes = realloc(access->nodes, capacity * sizeof *nodes);
        if (nodes == NULL || capacity > UINT32_MAX) {
            access->nodes = nodes != NULL ? nodes : access->nodes;
            return SIZE_MAX;
        }
        access->nodes = nodes;
        access->capacity = capacity;
    }
    access->count += count;
    return first;
}

/* The verdicts of a node and which of its slots go on, from the rules. */
static struct node node_of(const struct span *span)
{
    struct node node = {.allowed = span->is_allowed ? UINT64_MAX : 0};
    for (size_t i = 0; i < span->count; i++) {
        const struct rule *rule = &span->rules[i];
        unsigned slot = slot_of(rule->key, span->depth);
        if (rule->bits > span->depth + STRIDE) {
            node.children |= UINT64_C(1) << slot;
            continue;
        }
        unsigned free_bits = span->depth + STRIDE - rule->bits;
        uint64_t covered =
            (free_bits == STRIDE ? UINT64_MAX : (UINT64_C(1) << (1U << free_bits)) - 1) << slot;
        node.allowed = rule->is_allowed ? node.allowed | covered : node.allowed & ~covered;
    }
    return node;
}

static bool goes_on(const struct rule *rule, const struct span *span)
{
    return rule->bits > span->depth + STRIDE;
}

/* The rules of the next slot that goes on, from @p at on, which is moved behind them. */
static struct span next_child(const struct span *span, uint64_t allowed, size_t *at)
{
    size_t i = *at;
    while (!goes_on(&span->rules[i], span))
        i++;
    unsigned slot = slot_of(span->rules[i].key, span->depth);
    struct span child = {.rules = &span->rules[i],
                         .depth = span->depth + STRIDE,
                         .is_allowed = (allowed >> slot & 1) != 0};
    for (; i < span->count && goes_on(&span->rules[i], span) &&
           slot_of(span->rules[i].key, span->depth) == slot;
         i++)
        child.count++;
    *at = i;
    return child;
}

/* Recursion over the bits of an address: 22 deep at most. */
static int node_build(struct access *access, size_t index, const struct span *span)
{
    struct node node = node_of(span);
    unsigned children = (unsigned)__builtin_popcountll(node.children);
    size_t first = nodes_add(access, children), at = 0;
    if (first == SIZE_MAX)
        return -ENOMEM;
    node.first = (uint32_t)first;
    access->nodes[index] = node;
    for (unsigned i = 0; i < children; i++) {
        struct span child = next_child(span, node.allowed, &at);
        if (node_build(access, first + i, &child) != 0)
            return -ENOMEM;
    }
    return 0;
}

static void rules_add(struct rule *rules, const struct prefix_list *list, bool is_allowed)
{
    for (size_t i = 0; i < list->count; i++) {
        bool is_ipv4 = prefix_is_ipv4(&list->items[i]);
        rules[i] = (struct rule){.key = key_of(&list->items[i].address, is_ipv4),
                                 .bits = list->items[i].bits - (is_ipv4 ? PREFIX_IPV4_BITS : 0),
                                 .is_ipv4 = is_ipv4,
                                 .is_allowed = is_allowed};
    }
}

static int build(struct access *access, const struct rule *rules, size_t count, bool is_allowed)
{
    size_t ipv4 = 0;
    while (ipv4 < count && rules[ipv4].is_ipv4)
        ipv4++;
    struct span spans[2] = {
        {.rules = rules, .count = ipv4, .is_allowed = is_allowed},
        {.rules = rules + ipv4, .count = count - ipv4, .is_allowed = is_allowed}};
    if (nodes_add(access, 2) == SIZE_MAX || node_build(access, 0, &spans[0]) != 0)
        return -ENOMEM;
    return node_build(access, 1, &spans[1]);
}

int access_new(struct access **access, const struct prefix_list *allow,
               const struct prefix_list *deny)
{
    size_t count = allow->count + deny->count;
    if (count == 0) {
        *access = NULL;
        return 0;
    }
    int error = -ENOMEM;
    struct access *built = calloc(1, sizeof *built);
    struct rule *rules = calloc(count, sizeof *rules);
    if (built != NULL && rules != NULL) {
        rules_add(rules, allow, true);
        rules_add(rules + allow->count, deny, false);
        qsort(rules, count, sizeof *rules, compare_rules);
        error = build(built, rules, count, allow->count == 0);
    }
    free(rules);
    if (error != 0) {
        access_free(built);
        return error;
    }
    struct node *nodes = realloc(built->nodes, built->count * sizeof *nodes);
    if (nodes != NULL)
        built->nodes = nodes;
    *access = built;
    return 0;
}

bool access_allows(const struct access *access, const struct in6_addr *address)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(address);
    struct key key = key_of(address, is_ipv4);
    const struct node *node = &access->nodes[is_ipv4 ? 0 : 1];
    for (;;) {
        unsigned slot = (unsigned)(key.high >> (64 - STRIDE));
        if ((node->children >> slot & 1) == 0)
            return (node->allowed >> slot & 1) != 0;
        uint64_t before = node->children & ((UINT64_C(1) << slot) - 1);
        node = &access->nodes[node->first + (unsigned)__builtin_popcountll(before)];
        key = (struct key){key.high << STRIDE | key.low >> (64 - STRIDE), key.low << STRIDE};
    }
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    free(access->nodes);
    free(access);
}
