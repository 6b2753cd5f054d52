/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Results of `paddock ping`, for people and for programs.
 */
#ifndef PADDOCK_CLI_PING_REPORT_H
#define PADDOCK_CLI_PING_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/stats.h"
#include "cli/ping.h"

/** Summarises the round trips of a target's answered pings; raw ones, with the server's hold time
 * in, if @p raw. Allocates while it works.
 * @return false when no ping was answered, or there is no memory; @p summary is untouched then. */
bool ping_summarise(const struct ping_target *target, bool raw, struct stats_summary *summary);

/** Prints the line of one ping that has ended; @p seq counts from 1. */
void ping_print_ended(FILE *out, const struct ping_run *run, const struct ping *ping, size_t seq);

/** Prints that a ping had no answer from @p address, and that its target's next one is tried. */
void ping_print_moved(FILE *out, const struct ping_run *run, const struct ping *ping,
                      const char *address);

/** Prints the line of a late, duplicate or rejected datagram. */
void ping_print_noticed(FILE *out, const struct qcmp_client_event *event);

/** Prints the summary of one target. */
void ping_print_summary(FILE *out, const struct ping_target *target);

/** Writes all results as one JSON object and a line feed; its form is in paddock-ping(1).
 * @return 0, or -1 when there is no memory or @p out takes no more. */
int ping_write_json(FILE *out, const struct ping_run *run);

#endif
