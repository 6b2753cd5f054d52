/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A database in MaxMind's format (its specification 2.0), made of a few networks.
 */
#ifndef PADDOCK_SUPPORT_MMDB_WRITE_H
#define PADDOCK_SUPPORT_MMDB_WRITE_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MMDB_NODES 2048
#define MMDB_RECORDS 64

/** One under way. Zeroed it is empty. */
struct mmdb_write {
    uint32_t nodes[MMDB_NODES][2]; /* 0: empty; 1 + a node; or above MMDB_NODES: 1 + a record */
    uint32_t count;
    uint8_t data[4096];
    uint32_t bytes, records[MMDB_RECORDS], records_count;
};

static void mmdb_byte(struct mmdb_write *made, unsigned byte)
{
    made->data[made->bytes++] = (uint8_t)byte;
}

static void mmdb_text(struct mmdb_write *made, const char *text)
{
    mmdb_byte(made, 2U << 5 | (unsigned)strlen(text));
    memcpy(made->data + made->bytes, text, strlen(text));
    made->bytes += (uint32_t)strlen(text);
}

static void mmdb_map(struct mmdb_write *made, unsigned pairs)
{
    mmdb_byte(made, 7U << 5 | pairs);
}

static void mmdb_number(struct mmdb_write *made, uint32_t number)
{
    mmdb_byte(made, 6U << 5 | 4);
    for (unsigned shift = 32; shift > 0; shift -= 8)
        mmdb_byte(made, number >> (shift - 8) & 0xff);
}

static void mmdb_short(struct mmdb_write *made, unsigned number)
{
    mmdb_byte(made, 5U << 5 | 1);
    mmdb_byte(made, number);
}

/** Begins a record, whose value follows; returns its number. */
static uint32_t mmdb_record(struct mmdb_write *made)
{
    made->records[made->records_count] = made->bytes;
    return made->records_count++;
}

/** Gives a network, by its first bits of 128, a record. */
static void mmdb_network(struct mmdb_write *made, const uint8_t address[16], unsigned bits,
                         uint32_t record)
{
    uint32_t node = 0;
    made->count += made->count == 0;
    for (unsigned i = 0; i < bits; i++) {
        uint32_t *next = &made->nodes[node][address[i / 8] >> (7 - i % 8) & 1];
        if (i + 1 == bits)
            *next = MMDB_NODES + 1 + record;
        else if (*next == 0)
            *next = 1 + made->count++;
        assert(made->count < MMDB_NODES);
        node = *next - 1;
    }
}

/** Writes the whole of it, of IPv6; returns its bytes. */
static size_t mmdb_finish(const struct mmdb_write *made, uint8_t *out)
{
    static struct mmdb_write meta;
    size_t at = 0;
    for (uint32_t i = 0; i < made->count; i++) {
        for (unsigned side = 0; side < 2; side++) {
            uint32_t next = made->nodes[i][side], value = made->count;
            if (next > MMDB_NODES)
                value += 16 + made->records[next - MMDB_NODES - 1];
            else if (next > 0)
                value = next - 1;
            for (unsigned shift = 32; shift > 0; shift -= 8)
                out[at++] = (uint8_t)(value >> (shift - 8));
        }
    }
    memset(out + at, 0, 16);
    memcpy(out + at + 16, made->data, made->bytes);
    at += 16 + made->bytes;
    memcpy(out + at, "\xab\xcd\xefMaxMind.com", 14);
    at += 14;
    meta.bytes = 0;
    mmdb_map(&meta, 9);
    mmdb_text(&meta, "node_count");
    mmdb_number(&meta, made->count);
    mmdb_text(&meta, "record_size");
    mmdb_short(&meta, 32);
    mmdb_text(&meta, "ip_version");
    mmdb_short(&meta, 6);
    mmdb_text(&meta, "database_type");
    mmdb_text(&meta, "Test");
    mmdb_text(&meta, "languages");
    mmdb_byte(&meta, 0); /* an array of a further type */
    mmdb_byte(&meta, 4);
    mmdb_text(&meta, "description");
    mmdb_map(&meta, 0);
    mmdb_text(&meta, "build_epoch");
    mmdb_byte(&meta, 1); /* 64 bits of a further type */
    mmdb_byte(&meta, 2);
    mmdb_byte(&meta, 1);
    mmdb_text(&meta, "binary_format_minor_version");
    mmdb_short(&meta, 0);
    mmdb_text(&meta, "binary_format_major_version");
    mmdb_short(&meta, 2);
    memcpy(out + at, meta.data, meta.bytes);
    return at + meta.bytes;
}

#endif
