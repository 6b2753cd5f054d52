/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Marks what the shared library exports. Everything else is hidden.
 */
#ifndef QCMP_EXPORT_H
#define QCMP_EXPORT_H

#if defined(_WIN32) && defined(QCMP_SHARED)
#ifdef QCMP_BUILD
#define QCMP_EXPORT __declspec(dllexport)
#else
#define QCMP_EXPORT __declspec(dllimport)
#endif
#elif defined(__GNUC__) && !defined(_WIN32)
#define QCMP_EXPORT __attribute__((visibility("default")))
#else
#define QCMP_EXPORT
#endif

#endif
