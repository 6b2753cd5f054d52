/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Answers of Kubernetes' API in pieces. Oracles: a list that jansson takes whole, with objects as
 * its items, gives the same items and the same rest; any text gives the same in one piece and byte
 * by byte; what an object tells of game servers can be added to a cluster.
 */
#include <stdint.h>
#include <string.h>

#include "k8s/configmaps.h"
#include "k8s/lease.h"
#include "k8s/servers.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* docs/decisions/0005-libfyaml.md says what libfyaml loses. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static int collect(json_t *object, void *user)
{
    return json_array_append(user, object) == 0 ? 0 : -1;
}

static int take_all(const char *text, size_t size, bool is_list, size_t step, json_t *objects,
                    json_t **envelope)
{
    struct pieces pieces = {.is_list = is_list};
    int error = 0;

    for (size_t i = 0; i < size && error == 0; i += step)
        error = pieces_take(&pieces, text + i, size - i < step ? size - i : step, collect, objects);
    *envelope = error == 0 && is_list ? pieces_end(&pieces) : NULL;
    pieces_fini(&pieces);
    return error;
}

/* The list as jansson reads it, if it is one whose items are objects. NULL: it is not. */
static json_t *read_whole(const char *text, size_t size)
{
    json_t *whole = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL), *item;
    json_t *items = json_object_get(whole, "items");
    bool is_fit = json_is_array(items);
    size_t i;

    json_array_foreach(items, i, item)
    {
        is_fit &= json_is_object(item);
    }
    if (is_fit)
        return whole;
    json_decref(whole);
    return NULL;
}

static void check_object(json_t *object)
{
    const struct k8s_settings settings = {.address_type = ""};
    struct server_store *store = server_store_new();
    struct servers servers[2] = {{0}};
    struct lease_facts facts;
    struct error error = {0};

    CHECK(store != NULL);
    CHECK(servers_read_game_server(&servers[0], object, &settings) == 0);
    CHECK(servers_read_slice(&servers[1], object) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(server_store_put(store, i, object, &servers[i]) >= SERVER_SAME);
    struct cluster *cluster = server_store_cluster(store, "");
    CHECK(cluster != NULL);
    cluster_free(cluster);
    server_store_free(store);
    (void)lease_read(object, &facts);
    json_t *filters = config_map_read(object, &error);
    CHECK((filters == NULL) == (error.text[0] != '\0'));
    json_decref(filters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    json_t *expected = read_whole(text, size), *item;
    size_t number;

    for (unsigned is_list = 0; is_list < 2; is_list++) {
        json_t *whole = json_array(), *bytes = json_array(), *envelopes[2];
        int error = take_all(text, size, is_list, size + 1, whole, &envelopes[0]);

        CHECK(take_all(text, size, is_list, 1, bytes, &envelopes[1]) == error);
        CHECK(json_equal(whole, bytes));
        CHECK((envelopes[0] == NULL) == (envelopes[1] == NULL));
        /* A key that is written with escapes is the same to jansson alone. */
        if (is_list && expected != NULL && memmem(text, size, "\\u", 2) == NULL &&
            size < PIECES_ENVELOPE_BYTES) {
            CHECK(error == 0 && json_equal(whole, json_object_get(expected, "items")));
            json_object_set_new(expected, "items", json_array());
            CHECK(json_equal(envelopes[0], expected));
        }
        json_array_foreach(whole, number, item)
        {
            check_object(item);
        }
        json_decref(envelopes[0]);
        json_decref(envelopes[1]);
        json_decref(whole);
        json_decref(bytes);
    }
    json_decref(expected);
    return 0;
}
