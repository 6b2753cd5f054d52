/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/error.h>

#include <stdint.h>

const char *qcmp_error_name(int error)
{
    switch (error) {
    case QCMP_OK:
        return "OK";
#define NAME_CASE(name, value, text)                                                               \
    case (value):                                                                                  \
        return #name;
        QCMP_ERRORS(NAME_CASE)
#undef NAME_CASE
    default:
        return error < QCMP_ERROR_OS_BASE ? "OS" : "UNKNOWN";
    }
}

const char *qcmp_error_text(int error)
{
    switch (error) {
    case QCMP_OK:
        return "no error";
#define TEXT_CASE(name, value, text)                                                               \
    case (value):                                                                                  \
        return (text);
        QCMP_ERRORS(TEXT_CASE)
#undef TEXT_CASE
    default:
        return error < QCMP_ERROR_OS_BASE ? "error of the operating system" : "unknown error";
    }
}

int qcmp_error_from_os(int os_error)
{
    /* The last number whose error is still an int, so that the mapping stays reversible. */
    const int last = INT32_MAX + QCMP_ERROR_OS_BASE + 1;

    if (os_error < 1 || os_error > last)
        return QCMP_ERROR_INVALID_ARGUMENT;
    return QCMP_ERROR_OS_BASE - os_error;
}

int qcmp_error_to_os(int error)
{
    return error < QCMP_ERROR_OS_BASE ? QCMP_ERROR_OS_BASE - error : 0;
}
