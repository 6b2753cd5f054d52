/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Text from strangers, made fit to be shown: UTF-8 decoding, and escapes for whatever could control
 * a terminal, end a line or mislead the eye. Nothing but text_repair() and text_to_json()
 * allocates.
 */
#ifndef PADDOCK_BASE_TEXT_H
#define PADDOCK_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What text_decode() gives for a byte that is no part of a character. */
#define TEXT_INVALID UINT32_MAX

/** Room for one piece of text_escape_next(): a character or its escape, and the terminator. */
#define TEXT_PIECE_BYTES 12

/**
 * Reads the first character of a UTF-8 text (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF).
 *
 * @param[out] code_point the character, or #TEXT_INVALID for a bad byte; 0 at the end.
 * @return the bytes it takes, 1 for a bad byte, 0 at the end.
 */
size_t text_decode(const char *text, uint32_t *code_point);

/**
 * Writes the first character of a text as it may be shown: itself; or `\n`, `\r`, `\t`, `\\`, `\"`;
 * or `\u{hex}` for other controls, line separators and marks that change the direction of writing;
 * or `\xNN` for a byte that is no UTF-8.
 *
 * @param[out] piece at least #TEXT_PIECE_BYTES; always terminated.
 * @return the bytes of @p text it stands for, 0 at the end.
 */
size_t text_escape_next(const char *text, char *piece);

/**
 * Escapes a whole text into one line of valid UTF-8. What does not fit is cut after a whole piece,
 * and `...` says so.
 *
 * @param capacity bytes at @p out, at least 4.
 */
void text_escape(const char *text, char *out, size_t capacity);

/** Makes valid UTF-8 of a text, for formats that take nothing else: each bad byte becomes U+FFFD.
 * @return the caller's, for free(); NULL when there is no memory. */
char *text_repair(const char *text);

/** A JSON string of a text, repaired: jansson refuses text that is no valid UTF-8.
 * @return the caller's; NULL when there is no memory. */
struct json_t *text_to_json(const char *text);

/** Whether text_escape() would leave the whole text as it is, however long. */
bool text_is_plain(const char *text);

#endif
