/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sections.h"

#include <stddef.h>

#include "catalog/settings.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"

const struct config_section *const daemon_sections[] = {&process_section, &qcmp_section,
                                                        &catalog_section, NULL};
