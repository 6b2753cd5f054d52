/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A check that holds in every build and ends the program: for oracles that fuzz harnesses and unit
 * tests share.
 */
#ifndef PADDOCK_SUPPORT_CHECK_H
#define PADDOCK_SUPPORT_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
