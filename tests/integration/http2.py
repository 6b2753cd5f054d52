# SPDX-License-Identifier: Apache-2.0
"""A peer of the control plane that is the test's: frames of HTTP/2, gRPC and messages, each of which may be wrong. Only
headers need a library, Debian's python3-hpack."""
import base64
import collections
import contextlib
import socket
import struct
import sys
import time
import unittest

import support

try:
    import hpack
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import hpack
    except ImportError:
        hpack = None

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
SUBSCRIBE = "/quilkin.relay.v1alpha1.AggregatedControlPlaneDiscoveryService/SubscribeDeltaResources"
PUSH = "/quilkin.relay.v1alpha1.AggregatedControlPlaneDiscoveryService/DeltaAggregatedResources"
TYPE = "type.googleapis.com/quilkin.config.v1alpha1."
CLUSTER, DATACENTER, CHAIN = TYPE + "Cluster", TYPE + "Datacenter", TYPE + "FilterChain"

Response = collections.namedtuple("Response", "type nonce version identifier resources removed")


def needs_hpack():
    if hpack is None:
        raise unittest.SkipTest("python3-hpack is not installed, so no peer of the test's spoke HTTP/2")


# Messages: just enough of protobuf.

def varint(number):
    data = b""
    while number >= 128:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def field(number, value):
    """A field; None is left out."""
    if value is None:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """Pairs of number and value: bytes, or an integer."""
    at = 0

    def read():
        nonlocal at
        number, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
    while at < len(data):
        key = read()
        if key & 7 == 0:
            yield key >> 3, read()
        elif key & 7 == 1:
            at += 8
            yield key >> 3, struct.unpack("<d", data[at - 8:at])[0]
        else:
            length = read()
            at += length
            yield key >> 3, data[at - length:at]


def value(thing):
    if isinstance(thing, dict):
        return field(5, structure(thing))
    if isinstance(thing, list):
        return field(6, b"".join(field(1, value(item)) for item in thing))
    return field(3, thing) if isinstance(thing, str) else field(2, float(thing))


def structure(thing):
    return b"".join(field(1, field(1, key) + field(2, value(item))) for key, item in thing.items())


def endpoint(target, *tokens):
    host, _, port = target.rpartition(":")
    dev = {"quilkin.dev": {"tokens": [base64.b64encode(token).decode() for token in tokens]}}
    return field(1, host) + field(2, int(port)) + field(3, structure(dev))


def cluster(*endpoints, locality=None):
    where = field(1, b"".join(field(i + 1, part) for i, part in enumerate(locality.split(":")))) if locality else b""
    return where + b"".join(field(2, item) for item in endpoints)


def resource(kind, name, version, content):
    return field(1, version) + field(2, field(1, kind) + field(2, content)) + field(3, name)


def request(kind, node="test", nonce=None, error=None, versions=None, names=(), gone=(), agent=None):
    return (field(1, field(1, node) + field(6, agent)) if node is not None else b"") + field(2, kind) + \
        b"".join(field(3, name) for name in names) + b"".join(field(4, name) for name in gone) + \
        b"".join(field(5, field(1, k) + field(2, v)) for k, v in (versions or {}).items()) + field(6, nonce) + \
        (field(7, field(1, 3) + field(2, error)) if error else b"")


def response(kind, resources=(), nonce="1", removed=(), version="9", identifier="test"):
    return field(1, version) + b"".join(field(2, item) for item in resources) + field(4, kind) + field(5, nonce) + \
        b"".join(field(6, name) for name in removed) + field(7, field(1, identifier))


def parsed(data):
    """A response, with its resources by name: their version and contents."""
    found = collections.defaultdict(list)
    for number, item in fields(data):
        found[number].append(item)
    resources = {}
    for item in found[2]:
        parts = dict(fields(item))
        resources[parts.get(3, b"").decode()] = (parts.get(1, b"").decode(), dict(fields(parts[2])).get(2, b""))
    plane = dict(fields(found[7][0])).get(1, b"").decode() if found[7] else None
    return Response(*((found[i] or [b""])[0].decode() for i in (4, 5, 1)), plane, resources,
                    [name.decode() for name in found[6]])


def asked(data):
    """A request: type, nonce, error and versions."""
    found = collections.defaultdict(list)
    for number, item in fields(data):
        found[number].append(item)
    error = dict(fields(found[7][0])).get(2, b"").decode() if found[7] else None
    versions = {k.decode(): v.decode() for k, v in ((dict(fields(pair)).get(1, b""), dict(fields(pair)).get(2, b""))
                                                    for pair in found[5])}
    return (found[2] or [b""])[0].decode(), (found[6] or [b""])[0].decode(), error, versions


class Connection:
    """One end of a connection, with one stream of interest."""

    def __init__(self, peer, is_server=False, window=1 << 20, settings=b""):
        self.socket = peer
        self.socket.settimeout(support.ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_server = is_server
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer, self.body = b"", b""
        self.messages, self.headers = collections.deque(), []
        self.reset, self.goaway, self.ended = None, None, False
        self.stream, self.window = 1, window
        self.sent, self.credit, self.room = 0, 0, 65535
        self.acknowledges = True
        if not is_server:
            self.socket.sendall(PREFACE)
        self.frame(SETTINGS, 0, 0, settings)
        if is_server:
            self.read(len(PREFACE))
        if window > 65535:
            self.frame(WINDOW, 0, 0, struct.pack(">I", window))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def frame(self, kind, flags, stream, data=b""):
        self.socket.sendall(struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data)

    def call(self, path, stream=1, **more):
        headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"), ("te", "trailers"),
                   ("content-type", "application/grpc")] + [(name.replace("_", "-"), text) for name, text in more.items()]
        self.stream = stream
        self.frame(HEADERS, END_HEADERS, stream, self.encoder.encode(headers))
        return self

    def respond(self):
        self.frame(HEADERS, END_HEADERS, self.stream,
                   self.encoder.encode([(":status", "200"), ("content-type", "application/grpc")]))

    def trailers(self, status):
        self.frame(HEADERS, END_HEADERS | END_STREAM, self.stream, self.encoder.encode([("grpc-status", str(status))]))

    def send(self, message, compressed=0):
        data = bytes([compressed]) + struct.pack(">I", len(message)) + message
        for at in range(0, len(data), 16384):
            while self.sent + 16384 > self.room + self.credit:
                self.turn()
            self.sent += len(data[at:at + 16384])
            self.frame(DATA, 0, self.stream, data[at:at + 16384])

    def read(self, count):
        while len(self.buffer) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def turn(self):
        """Handles one frame."""
        head = self.read(9)
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        data = self.read(length)
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, length, 6):
                if data[at:at + 2] == b"\0\4":
                    self.room = int.from_bytes(data[at + 2:at + 6], "big")
            self.frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK and self.acknowledges:
            self.frame(PING, ACK, 0, data)
        elif kind == WINDOW and stream != 0:
            self.credit += int.from_bytes(data, "big")
        elif kind == GOAWAY:
            self.goaway = data
        elif kind == RESET:
            self.reset = int.from_bytes(data, "big")
        elif kind == HEADERS:
            self.headers.append(dict(self.decoder.decode(data)))
            if self.is_server:
                self.stream = stream
        elif kind == DATA:
            self.body += data
            if data and self.window > 65535:
                for of in (0, stream):
                    self.frame(WINDOW, 0, of, struct.pack(">I", len(data)))
            while len(self.body) >= 5 and len(self.body) >= 5 + int.from_bytes(self.body[1:5], "big"):
                size = 5 + int.from_bytes(self.body[1:5], "big")
                self.messages.append(self.body[5:size])
                self.body = self.body[size:]
        self.ended |= kind in (HEADERS, DATA) and bool(flags & END_STREAM)
        return kind

    def message(self):
        while not self.messages:
            self.turn()
        return self.messages.popleft()

    def answer(self):
        return parsed(self.message())

    def status(self):
        """Waits for the end of the stream; its status."""
        while not any("grpc-status" in headers for headers in self.headers):
            self.turn()
        return int(next(headers["grpc-status"] for headers in self.headers if "grpc-status" in headers))

    def silent(self, seconds):
        """Whether no message comes for so long."""
        deadline = time.monotonic() + seconds
        self.socket.settimeout(0.05)
        try:
            while time.monotonic() < deadline and not self.messages:
                with contextlib.suppress(TimeoutError):
                    self.turn()
        finally:
            self.socket.settimeout(support.ANSWER_SECONDS)
        return not self.messages


def connect(port, **options):
    return Connection(socket.create_connection(("127.0.0.1", port), support.ANSWER_SECONDS), **options)


class Listener:
    """A server that the test plays."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(support.START_SECONDS)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def accept(self, **options):
        return Connection(self.socket.accept()[0], is_server=True, **options)

    def greet(self, version="9"):
        """Takes a client that comes for whatever method, up to its three requests; returns the connection and these."""
        connection = self.accept()
        connection.message()
        connection.respond()
        connection.send(response("ignore-me", nonce="", version=version))
        return connection, {asked(connection.message())[0]: None for _ in range(3 if version else 2)}
