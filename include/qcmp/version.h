/** @file
 * Version of libqcmp: of the headers at compile time, of the library at run time.
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

/** The version of the library that runs, as "MAJOR.MINOR.PATCH"; static storage. */
QCMP_EXPORT const char *qcmp_version(void);

#ifdef __cplusplus
}
#endif
#endif
