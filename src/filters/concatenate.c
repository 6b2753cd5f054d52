/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "filters/list.h"

enum strategy {
    DO_NOTHING,
    APPEND,
    PREPEND
};

struct bytes {
    uint8_t *data;
    size_t count;
};

struct concatenate {
    enum strategy on_read, on_write;
    bool has_read, has_write;
    struct bytes bytes;
};

static const char *const strategies[] = {"DO_NOTHING", "APPEND", "PREPEND", NULL};

static int take_bytes(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct bytes *bytes = value, taken = {0};
    if (node->type == YAML_TEXT)
        taken.data = malloc(strlen(node->text) + 1);
    if (node->type == YAML_TEXT && taken.data == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    if (node->type != YAML_TEXT || base64_decode(node->text, taken.data, &taken.count) != 0) {
        free(taken.data);
        return field_fail(walk, node, "base64 text with its padding", true);
    }
    free(bytes->data);
    *bytes = taken;
    return 0;
}

static json_t *show_bytes(const void *value, bool with_private)
{
    const struct bytes *bytes = value;
    char *text = malloc(BASE64_TEXT_BYTES(bytes->count));
    json_t *json = NULL;
    (void)with_private;
    if (text != NULL) {
        base64_encode(bytes->data, bytes->count, text);
        json = json_string(text);
    }
    free(text);
    return json;
}

static json_t *bytes_schema(void)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern",
                     "^([0-9A-Za-z+/]{4})*([0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$");
}

static void forget_bytes(void *value)
{
    struct bytes *bytes = value;
    free(bytes->data);
    *bytes = (struct bytes){0};
}

static const struct field_tree bytes_tree = {
    .take = take_bytes, .show = show_bytes, .schema = bytes_schema, .fini = forget_bytes};

static const struct field fields[] = {
    {.key = "on_read",
     .help = "where players' datagrams get the bytes",
     .kind = FIELD_WORD,
     .words = strategies,
     FIELD_AT(struct concatenate, on_read),
     FIELD_GIVEN(struct concatenate, has_read)},
    {.key = "on_write",
     .help = "where servers' datagrams get the bytes",
     .kind = FIELD_WORD,
     .words = strategies,
     FIELD_AT(struct concatenate, on_write),
     FIELD_GIVEN(struct concatenate, has_write)},
    {.key = "bytes",
     .help = "what is added, as base64",
     .kind = FIELD_TREE,
     .tree = &bytes_tree,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct concatenate, bytes)},
    {0},
};

static int open_concatenate(void *filter, struct filter_names *names, struct error *error)
{
    const struct concatenate *concatenate = filter;
    (void)names;
    return concatenate->has_read || concatenate->has_write
               ? 0
               : error_set(error, -EINVAL, "expected one of on_read, on_write");
}

/* The datagram moves into the spare memory where it has grown out of its own, so far from both ends
 * that it can become as long as any on either side. */
static enum filter_result make_room(struct filter_call *call, const uint8_t *begin,
                                    const uint8_t *end)
{
    struct packet *packet = call->packet;
    if (begin >= call->floor && end <= call->ceiling)
        return FILTER_NEXT;
    if (call->floor == call->spare)
        return FILTER_TOO_LARGE; /* grown and cut again and again */
    uint8_t *middle = call->spare + PACKET_MAX_BYTES;
    memcpy(middle, packet->data, packet->bytes);
    packet->data = middle;
    call->floor = call->spare;
    call->ceiling = call->spare + FILTER_SPARE_BYTES;
    return FILTER_NEXT;
}

static enum filter_result add(const struct bytes *bytes, enum strategy strategy,
                              struct filter_call *call)
{
    struct packet *packet = call->packet;
    size_t before = strategy == PREPEND ? bytes->count : 0;
    size_t behind = strategy == APPEND ? bytes->count : 0;

    if (strategy == DO_NOTHING || bytes->count == 0)
        return FILTER_NEXT;
    if (bytes->count > FILTER_MAX_BYTES || packet->bytes + bytes->count > FILTER_MAX_BYTES ||
        make_room(call, packet->data - before, packet->data + packet->bytes + behind) !=
            FILTER_NEXT)
        return FILTER_TOO_LARGE;
    packet->data -= before;
    memcpy(strategy == PREPEND ? packet->data : packet->data + packet->bytes, bytes->data,
           bytes->count);
    packet->bytes += (uint32_t)bytes->count;
    return FILTER_NEXT;
}

static enum filter_result read_concatenate(const void *filter, void *mine, struct filter_call *call)
{
    const struct concatenate *concatenate = filter;
    (void)mine;
    return add(&concatenate->bytes, concatenate->on_read, call);
}

static enum filter_result write_concatenate(const void *filter, void *mine,
                                            struct filter_call *call)
{
    const struct concatenate *concatenate = filter;
    (void)mine;
    return add(&concatenate->bytes, concatenate->on_write, call);
}

const struct filter_ops filter_concatenate = {
    .id = "quilkin.filters.concatenate.v1alpha1.Concatenate",
    .fields = fields,
    .needs_config = true,
    .filter_bytes = sizeof(struct concatenate),
    .open = open_concatenate,
    .read = read_concatenate,
    .write = write_concatenate,
    .rules = "{\"anyOf\":[{\"required\":[\"on_read\"]},{\"required\":[\"on_write\"]}],"
             "\"required\":[\"bytes\"]}"};
