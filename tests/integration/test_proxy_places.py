#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Countries and networks of players, from databases of MaxMind's format: `--provider.mmdb.endpoints`."""
import http.server
import json
import os
import pathlib
import tempfile
import threading
import unittest

import proxying
import support
from places import database, endless
from proxying import Player, Proxy, Servers, cluster, value
from support import wait_until

FLAG = "--provider.mmdb.endpoints"
READ, FAILED = "database of places read", "a database of places stays as it was"
ACTIVE, NETWORKS, LOADS = "quilkin_session_active", "paddock_udp_network_sessions", "paddock_mmdb_loads_total"


class Site(http.server.BaseHTTPRequestHandler):
    bodies = {}

    def do_GET(self):
        body = self.bodies.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


class PlacesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="paddock-test-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        self.path = pathlib.Path(folder.name, "places.mmdb")

    def put(self, data):
        other = self.path.with_suffix(".new")
        other.write_bytes(data)
        os.chmod(other, 0o644)
        os.replace(other, self.path)

    def test_a_file_that_changes_is_read_again_and_a_bad_one_is_not_used(self):
        network = proxying.GROUND.network
        self.put(database({network: {"country": {"iso_code": "DE"}}}))
        second = self.path.with_name("networks.mmdb")
        second.write_bytes(database({network: {"autonomous_system_number": 64500}}))
        second.chmod(0o644)
        none = self.path.with_name("none.mmdb")
        with Servers(1) as servers, \
                Proxy([cluster(*servers.targets)], None, {"sessions": {"log_rate": 100}}, FLAG, f"{self.path},{none}", FLAG, str(second)) as proxy, \
                Player(proxy.port) as first, Player(proxy.port) as player, Player(proxy.port) as third:
            proxy.await_event(READ, 2)
            missing = proxy.await_event(FAILED)["fields"]
            first.ask(b"hello")
            self.put(database({network: {"country_code": "SE", "asn": "AS7"}}))
            proxy.await_event(READ, 3)
            player.ask(b"hello")
            self.put(database({network: {"country_code": "NO"}})[:-200])
            failed = proxy.await_event(FAILED, 2)["fields"]
            self.path.unlink()
            gone = proxy.await_event(FAILED, 3)["fields"]
            third.ask(b"hello")
            metrics = proxy.metrics()
            self.assertEqual([metrics[f'{ACTIVE}{{country_code="{code}"}}'] for code in ("DE", "SE", "")], [1, 2, 0])
            self.assertEqual([metrics[f'{NETWORKS}{{asn="{asn}"}}'] for asn in ("AS64500", "AS7", "")], [1, 2, 0])
            rows = json.loads(proxy.http("/sessions")[1])["sessions"]
            self.assertEqual(sorted((row["country"], row["asn"]) for row in rows), [("SE", 7)] * 3)
            shown = support.run("sessions", "--admin", f"127.0.0.1:{proxy.admin_port}").stdout
            self.assertRegex(shown, r"answered +SE AS7\n")
            self.assertEqual(value(metrics, LOADS, result="error"), 3)
            self.assertEqual([event["source"] for event in (missing, failed, gone)], [str(none), str(self.path), str(self.path)])
            self.assertEqual({event["error"] for event in (missing, gone)}, {"cannot open it: No such file or directory"})
            self.assertIn("expected a database of MaxMind's format", failed["error"])
            proxy.stop()
            lines = {(line["fields"]["country"], line["fields"]["asn"]) for line in proxy.events("udp session ended")}
            self.assertEqual(lines, {("SE", 7)})

    def test_reading_gives_way_to_workers_and_does_not_hold_up_the_end(self):
        self.put(endless())
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], None, None, FLAG, str(self.path)) as proxy:
            def reads():
                tasks = pathlib.Path(f"/proc/{proxy.pid}/task").glob("*/stat")
                return "19" in [task.read_text(encoding="ascii").rpartition(") ")[2].split()[16] for task in tasks]
            wait_until(reads, "a thread of the least priority")
            proxy.stop()

    def test_a_url_is_fetched_and_its_secrets_are_not_logged(self):
        Site.bodies = {"/places?key=secret": database({proxying.GROUND.network: {"country": {"iso_code": "FR"}}})}
        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)
        at = f"127.0.0.1:{site.server_address[1]}"
        env = support.environment() | {"QUILKIN_PROVIDERS_MMDB_ENDPOINTS": f"http://me:word@{at}/places?key=secret,http://{at}/none"}
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], env=env) as proxy, Player(proxy.port) as player:
            self.assertEqual(proxy.await_event(READ)["fields"]["source"], f"http://{at}/places")
            self.assertEqual(proxy.await_event(FAILED)["fields"]["error"], "expected status 200, not 404")
            player.ask(b"hello")
            wait_until(lambda: value(proxy.metrics(), ACTIVE, country_code="FR") == 1, "a session from there")
            self.assertNotIn("secret", proxy.http("/config")[1])
            proxy.stop()
            self.assertNotIn(b"secret", proxy.log)
            self.assertNotIn(b"word@", proxy.log)

    def test_without_databases_there_are_no_places(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            player.ask(b"hello")
            self.assertEqual(proxy.metrics()[ACTIVE + '{country_code=""}'], 1)
            self.assertEqual([series for series in proxy.metrics() if "mmdb" in series or NETWORKS in series], [])

    def test_a_list_that_is_none_is_a_usage_error(self):
        for bad in ("", ",", "a,", "a,b,c,d,e", "x" * 5000):
            done = support.run("--service.udp", FLAG, bad)
            self.assertEqual(done.returncode, 2, bad)
            self.assertIn(FLAG, done.stderr)


if __name__ == "__main__":
    unittest.main()
