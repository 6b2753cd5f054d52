/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "filters/list.h"

/* Bytes at one end of a datagram. */
struct part {
    bool is_there;
    uint32_t size;
    bool remove;
};

struct capture {
    char name[FILTER_NAME_BYTES];
    struct part prefix, suffix;
    int value, is_present; /* indexes of metadata */
};

enum {
    NO_VALUE
};
static const char *const reasons[] = {[NO_VALUE] = "filter::capture::no value captured", NULL};

#define PART(key_, member, help_)                                                                  \
    {                                                                                              \
        .key = (key_), .help = (help_), .kind = FIELD_MAP, .members = part_fields,                 \
        FIELD_AT(struct capture, member), .given = offsetof(struct capture, member.is_there) + 1   \
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

static const struct field fields[] = {
    {.key = "metadataKey",
     .help = "the name under which later filters find the value",
     .kind = FIELD_TEXT,
     .default_text = FILTER_DEFAULT_NAME,
     FIELD_AT(struct capture, name)},
    PART("prefix", prefix, "bytes from the beginning"),
    PART("suffix", suffix, "bytes from the end"),
    {0},
};

static int open_capture(void *filter, struct filter_names *names, struct error *error)
{
    struct capture *capture = filter;
    char present[FILTER_NAME_BYTES + 16];

    if (capture->prefix.is_there == capture->suffix.is_there)
        return error_set(error, -EINVAL, "expected one of prefix, suffix");
    snprintf(present, sizeof present, "%s/is_present", capture->name);
    capture->value = filter_name(names, capture->name);
    capture->is_present = filter_name(names, present);
    if (capture->value < 0 || capture->is_present < 0)
        return error_set(error, -ENOSPC, "expected at most %d names of metadata, of %d bytes",
                         FILTER_MAX_NAMES, FILTER_NAME_BYTES - 1);
    return 0;
}

static enum filter_result read_capture(const void *filter, void *mine, struct filter_call *call)
{
    const struct capture *capture = filter;
    struct packet *packet = call->packet;
    bool is_prefix = capture->prefix.is_there;
    const struct part *part = is_prefix ? &capture->prefix : &capture->suffix;
    (void)mine;

    call->metadata[capture->is_present] =
        (struct metadata){.kind = METADATA_BOOL, .number = packet->bytes >= part->size};
    if (packet->bytes < part->size) {
        call->reason = NO_VALUE;
        return FILTER_DROP;
    }

    const uint8_t *value = is_prefix ? packet->data : packet->data + packet->bytes - part->size;
    if (part->remove) {
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

const struct filter_ops filter_capture = {.id = "quilkin.filters.capture.v1alpha1.Capture",
                                          .fields = fields,
                                          .rules = "{\"oneOf\": [{\"required\": [\"prefix\"]},"
                                                   "{\"required\": [\"suffix\"]}]}",
                                          .needs_config = true,
                                          .reasons = reasons,
                                          .filter_bytes = sizeof(struct capture),
                                          .open = open_capture,
                                          .read = read_capture};
