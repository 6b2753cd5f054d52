#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers of the control plane that the test plays, frame by frame: what each may say, and what a hostile one can do."""
import contextlib
import json
import socket
import struct
import threading
import time
import unittest

import http2
import support
from fleet import SUFFIX, File, Gate, Manager, Relay, await_answer, located
from http2 import (ADS, CHAIN, CLUSTER, CONTINUATION, DATACENTER, END_HEADERS, HEADERS, PING, PUSH, RESET, SUBSCRIBE, Listener,
                   connect, endpoint, request, resource, response)
from proxying import Player, Servers, cluster
from serving import public_folder
from support import wait_until


def which(index, data):
    return [b"%d:" % index + data]


class HostileTest(unittest.TestCase):
    def setUp(self):
        http2.needs_hpack()
        self.folder = self.enter(public_folder())

    def enter(self, context):
        entered = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return entered


class ServerTest(HostileTest):
    """A server of ours before clients of the test's."""

    def setUp(self):
        super().setUp()
        self.file = File(self.folder, filters=SUFFIX, clusters=[located(cluster("192.0.2.1:7000", tokens=[[b"abc"]]), "eu"),
                                                                located(cluster("192.0.2.2:7000"), "us:a")])
        self.manager = self.enter(Manager(self.file))

    def open(self, **options):
        return self.enter(connect(self.manager.port, **options))

    def subscribe(self, kind=CLUSTER, **options):
        peer = self.open().call(ADS)
        peer.send(request(kind, **options))
        return peer

    def test_headers_come_before_there_is_data(self):
        peer = self.open().call(ADS)
        while not peer.headers:
            peer.turn()
        self.assertEqual(peer.headers[0][":status"], "200")

    def test_the_hello_is_answered(self):
        peer = self.open().call(ADS)
        peer.send(request("ignore-me"))
        answer = peer.answer()
        self.assertEqual((answer.type, answer.nonce, answer.version), ("ignore-me", "", "9"))
        self.assertTrue(answer.identifier)

    def test_all_resources_come_with_versions_and_nonces(self):
        nonces = set()
        for kind, names in ((CLUSTER, {"eu", "us:a"}), (CHAIN, {"filter_chain"})):
            answer = self.subscribe(kind).answer()
            self.assertEqual((answer.type, set(answer.resources), answer.removed), (kind, names, []))
            for version, _ in answer.resources.values():
                self.assertRegex(version, "^[0-9a-f]{1,16}$")
            nonces.add(answer.nonce)
        self.assertEqual(len(nonces), 2)
        self.assertTrue(self.subscribe(DATACENTER).silent(0.3))

    def test_only_what_the_client_lacks_is_sent(self):
        versions = {name: version for name, (version, _) in self.subscribe().answer().resources.items()}
        self.assertTrue(self.subscribe(versions=versions).silent(0.3))
        answer = self.subscribe(versions=versions | {"eu": "0"}).answer()
        self.assertEqual(set(answer.resources), {"eu"})
        answer = self.subscribe(versions=versions | {"mars": "1"}, agent="paddock").answer()
        self.assertEqual((answer.resources, answer.removed), ({}, ["mars"]))

    def test_an_old_client_gets_an_empty_list_before_the_removal(self):
        versions = {name: version for name, (version, _) in self.subscribe().answer().resources.items()}
        peer = self.subscribe(versions=versions | {"mars": "1"}, agent="quilkin")
        first = peer.answer()
        self.assertEqual((first.resources["mars"][1], first.removed), (http2.cluster(locality="mars"), []))
        self.assertTrue(peer.silent(0.3))
        peer.send(request(CLUSTER, nonce=first.nonce))
        second = peer.answer()
        self.assertEqual((second.resources, second.removed), ({}, ["mars"]))

    def test_names_select_clusters(self):
        peer = self.subscribe(names=["eu", "mars"])
        self.assertEqual(set(peer.answer().resources), {"eu"})
        peer.send(request(CLUSTER, names=["us:a"]))
        self.assertIn("us:a", peer.answer().resources)
        self.assertEqual(set(self.subscribe(names=["*"]).answer().resources), {"eu", "us:a"})
        self.assertEqual(set(self.subscribe(CHAIN, names=["x"]).answer().resources), {"filter_chain"})

    def test_what_was_refused_comes_again_with_the_next_change_alone(self):
        peer = self.subscribe()
        first = peer.answer()
        peer.send(request(CLUSTER, nonce=first.nonce, error="no\x1b[31m thanks"))
        self.assertTrue(peer.silent(1.5))
        self.assertEqual(self.manager.value("xds_nacks"), 1)
        self.assertNotIn("\x1b", self.manager.http("/control")[1])
        self.file.write(clusters=[located(cluster("192.0.2.1:7001"), "eu"), located(cluster("192.0.2.2:7000"), "us:a")])
        self.assertEqual(set(peer.answer().resources), {"eu", "us:a"})

    def test_what_was_acknowledged_does_not_come_again(self):
        peer = self.subscribe()
        peer.send(request(CLUSTER, nonce=peer.answer().nonce))
        self.file.write(clusters=[located(cluster("192.0.2.1:7001"), "eu"), located(cluster("192.0.2.2:7000"), "us:a")])
        answer = peer.answer()
        self.assertEqual((set(answer.resources), answer.removed), ({"eu"}, []))

    def test_a_wrong_request_ends_its_stream_with_a_status(self):
        deep = request(CLUSTER) + http2.field(99, b"unknown")
        for message, status in ((request("ignore-me", node=None), 3), (request("type.googleapis.com/nope"), 3),
                                (request(CLUSTER, node=None), 3), (b"\xff" * 30, 3), (b"", 3), (b"\x0a\xff\xff\xff\x7f", 3),
                                (request(CLUSTER, names=map(str, range(2000))), 8)):
            peer = self.open().call(ADS)
            peer.send(message)
            self.assertEqual(peer.status(), status, message[:40])
        self.assertEqual(self.manager.value('xds_errors_total.kind="server",reason="receive"'), 7)
        peer = self.open().call(ADS)
        peer.send(deep)
        self.assertEqual(set(peer.answer().resources), {"eu", "us:a"})
        peer.send(request("type.googleapis.com/nope"))  # in mid-stream: others are served on
        self.assertEqual(peer.status(), 3)
        self.assertEqual(set(self.subscribe().answer().resources), {"eu", "us:a"})

    def test_methods_and_compression_that_are_not_there(self):
        for path, more, status in (("/nowhere", {}, 12), (ADS.replace("Delta", "Stream"), {}, 12), (SUBSCRIBE, {}, 12),
                                   (PUSH, {}, 12), (ADS, {"grpc_encoding": "gzip"}, 12)):
            self.assertEqual(self.open().call(path, **more).status(), status, path)
        peer = self.open().call(ADS)
        peer.send(request(CLUSTER), compressed=1)
        self.assertEqual(peer.status(), 13)
        peer = self.open().call(ADS)
        peer.frame(http2.DATA, 0, 1, b"\0" + struct.pack(">I", 4194305))
        self.assertEqual(peer.status(), 8)

    def test_windows_of_one_byte_are_filled_one_by_one(self):
        peer = self.open(window=65535, settings=struct.pack(">HI", 4, 1)).call(ADS)
        peer.send(request(CLUSTER))
        for _ in range(200):
            while not peer.body:
                peer.turn()
            self.assertEqual(len(peer.body), 1)
            peer.body = b""
            peer.frame(http2.WINDOW, 0, 1, struct.pack(">I", 1))

    def test_floods_end_their_connection_and_no_other(self):
        """A broken connection is what the flood comes to; what follows is served."""
        def pings(peer):
            for _ in range(3000):
                peer.frame(PING, 0, 0, b"12345678")

        def continuations(peer):
            peer.frame(HEADERS, 0, 1, peer.encoder.encode([(":method", "POST")]))
            for _ in range(3000):
                peer.frame(CONTINUATION, 0, 1, peer.encoder.encode([("x" * 100, "y" * 100)]))

        def resets(peer):
            for i in range(3000):
                peer.call(ADS, stream=2 * i + 1)
                peer.frame(RESET, 0, 2 * i + 1, struct.pack(">I", 8))

        def headers(peer):
            peer.frame(HEADERS, END_HEADERS, 1, peer.encoder.encode([(f"x{i}", "y" * 50) for i in range(150)]))
            while peer.reset is None:
                peer.turn()

        def settings(peer):
            for _ in range(3000):
                peer.frame(http2.SETTINGS, 0, 0)

        def garbage(peer):
            peer.socket.sendall(b"\xff" * 100000)

        good = self.subscribe()
        good.send(request(CLUSTER, nonce=good.answer().nonce))
        for number, flood in enumerate((pings, continuations, resets, headers, settings, garbage)):
            with self.subTest(flood.__name__):
                peer = self.open()
                with contextlib.suppress(OSError, EOFError):
                    flood(peer)
                    if flood not in (pings, settings, headers):  # long headers cost their stream alone
                        peer.socket.settimeout(10)
                        while True:
                            peer.turn()
                self.file.write(clusters=[located(cluster(f"192.0.2.1:{7100 + number}"), "eu"),
                                          located(cluster("192.0.2.2:7000"), "us:a")])
                answer = good.answer()
                self.assertEqual(set(answer.resources), {"eu"})
                good.send(request(CLUSTER, nonce=answer.nonce))

    def test_who_does_not_read_delays_nobody(self):
        def fill(port):
            return [located(cluster(*[f"192.0.2.{i}:{port}" for i in range(1, 201)]), f"r{n}") for n in range(20)]
        self.file.write(clusters=fill(7000))
        lazy = [self.open() for _ in range(10)]
        for peer in lazy:
            peer.call(ADS)
            peer.send(request(CLUSTER))
        good = self.subscribe()
        for port in range(7001, 7011):
            answer = good.answer()
            while f"r{19}" not in answer.resources:
                good.send(request(CLUSTER, nonce=answer.nonce))
                answer = good.answer()
            good.send(request(CLUSTER, nonce=answer.nonce))
            self.file.write(clusters=fill(port))
        self.assertEqual(len(good.answer().resources), 20)

    def test_requests_of_who_does_not_read_are_not_answered_without_end(self):
        peer = self.open(window=65535, settings=struct.pack(">HI", 4, 0)).call(ADS)
        for _ in range(1000):
            peer.send(request("ignore-me"))
        peer.frame(http2.WINDOW, 0, 1, struct.pack(">I", 1 << 20))
        self.assertEqual(peer.status(), 8)
        self.assertLess(len(peer.messages), 100)
        peer = self.open(window=1 << 20).call(ADS)
        peer.send(request(CLUSTER, agent="paddock", versions={f"{i:0100}": "1" for i in range(25000)}))
        self.assertEqual(len(peer.answer().removed), 25000)
        peer.send(request(CLUSTER, versions={f"{i:x}": "1" for i in range(250000)}))
        self.assertEqual(peer.status(), 8)
        self.assertEqual(set(self.subscribe().answer().resources), {"eu", "us:a"})

    def test_one_address_cannot_take_all_connections(self):
        own = self.folder / "own.json"
        own.write_text(json.dumps({"paddock": {"xds": {"max_per_address": 2}}}), encoding="utf-8")
        own.chmod(0o644)
        manager = self.enter(Manager(self.file, "-c", str(own)))
        to = ("127.0.0.1", manager.port)
        first, _ = (self.enter(socket.create_connection(to, support.ANSWER_SECONDS)) for _ in range(2))
        for number in (1, 2):
            with socket.create_connection(to, support.ANSWER_SECONDS) as refused:
                self.assertEqual(refused.recv(100), b"")
            manager.await_value("xds_errors_total.*too_many_of_one_address", number)
        self.assertEqual(manager.logged("an address has too many connections to the control plane")["address"], "127.0.0.1")

        def is_served(address="127.0.0.1"):
            with socket.create_connection(to, support.ANSWER_SECONDS, (address, 0)) as peer, \
                    contextlib.suppress(ConnectionError):
                peer.sendall(http2.PREFACE + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
                return peer.recv(9)
        self.assertTrue(is_served("127.0.0.2"))
        first.close()
        wait_until(is_served, "there is room again")

    def test_half_a_preface_is_not_waited_for(self):
        silent = support.socket.create_connection(("127.0.0.1", self.manager.port))
        with contextlib.closing(silent):
            silent.settimeout(support.ANSWER_SECONDS)
            silent.sendall(b"PRI * HT")
            with contextlib.suppress(ConnectionResetError):
                while silent.recv(65536):
                    pass

    def test_who_stops_half_way_is_not_waited_for(self):
        """In a frame's head, in a frame, in a message, and between the frames of a header block; all at a time."""
        peers = [self.open().call(ADS) for _ in range(3)] + [self.open()]
        peers[0].socket.sendall(bytes(5))
        peers[1].socket.sendall(b"\0\0\7\0\0\0\0\0\1\0\0")
        peers[2].frame(http2.DATA, 0, 1, b"\0\0\0\0\7abc")
        peers[3].frame(HEADERS, 0, 1, peers[3].encoder.encode([(":method", "POST")]))
        good = self.subscribe()
        good.answer()
        for peer in peers:
            peer.socket.settimeout(2 * support.ANSWER_SECONDS)
            with self.assertRaises((EOFError, ConnectionResetError)):
                while True:
                    peer.turn()
        self.assertTrue(good.silent(0.1))


class ClientTest(HostileTest):
    """A client of ours before servers of the test's."""

    def setUp(self):
        super().setUp()
        self.servers = self.enter(Servers(2, which))
        self.listener = self.enter(Listener())
        self.gate = self.enter(Gate(self.listener.url))
        self.player = self.enter(Player(self.gate.port))

    def greet(self):
        connection, types = self.listener.greet()
        self.enter(connection)
        self.assertEqual(set(types), {CLUSTER, DATACENTER, CHAIN})
        return connection

    def tell(self, connection, kind, resources, nonce="n", removed=()):
        """Sends a response; the error of the answer, or None."""
        connection.send(response(kind, resources, nonce, removed))
        answer = http2.asked(connection.message())
        self.assertEqual(answer[:2], (kind, nonce))
        return answer[2]

    def chain(self, *filters):
        return resource(CHAIN, "filter_chain", "1", b"".join(http2.field(1, item) for item in filters))

    def server(self, index, token, locality="eu", version="1"):
        return resource(CLUSTER, locality, version,
                        http2.cluster(endpoint(self.servers.targets[index], token), locality=locality))

    def route(self, connection):
        self.assertIsNone(self.tell(connection, CHAIN, [self.chain(
            http2.field(1, SUFFIX[0]["name"]) + http2.field(3, support.json.dumps(SUFFIX[0]["config"])),
            http2.field(1, SUFFIX[1]["name"]))]))
        self.assertIsNone(self.tell(connection, CLUSTER, [self.server(0, b"abc")]))
        await_answer(self.player, b"helloabc", b"0:hello")

    def test_bad_resources_are_refused_whole_and_the_old_ones_stay(self):
        connection = self.greet()
        self.route(connection)
        good = self.server(1, b"xyz", "us")
        deep = {"a": "b"}
        for _ in range(100):
            deep = {"a": deep}
        nest = http2.field(4, 0)
        for _ in range(5000):
            nest = http2.field(5, http2.field(1, http2.field(1, "a") + http2.field(2, nest)))
        there = self.servers.targets[0]
        host, _, port = there.rpartition(":")
        bad = [resource(CLUSTER, "eu", "no hex", http2.cluster()), resource(CLUSTER, "eu", "", http2.cluster()),
               resource(CLUSTER, "eu", "1" * 17, http2.cluster()), resource(CLUSTER, "eu", "1", b"\xff\xff"),
               resource(CHAIN, "eu", "1", b""),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(2, int(port)))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, host))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, host) + http2.field(2, 65536))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, "a b") + http2.field(2, 1))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, host) + http2.field(2, 1) +
                                                          http2.field(3, http2.structure(deep)))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, host) + http2.field(2, 1) +
                                                          http2.field(3, http2.field(1, http2.field(1, "a") +
                                                                                     http2.field(2, nest))))),
               resource(CLUSTER, "eu", "1", http2.cluster(http2.field(1, host) + http2.field(2, 1) + http2.field(
                   3, http2.structure({"quilkin.dev": {"tokens": ["no base64!"]}})))),
               resource(CLUSTER, "eu", "1", http2.cluster(locality="a:" + "b" * 200)), good]
        for item in bad:
            self.assertTrue(self.tell(connection, CLUSTER, [good, item, self.server(1, b"123", "asia")]))
        for item in (resource(DATACENTER, "x", "1", http2.field(2, 65536) + http2.field(3, "EDDF")),
                     resource(DATACENTER, "x", "1", http2.field(2, 7600) + http2.field(3, "eddf"))):
            self.assertTrue(self.tell(connection, DATACENTER, [item]))
        for filters in ([self.chain(http2.field(1, "nope"))], [], [self.chain(), self.chain()],
                        [self.chain(http2.field(1, SUFFIX[0]["name"]) + http2.field(3, "suffix: {size: 3}"))]):
            self.assertTrue(self.tell(connection, CHAIN, filters))
        self.assertTrue(self.tell(connection, "type.googleapis.com/nope", []))
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        config = self.gate.config()
        self.assertEqual([item["locality"] for item in config["clusters"] if item["endpoints"]], ["eu"])

    def test_ten_thousand_localities_are_taken_and_gone(self):
        connection = self.greet()
        self.route(connection)
        many = [resource(CLUSTER, f"r{i}", "1", http2.cluster(endpoint(f"192.0.2.1:{i + 1}", b"%06d" % i), locality=f"r{i}"))
                for i in range(10000)]
        self.assertIsNone(self.tell(connection, CLUSTER, many))
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        wait_until(lambda: len(self.gate.config()["clusters"]) == 10001, "they are shown")
        self.assertIsNone(self.tell(connection, CLUSTER, [], removed=[f"r{i}" for i in range(10000)]))
        wait_until(lambda: len(self.gate.config()["clusters"]) == 1, "they are gone")
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")

    def test_what_is_removed_is_gone(self):
        connection = self.greet()
        self.route(connection)
        node = resource(DATACENTER, "192.0.2.9", "EDDF-7600",
                        http2.field(1, "192.0.2.9") + http2.field(2, 7600) + http2.field(3, "EDDF"))
        self.assertIsNone(self.tell(connection, DATACENTER, [node]))
        self.assertIsNone(self.tell(connection, CLUSTER, [self.server(1, b"xyz", "us")]))
        self.assertEqual(self.player.ask(b"helloxyz"), b"1:hello")  # what is acknowledged is in force in all workers
        self.assertEqual(list(self.gate.config()["datacenters"]["map"]), ["192.0.2.9"])
        self.assertIsNone(self.tell(connection, CLUSTER, [], removed=["us", "mars"]))
        self.assertIsNone(self.tell(connection, DATACENTER, [], removed=["192.0.2.9"]))
        self.assertIsNone(self.tell(connection, CHAIN, [], removed=["filter_chain"]))
        wait_until(lambda: self.gate.config()["datacenters"]["map"] == {}, "no data centre")
        self.assertEqual([item["locality"] for item in self.gate.config()["clusters"] if item["endpoints"]], ["eu"])
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")

    def test_any_broken_frame_and_the_client_is_back(self):
        def version(connection):
            connection.message()
            connection.respond()
            connection.send(response("ignore-me", nonce="", version="8"))

        def frames(*what):
            def send(connection):
                connection.message()
                connection.respond()
                connection.send(response("ignore-me", nonce=""))
                connection.message()
                for item in what:
                    connection.socket.sendall(item)
            return send

        def raw(kind, flags, stream, data=b""):
            return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data

        broken = [version, frames(raw(http2.GOAWAY, 0, 0, struct.pack(">II", 1, 0))), frames(raw(RESET, 0, 1, bytes(4))),
                  frames(b"HTTP/1.1 400 Bad Request\r\n\r\n"), frames(raw(http2.DATA, 0, 1, b"\0\0\0\0\3\xff\xff\xff")),
                  frames(raw(http2.DATA, 0, 1, b"\1\0\0\0\0"))]
        for breaks in broken:
            connection = self.enter(self.listener.accept())
            breaks(connection)
            with contextlib.suppress(OSError, EOFError):
                while True:
                    connection.turn()
            self.gate.await_ready(500)
        self.route(self.greet())

    def test_a_servers_name_is_shown_as_text(self):
        connection = self.enter(self.listener.accept())
        connection.message()
        connection.respond()
        connection.send(response("ignore-me", nonce="", identifier=b"\x1b[2J\xff"))
        connection.message()
        self.assertIn('xds_active_control_planes{control_plane="\\\\u{1b}[2J\\\\xff"}', self.gate.http("/metrics")[1])
        peer, = support.json.loads(self.gate.http("/control")[1])["peers"]
        self.assertEqual(peer["id"], "\\u{1b}[2J\\xff")

    def test_versions_come_with_the_next_connection(self):
        connection = self.greet()
        self.route(connection)
        self.assertIsNone(self.tell(connection, DATACENTER, []))
        self.gate.await_ready()
        connection.socket.close()
        again = self.enter(self.listener.accept())
        self.assertEqual(self.gate.http("/ready")[0], 500)  # at once
        again.message()
        again.respond()
        again.send(response("ignore-me", nonce=""))
        versions = {}
        for _ in range(3):
            kind, _, _, had = http2.asked(again.message())
            versions[kind] = had
        self.assertEqual(versions, {CLUSTER: {"eu": "1"}, DATACENTER: {}, CHAIN: {"filter_chain": "1"}})

    def test_a_server_that_hangs_up_is_not_dialled_without_pause(self):
        self.route(self.greet())
        self.listener.socket.settimeout(0.1)
        count, deadline = 0, time.monotonic() + 4
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                self.listener.socket.accept()[0].close()
                count += 1
        self.assertLessEqual(count, 25)


class RotationTest(HostileTest):
    def test_a_server_that_brings_nothing_does_not_win_again(self):
        """It refuses whoever comes, and is always the quicker one."""
        servers = self.enter(Servers(1, which))
        bad, good = self.enter(Listener()), self.enter(Listener())
        stops = threading.Event()
        self.addCleanup(stops.set)
        comes = threading.Semaphore(0)

        def refuse():
            bad.socket.settimeout(0.1)
            while not stops.is_set():
                with contextlib.suppress(OSError, EOFError), bad.accept() as connection:
                    comes.release()
                    connection.message()
                    connection.trailers(14)
                    connection.message()

        thread = threading.Thread(target=refuse)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stops.set)
        gate = self.enter(Gate(bad.url, good.url))
        player = self.enter(Player(gate.port))
        self.assertTrue(comes.acquire(timeout=support.START_SECONDS))
        deadline = time.monotonic() + 20
        while True:
            self.assertLess(time.monotonic(), deadline, "the good server is not used")
            peer = self.enter(good.socket.accept()[0])
            if comes.acquire(timeout=0.3):  # the bad one was dialled, too, and has answered
                peer.close()
                continue
            with contextlib.suppress(OSError, EOFError):
                connection = self.enter(http2.Connection(peer, is_server=True))
                connection.message()
                break
        connection.respond()
        connection.send(response("ignore-me", nonce=""))
        for _ in range(3):
            connection.message()
        connection.send(response(CLUSTER, [resource(CLUSTER, "eu", "1", http2.cluster(
            endpoint(servers.targets[0], b"abc"), locality="eu"))]))
        await_answer(player, b"hello", b"0:hello")


class AgentTest(HostileTest):
    """A relay of ours before agents of the test's."""

    def setUp(self):
        super().setUp()
        config = self.folder / "paddock.yaml"
        config.write_text(support.json.dumps(
            {"version": "v1alpha1", "paddock": {"mds": {"trusted_proxies": ["127.0.0.0/8"]}}}), encoding="utf-8")
        self.relay = self.enter(Relay("-c", str(config), *File(self.folder, filters=SUFFIX).flags()))

    def push(self, **headers):
        agent = self.enter(connect(self.relay.mds_port)).call(PUSH, **headers)
        agent.send(response("", nonce="", version="", identifier="eu"))
        kinds = [http2.asked(agent.message())[0] for _ in range(2)]
        self.assertEqual(kinds, [CLUSTER, DATACENTER])
        return agent

    def tell(self, agent, kind, *resources, removed=()):
        agent.send(response(kind, resources, "n", removed))
        return http2.asked(agent.message())[2]

    def cluster(self, locality, target):
        return resource(CLUSTER, locality, "1", http2.cluster(endpoint(target), locality=locality))

    def node(self, port):
        return resource(DATACENTER, "id", f"EDDF-{port}", http2.field(2, port) + http2.field(3, "EDDF"))

    def nodes(self):
        return self.relay.config()["datacenters"]["map"]

    def test_an_agent_says_who_it_is(self):
        agent = self.enter(connect(self.relay.mds_port)).call(PUSH)
        agent.send(response("", nonce="", identifier=""))
        self.assertEqual(agent.status(), 3)

    def test_a_locality_is_its_owners(self):
        first, second = self.push(x_forwarded_for="192.0.2.1, 10.0.0.1"), self.push(forwarded='for="[2001:db8::1]:77";proto=http')
        self.assertIsNone(self.tell(first, CLUSTER, self.cluster("eu", "192.0.2.7:1")))
        self.assertIn("another agent's", self.tell(second, CLUSTER, self.cluster("eu", "192.0.2.7:2")))
        self.assertIsNone(self.tell(second, CLUSTER, self.cluster("us", "192.0.2.7:2"), removed=["eu"]))
        self.assertEqual({item["locality"]: item["endpoints"][0]["address"] for item in self.relay.config()["clusters"]},
                         {"eu": "192.0.2.7:1", "us": "192.0.2.7:2"})
        first.socket.close()
        wait_until(lambda: self.tell(second, CLUSTER, self.cluster("eu", "192.0.2.7:3")) is None, "the owner is gone")

    def test_an_agents_address_is_its_own(self):
        def claim(host):
            return resource(DATACENTER, "mine", "EDDF-9", http2.field(1, host) + http2.field(2, 9) + http2.field(3, "EDDF"))
        first, second = self.push(x_forwarded_for="192.0.2.1"), self.push(x_forwarded_for="192.0.2.2")
        self.assertIsNone(self.tell(first, DATACENTER, self.node(7600)))
        self.assertIn("another agent's", self.tell(second, DATACENTER, claim("192.0.2.1")))
        self.assertIsNone(self.tell(second, DATACENTER, claim("192.0.2.3")))  # where nobody is yet
        third = self.push(x_forwarded_for="192.0.2.3")
        self.assertIsNone(self.tell(third, DATACENTER, self.node(7601)))
        self.assertEqual({host: node["qcmp_port"] for host, node in self.nodes().items()},
                         {"192.0.2.1": 7600, "192.0.2.3": 7601})

    def test_a_filter_chain_of_an_agent_is_refused(self):
        agent = self.push()
        self.assertTrue(self.tell(agent, CHAIN, resource(CHAIN, "x", "1", b"")))
        self.assertEqual(len(self.relay.config()["filters"]), 2)
        self.assertIsNone(self.tell(agent, CLUSTER, self.cluster("eu", "192.0.2.7:1")))

    def test_an_agent_has_a_thousand_data_centres_at_most(self):
        agent = self.push()
        nodes = [resource(DATACENTER, f"n{i}", "1", http2.field(1, f"192.0.{i >> 8}.{i & 255}") + http2.field(2, 7600) +
                          http2.field(3, "EDDF")) for i in range(30000)]
        self.assertIn("more than 1000", self.tell(agent, DATACENTER, *nodes))
        self.assertEqual(self.nodes(), {})
        self.assertIsNone(self.tell(agent, DATACENTER, *nodes[:1000]))
        self.assertIn("more than 1000", self.tell(agent, DATACENTER, nodes[1000]))
        self.assertEqual(len(self.nodes()), 1000)

    def test_a_data_centre_goes_with_the_last_stream_of_its_agent(self):
        old = self.push(x_envoy_external_address="192.0.2.1")
        self.assertIsNone(self.tell(old, DATACENTER, self.node(7600)))
        wait_until(lambda: self.nodes() == {"192.0.2.1": {"qcmp_port": 7600, "icao_code": "EDDF"}}, "the node")
        new = self.push(x_envoy_external_address="192.0.2.1")
        self.assertIsNone(self.tell(new, DATACENTER, self.node(7601)))
        old.socket.close()
        self.assertIsNone(self.tell(new, CLUSTER, self.cluster("eu", "192.0.2.7:1")))
        self.assertEqual(self.nodes(), {"192.0.2.1": {"qcmp_port": 7601, "icao_code": "EDDF"}})
        new.socket.close()
        wait_until(lambda: self.nodes() == {}, "no node")


if __name__ == "__main__":
    support.main()
