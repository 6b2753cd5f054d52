#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`paddock trace`: drops by reason, the players that send the most, and a session's datagrams as a file."""
import contextlib
import ipaddress
import json
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from proxying import Player, Proxy, Servers, by_token, cluster
from support import PADDOCK, STOP_SECONDS, environment, wait_until


def trace(proxy, *arguments, **options):
    return subprocess.Popen([PADDOCK, "trace", *arguments, "--admin", f"127.0.0.1:{proxy.admin_port}"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment(), **options)


def begun(proxy):
    """The first question begins a trace: asks it in place of the command."""
    status, body = proxy.http("/trace?what=drops")
    assert status == 200 and json.loads(body) == {"seconds": 0.0, "drops": [], "look": 1}, body


def asked(proxy, what):
    return json.loads(proxy.http(f"/trace?what={what}")[1])


def read_pcap(data):
    """(seconds, source, destination, payload) of each datagram, after the checksums were checked."""
    magic, major, minor, _, _, _, link = struct.unpack("<IHHiIII", data[:24])
    assert (magic, major, minor, link) == (0xa1b23c4d, 2, 4, 101)
    found, at = [], 24
    while at < len(data):
        seconds, nanoseconds, kept, whole = struct.unpack("<IIII", data[at:at + 16])
        assert kept == whole
        ip, at = data[at + 16:at + 16 + kept], at + 16 + kept
        if ip[0] >> 4 == 4:
            assert struct.unpack("!H", ip[2:4])[0] == kept and sum16(ip[:20]) == 0xffff
            size, addresses, udp = 4, ip[12:20], ip[20:]
        else:
            size, addresses, udp = 16, ip[8:40], ip[40:]
        source, destination, length, _ = struct.unpack("!HHHH", udp[:8])
        assert length == len(udp)
        assert sum16(addresses + struct.pack("!II", 17, length) + udp + b"\0" * (length % 2)) == 0xffff
        ends = [str(ipaddress.ip_address(addresses[i * size:(i + 1) * size])) for i in range(2)]
        found.append((seconds + nanoseconds / 1e9, (ends[0], source), (ends[1], destination), udp[8:]))
    return found


def sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return total


class DropsTest(unittest.TestCase):
    def test_drops_have_their_reason_and_examples(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets, tokens=[[b"abc"]])], by_token()) as proxy, \
                Player(proxy.port) as good, contextlib.ExitStack() as stack:
            begun(proxy)
            self.assertEqual(good.ask(b"hello abc"), b"hello ")
            bad = [stack.enter_context(Player(proxy.port)) for _ in range(6)]
            for player in bad:
                for _ in range(2):
                    player.socket.send(b"hello xyz")
            bad[0].socket.send(b"x")
            sources = [player.name for player in bad]
            wait_until(lambda: sum(proxy.metrics()[s] for s in proxy.metrics() if s.startswith("quilkin_packets_dropped_total")) == 13, "drops")
            drops = {row["reason"]: row for row in asked(proxy, "drops")["drops"]}
            self.assertEqual({reason: (row["event"], row["packets"]) for reason, row in drops.items()},
                             {"filter::token_router::no endpoint match": ("read", 12), "filter::capture::no value captured": ("read", 1)})
            examples = drops["filter::token_router::no endpoint match"]["examples"]
            self.assertEqual(len(examples), 4)
            self.assertLessEqual({example["source"] for example in examples}, set(sources))
            self.assertEqual({example["bytes"] for example in examples}, {9})
            self.assertEqual(asked(proxy, "drops")["drops"], [])  # since the last question

    def test_answers_to_nobody_and_refused_copies_are_among_them(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"sessions": {"max_per_address": 1}}, workers=1) as proxy, \
                Player(proxy.port) as first, Player(proxy.port) as second:
            begun(proxy)
            first.ask(b"x")
            second.socket.send(b"x")
            with Player(servers.seen[0][0][1][1]) as stranger:
                stranger.socket.send(b"x")
                wait_until(lambda: proxy.metrics()['quilkin_packets_dropped_total{event="write",source="unknown session"}'] == 1, "it is dropped")
            found = {(row["event"], row["reason"]) for row in asked(proxy, "drops")["drops"]}
            self.assertEqual(found, {("read", "too_many_sessions_of_one_address"), ("write", "unknown session")})

    def test_the_command_prints_a_line_of_json_each_interval_and_ends(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets, tokens=[[b"abc"]])], by_token()) as proxy, Player(proxy.port) as player, \
                trace(proxy, "drops", "--format", "json", "--interval", "200ms", "--duration", "2s") as command:
            while command.poll() is None:
                player.socket.send(b"hello xyz")
                time.sleep(0.02)
            rounds = [json.loads(line) for line in command.stdout]
            self.assertEqual(command.returncode, 0)
            self.assertGreaterEqual(len(rounds), 2)
            self.assertGreater(sum(row["packets"] for each in rounds for row in each["drops"]), 10)

    def test_people_get_a_table_and_a_signal_ends_it(self):
        with Proxy([]) as proxy, Player(proxy.port) as player, \
                trace(proxy, "drops", "--interval", "100ms", "--duration", "0") as command:
            lines = []
            while not any("no upstream endpoints" in line for line in lines):
                player.socket.send(b"hello")
                lines.append(command.stdout.readline())
            self.assertRegex(lines[-1], rf"^read +no upstream endpoints +\d+  {player.name} \(5 bytes\)\n$")
            command.send_signal(signal.SIGINT)
            self.assertEqual(command.wait(STOP_SECONDS), 0)


class TopTest(unittest.TestCase):
    def test_who_sends_the_most_comes_first_among_thousands(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], by_token(), workers=2) as proxy, \
                Player(proxy.port) as packets, Player(proxy.port) as big, contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(Player(proxy.port)) for _ in range(500)]
            for order, first in (("packets", packets), ("bytes", big)):
                proxy.http(f"/trace?what=top&sort={order}")
                before = proxy.metrics()['paddock_udp_received_total{event="read"}']
                for i in range(100):
                    packets.socket.send(b"x")
                    for player in crowd[5 * i:5 * i + 5]:
                        player.socket.send(b"y")
                big.socket.send(b"z" * 50000)
                wait_until(lambda: proxy.metrics()['paddock_udp_received_total{event="read"}'] == before + 601, "all are there")
                talkers = json.loads(proxy.http(f"/trace?what=top&sort={order}&limit=3")[1])["talkers"]
                self.assertEqual(len(talkers), 3)
                self.assertEqual(talkers[0]["player"], first.name)
                self.assertLessEqual(talkers[0][order] - talkers[0]["error"], {"packets": 100, "bytes": 50000}[order])
                self.assertGreaterEqual(talkers[0][order], {"packets": 100, "bytes": 50000}[order])


class CaptureTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="paddock-test-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name, "session.pcap")

    def play(self, address="127.0.0.1", *arguments, payloads=(b"hello", b"", b"odd"), stop=True):
        """Plays while a capture of one of two players runs; returns what it should have, and the command's output."""
        with Servers(1, lambda _, data: [data + b"!"], address=address) as servers, \
                Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port, address) as player, Player(proxy.port, address) as other:
            own = player.socket.getsockname()[:2]
            with trace(proxy, "capture", "-w", str(self.file), "--player", player.name, "--duration", "0", *arguments) as command:
                wait_until(lambda: self.begun(player, command), "it began")
                for payload in payloads:
                    player.ask(payload)
                    other.ask(b"not this")
                server = servers.sockets[0].getsockname()[:2]
                expected = [each for payload in payloads for each in ((own, server, payload), (server, own, payload + b"!"))]
                if stop:
                    wait_until(lambda: len([each for each in self.captured() if each[3][:7] != b"begun? "]) >= len(expected), "all are there")
                    command.send_signal(signal.SIGINT)
                self.assertEqual(command.wait(STOP_SECONDS), 0, command.stderr.read())
                return expected, command.stdout.read()

    def begun(self, player, command):
        """Whether a datagram of the player has come to the file."""
        self.assertIsNone(command.poll())
        player.ask(b"begun? ")
        return bool(self.captured())

    def captured(self):
        with contextlib.suppress(AssertionError, struct.error, OSError):
            return read_pcap(self.file.read_bytes())
        return []

    def test_the_file_has_the_datagrams_of_one_session_with_the_ends_addresses(self):
        for address in ("127.0.0.1", "::1"):
            with self.subTest(address):
                self.file.unlink(missing_ok=True)
                expected, _ = self.play(address)
                found = [each for each in read_pcap(self.file.read_bytes()) if each[3][:7] != b"begun? "]
                self.assertEqual([each[1:] for each in found], expected)
                self.assertEqual([each[0] for each in found], sorted(each[0] for each in found))
                self.assertLess(abs(found[0][0] - time.time()), 2 * STOP_SECONDS)

    def test_two_who_ask_do_not_get_what_the_other_asked_for_and_are_told(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player, \
                Player(proxy.port) as other, trace(proxy, "capture", "-w", str(self.file), "--duration", "0", "--player", player.name) as command:
            wait_until(lambda: self.begun(player, command), "it began")
            query = f"capture&player={other.name}"
            looks = [asked(proxy, query)["look"]]
            for _ in range(20):
                other.ask(b"not this")
                looks.append(asked(proxy, query)["look"])
                player.ask(b"mine")
            self.assertEqual(looks, sorted(set(looks)))
            self.assertEqual(command.stderr.readline(), "paddock trace: somebody else traces as well: what they get is missing here\n")
            command.send_signal(signal.SIGINT)
            self.assertEqual(command.wait(STOP_SECONDS), 0)
            self.assertEqual(command.stderr.read(), "")
        self.assertEqual([each for each in self.captured() if each[3] == b"not this"], [])

    def test_tcpdump_reads_it(self):
        if shutil.which("tcpdump") is None:
            self.skipTest("no tcpdump")
        expected, _ = self.play()
        shown = subprocess.run(["tcpdump", "-nn", "-vv", "-r", str(self.file)], capture_output=True, text=True, check=True)
        self.assertNotIn("bad", shown.stdout)
        for source, destination, payload in expected:
            self.assertIn(f"{source[0]}.{source[1]} > {destination[0]}.{destination[1]}: [udp sum ok] UDP, length {len(payload)}", shown.stdout)

    def test_it_ends_when_the_file_has_as_many_bytes_as_it_may(self):
        self.play("127.0.0.1", "--max-bytes", "100000", payloads=[b"x" * 1000] * 200, stop=False)
        self.assertLess(self.file.stat().st_size, 100000 + 1500)


class RightsTest(unittest.TestCase):
    def test_errors_of_usage_and_of_the_other_side(self):
        with Proxy([]) as proxy:
            for arguments, expected in ((["all"], "expected one of drops, top and capture"), ([], "expected one of drops, top and capture"),
                                        (["capture"], "capture needs --write"), (["top", "-w", "x"], "capture needs --write"),
                                        (["capture", "-w", "/tmp/x", "--player", "name"], "expected an address"),
                                        (["capture", "-w", "/tmp/x", "--player", "fe80::1%lo"], "expected an address")):
                with trace(proxy, *arguments) as command:
                    self.assertEqual((command.wait(STOP_SECONDS), expected in command.stderr.read()), (2, True), arguments)
            peer = "expected an address with or without a port"
            for path, expected in (("/trace", "what: expected drops, top or capture, not ''"),
                                   ("/trace?what=all", "what: expected drops, top or capture, not 'all'"),
                                   ("/trace?what=sessions", "what: expected drops, top or capture, not 'sessions'"),
                                   ("/trace?what=top&sort=name", "sort: expected idle, age, packets or bytes, not 'name'"),
                                   ("/trace?what=top&who=me", "who: unknown key"),
                                   ("/trace?what=top&limit=0", "limit: expected a number from 1 to 10000, not '0'"),
                                   ("/trace?what=top&what=drops", "what: given more than once"),
                                   ("/trace?what=capture&player=example.org", f"player: {peer}, not 'example.org'"),
                                   ("/trace?what=capture&player=fe80::1%lo", f"player: {peer}, not 'fe80::1%lo'"),
                                   ("/trace?what=capture&server=[fe80::1%lo]:7000", f"server: {peer}, not '[fe80::1%lo]:7000'"),
                                   ("/sessions?limit=10001", "limit: expected a number from 1 to 10000, not '10001'"),
                                   ("/sessions?player=%00", "player: unknown key"), ("/sessions?%0a=x", "\\n: unknown key"),
                                   ("/control?limit=1", "limit: unknown key")):
                self.assertEqual(proxy.http(path), (400, expected + "\n"), path)
            for path in ("/trace?what=top&sort=&limit=&player=&server=", "/sessions?limit=10000", "/control"):
                self.assertEqual(proxy.http(path)[0], 200, path)
        with trace(proxy, "top") as command:
            self.assertEqual((command.wait(STOP_SECONDS), "nothing answers at 127.0.0.1" in command.stderr.read()), (255, True))


if __name__ == "__main__":
    unittest.main()
