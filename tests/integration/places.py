# SPDX-License-Identifier: Apache-2.0
"""Databases in MaxMind's format (its specification 2.0), made of a few networks."""
import ipaddress
import struct


def encoded(value):
    def head(kind, size):
        return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
    if isinstance(value, str):
        return head(2, len(value)) + value.encode()
    if isinstance(value, dict):
        return head(7, len(value)) + b"".join(encoded(key) + encoded(item) for key, item in value.items())
    if isinstance(value, list):
        return head(11, len(value)) + b"".join(map(encoded, value))
    kind, data = value if isinstance(value, tuple) else (6, value)  # 5: 16 bits, 6: 32 bits, 9: 64 bits
    data = data.to_bytes({5: 2, 6: 4, 9: 8}[kind], "big")
    return head(kind, len(data)) + data


def database(networks):
    """The bytes of one. `networks` has a record for each network, as text."""
    nodes, data = [[None, None]], b""
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        bits, first = network.prefixlen, int(network.network_address)
        if network.version == 4:
            bits += 96
        node = 0
        for i in range(bits - 1):
            side = first >> (127 - i) & 1
            if nodes[node][side] is None:
                nodes[node][side] = len(nodes)
                nodes.append([None, None])
            node = nodes[node][side]
        nodes[node][first >> (128 - bits) & 1] = (len(data),)
        data += encoded(record)
    return written(nodes, data)


def endless():
    """One of as many networks as there are addresses: each node leads to the next one by both sides."""
    return written([[i + 1, i + 1] for i in range(127)] + [[None, None]], encoded({}))


def written(nodes, data):
    count = len(nodes)
    tree = b"".join(struct.pack("!I", count if side is None else count + 16 + side[0] if isinstance(side, tuple) else side)
                    for node in nodes for side in node)
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encoded({
        "node_count": count, "record_size": (5, 32), "ip_version": (5, 6), "database_type": "Test", "languages": ["en"],
        "description": {"en": "Test"}, "build_epoch": (9, 1), "binary_format_major_version": (5, 2),
        "binary_format_minor_version": (5, 0)})
