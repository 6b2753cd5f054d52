/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "catalog/settings.h"
#include "daemon/services.h"
#include "daemon/settings.h"

void services_sections(const struct config_section *sections[CONFIG_MAX_SECTIONS + 1])
{
    size_t count = 0;
    sections[count++] = &process_section;
    sections[count++] = &catalog_section;
    for (size_t i = 0; services[i] != NULL; i++) {
        assert(count < CONFIG_MAX_SECTIONS);
        sections[count++] = services[i]->section;
    }
    sections[count] = NULL;
}
