# SPDX-License-Identifier: Apache-2.0
"""`paddock ping`: what it prints, when it sends, how it ends."""
import collections
import contextlib
import json
import os
import re
import resource
import signal
import socket
import time
import unittest

import support
from support import PATIENT, Asker, Process, Responder, Server, alone, honest, ping_json, run

TARGET_KEYS = {"target", "address", "error", "sent", "received", "lost", "late", "duplicates", "rejected", "rtt_ns",
               "raw_rtt_ns", "pings"}
SUMMARY_KEYS = {"min", "median", "mean", "max"}
PING_KEYS = {"seq", "status", "error", "nonce", "rtt_ns", "raw_rtt_ns", "hold_ns", "incoming_ns", "outgoing_ns", "suspect"}

# A name that no resolver asks the network for: its second label is empty.
NO_NAME = "no..name"


def halved(number):
    """Half of it, rounded towards zero."""
    return abs(number) // 2 * (1 if number >= 0 else -1)


def summary(times):
    """What `rtt_ns` must be for these times."""
    if not times:
        return dict.fromkeys(SUMMARY_KEYS)
    ordered = sorted(times)
    middle = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
    mean = abs(sum(times)) // len(times) * (1 if sum(times) >= 0 else -1)
    return {"min": ordered[0], "median": halved(middle), "mean": mean, "max": ordered[-1]}


def blocks(pid, number):
    """Whether a process blocks a signal."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        mask, = (line.split()[1] for line in status if line.startswith("SigBlk:"))
    return int(mask, 16) >> (number - 1) & 1 == 1


class PingTest(unittest.TestCase):
    def check_document(self, document):
        """The documented keys are there, and the numbers agree with each other."""
        for target in document["targets"]:
            self.assertLessEqual(TARGET_KEYS, target.keys())
            self.assertEqual(target["lost"], target["sent"] - target["received"])
            self.assertEqual(target["sent"], len(target["pings"]))
            self.assertEqual([ping["seq"] for ping in target["pings"]], list(range(1, target["sent"] + 1)))
            for ping in target["pings"]:
                self.assertLessEqual(PING_KEYS, ping.keys())
                self.check_ping(ping)
            answered = [ping for ping in target["pings"] if ping["status"] == "ok"]
            self.assertEqual(target["received"], len(answered))
            for key in ("rtt_ns", "raw_rtt_ns"):
                self.assertEqual(target[key], summary([ping[key] for ping in answered]))

    def check_ping(self, ping):
        self.assertIn(ping["status"], ("ok", "timeout", "error"))
        self.assertEqual(ping["status"] == "error", ping["error"] is not None)
        if ping["status"] != "ok":
            self.assertEqual({ping[key] for key in PING_KEYS if key.endswith("_ns") or key == "suspect"}, {None})
            return
        self.assertIn(ping["nonce"], range(256))
        self.assertGreaterEqual(ping["raw_rtt_ns"], 0)
        if ping["suspect"] is None:
            self.assertGreaterEqual(ping["hold_ns"], 0)
            self.assertEqual(ping["rtt_ns"], ping["raw_rtt_ns"] - ping["hold_ns"])
            self.assertEqual(ping["rtt_ns"], ping["incoming_ns"] + ping["outgoing_ns"])
        else:
            self.assertEqual(ping["suspect"], "hold")
            self.assertEqual(ping["rtt_ns"], ping["raw_rtt_ns"])

    def ping(self, *arguments, expect=0, **options):
        """Runs it; returns its targets."""
        status, document = ping_json(*arguments, **options)
        self.check_document(document)
        self.assertEqual(status, expect, document)
        return document["targets"]

    def check_usage(self, arguments, *words):
        done = run("ping", *arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        lines = done.stderr.splitlines()
        self.assertTrue(lines[0].startswith("paddock ping: "), lines)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(len(lines), 1, lines)


class OutputTest(PingTest):
    def test_a_person_sees_a_line_for_each_ping_and_a_summary(self):
        with Responder() as responder, Server() as dead:
            target = f"127.0.0.1:{responder.port}"
            done = run("ping", "-a3", "-i10ms", "-t2s", target, dead.target)
            responder.stop()
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        lines = done.stdout.splitlines()
        for seq in (1, 2, 3):
            self.assertEqual(len([line for line in lines if line.startswith(f"{target}  {seq}  ") and " ms" in line]), 1)
            self.assertIn(f"{dead.target}  {seq}  no answer in 2 s", lines)
        answered = lines.index(f"{target} ({target})")
        self.assertEqual(lines[answered + 1], "  3 sent, 3 received, 0 lost (0 %)")
        self.assertRegex(lines[answered + 2], r"^  round trip: min \S+, median \S+, mean \S+, max \S+ ms$")
        silent = lines.index(f"{dead.target} ({dead.target})")
        self.assertEqual(lines[silent + 1], "  3 sent, 0 received, 3 lost (100 %)")

    def test_the_defaults_are_five_pings_with_100_ms_between_them(self):
        with Server(honest) as server:
            start = time.monotonic()
            target, = self.ping(server.target)
            arrivals = [arrived - start for arrived, _ in server.arrivals]
        self.assertEqual((target["sent"], target["received"]), (5, 5))
        self.assertGreaterEqual(arrivals[-1], 0.4)

    def test_json_has_all_documented_keys_and_its_numbers_agree(self):
        with Responder() as responder:
            for amount in (1, 2, 7, 40):
                target, = self.ping("-i0", "-a", str(amount), f"127.0.0.1:{responder.port}")
                self.assertEqual(target["target"], f"127.0.0.1:{responder.port}")
                self.assertEqual((target["sent"], target["received"]), (amount, amount))
                self.assertEqual((target["late"], target["duplicates"], target["rejected"]), (0, 0, 0))
                self.assertIsNone(target["error"])
                self.assertEqual({ping["suspect"] for ping in target["pings"]}, {None})
            responder.stop()

    def test_several_targets_are_listed_in_the_order_given(self):
        with Server(honest) as first, Server(honest) as second:
            texts = [second.target, first.target, second.target]
            targets = self.ping("-i0", "-a2", *texts)
        self.assertEqual([target["target"] for target in targets], texts)
        self.assertEqual([target["received"] for target in targets], [2, 2, 2])

    def test_ten_lines_at_most_tell_a_person_of_what_was_rejected(self):
        def noisy(server, data, client):
            for _ in range(50):
                server.send(b"noise", client)
            honest(server, data, client)

        with Server(noisy) as server:
            done = run("ping", "-a1", *PATIENT, server.target)
        self.assertEqual(done.stdout.count("  rejected: "), 10)
        self.assertIn("  1 sent, 1 received, 0 lost (0 %), 50 rejected", done.stdout.splitlines())

    def test_a_target_that_is_no_utf8_is_repaired_and_spoils_no_other_result(self):
        with Server(honest) as server:
            strange, answered = self.ping("-a1", b"\xffno..name\xc3\xa4", server.target, expect=2)
        self.assertEqual(strange["target"], "\ufffdno..name\u00e4")
        self.assertEqual(answered["received"], 1)

    def test_results_of_many_pings_are_written_without_a_tree_of_them_all(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))

        if support.SANITIZE:
            self.skipTest("sanitizers reserve address space of their own")
        with Responder("--admin.enabled", "false") as responder:
            target, = self.ping("-a200000", "-i0", "-t1s", f"127.0.0.1:{responder.port}", preexec_fn=limit)
        self.assertEqual(target["sent"], 200000)

    def test_results_that_cannot_be_written_are_an_error(self):
        for form in ("human", "json"):
            with self.subTest(form), Server(honest) as server, open("/dev/full", "w", encoding="ascii") as full:
                done = run("ping", "--format", form, "-a2", "-i0", server.target, stdout=full)
                self.assertNotIn(done.returncode, (0, 1, 2))
                self.assertIn("cannot write the results", done.stderr)


class ScheduleTest(PingTest):
    def test_the_interval_is_kept_without_answers(self):
        with Server() as server:
            start = time.monotonic()
            self.ping("-a", "11", "-i", "50ms", "-t", "10ms", server.target, expect=1)
            server.await_arrivals(11)
            arrivals = [arrived - start for arrived, _ in server.arrivals]
        self.assertEqual(len(arrivals), 11)
        for seq, arrived in enumerate(arrivals):
            self.assertGreaterEqual(arrived, seq * 0.05, "a ping was sent before it was due")
        self.assertLess(arrivals[-1] - arrivals[0], 5)

    def test_the_first_pings_to_a_thousand_targets_are_spread(self):
        """At most one in 100 us, where the interval leaves room for it."""
        with Server(address="0.0.0.0") as server:
            texts = [f"127.0.{1 + number // 250}.{1 + number % 250}:{server.port}" for number in range(1000)]
            start = time.time_ns()
            self.ping("-a1", "-t100ms", *texts, expect=1)
            server.await_arrivals(1000)
            last = max(support.parsed_ping(data)[1] for _, data in server.arrivals)
        self.assertGreaterEqual(last - start, 999 * 100_000)

    def test_an_interval_of_0_means_as_soon_as_the_last_was_answered(self):
        with Server(alone) as server:
            start = time.monotonic()
            target, = self.ping("-i0", "-a100", server.target)
            self.assertLess(time.monotonic() - start, 9, "no faster than the default interval")
        self.assertEqual(target["received"], 100)

    def test_an_interval_of_0_goes_on_after_a_ping_without_answer(self):
        with Server() as server:
            target, = self.ping("-i0", "-a3", "-t50ms", server.target, expect=1)
        self.assertEqual([ping["status"] for ping in target["pings"]], ["timeout"] * 3)

    def test_the_timeout_is_kept(self):
        times = []
        with Server() as server:
            while min(times, default=1) >= 0.9 and len(times) < 50:  # the machine may have other things to do
                start = time.monotonic()
                target, = self.ping("-a1", "-t0.2", server.target, expect=1)
                times.append(time.monotonic() - start)
                self.assertEqual(target["pings"][0]["status"], "timeout")
        self.assertGreaterEqual(min(times), 0.2)
        self.assertLess(min(times), 0.9, "it waited for the default instead")

    def test_durations_take_the_suffixes_of_the_reference(self):
        with Server() as server:
            for timeout in ("20ms", "20MS", "0.02s", "20000us", ".02"):
                with self.subTest(timeout):
                    done = run("ping", "--format", "json", "-a1", "-t", timeout, server.target)
                    self.assertEqual(done.returncode, 2 if timeout == ".02" else 1, done.stderr)

    def test_more_pings_in_flight_than_there_are_nonces_wait_for_one(self):
        with Server() as server:
            start = time.monotonic()
            target, = self.ping("-i1us", "-t500ms", "-a400", server.target, expect=1)
            elapsed = time.monotonic() - start
            server.await_arrivals(400)
            packets = [support.parsed_ping(data) for _, data in server.arrivals]
        self.assertEqual((target["sent"], target["received"]), (400, 0))
        self.assertEqual({ping["status"] for ping in target["pings"]}, {"timeout"})
        self.assertEqual(len(packets), 400)
        self.assertEqual({nonce for nonce, _ in packets[:256]}, set(range(256)))
        self.assertEqual([ping["nonce"] for ping in target["pings"]], [nonce for nonce, _ in packets])
        self.assertGreaterEqual(elapsed, 1, "more than 256 were in flight")

    def test_sigint_ends_it_with_a_summary_of_what_was_sent(self):
        for form in ("json", "human"):
            with self.subTest(form), Server(honest) as server, \
                 Process("ping", "--format", form, *PATIENT, "-a100000", "-i10ms", server.target) as process:
                server.await_arrivals(5)
                self.assertEqual(process.end(signal.SIGINT), 0)
                output = process.log.decode()
                if form == "human":
                    sent = int(re.search(r"^  (\d+) sent, ", output, re.MULTILINE).group(1))
                else:
                    document = json.loads(output)
                    self.check_document(document)
                    self.assertIs(document["interrupted"], True)
                    sent = document["targets"][0]["sent"]
                    self.assertEqual(document["targets"][0]["received"], sent)
                self.assertGreaterEqual(len(server.arrivals), sent)
                self.assertLess(sent, 100000)

    def test_pings_that_sigint_cuts_off_are_not_counted_as_sent(self):
        with Server() as server:
            arguments = ("-a9", "-i1ms", "-t100s", server.target)
            with Process("ping", "--format", "json", *arguments) as process:
                server.await_arrivals(9)
                self.assertEqual(process.end(signal.SIGINT), 1)
            document = json.loads(process.log)
            self.check_document(document)
            self.assertIs(document["interrupted"], True)
            self.assertEqual([(target["sent"], target["lost"]) for target in document["targets"]], [(0, 0)])
            with Process("ping", *arguments) as process:
                server.await_arrivals(18)
                self.assertEqual(process.end(signal.SIGINT), 1)
            self.assertEqual(process.log.decode().splitlines()[1:], [f"{server.target} ({server.target})",
                                                                     "  0 sent, 0 received, 0 lost (0 %)"])

    def test_hang_up_ends_with_the_results_unless_it_is_ignored(self):
        with Server(honest) as server:
            with Process("ping", "-i", "100ms", "-a1000", server.target) as process:
                process.await_line("  2  ")
                self.assertEqual(process.end(signal.SIGHUP), 0)
                self.assertIn("received, 0 lost", process.log.decode())
            ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
            with Process("ping", "-i", "100ms", "-a10", server.target, preexec_fn=ignore) as process:
                process.await_line("  2  ")
                self.assertEqual(process.end(signal.SIGHUP), 0)
                self.assertIn("  10 sent, 10 received", process.log.decode())

    def test_quit_shows_what_has_come_so_far_and_goes_on(self):
        with Server(honest) as server, Process("ping", "-i", "100ms", "-a20", server.target) as process:
            process.await_line("  3  ")
            self.assertEqual(process.end(signal.SIGQUIT), 0)
            self.assertRegex(process.stderr(), r"\n  ([3-9]|1\d) sent, \d+ received, 0 lost")
            self.assertIn("  20 sent, 20 received, 0 lost (0 %)", process.log.decode())

    def test_a_target_that_refuses_is_not_asked_all_the_time(self):
        start = time.monotonic()
        target, = self.ping("-a10", "-i0", f"127.0.0.1:{support.closed_port()}", expect=1)
        self.assertEqual([ping["status"] for ping in target["pings"]], ["error"] * 10)
        self.assertGreaterEqual(time.monotonic() - start, 0.09)

    def test_a_run_that_comes_to_its_end_was_not_interrupted(self):
        with Server(honest) as server:
            _, document = ping_json("-a1", server.target)
        self.assertIs(document["interrupted"], False)

    def test_a_signal_ends_it_while_nobody_reads_its_output(self):
        for command in (("ping",), ("qcmp", "ping")):
            reader, writer = os.pipe()
            with self.subTest(command), open(reader, "rb"), open(writer, "wb") as full, Server(honest) as server:
                os.set_blocking(writer, False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(writer, bytes(4096))
                os.set_blocking(writer, True)
                with Process(*command, "-a100000", "-i0", server.target, stdout=full) as process:
                    server.await_arrivals(1)
                    support.wait_until(lambda: not blocks(process.pid, signal.SIGTERM), "it waits for the reader")
                    self.assertEqual(process.end(signal.SIGTERM), -signal.SIGTERM)


class TargetTest(PingTest):
    def test_localhost_is_resolved_to_the_family_asked_for(self):
        for option, family in (("-4", socket.AF_INET), ("-6", socket.AF_INET6)):
            try:
                address = socket.getaddrinfo("localhost", None, family, socket.SOCK_DGRAM)[0][4][0]
                server = Server(honest, address)
            except OSError:
                continue
            with self.subTest(option), server:
                target, = self.ping("-a1", option, f"localhost:{server.port}")
                self.assertEqual((target["address"], target["received"]), (server.target, 1))

    def test_localhost_without_a_family_is_pinged_at_one_of_its_addresses(self):
        with Responder() as responder:
            target, = self.ping("-i0", f"localhost:{responder.port}")
            self.assertIn(target["address"], (f"127.0.0.1:{responder.port}", f"[::1]:{responder.port}"))
            responder.stop()

    @support.needs_ipv6
    def test_an_ipv6_address_with_a_port_is_pinged(self):
        with Server(honest, "::1") as server:
            target, = self.ping("-a2", "-i0", f"[::1]:{server.port}")
            self.assertEqual((target["address"], target["received"]), (f"[::1]:{server.port}", 2))

    def test_the_port_is_7600_where_none_is_given(self):
        texts = {"127.0.0.1": "127.0.0.1:7600"}
        if support.has_ipv6():
            texts |= {"::1": "[::1]:7600", "[::1]": "[::1]:7600"}
        _, document = ping_json("-a1", "-t10ms", *texts)
        self.check_document(document)
        self.assertEqual({target["target"]: target["address"] for target in document["targets"]}, texts)

    def test_a_refused_connection_is_the_pings_error_in_the_words_of_the_kernel(self):
        for address in ("127.0.0.1", "[::1]") if support.has_ipv6() else ("127.0.0.1",):
            target, = self.ping("-a3", "-i10ms", f"{address}:{support.closed_port()}", expect=1)
            self.assertEqual([ping["status"] for ping in target["pings"]], ["error"] * 3)
            self.assertEqual({ping["error"] for ping in target["pings"]}, {"Connection refused"})

    def test_a_refusal_ends_no_ping_but_its_own(self):
        with Server(honest) as server:
            refused, answered = self.ping("-a20", "-i1ms", f"127.0.0.1:{support.closed_port()}", server.target, expect=1)
        self.assertEqual((refused["received"], answered["received"]), (0, 20))

    def test_one_dead_target_makes_the_exit_status_1_and_spoils_nothing_else(self):
        with Server(honest) as server, Server() as dead:
            answered, silent = self.ping("-a2", "-i0", "-t2s", server.target, dead.target, expect=1)
        self.assertEqual((answered["received"], silent["received"], silent["lost"]), (2, 0, 2))

    def test_a_name_that_does_not_resolve_is_that_targets_error(self):
        with Server(honest) as server:
            nowhere, answered = self.ping("-a2", "-i0", NO_NAME, server.target, expect=2)
            self.assertTrue(nowhere["error"])
            self.assertEqual((nowhere["address"], nowhere["sent"], nowhere["pings"]), (None, 0, []))
            self.assertEqual(answered["received"], 2)
            done = run("ping", "-a1", *PATIENT, NO_NAME, server.target)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{NO_NAME}: {nowhere['error']}", done.stdout.splitlines())
            self.assertIn("  1 sent, 1 received, 0 lost (0 %)", done.stdout.splitlines())
            self.assertEqual(done.stderr, f"paddock ping: '{NO_NAME}': {nowhere['error']}\n")

    def test_controls_of_a_name_never_reach_the_terminal(self):
        for command, expect in ((("ping", "-a1"), 2), (("load", "-d", "1ms"), 2), (("qcmp", "ping"), 255)):
            with self.subTest(command):
                done = run(*command, "no\x1b31m..name")
                self.assertEqual(done.returncode, expect, done.stderr)
                self.assertIn(r"no\u{1b}31m..name", done.stderr)
                self.assertNotIn("\x1b", done.stdout.replace(r"\u001b", "") + done.stderr)

    def test_many_names_are_resolved_each_to_its_own_target(self):
        with Server(honest) as server:
            texts = [f"localhost:{server.port}" if number % 3 else f"no..name{number}" for number in range(100)]
            targets = self.ping("-4", "-a1", "-i0", *texts, expect=2)
        self.assertEqual([target["target"] for target in targets], texts)
        self.assertEqual([target["received"] for target in targets], [1 if number % 3 else 0 for number in range(100)])
        self.assertEqual([target["error"] is None for target in targets], [bool(number % 3) for number in range(100)])

    def test_names_that_do_not_resolve_alone_end_at_once_with_2(self):
        targets = self.ping(NO_NAME, NO_NAME, expect=2)
        self.assertEqual(len(targets), 2)


class UsageTest(PingTest):
    def test_wrong_usage_is_named_and_ends_with_2(self):
        cases = [
            ([], ["no target"]),
            (["-a", "0", "127.0.0.1"], ["--amount", "'0'"]),
            (["-a", "1000001", "127.0.0.1"], ["--amount", "1000001"]),
            (["-a", "five", "127.0.0.1"], ["--amount", "five"]),
            (["127.0.0.1", "-a"], ["--amount", "value"]),
            (["-t", "0", "127.0.0.1"], ["--timeout", "'0'"]),
            (["-t", "1y", "127.0.0.1"], ["--timeout", "1y"]),
            (["-i", "-1", "127.0.0.1"], ["--interval=-1"]),
            (["-4", "::1"], ["::1", "IPv4"]),
            (["-6", "127.0.0.1"], ["127.0.0.1", "IPv6"]),
            (["-6", "::ffff:127.0.0.1"], ["::ffff:127.0.0.1", "IPv6"]),
            (["-4", "-6", "127.0.0.1"], ["-4", "-6"]),
            (["0.0.0.0"], ["'0.0.0.0'", "no address to ping", "127.0.0.1", "[::1]"]),
            (["[::]:7600"], ["'[::]:7600'", "no address to ping"]),
            (["224.0.0.1"], ["'224.0.0.1'", "no address to ping"]),
            (["255.255.255.255"], ["no address to ping"]),
            (["ff02::1%lo"], ["no address to ping"]),
            (["fe80::1"], ["'fe80::1'", "needs its interface"]),
            (["fe80::1%nosuch0"], ["'fe80::1%nosuch0'", "no such interface"]),
            (["[fe80::1%4000000]:7600"], ["no such interface"]),
            (["::1%nosuch0"], ["only a link-local address"]),
            (["127.0.0.1:0"], ["127.0.0.1:0"]),
            (["127.0.0.1:65536"], ["127.0.0.1:65536"]),
            (["127.0.0.1:http"], ["127.0.0.1:http"]),
            (["127.0.0.1:"], ["127.0.0.1:"]),
            (["[::1"], ["[::1"]),
            ([""], ["target"]),
            (["--count", "3", "127.0.0.1"], ["--count"]),
            (["--format", "xml", "127.0.0.1"], ["--format", "xml"]),
        ]
        for arguments, words in cases:
            with self.subTest(arguments):
                self.check_usage(arguments, *words)

    def test_what_is_refused_is_shown_without_its_controls(self):
        word = "\x1b[31m\n"
        cases = [["ping", flag, word, "127.0.0.1"] for flag in ("-a", "-i", "-t", "--format")]
        for arguments in [*cases, ["qcmp", "ping", "-a", word, "127.0.0.1"], ["qcmp", "ping", "127.0.0.1", word], [word]]:
            with self.subTest(arguments):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(r"\u{1b}[31m\n", done.stderr)
                self.assertNotIn("\x1b", done.stderr)

    def test_services_and_commands_exclude_each_other(self):
        for command in ("ping", "qcmp"):
            done = run("--service.qcmp", command, "127.0.0.1")
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("--service.qcmp", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_help_names_every_exit_status(self):
        done = run("ping", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for status in ("0 if", "1 if", "2 for", "255 "):
            self.assertIn(status, " ".join(done.stdout.split()))

    def test_what_was_asked_for_and_cannot_be_written_is_an_error(self):
        for arguments in (("ping", "--help"), ("qcmp", "ping", "--help"), ("qcmp", "--help"), ("--help",), ("--version",),
                          ("check", "--help"), ("check",), ("generate-config-schema", "--help")):
            with self.subTest(arguments), open("/dev/full", "w", encoding="ascii") as full:
                done = run(*arguments, stdout=full)
                self.assertEqual(done.returncode, 255)
                self.assertIn("cannot write", done.stderr)

    def test_what_was_asked_for_and_has_nowhere_to_go_is_an_error(self):
        for arguments in (("--help",), ("--version",), ("ping", "-a1", "127.0.0.1"), ("load", "--help")):
            with self.subTest(arguments):
                done = run(*arguments, preexec_fn=lambda: os.close(1))
                self.assertEqual(done.returncode, 255)
                self.assertIn("cannot write", done.stderr)

    def test_wrong_usage_sends_nothing(self):
        with Server(honest) as server:
            self.check_usage([server.target, "127.0.0.1:0"], "127.0.0.1:0")
            with Asker(server.port, collections.Counter()) as asker:
                self.assertEqual(asker.answers(), [])
            self.assertEqual(len(server.arrivals), 1)


if __name__ == "__main__":
    support.main()
