/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "catalog/clusters.h"

static json_t *show_token(const struct token *token, const struct siphash_key *key)
{
    char text[64];

    if (key != NULL) {
        snprintf(text, sizeof text, "fingerprint:%016" PRIx64,
                 siphash(key, token->data, token->bytes));
        return json_string(text);
    }
    char *base64 = malloc(BASE64_TEXT_BYTES((size_t)token->bytes));
    if (base64 == NULL)
        return NULL;
    base64_encode(token->data, token->bytes, base64);
    json_t *json = json_string(base64);
    free(base64);
    return json;
}

static json_t *show_endpoint(const struct cluster_endpoint *endpoint, const struct siphash_key *key)
{
    json_t *tokens = json_array(), *metadata = json_object(), *own = json_object();
    json_t *json = json_object();
    int error = tokens == NULL || own == NULL || metadata == NULL || json == NULL ? -1 : 0;

    for (const struct token *token = endpoint->tokens; token != NULL && error == 0;
         token = token->next)
        error = json_array_append_new(tokens, show_token(token, key));
    if (error == 0 && endpoint->metadata != NULL)
        error = json_object_update(metadata, endpoint->metadata);
    if (error == 0)
        error = json_object_set(own, "tokens", tokens);
    if (error == 0)
        error = json_object_set(metadata, "quilkin.dev", own);
    if (error == 0)
        error = json_object_set_new(json, "address", json_string(endpoint->address));
    if (error == 0)
        error = json_object_set(json, "metadata", metadata);
    json_decref(tokens);
    json_decref(own);
    json_decref(metadata);
    if (error != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *clusters_show(const struct clusters *clusters, const struct siphash_key *key,
                      bool with_versions)
{
    json_t *list = json_array();
    int error = list == NULL ? -1 : 0;

    for (size_t i = 0; i < clusters->count && error == 0; i++) {
        const struct cluster *cluster = clusters->items[i].cluster;
        const char *locality = cluster->locality[0] != '\0' ? cluster->locality : NULL;
        json_t *endpoints = json_array(), *json = json_object();

        error = json_object_set_new(json, "endpoints", endpoints);
        for (const struct cluster_endpoint *endpoint = cluster->endpoints;
             endpoint != NULL && error == 0; endpoint = endpoint->next)
            error = json_array_append_new(endpoints, show_endpoint(endpoint, key));
        if (error == 0 && (locality != NULL || with_versions))
            error = json_object_set_new(json, "locality",
                                        locality != NULL ? json_string(locality) : json_null());
        if (error == 0 && with_versions)
            error = json_object_set_new(json, "version",
                                        json_integer((json_int_t)clusters->items[i].version));
        if (error == 0)
            error = json_array_append(list, json);
        json_decref(json);
    }
    if (error != 0) {
        json_decref(list);
        list = NULL;
    }
    return list;
}
