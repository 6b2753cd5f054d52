/* SPDX-License-Identifier: Apache-2.0 */
#include "http/blob.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/siphash.h"

struct http_blob *http_blob_new(char *data, size_t bytes)
{
    static const struct siphash_key key = {{0, 0}};

    struct http_blob *blob = data != NULL ? malloc(sizeof *blob) : NULL;
    if (blob == NULL) {
        free(data);
        return NULL;
    }
    blob->data = data;
    blob->bytes = bytes;
    snprintf(blob->etag, sizeof blob->etag, "\"%016" PRIx64 "\"",
             siphash(&key, (const uint8_t *)data, bytes));
    atomic_init(&blob->references, 1);
    return blob;
}

struct http_blob *http_blob_ref(struct http_blob *blob)
{
    /* Relaxed: the caller has a reference already. */
    atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void http_blob_unref(struct http_blob *blob)
{
    /* Release and acquire: what other threads did with the document is done before it is freed. */
    if (blob == NULL || atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) != 1)
        return;
    free(blob->data);
    free(blob);
}
