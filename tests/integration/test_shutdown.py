# SPDX-License-Identifier: Apache-2.0
"""How a service ends, and what it tells the service manager on its way."""
import collections
import contextlib
import os
import select
import signal
import socket
import time
import unittest

import support
from serving import NOT_RELOADED, RELOADED, Manager, Operated, public_folder
from support import Asker, environment, wait_until

PORT_0 = ("--service.qcmp.port", "0")
SHUTTING_DOWN = "shutting down"


class EndTest(unittest.TestCase):
    def check_answers(self, service):
        with Asker(service.port, collections.Counter()) as asker:
            self.assertEqual(asker.answers(), [])

    def test_it_answers_for_the_termination_timeout_but_is_not_ready(self):
        with Operated(*PORT_0, "--termination-timeout", "1s") as service:
            self.assertEqual(service.http("/ready")[0], 200)
            self.assertEqual(service.metrics()["quilkin_shutdown_initiated"], 0)
            told = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            service.await_event(SHUTTING_DOWN)
            self.check_answers(service)
            self.assertEqual((service.http("/ready")[0], service.http("/live")[0]), (500, 200))
            self.assertEqual(service.metrics()["quilkin_shutdown_initiated"], 1)
            self.assertEqual(service.process.wait(support.STOP_SECONDS), 0)
            self.assertGreaterEqual(time.monotonic() - told, 1)

    def test_a_second_signal_ends_it_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
                              (signal.SIGINT, signal.SIGTERM)):
            with self.subTest(first=first, second=second), \
                 Operated(*PORT_0, "--termination-timeout", "1d") as service:
                os.kill(service.pid, first)
                service.await_event(SHUTTING_DOWN)
                self.check_answers(service)
                self.assertEqual(service.end(second), 0)
                self.assertEqual(len(service.events(SHUTTING_DOWN)), 1)

    def test_a_second_signal_ends_it_although_a_worker_does_not(self):
        """A worker that is held by a debugger never finishes what is queued, and a stop waits for it."""
        for timeout, is_waiting in (("0", False), ("1d", True)):
            with self.subTest(timeout), Operated(*PORT_0, "--service.udp.workers", "1", "--termination-timeout",
                                                 timeout) as service:
                with support.held_thread(service.pid, "worker-0"):
                    os.kill(service.pid, signal.SIGTERM)
                    service.await_event(SHUTTING_DOWN)
                    wait_until(lambda: self.is_reachable(service) == is_waiting, "the admin server serves as it should")
                    self.assertIsNone(service.process.poll())
                    os.kill(service.pid, signal.SIGTERM)
                self.assertEqual(service.process.wait(support.STOP_SECONDS), 0)

    def is_reachable(self, service):
        try:
            service.http("/live")
            return True
        except OSError:
            return False

    def test_without_a_termination_timeout_it_ends_at_once(self):
        with Operated(*PORT_0) as service:
            self.check_answers(service)
            self.assertEqual(service.stop()["received"], 1)

    def test_what_is_queued_is_answered_before_the_end(self):
        count = 50
        with Operated(*PORT_0) as service, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(support.ANSWER_SECONDS)
            os.kill(service.pid, signal.SIGSTOP)
            for number in range(count):
                asker.sendto(support.packed_ping(1, number), ("127.0.0.1", service.port))
            os.kill(service.pid, signal.SIGTERM)
            os.kill(service.pid, signal.SIGCONT)
            self.assertEqual(service.process.wait(support.STOP_SECONDS), 0)
            answered = {support.parsed_pong(asker.recv(65536)).client for _ in range(count)}
            self.assertEqual(answered, set(range(count)))


class NotifyTest(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = stack.enter_context(public_folder())
        self.name = str(self.folder / "notify")
        self.manager = stack.enter_context(Manager(self.name))
        os.chmod(self.name, 0o777)
        self.file = self.folder / "file.yaml"
        self.file.write_text("qcmp_port: 0\n", encoding="utf-8")

    def start(self, **variables):
        return Operated("-c", str(self.file), env=environment(NOTIFY_SOCKET=self.name, **variables))

    def check_reload(self, service):
        before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        os.kill(service.pid, signal.SIGHUP)
        message = self.manager.receive()
        self.assertEqual(message.pop("RELOADING"), "1")
        at_us = int(message.pop("MONOTONIC_USEC"))
        self.assertEqual(message, {})
        self.assertTrue(before_us <= at_us <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        self.assertEqual(self.manager.receive(), {"READY": "1"})

    def test_the_manager_hears_of_the_start_of_reloads_and_of_the_end(self):
        with self.start() as service:
            self.assertEqual(self.manager.receive(), {"READY": "1"})
            self.check_reload(service)
            service.await_event(RELOADED)
            self.assertEqual(service.end(), 0)
            self.assertEqual(self.manager.receive(), {"STOPPING": "1"})
            self.assertEqual(self.manager.rest(), [])

    def test_a_reload_that_fails_ends_in_ready_too(self):
        with self.start() as service:
            self.assertEqual(self.manager.receive(), {"READY": "1"})
            self.file.unlink()
            self.check_reload(service)
            service.await_event(NOT_RELOADED)
            self.assertEqual(service.end(), 0)

    def test_the_watchdog_hears_of_it_while_it_lives(self):
        with self.start(WATCHDOG_USEC="3000000") as service:
            self.manager.await_watchdogs(3)
            self.assertEqual(service.end(), 0)

    def test_a_watchdog_that_asks_this_process_hears_of_it(self):
        """Before READY, that is: a shell knows the number of the process that it becomes."""
        env = environment(NOTIFY_SOCKET=self.name, WATCHDOG_USEC="3000000")
        shell = ("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh")
        with Operated("-c", str(self.file), env=env, prefix=shell) as service:
            self.assertEqual(self.manager.socket.recv(65536), b"WATCHDOG=1")
            self.assertEqual(service.end(), 0)

    def test_a_watchdog_that_asks_another_process_hears_nothing(self):
        for variables in ({"WATCHDOG_PID": str(os.getpid())}, {"WATCHDOG_PID": "x"}, {"WATCHDOG_USEC": "x"}):
            with self.subTest(variables), self.start(**{"WATCHDOG_USEC": "3000000"} | variables) as service:
                self.assertEqual(self.manager.socket.recv(65536), b"READY=1")
                self.assertEqual(service.end(), 0)
                self.assertEqual(self.manager.rest(), [b"STOPPING=1"])

    def test_a_name_in_the_abstract_namespace_is_fine(self):
        name = f"paddock-test-{os.getpid()}"
        with Manager(f"\0{name}") as manager, Operated(*PORT_0, env=environment(NOTIFY_SOCKET=f"@{name}")) as service:
            self.assertEqual(manager.receive(), {"READY": "1"})
            self.assertEqual(service.end(), 0)

    def test_a_manager_that_is_gone_does_not_matter(self):
        with Operated(*PORT_0, env=environment(NOTIFY_SOCKET=str(self.folder / "nobody"))) as service:
            with Asker(service.port, collections.Counter()) as asker:
                self.assertEqual(asker.answers(), [])
            self.assertEqual(service.end(), 0)
            self.assertEqual(service.events(level="WARN"), [])


if __name__ == "__main__":
    support.main()
