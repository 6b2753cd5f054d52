/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/configmaps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "config/yaml.h"
#include "filters/chain.h"
#include "k8s/servers.h"

struct map {
    struct map *next;
    char name[2 * K8S_NAME_BYTES], version[64];
    json_t *filters; /* NULL: it has been bad from the beginning */
    uint64_t serial; /* the number of the map's last good change; later changes have higher ones */
    bool is_seen;    /* by the list under way */
};

struct config_maps {
    struct map *first;
    json_t *in_force;
    uint64_t serials;
};

struct config_maps *config_maps_new(void)
{
    return calloc(1, sizeof(struct config_maps));
}

void config_maps_free(struct config_maps *maps)
{
    if (maps == NULL)
        return;
    while (maps->first != NULL) {
        struct map *map = maps->first;

        maps->first = map->next;
        json_decref(map->filters);
        free(map);
    }
    json_decref(maps->in_force);
    free(maps);
}

/* A file without filters has an empty chain. */
static int take_filters(const struct yaml_node *root, json_t **filters, struct error *error)
{
    struct field_walk walk = {.error = error, .path = "filters"};
    struct chain *chain = NULL;
    int code = 0;

    if (root == NULL || root->type != YAML_MAP)
        return error_set(error, -EINVAL, "1:1: expected a map with filters");
    const struct yaml_node *list = yaml_find(root, "filters");
    if (list != NULL && list->type != YAML_NULL)
        code = chain_take(&chain, list, &walk);
    if (code != 0)
        return code;
    *filters = chain != NULL ? chain_show(chain) : json_array();
    chain_unref(chain);
    return *filters != NULL ? 0 : error_set(error, -ENOMEM, " out of memory");
}

static json_t *read_text(const char *text, const char *name, const char *key, struct error *error)
{
    struct yaml_document document = {0};
    struct error inner = {0};
    json_t *filters = NULL;
    int code = yaml_parse(text, strlen(text), &document, &inner);

    if (code == 0)
        code = take_filters(document.root, &filters, &inner);
    yaml_fini(&document);
    if (code != 0)
        error_set(error, code, "ConfigMap %.200s: %s:%.700s", name, key, inner.text);
    return filters;
}

json_t *config_map_read(json_t *object, struct error *error)
{
    static const char *const keys[] = {"quilkin.yaml", "paddock.yaml"};
    json_t *data = json_object_get(object, "data");
    char name[2 * K8S_NAME_BYTES];

    server_object_name(object, name);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = json_string_value(json_object_get(data, keys[i]));

        if (text != NULL)
            return read_text(text, name, keys[i], error);
    }
    error_set(error, -EINVAL, "ConfigMap %.200s: expected a key quilkin.yaml or paddock.yaml",
              name);
    return NULL;
}

static struct map **find(struct config_maps *maps, const char *name)
{
    struct map **place = &maps->first;

    while (*place != NULL && strcmp((*place)->name, name) != 0)
        place = &(*place)->next;
    return place;
}

/* Where all are bad, what was in force stays. */
static void choose(struct config_maps *maps)
{
    const struct map *best = NULL;

    for (const struct map *map = maps->first; map != NULL; map = map->next) {
        if (map->filters != NULL && (best == NULL || map->serial > best->serial))
            best = map;
    }
    if (best == NULL && maps->first != NULL)
        return;
    json_t *chosen = best != NULL ? json_incref(best->filters) : json_array();
    json_decref(maps->in_force);
    maps->in_force = chosen;
}

void config_maps_mark(struct config_maps *maps)
{
    for (struct map *map = maps->first; map != NULL; map = map->next)
        map->is_seen = false;
}

static void remove_map(struct map **place)
{
    struct map *map = *place;

    *place = map->next;
    json_decref(map->filters);
    free(map);
}

void config_maps_sweep(struct config_maps *maps)
{
    for (struct map **place = &maps->first; *place != NULL;) {
        if ((*place)->is_seen)
            place = &(*place)->next;
        else
            remove_map(place);
    }
    choose(maps);
}

/* A list has maps by their names. When they changed is told by their versions, where these are
 * numbers, so that a restart chooses as a process does that has watched all the time. */
static uint64_t serial_of(struct config_maps *maps, const char *version)
{
    uint64_t serial = maps->serials + 1;

    (void)number_parse(version, 1, INT64_MAX, &serial);
    if (serial > maps->serials)
        maps->serials = serial;
    return serial;
}

/* A list tells again what is known; so a bad one is complained about once. */
int config_maps_put(struct config_maps *maps, json_t *object, struct error *error)
{
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    char name[2 * K8S_NAME_BYTES];

    server_object_name(object, name);
    struct map **place = find(maps, name), *map = *place;
    if (map == NULL) {
        map = calloc(1, sizeof *map);
        if (map == NULL)
            return -ENOMEM;
        memcpy(map->name, name, sizeof map->name);
        *place = map;
    }
    map->is_seen = true;
    if (version != NULL && strcmp(map->version, version) == 0)
        return 0;
    json_t *filters = config_map_read(object, error);
    if (filters == NULL && error->code == -ENOMEM)
        return -ENOMEM;
    snprintf(map->version, sizeof map->version, "%s", version != NULL ? version : "");
    if (filters == NULL)
        return -EINVAL;
    json_decref(map->filters);
    map->filters = filters;
    map->serial = serial_of(maps, map->version);
    choose(maps);
    return 0;
}

void config_maps_drop(struct config_maps *maps, json_t *object)
{
    char name[2 * K8S_NAME_BYTES];

    server_object_name(object, name);
    struct map **place = find(maps, name);
    if (*place != NULL)
        remove_map(place);
    choose(maps);
}

json_t *config_maps_filters(const struct config_maps *maps)
{
    return maps->in_force;
}
