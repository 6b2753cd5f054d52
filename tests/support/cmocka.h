/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * cmocka with what its header needs before it.
 */
#ifndef PADDOCK_SUPPORT_CMOCKA_H
#define PADDOCK_SUPPORT_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
