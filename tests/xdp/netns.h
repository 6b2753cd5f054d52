/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Tests in a network namespace of their own. They need root.
 */
#ifndef PADDOCK_TESTS_XDP_NETNS_H
#define PADDOCK_TESTS_XDP_NETNS_H

/** Exit code of a test that cannot run here. */
#define NETNS_SKIP 77

/** Moves this process into a new network namespace, with loopback up; where that is not permitted,
 * says so and ends it with #NETNS_SKIP. */
void netns_enter(void);

/** Runs a command of ip(8), such as "link add a type veth peer name b"; ends the process when it
 * fails. */
void netns_ip(const char *arguments);

#endif
