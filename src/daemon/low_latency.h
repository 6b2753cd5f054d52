/** @file
 * What of low latency is the host's matter: CPUs that do not sleep deeply, and network devices that
 * can be polled.
 */
#ifndef PADDOCK_DAEMON_LOW_LATENCY_H
#define PADDOCK_DAEMON_LOW_LATENCY_H

#include <stdbool.h>

#include "base/log.h"

/**
 * Keeps the CPUs of this host from sleep states that take time to wake from, as long as the
 * descriptor is open: /dev/cpu_dma_latency, which is root's. Source: the kernel's documentation of
 * PM quality of service.
 * @return a descriptor to close, or -1 with a warning in the log.
 */
int low_latency_hold_cpus(struct log *log);

/** Whether waits can poll network devices; a warning in the log if not. */
bool low_latency_can_poll(struct log *log);

#endif
