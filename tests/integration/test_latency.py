"""--pin and --low-latency: what the process asked of the host, as /proc tells it, and that it answers all the same."""
import collections
import os
import pathlib
import pwd
import unittest

import support
from serving import Operated
from support import Asker

ANY_PORT = ("--service.qcmp.port", "0")
HELD = "CPUs are kept from deep sleep for low latency"
NOT_HELD = "low latency: CPUs cannot be kept from deep sleep"


def worker_cpus(pid):
    """The CPUs that each worker may use, by its name."""
    cpus = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text(encoding="ascii").strip()
        if name.startswith("qcmp-"):
            cpus[name] = os.sched_getaffinity(int(task.name))
    return cpus


def holds_cpus(pid):
    return any(os.readlink(link) == "/dev/cpu_dma_latency" for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())


class LatencyTest(unittest.TestCase):
    def check_answers(self, service):
        with Asker(service.port, collections.Counter()) as asker:
            self.assertEqual(asker.answers(), [])

    def test_pin_gives_each_worker_a_cpu_in_turn(self):
        allowed = sorted(os.sched_getaffinity(0))
        with Operated(*ANY_PORT, "--pin", "--service.udp.workers", "3") as service:
            expected = {f"qcmp-{i}": {allowed[i % len(allowed)]} for i in range(3)}
            self.assertEqual(worker_cpus(service.process.pid), expected)
            self.check_answers(service)
            self.assertTrue(service.config()["paddock"]["pin"])

    def test_without_pin_workers_use_every_cpu(self):
        with Operated(*ANY_PORT, "--service.udp.workers", "2") as service:
            everything = os.sched_getaffinity(0)
            self.assertEqual(worker_cpus(service.process.pid), {"qcmp-0": everything, "qcmp-1": everything})
            self.assertFalse(holds_cpus(service.process.pid))

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
        with Operated(*ANY_PORT, "--low-latency", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]) as service:
            self.assertEqual(len(service.events(NOT_HELD, "WARN")), 1)
            self.check_answers(service)


if __name__ == "__main__":
    unittest.main(verbosity=2)
