#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_prometheus.py SERVER: what Prometheus itself, its promtool and the strict parser of its Python client make of /metrics.

Skips (77), and says so, where Debian's prometheus or python3-prometheus-client is not installed."""
import contextlib
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from server import PATIENCE_SECONDS, Server, series

PROGRAM = sys.argv.pop(1)
MISSING = [program for program in ("prometheus", "promtool") if shutil.which(program) is None]
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as parse_text
except ImportError:
    MISSING.append("python3-prometheus-client")

CONFIG = """
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}
scrape_configs:
  - job_name: paddock
    static_configs: [ {{ targets: ["127.0.0.1:{port}"] }} ]
"""


def free_port():
    """A port that nobody has, and that the kernel gives to nobody who asks for any: Prometheus takes it only later, and tests
    run side by side."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.SystemRandom().randrange(1024, first) if first > 2048 else 0
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return listener.getsockname()[1]


class Prometheus:
    """A Prometheus that scrapes one port, in a folder of its own."""

    def __init__(self, folder, target):
        config = pathlib.Path(folder, "prometheus.yml")
        config.write_text(CONFIG.format(port=target), encoding="ascii")
        self.port = free_port()
        self.log = open(pathlib.Path(folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def query(self, expression):
        """The result of a query, which is empty as long as Prometheus does not answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
                return json.load(response)["data"]["result"]
        except (urllib.error.URLError, ConnectionError):
            return []

    def await_result(self, expression):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if result := self.query(expression):
                return result
            time.sleep(0.1)
        self.log.seek(0)
        raise AssertionError(f"Prometheus has nothing for {expression}:\n{self.log.read()}")


def samples(families):
    return {(sample.name, frozenset(sample.labels.items())): sample.value
            for family in families for sample in family.samples}


class Exposition(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(PROGRAM))
        self.server.order("x")

    def scrape(self, accept):
        return self.server.request("/metrics", Accept=accept)[1].decode()

    def test_promtool_has_nothing_to_say_about_the_text(self):
        run = subprocess.run(["promtool", "check", "metrics"], input=self.scrape("text/plain"), text=True,
                             capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))

    def test_a_strict_parser_takes_openmetrics_and_finds_types_help_and_units(self):
        families = {family.name: family for family in parse_openmetrics(self.scrape("application/openmetrics-text"))}
        self.assertEqual(families["quilkin_service_qcmp_packets"].type, "counter")
        self.assertEqual(families["paddock_qcmp_hold_seconds"].type, "histogram")
        self.assertEqual(families["paddock_qcmp_hold_seconds"].unit, "seconds")
        self.assertEqual(families["process_resident_memory_bytes"].unit, "bytes")
        self.assertEqual([name for name, family in families.items() if not family.documentation], [])

    def test_both_formats_have_the_same_series_and_counts(self):
        text = samples(parse_text(self.scrape("text/plain")))
        openmetrics = samples(parse_openmetrics(self.scrape("application/openmetrics-text")))
        self.assertEqual(set(text), set(openmetrics))
        for key, value in text.items():
            if key[0].startswith(("quilkin_", "paddock_qcmp_")):
                self.assertEqual((key, value), (key, float(openmetrics[key])))

    def test_the_id_survives_its_escapes(self):
        expected = "a \"test\"\n\\ \N{REPLACEMENT CHARACTER}"
        for accept, parse in (("text/plain", parse_text), ("application/openmetrics-text", parse_openmetrics)):
            found = [dict(labels)["id"] for name, labels in samples(parse(self.scrape(accept))) if name == "quilkin_info"]
            self.assertEqual(found, [expected])

    def test_a_real_prometheus_scrapes_every_series(self):
        expected = series(self.scrape("text/plain"))
        with tempfile.TemporaryDirectory() as folder, Prometheus(folder, self.server.port) as prometheus:
            prometheus.await_result("up{job=\"paddock\"} == 1")
            scraped = prometheus.await_result("scrape_samples_scraped > 0")[0]["value"][1]
            self.assertEqual(int(scraped), len(expected))
            found = prometheus.await_result("paddock_qcmp_dropped_total{reason=\"source_port_zero\"}")
            self.assertEqual(found[0]["value"][1], "7")
            names = {line.partition("{")[0] for line in expected}
            for name in names:
                self.assertNotEqual(prometheus.await_result(name), [])


if __name__ == "__main__":
    if MISSING:
        print(f"SKIPPED: the metrics are not shown to Prometheus, because this is missing: {', '.join(MISSING)}",
              file=sys.stderr)
        sys.exit(77)
    unittest.main()
