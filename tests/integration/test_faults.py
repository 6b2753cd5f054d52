# SPDX-License-Identifier: Apache-2.0
"""The service while the system fails it: every fault at every place, what is lost meanwhile, and when it is back."""
import contextlib
import errno
import http.client
import json
import os
import resource
import signal
import socket
import tempfile
import time
import unittest

import support
from faults import ANSWERED, BURST, FAULTY, FOR_EVER, HOUR_NS, KERNEL_DROPS, RECEIVED, SEND_ERRORS, Client, FaultTest
from serving import NOT_RELOADED, RELOADED, public_folder
from support import Process, packed_ping, wait_until

ACCEPT_RETRY_MS = 5  # as in src/http/server.c

# What the kernel can say to who receives, sends and waits. Some only for a few calls: the kernel interrupts once for a signal,
# and says "no data" only to who was told of some that turned out to be broken.
A_FEW = 50
RECEIVING = [(errno.EINTR, A_FEW), (errno.EAGAIN, A_FEW), *(
    (error, FOR_EVER) for error in (errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.ENETDOWN, errno.EPERM,
                                    errno.EHOSTUNREACH, errno.EIO))]
SENDING = [(errno.EINTR, A_FEW), *(
    (error, FOR_EVER) for error in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.ENETDOWN,
                                    errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EMSGSIZE,
                                    errno.EIO))]
REFUSED_BY_DEVICE = errno.EIO  # said of segments by a device that cannot, and believed for a while
PAUSE_BATCHES = 64
TABLE = ([("recvmmsg", error, times) for error, times in RECEIVING] +
         [("sendmsg", error, times) for error, times in SENDING] +
         [("sendmsg_segmented", error, times) for error, times in SENDING if error != REFUSED_BY_DEVICE] +
         [("epoll_wait", errno.EINTR, A_FEW), ("epoll_wait", errno.ENOMEM, A_FEW), ("poll", errno.EINTR, A_FEW),
          ("getsockopt", errno.ENOBUFS, FOR_EVER)])


class PacketPathTest(FaultTest):
    def burst(self):
        """Pings that the worker finds all at once. Returns their numbers."""
        faults = self.faults
        if faults["recvmmsg"].times == 0:
            faults.inject("recvmmsg", errno.ENOMEM)
            pings = [self.client.ping() for _ in range(BURST)]
            wait_until(lambda: faults["recvmmsg"].done > 2, "nothing is received")
            faults["recvmmsg"].times = 0
            return pings
        return [self.client.ping() for _ in range(BURST)]

    def suffer(self, name, error, times):
        """Injects a fault, and lets it really happen."""
        self.faults.inject(name, error, times)

        def happened():
            self.burst()
            for _ in range(2):
                self.client.take(time.monotonic_ns() + 10**6)
                self.client.ping()
            if name == "getsockopt":
                self.service.metrics()
            return self.faults[name].done >= 3
        wait_until(happened, f"{name} fails")

    def attempt(self, name, error, times):
        self.suffer(name, error, times)
        return self.client.recovery_ns(self.faults.lift)

    def check_table(self, workers):
        self.start(workers=workers)
        for name, error, times in TABLE:
            with self.subTest(fault=name, error=errno.errorcode[error]):
                self.best(lambda row=(name, error, times): self.attempt(*row))
                self.check_counts()
        self.check_end()

    def test_every_fault_of_the_packet_path_ends_with_its_cause(self):
        self.check_table(1)

    def test_every_fault_of_the_packet_path_with_two_workers(self):
        self.check_table(2)

    def test_segments_that_are_refused_leave_one_by_one_and_nothing_is_lost(self):
        self.start()
        for error, times in SENDING:
            with self.subTest(errno.errorcode[error]):
                self.faults.inject("sendmsg_segmented", error, times)
                self.client.await_answers(self.burst() + self.burst())
                self.assertGreaterEqual(self.faults["sendmsg_segmented"].done, 1)
                if error == REFUSED_BY_DEVICE:
                    self.assertEqual(self.faults["sendmsg_segmented"].calls, 1)
                self.faults.lift()
        before = self.faults["sendmsg_segmented"].calls
        for _ in range(2 * PAUSE_BATCHES):
            self.client.await_answers(self.burst())
        self.assertGreater(self.faults["sendmsg_segmented"].calls, before, "segments are not tried again")
        self.assertEqual(self.check_counts()[SEND_ERRORS], 0)
        self.check_end()

    def test_batches_that_are_short_lose_nothing(self):
        self.start()
        for limit in (1, 2, 3):
            self.faults.limit("recvmmsg", limit)
            self.client.await_answers(self.burst())
            self.assertGreater(self.faults["recvmmsg"].done, BURST // 3)
        self.assertLess(self.client.recovery_ns(self.faults.lift), float("inf"))
        self.assertEqual(self.check_counts()[SEND_ERRORS], 0)
        self.check_end()

    def test_a_failure_that_lasts_is_no_busy_loop(self):
        """After a failure the worker waits for a millisecond."""
        self.start()
        for error in (errno.ENOMEM, errno.ENETDOWN):
            begin = time.monotonic()
            self.faults.inject("recvmmsg", error)
            self.client.ping()
            wait_until(lambda: self.faults["recvmmsg"].done >= 50, "receiving fails")
            done, elapsed_ms = self.faults["recvmmsg"].done, (time.monotonic() - begin) * 1000
            self.assertLessEqual(done, elapsed_ms + 1)
        self.faults.lift()
        self.client.await_answers(self.client.sent)
        self.check_end()


class EndTest(FaultTest):
    """What has been received by the end is answered, although receiving fails meanwhile."""

    def check_queue(self, error, times):
        self.start()
        self.faults.inject("recvmmsg", errno.ENOMEM)
        pings = [self.client.ping() for _ in range(3 * BURST)]
        wait_until(lambda: self.faults["recvmmsg"].done > 2, "nothing is received")
        os.kill(self.service.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.service.pid, os.WSTOPPED)
        self.faults.inject("recvmmsg", error, times)
        os.kill(self.service.pid, signal.SIGTERM)
        os.kill(self.service.pid, signal.SIGCONT)
        last = self.service.stop()
        self.assertEqual(self.faults["recvmmsg"].done, times)
        self.assertEqual((last["received"], last["answered"]), (len(pings), len(pings)))
        self.client.await_answers(pings)

    def test_what_is_queued_is_answered_although_receiving_fails(self):
        for error, times in RECEIVING:
            if error == errno.EAGAIN:
                continue  # the end of the queue
            with self.subTest(errno.errorcode[error]):
                self.check_queue(error, A_FEW if times != FOR_EVER else 5)

    def test_a_failure_that_does_not_end_does_not_hold_up_the_end(self):
        self.start()
        self.faults.inject("recvmmsg", errno.ENOMEM)
        self.client.ping()
        wait_until(lambda: self.faults["recvmmsg"].done > 2, "nothing is received")
        self.assertEqual(self.service.stop()["received"], 0)


class ClockTest(FaultTest):
    """The wall clock is set while pings are under way. What a responder does not know by the monotonic clock, it may
    get wrong for those, but for no other."""

    def test_a_clock_that_is_set_costs_nothing(self):
        self.start()
        for by_ns in (HOUR_NS, -HOUR_NS, -HOUR_NS, HOUR_NS):
            self.best(lambda by_ns=by_ns: self.jump(by_ns))
        self.assertEqual(len(self.client.answered), len(self.client.sent))
        self.check_end()

    def jump(self, by_ns):
        self.faults.inject("recvmmsg", errno.ENOMEM)
        pings = [self.client.ping() for _ in range(BURST)]
        wait_until(lambda: self.faults["recvmmsg"].done > 2, "nothing is received")
        self.faults.jump(by_ns)
        found = self.client.recovery_ns(self.faults.lift)
        self.client.await_answers(pings)
        return found

    def test_pings_that_look_too_old_because_of_it_are_counted_and_the_next_are_answered(self):
        path = self.stack.enter_context(public_folder()) / "file.yaml"
        path.write_text("paddock: {qcmp: {max_age: 10m}}\n", encoding="utf-8")
        self.start("-c", str(path))
        for by_ns, dropped in ((HOUR_NS, BURST), (-HOUR_NS, BURST)):
            self.faults.inject("recvmmsg", errno.ENOMEM)
            for _ in range(BURST):
                self.client.ping()
            wait_until(lambda: self.faults["recvmmsg"].done > 2, "nothing is received")
            self.faults.jump(by_ns)
            self.assertLess(self.client.recovery_ns(self.faults.lift), float("inf"))
            self.check_counts()
            self.assertEqual(self.metrics()['paddock_qcmp_dropped_total{reason="too_old"}'], dropped)
        self.check_end()


class MemoryTest(FaultTest):
    """No memory is left for a while."""

    def status(self):
        """Of /metrics, or None for a connection that ended without an answer."""
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            return self.service.http("/metrics")[0]
        return None

    def attempt(self):
        self.faults.inject("memory", errno.ENOMEM)
        self.assertIn(self.status(), (None, 500))
        self.assertGreater(self.faults["memory"].done, 0)
        self.client.await_answers([self.client.ping() for _ in range(BURST)])
        self.faults.lift()
        begin = time.monotonic_ns()
        self.assertEqual(self.status(), 200)
        return time.monotonic_ns() - begin

    def test_pings_are_answered_without_and_the_rest_comes_back(self):
        self.start()
        self.best(self.attempt)
        self.check_end()

    def test_each_allocation_of_a_scrape_may_fail(self):
        self.start()
        for path in ("/metrics", "/config", "/live"):
            number, failed = 0, True
            while failed:
                self.faults.inject("memory", errno.ENOMEM, 1, number)
                with contextlib.suppress(http.client.HTTPException, ConnectionError):
                    status, headers, text = self.service.http(path)
                    self.assertEqual(int(headers["Content-Length"]), len(text))
                    self.assertIn(status, (200, 500))
                failed, number = self.faults["memory"].done > 0, number + 1
            self.assertEqual(status, 200)
            self.assertGreater(number, 1, path)
        self.faults.lift()
        self.check_end()


class DescriptorTest(FaultTest):
    """Out of descriptors, for real, and then not any more."""

    OWN_USER = "paddock: {user: root}\n"  # so that this process may set its limits

    def setUp(self):
        super().setUp()
        self.file = self.stack.enter_context(public_folder()) / "file.yaml"
        self.file.write_text(self.OWN_USER + "id: before\n", encoding="utf-8")
        self.start("-c", str(self.file))

    def open_connections(self):
        """Waits in a new connection to the admin server until it has taken it; returns when, or None."""
        connection = self.stack.enter_context(socket.socket())
        connection.settimeout(support.ANSWER_SECONDS)
        connection.connect(("127.0.0.1", self.service.admin_port))
        connection.sendall(b"GET /live HTTP/1.0\r\n\r\n")
        return connection

    def limit(self, descriptors):
        soft, hard = resource.prlimit(self.service.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.service.pid, resource.RLIMIT_NOFILE, (descriptors or self.before, hard))
        return soft

    def starve(self):
        self.before = self.limit(3)
        self.faults["accept4"].calls = 0
        connection = self.open_connections()
        wait_until(lambda: self.faults["accept4"].calls >= 3, "nothing is accepted")
        return connection

    def attempt(self):
        connection = self.starve()
        self.client.await_answers([self.client.ping() for _ in range(BURST)])  # what is open goes on
        self.limit(None)
        begin = time.monotonic_ns()
        self.assertIn(b" 200 ", connection.recv(4096))
        return time.monotonic_ns() - begin

    def test_the_admin_server_comes_back(self):
        self.best(self.attempt)
        self.check_end()

    def test_waiting_for_a_descriptor_is_no_busy_loop(self):
        begin = time.monotonic()
        self.starve()
        wait_until(lambda: self.faults["accept4"].calls >= 20, "nothing is accepted")
        self.assertLessEqual(self.faults["accept4"].calls, (time.monotonic() - begin) * 1000 / ACCEPT_RETRY_MS + 2)
        self.limit(None)
        self.check_end()

    def test_a_reload_without_descriptors_fails_and_comes_back(self):
        self.before = self.limit(3)
        self.file.write_text(self.OWN_USER + "id: without\n", encoding="utf-8")
        self.service.await_event(NOT_RELOADED)
        self.limit(None)
        self.check_reloaded("without", 1)

    def check_reloaded(self, name, failed):
        """By itself, once there is a descriptor; the tries in between are no failures of their own."""
        self.service.await_event(RELOADED)
        self.assertEqual(self.service.config()["id"], name)
        self.assertEqual((self.service.reloads("error"), self.service.reloads("ok")), (failed, 1))
        self.assertEqual(len(self.service.events(NOT_RELOADED)), failed)
        self.check_end()

    def test_a_reload_is_tried_again_until_there_is_a_descriptor(self):
        for error in (errno.EMFILE, errno.ENFILE):
            with self.subTest(errno.errorcode[error]):
                self.setUp()
                self.faults.inject("open", error, 3)
                self.file.write_text(self.OWN_USER + "id: third\n", encoding="utf-8")
                self.check_reloaded("third", 1)
                self.assertEqual(self.faults["open"].done, 3)

    def test_a_change_meanwhile_is_a_try_of_its_own(self):
        self.faults.inject("open", errno.EMFILE)
        self.file.write_text(self.OWN_USER + "id: second\n", encoding="utf-8")
        self.service.await_event(NOT_RELOADED)
        self.file.write_text(self.OWN_USER + "id: third\n", encoding="utf-8")
        self.service.await_event(NOT_RELOADED, 2)
        self.faults.lift()
        self.check_reloaded("third", 2)

    def test_a_stop_does_not_wait_for_a_descriptor(self):
        self.faults.inject("open", errno.EMFILE)
        os.kill(self.service.pid, signal.SIGHUP)
        self.service.await_event(NOT_RELOADED)
        self.service.stop()


class AdminTest(FaultTest):
    """Whatever accepting ends with."""

    ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EINTR, errno.EPERM,
              errno.ENETDOWN, errno.EPROTO, errno.EHOSTUNREACH, errno.EIO)

    def attempt(self, error):
        self.faults.inject("accept4", error, A_FEW if error == errno.EINTR else FOR_EVER)
        with socket.create_connection(("127.0.0.1", self.service.admin_port)) as connection:
            connection.settimeout(support.ANSWER_SECONDS)
            connection.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            wait_until(lambda: self.faults["accept4"].done >= 3, "nothing is accepted")
            self.faults.lift()
            begin = time.monotonic_ns()
            self.assertIn(b" 200 ", connection.recv(4096))
            return time.monotonic_ns() - begin

    def test_accepting_goes_on_after_every_error(self):
        self.start()
        for error in self.ERRORS:
            with self.subTest(errno.errorcode[error]):
                self.best(lambda error=error: self.attempt(error))
        self.check_end()

    def test_an_error_that_lasts_is_no_busy_loop(self):
        self.start()
        for error in set(self.ERRORS) - {errno.EINTR, errno.ECONNABORTED, errno.EPERM}:  # these take a connection with them
            with self.subTest(errno.errorcode[error]):
                begin = time.monotonic()
                self.faults.inject("accept4", error)
                with socket.create_connection(("127.0.0.1", self.service.admin_port)):
                    wait_until(lambda: self.faults["accept4"].done >= 20, "nothing is accepted")
                    done = self.faults["accept4"].done
                    self.assertLessEqual(done, (time.monotonic() - begin) * 1000 / ACCEPT_RETRY_MS + 2)
                    self.faults.lift()
        self.check_end()


class LogTest(FaultTest):
    """Nothing that becomes of the log ends or holds up the service."""

    def check_serves(self, stdout):
        with Process("--service.qcmp", "--service.qcmp.port", "0", program=FAULTY, stdout=stdout,
                     env=self.faults.environment(RUST_LOG="trace")) as service, Client(service.await_port()) as client:
            self.assertLess(client.recovery_ns(lambda: None), float("inf"))
            os.kill(service.pid, signal.SIGHUP)
            client.await_answers([client.ping() for _ in range(BURST)])
            self.assertEqual(len(client.answered), len(client.sent))
            self.assertEqual(service.end(), 0)

    def test_a_full_disk(self):
        with open("/dev/full", "wb") as full:
            self.check_serves(full)

    def test_a_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        self.check_serves(writer)
        os.close(writer)

    def test_a_disk_that_is_full_for_a_while(self):
        for error in (errno.ENOSPC, errno.EIO, errno.EAGAIN, errno.EPIPE):
            with tempfile.TemporaryFile() as log:
                self.faults.inject("write", error, 2)
                self.check_serves(log)
                log.seek(0)
                self.assertEqual(support.events(log.read().decode())[-1]["fields"]["message"], "qcmp stopped")

    def test_lines_that_are_written_in_pieces_stay_whole(self):
        for limit in (1, 7):
            with tempfile.TemporaryFile() as log:
                self.faults.limit("write", limit)
                self.faults.inject("write", errno.EINTR, A_FEW)
                self.check_serves(log)
                log.seek(0)
                messages = [event["fields"]["message"] for event in support.events(log.read().decode())]
                self.assertEqual(messages[-1], "qcmp stopped")
                self.assertIn("qcmp ready", messages)


class BufferTest(FaultTest):
    """A receive buffer that is full."""

    def setUp(self):
        super().setUp()
        path = self.stack.enter_context(public_folder()) / "file.yaml"
        path.write_text("paddock: {qcmp: {receive_buffer: 2ms}}\n", encoding="utf-8")
        self.start("-c", str(path))
        self.flooder = self.stack.enter_context(Client(self.service.port))

    def flood(self):
        """Sends until the kernel has dropped some."""
        before = self.metrics()[KERNEL_DROPS]
        while self.metrics()[KERNEL_DROPS] < before + 100:
            for _ in range(500):
                self.flooder.ping()

    def attempt(self):
        self.faults.inject("recvmmsg", errno.ENOMEM)
        self.client.ping()
        wait_until(lambda: self.faults["recvmmsg"].done > 2, "nothing is received")
        self.flood()
        return self.client.recovery_ns(self.faults.lift)

    def test_what_finds_no_room_is_counted_exactly_and_no_more_is_lost_than_that(self):
        self.best(self.attempt)
        metrics = self.check_counts(more=len(self.flooder.sent))
        last = self.service.stop()
        self.assertEqual((last["received"], last["kernel_drops"]), (metrics[RECEIVED], metrics[KERNEL_DROPS]))
        self.assertGreaterEqual(last["kernel_drops"], 100)


class RefusedTest(FaultTest):
    def test_clients_that_are_gone_when_the_answer_comes_change_nothing(self):
        """The kernel tells the worker by ICMP that nobody has the port."""
        self.start()
        gone = 200
        for _ in range(gone):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.sendto(packed_ping(1, 1), ("127.0.0.1", self.service.port))
            self.client.ping()
        self.client.await_answers(self.client.sent)
        metrics = self.check_counts(more=gone)
        self.assertEqual((metrics[ANSWERED], metrics[SEND_ERRORS]), (len(self.client.sent) + gone, 0))
        self.assertEqual(self.service.stop()["receive_errors"], 0)


class WatchTest(FaultTest):
    """The system cannot watch a directory for a while: what changes meanwhile, and after it, is noticed all the same."""

    def test_a_directory_that_could_not_be_watched(self):
        for error in (errno.ENOSPC, errno.ENOMEM):
            with self.subTest(errno.errorcode[error]):
                self.check(error)

    def put(self, folder, name):
        """Swaps the directory in which the file is, as Kubernetes does it."""
        (folder / name).mkdir()
        (folder / name / "file.yaml").write_text(f"id: {name}\n", encoding="utf-8")
        (folder / "next").symlink_to(name)
        os.replace(folder / "next", folder / "current")

    def check(self, error):
        folder = self.stack.enter_context(public_folder())
        self.put(folder, "one")
        self.start("-c", str(folder / "current" / "file.yaml"))
        self.faults.inject("inotify_add_watch", error)
        self.put(folder, "two")
        self.service.await_event(RELOADED)
        self.assertGreater(self.faults["inotify_add_watch"].done, 0)
        (folder / "two" / "file.yaml").write_text("id: changed\n", encoding="utf-8")
        self.faults.lift()
        self.service.await_event(RELOADED, 2)
        self.put(folder, "three")
        wait_until(lambda: self.service.config()["id"] == "three", "the last change is noticed")
        self.check_end()


class RealClockTest(FaultTest):
    """The clock of this host, and so of everything on it: on request only."""

    @unittest.skipUnless(os.environ.get("PADDOCK_STEP_CLOCK") == "1", "steps the clock of the whole host: PADDOCK_STEP_CLOCK=1")
    def test_the_hosts_clock_is_set(self):
        self.start()
        target = f"127.0.0.1:{self.service.port}"
        for by in (3600, -3600):
            with Process("ping", "--format", "json", "-a", "20", "-i", "20ms", target) as ping:
                wait_until(lambda: self.metrics()[RECEIVED] > len(self.client.sent) + 5, "it pings")
                time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + by)
                try:
                    result, = json.loads(ping.process.communicate(timeout=support.ANSWER_SECONDS)[0])["targets"]
                    self.assertEqual((result["received"], result["lost"]), (20, 0))
                    self.assertLess(result["raw_rtt_ns"]["max"], 10**9)
                finally:
                    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) - by)
            self.client.await_answers([self.client.ping() for _ in range(BURST)])


if __name__ == "__main__":
    support.main()
