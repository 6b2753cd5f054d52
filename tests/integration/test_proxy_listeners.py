#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several ports for players, each with servers and filters of its own."""
import base64
import contextlib
import socket
import unittest

import support
from proxying import BALANCER, FILTER, Player, Proxy, Servers, by_token, check_sums, cluster, dropped, proxy_address, udp_socket
from support import wait_until

CONCATENATE = FILTER("concatenate", "Concatenate")


def located(locality, *servers, **more):
    return cluster(*servers, **more) | {"locality": locality}


def listener(locality=None, filters=(), port=0):
    return {"port": port, "filters": list(filters)} | ({"locality": locality} if locality else {})


def adds(text, side="on_write"):
    return {"name": CONCATENATE, "config": {side: "APPEND", "bytes": base64.b64encode(text).decode()}}


class ListenersTest(unittest.TestCase):
    @contextlib.contextmanager
    def proxy(self, clusters, listeners, filters=None):
        """A proxy, and a player of each of its ports, that of the service first."""
        with Proxy(clusters, filters, udp={"listeners": listeners}) as proxy, contextlib.ExitStack() as stack:
            proxy.await_event("udp ready")
            ports = [event["fields"]["port"] for event in proxy.events("udp listener ready")]
            self.assertEqual(len(ports), len(listeners))
            yield proxy, [stack.enter_context(Player(port)) for port in [proxy.port] + ports]
            check_sums(proxy)

    def test_the_port_says_where_to_without_a_token(self):
        with Servers(3, lambda index, data: [b"%d " % index + data]) as servers:
            a, b, c = servers.targets
            clusters = [located("a", a, tokens=[[b"aaa"]]), located("b", b), located("c:x", c)]
            with self.proxy(clusters, [listener("b"), listener("c:x")], by_token()) as (proxy, players):
                for _ in range(5):
                    self.assertEqual(players[0].ask(b"hello aaa"), b"0 hello ")
                    self.assertEqual(players[1].ask(b"hello aaa"), b"1 hello aaa")
                    self.assertEqual(players[2].ask(b"hello"), b"2 hello")
                players[0].socket.send(b"hello xyz")
                wait_until(lambda: dropped(proxy.metrics(), "read", "filter::token_router::no endpoint match") == 1, "no match")

    def test_one_without_a_locality_is_for_all(self):
        with Servers(2) as servers, \
                self.proxy([located("a", servers.targets[0]), cluster(servers.targets[1])], [listener()], by_token()) as (_, players):
            self.assertEqual([players[1].ask(b"hello"), players[1].socket.recv(99)], [b"hello"] * 2)
            self.assertEqual([len(seen) for seen in servers.seen], [1, 1])

    def test_each_has_its_filters_both_ways(self):
        with Servers(1) as servers, \
                self.proxy([cluster(*servers.targets)],
                           [listener(filters=[adds(b"<1", "on_read"), adds(b">1")]), listener(filters=[adds(b">2")])],
                           [adds(b">0")]) as (_, players):
            for _ in range(3):
                for player in players:
                    player.socket.send(b"x")
                self.assertEqual([player.socket.recv(99) for player in players], [b"x>0", b"x<1>1", b"x>2"])

    def test_filters_choose_among_its_servers_alone(self):
        chain = [{"name": BALANCER, "config": {"policy": "ROUND_ROBIN"}}]
        with Servers(4, lambda index, _: [b"%d" % index]) as servers, \
                self.proxy([located("a", *servers.targets[:2]), located("b", *servers.targets[2:])],
                           [listener("b", chain)]) as (_, players):
            self.assertEqual({players[1].ask(b"x") for _ in range(6)}, {b"2", b"3"})

    def test_without_servers_a_datagram_is_dropped_and_counted(self):
        with Servers(1) as servers, self.proxy([located("a", *servers.targets)], [listener("b")]) as (proxy, players):
            players[1].socket.send(b"hello")
            wait_until(lambda: dropped(proxy.metrics(), "read", "no upstream endpoints") == 1, "it is dropped")
            proxy.reload(clusters=[located("b", *servers.targets)])
            self.assertEqual(players[1].ask(b"again"), b"again")

    def test_a_reload_changes_locality_and_filters_and_keeps_sessions(self):
        with Servers(2, lambda index, data: [b"%d " % index + data]) as servers, \
                self.proxy([located("a", servers.targets[0]), located("b", servers.targets[1])],
                           [listener("a")]) as (proxy, players):
            for there, answer in ("a", b"0 x"), ("b", b"1 x!"), ("a", b"0 x"):
                proxy.reload({"listeners": [listener(there, [adds(b"!", "on_read")] if there == "b" else [])]})
                self.assertEqual([players[1].ask(b"x") for _ in range(5)], 5 * [answer])
            self.assertEqual(len({source for _, source in servers.seen[0]}), 1)

    def test_a_reload_changes_a_port_and_keeps_sessions(self):
        with Servers(1) as servers, self.proxy([located("a", *servers.targets)], [listener("a")]) as (proxy, players), \
                udp_socket() as player:
            player.sendto(b"x", players[1].socket.getpeername())
            self.assertEqual(player.recv(10), b"x")
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
                free.bind(("::", 0))
                port = free.getsockname()[1]
            proxy.reload({"listeners": [listener("a", port=port)]})
            self.assertEqual(proxy.await_event("udp listener changed")["fields"]["port"], port)
            servers.sockets[0].sendto(b"later", servers.seen[0][0][1])  # it leaves by the port that is there now
            self.assertEqual(player.recvfrom(10), (b"later", (proxy_address(), port)))
            player.sendto(b"y", (proxy_address(), port))
            self.assertEqual(player.recv(10), b"y")
            self.assertEqual(len({source for _, source in servers.seen[0]}), 1)
            with self.assertRaises(ConnectionRefusedError):
                players[1].ask(b"z")

    def test_a_reload_with_more_listeners_is_refused_and_changes_nothing(self):
        with Servers(1) as servers, self.proxy([located("a", *servers.targets)], [listener("a")]) as (proxy, players):
            proxy.document["paddock"]["udp"] |= {"listeners": [listener("b"), listener("a")], "session_timeout": "7s"}
            proxy.write()
            failure = proxy.await_event("configuration not reloaded: the running one stays")["fields"]["error"]
            self.assertIn("paddock.udp.listeners: expected as many as before, 1, until a restart", failure)
            self.assertEqual(players[1].ask(b"x"), b"x")

    def test_bad_ones_are_refused_with_their_place(self):
        taker = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taker.bind(("127.0.0.1", 0))
        taken = taker.getsockname()[1]
        for listeners, expected in (
                ([{"port": 7001}], "paddock.udp.listeners[0]: expected the key 'filters'"),
                ([{"filters": []}], "paddock.udp.listeners[0]: expected the key 'port'"),
                ([listener(port=70000)], "paddock.udp.listeners[0].port: expected a number from 0 to 65535"),
                ([listener("a:"), ], "paddock.udp.listeners[0].locality: expected a locality"),
                ([listener(port=7001), listener(port=7001)], "expected a port that no listener before has"),
                ([listener(port=7777)], "paddock.udp.listeners[0].port: expected another port than paddock.udp.port, 7777"),
                ([listener(filters=[{"name": "x"}])], "paddock.udp.listeners[0].filters[0].name"),
                ([listener(), listener(port=taken)],
                 f"cannot serve players on UDP port {taken} (paddock.udp.listeners[1].port): Address already in use"),
                ([listener()] * 65, "paddock.udp.listeners: expected a list of at most 64 listeners")):
            with self.subTest(expected), self.assertRaisesRegex(AssertionError, "") as caught:
                with Proxy([], udp={"port": 7777, "listeners": listeners}):
                    pass
            self.assertIn(expected, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
