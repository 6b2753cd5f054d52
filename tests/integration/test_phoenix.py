#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Phoenix: the latency to data centres, as clients read it over HTTP."""
import contextlib
import errno
import json
import os
import pathlib
import resource
import socket
import tempfile
import threading
import time
import unittest

import support
from faults import FAULTY, Faults, HOUR_NS
from phoenixing import ERRORS, DataCentre, Phoenix, Table, code, unfinished
from proxying import many_descriptors, own_hosts, value
from relaying import Relay
from serving import free_ports
from support import PATIENT, Responder, Server, run, wait_until

MATRIX = pathlib.Path(__file__).resolve().parent.parent / "data/latency/aws33.tsv"
NODES = 24
TRIES = 4


class PhoenixTest(unittest.TestCase):
    def centres(self, *arguments):
        return [self.enterContext(DataCentre(*argument)) for argument in arguments]

    def phoenix(self, nodes, phoenix=None, *flags, **options):
        return self.enterContext(Phoenix([getattr(node, "node", node) for node in nodes], phoenix, *flags, **options))

    def best_of_several(self, limit, attempt):
        """A machine may have other things to do: the best counts."""
        taken = []
        while len(taken) < TRIES:
            taken.append(attempt())
            if taken[-1] <= limit:
                return
        self.fail(f"never within {limit} s: {taken}")


class TableTest(PhoenixTest):
    def test_a_code_has_its_least_round_trip(self):
        centres = self.centres(("EFHK", 40), ("EFHK", 10), ("KJFK", 80))
        phoenix = self.phoenix(centres)
        table = phoenix.await_table(lambda table: len(table) == 2 and table["EFHK"] < 30, "both codes are there")
        self.assertGreaterEqual(table["EFHK"], 10)
        self.assertGreaterEqual(table["KJFK"], 80)
        status, headers, body = phoenix.ask("/network-coordinates")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        coordinates = json.loads(body)
        self.assertEqual(list(coordinates), ["EFHK", "KJFK"])
        for both in coordinates.values():
            self.assertEqual(list(both), ["incoming", "outgoing"])
            self.assertIn(both["outgoing"] - both["incoming"], (0, 1))
        self.assertEqual(phoenix.end(), 0)

    def test_without_data_centres_it_is_empty(self):
        phoenix = self.phoenix([])
        self.assertEqual(json.loads(phoenix.ask()[2]), {})
        wait_until(lambda: phoenix.http("/ready")[0] == 200, "it is ready")

    def test_a_silent_node_delays_no_table(self):
        """The first table is there within 6 s of the start, beside 40 nodes that are dead."""
        dead = [self.enterContext(Server()) for _ in range(40)]
        alive, = self.centres(("EFHK", 5))
        nodes = [{"address": "127.0.0.1", "qcmp_port": server.port, "icao_code": "DEAD"} for server in dead] + [alive.node]

        def attempt():
            with Phoenix(nodes, {"interval": {"min": "1s", "max": "60s"}}) as phoenix:
                self.assertEqual(list(phoenix.await_table(lambda table: table, "a table")), ["EFHK"])
                return time.monotonic() - phoenix.ready_at
        self.best_of_several(6, attempt)

    def test_many_silent_nodes_take_no_room_from_others(self):
        silent = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("0.0.0.0", 0))
        nodes = [{"address": f"127.1.{i // 250}.{i % 250 + 1}", "qcmp_port": silent.getsockname()[1], "icao_code": "DEAD"}
                 for i in range(1500)]
        phoenix = self.phoenix([*nodes, *self.centres(("EFHK", 5))])
        metrics = wait_until(lambda: (found := phoenix.metrics())[ERRORS("DEAD")] > 0 and found, "the first time-outs")
        self.assertEqual(value(metrics, "paddock_phoenix_other_total", kind="unsent"), 0)

    def test_nodes_come_move_and_go_while_it_runs(self):
        first, second, third = self.centres(("EFHK", 5), ("KJFK", 5), ("KJFK", 40))
        phoenix = self.phoenix([first])
        phoenix.await_table(lambda table: "EFHK" in table, "the first one")

        def change(nodes, holds):
            phoenix.document["datacenters"] = nodes
            phoenix.write()
            began = time.monotonic()
            phoenix.await_table(holds, "the change")
            return time.monotonic() - began

        def come_and_move():
            came = change([first.node, second.node], lambda table: "KJFK" in table)
            moved = change([first.node, third.node], lambda table: table.get("KJFK", 0) >= 40)
            gone = change([first.node], lambda table: list(table) == ["EFHK"])
            return max(came, moved, gone + 12 - 5)
        self.best_of_several(12, come_and_move)

    def test_the_healthy_node_stays_when_its_address_gets_another_port(self):
        """The reference deletes the healthy one, by its address."""
        centre, = self.centres(("EFHK", 5))
        dead = self.enterContext(Server())
        phoenix = self.phoenix([{"address": "127.0.0.1", "qcmp_port": dead.port, "icao_code": "EFHK"}])
        wait_until(lambda: phoenix.metrics()[ERRORS("EFHK")] >= 2, "it is dead")
        phoenix.reload(datacenters=[centre.node])
        phoenix.await_table(lambda table: "EFHK" in table, "the node at its new port")
        before = value(phoenix.metrics(), "paddock_phoenix_pings_total", result="answered")
        wait_until(lambda: value(phoenix.metrics(), "paddock_phoenix_pings_total", result="answered") > before + 15,
                   "it goes on", 60)
        self.assertIn("EFHK", phoenix.table())

    def test_a_node_that_is_dead_leaves_and_returns_by_itself(self):
        centre, other = self.centres(("EFHK", 5), ("KJFK", 5))
        phoenix = self.phoenix([centre, other])
        phoenix.await_table(lambda table: len(table) == 2, "both")
        centre.is_silent = True
        phoenix.await_table(lambda table: list(table) == ["KJFK"], "the one that answers")
        event = phoenix.await_event("a data centre does not answer")
        self.assertEqual((event["fields"]["icao_code"], event["fields"]["port"]), ("EFHK", centre.port))
        centre.is_silent = False
        phoenix.await_table(lambda table: len(table) == 2, "both again")
        phoenix.await_event("a data centre answers again")

    def test_a_node_may_have_a_name(self):
        centre, = self.centres(("EFHK", 5))
        phoenix = self.phoenix([centre.node | {"address": "localhost"},
                                {"address": "name.invalid", "icao_code": "DEAD"},
                                {"address": "224.0.0.1", "icao_code": "DEAD"}])
        phoenix.await_table(lambda table: list(table) == ["EFHK"], "the one with an address")
        phoenix.await_event("a data centre has no address of a host")

    def test_a_silent_address_of_a_name_is_left_after_one_ping(self):
        hosts = self.enterContext(own_hosts("127.0.0.2 node.test\n127.0.0.3 node.test\n127.0.0.1 node.test\n"))
        centre, = self.centres(("EFHK", 5))
        silent = [self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for number, taker in enumerate(silent):
            taker.bind((f"127.0.0.{2 + number}", centre.port))
            taker.setblocking(False)
        phoenix = self.phoenix([centre.node | {"address": "node.test"}], preexec_fn=hosts)
        phoenix.await_table(lambda table: list(table) == ["EFHK"], "the address that answers")
        for taker in silent:
            self.assertTrue(taker.recv(100))
            with self.assertRaises(BlockingIOError):
                taker.recv(100)

    def test_data_centres_come_in_the_form_of_the_reference_too(self):
        centre, = self.centres(("EFHK", 5))
        phoenix = self.phoenix([])
        phoenix.reload(datacenters={"map": {"127.0.0.1": {"qcmp_port": centre.port, "icao_code": "EFHK"}}})
        phoenix.await_table(lambda table: "EFHK" in table, "the node of the map")
        phoenix.reload(datacenters={"map": {"localhost": {"qcmp_port": centre.port, "icao_code": "KJFK"}}})
        phoenix.await_table(lambda table: list(table) == ["KJFK"], "the node by its name")

    def test_a_level_shift_is_followed(self):
        centre, = self.centres(("EFHK", 5))
        phoenix = self.phoenix([centre])
        phoenix.await_table(lambda table: table and table["EFHK"] < 30, "the short way")
        centre.delay_ms = 100
        phoenix.await_table(lambda table: table["EFHK"] > 90, "the long way")
        centre.delay_ms = 5
        phoenix.await_table(lambda table: table["EFHK"] < 30, "the short way again")

    def test_the_interval_grows_while_nothing_changes(self):
        centre, = self.centres(("EFHK", 0))
        phoenix = self.phoenix([centre], {"interval": {"min": "100ms", "max": "700ms"}})
        wait_until(lambda: value(phoenix.metrics(), "paddock_phoenix_interval_seconds") == 0.7, "the most", 60)
        centre.delay_ms = 200
        wait_until(lambda: value(phoenix.metrics(), "paddock_phoenix_interval_seconds") < 0.7, "less again", 60)

    def test_a_file_that_cannot_be_leaves_all_as_it_is(self):
        centre, = self.centres(("EFHK", 5))
        phoenix = self.phoenix([centre])
        phoenix.await_table(lambda table: table, "a table")
        phoenix.document["paddock"]["phoenix"] = phoenix.own | {"interval": {"min": "10s", "max": "1s"}}
        phoenix.document["datacenters"] = []
        phoenix.write()
        event = phoenix.await_event("configuration not reloaded: the running one stays")
        self.assertIn("paddock.phoenix.interval", json.dumps(event))
        self.assertIn("EFHK", phoenix.table())

    def test_the_port_changes_while_it_runs(self):
        centre, = self.centres(("EFHK", 5))
        phoenix = self.phoenix([centre])
        phoenix.await_table(lambda table: table, "a table")
        before, (port,) = phoenix.port, free_ports(1)
        phoenix.reload(paddock={"workers": 1, "phoenix": phoenix.own | {"port": port}})
        phoenix.port = phoenix.await_event("phoenix port changed")["fields"]["port"]
        self.assertEqual(phoenix.port, port)
        self.assertIn("EFHK", phoenix.table())
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", before))
        with socket.socket() as taker:
            taker.bind(("127.0.0.1", 0))
            taker.listen()
            phoenix.document["paddock"]["phoenix"]["port"] = taker.getsockname()[1]
            phoenix.write()
            phoenix.await_event("configuration not reloaded: the running one stays")
        self.assertIn("EFHK", phoenix.table())
        self.assertEqual(json.loads(phoenix.http("/config")[1])["paddock"]["phoenix"]["port"], port)


class ClockTest(PhoenixTest):
    def test_clocks_of_nodes_change_nothing(self):
        """A node far away whose clock flatters it, and one nearby whose clock does the opposite."""
        offsets = [0, 15 * 10**6, -15 * 10**6, HOUR_NS, -HOUR_NS, 2**62, -2**62]
        centres = self.centres(*((code(i), 10 + 30 * i, offset) for i, offset in enumerate(offsets)))
        phoenix = self.phoenix(centres)
        table = phoenix.await_table(lambda table: list(table) == [code(i) for i in range(len(offsets))], "the true order")
        for i in range(len(offsets)):
            self.assertGreaterEqual(table[code(i)], 10 + 30 * i)

    def test_the_own_clock_changes_nothing(self):
        centres = self.centres(*((code(i), 10 + 40 * i) for i in range(4)))
        wanted = [code(i) for i in range(4)]
        with Faults() as faults:
            phoenix = self.phoenix(centres, program=FAULTY, env=faults.environment())
            phoenix.await_table(lambda table: list(table) == wanted, "the true order")
            for jump in (HOUR_NS, -2 * HOUR_NS, HOUR_NS // 60, 15 * 10**6):
                faults.jump(jump)
                before = value(phoenix.metrics(), "paddock_phoenix_pings_total", result="answered")
                wait_until(lambda: value(phoenix.metrics(), "paddock_phoenix_pings_total", result="answered") > before + 8,
                           "pings since the jump", 60)
                table = phoenix.table()
                self.assertEqual(list(table), wanted)
                for i, rtt_ms in enumerate(table.values()):
                    self.assertGreaterEqual(rtt_ms, 9.9 + 40 * i)
                    self.assertLess(rtt_ms, 1000)

    def test_a_hold_time_that_cannot_be_is_an_error_and_no_sample(self):
        liars = self.centres(("LIAR", 5, 0, HOUR_NS), ("LIAR", 5, 0, -1))
        honest, = self.centres(("EFHK", 20))
        phoenix = self.phoenix([*liars, honest])
        phoenix.await_table(lambda table: list(table) == ["EFHK"], "the honest one")
        metrics = wait_until(lambda: (found := phoenix.metrics())[ERRORS("LIAR")] >= 4 and found, "errors")
        self.assertEqual(value(metrics, "quilkin_phoenix_measurement_seconds_count", icao="LIAR"), 0)
        self.assertGreaterEqual(value(metrics, "paddock_phoenix_pings_total", icao="LIAR", result="implausible"), 4)
        self.assertEqual(list(phoenix.table()), ["EFHK"])


class MetricsTest(PhoenixTest):
    def test_names_and_labels_are_those_of_the_reference(self):
        centres = self.centres(("EFHK", 5), ("EFHK", 9))
        dead = self.enterContext(Server())
        phoenix = self.phoenix([*centres, {"address": "127.0.0.1", "qcmp_port": dead.port, "icao_code": "DEAD"}])
        phoenix.await_table(lambda table: table, "a table")

        def series():
            found = phoenix.metrics()
            return {name: found[name] for name in found if name.startswith("quilkin_phoenix_")}
        first = wait_until(lambda: (found := series())[ERRORS("DEAD")] > 0 and found, "both are known")
        bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
        wanted = set()
        for icao in ("EFHK", "DEAD"):
            wanted |= {ERRORS(icao), f'quilkin_phoenix_distance{{icao="{icao}"}}',
                       f'quilkin_phoenix_distance_error_estimate{{icao="{icao}"}}',
                       *(f'quilkin_phoenix_coordinates{{icao="{icao}",axis="{axis}"}}' for axis in "xy")}
            for direction in ("incoming", "outgoing"):
                labels = f'icao="{icao}",direction="{direction}"'
                wanted |= {f'quilkin_phoenix_measurement_seconds_{part}{{{labels}}}' for part in ("sum", "count")}
                wanted |= {f'quilkin_phoenix_measurement_seconds_bucket{{{labels},le="{bound}"}}' for bound in bounds}
        self.assertEqual(set(first), wanted)
        self.assertEqual(set(series()), wanted)
        x, y = (first[f'quilkin_phoenix_coordinates{{icao="EFHK",axis="{axis}"}}'] for axis in "xy")
        self.assertEqual(x + y, first['quilkin_phoenix_distance{icao="EFHK"}'])
        self.assertGreaterEqual(x + y, 5e6)
        self.assertNotEqual(*[first['quilkin_phoenix_distance{icao="DEAD"}']] * 2)  # it is not a number

    def test_every_ping_is_counted_once(self):
        centres = self.centres(("EFHK", 5), ("KJFK", 9))
        phoenix = self.phoenix(centres)
        wait_until(lambda: value(phoenix.metrics(), "paddock_phoenix_pings_total") >= 20, "pings", 60)
        for centre in centres:
            answered = value(phoenix.metrics(), "paddock_phoenix_pings_total", port=centre.port, result="answered")
            self.assertLessEqual(answered, len(centre.arrivals))
        self.assertEqual(phoenix.end(), 0)
        last = support.events(phoenix.log.decode())[-1]["fields"]
        self.assertEqual((last["message"], last["pings"]), ("phoenix stopped", sum(len(c.arrivals) for c in centres)))


class FaultTest(PhoenixTest):
    """What the system may refuse while it runs."""

    def setUp(self):
        self.faults = self.enterContext(Faults())
        self.centre, = self.centres(("EFHK", 5))
        self.service = self.phoenix([self.centre], program=FAULTY, env=self.faults.environment())
        self.service.await_table(lambda table: table, "a table")

    def test_a_ping_that_has_no_room_is_no_loss(self):
        self.faults.inject("sendto", errno.ENOBUFS)
        wait_until(lambda: self.service.metrics()['paddock_phoenix_other_total{kind="unsent"}'] >= 20, "pings are tried again")
        self.assertIn("EFHK", self.service.table())
        self.assertEqual(self.service.metrics()[ERRORS("EFHK")], 0)
        before = len(self.centre.arrivals)
        self.faults.lift()
        wait_until(lambda: len(self.centre.arrivals) > before, "pings are sent again")

    def test_a_node_out_of_reach_is_silent_and_returns(self):
        self.faults.inject("sendto", errno.ENETUNREACH)
        self.service.await_table(lambda table: not table, "nothing")
        self.assertGreaterEqual(self.service.metrics()[ERRORS("EFHK")], 5)
        self.faults.lift()
        self.service.await_table(lambda table: table, "a table again")

    def test_without_memory_the_table_stays_as_it_was(self):
        before = self.service.table()
        self.faults.inject("memory", errno.ENOMEM)
        self.centre.delay_ms = 100
        wait_until(lambda: self.faults["memory"].done > 0, "there is no memory", 60)
        self.faults.lift()
        self.assertLessEqual(list(self.service.table()), list(before))
        self.centre.delay_ms = 200
        self.service.await_table(lambda table: table["EFHK"] > 190, "the next change")

    def test_a_server_without_descriptors_goes_on_when_it_has_some(self):
        self.faults.inject("accept4", errno.EMFILE)
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.service.port), support.ANSWER_SECONDS)) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            wait_until(lambda: self.faults["accept4"].done > 0, "a failure")
            self.faults.lift()
            self.assertTrue(peer.recv(64).startswith(b"HTTP/1.1 200"))


class HttpTest(PhoenixTest):
    """What strangers may do."""

    def setUp(self):
        self.centre, = self.centres(("EFHK", 5))

    def started(self, **settings):
        phoenix = self.phoenix([self.centre], {"interval": {"min": "60s", "max": "60s"}, **settings})
        phoenix.await_table(lambda table: table, "a table")
        return phoenix

    def test_other_paths_and_methods_are_refused(self):
        phoenix = self.started()
        self.assertEqual(phoenix.ask("/other")[0], 404)
        status, headers, _ = phoenix.ask(method="POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))

    def test_head_is_get_without_the_body(self):
        phoenix = self.started()
        for path in ("/", "/network-coordinates"):
            got, headed = phoenix.ask(path), phoenix.ask(path, "HEAD")
            self.assertEqual((headed[0], headed[1]["ETag"], headed[1]["Content-Length"], headed[2]),
                             (200, got[1]["ETag"], str(len(got[2])), ""))

    def test_what_is_known_is_not_sent_again(self):
        phoenix = self.started()
        tag = phoenix.ask()[1]["ETag"]
        self.assertEqual(phoenix.ask(If_None_Match=tag)[::2], (304, ""))
        self.assertEqual(phoenix.ask(If_None_Match='"other"')[0], 200)
        self.assertNotEqual(phoenix.ask("/network-coordinates")[1]["ETag"], tag)

    def test_web_pages_may_read_it_where_that_is_asked_for(self):
        phoenix = self.started()
        asking = {"Origin": "https://game.example", "Access-Control-Request-Method": "GET"}
        self.assertNotIn("Access-Control-Allow-Origin", phoenix.ask(**asking)[1])
        self.assertEqual(phoenix.ask(method="OPTIONS", **asking)[0], 405)
        phoenix.reload(paddock={"workers": 1, "phoenix": phoenix.own | {"cors": True}})
        for path in ("/", "/network-coordinates"):
            self.assertEqual(phoenix.ask(path)[1]["Access-Control-Allow-Origin"], "*")
            status, headers, body = phoenix.ask(path, "OPTIONS", **asking)
            self.assertEqual((status, headers["Access-Control-Allow-Origin"], headers["Content-Length"], body),
                             (204, "*", None, ""))
        for path, method, expected in (("/", "OPTIONS", 405), ("/", "POST", 405), ("/nothing", "GET", 404)):
            status, headers, _ = phoenix.ask(path, method)
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (expected, "*"))

    def test_an_address_has_so_many_requests_a_second(self):
        phoenix = self.started(loopback=True)
        phoenix.reload(paddock={"workers": 1, "phoenix": phoenix.own | {"requests_per_second": 1, "cors": True}})
        answers = [phoenix.ask() for _ in range(12)]
        refused = [answer for answer in answers if answer[0] == 429]
        self.assertGreater(len(refused), 0)
        self.assertEqual((refused[0][1]["Retry-After"], refused[0][1]["Access-Control-Allow-Origin"]), ("1", "*"))
        self.assertGreaterEqual(phoenix.metrics()['paddock_phoenix_requests_total{result="refused"}'], len(refused))
        phoenix.reload(paddock={"workers": 1, "phoenix": phoenix.own | {"requests_per_second": 1000}})
        wait_until(lambda: {phoenix.ask()[0] for _ in range(20)} == {200}, "there are enough again")

    def test_this_host_is_not_limited(self):
        phoenix = self.started(requests_per_second=1)
        self.assertEqual({phoenix.ask()[0] for _ in range(100)}, {200})

    def test_unfinished_requests_cost_little_and_delay_nobody(self):
        many_descriptors()
        phoenix = self.started()

        def resident():
            return phoenix.metrics()["process_resident_memory_bytes"]
        before = resident()
        peers = unfinished(phoenix.port, support.scaled(1000))
        with contextlib.ExitStack() as stack:
            for peer in peers:
                stack.enter_context(contextlib.closing(peer))
            for _ in range(50):
                self.assertEqual(phoenix.ask()[0], 200)
            if not support.SANITIZE:
                self.assertLess(resident() - before, 40 << 20)
            for peer in peers:  # within 45 s; here within the time that an answer may take
                peer.settimeout(45)
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(peer.recv(1), b"")

    def test_unfinished_requests_delay_nobody_where_descriptors_are_few(self):
        phoenix = self.phoenix([self.centre], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
        with contextlib.ExitStack() as stack:
            for peer in unfinished(phoenix.port, 250):
                stack.enter_context(contextlib.closing(peer))
            self.assertEqual(phoenix.ask()[0], 200)
            self.assertLess(phoenix.metrics()["process_open_fds"], 120)

    def test_a_request_that_comes_byte_by_byte_ends_at_its_deadline(self):
        phoenix = self.started()
        began = time.monotonic()
        with contextlib.closing(socket.create_connection(("127.0.0.1", phoenix.port), 0.2)) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n")
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - began < 45:
                    peer.sendall(b"X")
                    with contextlib.suppress(TimeoutError):
                        if peer.recv(1) == b"":
                            break
        self.assertLess(time.monotonic() - began, 45)
        self.assertEqual(phoenix.ask()[0], 200)

    def test_garbage_is_answered_or_dropped(self):
        phoenix = self.started()
        for garbage in (b"\x00" * 100, b"\xff" * 20000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(3000) + b"\r\n\r\n",
                        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000 + b"\r\n", b"GET /%00 HTTP/1.1\r\n\r\n", b"\r\n" * 8000):
            with contextlib.closing(socket.create_connection(("127.0.0.1", phoenix.port), support.ANSWER_SECONDS)) as peer:
                with contextlib.suppress(ConnectionError):
                    peer.sendall(garbage)
                    peer.shutdown(socket.SHUT_WR)
                    answer = peer.recv(65536)
                    self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 505"),
                                    answer)
        self.assertEqual(phoenix.ask()[0], 200)
        self.assertEqual(phoenix.end(), 0)


class SitesTest(PhoenixTest):
    """`paddock sites`."""

    def proxy(self, delay_ms, table, **options):
        """A proxy so far away that tells this; a text, or milliseconds by code."""
        body = table if isinstance(table, str) else json.dumps({name: ms * 10**6 for name, ms in table.items()})
        while True:  # a number that is free for UDP may be taken for TCP
            centre, = self.centres(("HOME", delay_ms))
            with contextlib.suppress(OSError):
                self.enterContext(Table(centre.port, body, **options))
                return f"127.0.0.1:{centre.port}"

    def sites(self, *arguments, status=0):
        done = run("sites", *PATIENT, "-a", "3", *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def file(self, text):
        path = self.enterContext(tempfile.NamedTemporaryFile("w"))
        path.write(text)
        path.flush()
        return path.name

    def test_a_proxy_and_what_is_behind_it(self):
        proxy = self.proxy(20, {"EFHK": 30, "KJFK": 5.5, "WSSS": 0})
        found = json.loads(self.sites("--format", "json", f"http://{proxy}/").stdout)
        self.assertEqual([row["icao_code"] for row in found["sites"]], ["WSSS", "KJFK", "EFHK"])
        for row in found["sites"]:
            self.assertEqual(row["proxy"], proxy)
            self.assertGreaterEqual(row["to_proxy_ns"], 20 * 10**6)
            self.assertEqual(row["total_ns"], row["to_proxy_ns"] + row["to_site_ns"])
        self.assertEqual([row["to_site_ns"] for row in found["sites"]], [0, 5500000, 30000000])
        self.assertEqual(found["proxies"], [{"proxy": proxy, "error": None}])
        lines = self.sites(f"HTTP://{proxy}").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["SITE", "TO", "PROXY", "TO", "SITE", "TOTAL", "PROXY"])
        self.assertEqual([line.split()[0] for line in lines[1:]], ["WSSS", "KJFK", "EFHK"])
        self.assertIn(proxy, lines[1])

    def test_the_best_of_several_proxies_counts(self):
        near, far = self.proxy(5, {"EFHK": 300, "KJFK": 10}), self.proxy(100, {"EFHK": 5, "KJFK": 5})
        path = self.file(f"# proxies\n\nhttp://{near}/  # here\n  {far}\n")
        found = json.loads(self.sites("--format", "json", path).stdout)
        self.assertEqual([(row["icao_code"], row["proxy"]) for row in found["sites"]], [("KJFK", near), ("EFHK", far)])

    def test_a_proxy_that_is_slow_delays_no_other(self):
        """Each answers when both are asked."""
        both = threading.Barrier(2, timeout=support.ANSWER_SECONDS)
        proxies = [self.proxy(0, {name: 1}, before=both.wait) for name in ("EFHK", "KJFK")]
        found = json.loads(self.sites("--format", "json", self.file("\n".join(proxies))).stdout)
        self.assertEqual({row["icao_code"] for row in found["sites"]}, {"EFHK", "KJFK"})

    def test_proxies_that_do_not_answer_are_named(self):
        fine = self.proxy(5, {"EFHK": 3})
        silent = f"127.0.0.1:{self.enterContext(Server()).port}"
        closed, = self.centres(("HOME", 0))
        wrong = [self.proxy(0, "[1]"), self.proxy(0, "no JSON"), self.proxy(0, "{}", status="500 No"),
                 self.proxy(0, json.dumps({code(i): 1 for i in range(5000)}))]
        hostile = self.proxy(0, '{"EFHK": -1, "KJFK": 1e300, "LFPG": 18446744073709551616, "toolong": 1, "\\u001b[2J": 1, "WSSS": "1", "AAAA": 1}')
        path = self.file("\n".join([fine, silent, f"127.0.0.1:{closed.port}", *wrong, hostile, ""]))
        done = run("sites", "-t", "300ms", "--format", "json", path)
        self.assertEqual(done.returncode, 1, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual({row["icao_code"] for row in found["sites"]}, {"EFHK", "AAAA"})
        errors = [proxy["error"] for proxy in found["proxies"]]
        self.assertEqual(errors, [None, "does not answer pings", "does not answer over HTTP",
                                  *["tells no latencies over HTTP"] * 4, None])
        self.assertEqual(len(done.stderr.splitlines()), 6)
        self.assertEqual(run("sites", "-t", "300ms", f"http://{silent}").returncode, 255)

    def test_what_cannot_be_a_proxy_is_wrong_usage(self):
        for argument, word in (("http://127.0.0.1:7600/network-coordinates", "without a path"), ("http://", "host"),
                               ("http://127.0.0.1:0", "port"), ("/nowhere", "No such file"), ("http://a\x1bb", "characters"),
                               (self.file("127.0.0.1\n[::1\n"), ":2: "), (self.file("# none\n"), "no proxy"),
                               (self.file("x" * 600 + "\n"), ":1: ")):
            with self.subTest(argument):
                self.assertIn(word, self.sites(argument, status=2).stderr)
        self.assertIn("a URL or a file", self.sites(status=2).stderr)

    def test_the_service_and_the_command_are_one_picture(self):
        centres = self.centres(("EFHK", 10), ("KJFK", 60))
        port, = free_ports(1)
        phoenix = self.phoenix(centres, {"port": port}, "--service.qcmp", "--service.qcmp.port", str(port))
        phoenix.await_table(lambda table: len(table) == 2, "both")
        done = self.sites(f"http://127.0.0.1:{port}")
        self.assertEqual([line.split()[0] for line in done.stdout.splitlines()[1:]], ["EFHK", "KJFK"])


class ReplayTest(PhoenixTest):
    """Latencies that were measured between regions of a cloud, through relays."""

    def replay(self, source, **flags):
        rows = [[float(cell) for cell in line.split("\t")] for line in MATRIX.read_text(encoding="ascii").splitlines()]
        self.true_ms = {code(i): rows[source][i] for i in range(NODES + 1) if i != source}
        responder = self.enterContext(Responder("--service.qcmp.guard", "false"))
        nodes = []
        for name, rtt_ms in self.true_ms.items():
            half = f"{round(rtt_ms * 500)}us"
            relay = self.enterContext(Relay(f"127.0.0.1:{responder.port}", "--delay", half,
                                            *(word for key, text in flags.items() for word in (f"--{key}", text))))
            nodes.append({"address": "127.0.0.1", "qcmp_port": relay.port, "icao_code": name})
        return self.phoenix(nodes)

    def is_ranked(self, table, slack_ms):
        """Whether those are in order of which the difference is clear."""
        names = list(table)
        return set(names) == set(self.true_ms) and all(
            self.true_ms[names[j]] > self.true_ms[names[i]] - max(slack_ms, 0.05 * self.true_ms[names[i]])
            for i in range(len(names)) for j in range(i + 1, len(names)))

    def test_the_ranking_is_that_of_the_matrix(self):
        phoenix = self.replay(10)
        table = phoenix.await_table(lambda table: self.is_ranked(table, 5), "the order of the matrix")
        for name, rtt_ms in table.items():
            self.assertGreaterEqual(rtt_ms, self.true_ms[name] - 0.01)

    def test_the_ranking_is_that_of_the_matrix_with_jitter_and_loss(self):
        phoenix = self.replay(20, jitter="3ms", loss="0.1", duplicate="0.05")
        phoenix.await_table(lambda table: self.is_ranked(table, 12), "the order of the matrix")
        self.assertGreater(phoenix.metrics()['paddock_phoenix_other_total{kind="duplicate"}'], 0)


if __name__ == "__main__":
    unittest.main()
