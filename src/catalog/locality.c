/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "catalog/clusters.h"

int locality_parse(const char *text, struct locality *locality)
{
    struct locality found = {0};
    char *const parts[] = {found.region, found.zone, found.sub_zone};
    size_t count = 0;

    for (;;) {
        size_t length = strcspn(text, ":");

        if (count == 3 || length == 0 || length >= LOCALITY_PART_BYTES)
            return -1;
        memcpy(parts[count], text, length);
        if (!text_is_plain(parts[count]))
            return -1;
        count++;
        text += length;
        if (*text == '\0')
            break;
        text++;
    }
    *locality = found;
    return 0;
}

int locality_format(const struct locality *locality, char text[LOCALITY_TEXT_BYTES])
{
    struct locality again;

    snprintf(text, LOCALITY_TEXT_BYTES, "%s%s%s%s%s", locality->region,
             locality->zone[0] != '\0' || locality->sub_zone[0] != '\0' ? ":" : "", locality->zone,
             locality->sub_zone[0] != '\0' ? ":" : "", locality->sub_zone);
    if (text[0] == '\0')
        return 0;
    if (locality_parse(text, &again) != 0 || strcmp(again.region, locality->region) != 0 ||
        strcmp(again.zone, locality->zone) != 0)
        return -1;
    return 0;
}
