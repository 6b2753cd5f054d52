/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_limit.h"

#include <stddef.h>
#include <stdio.h>

/* The entry of a key, or the one that it takes over. */
static struct log_limit_entry *find(struct log_limit *limit, uint64_t key)
{
    struct log_limit_entry *oldest = &limit->entries[0];
    for (size_t i = 0; i < LOG_LIMIT_ENTRIES; i++) {
        struct log_limit_entry *entry = &limit->entries[i];
        if (entry->key == key)
            return entry;
        bool is_free = entry->key == 0;
        if (oldest->key != 0 && (is_free || entry->written_ns < oldest->written_ns))
            oldest = entry;
    }
    return oldest;
}

static bool is_over(const struct log_limit_entry *entry, int64_t now_ns)
{
    return now_ns < entry->written_ns || now_ns - entry->written_ns >= LOG_LIMIT_NS;
}

bool log_limit_pass(struct log_limit *limit, uint64_t key, const char *message, int64_t now_ns,
                    uint64_t *suppressed)
{
    key += key == 0;
    struct log_limit_entry *entry = find(limit, key);
    bool is_new = entry->key != key;
    if (!is_new && !is_over(entry, now_ns)) {
        entry->suppressed++;
        return false;
    }
    *suppressed = is_new ? 0 : entry->suppressed;
    *entry = (struct log_limit_entry){.key = key, .written_ns = now_ns};
    snprintf(entry->message, sizeof entry->message, "%s", message != NULL ? message : "");
    return true;
}

bool log_limit_take(struct log_limit *limit, int64_t now_ns, struct log_limit_entry *taken)
{
    for (size_t i = 0; i < LOG_LIMIT_ENTRIES; i++) {
        struct log_limit_entry *entry = &limit->entries[i];
        if (entry->suppressed == 0 || !is_over(entry, now_ns))
            continue;
        *taken = *entry;
        entry->suppressed = 0;
        return true;
    }
    return false;
}
