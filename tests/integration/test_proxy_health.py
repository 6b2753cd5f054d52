#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The health of game servers: probes, what the network says, and who still gets players."""
import base64
import contextlib
import struct
import threading
import unittest

from proxying import BALANCER, Player, Proxy, Servers, check_sums, cluster, dropped, target_of, udp_socket, value
from support import wait_until

DOWN, UP = "a game server is unhealthy: it gets no new players", "a game server is healthy again"
PING = struct.Struct("!4sBBHBq")


def health(**rows):
    return {"clusters": {"*": {"health": {"interval": "1s", "timeout": "200ms", "fall": 2, "rise": 2, **rows}}}}


def probing(send=b"are you there", expect=b"yes", **rows):
    return health(probe="bytes", send=base64.b64encode(send).decode(), expect=base64.b64encode(expect).decode(), **rows)


class Responders:
    """Servers that echo, and answer probes as long as they are told to."""

    def __init__(self, count):
        self.answers = [b"yes, I am"] * count
        self.servers = Servers(count, self.answer)

    def answer(self, index, data):
        if data != b"are you there":
            return [b"%d " % index + data]
        return [self.answers[index]] if self.answers[index] else []

    def __enter__(self):
        self.servers.__enter__()
        return self

    def __exit__(self, *failure):
        self.servers.__exit__(*failure)


def unhealthy(proxy):
    return value(proxy.metrics(), "paddock_udp_unhealthy_endpoints")


def closed_target():
    """Where nobody listens any more."""
    with udp_socket(port=0) as closed:
        return target_of(closed.getsockname())


class ProbeTest(unittest.TestCase):
    def test_a_server_that_does_not_answer_gets_no_new_players_and_keeps_those_it_has(self):
        with Responders(1) as responders, Proxy([cluster(*responders.servers.targets)], udp=probing()) as proxy, \
                Player(proxy.port) as old, Player(proxy.port) as new:
            for _ in range(5):
                self.assertEqual(old.ask(b"x"), b"0 x")
            wait_until(lambda: value(proxy.metrics(), "paddock_udp_health_answers_total") >= 1, "an answer")
            self.assertEqual(unhealthy(proxy), 0)

            responders.answers[0] = b"no"
            event = proxy.await_event(DOWN)
            self.assertEqual((event["level"], event["fields"]["server"], event["fields"]["reason"]),
                             ("WARN", responders.servers.targets[0], "it does not answer"))
            self.assertEqual(unhealthy(proxy), 1)
            new.socket.send(b"x")
            wait_until(lambda: dropped(proxy.metrics(), "read", "unhealthy endpoint") == 1, "it is refused")
            for _ in range(5):
                self.assertEqual(old.ask(b"y"), b"0 y")

            responders.answers[0] = b"yes"
            proxy.await_event(UP)
            self.assertEqual(new.ask(b"x"), b"0 x")
            self.assertEqual(unhealthy(proxy), 0)
            changes = proxy.metrics()
            self.assertEqual([value(changes, "paddock_udp_health_changes_total", to=to) for to in ("unhealthy", "healthy")], [1, 1])
            self.assertEqual((len(proxy.events(DOWN)), len(proxy.events(UP))), (1, 1))
            check_sums(proxy)

    def test_a_balancer_goes_past_an_unhealthy_server(self):
        for policy in ("ROUND_ROBIN", "RANDOM", "HASH", "LEAST_SESSIONS"):
            chain = [{"name": BALANCER, "config": {"policy": policy}}]
            with self.subTest(policy), Responders(3) as responders, \
                    Proxy([cluster(*responders.servers.targets)], chain, udp=probing(fall=1)) as proxy, \
                    contextlib.ExitStack() as stack:
                responders.answers[1] = None
                proxy.await_event(DOWN)
                answers = [stack.enter_context(Player(proxy.port)).ask(b"x") for _ in range(30)]
                self.assertEqual(set(answers), {b"0 x", b"2 x"})
                self.assertEqual(dropped(proxy.metrics(), "read"), 0)

    def test_a_session_stays_by_hash_with_an_unhealthy_server(self):
        chain = [{"name": BALANCER, "config": {"policy": "HASH"}}]
        with Responders(2) as responders, Proxy([cluster(*responders.servers.targets)], chain, udp=probing(fall=1)) as proxy, \
                Player(proxy.port) as player:
            first = player.ask(b"x")
            responders.answers[int(first[:1])] = None
            proxy.await_event(DOWN)
            self.assertEqual(player.ask(b"x"), first)

    def test_pings_of_qcmp_go_to_another_port_and_a_pong_with_another_stamp_is_none(self):
        with Servers(1) as servers, udp_socket(port=0) as responder:
            forge, stop = threading.Event(), threading.Event()

            def respond():
                while not stop.is_set():
                    data, peer = responder.recvfrom(99)
                    if not data:
                        return
                    magic, version, command, _, nonce, stamp = PING.unpack(data)
                    self.assertEqual((magic, version, command), (b"QLKN", 0, 0))
                    pong = struct.pack("!4sBBHBqqq", magic, 0, 1, 25, nonce, stamp + forge.is_set(), 1, 2)
                    responder.sendto(pong, peer)
            thread = threading.Thread(target=respond)
            thread.start()
            try:
                with Proxy([cluster(*servers.targets)], udp=health(probe="qcmp", port=responder.getsockname()[1], fall=1)) as proxy:
                    wait_until(lambda: value(proxy.metrics(), "paddock_udp_health_answers_total") >= 1, "an answer")
                    forge.set()
                    proxy.await_event(DOWN)
                    self.assertEqual(servers.count(), 0)
            finally:
                stop.set()
                responder.sendto(b"", responder.getsockname())
                thread.join()

    def test_probes_of_a_cluster_with_proxy_headers_are_local(self):
        local = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
        udp = probing()
        udp["clusters"]["*"]["proxy_protocol"] = "every"
        with Servers(1, lambda _, data: [data.replace(b"are you there", b"yes")]) as servers, \
                Proxy([cluster(*servers.targets)], udp=udp) as proxy:
            wait_until(lambda: value(proxy.metrics(), "paddock_udp_health_answers_total") >= 1, "an answer")
            self.assertEqual(servers.seen[0][0][0], local + b"are you there")

    def test_a_reload_keeps_the_state_and_ends_it_where_nobody_looks_any_more(self):
        with Responders(1) as responders, Proxy([cluster(*responders.servers.targets)], udp=probing(fall=1)) as proxy, \
                Player(proxy.port) as player:
            responders.answers[0] = None
            proxy.await_event(DOWN)
            proxy.reload(probing(fall=1, rise=7))
            wait_until(lambda: unhealthy(proxy) == 1, "it is unhealthy")
            player.socket.send(b"x")
            wait_until(lambda: dropped(proxy.metrics(), "read", "unhealthy endpoint") == 1, "it is refused")
            proxy.reload({"clusters": {}})
            self.assertEqual(player.ask(b"x"), b"0 x")
            wait_until(lambda: unhealthy(proxy) == 0, "nobody looks")


class NetworkTest(unittest.TestCase):
    def test_a_server_whose_port_is_closed_is_unhealthy_for_a_while(self):
        with Servers(2, lambda index, data: [b"%d" % index]) as servers:
            with Proxy([cluster(closed_target())], udp=health(retry="3s")) as proxy, Player(proxy.port) as old:
                def refuse():
                    old.socket.send(b"x")
                    proxy.read_log()
                    return proxy.events(DOWN)
                wait_until(refuse, "it is unhealthy")
                self.assertEqual(proxy.events(DOWN)[0]["fields"]["reason"], "the network says that it cannot be reached")
                with Player(proxy.port) as new:
                    new.socket.send(b"x")
                    wait_until(lambda: dropped(proxy.metrics(), "read", "unhealthy endpoint") == 1, "it is refused")
                self.assertEqual(proxy.await_event(UP)["fields"]["reason"], "it is tried again")

    def test_what_the_network_says_does_not_count_if_it_is_not_to(self):
        with Proxy([cluster(closed_target())], udp=health(icmp=False, fall=1)) as proxy, Player(proxy.port) as player:
            for _ in range(15):
                player.rest(0.1)
                player.socket.send(b"x")
            self.assertEqual(proxy.events(DOWN), [])


if __name__ == "__main__":
    unittest.main()
