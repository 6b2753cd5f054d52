/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/ring.h"
#include "filters/list.h"
#include "net/address.h"

/* What a worker keeps until the control thread logs it, which is every second. */
#define ENTRIES 256
#define ENTRY_BYTES 1024

/* An escaped byte has at most four characters. */
#define SHOWN_BYTES (4 * ENTRY_BYTES + 4)

struct debug {
    char id[FILTER_NAME_BYTES];
};

struct entry {
    struct endpoint source, dest;
    bool is_write;
    uint32_t bytes;
    uint8_t data[ENTRY_BYTES];
};

static const struct field fields[] = {
    {.key = "id", .help = "a text for the log", .kind = FIELD_TEXT, FIELD_AT(struct debug, id)},
    {0},
};

static int start(const void *filter, void *mine, unsigned worker)
{
    (void)filter;
    (void)worker;
    return ring_init(mine, ENTRIES, sizeof(struct entry));
}

static void stop(const void *filter, void *mine)
{
    (void)filter;
    ring_fini(mine);
}

static enum filter_result note(struct ring *own, const struct filter_call *call)
{
    struct entry *entry = ring_reserve(own);
    if (entry == NULL)
        return FILTER_NEXT;
    uint32_t kept = call->packet->bytes < ENTRY_BYTES ? call->packet->bytes : ENTRY_BYTES;
    entry->is_write = call->server != NULL;
    entry->source = *call->source;
    entry->dest = call->player != NULL ? *call->player : (struct endpoint){.port = 0};
    entry->bytes = call->packet->bytes;
    memcpy(entry->data, call->packet->data, kept);
    ring_commit(own);
    return FILTER_NEXT;
}

static enum filter_result run_debug(const void *filter, void *mine, struct filter_call *call)
{
    (void)filter;
    return note(mine, call);
}

/* As the reference shows bytes: ASCII text with escapes. */
static void escape(const struct entry *entry, char text[SHOWN_BYTES])
{
    static const char *const short_escapes[] = {['\t'] = "\\t", ['\n'] = "\\n", ['\r'] = "\\r",
                                                ['"'] = "\\\"", ['\''] = "\\'", ['\\'] = "\\\\"};
    uint32_t kept = entry->bytes < ENTRY_BYTES ? entry->bytes : ENTRY_BYTES;
    size_t used = 0;
    for (uint32_t i = 0; i < kept; i++) {
        uint8_t byte = entry->data[i];
        const char *escaped =
            byte < sizeof short_escapes / sizeof short_escapes[0] ? short_escapes[byte] : NULL;
        if (escaped != NULL)
            used += (size_t)snprintf(text + used, 5, "%s", escaped);
        else
            used += (size_t)snprintf(text + used, 5, byte >= ' ' && byte < 0x7f ? "%c" : "\\x%02x",
                                     byte);
    }
    snprintf(text + used, 4, "%s", kept < entry->bytes ? "..." : "");
}

static void report(const void *filter, void *mine, struct log *log)
{
    const struct debug *debug = filter;
    const struct entry *entry;
    char source[ADDRESS_TEXT_BYTES], dest[ADDRESS_TEXT_BYTES], contents[SHOWN_BYTES];

    for (; (entry = ring_peek(mine)) != NULL; ring_release(mine)) {
        address_format(&entry->source.address, ntohs(entry->source.port), source);
        address_format(&entry->dest.address, ntohs(entry->dest.port), dest);
        escape(entry, contents);
        if (entry->is_write)
            LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "Write filter event"),
                      log_text("id", debug->id), log_text("source", source), log_text("dest", dest),
                      log_text("contents", contents));
        else
            LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "Read filter event"),
                      log_text("id", debug->id), log_text("source", source),
                      log_text("contents", contents));
    }
    uint64_t lost = ring_take_lost(mine);
    if (lost > 0)
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "more datagrams than a debug filter can log"),
                  log_text("id", debug->id), log_uint("lost", lost));
}

const struct filter_ops filter_debug = {.id = "quilkin.filters.debug.v1alpha1.Debug",
                                        .fields = fields,
                                        .filter_bytes = sizeof(struct debug),
                                        .worker_bytes = sizeof(struct ring),
                                        .start = start,
                                        .stop = stop,
                                        .read = run_debug,
                                        .write = run_debug,
                                        .report = report};
