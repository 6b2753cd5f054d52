/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Bytes that do not change and are shared: a document that is rendered once and sent to many.
 * References may be taken and given back from any thread.
 */
#ifndef PADDOCK_HTTP_BLOB_H
#define PADDOCK_HTTP_BLOB_H

#include <stdatomic.h>
#include <stddef.h>

/** Room for a quoted ETag and its terminator. */
#define HTTP_ETAG_BYTES 24

/** A document, made by http_blob_new(). */
struct http_blob {
    atomic_uint references;
    char etag[HTTP_ETAG_BYTES]; /**< quoted; a hash of the data, so that it survives a restart */
    size_t bytes;
    char *data;
};

/**
 * Makes a document with one reference, the caller's.
 * @param data on the heap; taken, also on failure. NULL fails.
 * @return NULL when there is no memory.
 */
struct http_blob *http_blob_new(char *data, size_t bytes);

/** Takes one more reference. @return @p blob. */
struct http_blob *http_blob_ref(struct http_blob *blob);

/** Gives a reference back; the last frees. NULL is fine. */
void http_blob_unref(struct http_blob *blob);

#endif
