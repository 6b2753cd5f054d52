/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef void write_fn(FILE *out, int64_t rtt_ns);

static void write_latency(FILE *out, int64_t rtt_ns)
{
    fprintf(out, "%" PRId64, rtt_ns);
}

static void write_coordinates(FILE *out, int64_t rtt_ns)
{
    fprintf(out, "{\"incoming\":%" PRId64 ",\"outgoing\":%" PRId64 "}", rtt_ns / 2,
            rtt_ns - rtt_ns / 2);
}

static struct http_blob *render(const struct nodes *nodes, write_fn *write)
{
    const char *before = "";
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL)
        return NULL;
    fputc('{', out);
    for (size_t i = 0; i < nodes->sites_count; i++) {
        const struct site *site = nodes->sites[i];
        if (site->best == NULL)
            continue;
        fprintf(out, "%s\"%s\":", before, site->icao_code);
        write(out, site->shown_ns);
        before = ",";
    }
    fputs("}\n", out);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed != 0) {
        free(text);
        return NULL;
    }
    return http_blob_new(text, bytes);
}

struct http_blob *table_latencies(const struct nodes *nodes)
{
    return render(nodes, write_latency);
}

struct http_blob *table_coordinates(const struct nodes *nodes)
{
    return render(nodes, write_coordinates);
}
