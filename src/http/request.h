/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A request's head as text: RFC 9112, sections 2 to 5.
 */
#ifndef PADDOCK_HTTP_REQUEST_H
#define PADDOCK_HTTP_REQUEST_H

#include <stddef.h>

#include "http/server.h"

/**
 * Finds the end of a head: the empty line.
 * @param from how much of the text was searched before, 0 at first.
 * @return the bytes of the head, its empty line among them, or 0 when the end is not there yet.
 */
size_t http_request_end(const char *text, size_t bytes, size_t from);

/**
 * Parses a head in place: origin-form and absolute-form, HTTP/1.0 and 1.1. Lines may end with LF
 * alone; empty lines before the first are skipped. A broken percent-encoding, and one of NUL,
 * stands for itself. Keys of a query without `=` are left out.
 * @param text changed; must outlive @p request.
 * @param bytes as http_request_end() gave them.
 * @param[out] request all but the peer; unspecified on failure.
 * @return 0, or the status of the refusal: 400, or 505 for another version.
 */
unsigned http_request_parse(char *text, size_t bytes, struct http_request *request);

#endif
