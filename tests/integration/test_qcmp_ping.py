# SPDX-License-Identifier: Apache-2.0
"""`paddock qcmp ping`: the reference's command, as scripts know it."""
import statistics
import time
import unittest

import support
from support import PATIENT, Responder, Server, alone, answer_to, environment, events, honest, run

DECIMALS = r"^-?\d+\.\d\d$"


def half(server, data, client):
    """Answers every other ping."""
    if len(server.arrivals) % 2:
        server.send(answer_to(data), client)


class QcmpPingTest(unittest.TestCase):
    def ping(self, *arguments, expect=0, **options):
        """Runs it; returns its events as (level, fields)."""
        done = run("qcmp", "ping", *PATIENT, *arguments, **options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return [(event["level"], event["fields"]) for event in events(done.stdout)]

    def check_results(self, found, attempts, successes):
        """The events of a run with answers: each delay, then what follows from them."""
        delays = [fields for _, fields in found if fields["message"] == "successful ping"]
        self.assertEqual(len(delays), successes)
        for fields in delays:
            self.assertEqual(set(fields), {"message", "delay_millis"})
            self.assertRegex(fields["delay_millis"], DECIMALS)
        level, results = found[-1]
        self.assertEqual((level, results["message"]), ("INFO", "final results"))
        self.assertEqual(set(results), {"message", "median_millis", "average_millis", "attempts", "successful_attempts"})
        self.assertEqual((results["attempts"], results["successful_attempts"]), (str(attempts), str(successes)))
        times = [float(fields["delay_millis"]) for fields in delays]
        for key, expected in (("median_millis", statistics.median(times)), ("average_millis", statistics.mean(times))):
            self.assertRegex(results[key], DECIMALS)
            self.assertAlmostEqual(float(results[key]), expected, delta=0.0101)

    def test_it_logs_each_delay_and_then_the_results(self):
        with Responder() as responder:
            self.check_results(self.ping(f"127.0.0.1:{responder.port}"), 5, 5)
            self.check_results(self.ping("-a", "8", f"127.0.0.1:{responder.port}"), 8, 8)
            self.check_results(self.ping("--amount=1", f"127.0.0.1:{responder.port}"), 1, 1)
            responder.stop()

    @support.needs_ipv6
    def test_it_pings_over_ipv6(self):
        with Responder() as responder:
            self.check_results(self.ping(f"[::1]:{responder.port}"), 5, 5)
            responder.stop()

    def test_the_next_ping_is_sent_as_soon_as_the_last_was_answered(self):
        with Server(alone) as server:
            start = time.monotonic()
            self.check_results(self.ping("-a100", server.target), 100, 100)
            self.assertLess(time.monotonic() - start, 9, "there is an interval")

    def test_an_interval_is_kept_where_one_is_given(self):
        with Server(honest) as server:
            start = time.monotonic()
            self.check_results(self.ping("-a4", "-i100ms", server.target), 4, 4)
            last = server.arrivals[-1][0]
        self.assertGreaterEqual(last - start, 0.3)

    def test_a_ping_without_answer_is_an_error_in_the_log(self):
        with Server(half) as server:
            found = self.ping("-a4", "-t2s", server.target)
            self.check_results(found, 4, 2)
            failed = [(level, fields) for level, fields in found if fields["message"] == "ping failed"]
            self.assertEqual(len(failed), 2)
            for level, fields in failed:
                self.assertEqual(level, "ERROR")
                self.assertEqual(set(fields), {"message", "endpoint", "error"})
                self.assertEqual(fields["endpoint"], server.target)
                self.assertTrue(fields["error"])

    def test_no_answer_at_all_ends_with_255(self):
        with Server() as server:
            start = time.monotonic()
            found = self.ping("-a2", "-t100ms", server.target, expect=255)
            self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual([fields["message"] for _, fields in found], ["ping failed", "ping failed", "fatal error"])

    def test_a_refused_connection_is_told_in_the_words_of_the_kernel(self):
        found = self.ping("-a1", f"127.0.0.1:{support.closed_port()}", expect=255)
        self.assertEqual(found[0][1]["error"], "Connection refused")

    def test_a_name_that_does_not_resolve_ends_with_255_and_a_line_on_stderr(self):
        done = run("qcmp", "ping", "no..name")
        self.assertEqual(done.returncode, 255)
        self.assertIn("no..name", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual(events(done.stdout)[-1]["fields"]["message"], "fatal error")

    def test_wrong_usage_is_named_and_ends_with_2(self):
        cases = [
            ([], "no endpoint"),
            (["-a", "0", "127.0.0.1"], "--amount"),
            (["-t", "soon", "127.0.0.1"], "--timeout"),
            (["127.0.0.1:0"], "127.0.0.1:0"),
            (["--format", "json", "127.0.0.1"], "--format"),
            (["127.0.0.1", "127.0.0.2"], "127.0.0.2"),
        ]
        for arguments, word in cases:
            with self.subTest(arguments):
                done = run("qcmp", "ping", *arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(word, done.stderr.splitlines()[0])
        for arguments in (["qcmp"], ["qcmp", "pong"]):
            with self.subTest(arguments):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("ping", done.stderr)

    def test_flags_and_variables_of_the_log_apply(self):
        with Server(honest) as server:
            done = run("--log-format", "plain", "qcmp", "ping", "-a1", *PATIENT, server.target)
            self.assertRegex(done.stdout, r"\S+Z +INFO successful ping delay_millis=\d+\.\d\d\n")
            for quiet in (run("-q", "qcmp", "ping", "-a1", *PATIENT, server.target),
                          run("qcmp", "ping", "-a1", *PATIENT, server.target, env=environment(QUIET="true"))):
                self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""))

    def test_variables_of_the_service_beside_it_do_not_disturb_it(self):
        with Server(honest) as server:
            variables = environment(QUILKIN_SERVICE_QCMP="true", QUILKIN_ADMIN_ADDRESS="[::]:8000",
                                    QUILKIN_CONFIG="/nowhere")
            self.check_results(self.ping("-a2", server.target, env=variables), 2, 2)


if __name__ == "__main__":
    support.main()
