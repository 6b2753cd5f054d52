/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/places.h"

#include <inttypes.h>
#include <stdio.h>

#define ONE UINT64_C(1)

static unsigned country_of(const char country[2])
{
    return country[0] == '\0'
               ? 0
               : 1 + (unsigned)(country[0] - 'A') * 26 + (unsigned)(country[1] - 'A');
}

static void add(struct counter *counter, uint64_t n)
{
    counter_add(counter, n); /* the opposite of a number takes it off */
}

uint16_t places_add(struct places *places, struct geo_place place)
{
    unsigned found = PLACES_NETWORKS;
    add(&places->countries[country_of(place.country)], 1);
    for (unsigned i = 0; i < PLACES_NETWORKS && place.asn != 0; i++) {
        uint64_t word = counter_read(&places->networks[i]);
        if (word == 0 && found == PLACES_NETWORKS)
            found = i;
        if (word >> 32 == place.asn) {
            found = i;
            break;
        }
    }
    if (found == PLACES_NETWORKS)
        add(&places->others, 1);
    else if (counter_read(&places->networks[found]) == 0)
        add(&places->networks[found], (uint64_t)place.asn << 32 | 1);
    else
        add(&places->networks[found], 1);
    return (uint16_t)found;
}

void places_remove(struct places *places, const char country[2], uint16_t network)
{
    add(&places->countries[country_of(country)], -ONE);
    if (network == PLACES_NETWORKS) {
        add(&places->others, -ONE);
        return;
    }
    uint64_t word = counter_read(&places->networks[network]);
    add(&places->networks[network], (uint32_t)word == 1 ? -word : -ONE);
}

static void collect_network(struct places_sum *sum, uint32_t asn, uint64_t sessions)
{
    unsigned i = 0;
    while (i < sum->count && sum->networks[i].asn != asn)
        i++;
    if (i == PLACES_NETWORKS) {
        sum->others += sessions;
        return;
    }
    if (i == sum->count)
        sum->networks[sum->count++] = (struct geo_place_count){asn, 0};
    sum->networks[i].sessions += sessions;
}

void places_collect(struct places_sum *sum, const struct places *places)
{
    for (unsigned i = 0; i <= PLACES_COUNTRIES; i++)
        sum->countries[i] += counter_read(&places->countries[i]);
    sum->others += counter_read(&places->others);
    for (unsigned i = 0; i < PLACES_NETWORKS; i++) {
        uint64_t word = counter_read(&places->networks[i]);
        if (word != 0)
            collect_network(sum, (uint32_t)(word >> 32), (uint32_t)word);
    }
}

void places_write_countries(const struct places_sum *sum, struct metrics *out)
{
    metrics_sample(out, sum->countries[0], "country_code", "", NULL);
    for (unsigned i = 0; i < PLACES_COUNTRIES; i++) {
        const char country[] = {(char)('A' + i / 26), (char)('A' + i % 26), '\0'};
        if (sum->countries[1 + i] > 0)
            metrics_sample(out, sum->countries[1 + i], "country_code", country, NULL);
    }
}

void places_write_networks(const struct places_sum *sum, struct metrics *out)
{
    metrics_family(out, "paddock_udp_network_sessions", METRICS_GAUGE, NULL,
                   "Sessions at the moment, by the autonomous system of the player.");
    metrics_sample(out, sum->others, "asn", "", NULL);
    for (unsigned i = 0; i < sum->count; i++) {
        char asn[16];
        snprintf(asn, sizeof asn, "AS%" PRIu32, sum->networks[i].asn);
        metrics_sample(out, sum->networks[i].sessions, "asn", asn, NULL);
    }
}
