/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Errors of libqcmp: 0 is success, every failure is a negative number.
 *
 * Two ranges share one int: the library's own errors (@ref qcmp_error), whose values never change,
 * and errors of the operating system, which are mapped reversibly below #QCMP_ERROR_OS_BASE.
 */
#ifndef QCMP_ERROR_H
#define QCMP_ERROR_H

#include <qcmp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One line an error: X(name, value, text). Values are part of the ABI. */
#define QCMP_ERRORS(X)                                                                             \
    X(UNKNOWN_VERSION, -1, "unknown version")                                                      \
    X(LENGTH_MISMATCH, -2, "length mismatch")                                                      \
    X(INVALID_COMMAND, -3, "invalid command")                                                      \
    X(OVERFLOW, -4, "the result does not fit into 64 bits")                                        \
    X(INVALID_ARGUMENT, -5, "invalid argument")                                                    \
    X(BUFFER_TOO_SMALL, -6, "the buffer is too small")                                             \
    X(NO_NONCE, -7, "all nonces of this destination are in flight")                                \
    X(NO_SLOT, -8, "all slots are in flight")                                                      \
    X(NOT_IN_FLIGHT, -9, "no such ping is in flight")                                              \
    X(TIMED_OUT, -10, "no answer in time")                                                         \
    X(IMPLAUSIBLE, -11, "the timestamps contradict each other")

enum qcmp_error {
    QCMP_OK = 0,
#define QCMP_ERROR_ENUM(name, value, text) QCMP_ERROR_##name = (value),
    QCMP_ERRORS(QCMP_ERROR_ENUM)
#undef QCMP_ERROR_ENUM
};

/** An error of the operating system with number E is QCMP_ERROR_OS_BASE - E. E is errno, on Windows
 * what WSAGetLastError() and GetLastError() return. */
#define QCMP_ERROR_OS_BASE (-10000)

/** The name of an error, such as "LENGTH_MISMATCH"; "OK" for 0, "OS" for an error of the operating
 * system, "UNKNOWN" for any other number. Static storage. */
QCMP_EXPORT const char *qcmp_error_name(int error);

/** One line of text about an error, without a full stop. Errors of the operating system all have
 * the same text here; qcmp_error_format() of qcmp/client.h knows theirs. Static storage. */
QCMP_EXPORT const char *qcmp_error_text(int error);

/** The error for an operating system's error number; numbers below 1, and those whose error
 * is no int, give QCMP_ERROR_INVALID_ARGUMENT. */
QCMP_EXPORT int qcmp_error_from_os(int os_error);

/** The operating system's error number inside @p error, or 0 when it holds none. */
QCMP_EXPORT int qcmp_error_to_os(int error);

#ifdef __cplusplus
}
#endif
#endif
