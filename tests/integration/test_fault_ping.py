# SPDX-License-Identifier: Apache-2.0
"""`paddock ping`, and libqcmp's client below it, while the system fails it: no result is another for it."""
import errno
import json
import threading
import time
import unittest

import support
from faults import FAULTY, HOUR_NS, Faults
from support import Server, answer_to, honest, run

PINGS = 5
A_FEW = 20
SECOND_NS = 10**9

# What passes: it may happen to these calls, and nobody who reads the results can tell.
PASSING = ([("sendto", error) for error in (errno.EINTR, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
                                            errno.EACCES, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)] +
           [("recvmmsg", error) for error in (errno.EINTR, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED,
                                              errno.ENETDOWN, errno.ENETUNREACH, errno.EAGAIN)] +
           [("recvmsg", error) for error in (errno.EINTR, errno.EAGAIN, errno.ENOMEM)] +
           [("ppoll", errno.EINTR), ("poll", errno.EINTR), ("read", errno.EINTR)])


class PingTest(unittest.TestCase):
    def setUp(self):
        self.faults = self.enterContext(Faults())

    def ping(self, target, *arguments):
        """The pings of a run that was answered; every one is what it would have been."""
        done = run("ping", "--format", "json", *support.PATIENT, "-a", str(PINGS), *arguments, target, program=FAULTY,
                   env=self.faults.environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        result, = json.loads(done.stdout)["targets"]
        self.assertEqual((result["sent"], result["received"], result["lost"]), (PINGS, PINGS, 0), result)
        for ping in result["pings"]:
            self.assertEqual((ping["status"], ping["error"]), ("ok", None))
            for name in ("rtt_ns", "raw_rtt_ns"):
                self.assertTrue(0 <= ping[name] < support.ANSWER_SECONDS * SECOND_NS, ping)
        return result["pings"]

    def test_an_error_that_passes_changes_no_result(self):
        with Server(honest) as server:
            for name, error in PASSING:
                for skip in (0, 1, 3):
                    with self.subTest(fault=name, error=errno.errorcode[error], skip=skip):
                        self.faults.lift()
                        self.faults.inject(name, error, A_FEW, skip)
                        self.ping(server.target, "-i", "1ms")
                        if name in ("sendto", "recvmmsg", "recvmsg"):
                            self.assertGreater(self.faults[name].done, 0)

    def test_an_error_that_stays_is_each_pings_own(self):
        for error in (errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH, errno.EINVAL):
            with self.subTest(errno.errorcode[error]), Server(honest) as server:
                self.faults.inject("sendto", error)
                done = run("ping", "--format", "json", "-a", str(PINGS), "-i", "1ms", "-t", "50ms", server.target,
                           program=FAULTY, env=self.faults.environment())
                self.assertEqual(done.returncode, 1, done.stderr)
                result, = json.loads(done.stdout)["targets"]
                self.assertEqual([ping["status"] for ping in result["pings"]], ["error"] * PINGS)
                self.assertEqual((result["sent"], result["lost"]), (PINGS, PINGS))
                self.assertEqual(server.arrivals, [])


class ClockTest(PingTest):
    """The wall clock is set by an hour: the program's and, in the stamps that it reads, the kernel's."""

    def check_jump(self, by_ns, answer_first, *arguments):
        """It jumps before the third answer is sent, or when it has been."""
        self.faults.jump(0)

        def behave(server, data, client):
            if len(server.arrivals) == 3 and not answer_first:
                self.faults.jump(by_ns)
            server.send(answer_to(data), client)
            if len(server.arrivals) == 3 and answer_first:
                self.faults.jump(by_ns)

        with Server(behave) as server:
            pings = self.ping(server.target, *arguments)
        if not answer_first:
            self.assertTrue(pings[2]["clock_stepped"])
        if arguments == ("-i", "0"):  # else its answer may be read after the third ping was sent
            self.assertFalse(pings[0]["clock_stepped"])
        for ping in pings:
            if ping["clock_stepped"]:
                self.assertEqual((ping["transmit_stamp"], ping["receive_stamp"]), ("user", "user"))

    def test_it_changes_no_round_trip(self):
        for by_ns in (HOUR_NS, -HOUR_NS):
            for answer_first in (False, True):
                for interval in ("0", "1ms"):
                    with self.subTest(by_ns=by_ns, answer_first=answer_first, interval=interval):
                        self.check_jump(by_ns, answer_first, "-i", interval)

    def test_it_ends_no_ping_early_and_none_late(self):
        for by_ns in (HOUR_NS, -HOUR_NS):
            with Server() as server:  # that never answers
                threading.Thread(target=lambda: (server.await_arrivals(1), self.faults.jump(by_ns))).start()
                begin = time.monotonic()
                done = run("ping", "--format", "json", "-a", "1", "-t", "300ms", server.target, program=FAULTY,
                           env=self.faults.environment())
                elapsed = time.monotonic() - begin
                result, = json.loads(done.stdout)["targets"]
                self.assertEqual([ping["status"] for ping in result["pings"]], ["timeout"])
                self.assertGreaterEqual(elapsed, 0.3)
                self.assertLess(elapsed, support.ANSWER_SECONDS)


if __name__ == "__main__":
    support.main()
