# SPDX-License-Identifier: Apache-2.0
"""A start, a reload and a command in which one call fails, for every call that they make: each works, or ends with an error
that says so."""
import contextlib
import errno
import json
import os
import random
import signal
import socket
import unittest

import support
from faults import FAULTY, Faults
from phoenixing import code
from serving import Manager, Operated, free_ports, public_folder
from support import Process, Server, honest, packed_ping, udp_ports

FILE = """\
version: v1alpha1
id: start
filters: [{name: quilkin.filters.capture.v1alpha1.Capture, config: {metadataKey: text, prefix: {size: 1}}}]
clusters: [{endpoints: [{address: "10.0.0.2:7777"}]}]
datacenters: [{address: "127.0.0.1", icao_code: EDDF, qcmp_port: 9}, {address: localhost, qcmp_port: 9}]
paddock:
  {workers: 2, pin: true, qcmp: {listen: ["127.0.0.1", "127.0.0.2"], max_age: 1m}, phoenix: {listen: ["127.0.0.1", "127.0.0.2"]}}
"""

FAILED, WORKED = 255, 0
PINGS = 3
FEW, STEP = 8, 8

# What a start calls, and what the system may say to it.
CALLS = {"memory": errno.ENOMEM, "socket": errno.EMFILE, "bind": errno.EADDRINUSE, "setsockopt": errno.ENOBUFS,
         "getsockopt": errno.ENOBUFS, "getsockname": errno.ENOBUFS, "listen": errno.EADDRINUSE,
         "epoll_create1": errno.EMFILE, "epoll_ctl": errno.ENOMEM, "eventfd": errno.EMFILE, "signalfd": errno.ENFILE,
         "inotify_init1": errno.EMFILE, "inotify_add_watch": errno.ENOSPC, "open": errno.EMFILE, "read": errno.EIO,
         "fstat": errno.EIO, "stat": errno.EACCES, "pthread_create": errno.EAGAIN,
         "getentropy": errno.EIO, "getrandom": errno.EIO, "eventfd_read": errno.EAGAIN,
         "epoll_wait": errno.ENOMEM, "sendmsg": errno.ENOBUFS, "recvmmsg": errno.ENOMEM, "recvmsg": errno.ENOMEM,
         "sched_getaffinity": errno.EINVAL, "poll": errno.EINTR, "sem_wait": errno.EINTR, "write": errno.ENOSPC, "sendto": errno.ENOBUFS}
NOT_AT_A_START = {"getentropy", "recvmsg"}
INTERRUPTED = "epoll_wait", "eventfd_read", "poll", "read", "recvmmsg", "sem_wait", "sendmsg", "write"


def is_answered(pid):
    """Whether a process answers pings by now."""
    ports = set()
    with contextlib.suppress(OSError):  # it has ended meanwhile
        ports = udp_ports(pid)
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, contextlib.suppress(OSError):
            asker.settimeout(0.02)
            asker.connect(("127.0.0.1", port))
            asker.send(packed_ping(1, 1))
            return support.parsed_pong(asker.recv(4096)).nonce == 1
    return False


class FailingTest(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = stack.enter_context(public_folder())
        self.file = self.folder / "file.yaml"
        self.file.write_text(FILE, encoding="utf-8")
        self.faults = stack.enter_context(Faults())

    def sweep(self, name, error, attempt):
        """Lets the first call fail, then the second, up to the one that is not made any more. Returns how many. In builds
        that are slow it goes on in steps behind the first few, of random length."""
        number, step = 0, STEP if support.SCALE < 1 else 1
        while True:
            self.faults.lift()
            self.faults.inject(name, error, 1, number)
            with self.subTest(call=name, number=number):
                status = attempt()
            if self.faults[name].done == 0:
                self.assertEqual(status, WORKED, "although nothing failed")
                return number
            self.assertLess(number, 5000, f"{name} never ends")
            number += 1 if number < FEW else random.randint(1, 2 * step - 1)

    def check_error(self, status, stderr):
        self.assertEqual(status, FAILED, stderr)
        self.assertRegex(stderr, r"\Apaddock[^\n]*: [^\n]+\n\Z")


class StartTest(FailingTest):
    def start(self, *more):
        arguments = ("--service.qcmp", "--service.qcmp.port", "0", "--admin.enabled", "--admin.address", "127.0.0.1:0",
                     "--service.phoenix", "--service.phoenix.port", "0", *more)
        with Process("-c", str(self.file), *arguments, program=FAULTY,
                     env=self.faults.environment(NOTIFY_SOCKET=str(self.folder / "none"))) as service:
            support.wait_until(lambda: service.process.poll() is not None or is_answered(service.pid),
                               "it answers, or has ended")
            with contextlib.suppress(ProcessLookupError):
                service.process.send_signal(signal.SIGTERM)
            service.process.communicate(timeout=support.STOP_SECONDS)
            stderr = service.stderr()
            status = service.process.returncode
        support.check_sanitizers(stderr)
        if status == WORKED:
            self.assertEqual(stderr, "")
        else:
            self.check_error(status, stderr)
        return status

    def test_each_call_may_fail(self):
        for name in sorted(CALLS.keys() - NOT_AT_A_START):
            count = self.sweep(name, CALLS[name], self.start)
            self.assertGreater(count, 0, f"a start makes no call of {name}")
            print(f"{name}: {count}", flush=True)

    def test_each_call_with_the_proxy_may_fail(self):
        proxy = ("--service.udp", "--service.udp.port", "0")
        for name in ("memory", "socket", "bind", "setsockopt", "getsockname", "getrandom", "epoll_ctl"):
            count = self.sweep(name, CALLS[name], lambda: self.start(*proxy))
            self.assertGreater(count, 0, f"a start makes no call of {name}")
            print(f"with the proxy, {name}: {count}", flush=True)

    def test_a_call_that_is_interrupted_is_made_again(self):
        for name in INTERRUPTED:
            self.sweep(name, errno.EINTR, lambda: self.assertEqual(self.start(), WORKED) or WORKED)


class ReloadTest(FailingTest):
    """A reload in which a call fails applies nothing, and says so; the next one works."""

    def setUp(self):
        super().setUp()
        name = str(self.folder / "notify")
        self.manager = self.enterContext(Manager(name))
        os.chmod(name, 0o777)
        self.number, self.counts, self.can_tell = 0, (0, 0), True
        self.ports = free_ports(2)
        self.current = self.write(self.ports[0])
        self.service = self.enterContext(Operated("-c", str(self.file), "--service.phoenix", "--service.phoenix.port", "0",
                                                  program=FAULTY, env=self.faults.environment(NOTIFY_SOCKET=name)))
        self.assertEqual(self.manager.receive(), {"READY": "1"})

    def write(self, port):
        """Puts another file in place; returns what a configuration of it shows."""
        self.number += 1
        new = self.folder / "new.yaml"
        text = FILE.replace("id: start", f"id: number-{self.number}").replace("EDDF", code(self.number))
        text += f"qcmp_port: {port}\n"
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.file)
        return f"number-{self.number}", port

    def read_counts(self):
        return int(self.service.reloads("ok")), int(self.service.reloads("error"))

    def await_reload(self):
        if self.can_tell:
            self.assertEqual(self.manager.receive().get("RELOADING"), "1")
            self.assertEqual(self.manager.receive(), {"READY": "1"})
            self.faults.lift()
        else:
            support.wait_until(lambda: sum(self.read_counts()) > sum(self.counts), "it has reloaded")

    def reload(self, port):
        before, wanted = self.counts, self.write(port)
        self.await_reload()
        self.counts = self.read_counts()
        self.service.read_log()
        if self.counts == (before[0] + 1, before[1]):
            self.current = wanted
        else:
            self.assertEqual(self.counts, (before[0], before[1] + 1))
        config = self.service.config()
        self.assertEqual((config["id"], config["qcmp_port"]), self.current)
        support.wait_until(lambda: is_answered(self.service.pid), "it answers")
        return WORKED if self.current == wanted else FAILED

    def test_each_call_of_a_reload_may_fail(self):
        for name in ("memory", "open", "fstat"):
            error = errno.EACCES if name == "open" else CALLS[name]  # want of a descriptor is tried again
            print(name, self.sweep(name, error, lambda: self.reload(self.current[1])), flush=True)
        self.assertEqual(self.service.stop()["receive_errors"], 0)

    def test_each_call_of_a_move_to_another_port_may_fail(self):
        for name in ("memory", "bind", "setsockopt", "getsockopt", "epoll_ctl", "sem_wait", "socket"):
            self.can_tell = name != "socket"  # the manager hears of nothing without a socket
            print(name, self.sweep(name, CALLS[name], lambda: self.reload(sum(self.ports) - self.current[1])), flush=True)
        self.assertEqual(self.service.stop()["receive_errors"], 0)


class CommandTest(FailingTest):
    """A command in which a call fails gives its whole result, or says that it has none."""

    def command(self, *arguments):
        done = support.run(*arguments, program=FAULTY, env=self.faults.environment())
        if done.returncode == WORKED:
            self.check_result(arguments, done.stdout)
            return WORKED
        self.assertIn(done.returncode, (1, 2, FAILED), done.stderr)
        self.assertNotEqual(done.stdout + done.stderr, "", arguments)  # a check says on stdout what is wrong
        return FAILED

    def check_result(self, arguments, text):
        if "json" in arguments:
            target, = json.loads(text)["targets"]
            self.assertEqual((target["sent"], target["received"] + target["lost"]), (PINGS, PINGS))
            self.assertGreater(target["received"], 0)
        elif arguments[0] == "generate-config-schema":
            self.assertIn("properties", json.loads(text))
        elif arguments[0] == "qcmp":
            messages = [event["fields"]["message"] for event in support.events(text)]
            self.assertEqual((len(messages), messages[-1]), (PINGS + 1, "final results"))
        else:
            self.assertNotEqual(text, "")

    def check_calls(self, calls, *arguments):
        for name in calls:
            print(*arguments, name, self.sweep(name, CALLS[name], lambda: self.command(*arguments)), flush=True)

    def test_each_call_of_a_ping_may_fail(self):
        calls = "memory", "socket", "setsockopt", "signalfd", "getentropy", "recvmmsg", "recvmsg", "sendto"
        with Server(honest) as server:
            for arguments in (("ping", "--format", "json"), ("ping",), ("qcmp", "ping")):
                self.check_calls(calls, *arguments, "-a", str(PINGS), "-i", "1ms", server.target)
            self.check_calls(["pthread_create"], "ping", "-4", f"localhost:{server.port}")

    def test_each_call_of_a_check_may_fail(self):
        self.check_calls(("memory", "open", "fstat", "read"), "check", "-c", str(self.file))

    def test_each_allocation_of_the_schema_may_fail(self):
        self.check_calls(("memory",), "generate-config-schema")


if __name__ == "__main__":
    support.main()
