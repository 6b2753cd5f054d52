/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct geo_table *geo_table_new(void)
{
    return calloc(1, sizeof(struct geo_table));
}

void geo_table_free(struct geo_table *table)
{
    if (table != NULL)
        free(table->ranges);
    free(table);
}

void geo_table_release(struct retired *retired)
{
    geo_table_free((struct geo_table *)retired);
}

static bool is_equal(struct geo_place a, struct geo_place b)
{
    return memcmp(a.country, b.country, sizeof a.country) == 0 && a.asn == b.asn;
}

int geo_table_add(struct geo_table *table, const uint8_t first[16], struct geo_place place)
{
    if (table->count > 0 && is_equal(table->ranges[table->count - 1].place, place))
        return 0;
    if (table->count == GEO_MAX_RANGES)
        return -E2BIG;
    if (table->count == table->capacity) {
        uint32_t capacity = table->capacity > 0 ? 2 * table->capacity : 64;
        struct geo_range *ranges = realloc(table->ranges, capacity * sizeof *ranges);
        if (ranges == NULL)
            return -ENOMEM;
        table->ranges = ranges;
        table->capacity = capacity;
    }
    struct geo_range *range = &table->ranges[table->count++];
    memcpy(range->first, first, sizeof range->first);
    range->place = place;
    return 0;
}

struct geo_place geo_table_find(const struct geo_table *table, const struct in6_addr *address)
{
    struct in6_addr wanted = *address;
    uint32_t low = 0, high = table != NULL ? table->count : 0; /* the last one is below high */

    if (IN6_IS_ADDR_V4MAPPED(&wanted))
        memset(wanted.s6_addr, 0, 12);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(table->ranges[middle].first, wanted.s6_addr, sizeof wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? table->ranges[low - 1].place : (struct geo_place){.asn = 0};
}
