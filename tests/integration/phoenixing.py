# SPDX-License-Identifier: Apache-2.0
"""Phoenix, and data centres for it that are the test's own."""
import contextlib
import http.client
import json
import random
import socket
import threading
import time

import support
from proxying import Configured
from support import Server, packed_pong, parsed_ping, wait_until

ERRORS = 'quilkin_phoenix_measurement_errors_total{{icao="{}"}}'.format


class Phoenix(Configured):
    """`paddock --service.phoenix` on a free port, which measures the nodes: mappings as in the file."""

    def __init__(self, nodes=(), phoenix=None, *flags, **options):
        self.own = {"port": 0, "listen": ["127.0.0.1"], "interval": {"min": "200ms", "max": "1s"}, **(phoenix or {})}
        document = {"datacenters": list(nodes), "paddock": {"workers": 1, "phoenix": self.own}}
        super().__init__(document, "--service.phoenix", *flags, ready="phoenix ready", **options)
        self.ready_at = time.monotonic()

    def ask(self, path="/", method="GET", **headers):
        """The status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=support.ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def table(self):
        """Round trips in milliseconds by code, the nearest first."""
        found = json.loads(self.ask()[2])
        if list(found) != sorted(found):
            raise AssertionError(f"the codes are in no order: {list(found)}")
        return {code: ns / 1e6 for code, ns in sorted(found.items(), key=lambda item: item[1])}

    def await_table(self, holds, what):
        return wait_until(lambda: holds(table := self.table()) and (table or True), what, 60)


class DataCentre(Server):
    """A node that answers after so many milliseconds, with a clock that is off, or that does not answer."""

    def __init__(self, code, delay_ms=0, offset_ns=0, hold_ns=0):
        super().__init__(self._answer)
        self.code, self.delay_ms, self.offset_ns, self.hold_ns, self.is_silent = code, delay_ms, offset_ns, hold_ns, False

    @property
    def node(self):
        return {"address": "127.0.0.1", "qcmp_port": self.port, "icao_code": self.code}

    def _answer(self, _server, data, client):
        if not self.is_silent:
            threading.Timer(self.delay_ms / 1000, self._pong, (data, client)).start()

    def _pong(self, data, client):
        nonce, sent = parsed_ping(data)
        now = (time.time_ns() + self.offset_ns + 2**63) % 2**64 - 2**63
        with contextlib.suppress(OSError):  # the test is over
            self.send(packed_pong(nonce, sent, now, now + self.hold_ns), client)


def code(number):
    """A code for each number below 17576."""
    return "A" + "".join(chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0))


class Table(threading.Thread):
    """A server of HTTP that answers each request by this text, on the port of a data centre."""

    def __init__(self, port, body, status="200 OK", before=lambda: None):
        super().__init__()
        self.before = before  # called before each answer
        self.answer = f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}".encode()
        self.socket = socket.create_server(("127.0.0.1", port))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self.socket.close()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                peer = self.socket.accept()[0]
                with peer:
                    peer.recv(65536)
                    self.before()
                    peer.sendall(self.answer)


def unfinished(port, count):
    """Connections that have sent half a request, each a different half."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-" + random.randbytes(4).hex().encode()
    peers = []
    for i in range(count):
        peer = socket.create_connection(("127.0.0.1", port), support.ANSWER_SECONDS)
        peer.sendall(head[:i % len(head)])
        peers.append(peer)
    return peers
