/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The results of `paddock load` as text.
 */
#ifndef PADDOCK_CLI_LOAD_REPORT_H
#define PADDOCK_CLI_LOAD_REPORT_H

#include <stdio.h>

#include "load/load.h"

/** What was run, and what came of it. */
struct load_report {
    const char *target;  /**< as the user gave it */
    const char *address; /**< numeric */
    const char *via;     /**< "sockets" or "xdp" */
    const struct load_options *options;
    const struct load_result *result;
};

/** Prints a report for people. */
void load_print(FILE *out, const struct load_report *report);

/** Prints a report as one JSON object on one line, as paddock-load(1) documents it.
 * @return 0, or -1 when memory ran out or @p out failed. */
int load_write_json(FILE *out, const struct load_report *report);

#endif
