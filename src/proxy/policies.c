/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/policies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "catalog/trees.h"

#define AT(member) FIELD_AT(struct policy, member)

#define SECOND_NS INT64_C(1000000000)
#define HEALTH(member) FIELD_AT(struct policy_health, member)

static int parse_bytes(const char *text, void *value)
{
    uint8_t data[POLICY_MAX_BYTES + 3];
    struct policy_bytes bytes = {0};
    size_t count;
    if (strlen(text) > BASE64_TEXT_BYTES((size_t)POLICY_MAX_BYTES) - 1 ||
        base64_decode(text, data, &count) != 0 || count > POLICY_MAX_BYTES)
        return -1;
    bytes.count = (uint32_t)count;
    memcpy(bytes.data, data, count);
    memcpy(value, &bytes, sizeof bytes);
    return 0;
}

static json_t *show_bytes(const void *value)
{
    const struct policy_bytes *bytes = value;
    char text[BASE64_TEXT_BYTES((size_t)POLICY_MAX_BYTES)];
    base64_encode(bytes->data, bytes->count, text);
    return json_string(text);
}

static const struct field_type bytes_type = {
    .parse = parse_bytes,
    .show = show_bytes,
    .expected = "base64 text of at most 128 bytes",
    .schema = "{\"type\":\"string\",\"maxLength\":172,\"pattern\":"
              "\"^([0-9A-Za-z+/]{4})*([0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$\"}"};

static const char *const probe_words[] = {"off", "qcmp", "bytes", NULL};

static const struct field health_rows[] = {
    {.key = "probe",
     .help = "what is sent to a server: off, qcmp (a ping) or bytes (what send has)",
     .kind = FIELD_WORD,
     .words = probe_words,
     HEALTH(probe)},
    {.key = "port",
     .help = "the port for probes; 0: the endpoint's",
     .kind = FIELD_NUMBER,
     .max = UINT16_MAX,
     HEALTH(port)},
    {.key = "send",
     .help = "the bytes of a probe, as base64",
     .kind = FIELD_CUSTOM,
     .type = &bytes_type,
     HEALTH(send)},
    {.key = "expect",
     .help = "what an answer to them begins with, as base64; any answer where it is empty",
     .kind = FIELD_CUSTOM,
     .type = &bytes_type,
     HEALTH(expect)},
    {.key = "interval",
     .help = "between two probes of a server",
     .default_text = "5s",
     .kind = FIELD_DURATION,
     .expected = "a duration from 1s to 1h",
     .min = SECOND_NS,
     .max = 3600 * SECOND_NS,
     HEALTH(interval_ns)},
    {.key = "timeout",
     .help = "how long an answer may take, at most the interval",
     .default_text = "1s",
     .kind = FIELD_DURATION,
     .expected = "a duration from 100ms to 1h",
     .min = SECOND_NS / 10,
     .max = 3600 * SECOND_NS,
     HEALTH(timeout_ns)},
    {.key = "fall",
     .help = "failures in a row after which a server is unhealthy",
     .default_text = "3",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 100,
     HEALTH(fall)},
    {.key = "rise",
     .help = "answers in a row after which it is healthy again",
     .default_text = "2",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 100,
     HEALTH(rise)},
    {.key = "icmp",
     .help = "whether a second in which the network refuses datagrams to a server is a failure",
     .default_text = "true",
     HEALTH(icmp)},
    {.key = "retry",
     .help = "without a probe: how long it is unhealthy before it is tried again",
     .default_text = "30s",
     .kind = FIELD_DURATION,
     .expected = "a duration from 1s to 1d",
     .min = SECOND_NS,
     .max = 86400 * SECOND_NS,
     HEALTH(retry_ns)},
    {0},
};

static int check_health(const void *map)
{
    const struct policy_health *health = map;
    bool has_bytes = health->send.count > 0 || health->expect.count > 0;
    return health->timeout_ns <= health->interval_ns &&
                   (health->probe == POLICY_PROBE_BYTES ? health->send.count > 0 : !has_bytes)
               ? 0
               : -1;
}

static const char *const header_words[] = {"off", "every", "first", NULL};

static const struct field policy_rows[] = {
    {.key = "proxy_protocol",
     .help = "tell the server the player's address, by PROXY protocol version 2: off, every (in "
             "every datagram) or first (in the first of each session)",
     .kind = FIELD_WORD,
     .words = header_words,
     AT(proxy_protocol)},
    {.key = "health",
     .help = "whether servers answer is looked at; one that does not gets no new players",
     .kind = FIELD_MAP,
     .members = health_rows,
     .check = check_health,
     .check_expected = "a timeout of at most the interval; send with the probe bytes, and neither "
                       "send nor expect with another",
     AT(health),
     FIELD_GIVEN(struct policy, has_health)},
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
    if (made == NULL || made->items == NULL) {
        policies_free(made);
        return trees_fail_memory(walk);
    }
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
        field_defaults(health_rows, &policy->policy.health);
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

static bool bytes_equal(const struct policy_bytes *a, const struct policy_bytes *b)
{
    return a->count == b->count && memcmp(a->data, b->data, a->count) == 0;
}

static bool health_equal(const struct policy_health *a, const struct policy_health *b)
{
    return a->probe == b->probe && a->port == b->port && a->icmp == b->icmp &&
           a->interval_ns == b->interval_ns && a->timeout_ns == b->timeout_ns &&
           a->fall == b->fall && a->rise == b->rise && a->retry_ns == b->retry_ns &&
           bytes_equal(&a->send, &b->send) && bytes_equal(&a->expect, &b->expect);
}

bool policy_equal(const struct policy *a, const struct policy *b)
{
    return a->proxy_protocol == b->proxy_protocol && a->has_health == b->has_health &&
           health_equal(&a->health, &b->health);
}

bool policies_equal(const struct policies *a, const struct policies *b)
{
    if (a == NULL || b == NULL || a->count != b->count)
        return a == b;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].locality, b->items[i].locality) != 0 ||
            !policy_equal(&a->items[i].policy, &b->items[i].policy))
            return false;
    }
    return true;
}

const struct policy *policies_find(const struct policies *policies, const char *locality)
{
    static const struct policy none = {.has_health = false};
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
