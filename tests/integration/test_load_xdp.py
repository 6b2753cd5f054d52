# SPDX-License-Identifier: Apache-2.0
"""`paddock load --via xdp` between two hosts, network namespaces with a veth pair between them.

The other host's end has a program that passes everything, without which a veth pair takes no frames of XDP: the object
named by $PADDOCK_PASS_OBJECT.
"""
import json
import os
import signal

import support
from support import (ANSWER_SECONDS, Namespace, Process, Responder, Server, answer_to, honest, ip, packed_pong, parsed_ping,
                     ping_json, run)
from test_load import PATIENT, DoubleTests, LoadTest, holding

PASS_OBJECT = os.environ["PADDOCK_PASS_OBJECT"]
OURS, THEIRS = ("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2")
OWNED = "--yes-i-own-this-target"


def mac_of(link):
    return json.loads(ip(f"-json link show dev {link}"))[0]["address"]


def has_program(link):
    return "xdp" in json.loads(ip(f"-json link show dev {link}"))[0]


@support.needs_root
class XdpTest(LoadTest):
    @classmethod
    def setUpClass(cls):
        cls.us, cls.peer = Namespace(), Namespace()
        cls.addClassCleanup(cls.us.close)
        cls.addClassCleanup(cls.peer.close)
        with cls.us:
            ip(f"link add near type veth peer name far netns {cls.peer.path}")
            ip(f"address add {OURS[0]}/24 dev near")
            ip(f"address add {OURS[1]}/64 dev near nodad")
            ip("link set near up")
        with cls.peer:
            ip(f"address add {THEIRS[0]}/24 dev far")
            ip(f"address add {THEIRS[1]}/64 dev far nodad")
            ip("link set far up")
            ip(f"link set dev far xdp object {PASS_OBJECT} section xdp")
            cls.mac = mac_of("far")

    def load_xdp(self, *arguments, **options):
        with self.us:
            return self.load("--via", "xdp", OWNED, *arguments, **options)

    def check_failure(self, arguments, *words):
        with self.us:
            done = run("load", "--via", "xdp", OWNED, *arguments)
            self.assertFalse(has_program("near"))
        self.assertEqual((done.returncode, done.stdout), (255, ""), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)


class CountsTest(XdpTest):
    def check_against_responder(self, *arguments, address=THEIRS[0], **expected):
        with self.peer, Responder("--service.qcmp.guard", "false", "--service.udp.workers", "1") as responder:
            host = f"[{address}]" if ":" in address else address
            report = self.load_xdp(*PATIENT, "-d", "200ms", "--target-mac", self.mac, *arguments, f"{host}:{responder.port}")
            said = responder.stop()
        self.assertGreater(report["answered"], 0)
        self.assertEqual((report["via"], report["unfinished"]), ("xdp", 0))
        self.assertEqual(report["answered"], said["answered"])
        self.assertEqual((report["late"], report["duplicates"], report["foreign"]), (0, 0, 0))
        for key, value in expected.items():
            self.assertEqual(report[key], value, key)
        return report

    def test_a_closed_loop_agrees_with_the_responder(self):
        self.check_against_responder("-n", "16", loop="closed", lost=0)

    def test_flows_and_bursts_agree_with_the_responder(self):
        def sends_whole_bursts():
            return self.check_against_responder("-n", "40", "-f", "7", "-b", "5", flows=7, burst=5, lost=0)["sent"] % 5 == 0
        # The end of the time may cut the last one on a busy machine: not each time.
        self.assertTrue(any(sends_whole_bursts() for _ in range(3)))

    def test_ipv6_agrees_with_the_responder(self):
        self.check_against_responder("-n", "16", "-f", "3", address=THEIRS[1], lost=0)

    def test_an_open_loop_agrees_with_the_responder(self):
        self.check_against_responder("-r", "2000", "-f", "3", loop="open", scheduled=400)

    def test_poisson_arrivals_over_ipv6_agree_with_the_responder(self):
        self.check_against_responder("-r", "2000", "--arrivals", "poisson", "-b", "4", address=THEIRS[1])

    def test_the_address_of_the_target_is_learned_from_its_first_answer(self):
        with self.peer, Server(honest, THEIRS[0]) as server:
            report = self.load_xdp("-d", "50ms", *PATIENT, "-n", "2", server.target)
            arrivals = len(server.arrivals)
        self.assertEqual(report["answered"], report["sent"])
        self.assertGreaterEqual(arrivals, report["sent"] + 1)
        self.assertLessEqual(arrivals, report["sent"] + 5)

    def test_each_flow_has_a_port_and_no_timestamp_is_used_twice(self):
        clients = set()

        def note(server, data, client):
            clients.add(client)
            honest(server, data, client)

        with self.peer, Server(note, THEIRS[1]) as server:
            report = self.load_xdp("-d", "50ms", *PATIENT, "-n", "9", "-f", "3", "--target-mac", self.mac, server.target)
            stamps = [parsed_ping(data)[1] for _, data in server.arrivals]
        self.assertEqual((len(clients), len(set(stamps)), len(stamps)), (3, report["sent"], report["sent"]))

    def test_other_traffic_passes(self):
        with self.peer, Server(honest, THEIRS[0]) as server, self.us:
            with Process("load", "--via", "xdp", OWNED, "--format", "json", "-d", "60s", "-r", "100", server.target) as loading:
                server.await_arrivals(5)
                status, _ = ping_json("-a", "3", "-i", "0", "-t", "20s", server.target)
                loading.process.send_signal(signal.SIGINT)
                output, _ = loading.process.communicate(timeout=ANSWER_SECONDS)
        self.assertEqual((status, loading.process.returncode), (0, 0))
        self.check_report(json.loads(output))


class EngineTest(XdpTest):
    """Against a responder that answers with XDP, which takes the place of the passing program."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.peer:
            ip("link set dev far xdp off")

    def check_against_engine(self, *arguments, address):
        flags = ("--service.qcmp.guard", "false", "--xdp", "on", "--service.udp.xdp.network-interface", "far", "--service.udp.workers", "1")
        with self.peer, Responder(*flags) as responder:
            host = f"[{address}]" if ":" in address else address
            report = self.load_xdp(*PATIENT, "-d", "300ms", "--target-mac", self.mac, *arguments, f"{host}:{responder.port}")
            said = responder.stop()
        self.assertGreater(report["answered"], 0)
        self.assertEqual(report["answered"], said["answered"])
        self.assertEqual((report["late"], report["duplicates"], report["foreign"]), (0, 0, 0))

    # A queue of a veth pair holds 256 frames.
    def test_a_full_window_over_ipv4_agrees_with_it(self):
        self.check_against_engine("-n", "192", "-f", "5", address=THEIRS[0])

    def test_a_full_window_over_ipv6_agrees_with_it(self):
        self.check_against_engine("-n", "192", address=THEIRS[1])

    def test_a_schedule_agrees_with_it(self):
        self.check_against_engine("-r", "20000", "--arrivals", "poisson", "-f", "9", address=THEIRS[0])


class HostileTest(DoubleTests, XdpTest):
    def against(self, behave, *arguments, **options):
        with self.peer, Server(behave, THEIRS[0]) as server:
            return self.load_xdp("-d", "100ms", "--target-mac", self.mac, *arguments, server.target, **options)

    def test_nothing_is_credited_that_is_no_answer(self):
        def lie(server, data, client):
            nonce, stamp = parsed_ping(data)
            for junk in (b"", b"QLKN", data, os.urandom(33), answer_to(data) + b"x", answer_to(data)[:-1]):
                server.send(junk, client)
            for bit in range(64):
                server.send(packed_pong(nonce, (stamp ^ 1 << bit) - (1 << 64 if bit == 63 else 0), 0, 0), client)
            for bit in range(8):
                server.send(packed_pong(nonce ^ 1 << bit, stamp, 0, 0), client)
            server.send(packed_pong(nonce, 0, 0, 0), client)

        # It ends once pings have arrived: a run of a length in time may be over before it had a CPU to send on.
        with self.peer, Server(lie, THEIRS[0]) as server, self.us:
            with Process("load", "--via", "xdp", OWNED, "--format", "json", "-d", "60s", "-t", "3s", "-r", "50",
                         "--target-mac", self.mac, server.target) as loading:
                server.await_arrivals(5)
                loading.process.send_signal(signal.SIGINT)
                output, _ = loading.process.communicate(timeout=ANSWER_SECONDS)
        report = json.loads(output)
        self.check_report(report)
        self.assertEqual(loading.process.returncode, 1)
        self.assertEqual((report["answered"], report["late"], report["duplicates"]), (0, 0, 0))
        self.assertGreaterEqual(report["sent"], 5)
        self.assertEqual(report["lost"], report["sent"])
        self.assertGreater(report["foreign"], 0)
        self.assertLessEqual(report["foreign"], report["sent"] * (6 + 64 + 8 + 1))

    def test_an_answer_to_another_flow_is_foreign(self):
        waiting = []

        def swap(server, data, client):
            waiting.append((data, client))
            if len(waiting) == 2:
                (one, first), (other, second) = waiting
                server.send(answer_to(one), second)
                server.send(answer_to(other), first)
                waiting.clear()

        report = self.against(swap, "-t", "3s", "-n", "2", "-f", "2", expect=1)
        self.assertEqual((report["answered"], report["late"], report["duplicates"]), (0, 0, 0))
        self.assertGreater(report["foreign"], 0)

    def test_an_answer_after_the_time_out_is_late(self):
        report = self.against(holding(0.03, times=2), "-t", "20ms", "-r", "200", "-d", "2s", expect=1)
        self.assertEqual((report["answered"], report["lost"]), (0, report["sent"]))
        self.assertGreater(report["late"], 0)
        self.assertIn(report["late"] - report["duplicates"], (0, 1))
        self.assertEqual(report["foreign"], 0)

    def test_a_silent_target_loses_all_in_either_loop(self):
        for loop in (("-n", "3"), ("-r", "100")):
            report = self.against(None, "-t", "20ms", *loop, expect=1)
            self.assertEqual((report["answered"], report["lost"]), (0, report["sent"]))
            self.assertGreater(report["sent"], 0)


class LifeTest(XdpTest):
    def test_without_an_answer_the_address_is_not_known(self):
        with self.peer, Server(None, THEIRS[0]) as silent:
            self.check_failure([silent.target], "no answer", "--target-mac")

    def test_an_interface_that_is_held_is_named_and_left(self):
        with self.us:
            ip(f"link set dev near xdp object {PASS_OBJECT} section xdp")
            try:
                done = run("load", "--via", "xdp", OWNED, THEIRS[0])
                self.assertTrue(has_program("near"))
            finally:
                ip("link set dev near xdp off")
        self.assertEqual(done.returncode, 255)
        self.assertIn("near already has XDP program", done.stderr)

    def test_an_interface_without_native_xdp_is_an_error(self):
        self.check_failure(["127.0.0.1", "--interface", "lo"],
                           "cannot attach to lo in native mode: its driver has no XDP: use --via sockets\n")

    def test_without_privileges_it_says_what_it_needs(self):
        with self.us:
            done = run("--reuid=65534", "--clear-groups", "--bounding-set=-all", support.PADDOCK, "load", "--via", "xdp", OWNED,
                       THEIRS[0], program="setpriv")
        self.assertEqual(done.returncode, 255, done.stderr)
        self.assertIn("CAP_BPF", done.stderr)

    def test_the_program_goes_with_the_process(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            with self.peer, Server(honest, THEIRS[0]) as server:
                with self.us, Process("load", "--via", "xdp", OWNED, "-d", "60s", "-r", "100", *PATIENT, server.target) as process:
                    server.await_arrivals(5)
                    self.assertTrue(has_program("near"))
                    process.process.send_signal(number)
                    process.process.communicate(timeout=ANSWER_SECONDS)
                    support.wait_until(lambda: not has_program("near"), "the program is gone")
            self.assertEqual(process.process.returncode, -signal.SIGKILL if number == signal.SIGKILL else 0)

    def test_options_of_xdp_are_checked(self):
        for arguments, word in ((["--target-mac", "02:00"], "Ethernet"), (["--target-mac", "02:00:00:00:00:0x"], "Ethernet"),
                                (["--target-mac", "02:00:00:00:00:01:"], "Ethernet"), (["--interface", "none"], "none"),
                                (["--via", "pigeon"], "pigeon"), (["--via", "sockets", "--interface", "lo"], "--via xdp")):
            self.check_usage(["--via", "xdp", *arguments, "127.0.0.1"], word)


del LoadTest

if __name__ == "__main__":
    support.main()
