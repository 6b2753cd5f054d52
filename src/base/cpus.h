/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * How many CPUs a process may use.
 */
#ifndef PADDOCK_BASE_CPUS_H
#define PADDOCK_BASE_CPUS_H

/** The CPUs of the calling thread's affinity, which a cpuset limits as well, but no more than the
 * quota of its control group comes to, rounded up. Reads files of /proc and /sys/fs/cgroup.
 * @return at least 1. */
unsigned cpus_usable(void);

#endif
