/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

const char *netcode_version(void);

int main(void)
{
    return printf("qcmp %s\n", netcode_version()) < 0;
}
