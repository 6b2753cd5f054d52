#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""macho_exports.py FILE: the names that a 64-bit Mach-O library defines for others, one a line, without their underscore."""
import struct
import sys

LINKERS_OWN = {"__dso_handle", "_mh_dylib_header"}
LC_SYMTAB, EXTERNAL, PRIVATE, TYPE, SECTION = 2, 0x01, 0x10, 0x0E, 0x0E


def exports(data):
    magic, _, _, _, commands = struct.unpack_from("<5I", data)
    assert magic == 0xFEEDFACF, "no 64-bit Mach-O file"
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", data, at)
        if command == LC_SYMTAB:
            symbols, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
            for i in range(count):
                name, kind = struct.unpack_from("<IB", data, symbols + 16 * i)
                if kind & EXTERNAL and not kind & PRIVATE and kind & TYPE == SECTION:
                    start = strings + name
                    yield data[start:data.index(b"\0", start)].decode().removeprefix("_")
        at += size


with open(sys.argv[1], "rb") as library:
    print("\n".join(sorted(set(exports(library.read())) - LINKERS_OWN)))
