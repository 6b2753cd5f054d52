/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Version of libqcmp: of the headers at compile time, of the library at run time.
 *
 * Within a minor version below 1.0, and within a major version from then on, programs run with
 * any library that is not older than their headers. The structs whose name ends in _options,
 * _request, _event or _result may get members at their end; all others are final. A function that
 * takes or fills such a struct has a twin with _sized behind its name, which takes the struct's
 * size too: the one without is inline and passes the size that the program was compiled with. The
 * library takes members that the program does not know as zero, and fills none of them; members
 * that the library does not know must be zero, and stay zero in what it fills. Bindings for other
 * languages call the twins.
 */
#ifndef QCMP_VERSION_H
#define QCMP_VERSION_H

#include <qcmp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QCMP_VERSION_MAJOR 0
#define QCMP_VERSION_MINOR 1
#define QCMP_VERSION_PATCH 0
#define QCMP_VERSION "0.1.0"
/** One number that grows with each version, for #if: 10000 * major + 100 * minor + patch. */
#define QCMP_VERSION_NUMBER                                                                        \
    (10000 * QCMP_VERSION_MAJOR + 100 * QCMP_VERSION_MINOR + QCMP_VERSION_PATCH)

/** The version of the library that runs, as "MAJOR.MINOR.PATCH"; static storage. */
QCMP_EXPORT const char *qcmp_version(void);

/** The version of the library that runs, as QCMP_VERSION_NUMBER. */
QCMP_EXPORT int qcmp_version_number(void);

#ifdef __cplusplus
}
#endif
#endif
