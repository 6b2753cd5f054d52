/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * From the syntax of Rust's regex crate to that of PCRE2.
 */
#ifndef PADDOCK_FILTERS_REGEX_SYNTAX_H
#define PADDOCK_FILTERS_REGEX_SYNTAX_H

#include <stdbool.h>

#include "base/error.h"

/** Room for a translation: one character becomes as many as those of the longest class. */
#define REGEX_TRANSLATED_BYTES 65536

/** Translates an expression.
 * @param[out] translated #REGEX_TRANSLATED_BYTES.
 * @param[out] is_unicode whether it is about characters and not bytes.
 * @return 0; or -EINVAL, with what is wrong and where in @p error. */
int regex_translate(const char *pattern, char *translated, bool *is_unicode, struct error *error);

#endif
