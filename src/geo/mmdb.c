/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/mmdb.h"

#include <errno.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

#define BITS 128
#define IPV4_BITS 32

/* Records of which the place is remembered: neighbours often have the same one. */
#define KNOWN 4096

/* Nodes between two looks at the clock. A corrupt tree may lead to a node again and again. */
#define LOOK_NODES 4096

struct reading {
    MMDB_s mmdb;
    struct geo_table *table;
    const atomic_bool *is_stopped;
    int64_t end_ns; /* monotonic */
    struct known {
        uint32_t offset; /* 1 + that of the record; 0: none */
        struct geo_place place;
    } known[KNOWN];
};

/* Looks for a value. @return 1, 0: it is not there, or -EINVAL: the database is corrupt. */
static int look_up(MMDB_entry_s *entry, const char *const *path, MMDB_entry_data_s *data)
{
    int code = MMDB_aget_value(entry, data, path);
    if (code == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR)
        return 0;
    return code == MMDB_SUCCESS ? data->has_data : -EINVAL;
}

static void take_country(const MMDB_entry_data_s *data, struct geo_place *place)
{
    const char *text = data->utf8_string;
    if (data->type != MMDB_DATA_TYPE_UTF8_STRING || data->data_size != sizeof place->country)
        return;
    if (text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z')
        memcpy(place->country, text, sizeof place->country);
}

static void take_system(const MMDB_entry_data_s *data, struct geo_place *place)
{
    char text[16];
    uint64_t number;
    if (data->type == MMDB_DATA_TYPE_UINT32)
        place->asn = data->uint32;
    if (data->type != MMDB_DATA_TYPE_UTF8_STRING || data->data_size < 3 ||
        data->data_size >= sizeof text || memcmp(data->utf8_string, "AS", 2) != 0)
        return;
    snprintf(text, sizeof text, "%.*s", (int)data->data_size - 2, data->utf8_string + 2);
    if (number_parse(text, 1, UINT32_MAX, &number) == 0)
        place->asn = (uint32_t)number;
}

static bool is_over(const struct reading *reading)
{
    return atomic_load_explicit(reading->is_stopped, memory_order_relaxed) ||
           clock_monotonic_ns() > reading->end_ns;
}

/* Reads what there is of a record. One that is long takes long to look through. */
static int read_record(struct reading *reading, MMDB_entry_s *entry, struct geo_place *place)
{
    static const struct {
        const char *path[3];
        void (*take)(const MMDB_entry_data_s *data, struct geo_place *place);
    } values[] = {
        {{"country", NULL}, take_country},
        {{"country_code", NULL}, take_country},
        {{"registered_country", "iso_code", NULL}, take_country},
        {{"country", "iso_code", NULL}, take_country}, /* the last one that is there counts */
        {{"asn", NULL}, take_system},
        {{"autonomous_system_number", NULL}, take_system},
    };
    struct known *known = &reading->known[entry->offset % KNOWN];

    if (known->offset != entry->offset + 1) {
        *known = (struct known){.offset = entry->offset + 1};
        for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
            MMDB_entry_data_s data;
            if (is_over(reading))
                return -ETIME;
            int is_there = look_up(entry, values[i].path, &data);
            if (is_there < 0)
                return is_there;
            if (is_there > 0)
                values[i].take(&data, &known->place);
        }
    }
    *place = known->place;
    return 0;
}

/* The bits up to one of them, and that one as it is given. The others are 0. */
static void set_bit(uint8_t address[16], unsigned bit, unsigned value)
{
    uint8_t mask = (uint8_t)(0x80 >> bit % 8);
    address[bit / 8] = (uint8_t)((address[bit / 8] & (uint8_t) - (2 * mask)) | (value ? mask : 0));
    memset(address + bit / 8 + 1, 0, 15 - bit / 8);
}

/* Goes through the tree, whose networks are in order. IPv4 stands in the first 2^32 addresses;
 * where the same part of the tree is linked again it is left out. */
static int walk(struct reading *reading)
{
    struct {
        uint32_t node;
        uint8_t side; /* the next one */
    } stack[BITS] = {{0, 0}};
    const MMDB_s *mmdb = &reading->mmdb;
    unsigned first = mmdb->metadata.ip_version == 4 ? BITS - IPV4_BITS : 0, depth = 0;
    uint32_t ipv4_node = first == 0 ? mmdb->ipv4_start_node.node_value : UINT32_MAX;
    static const uint8_t zeros[12];
    uint8_t address[16] = {0};

    for (uint64_t looks = 1;; looks++) {
        if (looks % LOOK_NODES == 0 && is_over(reading))
            return -ETIME;
        if (stack[depth].side == 2) {
            if (depth-- == 0)
                return 0;
            continue;
        }
        MMDB_search_node_s node;
        unsigned side = stack[depth].side++;
        set_bit(address, first + depth, side);
        if (MMDB_read_node(mmdb, stack[depth].node, &node) != MMDB_SUCCESS)
            return -EINVAL;
        uint64_t record = side == 0 ? node.left_record : node.right_record;
        uint8_t type = side == 0 ? node.left_record_type : node.right_record_type;
        struct geo_place place = {.asn = 0};
        bool is_alias = type == MMDB_RECORD_TYPE_SEARCH_NODE && record == ipv4_node &&
                        memcmp(address, zeros, sizeof zeros) != 0;
        if (type == MMDB_RECORD_TYPE_SEARCH_NODE && !is_alias) {
            if (first + depth + 1 == BITS || record >= mmdb->metadata.node_count)
                return -EINVAL;
            stack[++depth].node = (uint32_t)record;
            stack[depth].side = 0;
            continue;
        }
        int code = 0;
        if (type == MMDB_RECORD_TYPE_DATA)
            code = read_record(
                reading, side == 0 ? &node.left_record_entry : &node.right_record_entry, &place);
        else if (type == MMDB_RECORD_TYPE_INVALID)
            code = -EINVAL;
        if (code == 0)
            code = geo_table_add(reading->table, address, place);
        if (code != 0)
            return code;
    }
}

/* MaxMind's own URLs give such ones. */
static bool is_compressed(int fd)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    uint8_t head[sizeof gzip];

    return pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, gzip, sizeof gzip) == 0;
}

int mmdb_read(struct geo_table **table, int fd, const atomic_bool *is_stopped, struct error *error)
{
    char path[48];
    struct stat status;
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading != NULL)
        reading->table = geo_table_new();
    if (reading == NULL || reading->table == NULL) {
        free(reading);
        return error_system(error, -ENOMEM, "cannot read it");
    }
    reading->is_stopped = is_stopped;
    reading->end_ns = clock_monotonic_ns() + MMDB_MAX_NS;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    bool is_empty = fstat(fd, &status) != 0 || status.st_size == 0;
    int code =
        is_empty ? MMDB_INVALID_METADATA_ERROR : MMDB_open(path, MMDB_MODE_MMAP, &reading->mmdb);
    if (code != MMDB_SUCCESS && is_compressed(fd)) {
        code = error_set(error, -EINVAL,
                         "expected a database of MaxMind's format as it is, found an archive or a "
                         "compressed file: take the .mmdb out of it, by tar -xzf or gunzip");
    } else if (code != MMDB_SUCCESS) {
        code = error_set(error, -EINVAL, "expected a database of MaxMind's format: %s",
                         MMDB_strerror(code));
    } else {
        code = walk(reading);
        MMDB_close(&reading->mmdb);
        if (code == -ETIME)
            error_set(error, code, "it takes too long to read");
        else if (code == -E2BIG)
            error_set(error, code, "it has more than %u networks that differ", GEO_MAX_RANGES);
        else if (code == -EINVAL)
            error_set(error, code, "it is corrupt");
        else if (code != 0)
            error_system(error, code, "cannot read it");
    }
    if (code == 0)
        *table = reading->table;
    else
        geo_table_free(reading->table);
    free(reading);
    return code;
}
