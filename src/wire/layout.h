/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Where the fields of a packet are, and what they hold; for the codec, and for the program that
 * runs in the kernel. Not installed. Source: docs/protocol.md, section 1.
 */
#ifndef PADDOCK_WIRE_LAYOUT_H
#define PADDOCK_WIRE_LAYOUT_H

#include <stdint.h>

#include <qcmp/wire.h>

#define LAYOUT_MAGIC UINT32_C(0x514c4b4e) /* QLKN */
#define LAYOUT_MAGIC_BYTES 4
#define LAYOUT_VERSION_OFFSET 4
#define LAYOUT_COMMAND_OFFSET 5
#define LAYOUT_LENGTH_OFFSET 6
#define LAYOUT_NONCE_OFFSET 8
#define LAYOUT_CLIENT_OFFSET 9
#define LAYOUT_START_OFFSET 17
#define LAYOUT_PING 0 /**< the command */
#define LAYOUT_PONG 1
#define LAYOUT_PING_LENGTH (QCMP_PING_BYTES - QCMP_HEADER_BYTES)
#define LAYOUT_PONG_LENGTH (QCMP_PONG_BYTES - QCMP_HEADER_BYTES)

/** The first eight bytes of a packet, as one big-endian number. */
#define LAYOUT_HEADER(command, length)                                                             \
    ((uint64_t)LAYOUT_MAGIC << 32 | (uint64_t)QCMP_VERSION_ON_WIRE << 24 |                         \
     (uint64_t)(command) << 16 | (uint64_t)(length))

#endif
