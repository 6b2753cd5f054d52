/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * All of libqcmp.
 */
#ifndef QCMP_QCMP_H
#define QCMP_QCMP_H

#include <qcmp/client.h>
#include <qcmp/error.h>
#include <qcmp/measure.h>
#include <qcmp/probe.h>
#include <qcmp/survey.h>
#include <qcmp/version.h>
#include <qcmp/wire.h>

#endif
