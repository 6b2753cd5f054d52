/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/policies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/trees.h"

#define AT(member) FIELD_AT(struct policy, member)

static const char *const header_words[] = {"off", "every", "first", NULL};

static const struct field policy_rows[] = {
    {.key = "proxy_protocol",
     .help = "tell the server the player's address, by PROXY protocol version 2: off, every (in "
             "every datagram) or first (in the first of each session)",
     .kind = FIELD_WORD,
     .words = header_words,
     AT(proxy_protocol)},
    {0},
};

static int take_policies(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct policies **policies = value;
    size_t length = strlen(walk->path), count = 0;
    int error = 0;

    if (node->type != YAML_MAP)
        return field_fail(walk, node, "a map by locality", false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next)
        count++;
    struct policies *made = calloc(1, sizeof *made);
    if (made != NULL)
        made->items = calloc(count + 1, sizeof *made->items);
    if (made == NULL || made->items == NULL)
        error = trees_fail_memory(walk);
    for (const struct yaml_node *item = node->first; item != NULL && error == 0;
         item = item->next) {
        struct policies_item *policy = &made->items[made->count++];
        struct locality locality;
        if (strcmp(item->key->text, "*") == 0)
            strcpy(policy->locality, "*");
        else if (locality_parse(item->key->text, &locality) != 0 ||
                 locality_format(&locality, policy->locality) != 0)
            error =
                field_fail(walk, item->key, "a locality (region[:zone[:sub_zone]]) or '*'", false);
        field_defaults(policy_rows, &policy->policy);
        if (error == 0) {
            trees_enter(walk, item->key->text);
            error = field_take_map(walk, policy_rows, item, &policy->policy);
            field_leave(walk, length);
        }
    }
    if (error != 0) {
        policies_free(made);
        return error;
    }
    policies_free(*policies);
    *policies = made;
    return 0;
}

static json_t *show_policies(const void *value, bool with_private)
{
    const struct policies *policies = *(struct policies *const *)value;
    json_t *json = json_object();

    for (size_t i = 0; policies != NULL && i < policies->count; i++) {
        const struct policies_item *item = &policies->items[i];
        json_t *policy = json_object();
        if (field_show(policy_rows, &item->policy, policy, true, with_private) != 0 ||
            json_object_set(json, item->locality, policy) != 0) {
            json_decref(json);
            json = NULL;
        }
        json_decref(policy);
    }
    return json;
}

static json_t *policies_schema(void)
{
    json_t *policy =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);

    if (policy == NULL || field_schema(policy_rows, policy) != 0) {
        json_decref(policy);
        return NULL;
    }
    return json_pack("{s:s, s:{s:s}, s:o}", "type", "object", "propertyNames", "pattern",
                     "^[^:]+(:[^:]+){0,2}$", "additionalProperties", policy);
}

static void forget_policies(void *value)
{
    struct policies **policies = value;

    policies_free(*policies);
    *policies = NULL;
}

const struct field_tree policies_tree = {.take = take_policies,
                                         .show = show_policies,
                                         .schema = policies_schema,
                                         .fini = forget_policies};

int policies_copy(struct policies **copy, const struct policies *policies)
{
    struct policies *made = NULL;

    if (policies != NULL) {
        made = calloc(1, sizeof *made);
        if (made == NULL)
            return -ENOMEM;
        made->count = policies->count;
        made->items = malloc((made->count + 1) * sizeof *made->items);
        if (made->items == NULL) {
            free(made);
            return -ENOMEM;
        }
        memcpy(made->items, policies->items, made->count * sizeof *made->items);
    }
    *copy = made;
    return 0;
}

void policies_free(struct policies *policies)
{
    if (policies == NULL)
        return;
    free(policies->items);
    free(policies);
}

bool policies_equal(const struct policies *a, const struct policies *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    /* Items are zeroed before they are filled. */
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof *a->items) == 0;
}

const struct policy *policies_find(const struct policies *policies, const char *locality)
{
    static const struct policy none = {POLICY_NO_HEADER};
    const struct policy *found = &none;

    for (size_t i = 0; policies != NULL && i < policies->count; i++) {
        const struct policies_item *item = &policies->items[i];
        if (strcmp(item->locality, locality) == 0)
            return &item->policy;
        if (strcmp(item->locality, "*") == 0)
            found = &item->policy;
    }
    return found;
}
