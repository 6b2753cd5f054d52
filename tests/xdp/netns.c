/* SPDX-License-Identifier: Apache-2.0 */
#include "xdp/netns.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void netns_enter(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        fprintf(stderr, "skipped: no network namespace: %s\n", strerror(errno));
        exit(NETNS_SKIP);
    }
    netns_ip("link set lo up");
}

void netns_ip(const char *arguments)
{
    char command[512];
    snprintf(command, sizeof command, "ip %s", arguments);
    /* The arguments are the tests' own. */
    if (system(command) != 0) { // NOLINT(cert-env33-c)
        fprintf(stderr, "failed: %s\n", command);
        exit(EXIT_FAILURE);
    }
}
