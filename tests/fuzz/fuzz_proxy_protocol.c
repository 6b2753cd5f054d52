/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a server sends back with a PROXY header in front, or without. The oracle: a header is within
 * the datagram, is one by its fixed bytes read as numbers, and one of ours comes off as it went on.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/proxy_protocol.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t length = proxy_protocol_length(data, (uint32_t)size);
    bool is_header = size >= 16 && memcmp(data, "\r\n\r\n\0\r\nQUIT\n", 12) == 0 &&
                     (data[12] >> 4) == 2 && (data[12] & 15) < 2 &&
                     16 + (size_t)data[14] * 256 + data[15] <= size;
    CHECK(is_header == (length > 0));
    CHECK(length <= size);
    CHECK(length == 0 || length == 16 + (uint32_t)data[14] * 256 + data[15]);
    if (size < 2 * sizeof(struct endpoint))
        return 0;

    struct endpoint ends[2];
    memcpy(ends, data, sizeof ends);
    uint8_t *whole = malloc(PROXY_PROTOCOL_BYTES + size);
    CHECK(whole != NULL);
    uint32_t bytes = proxy_protocol_encode(&ends[0], &ends[1], whole);
    CHECK(bytes == 28 || bytes == PROXY_PROTOCOL_BYTES);
    memcpy(whole + bytes, data, size);
    CHECK(proxy_protocol_length(whole, bytes + (uint32_t)size) == bytes);
    CHECK(memcmp(whole + bytes - 2, &ends[1].port, 2) == 0);
    CHECK(memcmp(whole + bytes - 4, &ends[0].port, 2) == 0);
    free(whole);
    return 0;
}
