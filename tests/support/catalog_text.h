/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the catalog from a text, for unit tests and fuzz harnesses.
 */
#ifndef PADDOCK_SUPPORT_CATALOG_TEXT_H
#define PADDOCK_SUPPORT_CATALOG_TEXT_H

#include "catalog/settings.h"
#include "config/yaml.h"

/** Reads a file's text. @return 0, or a negative value with an error; settings are released by
 * field_fini() in either case. */
static inline int catalog_text_parse(const char *text, size_t bytes,
                                     struct catalog_settings *settings, struct error *error)
{
    struct yaml_document document = {0};
    int result = yaml_parse(text, bytes, &document, error);

    *settings = (struct catalog_settings){0};
    if (result == 0 && document.root != NULL)
        result = field_parse_tree(catalog_section.fields, document.root, settings, error);
    yaml_fini(&document);
    return result;
}

#endif
