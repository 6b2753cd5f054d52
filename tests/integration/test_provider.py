#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`--provider.fs`: a file of game servers and filters, which may come late, change, and be bad for a while."""
import json
import os
import socket
import unittest

import support
from proxying import Administered
from serving import NOT_RELOADED, RELOADED, public_folder
from support import Server, environment, run, wait_until

FAILURES = 'quilkin_provider_task_failures_total{task="fs_watch_provider"}'


def echo(server, data, client):
    server.send(data, client)


def clusters(*servers):
    return json.dumps({"version": "v1alpha1", "clusters": [{"endpoints": [{"address": server.target} for server in servers]}]})


class Provided(Administered):
    """A proxy that takes its servers from a file."""

    def __init__(self, path, *flags):
        variables = environment() | {"QUILKIN_ADMIN_ENABLED": "true", "QUILKIN_PROVIDERS_FS": "true",
                                     "QUILKIN_PROVIDERS_FS_PATH": str(path)}
        super().__init__("--service.udp", "--service.udp.port", "0", "--service.udp.loopback", "--admin.address",
                         "127.0.0.1:0", *flags, env=variables)
        try:
            self.port = json.loads(self.await_line("udp ready"))["fields"]["port"]
            self.admin_port = json.loads(self.await_line("admin ready"))["fields"]["port"]
        except BaseException:
            self.__exit__()
            raise

    def await_events(self, message, count):
        def found():
            self.read_log()
            return self.log.count(f'"message":"{message}"'.encode()) >= count
        wait_until(found, f"'{message}' ({count})")


class ProviderTest(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(public_folder())
        self.path = self.folder / "config.yaml"

    def enterContext(self, context):  # Python 3.11 has it
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def write(self, text):
        other = self.folder / "new"
        other.write_text(text, encoding="utf-8")
        os.replace(other, self.path)

    def ask(self, service, data):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
            player.settimeout(support.ANSWER_SECONDS)
            player.connect(("127.0.0.1", service.port))
            player.send(data)
            return player.recv(65536)

    def test_a_file_that_comes_later_makes_it_ready_and_a_bad_one_leaves_it_as_it_was(self):
        with Server(echo) as server, Provided(self.path) as service:
            service.await_line("not ready before there is something in the provider's file")
            self.assertEqual((service.http("/ready")[0], service.http("/live")[0]), (500, 200))
            self.write("# nothing yet\n")
            service.await_events(RELOADED, 1)
            self.assertEqual(service.http("/ready")[0], 500)
            self.write(clusters(server))
            wait_until(lambda: service.http("/ready")[0] == 200, "ready")
            self.assertEqual(self.ask(service, b"hello"), b"hello")
            self.assertEqual(service.metrics()[FAILURES], 0)
            for count, bad in enumerate(("clusters: [", "paddock: {}\n", "# nothing\n", "filters: [{name: x}]\n"), 1):
                self.write(bad)
                service.await_events(NOT_RELOADED, count)
                self.assertEqual(service.metrics()[FAILURES], count)
                self.assertEqual(service.http("/ready")[0], 200)
                self.assertEqual(self.ask(service, b"again"), b"again")
            self.path.unlink()
            os.kill(service.pid, 1)
            service.await_events(NOT_RELOADED, 5)
            self.assertEqual(service.metrics()[FAILURES], 5)
            self.assertEqual(self.ask(service, b"still"), b"still")
            self.write(json.dumps({"filters": [{"name": "quilkin.filters.drop.v1alpha1.Drop"}]}))
            wait_until(lambda: json.loads(service.http("/config")[1])["clusters"] == [], "the file is the whole truth")
            self.assertEqual(service.end(), 0)

    def test_a_server_may_be_given_by_its_name(self):
        with Server(echo) as server, Provided(self.path) as service:
            self.write(json.dumps({"clusters": [{"endpoints": [{"address": f"localhost:{server.port}"}]}]}))
            wait_until(lambda: service.http("/ready")[0] == 200, "ready")
            if not support.has_ipv6():  # otherwise ::1 comes first
                self.assertEqual(self.ask(service, b"hello"), b"hello")
            shown = json.loads(service.http("/config")[1])["clusters"][0]["endpoints"][0]["address"]
            self.assertEqual(shown, f"localhost:{server.port}")
            self.assertEqual(service.end(), 0)

    def test_expressions_are_compiled_while_it_runs(self):
        capture = {"name": "quilkin.filters.capture.v1alpha1.Capture", "config": {"regex": {"pattern": "^[a-z]+$"}}}
        with Server(echo) as server, Provided(self.path) as service:
            self.write(json.dumps(json.loads(clusters(server)) | {"filters": [capture]}))
            wait_until(lambda: service.http("/ready")[0] == 200, "ready")
            self.assertEqual(self.ask(service, b"hello"), b"hello")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
                player.sendto(b"HELLO", ("127.0.0.1", service.port))
            series = 'quilkin_packets_dropped_total{event="read",source="filter::capture::no value captured"}'
            wait_until(lambda: service.metrics()[series] == 1, "a datagram without a match is dropped")
            self.assertEqual(service.end(), 0)

    def test_the_file_wins_over_that_of_the_configuration_and_flags_over_both(self):
        config = self.folder / "quilkin.yaml"
        config.write_text("id: of-c\nicao_code: EDDF\nclusters: [{endpoints: [{address: '10.0.0.1:1'}]}, "
                          "{locality: a, endpoints: [{address: '10.0.0.2:2'}]}]\n", encoding="utf-8")
        self.write("id: of-fs\nicao_code: EDDM\nqcmp_port: 7\nclusters: [{endpoints: [{address: '10.0.0.3:3'}]}]\n")
        with Provided(self.path, "-c", str(config), "--locality.icao", "EDDH") as service:
            shown = json.loads(service.http("/config")[1])
            self.assertEqual((shown["id"], shown["icao_code"], shown["qcmp_port"]), ("of-fs", "EDDH", 7))
            self.assertEqual({(c["locality"], c["endpoints"][0]["address"]) for c in shown["clusters"]},
                             {(None, "10.0.0.3:3"), ("a", "10.0.0.2:2")})
            self.assertEqual(set(shown["paddock"]["sources"]), {"config", "fs"})
            service.await_line("another source tells this locality as well, and wins")
            self.assertEqual(service.end(), 0)

    def test_a_bad_file_ends_the_start_and_bad_flags_are_errors_of_usage(self):
        self.write("clusters: {}\n")
        done = run("--service.udp", "--provider.fs", "--provider.fs.path", str(self.path))
        self.assertEqual(done.returncode, 255)
        self.assertIn(f"{self.path}:1:11: clusters: expected a list of clusters", done.stderr)
        done = run("--service.udp", "--provider.fs.path", str(self.path))
        self.assertEqual((done.returncode, "needs --provider.fs" in done.stderr), (2, True))
        self.assertEqual(run("--provider.fs").returncode, 255)
        done = run("--service.udp", "--provider.fs=x")
        self.assertEqual(done.returncode, 2)

    def test_check_reads_it_and_says_where_a_datagram_goes(self):
        name = "quilkin.filters.{}.v1alpha1.{}".format
        self.write(json.dumps({
            "filters": [{"name": name("capture", "Capture"), "config": {"suffix": {"size": 3, "remove": True}}},
                        {"name": name("firewall", "Firewall"), "config": {
                            "on_read": [{"action": "ALLOW", "sources": ["192.0.2.0/24"], "ports": ["1-65535"]}], "on_write": []}},
                        {"name": name("token_router", "TokenRouter")}],
            "clusters": [{"endpoints": [{"address": "203.0.113.7:7000", "metadata": {"quilkin.dev": {"tokens": ["YWJj"]}}},
                                        {"address": "game.example:7000"}]}]}))
        check = ("check", "--provider.fs.path", str(self.path), "--datagram")
        done = run(*check, b"helloabc".hex())
        self.assertEqual((done.returncode, done.stdout.splitlines()[1:]), (0, [
            f"{self.path}: ok", "1 endpoints are given by name, and not looked at", f"1. {name('capture', 'Capture')}: passed",
            f"2. {name('firewall', 'Firewall')}: passed", f"3. {name('token_router', 'TokenRouter')}: passed",
            "sent to 203.0.113.7:7000, 5 bytes"]))
        done = run(*check, b"helloxyz".hex())
        self.assertEqual(done.stdout.splitlines()[-2:], [f"3. {name('token_router', 'TokenRouter')}: dropped",
                                                         "dropped: filter::token_router::no endpoint match"])
        done = run(*check, b"helloabc".hex(), "--from", "[2001:db8::1]:7")
        self.assertEqual(done.stdout.splitlines()[-2:], [f"2. {name('firewall', 'Firewall')}: dropped",
                                                         "dropped: filter::firewall::denied"])
        for bad in ("0", "0g", "00" * 65508):
            self.assertEqual(run(*check, bad).returncode, 2)
        self.assertEqual(run(*check, "00", "--from", "localhost:7").returncode, 2)
        self.write("filters: [{name: x}]\n")
        done = run(*check[:-1])
        self.assertEqual((done.returncode, done.stdout),
                         (2, f"{self.path}:1:18: filters[0].name: expected the id of a filter, found 'x'\n"))
        self.path.unlink()
        done = run(*check[:-1])
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (2, f"{self.path}: there is no such file"))


if __name__ == "__main__":
    support.main()
