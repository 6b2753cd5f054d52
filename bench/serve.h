/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The QCMP responder in the process of a bench, without the daemon around it.
 */
#ifndef PADDOCK_BENCH_SERVE_H
#define PADDOCK_BENCH_SERVE_H

#include <stdint.h>

struct served;

/** Binds, as flags of the service say; ends the program on a failure.
 * @param flags ended by NULL: "--service.qcmp.port", "0", ...
 * @return to be ended with serve_stop(). */
struct served *serve_open(unsigned workers, const char *const *flags);

/** The port in use. */
uint16_t serve_port(const struct served *served);

/** Starts the workers, and answers from then on. */
void serve_start(struct served *served);

/** Answers what is queued, and ends.
 * @param[out] drops of the kernel. @return how many pings were answered. */
uint64_t serve_stop(struct served *served, uint64_t *drops);

#endif
