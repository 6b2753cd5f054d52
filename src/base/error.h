/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Why something failed: a code for the program, a text for people.
 */
#ifndef PADDOCK_BASE_ERROR_H
#define PADDOCK_BASE_ERROR_H

/** Room for a line about what is wrong. */
#define ERROR_TEXT_BYTES 1024

/** One failure. Zeroed: none. */
struct error {
    int code;                    /**< a negative errno value; 0: nothing failed */
    char text[ERROR_TEXT_BYTES]; /**< one line without a full stop, fit to be shown */
};

/**
 * Says what failed.
 * @param error NULL is fine: only the code is returned.
 * @param code a negative errno value.
 * @param format of the text, as printf(3).
 * @return @p code.
 */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Says what failed as error_set(), with ": " and the system's text for the code behind it.
 * @return @p code. */
int error_system(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
