# SPDX-License-Identifier: Apache-2.0
"""--pin, --realtime and --low-latency: what the process asked of the host, as /proc tells it, and that it answers all the same."""
import collections
import contextlib
import os
import pathlib
import pwd
import resource
import subprocess
import sys
import unittest

import support
from serving import Operated, free_ports, program_for_everybody, public_folder
from support import Asker, run

ANY_PORT = ("--service.qcmp.port", "0")
HELD = "CPUs are kept from deep sleep for low latency"
NOT_HELD = "low latency: CPUs cannot be kept from deep sleep"


def worker_cpus(pid):
    """The CPUs that each worker may use, by its name."""
    return {name: os.sched_getaffinity(thread) for name, thread in support.threads(pid) if name.startswith("worker-")}


def policies(pid):
    """The scheduling policy and priority of each thread, by its name."""
    found = {}
    for name, thread in support.threads(pid):
        with contextlib.suppress(ProcessLookupError):  # a worker that has just ended
            found[name] = os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
    return found


def can_be_realtime():
    """Whether the host, and not only this user, permits it: a control group may not."""
    attempt = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", attempt], stderr=subprocess.DEVNULL, check=False).returncode == 0


def holds_cpus(pid):
    return any(os.readlink(link) == "/dev/cpu_dma_latency" for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())


class LatencyTest(unittest.TestCase):
    def check_answers(self, service):
        with Asker(service.port, collections.Counter()) as asker:
            self.assertEqual(asker.answers(), [])

    def test_pin_gives_each_worker_a_cpu_in_turn(self):
        allowed = sorted(os.sched_getaffinity(0))
        with Operated(*ANY_PORT, "--pin", "--service.udp.workers", "3") as service:
            expected = {f"worker-{i}": {allowed[i % len(allowed)]} for i in range(3)}
            self.assertEqual(worker_cpus(service.process.pid), expected)
            self.check_answers(service)
            self.assertTrue(service.config()["paddock"]["pin"])

    def test_without_pin_workers_use_every_cpu(self):
        with Operated(*ANY_PORT, "--service.udp.workers", "2") as service:
            everything = os.sched_getaffinity(0)
            self.assertEqual(worker_cpus(service.process.pid), {"worker-0": everything, "worker-1": everything})
            self.assertFalse(holds_cpus(service.process.pid))

    @support.needs_root
    def test_realtime_is_for_the_workers_alone_and_outlives_root(self):
        if not can_be_realtime():
            self.skipTest("real-time scheduling is not permitted here")
        before, after = free_ports(2)
        with public_folder() as folder:
            path = folder / "file.yaml"
            path.write_text(f"qcmp_port: {before}\npaddock: {{workers: 2, realtime: true}}\n", encoding="utf-8")
            with Operated("-c", str(path)) as service:
                self.check_policies(service)
                path.write_text(f"qcmp_port: {after}\npaddock: {{workers: 2, realtime: true}}\n", encoding="utf-8")
                service.await_event("configuration reloaded")
                service.port = after
                self.check_policies(service)
                service.stop()

    def check_policies(self, service):
        found = policies(service.pid)
        self.assertEqual({found.pop("worker-0"), found.pop("worker-1")}, {(os.SCHED_RR, 1)})
        self.assertEqual(set(found.values()), {(os.SCHED_OTHER, 0)})
        self.check_answers(service)
        self.assertTrue(service.config()["paddock"]["realtime"])

    @support.needs_root
    def test_realtime_without_permission_is_an_error(self):
        nobody = pwd.getpwnam("nobody")
        with program_for_everybody() as program:
            done = run("--service.qcmp", *ANY_PORT, "--realtime", program=program, user=nobody.pw_uid, group=nobody.pw_gid,
                       extra_groups=[], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0)))
        self.assertEqual((done.returncode, done.stderr),
                         (255, "paddock: cannot start the workers, in real time (realtime): Operation not permitted\n"))

    @support.needs_root
    def test_low_latency_keeps_cpus_awake_as_long_as_it_runs(self):
        if not os.path.exists("/dev/cpu_dma_latency"):
            self.skipTest("there is no /dev/cpu_dma_latency")
        with Operated(*ANY_PORT, "--low-latency") as service:
            self.assertTrue(holds_cpus(service.process.pid))
            self.assertEqual(len(service.events(HELD, "INFO")), 1)
            self.check_answers(service)
            service.stop()

    @support.needs_root
    def test_low_latency_without_permission_is_a_warning(self):
        nobody = pwd.getpwnam("nobody")
        with program_for_everybody() as program, \
             Operated(*ANY_PORT, "--low-latency", program=program, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]) as service:
            self.assertEqual(len(service.events(NOT_HELD, "WARN")), 1)
            self.check_answers(service)


if __name__ == "__main__":
    unittest.main(verbosity=2)
