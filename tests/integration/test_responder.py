# SPDX-License-Identifier: Apache-2.0
"""The responder over real sockets: every row of its table, and counts that add up exactly."""
import collections
import os
import random
import signal
import socket
import struct
import time
import unittest

import support
from support import Asker, Responder, packed_ping, packed_pong

BURST = 32  # datagrams between markers: few enough that no receive buffer overflows

PING = bytes.fromhex("514c4b4e 00000009 bf 0000000063b6e957")
PONG = bytes.fromhex("514c4b4e 00010019 bf 0000000063b6e957 0000000063b6e957 0000000063b6e957")

TABLE = [
    ("a ping", PING, "valid"),
    ("a ping from before 1970", packed_ping(0, -1), "valid"),
    ("a pong", PONG, "unsupported"),
    ("nothing at all", b"", "invalid"),
    ("a wrong magic", b"QLKM" + PING[4:], "invalid"),
    ("a short wrong magic", b"QL", "invalid"),
    ("the magic alone", b"QLKN", "invalid"),
    ("version 1", PING[:4] + b"\x01" + PING[5:], "invalid"),
    ("version 255", PING[:4] + b"\xff" + PING[5:], "invalid"),
    ("command 2", PING[:5] + b"\x02" + PING[6:], "invalid"),
    ("command 255", PING[:5] + b"\xff" + PING[6:], "invalid"),
    ("a pong called ping", PONG[:5] + b"\x00" + PONG[6:], "invalid"),
    ("a ping called pong", PING[:5] + b"\x01" + PING[6:], "invalid"),
    ("length 8", PING[:7] + b"\x08" + PING[8:], "invalid"),
    ("length 0x0109", PING[:6] + b"\x01" + PING[7:], "invalid"),
    ("a ping without its last byte", PING[:-1], "invalid"),
    ("a ping with a byte more", PING + b"\x00", "invalid"),
    ("a pong without its last byte", PONG[:-1], "invalid"),
    ("a pong of 40 bytes", PONG + bytes(7), "invalid"),
    ("two pings", PING + PING, "invalid"),
    ("the largest datagram, with magic", PING + bytes(65507 - len(PING)), "invalid"),
]


def random_datagram(rng):
    """A valid packet, one that is nearly valid, or noise."""
    form = rng.randrange(6)
    if form == 0:
        return rng.randbytes(rng.randrange(80))
    if form == 1:
        return support.MAGIC + rng.randbytes(rng.randrange(64))
    stamps = struct.unpack(">qqq", rng.randbytes(24))
    packet = packed_pong(rng.randrange(256), *stamps) if rng.random() < 0.3 else packed_ping(rng.randrange(256), stamps[0])
    if form == 2:
        return packet[:rng.randrange(len(packet))]
    if form == 3:
        return packet + rng.randbytes(rng.randrange(1, 40))
    if form == 4:
        changed = bytearray(packet)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(packet))] = rng.randrange(256)
        return bytes(changed)
    return packet


def expected_answers(datagrams):
    """The nonce and client timestamp of each answer that these must get."""
    return [struct.unpack(">Bq", data[8:]) for data in datagrams if support.kind(data) == "valid"]


class ResponderTest(unittest.TestCase):
    def setUp(self):
        self.sent = collections.Counter()

    def check(self, asker, datagrams, burst=BURST):
        """Sends them and checks that each gets the answer it must get, or none."""
        for first in range(0, len(datagrams), burst):
            part = datagrams[first:first + burst]
            for datagram in part:
                asker.send(datagram)
            answers = [(pong.nonce, pong.client) for pong in asker.answers()]
            self.assertEqual(answers, expected_answers(part))

    def check_table(self, address):
        with Responder() as responder, Asker(responder.port, self.sent, address) as asker:
            for name, datagram, kind in TABLE:
                with self.subTest(name):
                    self.assertEqual(support.kind(datagram), kind, "the model")
                    self.check(asker, [datagram])
            self.assertEqual(responder.stop(), support.counts(self.sent))

    def test_every_row_of_the_table_over_ipv4(self):
        self.check_table("127.0.0.1")

    @support.needs_ipv6
    def test_every_row_of_the_table_over_ipv6(self):
        self.check_table("::1")

    def test_every_nonce_is_answered_with_every_kind_of_timestamp(self):
        stamps = [0, 1, -1, support.INT64_MIN, support.INT64_MAX, time.time_ns()]
        pings = [packed_ping(nonce, stamps[nonce % len(stamps)]) for nonce in range(256)]
        pings += [packed_ping(7, stamp) for stamp in stamps]
        with Responder() as responder, Asker(responder.port, self.sent) as asker:
            self.check(asker, pings)
            self.assertEqual(responder.stop(), support.counts(self.sent))
        self.assertGreaterEqual(self.sent["valid"], 256)

    def check_lengths(self, address):
        body = bytes(2000)
        heads = [support.PING_HEADER, support.PONG_HEADER, b"qlkn" + support.PING_HEADER[4:], b""]
        with Responder() as responder, Asker(responder.port, self.sent, address) as asker:
            for head in heads:
                self.check(asker, [(head + body)[:length] for length in range(2001)], burst=16)
            self.assertEqual(responder.stop(), support.counts(self.sent))
        markers = len(heads) * -(-2001 // 16)
        self.assertEqual(self.sent, {"valid": 1 + markers, "unsupported": 1, "invalid": 4 * 2001 - 2})

    def test_every_length_from_0_to_2000_over_ipv4(self):
        self.check_lengths("127.0.0.1")

    @support.needs_ipv6
    def test_every_length_from_0_to_2000_over_ipv6(self):
        self.check_lengths("::1")

    def check_random(self, address, workers, seed):
        rng = random.Random(seed)
        count = support.scaled(100000)
        with Responder("--service.udp.workers", workers) as responder:
            with Asker(responder.port, self.sent, address) as asker:
                for first in range(0, count, BURST):
                    self.check(asker, [random_datagram(rng) for _ in range(min(BURST, count - first))])
            self.assertEqual(responder.stop(), support.counts(self.sent))
        for kind in ("valid", "invalid", "unsupported"):
            self.assertGreater(self.sent[kind], count // 50, f"too few are {kind} for a fair test")

    def test_a_hundred_thousand_random_datagrams_over_ipv4(self):
        self.check_random("127.0.0.1", "2", seed=4)

    @support.needs_ipv6
    def test_a_hundred_thousand_random_datagrams_over_ipv6(self):
        self.check_random("::1", "1", seed=6)

    def test_its_timestamps_lie_between_those_of_the_client_and_in_order(self):
        with Responder() as responder, Asker(responder.port, self.sent) as asker:
            for nonce in range(200):
                before = time.time_ns()
                asker.send(packed_ping(nonce, before))
                pong = asker.receive()
                after = time.time_ns()
                self.assertLessEqual(before, pong.start)
                self.assertLessEqual(pong.start, pong.transmit)
                self.assertLessEqual(pong.transmit, after)

    def test_it_answers_from_the_address_that_was_asked(self):
        with Responder("--service.udp.workers", "2") as responder:
            for last in range(1, 51):
                with Asker(responder.port, self.sent, f"127.0.0.{last}") as asker:
                    self.assertEqual(asker.answers(), [])  # receive() checks the source
            self.assertEqual(responder.stop(), support.counts(self.sent))

    def check_workers(self, workers):
        with Responder("--service.udp.workers", str(workers)) as responder:
            self.assertEqual(sum(name.startswith("worker-") for name, _ in support.threads(responder.pid)), workers)
            for source in range(64):
                address = "::1" if source % 2 and support.has_ipv6() else "127.0.0.1"
                with Asker(responder.port, self.sent, address) as asker:
                    self.check(asker, [packed_ping(source, n) for n in range(16)] + [PONG, b"noise"])
            self.assertEqual(responder.stop(), support.counts(self.sent))
        self.assertEqual(self.sent, {"valid": 64 * 17, "invalid": 64, "unsupported": 64})

    def test_one_worker_answers_all_sources(self):
        self.check_workers(1)

    def test_two_workers_answer_all_sources_and_their_counts_add_up(self):
        self.check_workers(2)

    def test_four_workers_answer_all_sources_and_their_counts_add_up(self):
        self.check_workers(4)

    def test_what_came_before_the_signal_is_answered(self):
        with Responder("--service.udp.workers", "1") as responder, Asker(responder.port, self.sent) as asker:
            responder.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, responder.pid, os.WSTOPPED)
            for nonce in range(100):
                asker.send(packed_ping(nonce, nonce))
            responder.process.send_signal(signal.SIGTERM)
            responder.process.send_signal(signal.SIGCONT)
            self.assertEqual([asker.receive().client for _ in range(100)], list(range(100)))
            responder.process.wait(support.STOP_SECONDS)  # a second signal would cut it short
            self.assertEqual(responder.stop(), support.counts(self.sent))

    @support.needs_root
    def test_a_burst_that_comes_while_it_does_not_run_is_answered(self):
        """As root, because net.core.rmem_max limits the buffer for everybody else."""
        burst = 2000
        with Responder("--service.udp.workers", "1") as responder, Asker(responder.port, self.sent) as asker:
            support.make_room(asker.socket)
            responder.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, responder.pid, os.WSTOPPED)
            for number in range(burst):
                asker.send(packed_ping(number % 256, number))
            responder.process.send_signal(signal.SIGCONT)
            self.assertEqual([asker.receive().client for _ in range(burst)], list(range(burst)))
            self.assertEqual(responder.stop(), support.counts(self.sent))

    @support.needs_root
    def test_two_responders_do_not_answer_each_other(self):
        one = ("--service.udp.workers", "1")
        with Responder(*one) as first, Responder(*one) as second, \
             socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as forger:
            forger.sendto(struct.pack(">HHHH", second.port, first.port, 8 + len(PING), 0) + PING, ("127.0.0.1", 0))
            for responder in (first, second):
                with Asker(responder.port, self.sent) as asker:
                    self.assertEqual(asker.answers(), [])
            forged = collections.Counter(valid=2)
            self.assertEqual(first.stop(), support.counts(forged))
            self.assertEqual(second.stop(), support.counts(collections.Counter(valid=1, unsupported=1)))


if __name__ == "__main__":
    support.main()
