# SPDX-License-Identifier: Apache-2.0
"""`paddock load`: what it counts, what it refuses, and what a server can make it believe."""
import json
import os
import signal
import struct
import subprocess
import time
import unittest

from proxying import own_hosts
from support import (ANSWER_SECONDS, Namespace, PADDOCK, Process, Responder, Server, alone, answer_to, closed_port, counts,
                     environment, honest, ip, main, needs_ipv6, needs_root, packed_pong, parsed_ping, run)

SOL_UDP, UDP_SEGMENT = 17, 103
TIMES = ("latency_ns", "round_trip_ns", "lag_ns")
QUANTILES = ("min", "p50", "p90", "p99", "p99_9", "max")
# With it sanitized builds of any speed keep a ping in flight, and it ends as soon as all are answered.
PATIENT = ("-t", "30s")


def twice(server, data, client):
    server.send(answer_to(data), client)
    server.send(answer_to(data), client)


def holding(seconds, times=1):
    """A behaviour: answers pings later than that, as many times, when others come."""
    held = []

    def hold(server, data, client):
        now = time.monotonic()
        while held and now - held[0][0] > seconds:
            _, answer, to = held.pop(0)
            for _ in range(times):
                server.send(answer, to)
        held.append((now, answer_to(data), client))

    return hold


class LoadTest(unittest.TestCase):
    def check_report(self, report):
        """The numbers agree with each other."""
        self.assertEqual(report["scheduled"], report["sent"] + report["unsent"] + report["send_errors"])
        self.assertEqual(report["sent"], report["answered"] + report["lost"] + report["unfinished"])
        self.assertGreaterEqual(report["window_ns"], report["sending_ns"])
        self.assertGreaterEqual(report["sending_ns"], report["idle_ns"])
        for name in TIMES:
            times = [report[name][key] for key in QUANTILES]
            known = report["sent" if name == "lag_ns" else "answered"] > 0
            self.assertEqual([time is not None for time in times], [known] * len(times))
            if known:
                self.assertEqual(times, sorted(times))
                self.assertGreaterEqual(times[0], 0)
        self.assertIn(report["limit"], ("generator", "elsewhere", "unknown"))
        self.assertGreater(report["cpu_ns"], 0)
        if report["answered"]:
            self.assertAlmostEqual(report["cpu_ns_per_answered"] * report["answered"], report["cpu_ns"], delta=1)

    def load(self, *arguments, expect=0, **options):
        done = run("load", "--format", "json", *arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (expect, ""), done.stdout)
        self.assertEqual(done.stdout.count("\n"), 1)
        report = json.loads(done.stdout)
        self.check_report(report)
        return report

    def check_usage(self, arguments, *words):
        done = run("load", *arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertTrue(done.stderr.startswith("paddock load: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)


class CountsTest(LoadTest):
    def check_against_responder(self, *arguments, host="127.0.0.1", **expected):
        """Sent is what the responder has received, answered what it has answered, to the packet."""
        with Responder("--service.udp.workers", "1") as responder:
            report = self.load(*PATIENT, "-d", "300ms", *arguments, "--pid", str(responder.pid), f"{host}:{responder.port}")
            said = responder.stop()
        self.assertGreater(report["sent"], 0)
        self.assertEqual(report["answered"], said["answered"])
        self.assertEqual(report["lost"], said["kernel_drops"])
        self.assertEqual(report["sent"], said["received"] + said["kernel_drops"])
        self.assertEqual((report["late"], report["duplicates"], report["foreign"], report["send_errors"]), (0, 0, 0, 0))
        for key, value in expected.items():
            self.assertEqual(report[key], value, key)
        process, = report["processes"]
        self.assertEqual(process["pid"], responder.pid)
        self.assertGreater(process["cpu_ns"], 0)
        self.assertAlmostEqual(process["cpu_ns_per_answered"] * report["answered"], process["cpu_ns"], delta=1)
        return report

    def test_a_closed_loop_agrees_with_the_responder(self):
        report = self.check_against_responder("-n", "8", loop="closed", in_flight=8, rate_per_s=None, arrivals=None, gso=False)
        self.assertEqual(report["latency_ns"], report["round_trip_ns"])

    def test_of_several_addresses_one_that_answers_is_loaded(self):
        with own_hosts("127.0.0.1 node.test\n127.0.0.2 node.test\n127.0.0.3 node.test\n") as hosts, \
                Server(honest, "127.0.0.2") as server:
            report = self.load(*PATIENT, "-d", "100ms", f"node.test:{server.port}", preexec_fn=hosts)
            self.assertEqual((report["address"], report["answered"]), (server.target, report["sent"]))

    def test_many_flows_agree_with_the_responder(self):
        self.check_against_responder("-n", "70", "-f", "33", flows=33)

    def test_bursts_agree_with_the_responder(self):
        report = self.check_against_responder("-n", "64", "-b", "16", burst=16)
        self.assertEqual(report["sent"] % 16, 0)

    def test_more_than_256_in_flight_on_one_flow_agree_with_the_responder(self):
        self.check_against_responder("-n", "1000")

    def test_an_open_loop_sends_what_its_schedule_has(self):
        self.check_against_responder("-r", "1000", loop="open", rate_per_s=1000, arrivals="constant", in_flight=None,
                                     scheduled=300)

    def test_an_open_loop_with_bursts_and_flows_sends_what_its_schedule_has(self):
        self.check_against_responder("-r", "2000", "-f", "5", "-b", "4", scheduled=600)

    def test_poisson_arrivals_agree_with_the_responder(self):
        self.check_against_responder("-r", "2000", "--arrivals", "poisson", "-f", "3", arrivals="poisson")

    @needs_ipv6
    def test_ipv6_agrees_with_the_responder(self):
        self.check_against_responder("-n", "4", "-b", "2", host="[::1]")

    def test_the_default_is_a_thousand_a_second(self):
        with Server(honest) as server:
            report = self.load("-d", "100ms", *PATIENT, server.target)
        self.assertEqual((report["loop"], report["rate_per_s"], report["scheduled"], report["flows"]), ("open", 1000, 100, 1))

    def test_one_in_flight_is_one_in_flight(self):
        with Server(alone) as server:
            self.load("-n", "1", "-d", "100ms", *PATIENT, server.target)

    def test_each_flow_has_a_port_and_no_timestamp_is_used_twice(self):
        clients = set()

        def note(server, data, client):
            clients.add(client)
            honest(server, data, client)

        with Server(note) as server:
            report = self.load("-n", "21", "-f", "7", "-d", "100ms", *PATIENT, server.target)
            stamps = [parsed_ping(data)[1] for _, data in server.arrivals]
        self.assertEqual(len(clients), 7)
        self.assertEqual(len(set(stamps)), len(stamps))
        self.assertEqual(len(stamps), report["sent"])


class PiecesTest(LoadTest):
    """Answers that a server sends as one, with GSO, are datagrams all the same."""

    def against(self, junk, *arguments, **options):
        """A server that answers eight pings at a time in one piece, with this datagram of a pong's size as the ninth."""
        waiting = []

        def answer_as_one(server, data, client):
            waiting.append(answer_to(data))
            if len(waiting) == 8:
                server.socket.sendmsg([b"".join(waiting) + junk], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", 33))], 0, client)
                waiting.clear()

        with Server(answer_as_one) as server:
            return self.load("-n", "32", "-b", "8", "-d", "100ms", *arguments, server.target, **options)

    def test_each_answer_of_a_piece_counts(self):
        report = self.against(b"", *PATIENT)
        self.assertEqual((report["answered"], report["lost"], report["foreign"]), (report["sent"], 0, 0))
        self.assertEqual(report["sent"] % 8, 0)

    def test_what_else_is_in_a_piece_is_foreign(self):
        for junk in (b"x", bytes(33), b"QLKN" * 6):
            report = self.against(junk, *PATIENT)
            self.assertEqual((report["answered"], report["lost"], report["foreign"]), (report["sent"], 0, report["sent"] // 8))

    def test_a_piece_that_is_too_large_is_cut_and_counted(self):
        def flood(server, data, client):
            server.send(answer_to(data), client)
            server.socket.sendmsg([bytes(60 * 1000)], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", 1000))], 0, client)

        with Server(flood) as server:
            report = self.load("-n", "2", "-b", "2", "-d", "50ms", *PATIENT, server.target)
        self.assertEqual((report["answered"], report["lost"]), (report["sent"], 0))
        # The run may end before it has read the last of them.
        self.assertGreaterEqual(report["foreign"], 60 * (report["sent"] - 2))
        self.assertLessEqual(report["foreign"], 60 * report["sent"])


class HonestTimeTest(LoadTest):
    def test_a_generator_that_stalls_does_not_hide_it(self):
        """Stopped for 100 ms, it sends what was due meanwhile, and counts the time from when it was due."""
        # Long enough that it is still sending when this process has noticed that it has begun.
        with Server(honest) as server, Process("load", "--format", "json", "-d", "3s", "-r", "100", *PATIENT,
                                               server.target) as process:
            server.await_arrivals(5)
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGCONT)
            output, _ = process.process.communicate(timeout=ANSWER_SECONDS)
        report = json.loads(output)
        self.check_report(report)
        self.assertEqual((report["scheduled"], report["lost"]), (300, 0))
        self.assertGreaterEqual(report["lag_ns"]["max"], 80000000)
        self.assertGreaterEqual(report["latency_ns"]["max"], 80000000)


class DoubleTests:
    """What both ways make of a server that answers twice; against() is the case's own."""

    def test_an_answer_that_comes_twice_counts_once(self):
        report = self.against(twice, *PATIENT, "-n", "1")
        self.assertEqual(report["answered"], report["sent"])
        # The run may end between the last answer and its double.
        self.assertIn(report["sent"] - report["duplicates"], (0, 1))
        self.assertEqual((report["late"], report["foreign"]), (0, 0))


class HostileTest(DoubleTests, LoadTest):
    def against(self, behave, *arguments, **options):
        with Server(behave) as server:
            return self.load("-d", "100ms", *arguments, server.target, **options)

    def test_garbage_is_foreign(self):
        def garbage(server, data, client):
            for junk in (b"", b"QLKN", data, os.urandom(33), answer_to(data) + b"x", answer_to(data)[:-1], bytes(9000)):
                server.send(junk, client)

        report = self.against(garbage, "-t", "3s", "-r", "100", expect=1)
        self.assertEqual((report["answered"], report["late"], report["duplicates"]), (0, 0, 0))
        self.assertEqual(report["lost"], report["sent"])
        self.assertGreaterEqual(report["foreign"], 7 * (report["sent"] - 1))
        self.assertEqual(report["latency_ns"]["max"], None)

    def test_wrong_nonces_timestamps_and_flows_are_foreign(self):
        clients = []

        def lie(server, data, client):
            nonce, stamp = parsed_ping(data)
            if client not in clients:
                clients.append(client)
            other = clients[0] if client != clients[0] else clients[-1]
            server.send(packed_pong(nonce ^ 1, stamp, 0, 0), client)
            server.send(packed_pong(nonce, stamp ^ 1 << 40, 0, 0), client)
            server.send(packed_pong(nonce, -stamp, 0, 0), client)
            if other != client:
                server.send(packed_pong(nonce, stamp, 0, 0), other)

        report = self.against(lie, "-t", "3s", "-r", "100", "-f", "2", expect=1)
        self.assertEqual((report["answered"], report["late"], report["duplicates"]), (0, 0, 0))
        self.assertGreater(report["foreign"], 0)

    def test_an_answer_after_the_time_out_is_late(self):
        report = self.against(holding(0.03), "-t", "20ms", "-r", "200", "-d", "2s", expect=1)
        self.assertEqual((report["answered"], report["lost"]), (0, report["sent"]))
        self.assertGreater(report["late"], 0)
        self.assertLessEqual(report["late"], report["sent"])
        self.assertEqual((report["duplicates"], report["foreign"]), (0, 0))

    def test_timestamps_of_a_server_change_nothing(self):
        def absurd(server, data, client):
            server.send(packed_pong(*parsed_ping(data), -2**63, 2**63 - 1), client)

        report = self.against(absurd, *PATIENT, "-n", "2")
        self.assertEqual(report["answered"], report["sent"])

    def test_a_silent_target_loses_all(self):
        report = self.against(None, "-t", "20ms", "-n", "3", expect=1)
        self.assertEqual((report["answered"], report["lost"]), (0, report["sent"]))
        self.assertGreaterEqual(report["sent"], 3)
        self.assertEqual(report["cpu_ns_per_answered"], None)

    def test_a_closed_port_is_a_network_error(self):
        report = self.load("-d", "100ms", "-t", "20ms", "-n", "2", f"127.0.0.1:{closed_port()}", expect=1)
        self.assertGreater(report["network_errors"], 0)
        self.assertEqual((report["answered"], report["lost"]), (0, report["sent"]))

    def test_errors_of_earlier_pings_do_not_keep_others_back(self):
        """The answer to each ping is an error that the next system call gets, in the middle of a batch."""
        report = self.load("-d", "50ms", "-t", "20ms", "-r", "100000", f"127.0.0.1:{closed_port()}", expect=1)
        self.assertEqual((report["scheduled"], report["send_stalls"], report["send_errors"]), (5000, 0, 0))
        self.assertGreater(report["network_errors"], 0)

    def test_a_process_that_ends_meanwhile_has_no_time(self):
        with subprocess.Popen(["sleep", "60"]) as sleeper:
            def end(server, data, client):
                sleeper.kill()
                sleeper.wait()
                honest(server, data, client)

            report = self.against(end, *PATIENT, "-p", str(sleeper.pid))
        self.assertEqual(report["processes"], [{"pid": sleeper.pid, "cpu_ns": None, "cpu_ns_per_answered": None}])


class SignalTest(LoadTest):
    def interrupted(self, behave, numbers, *arguments):
        """The report of a run that is sent signals once it has sent five pings, and its exit status. What was due while it was
        stopped is there when it sees them."""
        with Server(behave) as server, Process("load", "--format", "json", "-d", "60s", *arguments, server.target) as process:
            server.await_arrivals(5)
            # Together, so that neither is seen before the other.
            process.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            time.sleep(0.02)
            for number in numbers:
                process.process.send_signal(number)
            process.process.send_signal(signal.SIGCONT)
            output, _ = process.process.communicate(timeout=ANSWER_SECONDS)
            self.assertEqual(process.stderr(), "")
        report = json.loads(output)
        self.check_report(report)
        self.assertTrue(report["interrupted"])
        self.assertLess(report["sending_ns"], 60e9)
        return report, process.process.returncode

    def test_sigint_ends_the_sending_and_reports(self):
        report, status = self.interrupted(honest, [signal.SIGINT], *PATIENT, "-r", "500")
        self.assertEqual((status, report["unfinished"], report["lost"]), (0, 0, 0))
        self.assertEqual(report["scheduled"], report["sent"] + report["unsent"])

    def test_what_was_due_before_a_signal_is_sent(self):
        report, _ = self.interrupted(None, [signal.SIGINT], "-t", "10ms", "-r", "5000")
        self.assertEqual((report["unsent"], report["limit"]), (0, "elsewhere"), report["limit_reason"])

    def test_sigterm_ends_a_closed_loop(self):
        report, status = self.interrupted(honest, [signal.SIGTERM], *PATIENT, "-n", "2")
        self.assertEqual((status, report["lost"]), (0, 0))

    def test_a_second_signal_ends_the_waiting(self):
        report, status = self.interrupted(None, [signal.SIGINT, signal.SIGTERM], "-t", "60s", "-n", "5")
        self.assertEqual((status, report["sent"], report["unfinished"], report["lost"]), (1, 5, 5, 0))


class RefusalTest(LoadTest):
    def test_a_target_that_is_not_this_host_is_refused(self):
        for target in ("192.0.2.1", "[2001:db8::1]:7600", "198.51.100.7:9"):
            self.check_usage([target, "-d", "10ms"], target.split("]")[0].split(":9")[0], "--yes-i-own-this-target")

    def test_much_needs_the_flag(self):
        for flags in (["--rate", "100001"], ["--in-flight", "4097"], ["--flows", "1025"], ["--duration", "61s"]):
            self.check_usage([*flags, "127.0.0.1:9"], f"{flags[0]} above ", "--yes-i-own-this-target")
        with Server(honest) as server:
            report = self.load("-r", "200000", "-d", "1ms", "--yes-i-own-this-target", *PATIENT, server.target)
        self.assertEqual(report["scheduled"], 200)

    def test_wrong_usage_is_explained(self):
        wrong = (([], "no target"), (["127.0.0.1", "127.0.0.2"], "one target"), (["-r", "0", "127.0.0.1"], "--rate", "'0'"),
                 (["-r", "1", "-n", "1", "127.0.0.1"], "exclude"), (["-n", "2", "-f", "3", "127.0.0.1"], "--in-flight"),
                 (["-n", "2", "--arrivals", "poisson", "127.0.0.1"], "--arrivals"), (["-b", "65", "127.0.0.1"], "--burst", "64"),
                 (["--arrivals", "uniform", "127.0.0.1"], "uniform"), (["-d", "0", "127.0.0.1"], "--duration", "'0'"),
                 (["-t", "61s", "127.0.0.1"], "--timeout"), (["-p", "x", "127.0.0.1"], "--pid"),
                 (["-p", "1,", "127.0.0.1"], "--pid"), (["-p", "4194305", "127.0.0.1"], "no process 4194305"),
                 (["-p", ",".join(["1"] * 17), "127.0.0.1"], "more than 16"), (["--format", "xml", "127.0.0.1"], "xml"),
                 (["-4", "-6", "127.0.0.1"], "exclude"), (["no..name"], "no..name"), (["127.0.0.1:x"], "port"),
                 (["0.0.0.0"], "0.0.0.0"), (["--no-such", "127.0.0.1"], "--no-such"))
        for arguments, *words in wrong:
            with self.subTest(arguments=arguments):
                self.check_usage(arguments, *words)

    def test_an_error_of_the_system_names_the_target(self):
        done = run("load", "-d", "10ms", "127.255.255.255:9")
        self.assertEqual((done.returncode, done.stdout), (255, ""))
        self.assertEqual(done.stderr, "paddock load: cannot load 127.255.255.255:9: Permission denied\n")

    def test_what_is_refused_is_shown_without_its_controls(self):
        for option in ("-r", "-n", "-f", "-b", "-d", "-t", "-p", "--arrivals", "--via", "--interface", "--target-mac", "--format"):
            with self.subTest(option=option):
                self.check_usage([option, "\x1b[31m\n", "127.0.0.1"], r"\u{1b}[31m\n")
        self.check_usage(["127.0.0.1", "\x1b[31m\n"], r"\u{1b}[31m\n")

    @needs_root
    def test_an_address_of_an_interface_is_this_host(self):
        namespace = Namespace()
        with namespace:
            ip("address add 203.0.113.7/32 dev lo")
            with Server(honest, "203.0.113.7") as server:
                self.load("-d", "20ms", *PATIENT, server.target)
            self.check_usage(["203.0.113.8", "-d", "10ms"], "--yes-i-own-this-target")
        namespace.close()


class OutputTest(LoadTest):
    def test_a_person_sees_every_count_and_the_percentiles(self):
        with Server(honest) as server:
            done = run("load", "-d", "100ms", *PATIENT, "-p", str(os.getpid()), server.target)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], f"{server.target} ({server.target}) over sockets")
        self.assertEqual(lines[1], "  open loop: 1000 pings/s, constant; 1 flow; bursts of 1; 0.100 s")
        numbers = {line[2:18].strip(): line[18:].split() for line in lines[3:] if len(line) > 18}
        self.assertEqual(numbers["scheduled"][:3], ["100", "1000.0", "/s"])
        self.assertEqual(numbers["lost"], ["0", "0.0000", "%"])
        self.assertEqual(numbers["ms"], ["min", "p50", "p90", "p99", "p99.9", "max", "mean"])
        for name in ("latency", "lag of sending", "round trip"):
            self.assertEqual(len(numbers[name]), 7, name)
        for name in ("late", "duplicates", "foreign", "unsent", "send errors", "send stalls", "network errors",
                     "receive drops", "unfinished", "CPU, itself", f"CPU, {os.getpid()}"):
            self.assertIn(name, numbers)
        self.assertRegex(lines[-1], r"^  The generator (was|may have been|was not) the limit")

    def test_output_that_cannot_be_written_fails(self):
        with Server(honest) as server, open("/dev/full", "w", encoding="ascii") as full:
            for form in ("human", "json"):
                done = subprocess.run([PADDOCK, "load", "--format", form, "-d", "10ms", server.target], stdout=full,
                                      stderr=subprocess.PIPE, text=True, env=environment(), timeout=60, check=False)
                self.assertEqual(done.returncode, 255, done.stderr)
                self.assertIn("cannot write", done.stderr)


if __name__ == "__main__":
    main()
