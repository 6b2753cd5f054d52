/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the client does for the blocking ping beside its public functions.
 */
#ifndef PADDOCK_CLIENT_CLIENT_H
#define PADDOCK_CLIENT_CLIENT_H

#include <qcmp/client.h>

/** Reads the transmit stamp of the ping that was sent last, if it is there already, so that a wait
 * for the answer does not end because of it. */
void qcmp_client_take_stamp(struct qcmp_client *client);

#endif
