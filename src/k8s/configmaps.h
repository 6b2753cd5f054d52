/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The chain of filters as ConfigMaps tell it. Of several the one that changed last counts; a bad
 * one changes nothing.
 */
#ifndef PADDOCK_K8S_CONFIGMAPS_H
#define PADDOCK_K8S_CONFIGMAPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct config_maps;

/** @return NULL without memory; freed by config_maps_free(). */
struct config_maps *config_maps_new(void);

/** NULL is fine. */
void config_maps_free(struct config_maps *maps);

/** Reads the filters of a ConfigMap: `filters` of the YAML or JSON under its key `quilkin.yaml` or
 * `paddock.yaml`.
 * @return a list with defaults filled in, a reference of the caller's; NULL, with an error that
 * names the object, the key and the line. */
json_t *config_map_read(json_t *object, struct error *error);

/** A list begins: what it does not put until config_maps_sweep() goes then. */
void config_maps_mark(struct config_maps *maps);
void config_maps_sweep(struct config_maps *maps);

/** @param[out] error set where the ConfigMap is bad, and was not known to be.
 * @return 0; -EINVAL: it is bad; or -ENOMEM. */
int config_maps_put(struct config_maps *maps, json_t *object, struct error *error);
void config_maps_drop(struct config_maps *maps, json_t *object);

/** The chain in force, borrowed until the next change; NULL: no good one has come yet. */
json_t *config_maps_filters(const struct config_maps *maps);

#endif
