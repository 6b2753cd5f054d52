/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/clusters.h"
#include "net/address.h"

const struct histogram_bounds phoenix_measurement_bounds = {
    .count = 11, .in_seconds = true, .upper = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}};

static int compare_named(const struct datacenter *a, const struct datacenter *b)
{
    int order = strcmp(a->address, b->address);
    return order != 0 ? order : (a->qcmp_port > b->qcmp_port) - (a->qcmp_port < b->qcmp_port);
}

/* For qsort(): nodes by what names them. */
static int compare_nodes(const void *left, const void *right)
{
    const struct node *a = *(struct node *const *)left, *b = *(struct node *const *)right;
    return compare_named(&a->named, &b->named);
}

/* For bsearch(): a code, and a site. */
static int compare_code(const void *icao_code, const void *site)
{
    return strcmp(icao_code, (*(struct site *const *)site)->icao_code);
}

static struct site *find_site(struct site *const *sites, size_t count, const char *icao_code)
{
    struct site *const *found =
        count > 0 ? bsearch(icao_code, sites, count, sizeof(struct site *), compare_code) : NULL;
    return found != NULL ? *found : NULL;
}

static struct node *node_new(const struct datacenter *named)
{
    struct node *node = calloc(1, sizeof *node);
    struct server_address host;

    if (node == NULL)
        return NULL;
    node->named = *named;
    node->due_ns = INT64_MAX;
    node->is_new = true;
    if (server_host_parse(named->address, &host) != 0) /* its interface may be gone */
        return node;
    node->at = host.at;
    node->at.port = htons(named->qcmp_port);
    node->has_address = host.name[0] == '\0' && address_is_unicast(&host.at.address);
    memcpy(node->name, host.name, sizeof node->name);
    return node;
}

static struct site *site_new(const char *icao_code)
{
    struct site *site = calloc(1, sizeof *site);
    if (site == NULL)
        return NULL;
    memcpy(site->icao_code, icao_code, sizeof site->icao_code);
    for (unsigned i = 0; i < 2; i++)
        histogram_init(&site->one_way_ns[i], &phoenix_measurement_bounds);
    return site;
}

void nodes_fini(struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        free(nodes->items[i]);
    for (size_t i = 0; i < nodes->sites_count; i++)
        free(nodes->sites[i]);
    free(nodes->items);
    free(nodes->sites);
    free(nodes->ranking);
    *nodes = (struct nodes){.count = 0};
}

/* A list of new nodes and sites. */
static int make(struct nodes *next, const struct datacenters *datacenters)
{
    size_t count = datacenters != NULL ? datacenters->count : 0;

    next->items = calloc(count + 1, sizeof(struct node *));
    next->sites = calloc(count + 1, sizeof(struct site *));
    next->ranking = calloc(count + 1, sizeof *next->ranking);
    if (next->items == NULL || next->sites == NULL || next->ranking == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *code = datacenters->items[i].icao_code;
        struct node *node = node_new(&datacenters->items[i]);
        if (node == NULL)
            return -ENOMEM;
        next->items[next->count++] = node;
        if (find_site(next->sites, next->sites_count, code) != NULL)
            continue;
        struct site *site = site_new(code);
        if (site == NULL)
            return -ENOMEM;
        size_t at = next->sites_count++;
        for (; at > 0 && strcmp(next->sites[at - 1]->icao_code, code) > 0; at--)
            next->sites[at] = next->sites[at - 1];
        next->sites[at] = site;
    }
    if (next->count > 1)
        qsort(next->items, next->count, sizeof(struct node *), compare_nodes);
    return 0;
}

/* Puts what was there already in the place of what is new and the same. */
static void keep_nodes(struct nodes *nodes, struct nodes *next)
{
    for (size_t i = 0, old = 0; i < next->count && old < nodes->count;) {
        struct node *before = nodes->items[old];
        int order = compare_named(&before->named, &next->items[i]->named);

        if (order == 0) {
            before->named = next->items[i]->named; /* the code may be another */
            nodes->items[old] = next->items[i];
            next->items[i] = before;
        }
        i += order >= 0;
        old += order <= 0;
    }
}

static void keep_sites(struct nodes *nodes, struct nodes *next)
{
    for (size_t i = 0, old = 0; i < next->sites_count && old < nodes->sites_count;) {
        struct site *before = nodes->sites[old];
        int order = strcmp(before->icao_code, next->sites[i]->icao_code);

        if (order == 0) {
            nodes->sites[old] = next->sites[i];
            next->sites[i] = before;
        }
        i += order >= 0;
        old += order <= 0;
    }
    for (size_t i = 0; i < nodes->ranked; i++) {
        struct site *site = nodes->ranking[i].owner;
        if (find_site(next->sites, next->sites_count, site->icao_code) == site)
            next->ranking[next->ranked++] = nodes->ranking[i];
    }
}

/* A node that does not answer for its site any more. */
static void resign(struct node *node)
{
    if (node->site->best == node)
        node->site->best = NULL;
}

int nodes_follow(struct nodes *nodes, const struct datacenters *datacenters,
                 void (*leave)(struct node *node, void *user), void *user)
{
    struct nodes next = {.count = 0};

    if (make(&next, datacenters) != 0) {
        nodes_fini(&next);
        return -ENOMEM;
    }
    keep_nodes(nodes, &next);
    keep_sites(nodes, &next);
    for (size_t i = 0; i < next.count; i++) {
        struct node *node = next.items[i];
        struct site *site = find_site(next.sites, next.sites_count, node->named.icao_code);
        if (node->site != NULL && node->site != site)
            resign(node);
        node->site = site;
    }
    for (size_t i = 0; i < nodes->count; i++) {
        if (nodes->items[i]->site == NULL) /* a new one, whose place another has kept */
            continue;
        resign(nodes->items[i]);
        leave(nodes->items[i], user);
    }
    nodes_fini(nodes);
    *nodes = next;
    return 0;
}

void node_reset(struct node *node)
{
    node->window = (struct window){.count = 0};
    node->pace = (struct pace){.interval_ns = 0};
    node->has_ended_one = false;
}

/* The node that answers for its site from now on: the one before, unless another is better; the
 * nearest, where there was none. */
static void choose(struct node *node)
{
    struct site *site = node->site;
    if (!window_is_known(&node->window) || site->best == node)
        return;
    if (site->best == NULL ||
        (site->is_open ? window_base(&node->window) < window_base(&site->best->window)
                       : window_is_better(&node->window, &site->best->window)))
        site->best = node;
}

bool nodes_evaluate(struct nodes *nodes, int64_t now_ns)
{
    size_t ranked = 0;
    bool has_changed = false;

    for (size_t i = 0; i < nodes->count; i++) {
        struct node *node = nodes->items[i];
        window_age(&node->window, now_ns);
        if (!window_is_known(&node->window))
            resign(node);
    }
    for (size_t i = 0; i < nodes->sites_count; i++)
        nodes->sites[i]->is_open = nodes->sites[i]->best == NULL;
    for (size_t i = 0; i < nodes->count; i++)
        choose(nodes->items[i]);
    for (size_t i = 0; i < nodes->sites_count; i++)
        nodes->sites[i]->is_new = nodes->sites[i]->best != NULL;

    for (size_t i = 0; i < nodes->ranked; i++) {
        struct site *site = nodes->ranking[i].owner;
        has_changed = has_changed || site->best == NULL;
        if (site->best == NULL)
            continue;
        site->is_new = false;
        nodes->ranking[ranked++] = (struct ranked){.window = &site->best->window, .owner = site};
    }
    for (size_t i = 0; i < nodes->sites_count; i++) {
        struct site *site = nodes->sites[i];
        if (site->is_new)
            nodes->ranking[ranked++] =
                (struct ranked){.window = &site->best->window, .owner = site};
        has_changed = has_changed || site->is_new;
    }
    nodes->ranked = ranked;
    ranking_update(nodes->ranking, ranked);
    for (size_t i = 0; i < ranked; i++) {
        struct site *site = nodes->ranking[i].owner;
        has_changed = has_changed || site->shown_ns != nodes->ranking[i].shown_ns;
        site->shown_ns = nodes->ranking[i].shown_ns;
    }
    return has_changed;
}
