#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control plane between processes of this program: management server, relay, agent, proxies; datagrams are routed by
token at the end."""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest
import urllib.request

import fleet
import support
from fleet import SUFFIX, Agent, File, Gate, Manager, Relay, await_answer, await_silence, located
from proxying import Player, Servers, cluster
from serving import public_folder
from support import run, wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]


def which(index, data):
    return [b"%d:" % index + data]


class FleetTest(unittest.TestCase):
    def setUp(self):
        self.folder = self.enter(public_folder())
        self.servers = self.enter(Servers(3, which))

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def at(self, index, token):
        """A cluster of one server with one token."""
        return cluster(self.servers.targets[index], tokens=[[token]])

    def player(self, proxy):
        return self.enter(Player(proxy.port))


class ManagerTest(FleetTest):
    def start(self, **document):
        self.file = File(self.folder, filters=SUFFIX, **document)
        self.manager = self.enter(Manager(self.file))
        self.gate = self.enter(Gate(self.manager.url))
        return self.player(self.gate)

    def test_a_proxy_routes_by_what_its_server_says(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu:a"), self.at(1, b"xyz")])
        await_answer(player, b"helloabc", b"0:hello")
        await_answer(player, b"helloxyz", b"1:hello")
        self.gate.await_ready()

    def test_changes_are_told_one_by_one(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu")])
        await_answer(player, b"helloabc", b"0:hello")
        clusters = "type.googleapis.com/quilkin.config.v1alpha1.Cluster"
        before = self.gate.value(f"xds_acks.*{clusters}")
        self.file.write(clusters=[located(self.at(0, b"abc"), "eu"), located(self.at(1, b"xyz"), "us")])
        await_answer(player, b"helloxyz", b"1:hello")
        self.file.write(clusters=[located(self.at(2, b"xyz"), "us")])
        await_answer(player, b"helloxyz", b"2:hello")
        await_silence(player, b"helloabc")
        self.assertEqual(self.gate.value(f"xds_acks.*{clusters}"), before + 2)
        self.assertEqual(self.gate.value("xds_nacks"), 0)

    def test_filters_change_with_the_servers(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu")])
        await_answer(player, b"helloabc", b"0:hello")
        self.file.write(filters=fleet.by_token("prefix"))
        await_answer(player, b"abchello", b"0:hello")
        self.file.write(filters=None)
        await_answer(player, b"whatever", b"0:whatever")

    def test_without_its_server_a_proxy_goes_on(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu")])
        await_answer(player, b"helloabc", b"0:hello")
        self.gate.await_ready()
        port = self.manager.port
        self.manager.process.kill()
        self.manager.process.wait()
        self.gate.await_ready(500)
        wait_until(lambda: self.gate.value('quilkin_provider_task_failures_total{task="xds_provider"}') == 1, "it is counted")
        self.assertEqual(player.ask(b"helloabc"), b"0:hello")
        self.file.write(clusters=[located(self.at(1, b"abc"), "eu"), located(self.at(2, b"xyz"), "us")])
        again = self.enter(Manager(self.file, port=port))
        await_answer(player, b"helloabc", b"1:hello")
        await_answer(player, b"helloxyz", b"2:hello")
        self.gate.await_ready()
        again.end()

    def test_what_was_there_before_a_restart_is_not_sent_again(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu"), located(self.at(1, b"xyz"), "us")])
        await_answer(player, b"helloxyz", b"1:hello")
        port = self.manager.port
        self.manager.process.kill()
        self.manager.process.wait()
        self.file.write(clusters=[located(self.at(0, b"abc"), "eu")])  # what is gone meanwhile is removed
        self.enter(Manager(self.file, port=port))
        await_silence(player, b"helloxyz")
        self.assertEqual(player.ask(b"helloabc"), b"0:hello")
        sent = self.gate.value("xds_delta_discovery_responses.*Cluster")
        self.assertEqual(sent, 2)

    def test_the_first_server_that_answers_is_used(self):
        self.file = File(self.folder, filters=SUFFIX, clusters=[self.at(0, b"abc")])
        manager = self.enter(Manager(self.file))
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            urls = [f"http://127.0.0.1:{silent.getsockname()[1]}", f"http://127.0.0.1:{support.closed_port()}",
                    f"http://localhost:{manager.port}", manager.url]
            gate = self.enter(Gate(*urls))
            await_answer(self.player(gate), b"helloabc", b"0:hello")

    def test_a_server_that_is_frozen_is_left_for_another(self):
        self.file = File(self.folder, filters=SUFFIX, clusters=[self.at(0, b"abc")])
        managers = [self.enter(Manager(self.file)) for _ in range(2)]
        own = self.folder / "gate.json"
        own.write_text(json.dumps({"paddock": {"xds": {"ping_interval": "1s"}}}), encoding="utf-8")
        own.chmod(0o644)
        gate = self.enter(Gate(*(manager.url for manager in managers), flags=("-c", str(own))))
        await_answer(self.player(gate), b"helloabc", b"0:hello")
        first = gate.logged("control plane connected")["peer"]
        frozen, other = sorted(managers, key=lambda manager: not manager.url.endswith(first))
        os.kill(frozen.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, frozen.pid, signal.SIGCONT)
        self.assertEqual(gate.logged("control plane lost")["error"], "the peer does not answer")
        self.assertEqual(gate.logged("control plane connected", 2)["peer"], f"127.0.0.1:{other.port}")
        gate.await_ready()

    def test_sessions_go_on_while_the_configuration_changes(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu")])
        await_answer(player, b"helloabc", b"0:hello")
        for i in range(20):
            self.file.write(clusters=[located(self.at(0, b"abc"), "eu"), located(self.at(1, b"%03d" % i), "us")])
            for j in range(20):
                self.assertEqual(player.ask(b"%02dabc" % j), b"0:%02d" % j)
        await_answer(player, b"last019", b"1:last")
        self.assertEqual(self.gate.value("quilkin_session_total"), 2)

    def test_config_shows_where_everything_came_from(self):
        player = self.start(clusters=[located(self.at(0, b"abc"), "eu")],
                            datacenters={"map": {"192.0.2.9": {"qcmp_port": 7600, "icao_code": "EDDF"}}})
        await_answer(player, b"helloabc", b"0:hello")
        shown = wait_until(lambda: self.gate.config()["paddock"]["sources"].get("xds"), "the source is shown")
        self.assertEqual((shown["clusters"], shown["endpoints"]), (1, 1))
        config = self.gate.config()
        self.assertEqual(config["datacenters"]["map"], {"192.0.2.9": {"qcmp_port": 7600, "icao_code": "EDDF"}})
        self.assertEqual(config["clusters"][0]["locality"], "eu")


class RelayTest(FleetTest):
    def start(self, *flags):
        self.filters = File(self.folder, "relay.yaml", filters=SUFFIX)
        self.file = File(self.folder, "agent.yaml", clusters=[self.at(0, b"abc")])
        self.relay = self.enter(Relay(*self.filters.flags(), *flags))

    @staticmethod
    def latencies(gate):
        with urllib.request.urlopen(f"http://127.0.0.1:{gate.logged('phoenix ready')['port']}/", timeout=10) as answer:
            return json.load(answer)

    def test_what_an_agent_pushes_reaches_proxies(self):
        self.start()
        agent = self.enter(Agent(self.file, self.relay.mds_url))
        gates = [self.enter(Gate(url, flags=("--service.phoenix", "--service.phoenix.port", "0")))
                 for url in (self.relay.url, self.relay.mds_url)]
        players = [self.player(gate) for gate in gates]
        for player in players:
            await_answer(player, b"helloabc", b"0:hello")
        agent.await_ready()
        self.file.write(clusters=[self.at(1, b"abc")])
        for player in players:
            await_answer(player, b"helloabc", b"1:hello")
        node = {"127.0.0.1": {"qcmp_port": agent.qcmp_port, "icao_code": "EDDF"}}
        for gate in gates:
            wait_until(lambda gate=gate: gate.config()["datacenters"]["map"] == node, "the agent's data centre")
            wait_until(lambda gate=gate: list(self.latencies(gate)) == ["EDDF"], "Phoenix has measured it")
        agent.end()
        for gate in gates:
            wait_until(lambda gate=gate: gate.config()["datacenters"]["map"] == {}, "no data centre")
            wait_until(lambda gate=gate: self.latencies(gate) == {}, "Phoenix has forgotten it")
        self.assertEqual(players[0].ask(b"helloabc"), b"1:hello")  # endpoints stay

    def test_a_locality_belongs_to_who_brought_it(self):
        """Two agents of one address are one owner; here the second comes through a proxy that is believed."""
        self.start()
        agent = self.enter(Agent(self.file, self.relay.mds_url))
        gate = self.enter(Gate(self.relay.url))
        player = self.player(gate)
        await_answer(player, b"helloabc", b"0:hello")
        self.assertEqual(self.relay.value("xds_nacks"), 0)
        agent.end()
        other = File(self.folder, "other.yaml", clusters=[self.at(2, b"abc")])
        self.enter(Agent(other, self.relay.mds_url))
        await_answer(player, b"helloabc", b"2:hello")

    def test_a_locality_that_an_agent_removes_is_gone(self):
        self.start()
        self.file.write(clusters=[located(self.at(0, b"abc"), "a"), located(self.at(1, b"xyz"), "b")])
        self.enter(Agent(self.file, self.relay.mds_url))
        player = self.player(self.enter(Gate(self.relay.url)))
        await_answer(player, b"helloxyz", b"1:hello")
        self.file.write(clusters=[located(self.at(0, b"abc"), "a")])
        await_silence(player, b"helloxyz")
        self.assertEqual(player.ask(b"helloabc"), b"0:hello")

    def test_a_relay_that_was_killed_is_back(self):
        self.start()
        self.enter(Agent(self.file, self.relay.mds_url))
        gate = self.enter(Gate(self.relay.url))
        player = self.player(gate)
        await_answer(player, b"helloabc", b"0:hello")
        port, mds_port = self.relay.port, self.relay.mds_port
        self.relay.process.kill()
        self.relay.process.wait()
        gate.await_ready(500)
        again = self.enter(Relay(*self.filters.flags(), port=port, mds_port=mds_port))
        gate.await_ready()
        for _ in range(20):
            self.assertEqual(player.ask(b"helloabc"), b"0:hello")  # also before the agent is back
        self.file.write(clusters=[self.at(1, b"abc")])
        await_answer(player, b"helloabc", b"1:hello")
        again.end()

    def test_who_may_push_is_the_operators_choice(self):
        config = self.folder / "paddock.yaml"
        config.write_text(json.dumps({"version": "v1alpha1", "paddock": {"mds": {"agents": ["192.0.2.0/24"]}}}))
        self.start("-c", str(config))
        agent = self.enter(Agent(self.file, self.relay.mds_url))
        ended = agent.logged("control plane stream ended")
        self.assertEqual(ended["status"], 7)
        agent.await_ready(500)
        agent.end()
        other = self.folder / "new"
        other.write_text(json.dumps({"version": "v1alpha1", "paddock": {"mds": {"agents": ["127.0.0.0/8"]}}}))
        other.rename(config)
        self.relay.logged("configuration reloaded")
        self.enter(Agent(self.file, self.relay.mds_url)).await_ready()


class TlsTest(FleetTest):
    """Certificates of an authority of the test's."""

    def setUp(self):
        super().setUp()
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed, so no certificate was made")
        for name in ("ca", "other"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                         "-subj", f"/CN={name}", "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem")
        self.issue("server")
        self.issue("client")

    def openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        for path in self.folder.iterdir():
            if path.stat().st_mode & 0o777 != 0o644:  # the service is whoever it becomes when it reads them again
                path.chmod(0o644)

    def issue(self, name, authority="ca"):
        request = self.folder / "request"
        names = self.folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", encoding="ascii")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", self.folder / f"{name}.key", "-out", request)
        self.openssl("x509", "-req", "-in", request, "-days", "2", "-CA", self.folder / f"{authority}.pem", "-CAkey",
                     self.folder / f"{authority}.key", "-CAcreateserial", "-extfile", names, "-out", self.folder / f"{name}.pem")

    def pair(self, end, name):
        return f"--{end}.tls.cert-path", str(self.folder / f"{name}.pem"), f"--{end}.tls.key-path", str(self.folder / f"{name}.key")

    def start(self, *flags):
        file = File(self.folder, filters=SUFFIX, clusters=[self.at(0, b"abc")])
        self.manager = self.enter(Manager(file, *self.pair("service", "server"), *flags))
        return f"https://127.0.0.1:{self.manager.port}", f"https://localhost:{self.manager.port}"

    def gate(self, url, *flags, authority="ca"):
        return self.enter(Gate(url, flags=("--provider.tls.ca-path", str(self.folder / f"{authority}.pem"), *flags)))

    def test_a_server_is_believed_by_its_certificate(self):
        for url in self.start():
            await_answer(self.player(self.gate(url)), b"helloabc", b"0:hello")
        stranger = self.gate(url, authority="other")
        self.assertIn("certificate verify failed", stranger.logged("control plane not reached")["error"])
        stranger.await_ready(500)
        plain = self.enter(Gate(self.manager.url))
        plain.logged("control plane not reached")

    def test_a_server_may_ask_for_certificates_of_clients(self):
        url, _ = self.start("--service.tls.client-ca-path", str(self.folder / "ca.pem"))
        nobody = self.gate(url)
        await_answer(self.player(self.gate(url, *self.pair("provider", "client"))), b"helloabc", b"0:hello")
        nobody.await_ready(500)
        self.issue("client", "other")
        stranger = self.gate(url, *self.pair("provider", "client"))
        wait_until(lambda: stranger.count("control plane not reached") + stranger.count("control plane lost"), "it is refused")
        stranger.await_ready(500)

    def test_certificates_are_read_again(self):
        url, _ = self.start()
        self.issue("next", "other")
        for end in ("key", "pem"):  # in between they do not fit, which the log may say
            (self.folder / f"next.{end}").replace(self.folder / f"server.{end}")
        self.manager.logged("certificates reloaded")
        refused = self.manager.count("certificates not reloaded: the old ones stay")
        await_answer(self.player(self.gate(url, authority="other")), b"helloabc", b"0:hello")
        (self.folder / "server.key").write_text("no key", encoding="ascii")
        self.manager.logged("certificates not reloaded: the old ones stay", refused + 1)
        await_answer(self.player(self.gate(url, authority="other")), b"helloabc", b"0:hello")


    def test_an_encrypted_key_is_refused_and_no_passphrase_asked_for(self):
        locked = self.folder / "locked.key"
        self.openssl("pkcs8", "-topk8", "-in", self.folder / "server.key", "-passout", "pass:secret", "-out", locked)
        done = run("--service.xds", "--service.tls.cert-path", str(self.folder / "server.pem"), "--service.tls.key-path",
                   str(locked))
        self.assertEqual(done.returncode, 255)
        self.assertIn(f"{locked}: the key is encrypted with a passphrase", done.stderr)


class ControlTest(FleetTest):
    def control(self, process, *flags):
        return run("control", "--admin", f"127.0.0.1:{process.admin_port}", *flags).stdout

    def peers(self, process):
        return json.loads(self.control(process, "--format", "json"))["peers"]

    def test_peers_are_listed(self):
        file = File(self.folder, filters=SUFFIX, clusters=[self.at(0, b"abc")])
        manager = self.enter(Manager(file, "--service.mds", "--service.mds.port", "0"))
        gate = self.enter(Gate(manager.url))
        agent = self.enter(Agent(file, f"http://127.0.0.1:{support.closed_port()}"))
        await_answer(self.player(gate), b"helloabc", b"0:hello")
        gate.await_ready()
        types = {}
        for process, role in ((manager, "subscriber"), (gate, "server")):
            peer, = self.peers(process)
            self.assertEqual(peer["role"], role)
            types[role] = peer["types"]
            text = self.control(process).splitlines()
            self.assertTrue(text[0].startswith(role))
            self.assertRegex(text[1], "clusters +version [0-9a-f]{16}, 1 resources, 1 responses, 1 acknowledged .[0-9]+ s ago")
            self.assertEqual(text[-1], "1 peers")
        listed = json.loads((TREE / "tests/packaging/metrics.json").read_text(encoding="utf-8"))
        series = [line for process in (manager, gate) for line in process.metrics() if line.startswith("xds_")]
        for name, _, selector in (line.partition("{") for line in series):
            self.assertEqual(re.findall(r'(\w+)="', selector), listed[name])
        self.assertEqual({line.partition("{")[0] for line in series} | {"xds_nacks", "xds_errors_total"},
                         {name for name in listed if name.startswith("xds_")})
        for kind in ("clusters", "filters"):
            self.assertEqual(types["server"][kind]["version"], types["subscriber"][kind]["version"])
            self.assertEqual((types["server"][kind]["nacks"], types["server"][kind]["last_error"]), (0, None))
        wait_until(lambda: self.peers(agent)[0]["failures"], "no relay is reached")
        peer, = self.peers(agent)
        self.assertEqual((peer["role"], peer["address"], peer["failure"]), ("relay", None, "Connection refused"))
        self.assertIn("Connection refused", self.control(agent))
        self.assertGreaterEqual(agent.value('xds_errors_total.kind="client",reason="connect"'), 1)
        self.assertEqual(run("control", "--admin", f"127.0.0.1:{support.closed_port()}").returncode, 255)


    def test_what_a_stranger_answers_has_no_say_over_the_terminal(self):
        said = {"role": "server\x1b[2J", "id": "\x07", "failures": 1, "failure": "\x1b]0;",
                "types": {"\x1b": {"nacks": 1, "last_error": "\x1b"}}}
        answer = b"[]"

        class Stranger(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
            threading.Thread(target=server.serve_forever).start()
            try:
                refused = run("control", "--admin", f"127.0.0.1:{server.server_port}")
                answer = json.dumps({"peers": [said]}).encode()
                shown = run("control", "--admin", f"127.0.0.1:{server.server_port}")
            finally:
                server.shutdown()
        self.assertEqual((refused.returncode, refused.stdout), (255, ""))
        self.assertTrue(shown.stdout.startswith("server\\u{1b}[2J"))
        self.assertTrue(shown.stdout.replace("\n", "").isprintable())


class FlagsTest(unittest.TestCase):
    def test_urls_that_are_none_are_refused(self):
        for url in ("192.0.2.1:7800", "ftp://192.0.2.1", "http://", "http://a b", "http://192.0.2.1:0", "https://192.0.2.1",
                    "http://192.0.2.1/path", ",", "http://a,,http://b"):
            for flag in ("--provider.xds.endpoints", "--provider.mds.endpoints"):
                done = run("--service.qcmp", flag, url)
                self.assertEqual(done.returncode, 2, url)
                self.assertIn("https URL" if url.startswith("https") else flag, done.stderr)

    def test_a_certificate_needs_its_key(self):
        for flags in (("--service.tls.cert-path", "x"), ("--service.tls.key-path", "x"), ("--provider.tls.cert-path", "x"),
                      ("--service.tls.client-ca-path", "x")):
            self.assertEqual(run("--service.xds", *flags).returncode, 2, flags)
        done = run("--service.xds", "--service.tls.cert-path", "/nowhere", "--service.tls.key-path", "/nowhere")
        self.assertEqual(done.returncode, 255)
        self.assertIn("/nowhere", done.stderr)

    def test_a_port_that_is_taken_ends_the_start(self):
        with contextlib.closing(socket.create_server(("::", 0), family=socket.AF_INET6)) as taken:
            port = str(taken.getsockname()[1])
            done = run("--service.xds", "--service.xds.port", port)
            self.assertEqual(done.returncode, 255)
            self.assertIn(f"cannot serve xDS on port {port}", done.stderr)


if __name__ == "__main__":
    support.main()
