/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Base64 with the standard alphabet and padding (RFC 4648, section 4).
 */
#ifndef PADDOCK_BASE_BASE64_H
#define PADDOCK_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/** Room for what base64_encode() writes of so many bytes, with the terminator. */
#define BASE64_TEXT_BYTES(bytes) (((bytes) + 2) / 3 * 4 + 1)

/** Writes bytes as text. @param text #BASE64_TEXT_BYTES of room. */
void base64_encode(const uint8_t *data, size_t bytes, char *text);

/** Reads a text strictly: no blanks, full padding, and no bits that encode nothing.
 * @param[out] data room for three quarters of the text's length; undefined on failure.
 * @param[out] bytes untouched on failure.
 * @return 0 or -1. */
int base64_decode(const char *text, uint8_t *data, size_t *bytes);

#endif
