# SPDX-License-Identifier: Apache-2.0
"""XDP in front of the sockets, between two hosts (network namespaces) over veth, natively and in generic mode."""
import collections
import contextlib
import errno
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

import hosts
import support
import test_guard
from faults import FAULTY, Faults
from serving import PORT_CHANGED, RELOADED, Operated, free_ports, public_folder
from support import Asker, ip, packed_ping, packed_pong, run, scaled, sysctl

PASS_OBJECT = os.environ["PADDOCK_PASS_OBJECT"]
CLIENT_IPV4, SERVER_IPV4 = "10.99.0.1", "10.99.0.2"
CLIENT_IPV6, SERVER_IPV6 = "fd00:99::1", "fd00:99::2"
ATTACHED = "xdp attached"
DETACHED = "xdp detached: the sockets go on alone"
LOSING = "the interface loses answers of xdp; on veth the peer needs an XDP program, too"
WITHOUT = "sockets answer without xdp"
FILTERED = "pings are answered before this host's packet filter sees them: its rules do not apply to them"


def ones_complement(data):
    """The Internet checksum."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total > 0xffff:
        total = (total >> 16) + (total & 0xffff)
    return total ^ 0xffff


def mac_of(link):
    """The MAC address of a link of this namespace."""
    return bytes.fromhex(re.search(r"link/ether ([0-9a-f:]+)", ip(f"link show {link}"))[1].replace(":", ""))


def holder(link):
    """The mode in which a link of this namespace has an XDP program, or None."""
    found = re.search(r"\b(xdp|xdpgeneric)\b", ip(f"link show {link}").splitlines()[0])
    return found and {"xdp": "native", "xdpgeneric": "generic"}[found[1]]


def udp(source, destination, source_port, port, data):
    """A UDP datagram with its checksum; addresses are packed."""
    header = struct.pack(">HHHH", source_port, port, 8 + len(data), 0)
    pseudo = source + destination + struct.pack(">HH", socket.IPPROTO_UDP, 8 + len(data))
    return header[:6] + struct.pack(">H", ones_complement(pseudo + header + data) or 0xffff) + data


def ipv4(source, destination, payload, options=b"", fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, fragment, 9,
                       socket.IPPROTO_UDP, 0, source, destination) + options
    return head[:10] + struct.pack(">H", ones_complement(head)) + head[12:] + payload


def ipv6(source, destination, payload, following=socket.IPPROTO_UDP):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), following, 9, source, destination) + payload


def pass_all(link="way"):
    """Has a program on a link that passes everything, without which veth loses what XDP at its other end sends."""
    done = subprocess.run(["ip", "link", "set", "dev", link, "xdp", "obj", PASS_OBJECT, "sec", "xdp"],
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise unittest.SkipTest(f"no XDP here: {done.stderr}")


class XdpTest(unittest.TestCase):
    """What the tests below share: two hosts, and a service on the second."""
    peer_passes = True

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        try:
            cls.client, cls.server = stack.enter_context(hosts.two_hosts())
        except (OSError, FileNotFoundError) as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
        if cls.peer_passes:
            with cls.client:
                pass_all()

    def setUp(self):
        self.sent = collections.Counter()

    def start(self, *flags, mode="native", **options):
        """Starts a service with XDP on `way`."""
        with self.server:
            service = Operated("--service.qcmp.port", "0", "--service.udp.workers", "1", "--xdp", "on", "--xdp-attach",
                               mode, "--service.udp.xdp.network-interface", "way", *flags, **options)
        self.addCleanup(service.__exit__)
        self.service = service
        return service

    def asker(self, address=SERVER_IPV4, port=None):
        with self.client:
            return Asker(port or self.service.port, self.sent, address)

    def metrics(self):
        with self.server:
            return self.service.metrics()

    def by_xdp(self):
        return self.metrics()["paddock_xdp_answered_total"]

    def check_counts(self, dropped=0):
        """What was sent is what was counted, to the packet; in the metrics and at the end. What XDP answers overtakes
        what the sockets still have."""
        wanted = [sum(self.sent.values()) + dropped, self.sent["valid"]]
        names = ("paddock_qcmp_received_total", "paddock_qcmp_answered_total")
        support.wait_until(lambda: [self.metrics()[name] for name in names] == wanted, f"all is counted: {wanted}")
        metrics = self.metrics()
        for kind in ("valid", "invalid", "unsupported"):
            self.assertEqual(metrics[f'quilkin_service_qcmp_packets_total{{kind="{kind}"}}'], self.sent[kind])
        self.assertEqual(self.service.stop(), support.counts(self.sent, dropped))


class Frames:
    """Sends frames of its own making to the server, and takes the answers at an ordinary socket."""

    def __init__(self, test):
        self.test = test
        with test.server:
            self.to = mac_of("way")
        with test.client:
            self.mac = mac_of("way")
            self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.raw.bind(("way", 0))
            self.askers = [Asker(test.service.port, test.sent, address) for address in (SERVER_IPV4, SERVER_IPV6)]
            # An address of its own, which the frames bear; and whom to answer is known by then.
            for asker, own in zip(self.askers, (CLIENT_IPV4, CLIENT_IPV6)):
                asker.socket.bind((own, 0))
                asker.answers()

    def close(self):
        self.raw.close()
        for asker in self.askers:
            asker.socket.close()

    def port(self, version):
        return self.askers[version == 6].socket.getsockname()[1]

    def ping(self, version, nonce, to=None):
        """The addresses, packed, and the datagram of a ping."""
        family, own, server = (socket.AF_INET, CLIENT_IPV4, SERVER_IPV4) if version == 4 else \
            (socket.AF_INET6, CLIENT_IPV6, SERVER_IPV6)
        ends = socket.inet_pton(family, own), socket.inet_pton(family, to or server)
        return *ends, udp(*ends, self.port(version), self.test.service.port, packed_ping(nonce, nonce))

    def send(self, packet, to=None, tags=b"", padding=0):
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        self.raw.send((to or self.to) + self.mac + tags + kind + packet + bytes(padding))

    def forge(self, source):
        """Sends a ping in the name of another address; what answers it does not get here."""
        version = 6 if ":" in source else 4
        _, destination, _ = self.ping(version, 0)
        packed = socket.inet_pton(socket.AF_INET6 if version == 6 else socket.AF_INET, source)
        ping = udp(packed, destination, self.port(version), self.test.service.port, packed_ping(5, 5))
        self.send((ipv6 if version == 6 else ipv4)(packed, destination, ping))

    def answers(self, version):
        """The nonces of what XDP answered since the last call."""
        return [pong.nonce for pong in self.askers[version == 6].answers()]

    def slow_answers(self, version, count):
        """The nonces of so many answers, of sockets."""
        return [self.askers[version == 6].receive().nonce for _ in range(count)]

    def check_nothing_left(self):
        for asker in self.askers:
            asker.socket.setblocking(False)
            try:
                raise AssertionError(f"answered too often: {asker.receive()}")
            except BlockingIOError:
                pass


class ModeTests:
    """The same for both modes."""
    mode = None

    def setUp(self):
        super().setUp()
        self.start("--service.qcmp.guard", "false", mode=self.mode)

    def test_every_nonce_is_answered_once_by_xdp_with_true_stamps(self):
        for address in (SERVER_IPV4, SERVER_IPV6):
            with self.asker(address) as asker:
                for nonce in range(256):
                    before = time.time_ns()
                    asker.send(packed_ping(nonce, before))
                    pong = asker.receive()
                    after = time.time_ns()
                    self.assertEqual((pong.nonce, pong.client), (nonce, before))
                    self.assertTrue(before <= pong.start <= pong.transmit <= after, (before, pong, after))
                self.assertEqual(asker.answers(), [])
        self.assertEqual(self.by_xdp(), self.sent["valid"])
        self.assertEqual(self.metrics()["paddock_xdp_transmit_errors_total"], 0)
        self.check_counts()

    def test_every_length_is_counted_once_and_only_a_ping_answered(self):
        for address in (SERVER_IPV4, SERVER_IPV6):
            with self.asker(address) as asker:
                for length in range(101):
                    asker.send((packed_ping(1, length) + bytes(100))[:length])
                    self.assertEqual(len(asker.answers()), length == support.PING_BYTES, length)
        self.check_counts()

    def test_garbage_is_counted_by_the_socket(self):
        with self.asker() as asker:
            for _ in range(scaled(200)):
                asker.send(os.urandom(17))
                asker.send(b"QLKN" + os.urandom(13))
                asker.send(packed_pong(1, 2, 3, 4))
                self.assertEqual(asker.answers(), [])
        self.assertEqual(self.by_xdp(), self.sent["valid"])
        self.check_counts()

    def test_frames_of_any_shape_have_one_answer_or_none(self):
        frames = Frames(self)
        self.addCleanup(frames.close)
        for version in (4, 6):
            source, destination, ping = frames.ping(version, 1)
            pack = ipv4 if version == 4 else ipv6
            frames.send(pack(source, destination, ping), padding=1 if version == 4 else 0)
            frames.send(pack(source, destination, ping), padding=40)
            self.sent["valid"] += 2
            self.assertEqual(frames.answers(version), [1, 1])
            whole = pack(source, destination, ping)
            frames.send(whole, to=bytes([frames.to[0], *frames.to[1:5], frames.to[5] ^ 1]))
            frames.send(whole, tags=b"\x81\x00\x00\x05")
            frames.send(whole, tags=b"\x88\xa8\x00\x05\x81\x00\x00\x06")
            frames.send(pack(*frames.ping(version, 2, "10.99.0.3" if version == 4 else "fd00:99::3")))
            frames.send(whole[:-1])
            self.assertEqual(frames.answers(version), [])
        source, destination, ping = frames.ping(4, 3)
        broken = ipv4(source, destination, ping)
        frames.send(broken[:10] + bytes([broken[10] ^ 1]) + broken[11:])
        frames.send(ipv4(b"\x7f\0\0\x01", destination, ping))
        self.assertEqual(frames.answers(4), [])
        frames.send(ipv4(source, destination, ping, options=b"\x01" * 4))
        frames.send(ipv4(source, destination, ping[:16], fragment=0x2000))
        frames.send(ipv4(source, destination, ping[16:], fragment=2))
        self.assertEqual(frames.slow_answers(4, 2), [3, 3])
        source, destination, ping = frames.ping(6, 4)
        options = struct.pack(">BB6s", socket.IPPROTO_UDP, 0, b"\x01\x04\0\0\0\0")
        frames.send(ipv6(source, destination, options + ping, following=socket.IPPROTO_DSTOPTS))
        self.assertEqual(frames.slow_answers(6, 1), [4])
        by_sockets = 3
        self.sent["valid"] += by_sockets
        self.assertEqual(self.by_xdp(), self.sent["valid"] - by_sockets)
        self.check_counts()
        frames.check_nothing_left()

    def test_it_goes_with_the_process_that_is_killed(self):
        with self.server:
            self.assertEqual(holder("way"), self.mode)
            self.service.end(signal.SIGKILL)
            support.wait_until(lambda: holder("way") is None, "the program is gone")

    def test_it_goes_with_the_process_that_is_stopped(self):
        self.assertEqual(self.service.await_event(ATTACHED)["fields"]["mode"], self.mode)
        self.service.stop()
        with self.server:
            self.assertIsNone(holder("way"))

    def test_a_second_service_names_the_first_ones_program_and_leaves_it(self):
        with self.server:
            done = run("--service.qcmp", "--service.qcmp.port", "0", "--service.udp.xdp",
                       "--service.udp.xdp.network-interface", "way", "--xdp-attach", self.mode)
            self.assertEqual(holder("way"), self.mode)
        self.assertEqual(done.returncode, 255)
        self.assertRegex(done.stderr, r"^paddock: cannot answer by XDP: way already has XDP program [0-9]+ "
                         rf"'paddock' \({self.mode} mode\), which is left alone: .*\n$")
        with self.asker() as asker:
            self.assertEqual(asker.answers(), [])
        self.check_counts()


@support.needs_root
class NativeTest(ModeTests, XdpTest):
    mode = "native"


@support.needs_root
class GenericTest(ModeTests, XdpTest):
    mode = "generic"
    peer_passes = False


def delivered():
    """The datagrams that sockets of this namespace were given."""
    counted = 0
    for name, family in (("snmp", "Udp: "), ("snmp6", "Udp6InDatagrams")):
        lines = [line.split() for line in pathlib.Path(f"/proc/self/net/{name}").read_text(encoding="ascii").splitlines()
                 if line.startswith(family)]
        counted += int(lines[-1][1])
    return counted


@support.needs_root
class GuardTest(test_guard.GuardTest):
    """The guard's tests, and what is of XDP alone: where it is decided, and that both ways share their memory."""
    mode = "native"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.client:
            pass_all()

    def setUp(self):
        super().setUp()
        self.sent = collections.Counter()

    def serve(self, keys, *flags):
        super().serve(keys, "--xdp", "on", "--xdp-attach", self.mode, "--service.udp.xdp.network-interface", "way", *flags)

    def delivered(self):
        with self.server:
            return delivered()

    def test_what_is_refused_never_gets_to_a_socket(self):
        self.serve(test_guard.STRICT + "  access: {deny: [\"fd00:99::/64\"]}\n")
        before = self.delivered()
        answered = self.answers(500)
        self.assertIn(answered, range(test_guard.BURST, test_guard.BURST + 30))
        self.assertEqual(self.answers(7, SERVER_IPV6), 0)
        with self.client:
            asker = Asker(self.service.port, self.sent, SERVER_IPV6)
        with asker:
            for data in (b"", b"x", os.urandom(1000), b"QLKN" + bytes(100)):
                asker.socket.sendto(data, asker.to)
        support.wait_until(lambda: self.dropped("access_denied") == 11, "whatever is denied is counted")
        self.assertEqual(self.dropped("rate_limited"), 500 - answered)
        self.assertEqual(self.metrics()["paddock_xdp_answered_total"], answered)
        self.assertEqual(self.delivered(), before)
        self.check_sums()

    def test_a_source_has_its_tokens_once_whichever_way_its_pings_take(self):
        self.serve(test_guard.STRICT)
        frames = Frames(self)  # which takes a token
        self.addCleanup(frames.close)
        start = time.monotonic()
        self.assertGreaterEqual(self.answers(2 * test_guard.BURST), test_guard.BURST - 1)
        before = self.delivered()
        limited = self.dropped("rate_limited")
        base = self.metrics()
        ends = frames.ping(4, 3)
        for _ in range(20):
            frames.send(ipv4(*ends, options=b"\x01" * 4))
        # An option makes it one for the sockets.
        support.wait_until(lambda: self.metrics()["paddock_qcmp_received_total"] == base["paddock_qcmp_received_total"] + 20,
                           "the sockets have counted them")
        self.assertEqual(self.delivered() - before, 20)
        refused = self.dropped("rate_limited") - limited
        self.assertGreater(refused, 0)
        self.assertGreaterEqual(refused, 20 - 2 - (time.monotonic() - start))  # one a second is added
        self.check_sums()

    def test_rules_change_without_privileges(self):
        self.serve("  access: {deny: [10.99.0.0/24]}\n")
        status = pathlib.Path(f"/proc/{self.service.pid}/status").read_text(encoding="ascii")
        self.assertEqual(int(re.search(r"CapEff:\s*([0-9a-f]+)", status)[1], 16) & ~(1 << 10), 0)
        before = self.delivered()
        for _ in range(3):
            self.assertEqual(self.answers(3), 0)
            self.reload("  access: {deny: [10.98.0.0/24], allow: [10.99.0.1, \"::/0\"]}\n")
            self.assertEqual(self.answers(3), 3)
            self.assertEqual(self.answers(3, SERVER_IPV6), 3)
            self.reload("  access: {deny: [10.99.0.0/24]}\n")
        self.assertEqual(self.delivered(), before)
        self.check_sums()


@support.needs_root
class GenericGuardTest(GuardTest):
    mode = "generic"


@support.needs_root
class LifeTest(XdpTest):
    def wait_until_by_xdp(self, asker, wanted, what):
        """Pings until XDP, or the socket, answers."""
        def answers():
            before = self.by_xdp()
            self.assertEqual(asker.answers(), [])
            return (self.by_xdp() > before) == wanted
        support.wait_until(answers, what)

    def test_addresses_are_followed_without_privileges(self):
        self.start()
        for address, more in (("10.99.0.77", "/24"), ("fd00:99::77", "/64 nodad")):
            with self.server:
                ip(f"addr add {address}{more} dev way")
            with self.asker(address) as asker:
                self.wait_until_by_xdp(asker, True, f"XDP answers at {address}")
            with self.server:
                ip(f"addr del {address}{more.split()[0]} dev way")
            with self.asker(SERVER_IPV4) as asker, self.asker(address) as gone:
                support.wait_until(lambda at=gone: self.is_silent(at), f"nothing answers at {address}")
                self.wait_until_by_xdp(asker, True, "XDP still answers")
        self.service.stop()

    @staticmethod
    def is_silent(asker):
        asker.socket.settimeout(0.2)
        try:
            asker.socket.sendto(packed_ping(9, 9), asker.to)
            asker.receive()
            return False
        except OSError:
            return True

    def test_pings_in_the_name_of_this_host_are_left_to_the_kernel(self):
        """Which drops those of IPv4, and answers those of IPv6 to itself."""
        with self.server:
            sysctl("ipv4/conf/way/rp_filter", 1)
            self.addCleanup(self.set_in_server, "ipv4/conf/way/rp_filter", 0)
            for address in ("10.99.0.66/24", "10.98.7.66/24", "fd00:99::66/64 nodad"):
                ip(f"addr add {address} dev way")
        self.start("--service.qcmp.guard", "false")
        frames = Frames(self)
        self.addCleanup(frames.close)
        before = self.by_xdp()
        for own in ("10.99.0.66", "10.99.1.2", "10.99.0.255", "10.99.1.255", "10.98.7.255"):
            frames.forge(own)
            self.assertEqual(frames.answers(4), [])
        for own in ("fd00:99::66", "fd00:9a::2"):
            frames.forge(own)
            self.sent["valid"] += 1
            self.assertEqual(frames.answers(6), [])
        self.assertEqual(self.by_xdp() - before, 7, "the markers alone")
        with self.server:
            for address in ("10.99.0.66/24", "10.98.7.66/24", "fd00:99::66/64"):
                ip(f"addr del {address} dev way")
            ip("route add 10.98.7.0/24 dev way")
            self.addCleanup(self.remove_route, "10.98.7.0/24")
        for other in ("10.99.0.66", "10.98.7.255", "fd00:99::66"):
            self.forge_until_answered(frames, other)
        self.check_counts()

    def forge_until_answered(self, frames, source):
        """By XDP; until it has noticed, sockets answer."""
        def is_answered():
            before = self.by_xdp()
            frames.forge(source)
            self.sent["valid"] += 1
            self.assertEqual(frames.answers(6 if ":" in source else 4), [])
            return self.by_xdp() - before == 2
        support.wait_until(is_answered, f"XDP answers to {source}")

    def set_in_server(self, name, value):
        with self.server:
            sysctl(name, value)

    def test_a_changed_mac_is_followed(self):
        self.start()
        with self.server:
            before = mac_of("way")
            ip("link set dev way address 02:00:00:00:77:77")
        self.addCleanup(self.restore_mac, before)
        with self.client:
            ip("neigh flush dev way")
        with self.asker() as asker:
            self.wait_until_by_xdp(asker, True, "XDP answers at the new MAC address")
        self.service.stop()

    def restore_mac(self, mac):
        with self.server:
            ip(f"link set dev way address {mac.hex(':')}")
        with self.client:
            ip("neigh flush dev way")

    def test_a_changed_port_is_followed(self):
        folder = public_folder()
        path = folder.__enter__() / "file.yaml"
        self.addCleanup(folder.__exit__, None, None, None)
        with self.server:
            first, second = free_ports(2)
        path.write_text(f"qcmp_port: {first}\n", encoding="utf-8")
        with self.server:
            service = Operated("-c", str(path), "--xdp", "on", "--service.udp.xdp.network-interface", "way")
        self.addCleanup(service.__exit__)
        self.service = service
        with self.asker(port=first) as asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.by_xdp(), 1)
        path.write_text(f"qcmp_port: {second}\n", encoding="utf-8")
        service.await_event(PORT_CHANGED)
        service.await_event(RELOADED)
        with self.asker(port=second) as asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.by_xdp(), 2)
        with self.asker(port=first) as asker:
            self.assertTrue(self.is_silent(asker))
        self.check_counts()

    def test_only_addresses_that_are_listened_on_are_answered(self):
        folder = public_folder()
        path = folder.__enter__() / "file.yaml"
        self.addCleanup(folder.__exit__, None, None, None)
        path.write_text(f"paddock: {{ qcmp: {{ listen: [{SERVER_IPV4}] }} }}\n", encoding="utf-8")
        self.start("-c", str(path))
        with self.asker() as asker, self.asker(SERVER_IPV6) as other:
            self.assertTrue(self.is_silent(other))
            self.assertEqual(asker.answers(), [])
        self.check_counts()

    def test_its_default_is_the_interface_of_the_default_route(self):
        with self.server:
            ip("route add default via 10.99.0.1 dev way")
            self.addCleanup(self.remove_route)
            service = Operated("--service.qcmp.port", "0", "--xdp", "on")
        self.addCleanup(service.__exit__)
        self.assertEqual(service.await_event(ATTACHED)["fields"]["interface"], "way")
        service.stop()

    def remove_route(self, route="default"):
        with self.server:
            ip(f"route del {route}")

    def test_automatic_stays_with_sockets_on_veth(self):
        with self.server:
            service = Operated("--service.qcmp.port", "0", "--xdp", "auto", "--service.udp.xdp.network-interface", "way")
            self.addCleanup(service.__exit__)
            self.service = service
            self.assertIsNone(holder("way"))
        self.assertEqual(service.await_event(WITHOUT)["fields"]["reason"], "way is no hardware interface")
        with self.asker() as asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.metrics()["paddock_xdp_attached"], 0)
        self.check_counts()

    def test_a_start_that_cannot_have_it_is_an_error(self):
        cases = [(("--service.udp.xdp.network-interface", "none9"), "there is no network interface 'none9'"),
                 ((), "no default route says which network interface: name it with --service.udp.xdp.network-interface"),
                 (("--service.udp.xdp.network-interface", "lo"),
                  "cannot attach to lo in native mode: its driver has no XDP: use the generic mode (--xdp-attach generic)")]
        for flags, reason in cases:
            with self.subTest(flags), self.server:
                done = run("--service.qcmp", "--service.qcmp.port", "0", "--xdp", "on", *flags)
                self.assertEqual((done.returncode, done.stderr), (255, f"paddock: cannot answer by XDP: {reason}\n"))

    def test_a_start_that_fails_behind_it_leaves_nothing(self):
        with Faults() as faults, self.server:
            faults.inject("bind", errno.EADDRINUSE, 1, skip=1)  # the first is the one for changes of addresses
            done = run("--service.qcmp", "--service.qcmp.port", "0", "--xdp", "on",
                       "--service.udp.xdp.network-interface", "way", program=FAULTY, env=faults.environment())
            self.assertEqual((done.returncode, done.stderr), (
                255, f"paddock: cannot serve QCMP on UDP port 0 (qcmp_port, --service.qcmp.port): {os.strerror(errno.EADDRINUSE)}\n"))
            self.assertIsNone(holder("way"))

    def test_a_start_without_privileges_is_an_error(self):
        if shutil.which("setpriv") is None:
            self.skipTest("setpriv (package util-linux) is not installed")
        with self.server:
            done = run("--reuid=65534", "--clear-groups", "--bounding-set=-all", support.PADDOCK, "--service.qcmp",
                       "--service.qcmp.port", "0", "--xdp", "on", "--service.udp.xdp.network-interface", "way",
                       program="setpriv")
        self.assertEqual(done.returncode, 255)
        self.assertIn("it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN", done.stderr)

    def test_a_user_with_three_capabilities_attaches_and_gives_them_up(self):
        if shutil.which("setpriv") is None:
            self.skipTest("setpriv (package util-linux) is not installed")
        few = "-all,+bpf,+perfmon,+net_admin"
        self.start(prefix=("setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={few}", f"--ambient-caps={few}"))
        status = dict(line.split(":", 1) for line in
                      pathlib.Path(f"/proc/{self.service.pid}/status").read_text(encoding="ascii").splitlines())
        self.assertEqual([int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")], [0] * 4)
        with self.asker() as asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.by_xdp(), 1)
        self.check_counts()

    def test_a_packet_filter_is_warned_about(self):
        if shutil.which("nft") is None:
            self.skipTest("nft (package nftables) is not installed")
        with self.server:
            done = subprocess.run(["nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }; "
                                   "add rule inet t c udp dport 9 drop"], stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                self.skipTest(f"no nftables here: {done.stderr}")
        self.start()
        self.assertEqual(len(self.service.events(FILTERED, "WARN")), 1)
        self.service.stop()
        with self.server:
            subprocess.run(["nft", "delete table inet t"], check=True)
        self.start()
        self.assertEqual(self.service.events(FILTERED), [])
        self.service.stop()


@support.needs_root
class EndTest(XdpTest):
    peer_passes = False

    def test_losses_are_said_once(self):
        self.start()
        with self.asker() as asker:
            for _ in range(20):
                asker.send(packed_ping(1, 1))
        self.assertGreaterEqual(self.service.await_event(LOSING)["fields"]["lost"], 10)
        support.wait_until(lambda: self.metrics()["paddock_xdp_transmit_errors_total"] == 20, "all losses are counted")
        self.check_counts()
        self.assertEqual(len(self.service.events(LOSING)), 1)

    def test_the_sockets_go_on_when_the_interface_is_gone(self):
        self.start()
        with self.server:
            ip("link del way")
        self.assertEqual(self.service.await_event(DETACHED)["level"], "WARN")
        with self.client:
            asker = Asker(self.service.port, self.sent, "10.99.1.2")
        with asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.metrics()["paddock_xdp_attached"], 0)
        self.check_counts()


if __name__ == "__main__":
    support.main()
