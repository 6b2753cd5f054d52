# SPDX-License-Identifier: Apache-2.0
"""A service that was added by one line in the list of services, tests/service/services.c, gets flags, help, schema,
reload, metrics, health, drain and stop for it; alone and beside QCMP."""
import collections
import json
import os
import signal
import socket
import time
import unittest

import support
from serving import NOT_RELOADED, RELOADED, Operated, free_ports, public_folder
from support import Asker, environment, run, wait_until

COUNTING = os.environ["PADDOCK_COUNTING"]
COUNTED = "paddock_count_datagrams_total"


class Counting(Operated):
    """The counting service alone, with its admin server."""

    def __init__(self, *flags, env=None, **options):  # pylint: disable=super-init-not-called
        variables = (env or environment()) | {"QUILKIN_ADMIN_ENABLED": "true"}
        support.Process.__init__(self, "--admin.address", "127.0.0.1:0", *flags, program=COUNTING, env=variables,
                                 **options)
        try:
            self.admin_port = self.await_event("admin ready")["fields"]["port"]
            self.port = self.await_event("count ready")["fields"]["port"]
        except BaseException:
            self.__exit__()
            raise

    def count(self):
        return int(self.metrics()[COUNTED])


def send(port, datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(datagrams):
            sender.sendto(bytes(number % 7), ("127.0.0.1", port))


def is_open(port):
    """Whether anybody has a port: otherwise the kernel says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        sender.send(b"")
        time.sleep(0.01)
        return sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class CountingTest(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(public_folder())
        self.path = self.folder / "file.yaml"

    def write(self, **keys):
        text = {"qcmp_port": keys["qcmp"]} if "qcmp" in keys else {}
        self.path.write_text(json.dumps(text | {"paddock": {"count": {"port": keys["count"]}}}), encoding="utf-8")

    def await_count(self, service, wanted):
        wait_until(lambda: service.metrics()[COUNTED] >= wanted, f"{wanted} datagrams are counted")
        self.assertEqual(service.metrics()[COUNTED], wanted)

    def test_help_and_schema_have_its_settings(self):
        text = run("--help", program=COUNTING).stdout
        for word in ("--service.count ", "--service.count.port N", "PADDOCK_SERVICE_COUNT_PORT", "7601"):
            self.assertIn(word, text)
        self.assertNotIn("service.count", run("--help").stdout)
        schema = json.loads(run("generate-config-schema", program=COUNTING).stdout)
        self.assertIn("port", schema["properties"]["paddock"]["properties"]["count"]["properties"])

    def test_wrong_values_are_refused_wherever_they_come_from(self):
        self.path.write_text("paddock: {count: {port: 65536}}\n", encoding="utf-8")
        for flags, variables, status in ((["--service.count.port", "x"], {}, 2),
                                         ([], {"PADDOCK_SERVICE_COUNT_PORT": "x"}, 2),
                                         (["-c", str(self.path)], {}, 255)):
            done = run("--service.count", *flags, program=COUNTING, env=environment(**variables))
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertRegex(done.stderr, r"\Apaddock: [^\n]*count.port[^\n]*\n\Z|\Apaddock: [^\n]*COUNT_PORT[^\n]*\n\Z")

    def test_flag_variable_and_file_turn_it_on_and_choose_its_port(self):
        flag, variable, file = free_ports(3)
        with Counting("--service.count", "--service.count.port", str(flag)) as service:
            self.assertEqual(service.port, flag)
        with Counting(env=environment(PADDOCK_SERVICE_COUNT="true",
                                      PADDOCK_SERVICE_COUNT_PORT=str(variable))) as service:
            self.assertEqual(service.port, variable)
        self.write(count=file)
        with Counting("--service.count", "-c", str(self.path)) as service:
            self.assertEqual(service.port, file)
            self.assertEqual(service.config()["paddock"]["count"]["port"], file)

    def test_what_comes_is_counted_and_it_is_healthy(self):
        with Counting("--service.count", "--service.count.port", "0", "--service.udp.workers", "2") as service:
            self.assertEqual((service.http("/ready")[0], service.http("/live")[0]), (200, 200))
            self.assertEqual(service.count(), 0)
            send(service.port, 100)
            self.await_count(service, 100)
            self.assertNotIn("quilkin_service_qcmp_active", service.metrics())
            self.assertEqual(service.end(), 0)

    def test_a_reload_moves_its_port_and_loses_nothing(self):
        old, new = free_ports(2)
        self.write(count=old)
        with Counting("--service.count", "-c", str(self.path)) as service:
            send(old, 100)
            self.write(count=new)
            service.await_event(RELOADED)
            self.assertFalse(is_open(old))
            send(new, 50)
            self.await_count(service, 150)
            self.assertEqual(service.config()["paddock"]["count"]["port"], new)
            self.assertEqual(service.end(), 0)

    def test_it_goes_on_for_the_termination_timeout(self):
        with Counting("--service.count", "--service.count.port", "0", "--termination-timeout", "1s") as service:
            told = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            service.await_event("shutting down")
            send(service.port, 10)
            self.await_count(service, 10)
            self.assertEqual(service.http("/ready")[0], 500)
            self.assertEqual(service.process.wait(support.STOP_SECONDS), 0)
            self.assertGreaterEqual(time.monotonic() - told, 1)

    def test_both_services_serve_beside_each_other_in_the_same_workers(self):
        port, = free_ports(1)
        flags = ("--service.qcmp.port", "0", "--service.count", "--service.count.port", str(port),
                 "--service.udp.workers", "2")
        with Operated(*flags, program=COUNTING) as service, Asker(service.port, collections.Counter()) as asker:
            send(port, 20)
            self.assertEqual(asker.answers(), [])
            self.await_count(service, 20)
            workers = [name for name, _ in support.threads(service.pid) if name.startswith("worker-")]
            self.assertEqual(len(workers), 2)
            self.assertEqual(service.stop()["received"], 1)

    def test_a_reload_that_one_service_cannot_take_changes_nothing_in_the_other(self):
        count, next_count, qcmp = free_ports(3)
        self.write(count=count, qcmp=qcmp)
        with Operated("--service.count", "-c", str(self.path), program=COUNTING) as service, \
             socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            other.bind(("::", 0))
            self.write(count=next_count, qcmp=other.getsockname()[1])
            self.assertIn("cannot change to QCMP port", service.await_event(NOT_RELOADED)["fields"]["error"])
            self.assertFalse(is_open(next_count))
            send(count, 5)
            self.await_count(service, 5)
            with Asker(qcmp, collections.Counter()) as asker:
                self.assertEqual(asker.answers(), [])
            self.write(count=next_count, qcmp=qcmp)
            service.await_event(RELOADED)
            self.assertFalse(is_open(count))
            send(next_count, 5)
            self.await_count(service, 10)
            service.stop()


if __name__ == "__main__":
    support.main()
