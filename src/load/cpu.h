/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * CPU time that processes have used, user and system together, all threads and those that ended
 * included, in nanoseconds. Exact, not sampled by a tick: from the scheduler's own account. Where
 * the kernel works for a process without being called by it (interrupts, a network device's
 * polling), the time is another's: that of whom it interrupts, or of a kernel thread, which has a
 * process ID of its own.
 */
#ifndef PADDOCK_LOAD_CPU_H
#define PADDOCK_LOAD_CPU_H

#include <stdint.h>
#include <sys/types.h>

/** The CPU time of a process or kernel thread. Does not block or allocate.
 * @return nanoseconds, or -1 when there is no such process. */
int64_t cpu_process_ns(pid_t pid);

/** The CPU time of the calling process. */
int64_t cpu_own_ns(void);

/** How long the CPUs that the calling thread may run on had nothing to do since the host started,
 * added up; by the kernel's tick, 10 ms of resolution for each.
 * @return nanoseconds, or -1 where the kernel does not say. */
int64_t cpu_idle_ns(void);

#endif
