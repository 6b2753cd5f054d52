/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/driver.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guard/networks.h"

/* What stands for a family where no prefix says more. */
#define DEFAULTS 2

/* Takes a prefix of the lists over, or out. */
static void key_set(struct guard_driver_prefix *key, const struct prefix *prefix)
{
    key->bits = prefix->bits;
    memcpy(key->address, &prefix->address, sizeof key->address);
}

/* Batches stop at the first failure, and say how many were done before it. What is not there need
 * not be deleted: a trie that could not be filled lacks some, and what is in both lists is there
 * once. */
static int empty(struct guard_driver *driver, unsigned version)
{
    const struct guard_driver_prefix *keys = driver->listed[version];
    size_t count = driver->listed_count[version], done = 0;
    while (done < count) {
        uint32_t batch = (uint32_t)(count - done);
        int error = bpf_map_delete_batch(driver->maps.prefixes[version], &keys[done], &batch, NULL);
        if (error != 0 && error != -ENOENT)
            return error;
        done += batch + (size_t)(error != 0);
    }
    free(driver->listed[version]);
    driver->listed[version] = NULL;
    driver->listed_count[version] = 0;
    return 0;
}

/* In the order in which the trie gets them: of two that are equal the second stays, which is that
 * of the list of the denied. */
static void list(struct guard_driver_prefix *keys, uint8_t *values,
                 const struct guard_driver_options *options)
{
    static const struct prefix everything[DEFAULTS] = {
        {.bits = 0},
        {.address = {.s6_addr = {[10] = 0xff, [11] = 0xff}}, .bits = PREFIX_IPV4_BITS}};
    size_t at = 0;
    for (size_t i = 0; i < DEFAULTS; i++, at++) {
        key_set(&keys[at], &everything[i]);
        values[at] = options->allow->count == 0;
    }
    for (size_t i = 0; i < options->allow->count; i++, at++) {
        key_set(&keys[at], &options->allow->items[i]);
        values[at] = true;
    }
    for (size_t i = 0; i < options->deny->count; i++, at++) {
        key_set(&keys[at], &options->deny->items[i]);
        values[at] = false;
    }
}

/* Whatever becomes of it, the driver knows what may be in the trie. */
static int fill(struct guard_driver *driver, unsigned version,
                const struct guard_driver_options *options)
{
    size_t count = DEFAULTS + options->allow->count + options->deny->count;
    uint32_t batch = (uint32_t)count;
    if (count > GUARD_MAX_PREFIXES)
        return -E2BIG;
    struct guard_driver_prefix *keys = calloc(count, sizeof *keys);
    uint8_t *values = malloc(count);
    if (keys == NULL || values == NULL) {
        free(keys);
        free(values);
        return -ENOMEM;
    }
    list(keys, values, options);
    driver->listed[version] = keys;
    driver->listed_count[version] = count;
    int error = bpf_map_update_batch(driver->maps.prefixes[version], keys, values, &batch, NULL);
    if (error == 0)
        error = guard_networks_fill(driver->maps.networks + (size_t)version * GUARD_NETWORKS_WORDS,
                                    keys, values, count);
    free(values);
    return error;
}

int guard_driver_prepare(struct guard_driver *driver, const struct guard_driver_options *options)
{
    unsigned spare = 1 - driver->used;
    struct guard_driver_rules rules = {.is_limited = options->limits != NULL,
                                       .is_listed =
                                           options->allow->count + options->deny->count > 0,
                                       .prefixes = spare};
    uint32_t key = 0;
    driver->has_rules[spare] = rules.is_limited | rules.is_listed;
    if (options->limits != NULL)
        rules.limits = *options->limits;
    int error = empty(driver, spare);
    if (error == 0 && rules.is_listed)
        error = fill(driver, spare, options);
    if (error == 0)
        error = bpf_map_update_elem(driver->maps.versions[spare], &key, &rules, BPF_ANY);
    explicit_bzero(&rules, sizeof rules); /* core dumps are not to have the key */
    return error;
}

/* The kernel comes back when no program can be using the version before. Programs look at the rules
 * as long as either version has any. */
int guard_driver_apply(struct guard_driver *driver)
{
    unsigned spare = 1 - driver->used;
    uint32_t key = 0;
    __atomic_fetch_or(driver->maps.has_rules, driver->has_rules[spare], __ATOMIC_SEQ_CST);
    int error =
        bpf_map_update_elem(driver->maps.current, &key, &driver->maps.versions[spare], BPF_ANY);
    if (error == 0)
        driver->used = spare;
    __atomic_store_n(driver->maps.has_rules, driver->has_rules[driver->used], __ATOMIC_SEQ_CST);
    return error;
}

void guard_driver_fini(struct guard_driver *driver)
{
    for (unsigned i = 0; i < 2; i++) {
        free(driver->listed[i]);
        driver->listed[i] = NULL;
        driver->listed_count[i] = 0;
    }
}
