/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/file.h"
#include "config/flags.h"
#include "config/rows.h"

/* What is this module's own comes first, then the sections, then what only ends the reading. */
#define MAX_TABLES (CONFIG_MAX_SECTIONS + 2)

/* What says where to read. */
struct files {
    struct config_file file, provider; /* a provider's path is given where a flag names it */
    bool has_provider;
};

struct config {
    const struct config_section *sections[CONFIG_MAX_SECTIONS + 1]; /* ended by NULL */
    struct files files;
    struct field_table tables[MAX_TABLES];
    size_t count;
};

static int parse_path(const char *text, void *value)
{
    struct config_file *file = value;
    size_t length = strlen(text);

    if (length == 0 || length >= sizeof file->path)
        return -1;
    memcpy(file->path, text, length + 1);
    file->is_given = true;
    return 0;
}

static json_t *show_path(const void *value)
{
    const struct config_file *file = value;

    return file->path[0] != '\0' ? json_string(file->path) : json_null();
}

static const struct field_type path_type = {
    .parse = parse_path, .show = show_path, .expected = "a path of 1 to 4095 bytes"};

#define PROVIDER_PATH "/etc/quilkin/config.yaml"
#define VERSION_ROW                                                                                \
    {                                                                                              \
        .key = "version", .help = "of this format: v1alpha1", .kind = FIELD_WORD,                  \
        .words = (const char *const[])                                                             \
        {                                                                                          \
            "v1alpha1", NULL                                                                       \
        }                                                                                          \
    }

static const struct field first_fields[] = {
    {.flag = "config",
     .letter = 'c',
     .variable = "QUILKIN_CONFIG",
     .help = "the configuration file",
     .placeholder = "PATH",
     .default_help = "quilkin.yaml, then /etc/quilkin/quilkin.yaml",
     .kind = FIELD_CUSTOM,
     .type = &path_type,
     .offset = offsetof(struct files, file)},
    {.flag = "provider.fs",
     .variable = "QUILKIN_PROVIDERS_FS",
     .help = "take game servers and filters from a file, which is watched",
     FIELD_AT(struct files, has_provider)},
    {.flag = "provider.fs.path",
     .variable = "QUILKIN_PROVIDERS_FS_PATH",
     .help = "that file",
     .placeholder = "PATH",
     .default_help = PROVIDER_PATH,
     .kind = FIELD_CUSTOM,
     .type = &path_type,
     .offset = offsetof(struct files, provider)},
    VERSION_ROW,
    {0},
};

/* Of a provider's file. */
static const struct field provided_fields[] = {VERSION_ROW, {0}};

static const struct field last_fields[] = {
    {.flag = "help", .letter = 'h', .help = "print this help", .kind = FIELD_MARK},
    {.flag = "version", .letter = 'V', .help = "print the version", .kind = FIELD_MARK},
    {0},
};

static size_t list_tables(const struct config_section *const *sections, struct field_table *tables)
{
    size_t count = 0;

    tables[count++].fields = first_fields;
    for (const struct config_section *const *section = sections; *section != NULL; section++) {
        assert(count + 1 < MAX_TABLES);
        tables[count++].fields = (*section)->fields;
    }
    tables[count++].fields = last_fields;
    return count;
}

static struct config *config_new(const struct config_source *source)
{
    struct config *config = calloc(1, sizeof *config);

    if (config == NULL)
        return NULL;
    config->count = list_tables(source->sections, config->tables);
    config->tables[0].settings = &config->files;
    snprintf(config->files.provider.path, sizeof config->files.provider.path, "%s", PROVIDER_PATH);
    for (size_t i = 0; source->sections[i] != NULL; i++) {
        const struct config_section *section = source->sections[i];
        void *settings = calloc(1, section->bytes);
        config->sections[i] = section;
        config->tables[1 + i].settings = settings;
        if (settings == NULL) {
            config_free(config);
            return NULL;
        }
        field_defaults(section->fields, settings);
        if (section->defaults != NULL)
            section->defaults(settings, source->environment);
    }
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 1; i + 1 < config->count; i++) {
        const struct config_section *section = config->sections[i - 1];
        if (config->tables[i].settings != NULL)
            field_fini(config->tables[i].fields, config->tables[i].settings);
        if (config->tables[i].settings != NULL && section->provided != NULL)
            field_fini(section->provided, config->tables[i].settings);
        free(config->tables[i].settings);
    }
    free(config);
}

/* Collects the flags up to the first word that is none. CONFIG_SERVE is the end of the line without
 * a command. */
static enum config_result read_flags(struct flags *flags, const struct config_source *source,
                                     struct config_report *report)
{
    struct flags_reader reader = {.tables = flags->tables,
                                  .count = flags->count,
                                  .argc = source->argc,
                                  .argv = source->argv,
                                  .index = 1,
                                  .stops_at_word = true,
                                  .error = &report->error};
    enum flags_event event;

    report->service_asked = false;
    while ((event = flags_next(&reader)) == FLAGS_FLAG) {
        if (reader.field == &last_fields[0])
            return CONFIG_HELP;
        if (reader.field == &last_fields[1])
            return CONFIG_VERSION;
        if (flags_note(flags, reader.field, reader.row, reader.value) != 0) {
            error_system(&report->error, -ENOMEM, "--%s", reader.field->flag);
            return CONFIG_USAGE;
        }
    }
    if (event == FLAGS_ERROR)
        return CONFIG_USAGE;
    const struct field *field;
    for (size_t row = 0; (field = flags_row(flags->tables, flags->count, row, NULL)) != NULL;
         row++) {
        assert(row < FLAGS_MAX);
        if ((field->flags & FIELD_SERVICE) != 0 && flags->texts[row] != NULL)
            report->service_asked |= strcmp(flags->texts[row], "true") == 0;
    }
    report->command = reader.index;
    return reader.index < source->argc ? CONFIG_COMMAND : CONFIG_SERVE;
}

/* A boolean row with a flag of enum field_flags that is on; NULL: there is none. */
static const struct field *find_on(const struct config *config, unsigned flag)
{
    const struct field *field;
    void *settings;

    for (size_t row = 0; (field = flags_row(config->tables, config->count, row, &settings)) != NULL;
         row++) {
        if ((field->flags & flag) != 0 && *(const bool *)((const char *)settings + field->offset))
            return field;
    }
    return NULL;
}

static int apply_flags(struct config *config, const struct flags *flags,
                       const struct config_source *source, bool supported_only, struct error *error)
{
    int result = flags_apply(flags, source->environment, supported_only, error);

    if (result == 0 && config->files.provider.is_given && !config->files.has_provider)
        result = error_set(error, -EINVAL, "--provider.fs.path: needs --provider.fs");
    const struct field *other = find_on(config, FIELD_PROVIDER);
    if (result == 0 && config->files.has_provider && other != NULL)
        result = error_set(error, -EINVAL, "--provider.fs: not together with --%s", other->flag);
    for (size_t i = 0; config->sections[i] != NULL && result == 0; i++) {
        if (config->sections[i]->check != NULL)
            result = config->sections[i]->check(config->tables[1 + i].settings, error);
    }
    return result;
}

static int load_file(struct config *config, struct config_report *report)
{
    const struct file_tables tables = {config->tables, config->count};
    char *text = NULL;
    size_t bytes = 0;
    int error = file_read(&config->files.file, &text, &bytes, &report->error);

    report->is_passing = error == -EMFILE || error == -ENFILE;
    if (error == 0 && text != NULL)
        error = file_apply(&config->files.file, text, bytes, &tables, &report->error);
    free(text);
    return error;
}

/* What is not there, or has nothing in it yet, is waited for. */
static int load_provider(struct config *config, struct config_report *report)
{
    struct field_table items[MAX_TABLES] = {{provided_fields, &config->files}};
    struct file_tables tables = {items, 1};
    struct config_file *provider = &config->files.provider, file = *provider;
    char *text = NULL;
    size_t bytes = 0;

    for (size_t i = 0; config->sections[i] != NULL; i++) {
        if (config->sections[i]->provided != NULL)
            items[tables.count++] =
                (struct field_table){config->sections[i]->provided, config->tables[1 + i].settings};
    }
    file.is_given = true;
    int error = file_read(&file, &text, &bytes, &report->error);
    report->is_passing = error == -EMFILE || error == -ENFILE;
    report->is_provider = true;
    if (error == 0 && text != NULL)
        error = file_apply(&file, text, bytes, &tables, &report->error);
    free(text);
    file.is_given = provider->is_given;
    *provider = file;
    provider->is_loaded = error == 0 && !file.is_empty;
    return error == -ENOENT || error == -ENOTDIR ? 0 : error;
}

/* Only the flags say which file there is, and they also win over it: hence before and after. */
enum config_result config_load(struct config **config, const struct config_source *source,
                               struct config_report *report)
{
    struct config *loaded = config_new(source);
    enum config_result result;

    report->is_passing = report->is_provider = false;
    if (loaded == NULL) {
        error_system(&report->error, -ENOMEM, "the configuration cannot be loaded");
        return CONFIG_BAD_FILE;
    }
    struct flags flags = {.tables = loaded->tables, .count = loaded->count};
    result = read_flags(&flags, source, report);
    if (result != CONFIG_SERVE && result != CONFIG_COMMAND)
        goto out;
    if (apply_flags(loaded, &flags, source, result == CONFIG_COMMAND, &report->error) != 0) {
        result = CONFIG_USAGE;
        goto out;
    }
    if (result == CONFIG_SERVE && find_on(loaded, FIELD_SERVICE) == NULL)
        result = CONFIG_NOTHING;
    if (result == CONFIG_SERVE) {
        if (load_file(loaded, report) != 0 ||
            (loaded->files.has_provider && load_provider(loaded, report) != 0))
            result = CONFIG_BAD_FILE;
        else if (apply_flags(loaded, &flags, source, false, &report->error) != 0)
            result = CONFIG_USAGE;
    }
out:
    flags_fini(&flags);
    if (result == CONFIG_SERVE || result == CONFIG_COMMAND || result == CONFIG_NOTHING)
        *config = loaded;
    else
        config_free(loaded);
    return result;
}

const void *config_settings(const struct config *config, const struct config_section *section)
{
    for (size_t i = 0; config->sections[i] != NULL; i++) {
        if (config->sections[i] == section)
            return config->tables[1 + i].settings;
    }
    return NULL;
}

const struct config_file *config_file(const struct config *config)
{
    return &config->files.file;
}

const struct config_file *config_provider(const struct config *config)
{
    return config->files.has_provider ? &config->files.provider : NULL;
}

const char *config_watch_path(const struct config *config, unsigned index)
{
    const struct config_file *file = &config->files.file;
    unsigned count = 1;

    while (!file->is_given && file_default_path(count) != NULL &&
           !(file->is_loaded && strcmp(file_default_path(count - 1), file->path) == 0))
        count++;
    if (index < count)
        return file->is_given ? file->path : file_default_path(index);
    return index == count && config->files.has_provider ? config->files.provider.path : NULL;
}

size_t config_diff(const struct config *running, const struct config *loaded,
                   struct config_name names[CONFIG_DIFF_MAX])
{
    const struct field *field;
    void *before, *after;
    size_t count = 0;

    for (size_t row = 0; (field = flags_row(running->tables, running->count, row, &before)) != NULL;
         row++) {
        flags_row(loaded->tables, loaded->count, row, &after);
        if ((field->flags & FIELD_FIXED) == 0 || !field_differs(field, before, after) ||
            count == CONFIG_DIFF_MAX)
            continue;
        snprintf(names[count].text, sizeof names[count].text, "%s%s",
                 field->key != NULL ? "" : "--", field->key != NULL ? field->key : field->flag);
        count++;
    }
    return count;
}

void config_keep_fixed(struct config *loaded, const struct config *running)
{
    const struct field *field;
    void *from, *to;

    for (size_t row = 0; (field = flags_row(running->tables, running->count, row, &from)) != NULL;
         row++) {
        flags_row(loaded->tables, loaded->count, row, &to);
        if ((field->flags & FIELD_FIXED) == 0)
            continue;
        assert(field->kind != FIELD_LIST && field->kind != FIELD_TREE);
        memcpy((char *)to + field->offset, (const char *)from + field->offset, field->bytes);
        if (field->kind == FIELD_ARRAY)
            memcpy((char *)to + field->count_offset, (const char *)from + field->count_offset,
                   sizeof(size_t));
    }
}

json_t *config_to_json(const struct config *config, bool with_private)
{
    json_t *json = json_object(), *flags = json_object();
    int error = json != NULL && flags != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i + 1 < config->count && error == 0; i++) {
        const struct field_table *table = &config->tables[i];
        error = field_show(table->fields, table->settings, json, true, with_private);
        if (error == 0)
            error = field_show(table->fields, table->settings, flags, false, with_private);
    }
    if (error == 0)
        error = json_object_set(json, "flags", flags);
    json_decref(flags);
    if (error == 0)
        return json;
    json_decref(json);
    return NULL;
}

json_t *config_schema(const struct config_section *const *sections)
{
    struct field_table tables[MAX_TABLES] = {{0}};
    size_t count = list_tables(sections, tables);
    json_t *json = json_pack("{s:s, s:s, s:s, s:{}, s:b}", "$schema",
                             "https://json-schema.org/draft/2020-12/schema", "title",
                             "Configuration file of paddock", "type", "object", "properties",
                             "additionalProperties", 0);
    int error = json != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < count && error == 0; i++)
        error = field_schema(tables[i].fields, json);
    if (error == 0)
        return json;
    json_decref(json);
    return NULL;
}

void config_print_help(FILE *stream, const struct config_section *const *sections)
{
    struct field_table tables[MAX_TABLES] = {{0}};

    fputs("Usage: paddock [OPTION...] [COMMAND [ARGUMENT...]]\n\nOptions:\n", stream);
    flags_print_help(stream, tables, list_tables(sections, tables));
}
