/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "base/text.h"

void exchange_ack(struct exchange *exchange)
{
    exchange->acks++;
    exchange->acked_ns = clock_monotonic_ns();
}

void exchange_nack(struct exchange *exchange, const char *error)
{
    exchange->nacks++;
    exchange->nacked_ns = clock_monotonic_ns();
    text_escape(error, exchange->error, sizeof exchange->error);
}

void exchange_add_version(uint64_t *digest, const char *name, const char *version)
{
    static const struct siphash_key known = {{0x7061646f636b3039, 0x646967657374}};
    uint64_t of_name = siphash(&known, (const uint8_t *)name, strlen(name));
    uint64_t of_version = siphash(&known, (const uint8_t *)version, strlen(version));

    *digest += siphash_17(&known, of_name, of_version, 0);
}

static json_t *ago(int64_t at_ns)
{
    int64_t ago_ms = (clock_monotonic_ns() - at_ns) / 1000000;

    return at_ns != 0 ? json_real((double)ago_ms / 1000) : json_null();
}

json_t *exchange_show(const struct exchange *exchange, size_t resources, uint64_t digest)
{
    char version[17];

    snprintf(version, sizeof version, "%016" PRIx64, digest);
    return json_pack(
        "{s:I, s:s, s:I, s:I, s:I, s:o, s:o, s:s?}", "resources", (json_int_t)resources, "version",
        version, "responses", (json_int_t)exchange->responses, "acks", (json_int_t)exchange->acks,
        "nacks", (json_int_t)exchange->nacks, "last_ack_s", ago(exchange->acked_ns), "last_nack_s",
        ago(exchange->nacked_ns), "last_error", exchange->nacks > 0 ? exchange->error : NULL);
}
