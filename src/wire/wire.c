/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/wire.h>

#include "wire/bits.h"
#include "wire/layout.h"

#include <stdbool.h>

/* Text that counts what it would take and keeps what fits. */
struct text {
    char *bytes;
    size_t capacity;
    size_t length;
};

static inline uint16_t load16(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

static inline uint32_t load32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static inline int64_t load_timestamp(const uint8_t *in)
{
    return bits_to_signed(bits_load64(in));
}

static int length_mismatch(const uint8_t *in, size_t bytes, uint16_t expected,
                           struct qcmp_wire_fault *fault)
{
    const bool has_length = bytes >= QCMP_HEADER_BYTES;

    if (fault != NULL) {
        fault->error = QCMP_ERROR_LENGTH_MISMATCH;
        fault->value = 0;
        fault->stated = has_length ? load16(in + LAYOUT_LENGTH_OFFSET) : 0;
        fault->expected = expected;
        fault->available = has_length ? bytes - QCMP_HEADER_BYTES : 0;
    }
    return QCMP_ERROR_LENGTH_MISMATCH;
}

static int bad_value(int error, uint8_t value, struct qcmp_wire_fault *fault)
{
    if (fault != NULL) {
        const struct qcmp_wire_fault made = {error, value, 0, 0, 0};

        *fault = made;
    }
    return error;
}

int qcmp_packet_decode(const void *data, size_t bytes, struct qcmp_packet *packet,
                       struct qcmp_wire_fault *fault)
{
    const uint8_t *in = (const uint8_t *)data;

    if (bytes < LAYOUT_MAGIC_BYTES || load32(in) != LAYOUT_MAGIC)
        return QCMP_FOREIGN;
    if (bytes < QCMP_PING_BYTES)
        return length_mismatch(in, bytes, 0, fault);
    if (in[LAYOUT_VERSION_OFFSET] != QCMP_VERSION_ON_WIRE)
        return bad_value(QCMP_ERROR_UNKNOWN_VERSION, in[LAYOUT_VERSION_OFFSET], fault);
    if (in[LAYOUT_COMMAND_OFFSET] != LAYOUT_PING && in[LAYOUT_COMMAND_OFFSET] != LAYOUT_PONG)
        return bad_value(QCMP_ERROR_INVALID_COMMAND, in[LAYOUT_COMMAND_OFFSET], fault);

    const bool pong = in[LAYOUT_COMMAND_OFFSET] == LAYOUT_PONG;
    const uint16_t expected = pong ? LAYOUT_PONG_LENGTH : LAYOUT_PING_LENGTH;

    /* Total length, length field and remaining bytes: three rules that give the same fault. */
    if (bytes - QCMP_HEADER_BYTES != expected || load16(in + LAYOUT_LENGTH_OFFSET) != expected)
        return length_mismatch(in, bytes, expected, fault);

    packet->kind = pong ? QCMP_PONG : QCMP_PING;
    packet->nonce = in[LAYOUT_NONCE_OFFSET];
    packet->client_ns = load_timestamp(in + LAYOUT_CLIENT_OFFSET);
    packet->server_start_ns = pong ? load_timestamp(in + LAYOUT_START_OFFSET) : 0;
    packet->server_transmit_ns = pong ? load_timestamp(in + QCMP_TRANSMIT_OFFSET) : 0;
    return (int)packet->kind;
}

static inline void store_timestamp(int64_t timestamp_ns, uint8_t *out)
{
    bits_store64((uint64_t)timestamp_ns, out);
}

void qcmp_timestamp_encode(int64_t timestamp_ns, void *buffer)
{
    store_timestamp(timestamp_ns, (uint8_t *)buffer);
}

int qcmp_packet_encode(const struct qcmp_packet *packet, void *buffer, size_t capacity)
{
    const bool pong = packet->kind == QCMP_PONG;
    const int bytes = pong ? QCMP_PONG_BYTES : QCMP_PING_BYTES;
    uint8_t *out = (uint8_t *)buffer;

    if (!pong && packet->kind != QCMP_PING)
        return QCMP_ERROR_INVALID_ARGUMENT;
    if (capacity < (size_t)bytes)
        return QCMP_ERROR_BUFFER_TOO_SMALL;

    out[0] = 'Q';
    out[1] = 'L';
    out[2] = 'K';
    out[3] = 'N';
    out[LAYOUT_VERSION_OFFSET] = QCMP_VERSION_ON_WIRE;
    out[LAYOUT_COMMAND_OFFSET] = pong ? LAYOUT_PONG : LAYOUT_PING;
    out[LAYOUT_LENGTH_OFFSET] = 0;
    out[LAYOUT_LENGTH_OFFSET + 1] = pong ? LAYOUT_PONG_LENGTH : LAYOUT_PING_LENGTH;
    out[LAYOUT_NONCE_OFFSET] = packet->nonce;
    store_timestamp(packet->client_ns, out + LAYOUT_CLIENT_OFFSET);
    if (pong) {
        store_timestamp(packet->server_start_ns, out + LAYOUT_START_OFFSET);
        store_timestamp(packet->server_transmit_ns, out + QCMP_TRANSMIT_OFFSET);
    }
    return bytes;
}

static void text_add(struct text *text, const char *more)
{
    for (; *more != '\0'; more++, text->length++) {
        if (text->length < text->capacity)
            text->bytes[text->length] = *more;
    }
}

static void text_add_number(struct text *text, size_t number)
{
    char digits[3 * sizeof number + 1]; /* a byte is less than three decimal digits */
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    text_add(text, digits + at);
}

static void text_end(struct text *text)
{
    if (text->capacity > 0)
        text->bytes[text->length < text->capacity ? text->length : text->capacity - 1] = '\0';
}

size_t qcmp_wire_fault_format(const struct qcmp_wire_fault *fault, char *text, size_t capacity)
{
    struct text line = {text, capacity, 0};

    text_add(&line, qcmp_error_text(fault->error));
    if (fault->error == QCMP_ERROR_UNKNOWN_VERSION || fault->error == QCMP_ERROR_INVALID_COMMAND) {
        text_add(&line, ": ");
        text_add_number(&line, fault->value);
    }
    if (fault->error == QCMP_ERROR_LENGTH_MISMATCH) {
        text_add(&line, ": stated ");
        text_add_number(&line, fault->stated);
        text_add(&line, ", available ");
        text_add_number(&line, fault->available);
        if (fault->expected != 0) {
            text_add(&line,
                     fault->expected == LAYOUT_PING_LENGTH ? ", a ping has " : ", a pong has ");
            text_add_number(&line, fault->expected);
        }
    }
    text_end(&line);
    return line.length;
}
