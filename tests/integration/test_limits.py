# SPDX-License-Identifier: Apache-2.0
"""A process that may have little: memory, descriptors, the size of a file, CPUs. It serves, or says why not and exits 255."""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import tempfile
import unittest

import support
from support import Process, environment, packed_ping, parsed_pong

MIB = 1 << 20
PORT_0 = ("--service.qcmp.port", "0")


def limit(what, most):
    """For preexec_fn: a limit that the process cannot lift itself."""
    return lambda: resource.setrlimit(what, (most, most))


def is_answered(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(support.ANSWER_SECONDS)
        client.sendto(packed_ping(7, 0), ("127.0.0.1", port))
        return parsed_pong(client.recv(100)).nonce == 7


class LimitedTest(unittest.TestCase):
    def attempt(self, *flags, **options):
        """Whether it serves; otherwise the reason that it gives."""
        with Process("--service.qcmp", "--admin.address", "127.0.0.1:0", *PORT_0, *flags,
                     env=environment(QUILKIN_ADMIN_ENABLED="true", **options.pop("variables", {})), **options) as service:
            try:
                line = service.await_line("qcmp ready")
            except AssertionError:
                status = service.process.wait(support.STOP_SECONDS)
                lines = service.stderr().splitlines()
                self.assertEqual((status, len(lines)), (255, 1), service.stderr())
                self.assertTrue(lines[0].startswith("paddock: cannot "), lines)
                return lines[0]
            port = support.events(line)[0]["fields"]["port"]
            self.assertTrue(is_answered(port))
            service.process.send_signal(signal.SIGHUP)
            self.assertTrue(is_answered(port))
            self.assertEqual(service.end(), 0, service.stderr())
            return True

    @unittest.skipIf(support.SANITIZE, "a sanitizer reserves more addresses than a limit leaves")
    def test_of_addresses(self):
        served = [mib for mib in range(24, 152, 2)
                  if self.attempt("--service.udp.workers", "4", preexec_fn=limit(resource.RLIMIT_AS, mib * MIB)) is True]
        self.assertEqual(served, list(range(served[0], 152, 2)), "more memory is never worse")
        self.assertLess(served[0], 100)

    @unittest.skipIf(support.SANITIZE, "a sanitizer brings its own allocator")
    def test_huge_pages_for_malloc(self):
        for pages in (1, 2):
            self.assertTrue(self.attempt(variables={"GLIBC_TUNABLES": f"glibc.malloc.hugetlb={pages}"}) is True)

    def test_of_descriptors(self):
        for workers in (1, 4, 100):
            reasons = [self.attempt("--service.udp.workers", str(workers), preexec_fn=limit(resource.RLIMIT_NOFILE, most))
                       for most in (7, 8, 10, 15, 19, 21, 22, 60, 1000)]
            self.assertIs(reasons[-1], True)
            for reason in reasons:
                self.assertTrue(reason is True or reason.endswith(": Too many open files"), reason)
            self.assertNotIn(True, reasons[:1])

    def test_of_a_log_in_a_file(self):
        # ThreadSanitizer does not start where no file may grow.
        for most in (100, 1000) if support.SANITIZE == "thread" else (0, 100, 1000):
            with self.subTest(most), tempfile.NamedTemporaryFile() as log:
                with Process("--service.qcmp", *PORT_0, stdout=log, preexec_fn=limit(resource.RLIMIT_FSIZE, most)) as service:
                    port = support.wait_until(lambda: support.udp_ports(service.pid), "it serves").pop()
                    self.assertTrue(is_answered(port))
                    service.process.send_signal(signal.SIGTERM)
                    self.assertEqual(service.process.wait(support.STOP_SECONDS), 0, service.stderr())

    def test_of_a_pingers_results_in_a_file(self):
        with support.Responder() as responder, tempfile.NamedTemporaryFile() as results:
            done = support.run("ping", "-a", "3", "-i", "10ms", f"127.0.0.1:{responder.port}", stdout=results,
                               preexec_fn=limit(resource.RLIMIT_FSIZE, 10))
            self.assertEqual(done.returncode, 255)
            self.assertEqual(done.stderr, "paddock ping: cannot write the results\n")


class CpusTest(unittest.TestCase):
    """Without a number of workers there is one for each CPU that the process may use."""

    def workers(self, **options):
        with support.Responder(**options) as service:
            return sum(name.startswith("worker-") for name, _ in support.threads(service.pid))

    def test_the_cpus_of_the_affinity(self):
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            self.skipTest("there is one CPU")
        self.assertEqual(self.workers(preexec_fn=lambda: os.sched_setaffinity(0, allowed[:1])), 1)
        self.assertEqual(self.workers(), min(len(allowed), self.quota() or len(allowed)))

    @staticmethod
    def quota():
        """That of this process's own group, rounded up, where it has one."""
        for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            if line.startswith("0::"):
                with contextlib.suppress(OSError, ValueError):
                    path = pathlib.Path("/sys/fs/cgroup", line[3:].lstrip("/"), "cpu.max")
                    most, period = map(int, path.read_text(encoding="ascii").split())
                    return -(-most // period)
        return None

    @support.needs_root
    def test_the_quota_of_a_group_rounded_up(self):
        allowed = os.sched_getaffinity(0)
        if len(allowed) < 2:
            self.skipTest("there is one CPU")
        group = pathlib.Path(f"/sys/fs/cgroup/paddock-test-{os.getpid()}")
        try:
            if "cpu" not in (group.parent / "cgroup.subtree_control").read_text(encoding="ascii").split():
                self.skipTest("control groups have no quota of CPUs here")
            group.mkdir()
        except OSError as error:
            self.skipTest(f"no control groups of version 2 to make: {error}")
        self.addCleanup(group.rmdir)
        members = group / "cgroup.procs"
        for quota, wanted in (("50000 100000", 1), ("100000 100000", 1), ("110000 100000", 2)):
            (group / "cpu.max").write_text(quota, encoding="ascii")
            self.assertEqual(self.workers(preexec_fn=lambda: members.write_text(str(os.getpid()))), wanted, quota)


if __name__ == "__main__":
    support.main()
