/** @file
 * The QCMP responder as a service: an engine, its workers' threads and counters.
 */
#ifndef PADDOCK_DAEMON_QCMP_SERVICE_H
#define PADDOCK_DAEMON_QCMP_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "metrics/counters.h"

struct qcmp_service;

/**
 * Binds the port and starts the workers; answers from then on.
 * @param[out] service allocated; untouched on failure. Ended with qcmp_service_stop().
 * @param port    0 takes a free one.
 * @param workers at least 1.
 * @return 0 or a negative errno value.
 */
int qcmp_service_start(struct qcmp_service **service, uint16_t port, unsigned workers);

/** The port in use. */
uint16_t qcmp_service_port(const struct qcmp_service *service);

/** Whether IPv6 is served as well as IPv4. */
bool qcmp_service_ipv6(const struct qcmp_service *service);

/** Answers what has been received, ends the workers, closes and frees. Blocks until that is done.
 * @return the counts of the service's whole life. */
struct counters_sum qcmp_service_stop(struct qcmp_service *service);

#endif
