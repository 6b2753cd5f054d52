# SPDX-License-Identifier: Apache-2.0
"""The program and the suites nearest to the kernel under valgrind's memcheck: no bad access, no leak."""
import collections
import os
import shutil
import subprocess
import unittest

import support
from support import PADDOCK, Asker, Responder, packed_ping, packed_pong, ping_json, run

VALGRIND = shutil.which("valgrind")
ERRORS = 98
MEMCHECK = (VALGRIND, "--quiet", "--vgdb=no", f"--error-exitcode={ERRORS}", "--leak-check=full", "--show-leak-kinds=all",
            "--errors-for-leak-kinds=all")
SUITES = os.environ.get("PADDOCK_SUITES", "").split()


@unittest.skipUnless(VALGRIND, "valgrind is not installed, so nothing was checked with it")
class ValgrindTest(unittest.TestCase):
    def check(self, *arguments, expect=0):
        """Runs the program under memcheck; returns what it prints."""
        done = run(*MEMCHECK[1:], PADDOCK, *arguments, program=VALGRIND)
        self.assertEqual((done.returncode, done.stderr), (expect, ""))
        return done.stdout

    def test_the_responder_is_clean(self):
        sent = collections.Counter()
        # Valgrind does not know the call that installs a filter of system calls.
        with Responder("--service.udp.workers", "2", "--seccomp", "false", prefix=MEMCHECK) as responder:
            for address in ("127.0.0.1", "::1") if support.has_ipv6() else ("127.0.0.1",):
                for source in range(4):
                    with Asker(responder.port, sent, address) as asker:
                        for datagram in (b"", b"QLKN", packed_ping(source, 1)[:-1], packed_pong(source, 1, 2, 3),
                                         packed_ping(source, 1) + bytes(3000)):
                            asker.send(datagram)
                        self.assertEqual(asker.answers(), [])
            self.assertEqual(responder.stop(), support.counts(sent))
            self.assertEqual(responder.stderr(), "")

    def test_ping_is_clean(self):
        with Responder() as responder, support.Server() as dead:
            targets = [f"127.0.0.1:{responder.port}", dead.target, f"127.0.0.1:{support.closed_port()}"]
            for form in ("human", "json"):
                output = self.check("ping", "--format", form, "-a3", "-i10ms", "-t300ms", *targets, expect=1)
                self.assertIn(dead.target, output)
            responder.stop()

    def test_ping_by_name_is_clean(self):
        with Responder() as responder:
            output = self.check("ping", "-a3", "-i0", f"localhost:{responder.port}", "no..name", "no..other", expect=2)
            self.assertIn("no..other", output)
            responder.stop()

    def test_qcmp_ping_is_clean(self):
        with Responder() as responder:
            self.assertIn("final results", self.check("qcmp", "ping", f"127.0.0.1:{responder.port}"))
            responder.stop()

    def test_what_ends_early_is_clean(self):
        with Responder() as responder:
            port = str(responder.port)
            for status, arguments in ((0, ["--help"]), (0, ["--version"]), (0, ["ping", "--help"])):
                self.check(*arguments, expect=status)
            for status, arguments in ((255, ["--service.qcmp", "--service.qcmp.port", port]), (2, ["ping", "[::1"]),
                                      (2, ["--no-such-flag"]), (255, [])):
                done = run(*MEMCHECK[1:], PADDOCK, *arguments, program=VALGRIND)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertNotIn("==", done.stderr, "a report of valgrind")
            responder.stop()

    def test_the_suites_of_the_client_and_the_engine_are_clean(self):
        self.assertTrue(SUITES, "$PADDOCK_SUITES names none")
        for suite in SUITES:
            with self.subTest(os.path.basename(suite)):
                done = subprocess.run([*MEMCHECK, suite], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      timeout=150, check=False)
                self.assertIn(done.returncode, (0, 77), done.stdout)


if __name__ == "__main__":
    support.main()
