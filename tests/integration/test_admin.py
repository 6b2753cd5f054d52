# SPDX-License-Identifier: Apache-2.0
"""The admin server of the real program: what it answers, and that its counters are exact."""
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest

import support
from serving import Operated, public_folder, samples
from support import Asker, run, wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]
PACKETS = 'quilkin_service_qcmp_packets_total{kind="%s"}'
KINDS = ("valid", "invalid", "unsupported")
RECEIVED, ANSWERED = "paddock_qcmp_received_total", "paddock_qcmp_answered_total"
KERNEL_DROPS = "paddock_qcmp_kernel_drops_total"
# With it the proxy has all its metrics.
ALL = """\
filters: [{name: quilkin.filters.timestamp.v1alpha1.Timestamp, config: {metadataKey: t}}]
clusters: [{locality: eu, endpoints: [{address: "127.0.0.1:9"}]}]
datacenters: [{address: 127.0.0.1, qcmp_port: 9, icao_code: EFHK}]
paddock: {udp: {port: 0}, phoenix: {port: 0}}
"""


def datagrams():
    """Every version, every command, every length of a ping, and every length of a datagram."""
    ping = support.packed_ping(7, 1)
    for value in range(256):
        yield ping[:4] + bytes([value]) + ping[5:]
        yield ping[:5] + bytes([value]) + ping[6:]
        yield ping[:7] + bytes([value]) + ping[8:]
        yield ping[:6] + bytes([value]) + ping[7:]
    for length in range(0, 2001, 1 if support.SCALE == 1 else 7):
        yield (ping + bytes(2000))[:length]
    yield support.packed_pong(1, 2, 3, 4)
    yield b"noise"


class AdminTest(unittest.TestCase):
    def check_sums(self, metrics, sent):
        """received = valid + invalid + unsupported + dropped; sent to the host = received + kernel drops."""
        dropped = sum(value for series, value in metrics.items() if series.startswith("paddock_qcmp_dropped_total"))
        kinds = sum(metrics[PACKETS % kind] for kind in KINDS)
        self.assertEqual(metrics[RECEIVED], kinds + dropped)
        self.assertEqual(metrics[RECEIVED] + metrics[KERNEL_DROPS], sent)


class AnswerTest(AdminTest):
    def test_every_path_answers_get_and_head(self):
        with Operated("--service.qcmp.port", "0") as service:
            for path in ("/live", "/livez", "/ready", "/readyz", "/metrics", "/config"):
                with self.subTest(path):
                    status, headers, body = service.http(path)
                    self.assertEqual(status, 200)
                    self.assertEqual(int(headers["Content-Length"]), len(body.encode()))
                    self.assertNotEqual(body, "")
                    status, headers, body = service.http(path, "HEAD")
                    self.assertEqual((status, body), (200, ""))
                    self.assertGreater(int(headers["Content-Length"]), 0)
            service.stop()

    def test_other_paths_are_404_and_other_methods_405(self):
        with Operated("--service.qcmp.port", "0") as service:
            for path in ("/", "/metrics/", "/nothing", "/live/x"):
                self.assertEqual(service.http(path)[0], 404, path)
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                status, headers, _ = service.http("/metrics", method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
            service.stop()

    def test_config_is_what_is_in_force(self):
        with public_folder() as folder:
            path = folder / "file.yaml"
            path.write_text("id: from-file\nicao_code: EDDF\nqcmp_port: 1\n", encoding="utf-8")
            with Operated("-c", str(path), "--service.qcmp.port", "0", "--service.id", "from-flag") as service:
                shown = service.config()
                self.assertEqual((shown["id"], shown["icao_code"]), ("from-flag", "EDDF"))
                self.assertEqual(shown["qcmp_port"], service.port)
                self.assertNotIn("access", shown["paddock"]["qcmp"])
                service.stop()

    def test_an_address_that_is_taken_ends_the_start(self):
        with socket.socket() as taker:
            taker.bind(("127.0.0.1", 0))
            taker.listen()
            address = "127.0.0.1:%d" % taker.getsockname()[1]
            done = run("--service.qcmp", "--service.qcmp.port", "0", "--admin.enabled", "--admin.address", address)
        self.assertEqual(done.returncode, 255)
        self.assertEqual(done.stderr, f"paddock: cannot serve HTTP on {address}: Address already in use\n")

    def test_port_0_takes_a_free_port_for_each(self):
        with Operated("--service.qcmp.port", "0") as one, Operated("--service.qcmp.port", "0") as other:
            self.assertNotEqual(one.admin_port, other.admin_port)
            self.assertNotIn(0, (one.admin_port, other.admin_port))
            for service in (one, other):
                self.assertEqual(service.http("/ready")[0], 200)
                service.stop()


class CounterTest(AdminTest):
    def test_counters_are_exact_after_a_mixed_load(self):
        sent, kinds = collections.Counter(), (support.packed_ping(3, 4), support.packed_pong(1, 2, 3, 4), b"noise",
                                              support.PING_HEADER, b"")
        with Operated("--service.qcmp.port", "0", "--service.udp.workers", "2") as service:
            for _ in range(8):
                with Asker(service.port, sent) as asker:
                    for _ in range(support.scaled(100)):
                        for datagram in random.choices(kinds, k=20):
                            asker.send(datagram)
                        asker.answers()
            # An answer is counted once it has been sent.
            wait_until(lambda: service.metrics()[ANSWERED] == sent["valid"], "all answers are counted")
            metrics = service.metrics()
            self.assertEqual({kind: metrics[PACKETS % kind] for kind in KINDS}, dict(sent))
            self.check_sums(metrics, sum(sent.values()))
            self.assertEqual(service.stop(), support.counts(sent))

    def test_what_the_kernel_dropped_is_counted_exactly(self):
        with public_folder() as folder:
            path = folder / "file.yaml"
            path.write_text("paddock: { qcmp: { receive_buffer: 1ms } }\n", encoding="utf-8")
            with Operated("-c", str(path), "--service.qcmp.port", "0", "--service.udp.workers", "1") as service:
                os.kill(service.pid, signal.SIGSTOP)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
                    sent = self.flood(flooder, service.port)
                    os.kill(service.pid, signal.SIGCONT)

                    def settled():
                        metrics = service.metrics()
                        return metrics if metrics[RECEIVED] + metrics[KERNEL_DROPS] >= sent else None
                    metrics = wait_until(settled, "all is counted")
                self.check_sums(metrics, sent)
                self.assertGreater(metrics[KERNEL_DROPS], 0)
                self.assertGreater(metrics[RECEIVED], 0)
                self.assertEqual(metrics[PACKETS % "valid"], metrics[RECEIVED])
                self.assertEqual(service.stop()["kernel_drops"], metrics[KERNEL_DROPS])

    def flood(self, flooder, port):
        """Sends until the kernel has dropped some; returns how many."""
        sent = 0
        while kernel_drops(port) == 0:
            self.assertLess(sent, 1000000, "the kernel drops nothing")
            for _ in range(500):
                flooder.sendto(support.packed_ping(1, sent), ("127.0.0.1", port))
                sent += 1
        return sent

    def test_the_series_stay_the_same_whatever_comes(self):
        sent = collections.Counter()
        with Operated("--service.qcmp.port", "0") as service:
            before = service.metrics()
            with Asker(service.port, sent) as asker:
                for number, datagram in enumerate(datagrams()):
                    asker.send(datagram)
                    if number % 50 == 0:
                        asker.answers()
                asker.answers()
            after = service.metrics()
            self.assertEqual(list(after), list(before))
            self.assertEqual({kind: after[PACKETS % kind] for kind in KINDS}, dict(sent))
            self.check_sums(after, sum(sent.values()))
            service.stop()

    def test_the_metrics_are_those_that_are_listed(self):
        """In the list that the alerts and the dashboard are held against, and in the documentation."""
        labels = collections.defaultdict(set)
        with public_folder() as folder, contextlib.ExitStack() as stack:
            path = folder / "all.yaml"
            path.write_text(ALL, encoding="utf-8")
            service = stack.enter_context(Operated("--service.udp", "--service.phoenix", "--service.qcmp.port", "0", "-c", str(path),
                                                   "--service.xds", "--service.xds.port", "0", "--provider.xds.endpoints",
                                                   f"http://127.0.0.1:{support.closed_port()}",
                                                   "--provider.mmdb.endpoints", str(folder / "nowhere.mmdb")))
            service.await_event("phoenix ready")
            text = service.http("/metrics")[2]
            for series in samples(text):
                name, _, selector = series.partition("{")
                labels[name] |= set(re.findall(r'(\w+)="', selector))
            service.stop()
        listed = json.loads((TREE / "tests/packaging/metrics.json").read_text(encoding="utf-8"))
        listed.pop("up")  # Prometheus makes it
        for name, values in listed.items():
            if name.startswith("xds_") or name == "paddock_udp_network_sessions":  # with peers, and players: test_xds.py
                labels.setdefault(name, set(values))
        self.assertEqual({name: set(values) for name, values in listed.items()}, labels)
        parts = (TREE / "docs/operations.md").read_text(encoding="utf-8").split("\n## ")
        section = "\n".join(part for part in parts if part.startswith("Metrics"))
        rows = [re.split(r" *\| *", row) for row in re.findall(r"^\| `.*", section, re.MULTILINE)]
        documented = {name: cells[2] for cells in rows if len(cells) == 5 for name in re.findall(r"`(\w+)`", cells[1])
                      if "_k8s_" not in name and name != "quilkin_provider_leader_election"}  # with an API server: test_k8s.py
        families = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE))
        self.assertEqual(documented, {"paddock_udp_network_sessions": "gauge"} | families)
        for value in re.findall(r'(?:kind|reason|result|display|event|source)="(?!filter::)([\w ]+)"', text):
            self.assertIn(f"`{value}`", section)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed (Debian: prometheus)")
    def test_promtool_finds_nothing_to_say_about_the_metrics(self):
        with Operated("--service.qcmp.port", "0") as service:
            with Asker(service.port, collections.Counter()) as asker:
                asker.answers()
            text = service.http("/metrics")[2]
            done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            service.stop()


def kernel_drops(port):
    """What the kernel dropped at the sockets of a port."""
    drops = 0
    for name in ("udp", "udp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{name}", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        drops += sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)
    return drops


class LiveTest(AdminTest):
    def health(self, service):
        return service.http("/live")[0], service.http("/ready")[0], service.metrics()["quilkin_service_qcmp_active"]

    def check_held(self, name):
        with Operated("--service.qcmp.port", "0", "--service.udp.workers", "2") as service:
            with support.held_thread(service.pid, name) as release:
                wait_until(lambda: self.health(service) == (500, 500, 0), "it is known to be broken")
                release()
            wait_until(lambda: self.health(service) == (200, 200, 1), "it is known to work again")
            service.stop()

    def test_a_worker_that_does_not_react_is_no_live_service(self):
        self.check_held("worker-1")

    def test_a_main_thread_that_does_not_react_is_no_live_service(self):
        self.check_held("paddock")


class HoldTest(AdminTest):
    SOCKETS, ROUNDS = 1000, 3

    def hold(self, stack, address):
        held = stack.enter_context(socket.socket())
        held.settimeout(support.ANSWER_SECONDS)
        held.connect(address)
        held.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ")
        return held

    def test_sockets_that_never_finish_do_not_stop_a_scrape(self):
        pace = threading.Event()
        with Operated("--service.qcmp.port", "0") as service, contextlib.ExitStack() as stack:
            address = ("127.0.0.1", service.admin_port)
            held = [self.hold(stack, address) for _ in range(self.SOCKETS)]
            for _ in range(self.ROUNDS):
                for one in held[::2]:
                    with contextlib.suppress(ConnectionError):
                        one.send(b"a")
                metrics = service.metrics()
                self.assertEqual(metrics["quilkin_service_qcmp_active"], 1)
                self.assertEqual(service.http("/live")[0], 200)
                pace.wait(1)  # the pace of those that send a byte a second
            with Asker(service.port, collections.Counter()) as asker:
                self.assertEqual(asker.answers(), [])
            service.stop()


if __name__ == "__main__":
    support.main()
