/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A response of a server, as a client takes it. Oracles: what is taken, told on and taken again is
 * the same catalog, with addresses as they are told; what is refused changes nothing and has a
 * text.
 */
#include <stdint.h>
#include <string.h>

#include "support/check.h"
#include "xds/learned.h"
#include "xds/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* docs/decisions/0005-libfyaml.md says what libfyaml loses. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static int take(struct learned *learned, const uint8_t *data, size_t size)
{
    struct error error = {0};
    enum resource_type type;
    struct arena arena;
    int code = -1;

    arena_init(&arena, size);
    const Xds__DeltaDiscoveryResponse *response =
        xds__delta_discovery_response__unpack(&arena.allocator, size, data);
    if (response != NULL && resource_type_find(response->type_url, &type) == 0) {
        code = learned_take(learned, type, response, NULL, &arena, &error);
        CHECK((code != 0) == (error.text[0] != '\0'));
        CHECK(strchr(error.text, '\n') == NULL || code != 0);
    }
    arena_fini(&arena);
    return code;
}

/* Tells all that a catalog has to another one. */
static void tell_on(const struct catalog *from, struct learned *to)
{
    for (unsigned type = 0; type < RESOURCE_TYPES; type++) {
        struct snapshot nothing = {.references = 1, .type = (enum resource_type)type};
        struct snapshot *all = snapshot_new((enum resource_type)type, from, NULL);

        CHECK(all != NULL);
        struct http_blob *blob = snapshot_diff(&nothing, all, "id");
        CHECK(blob != NULL);
        CHECK(take(to, (const uint8_t *)blob->data, blob->bytes) == 0);
        http_blob_unref(blob);
        snapshot_unref(all);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log log;
    struct catalog *catalogs[3];
    struct learned *learned[3];

    log_init(&log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    for (unsigned i = 0; i < 3; i++) {
        CHECK(catalog_new(&catalogs[i], NULL, &log) == 0);
        CHECK(learned_new(&learned[i], catalogs[i], CATALOG_XDS) == 0);
    }
    if (take(learned[0], data, size) == 0) {
        tell_on(catalogs[0], learned[1]);
        tell_on(catalogs[1], learned[2]);
        const struct catalog_version *a = catalog_read(catalogs[1]), *b = catalog_read(catalogs[2]);
        CHECK(catalog_read(catalogs[0])->clusters->count == a->clusters->count);
        CHECK(clusters_equal(a->clusters, b->clusters));
        CHECK(datacenters_equal(a->datacenters, b->datacenters));
        CHECK(json_equal(a->filters, b->filters));
    } else {
        CHECK(catalog_read(catalogs[0])->number == 1);
        uint64_t digest;
        CHECK(learned_count(learned[0], RESOURCE_CLUSTER, NULL, &digest) == 0 && digest == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        learned_free(learned[i]);
        catalog_free(catalogs[i]);
    }
    return 0;
}
