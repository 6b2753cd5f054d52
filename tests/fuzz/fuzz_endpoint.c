/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Endpoints as text. Oracle: what is read is written in one way, which is read as the same,
 * whatever the default port; what is refused leaves the endpoint as it was.
 */
#include <stdlib.h>
#include <string.h>

#include <qcmp/client.h>

#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Padding included: the library makes an endpoint of zeroed memory. */
static int same(const struct qcmp_endpoint *a, const struct qcmp_endpoint *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* NOLINT(bugprone-suspicious-memory-comparison) */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct qcmp_endpoint endpoint, before, again;
    char written[80];
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&endpoint, 0xa5, sizeof endpoint);
    before = endpoint;
    int error = qcmp_endpoint_parse(&endpoint, text, 7600);
    if (error != 0) {
        CHECK(error == QCMP_ERROR_INVALID_ARGUMENT);
        CHECK(same(&endpoint, &before));
    } else {
        CHECK(qcmp_endpoint_format(&endpoint, written, sizeof written) < sizeof written);
        CHECK(qcmp_endpoint_parse(&again, written, 1) == 0);
        CHECK(same(&endpoint, &again));
    }
    free(text);
    return 0;
}
