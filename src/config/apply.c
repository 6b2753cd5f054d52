#include "config/apply.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "config/keys.h"

#define PATH_BYTES 128
#define SHOWN_BYTES 96

struct walk {
    struct config *config;
    struct yaml_error *error;
    char path[PATH_BYTES]; /* of the key under way: paddock.listen[1] */
};

__attribute__((format(printf, 3, 4))) static int
fail(struct walk *walk, const struct yaml_node *node, const char *format, ...)
{
    char text[YAML_ERROR_BYTES - PATH_BYTES - 2];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    walk->error->line = node->line;
    walk->error->column = node->column;
    snprintf(walk->error->text, sizeof walk->error->text, "%s%s%s", walk->path,
             walk->path[0] != '\0' ? ": " : "", text);
    return -1;
}

/* What stands there, in words; found has room for SHOWN_BYTES. */
static void describe(const struct yaml_node *node, bool expects_text, char *found)
{
    char shown[SHOWN_BYTES - 32];
    const char *before = "";
    const char *behind = "";

    text_escape(node->text, shown, sizeof shown);
    switch (node->type) {
    case YAML_LIST:
    case YAML_MAP:
    case YAML_NULL:
        snprintf(found, SHOWN_BYTES, "%s",
                 node->type == YAML_NULL  ? "nothing"
                 : node->type == YAML_MAP ? "a map"
                                          : "a list");
        return;
    case YAML_TEXT:
        before = node->is_quoted && !expects_text ? "the text " : "";
        break;
    case YAML_BOOLEAN:
    case YAML_INTEGER:
    case YAML_FLOAT:
        behind = expects_text ? " without quotes" : "";
        break;
    }
    snprintf(found, SHOWN_BYTES, "%s'%s'%s", before, shown, behind);
}

static int fail_value(struct walk *walk, const struct yaml_node *node, const char *expected,
                      bool expects_text)
{
    char found[SHOWN_BYTES];

    describe(node, expects_text, found);
    return fail(walk, node, "expected %s, found %s", expected, found);
}

static bool is_text_kind(enum setting_kind kind)
{
    return kind == SETTING_TEXT || kind == SETTING_ADDRESS;
}

static bool type_fits(enum setting_kind kind, enum yaml_type type)
{
    switch (kind) {
    case SETTING_BOOLEAN:
        return type == YAML_BOOLEAN;
    case SETTING_NUMBER:
        return type == YAML_INTEGER;
    case SETTING_TEXT:
    case SETTING_ADDRESS:
        return type == YAML_TEXT;
    case SETTING_DURATION:
        return type == YAML_INTEGER || type == YAML_FLOAT || type == YAML_TEXT;
    }
    return false;
}

static int take_value(struct walk *walk, const struct setting *setting,
                      const struct yaml_node *node)
{
    if (!type_fits(setting->kind, node->type) || setting->apply(walk->config, node->text) < 0)
        return fail_value(walk, node, setting->expected, is_text_kind(setting->kind));
    return 0;
}

static int take(struct walk *walk, const struct key *key, const struct yaml_node *node);

/* take() one step further down the path. */
static int take_named(struct walk *walk, const struct key *key, const struct yaml_node *node)
{
    size_t length = strlen(walk->path);

    snprintf(walk->path + length, sizeof walk->path - length, "%s%s", length > 0 ? "." : "",
             key->name);
    int result = take(walk, key, node);
    walk->path[length] = '\0';
    return result;
}

static int take_item(struct walk *walk, const struct key *key, const struct yaml_node *node,
                     size_t index)
{
    size_t length = strlen(walk->path);

    snprintf(walk->path + length, sizeof walk->path - length, "[%zu]", index);
    int result = take(walk, key, node);
    walk->path[length] = '\0';
    return result;
}

static int fail_unknown(struct walk *walk, const struct key *map, const struct yaml_node *node)
{
    char known[YAML_ERROR_BYTES / 2] = "";
    char shown[SHOWN_BYTES];
    size_t length = 0;

    for (size_t i = 0; i < map->count && length < sizeof known; i++)
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "",
                                   map->members[i].name);
    text_escape(node->text, shown, sizeof shown);
    return fail(walk, node, "unknown key '%s', expected one of %s", shown, known);
}

static const struct key *find_member(const struct key *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->members[i].name, name) == 0)
            return &map->members[i];
    }
    return NULL;
}

static int take_map(struct walk *walk, const struct key *map, const struct yaml_node *node)
{
    if (node->type != YAML_MAP)
        return fail_value(walk, node, "a map", false);
    if (map->start != NULL)
        map->start(walk->config);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        const struct key *member = find_member(map, item->key->text);
        if (member == NULL)
            return fail_unknown(walk, map, item->key);
        if (take_named(walk, member, item) < 0)
            return -1;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (map->members[i].required && yaml_find(node, map->members[i].name) == NULL)
            return fail(walk, node, "expected the key '%s', found a map without it",
                        map->members[i].name);
    }
    if (map->check != NULL && map->check(walk->config) < 0)
        return fail(walk, node, "expected %s", map->expected);
    return 0;
}

static int take_table(struct walk *walk, const struct key *table, const struct yaml_node *node)
{
    size_t index = 0;

    if (node->type != YAML_MAP)
        return fail_value(walk, node, "a map", false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        if (table->setting->apply(walk->config, item->key->text) < 0)
            return fail_value(walk, item->key, table->setting->expected, false);
        if (take_item(walk, table->members, item, index++) < 0)
            return -1;
    }
    return 0;
}

static int take_list(struct walk *walk, const struct key *list, const struct yaml_node *node)
{
    size_t count = 0;

    if (node->type != YAML_LIST)
        return fail_value(walk, node, list->expected, false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next)
        count++;
    if (count < list->min || count > list->max)
        return fail(walk, node, "expected %s, found %zu", list->expected, count);
    if (list->start != NULL)
        list->start(walk->config);
    count = 0;
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        if (take_item(walk, list->members, item, count++) < 0)
            return -1;
    }
    return 0;
}

static int take_shape(struct walk *walk, const struct key *key, const struct yaml_node *node)
{
    switch (key->kind) {
    case KEY_VALUE:
        return take_value(walk, key->setting, node);
    case KEY_MAP:
        return take_map(walk, key, node);
    case KEY_TABLE:
        return take_table(walk, key, node);
    case KEY_LIST:
        return take_list(walk, key, node);
    case KEY_EITHER:
        if (node->type != YAML_LIST && node->type != YAML_MAP)
            return fail_value(walk, node, "a list or a map", false);
        return take_shape(walk, &key->members[node->type == YAML_LIST ? 0 : 1], node);
    case KEY_ANYTHING:
        return node->type == YAML_MAP ? 0 : fail_value(walk, node, "a map", false);
    }
    return -1;
}

/* Recursion as deep as the table of keys. */
static int take(struct walk *walk, const struct key *key, const struct yaml_node *node)
{
    if (take_shape(walk, key, node) < 0)
        return -1;
    if (key->kept == NULL)
        return 0;
    json_t **kept = key->kept(walk->config);
    json_decref(*kept);
    *kept = yaml_to_json(node);
    return *kept != NULL ? 0 : fail(walk, node, "out of memory");
}

int apply_tree(struct config *config, const struct yaml_node *root, struct yaml_error *error)
{
    struct walk walk = {.config = config, .error = error};

    return root != NULL && root->type != YAML_NULL ? take(&walk, &keys_root, root) : 0;
}
