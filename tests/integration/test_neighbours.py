# SPDX-License-Identifier: Apache-2.0
"""Strangers ask in the name of neighbours that are not there: answers to those wait in the kernel for an address that
nobody tells, and must not take the room of the answers to others."""
import contextlib
import errno
import socket
import struct
import threading
import time

import hosts
import support
from support import ip

FORGED = [f"10.99.0.{host}" for host in range(100, 164)]
RATE = 1000  # all together, a second; in bursts, as a sender has them
PINGS = 34


def datagram(source, target, port, payload):
    """An IPv4 packet without the checksums that the kernel fills in, or that UDP can do without."""
    udp = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                       socket.inet_aton(source), socket.inet_aton(target)) + udp


class Forger:
    """Sends pings from the namespace that it is made in, until its end."""

    def __init__(self, target, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.packets = [datagram(source, target, port, support.packed_ping(1, 0)) for source in FORGED]
        self.target, self.done, self.sent = target, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.socket.close()

    def run(self):
        begin = time.monotonic()
        while not self.done.wait(0.01):
            while self.sent < (time.monotonic() - begin) * RATE:
                self.socket.sendto(self.packets[self.sent % len(self.packets)], (self.target, 0))
                self.sent += 1


class Client:
    """Asks at an even pace from a socket of its own, and knows which of its pings were answered."""

    def __init__(self, source, target):
        self.target, self.answered = target, set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, nonces):
        for nonce in nonces:
            self.socket.sendto(support.packed_ping(nonce, 0), self.target)
            end = time.monotonic() + 0.1
            while (left := end - time.monotonic()) > 0:
                self.take(left)

    def take(self, seconds):
        self.socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self.answered.add(support.parsed_pong(self.socket.recv(100)).nonce)


@support.needs_root
class MissingNeighboursTest(hosts.HostsCase):
    def check(self, client_end, server_end, **options):
        """A client that has asked for two seconds gets each answer after that, also when strangers were there before."""
        with self.server:
            service = self.enterContext(support.Responder("--service.udp.workers", "1", **options))
        with self.client:
            client = self.enterContext(Client(client_end, (server_end, service.port)))
            steady = range(100, 120)
            client.ask(steady)
            self.assertEqual(client.answered, set(steady))
            with Forger("10.99.0.2", service.port):
                client.ask(range(PINGS))
                client.take(support.ANSWER_SECONDS if len(client.answered) < PINGS + len(steady) else 0.001)
            self.assertEqual(client.answered, set(range(PINGS)) | set(steady))
        self.assertEqual(service.end(), 0)

    def test_with_as_large_a_send_buffer_as_it_asks_for(self):
        self.check("10.99.1.1", "10.99.1.2")

    def test_with_the_send_buffer_that_sockets_have_by_themselves(self):
        options = (7, 32)  # SO_SNDBUF, SO_SNDBUFFORCE
        self.check("10.99.1.1", "10.99.1.2", preexec_fn=support.refusing("setsockopt", 2, options, errno.EPERM))


if __name__ == "__main__":
    support.main()
