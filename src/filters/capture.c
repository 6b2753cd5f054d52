/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "filters/list.h"
#include "filters/regex.h"

/* Bytes at one end of a datagram. */
struct part {
    bool is_there;
    uint32_t size;
    bool remove;
};

struct expression {
    bool is_there;
    struct pattern {
        char text[REGEX_MAX_BYTES];
        struct regex *regex; /* compiled */
    } pattern;
};

struct capture {
    char name[FILTER_NAME_BYTES];
    struct part prefix, suffix;
    struct expression expression;
    int value, is_present; /* indexes of metadata */
};

enum {
    NO_VALUE
};
static const char *const reasons[] = {[NO_VALUE] = "filter::capture::no value captured", NULL};

#define PART(key_, member, help_)                                                                  \
    {                                                                                              \
        .key = (key_), .help = (help_), .kind = FIELD_MAP, .members = part_fields,                 \
        FIELD_AT(struct capture, member), .given = (offsetof(struct capture, member.is_there) + 1) \
    }

static const struct field part_fields[] = {
    {.key = "size",
     .help = "how many bytes",
     .kind = FIELD_NUMBER,
     .max = PACKET_MAX_BYTES,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct part, size)},
    {.key = "remove", .help = "whether the datagram loses them", FIELD_AT(struct part, remove)},
    {0},
};

#define PATTERN_EXPECTED "a regular expression of at most 1023 bytes"

static void forget_pattern(void *value)
{
    struct pattern *pattern = value;
    regex_free(pattern->regex);
    pattern->regex = NULL;
}

static int take_pattern(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct pattern *pattern = value;
    struct error reason;
    if (node->type != YAML_TEXT || node->text[0] == '\0' || strlen(node->text) >= REGEX_MAX_BYTES)
        return field_fail(walk, node, PATTERN_EXPECTED, true);
    forget_pattern(pattern);
    memcpy(pattern->text, node->text, strlen(node->text) + 1);
    int code = regex_new(&pattern->regex, pattern->text, &reason);
    if (code != 0)
        return error_set(walk->error, code, "%u:%u: %s: %s", node->line, node->column, walk->path,
                         reason.text);
    return 0;
}

static json_t *show_pattern(const void *value, bool with_private)
{
    (void)with_private;
    return json_string(((const struct pattern *)value)->text);
}

static json_t *pattern_schema(void)
{
    return json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", 1, "maxLength",
                     REGEX_MAX_BYTES - 1);
}

static const struct field_tree pattern_tree = {
    .take = take_pattern, .show = show_pattern, .schema = pattern_schema, .fini = forget_pattern};

static const struct field regex_fields[] = {
    {.key = "pattern",
     .help = "a regular expression in the syntax of Rust's regex crate",
     .kind = FIELD_TREE,
     .tree = &pattern_tree,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct expression, pattern)},
    {0},
};

static const struct field fields[] = {
    {.key = "metadataKey",
     .help = "the name under which later filters find the value",
     .kind = FIELD_TEXT,
     .default_text = FILTER_DEFAULT_NAME,
     FIELD_AT(struct capture, name)},
    PART("prefix", prefix, "bytes from the beginning"),
    PART("suffix", suffix, "bytes from the end"),
    {.key = "regex",
     .help = "what an expression finds",
     .kind = FIELD_MAP,
     .members = regex_fields,
     FIELD_AT(struct capture, expression),
     FIELD_GIVEN(struct capture, expression.is_there)},
    {0},
};

static int open_capture(void *filter, struct filter_names *names, struct error *error)
{
    struct capture *capture = filter;
    char present[FILTER_NAME_BYTES + 16];

    if (capture->prefix.is_there + capture->suffix.is_there + capture->expression.is_there != 1)
        return error_set(error, -EINVAL, "expected one of prefix, suffix, regex");
    snprintf(present, sizeof present, "%s/is_present", capture->name);
    capture->value = filter_name(names, capture->name);
    capture->is_present = filter_name(names, present);
    if (capture->value < 0 || capture->is_present < 0)
        return error_set(error, -ENOSPC, "expected at most %d names of metadata, of %d bytes",
                         FILTER_MAX_NAMES, FILTER_NAME_BYTES - 1);
    return 0;
}

static int start(const void *filter, void *mine, unsigned worker)
{
    const struct capture *capture = filter;
    struct regex_memory **memory = mine;
    (void)worker;
    if (capture->expression.pattern.regex == NULL)
        return 0;
    *memory = regex_memory_new(capture->expression.pattern.regex);
    return *memory != NULL ? 0 : -ENOMEM;
}

static void stop(const void *filter, void *mine)
{
    (void)filter;
    regex_memory_free(*(struct regex_memory **)mine);
}

static enum filter_result read_expression(const struct capture *capture,
                                          struct regex_memory *memory, struct filter_call *call)
{
    size_t begin = 0, end = 0;
    unsigned found = regex_find(capture->expression.pattern.regex, memory, call->packet->data,
                                call->packet->bytes, &begin, &end);

    call->metadata[capture->is_present] =
        (struct metadata){.kind = METADATA_BOOL, .number = found > 0};
    if (found == 0) {
        call->reason = NO_VALUE;
        return FILTER_DROP;
    }
    call->metadata[capture->value] =
        (struct metadata){.kind = found == 1 ? METADATA_BYTES : METADATA_LIST,
                          .data = call->packet->data + begin,
                          .bytes = (uint32_t)(end - begin)};
    return FILTER_NEXT;
}

static enum filter_result read_capture(const void *filter, void *mine, struct filter_call *call)
{
    const struct capture *capture = filter;
    struct packet *packet = call->packet;
    bool is_prefix = capture->prefix.is_there;
    const struct part *part = is_prefix ? &capture->prefix : &capture->suffix;

    if (capture->expression.pattern.regex != NULL)
        return read_expression(capture, *(struct regex_memory **)mine, call);
    call->metadata[capture->is_present] =
        (struct metadata){.kind = METADATA_BOOL, .number = packet->bytes >= part->size};
    if (packet->bytes < part->size) {
        call->reason = NO_VALUE;
        return FILTER_DROP;
    }

    const uint8_t *value = is_prefix ? packet->data : packet->data + packet->bytes - part->size;
    if (part->remove) {
        if (call->scratch_bytes + part->size > FILTER_SCRATCH_BYTES)
            return FILTER_TOO_LARGE; /* what other filters added was taken again and again */
        uint8_t *copy = call->scratch + call->scratch_bytes;
        memcpy(copy, value, part->size);
        call->scratch_bytes += part->size;
        value = copy;
        packet->bytes -= part->size;
        packet->data += is_prefix ? part->size : 0;
    }
    call->metadata[capture->value] =
        (struct metadata){.kind = METADATA_BYTES, .data = value, .bytes = part->size};
    return FILTER_NEXT;
}

static bool repeats(const void *filter, struct filter_repeat *repeat)
{
    const struct capture *capture = filter;
    const struct part *part = capture->prefix.is_there ? &capture->prefix : &capture->suffix;
    if (!part->is_there || repeat->has_value)
        return false;
    repeat->has_value = true;
    repeat->is_suffix = capture->suffix.is_there;
    repeat->is_removed = part->remove;
    repeat->size = part->size;
    return true;
}

const struct filter_ops filter_capture = {.id = "quilkin.filters.capture.v1alpha1.Capture",
                                          .fields = fields,
                                          .needs_config = true,
                                          .reasons = reasons,
                                          .filter_bytes = sizeof(struct capture),
                                          .worker_bytes = sizeof(struct regex_memory *),
                                          .open = open_capture,
                                          .start = start,
                                          .stop = stop,
                                          .read = read_capture,
                                          .repeats = repeats,
                                          .rules = "{\"oneOf\":[{\"required\":[\"prefix\"]},"
                                                   "{\"required\":[\"suffix\"]},"
                                                   "{\"required\":[\"regex\"]}]}"};
