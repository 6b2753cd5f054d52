/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *data, size_t bytes, char *text)
{
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)data[i] << 16;

        if (left > 1)
            group |= (uint32_t)data[i + 1] << 8;
        if (left > 2)
            group |= data[i + 2];
        *text++ = alphabet[group >> 18];
        *text++ = alphabet[group >> 12 & 63];
        *text++ = (char)(left > 1 ? alphabet[group >> 6 & 63] : '=');
        *text++ = (char)(left > 2 ? alphabet[group & 63] : '=');
    }
    *text = '\0';
}

int base64_decode(const char *text, uint8_t *data, size_t *bytes)
{
    size_t length = strlen(text), padding = 0, written = 0;
    uint32_t bits = 0;

    if (length % 4 != 0)
        return -1;
    while (padding < 2 && padding < length && text[length - padding - 1] == '=')
        padding++;
    for (size_t i = 0; i < length - padding; i++) {
        const char *digit = strchr(alphabet, text[i]);

        if (digit == NULL)
            return -1;
        bits = bits << 6 | (uint32_t)(digit - alphabet);
        if (i % 4 != 0)
            data[written++] = (uint8_t)(bits >> (6 - i % 4 * 2));
    }
    if ((bits & (padding == 0 ? 0u : padding == 1 ? 3u : 15u)) != 0)
        return -1;
    *bytes = written;
    return 0;
}
