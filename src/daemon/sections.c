/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sections.h"

#include <assert.h>

#include "catalog/settings.h"
#include "daemon/services.h"
#include "daemon/settings.h"

struct section_list daemon_sections(void)
{
    struct section_list list = {{&process_section, &catalog_section}};
    for (size_t i = 0; services[i] != NULL; i++) {
        assert(i + 2 < CONFIG_MAX_SECTIONS);
        list.items[i + 2] = services[i]->section;
    }
    return list;
}
