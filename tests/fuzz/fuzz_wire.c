/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a datagram; its last two bytes, where there are more than 40, are taken for the true
 * size of a truncated one. */
#include <qcmp/wire.h>

#include "support/check.h"
#include "support/wire_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_round_trip(const uint8_t *data, size_t bytes)
{
    uint8_t again[QCMP_MAX_BYTES];
    struct qcmp_packet packet;

    if (qcmp_packet_decode(data, bytes, &packet, NULL) <= 0)
        return;
    CHECK(qcmp_packet_encode(&packet, again, sizeof again) == (int)bytes);
    CHECK(memcmp(again, data, bytes) == 0);
}

static void check_text(const uint8_t *data, size_t bytes)
{
    struct qcmp_packet packet;
    struct qcmp_wire_fault fault;
    char text[100], cut[8];

    if (qcmp_packet_decode(data, bytes, &packet, &fault) >= 0)
        return;

    const size_t length = qcmp_wire_fault_format(&fault, text, sizeof text);

    CHECK(length < sizeof text && strlen(text) == length);
    CHECK(qcmp_wire_fault_format(&fault, cut, sizeof cut) == length);
    CHECK(strlen(cut) == sizeof cut - 1 && strncmp(cut, text, sizeof cut - 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const size_t size = bytes > 40 ? (size_t)rules_number(data + bytes - 2, 2) : bytes;

    CHECK(rules_hold(data, size));
    check_round_trip(data, size);
    check_text(data, size);
    return 0;
}
