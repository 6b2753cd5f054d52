# SPDX-License-Identifier: Apache-2.0
"""`paddock ping` against servers that answer wrongly, and against strangers: nothing is accepted that should not be."""
import contextlib
import random
import socket
import struct
import threading
import time
import unittest

import support
from support import INT64_MAX, INT64_MIN, Server, answer_to, packed_ping, packed_pong, parsed_ping, ping_json, run

FLOOD_SECONDS = 10

# Answers that are no answers, from the server itself. Each is a function of the ping.
WRONG = {
    "another nonce": lambda ping: changed(ping, nonce=1),
    "a client timestamp one later": lambda ping: changed(ping, client=1),
    "a client timestamp one earlier": lambda ping: changed(ping, client=-1),
    "the ping itself": lambda ping: ping,
    "a ping of its own": lambda ping: packed_ping(0, time.time_ns()),
    "40 bytes": lambda ping: answer_to(ping) + bytes(7),
    "34 bytes": lambda ping: answer_to(ping) + b"\x00",
    "65507 bytes": lambda ping: answer_to(ping) + bytes(65507 - 33),
    "nothing": lambda ping: b"",
    "a wrong magic": lambda ping: b"QLKM" + answer_to(ping)[4:],
    "version 1": lambda ping: patched(answer_to(ping), 4, 1),
    "command 2": lambda ping: patched(answer_to(ping), 5, 2),
    "length 24": lambda ping: patched(answer_to(ping), 7, 24),
    "a pong called ping": lambda ping: patched(answer_to(ping), 5, 0),
    "noise": lambda ping: random.Random(3).randbytes(33),
}


def changed(ping, nonce=0, client=0):
    """An answer to another ping."""
    old_nonce, old_client = parsed_ping(ping)
    now = time.time_ns()
    return packed_pong((old_nonce + nonce) % 256, old_client + client, now, now)


def patched(data, offset, value):
    return data[:offset] + bytes([value]) + data[offset + 1:]


class HostileTest(unittest.TestCase):
    def ping(self, behave, *arguments, expect=0, address="127.0.0.1", elsewhere=0):
        """Pings a server that behaves so; returns the target."""
        with Server(behave, address) as server:
            status, document = ping_json(*arguments, server.target)
        self.assertEqual(status, expect, document)
        self.assertEqual(document["rejected_elsewhere"], elsewhere)
        return document["targets"][0]

    def check_counts(self, target, received, late=0, duplicates=0, rejected=0):
        self.assertEqual((target["received"], target["late"], target["duplicates"], target["rejected"]),
                         (received, late, duplicates, rejected), target)


class RejectionTest(HostileTest):
    def check_rejected_alone(self, address):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(lambda server, ping, client, wrong=wrong: server.send(wrong(ping), client),
                                                  address)) for wrong in WRONG.values()]
            status, document = ping_json("-a1", "-t3s", *[server.target for server in servers])
        self.assertEqual((status, document["rejected_elsewhere"]), (1, 0))
        for name, target in zip(WRONG, document["targets"]):
            with self.subTest(name):
                self.check_counts(target, received=0, rejected=1)
                self.assertEqual(target["pings"][0]["status"], "timeout")

    def test_a_wrong_answer_is_rejected_and_the_ping_times_out(self):
        self.check_rejected_alone("127.0.0.1")

    @support.needs_ipv6
    def test_a_wrong_answer_is_rejected_over_ipv6_as_well(self):
        self.check_rejected_alone("::1")

    def test_the_right_answer_counts_after_any_number_of_wrong_ones(self):
        """Of ten to a target; the rest is counted."""
        shown, kinds = 10, list(WRONG.values())
        reasons = []
        for first in range(0, len(kinds), shown):
            some = kinds[first:first + shown]

            def behave(server, ping, client, some=some):
                for wrong in some:
                    server.send(wrong(ping), client)
                server.send(answer_to(ping), client)
            with Server(behave) as server:
                done = run("ping", "-a1", *support.PATIENT, server.target)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            reasons += [line.split("rejected: ")[1] for line in done.stdout.splitlines() if "rejected: " in line]
            self.assertIn(f"{len(some)} rejected", done.stdout)
        self.assertEqual(len(reasons), len(WRONG))
        self.assertEqual(set(reasons), {"not QCMP", "malformed QCMP", "a ping, not a pong", "no such ping was sent there",
                                        "wrong client timestamp"})


class TimingTest(HostileTest):
    def test_a_second_answer_is_a_duplicate(self):
        def behave(server, ping, client):
            for _ in range(1 if len(server.arrivals) == 2 else 3):
                server.send(answer_to(ping), client)
        target = self.ping(behave, "-a2", "-i100ms")
        self.check_counts(target, received=2, duplicates=2)

    def test_a_late_answer_is_counted_as_late_and_leaves_its_ping_a_timeout(self):
        def behave(server, ping, client):
            if len(server.arrivals) == 2:
                server.send(answer_to(server.arrivals[0][1]), client)
                server.send(answer_to(ping), client)
        target = self.ping(behave, "-a2", "-t2s", "-i3s")
        self.check_counts(target, received=1, late=1)
        self.assertEqual([ping["status"] for ping in target["pings"]], ["timeout", "ok"])
        self.assertIsNone(target["pings"][0]["rtt_ns"])

    def test_answers_in_any_order_are_credited_to_their_own_pings(self):
        def behave(server, _, client):
            if len(server.arrivals) == 8:
                for _, ping in reversed(server.arrivals):
                    server.send(answer_to(ping), client)
        target = self.ping(behave, "-a8", "-i5ms", "-t10s")
        self.check_counts(target, received=8)
        times = [ping["rtt_ns"] for ping in target["pings"]]
        self.assertEqual(times, sorted(times, reverse=True), "the first ping waited longest")


class HoldTest(HostileTest):
    """What the server says of its own times is believed only where it is possible."""

    def one(self, start, transmit):
        """The ping that a server with these timestamps answers; either may be a function of the time."""
        def behave(server, ping, client):
            nonce, sent = parsed_ping(ping)
            now = time.time_ns()
            stamps = [stamp(now) if callable(stamp) else stamp for stamp in (start, transmit)]
            server.sent_stamps = sent, *stamps
            server.send(packed_pong(nonce, sent, *stamps), client)
        with Server(behave) as server:
            status, document = ping_json("-a1", server.target)
            stamps = server.sent_stamps
        self.assertEqual(status, 0)
        self.check_counts(document["targets"][0], received=1)
        return document["targets"][0]["pings"][0], stamps

    def check(self, ping, stamps, suspect):
        """The ping says of these timestamps what arithmetic without bounds says, where that fits into 64 bits."""
        client, start, transmit = stamps
        hold = transmit - start
        self.assertEqual(ping["suspect"], "hold" if suspect else None)
        self.assertEqual(ping["hold_ns"], hold if INT64_MIN <= hold <= INT64_MAX else None)
        self.assertEqual(ping["rtt_ns"], ping["raw_rtt_ns"] - (0 if suspect else hold))
        self.assertGreaterEqual(ping["rtt_ns"], 0)
        self.check_direction(ping["incoming_ns"], start - client)
        self.check_direction(ping["outgoing_ns"], client - transmit)

    def check_direction(self, found, nearly):
        """The client's own two stamps are not known here, but they are within a minute of its timestamp."""
        minute = 60 * 10**9
        if nearly > INT64_MAX + minute or nearly < INT64_MIN - minute:
            self.assertIsNone(found)
        elif INT64_MIN + minute < nearly < INT64_MAX - minute:
            self.assertLess(abs(found - nearly), minute)
        elif found is not None:
            self.assertTrue(INT64_MIN <= found <= INT64_MAX)

    def test_an_honest_hold_is_taken_out(self):
        ping, stamps = self.one(start=lambda now: now - 1000, transmit=lambda now: now)
        self.check(ping, stamps, suspect=ping["raw_rtt_ns"] < 1000)

    def test_a_hold_of_0_is_honest(self):
        self.check(*self.one(start=lambda now: now, transmit=lambda now: now), suspect=False)

    def test_a_clock_years_off_is_honest(self):
        for offset in (-10**18, 10**18):
            with self.subTest(offset):
                ping, stamps = self.one(*[lambda now, offset=offset: now + offset] * 2)
                self.check(ping, stamps, suspect=False)

    def test_a_hold_that_cannot_be_is_suspect(self):
        cases = {
            "-1": (lambda now: now, lambda now: now - 1),
            "ten seconds": (lambda now: now - 10**10, lambda now: now),
            "INT64_MAX": (0, INT64_MAX),
            "INT64_MIN": (0, INT64_MIN),
            "INT64_MIN + 1": (INT64_MAX, 0),
            "more than INT64_MAX": (INT64_MIN, INT64_MAX),
            "one more than INT64_MAX": (-1, INT64_MAX),
            "less than INT64_MIN": (INT64_MAX, INT64_MIN),
            "one less than INT64_MIN": (1, INT64_MIN),
        }
        for name, (start, transmit) in cases.items():
            with self.subTest(name):
                self.check(*self.one(start, transmit), suspect=True)

    def test_the_largest_and_the_smallest_timestamps_are_survived(self):
        for stamp in (INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX):
            with self.subTest(stamp):
                self.check(*self.one(stamp, stamp), suspect=False)

    def test_people_are_told_of_a_hold_that_cannot_be(self):
        stamps = [(0, 10**10), (INT64_MIN, INT64_MAX), (5, 4)]
        def behave(server, ping, client):
            server.send(packed_pong(*parsed_ping(ping), *stamps[len(server.arrivals) - 1]), client)
        with Server(behave) as server:
            done = run("ping", "-i0", "-a3", *support.PATIENT, server.target)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertIn("raw: the server says it held the ping for 10000.000 ms", lines[0])
        self.assertIn("raw: the server's times make no sense", lines[1])
        self.assertIn("raw: the server says it held the ping for -0.000 ms", lines[2])
        self.assertNotIn("clock", done.stdout, "an offset from times that are not believed")


class StrangerTest(HostileTest):
    def test_a_refusal_that_quotes_another_ping_ends_nothing(self):
        """Errors are as easy to forge as answers: an ICMP message that quotes a ping which was not sent is no news."""
        try:
            forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except PermissionError:
            self.skipTest("needs the right to open raw sockets")

        def behave(server, ping, client):
            quoted = packed_ping(parsed_ping(ping)[0], parsed_ping(ping)[1] + 1)
            forger.sendto(port_unreachable(client, server.socket.getsockname(), quoted), ("127.0.0.1", 0))
            server.send(answer_to(ping), client)
        with forger:
            target = self.ping(behave, "-a5", "-i0")
        self.check_counts(target, received=5)

    def test_a_refusal_that_quotes_the_ping_ends_it(self):
        """So that the test above fails for the quote alone."""
        try:
            forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except PermissionError:
            self.skipTest("needs the right to open raw sockets")

        def behave(server, ping, client):
            forger.sendto(port_unreachable(client, server.socket.getsockname(), ping), ("127.0.0.1", 0))
        with forger:
            target = self.ping(behave, "-a1", "-t10s", expect=1)
        self.assertEqual(target["pings"][0]["error"], "Connection refused")


def checksum(data):
    """The Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def port_unreachable(client, server, payload):
    """The ICMP message that says: this datagram from `client` found nobody at `server`."""
    udp = struct.pack(">HHHH", client[1], server[1], 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(client[0]) + socket.inet_aton(server[0])
    ipv4 = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    quoted = ipv4[:10] + struct.pack(">H", checksum(ipv4)) + ipv4[12:] + udp
    unchecked = struct.pack(">BBHI", 3, 3, 0, 0) + quoted
    return unchecked[:2] + struct.pack(">H", checksum(unchecked)) + unchecked[4:]


if __name__ == "__main__":
    support.main()
