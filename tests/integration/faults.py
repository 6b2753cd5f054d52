# SPDX-License-Identifier: Apache-2.0
"""Faults that a test makes happen inside a live program: the other side of tests/support/faults.h.

$PADDOCK_FAULTY is the program with these faults in it.
"""
import contextlib
import ctypes
import mmap
import os
import pathlib
import re
import select
import socket
import tempfile
import time
import unittest

import support
from serving import Operated
from support import environment, packed_ping, wait_until

FAULTY = os.environ["PADDOCK_FAULTY"]
HEADER = pathlib.Path(__file__).parent.parent / "support" / "faults.h"
NAMES = re.findall(r"\bX\(([a-z0-9_]+), ", HEADER.read_text(encoding="ascii"))

FOR_EVER = -1
HOUR_NS = 3600 * 10**9

RECEIVED, ANSWERED = "paddock_qcmp_received_total", "paddock_qcmp_answered_total"
KERNEL_DROPS, SEND_ERRORS = "paddock_qcmp_kernel_drops_total", "paddock_qcmp_send_errors_total"
RECEIVE_ERRORS = 'quilkin_service_qcmp_errors_total{reason="io"}'
VALID = 'quilkin_service_qcmp_packets_total{kind="valid"}'

# How soon after a fault's end everything is answered again. A named requirement; the best of several tries counts, because
# the machine may have other things to do.
RECOVERY_NS, TRIES = (50 if support.SANITIZE else 10) * 10**6, 100

PINGS_AFTER, GAP_NS, PATIENCE_NS = 60, 500_000, 500 * 10**6
BURST = 24


class Fault(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("skip", "every", "error", "limit", "times", "turns", "calls", "done")]


class Block(ctypes.Structure):
    _fields_ = [("wall_before_ns", ctypes.c_int64), ("wall_jump_at_ns", ctypes.c_int64),
                ("wall_after_ns", ctypes.c_int64), ("each", Fault * len(NAMES))]


class Faults:
    """What fails in the programs that are started with its environment(), as long as the `with` lasts."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="paddock-faults-"))
            self.file.truncate(ctypes.sizeof(Block))
            self.memory = mmap.mmap(self.file.fileno(), ctypes.sizeof(Block))
            self.block = Block.from_buffer(self.memory)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def environment(self, **more):
        return environment(PADDOCK_FAULTS=self.file.name, **more)

    def __getitem__(self, name):
        return self.block.each[NAMES.index(name)]

    def inject(self, name, error, times=FOR_EVER, skip=0, every=0):
        """From now on these calls fail; what was injected into them before is forgotten."""
        fault = self[name]
        fault.times = 0
        fault.skip, fault.every, fault.error, fault.turns, fault.calls, fault.done = skip, every, error, 0, 0, 0
        fault.times = times

    def limit(self, name, limit):
        """From now on such a call moves no more than this; 0 for as much as it likes."""
        self[name].done = 0
        self[name].limit = limit

    def lift(self):
        """Nothing fails any more."""
        for fault in self.block.each:
            fault.times = fault.limit = 0

    def jump(self, by_ns):
        """The program's wall clock, and the kernel's stamps that it sees, jump now."""
        self.block.wall_before_ns = self.block.wall_after_ns
        self.block.wall_jump_at_ns = time.time_ns()
        self.block.wall_after_ns = self.block.wall_before_ns + by_ns


class Client:
    """Pings a responder, and knows what came back. Its buffer holds all that is asked of it."""

    def __init__(self, port, address="127.0.0.1", source=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        support.make_room(self.socket)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.socket.setblocking(False)
        self.sent, self.answered = {}, {}  # monotonic nanoseconds, by the number of the ping

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ping(self):
        number = len(self.sent)
        self.sent[number] = time.monotonic_ns()
        with contextlib.suppress(OSError):  # a link that is down
            self.socket.send(packed_ping(number % 128, number))
        return number

    def take(self, until_ns):
        """Takes the answers that come before this moment."""
        while True:
            left = until_ns - time.monotonic_ns()
            ready = select.select([self.socket], [], [], max(left, 0) / 1e9)[0]
            now_ns = time.monotonic_ns()
            if not ready:
                return
            with contextlib.suppress(ConnectionRefusedError):
                number = support.parsed_pong(self.socket.recv(4096)).client
                if number in self.answered:
                    raise AssertionError(f"ping {number} was answered twice")
                self.answered[number] = now_ns

    def await_answers(self, numbers, seconds=support.ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        while not self.answered.keys() >= set(numbers):
            if time.monotonic() > deadline:
                raise AssertionError(f"not answered: {sorted(set(numbers) - self.answered.keys())}")
            self.take(time.monotonic_ns() + 10**6)

    def await_last(self, numbers):
        """Pings on until the last one is answered: what was in the way may still have been there when it was sent."""
        deadline = time.monotonic() + support.ANSWER_SECONDS
        self.take(time.monotonic_ns() + 10**6)
        while numbers[-1] not in self.answered:
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing is answered any more; the last ping was {numbers[-1]}")
            self.take(time.monotonic_ns() + 10**6)
            if time.monotonic_ns() - self.sent[numbers[-1]] > PATIENCE_NS:
                numbers.append(self.ping())

    def recovery_ns(self, lift):
        """How long after lift() until the first ping was answered from which on all are."""
        lift()
        begin = time.monotonic_ns()
        after = []
        for i in range(PINGS_AFTER):
            self.take(begin + i * GAP_NS)
            after.append(self.ping())
        self.await_last(after)
        self.take(time.monotonic_ns() + 10**6)
        lost = [number for number in after if number not in self.answered]
        first = lost[-1] + 1 if lost else after[0]
        return self.answered[first] - begin


class FaultTest(unittest.TestCase):
    """A service with faults, and a client of it."""

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.stack = stack
        self.faults = stack.enter_context(Faults())

    def start(self, *flags, workers=1, **options):
        variables = options.pop("variables", {})
        self.service = self.stack.enter_context(Operated(
            "--service.qcmp.port", "0", "--service.udp.workers", str(workers), *flags, program=FAULTY,
            env=self.faults.environment(**variables), **options))
        self.client = self.stack.enter_context(Client(self.service.port))

    def best(self, attempt):
        """attempt() gives a time to recover; asserts that the best of some is within the bound."""
        found = []
        while len(found) < TRIES and min(found, default=RECOVERY_NS) >= RECOVERY_NS:
            found.append(attempt())
        self.assertLess(min(found), RECOVERY_NS, found)

    def metrics(self):
        return self.service.metrics()

    def check_counts(self, more=0, unseen=0):
        """Everything that was sent is in exactly one count, and the counts are what the client saw: but for so many more
        that others sent, of which nobody saw the answers, and so many of the client's that did not arrive."""
        sent, answered = len(self.client.sent) + more - unseen, len(self.client.answered)

        def settled():
            metrics = self.metrics()
            handled = metrics[ANSWERED] + metrics[SEND_ERRORS] >= metrics[VALID]  # a ping is counted before its answer
            return metrics if handled and metrics[RECEIVED] + metrics[KERNEL_DROPS] >= sent else None
        metrics = wait_until(settled, "all is counted")
        dropped = sum(value for series, value in metrics.items() if series.startswith("paddock_qcmp_dropped_total"))
        self.assertEqual(metrics[RECEIVED] + metrics[KERNEL_DROPS], sent)
        self.assertEqual(metrics[VALID] + dropped, metrics[RECEIVED])
        self.assertEqual(metrics[ANSWERED] + metrics[SEND_ERRORS], metrics[VALID])
        if more == 0:
            self.assertEqual(metrics[ANSWERED], answered)
        return metrics

    def check_end(self):
        """It lives, answers, and ends with the same counts."""
        self.assertEqual(self.service.http("/live")[0], 200)
        metrics = self.check_counts()
        last = self.service.stop()
        self.assertEqual((last["received"], last["answered"], last["send_errors"], last["kernel_drops"]),
                         (metrics[RECEIVED], metrics[ANSWERED], metrics[SEND_ERRORS], metrics[KERNEL_DROPS]))
        self.assertEqual(last["receive_errors"], metrics[RECEIVE_ERRORS])
