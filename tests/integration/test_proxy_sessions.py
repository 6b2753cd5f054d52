#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sessions of the UDP proxy: whose they are, how long they last, and what changes around them."""
import contextlib
import os
import random
import resource
import signal
import socket
import struct
import threading
import time
import unittest

import proxying
import support
from proxying import (PASS, Crowd, Player, Proxy, Servers, by_token, check_sums, cluster, dropped, identity, many_descriptors, own_hosts,
                      own_address, proxy_address, stopped, target_of, udp_socket, value)
from support import Namespace, needs_root, scaled, sysctl, wait_until

SOCKETS = "paddock_udp_upstream_sockets"
NEXT_ADDRESS = "a server was refused: the next address of its name is taken"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def refusal(source, server):
    """ICMP about a datagram between these: port unreachable."""
    quoted = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + socket.inet_aton(source[0]) + \
        socket.inet_aton(server[0]) + struct.pack("!HHHH", source[1], server[1], 8, 0)
    return struct.pack("!BBHI", 3, 3, checksum(struct.pack("!BB", 3, 3) + quoted), 0) + quoted


def icmp_socket():
    with proxying.GROUND.among_players():
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class OwnerTest(unittest.TestCase):
    def setUp(self):
        self.assertGreater(many_descriptors(), scaled(2000) + 200)

    def check(self, servers, crowd, rounds, proxy):
        """Each datagram reaches each server, and each answer its owner; no two share a socket at a server."""
        expected = rounds * len(crowd.players) * len(servers.sockets)
        self.assertEqual(crowd.receive(expected), expected)
        self.assertEqual(crowd.strays, 0)
        for index in range(len(servers.sockets)):
            sources = servers.sources(index)
            ports = [port for found in sources.values() for port in found]
            self.assertEqual(len(ports), len(crowd.players))
            self.assertEqual(len(set(ports)), len(crowd.players))
        check_sums(proxy)

    def test_players_who_join_at_once_have_their_own_answers(self):
        for count in (1, 3):
            with self.subTest(servers=count), Servers(count) as servers, Proxy([cluster(*servers.targets)]) as proxy, \
                    Crowd(proxy.port, 0, 400) as crowd:
                for _ in range(5):
                    before = crowd.answers
                    crowd.send()
                    crowd.receive(before + 400 * count)
                self.check(servers, crowd, 5, proxy)
                metrics = proxy.metrics()
                self.assertEqual(value(metrics, "quilkin_session_active"), 400 * count)
                self.assertLessEqual(value(metrics, SOCKETS), 440)
                proxy.stop()

    def test_sockets_are_as_many_as_the_fullest_server_has_players(self):
        with Servers(4) as servers, Proxy([cluster(servers.targets[0])], workers=2) as proxy, Crowd(proxy.port, 0, 200) as crowd:
            crowd.send()
            crowd.receive(200)
            for target in servers.targets[1:]:
                proxy.reload(clusters=[cluster(target)])
                before = crowd.answers
                crowd.send()
                self.assertEqual(crowd.receive(before + 200), before + 200)
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_active"), 800)
            self.assertLessEqual(value(metrics, SOCKETS), 220)
            self.assertEqual(crowd.strays, 0)

    def churn(self, delay):
        """Players who come and go, each with a socket for a moment, while ports are given back and taken again."""
        waves, each = scaled(20), 500
        with Servers(2) as servers, \
                Proxy([cluster(*servers.targets)], udp={"session_timeout": "1s", "sessions": {"max": 200000}}) as proxy:
            servers.delay = delay
            strays = answers = 0
            crowds = []
            for wave in range(waves):
                crowd = Crowd(proxy.port, wave * each, each)
                crowds.append(crowd)
                crowd.send()
                if delay:
                    crowd.receive(1 << 30, 0.4)
                else:
                    self.assertEqual(crowd.receive(2 * each), 2 * each)
                for other in crowds[:-8] if delay else crowds:  # it still listens while late answers may come
                    strays, answers = strays + other.strays, answers + other.answers
                    other.__exit__()
                    crowds.remove(other)
            for crowd in crowds:
                crowd.receive(1 << 30, 0.1)
                strays += crowd.strays
                crowd.__exit__()
            self.assertEqual(strays, 0)
            proxy.await_metric(SOCKETS, 0)
            wait_until(lambda: value(proxy.metrics(), "paddock_udp_resting_pairs") == 0, "no pair rests")
            metrics = proxy.metrics()
            began = value(metrics, "quilkin_session_total")  # fewer where a player had the port of one that just left
            self.assertGreater(began, waves * each)
            self.assertEqual(value(metrics, "quilkin_session_duration_secs_count"), began)
            check_sums(proxy)
            return metrics

    def test_players_who_come_and_go_have_their_own_answers(self):
        self.churn(0)

    def test_answers_that_come_after_the_session_reach_no_stranger(self):
        metrics = self.churn(2.2)
        self.assertEqual(value(metrics, "quilkin_packets_total", event="write"), 0)


class TimeTest(unittest.TestCase):
    def test_a_session_ends_within_a_second_of_its_time(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"session_timeout": "2s"}) as proxy:
            before = descriptors(proxy.pid)
            with Crowd(proxy.port, 0, 50) as crowd:
                crowd.send()
                crowd.receive(50)
                start = time.monotonic()
                self.assertEqual(value(proxy.metrics(), "quilkin_session_active"), 50)
                self.assertGreaterEqual(descriptors(proxy.pid), before + 48)
                while time.monotonic() < start + 1.9:
                    self.assertEqual(value(proxy.metrics(), "quilkin_session_active"), 50)
                    time.sleep(0.1)
                wait_until(lambda: value(proxy.metrics(), "quilkin_session_active") == 0, "all sessions have ended")
                self.assertLess(time.monotonic() - start, 3.5)
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "paddock_udp_sessions_ended_total", reason="idle"), 50)
            self.assertEqual(value(metrics, SOCKETS), 0)
            wait_until(lambda: descriptors(proxy.pid) <= before + 1, "the descriptors are given back")

    def test_datagrams_of_either_side_keep_a_session(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"session_timeout": "2s"}) as proxy, \
                Player(proxy.port) as player:
            player.ask(b"hello")
            source = servers.seen[0][0][1]
            for _ in range(8):
                time.sleep(0.5)
                servers.sockets[0].sendto(b"news", source)
                self.assertEqual(player.socket.recv(99), b"news")
            for _ in range(6):
                time.sleep(0.5)
                player.ask(b"hello")
            self.assertEqual({at for _, at in servers.seen[0]}, {source})
            self.assertEqual(value(proxy.metrics(), "quilkin_session_total"), 1)

    def test_where_there_are_too_many_the_unanswered_go_first(self):
        with Servers(1, answer=lambda index, data: [data] if data[:1] == b"0" else []) as servers, \
                Proxy([cluster(*servers.targets)], udp={"sessions": {"max": 10}}, workers=1) as proxy, \
                contextlib.ExitStack() as stack:
            answered = [stack.enter_context(Player(proxy.port)) for _ in range(5)]
            for i, player in enumerate(answered):
                player.ask(identity(i))
            for i in range(50):
                stack.enter_context(Player(proxy.port)).socket.send(b"1%07d" % i)
            wait_until(lambda: servers.count() == 55, "all datagrams are there")
            for i, player in enumerate(answered):
                player.ask(identity(i))
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_active"), 10)
            self.assertEqual(value(metrics, "paddock_udp_sessions_ended_total", reason="evicted"), 45)
            self.assertEqual([len(servers.sources()[identity(i)]) for i in range(5)], [1] * 5)
            check_sums(proxy)

    def test_one_address_has_no_more_than_it_may(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"sessions": {"max_per_address": 3}}, workers=1) as proxy, \
                contextlib.ExitStack() as stack:
            players = [stack.enter_context(Player(proxy.port)) for _ in range(5)]
            for player in players:
                player.socket.send(b"hello")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="too_many_sessions_of_one_address"}', 2)
            for player in players[:3]:
                self.assertEqual(player.ask(b"again"), b"hello")
            self.assertEqual(proxy.await_event("udp sessions were refused")["fields"]["raise"],
                             "paddock.udp.sessions.max_per_address")


    @unittest.skipUnless(many_descriptors() >= 18000, "a process may have too few descriptors for this many sessions")
    def test_the_second_datagram_counts_while_many_players_come_once(self):
        strangers = 16384
        with Servers(1) as servers, Player(1) as early, Player(1) as late, \
                Proxy([cluster(*servers.targets)], udp={"sessions": {"max": 17000}}, workers=1) as proxy:
            for player in early, late:
                player.socket.connect((proxy_address(), proxy.port))
            for _ in range(2):
                self.assertEqual(early.ask(b"real"), b"real")
            for i in range(strangers):
                with udp_socket(f"127.0.{1 + i // 200}.{1 + i % 200}", 20000) as source:  # no number of the proxy itself
                    source.sendto(b"made up", (proxy_address(), proxy.port))
                if i % 100 == 0 or i == strangers - 1:
                    wait_until(lambda i=i: servers.count() > i + 2, f"{i} are there")
            self.assertEqual(early.ask(b"real"), b"real")
            late.socket.send(b"real")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="stranger"}', 1)
            self.assertEqual(late.ask(b"real"), b"real")
            self.assertEqual(value(proxy.metrics(), "paddock_udp_sessions_ended_total"), 0)
            check_sums(proxy)


class RateTest(unittest.TestCase):
    PACKETS, BYTES = "max_packets_per_second", "max_bytes_per_second"

    def test_a_session_has_no_more_than_it_may_each_way(self):
        """A burst takes a second's worth, or more where it lasts; it lasts less than a tenth of the time that it would need."""
        for key, rate, payload, passes in ((self.PACKETS, 20, b"x", 20), (self.BYTES, 2000, b"x" * 100, 20)):
            with self.subTest(key), Servers(1, lambda _, data: [data] * 2) as servers, \
                    Proxy([cluster(*servers.targets)], udp={"sessions": {key: rate}}) as proxy, \
                    Player(proxy.port) as player, Player(proxy.port) as other:
                start = time.monotonic()
                for _ in range(1000):
                    player.socket.send(payload)
                wait_until(lambda: value(proxy.metrics(), "paddock_udp_received_total", event="read") == 1000, "all are there")
                most = passes * (1 + time.monotonic() - start) + 1
                seen = servers.count()
                self.assertGreaterEqual(seen, passes)
                self.assertLessEqual(seen, most)
                wait_until(lambda: value(proxy.metrics(), "paddock_udp_received_total", event="write") == 2 * seen, "all answers are there")
                check_sums(proxy)
                metrics = proxy.metrics()
                answers = value(metrics, "quilkin_packets_total", event="write")
                self.assertGreaterEqual(answers, passes)
                self.assertLessEqual(answers, passes * (1 + time.monotonic() - start) + 1)
                self.assertEqual(dropped(metrics, "read", "session limit"), 1000 - seen)
                self.assertEqual(dropped(metrics, "write", "session limit"), 2 * seen - answers)
                self.assertEqual(other.ask(payload), payload)  # another session has its own
                player.rest()
                wait_until(lambda: player.socket.send(payload) and player.rest(0.1), "after a while there is more")
                check_sums(proxy)

    def test_a_datagram_larger_than_a_second_has_passes_and_is_paid_off(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"sessions": {self.BYTES: 100}}) as proxy, \
                Player(proxy.port) as player:
            self.assertEqual(player.ask(b"x" * 1000), b"x" * 1000)
            player.socket.send(b"y")
            wait_until(lambda: dropped(proxy.metrics(), "read", "session limit") == 1, "it is over the limit")
            proxy.reload({"sessions": {}})
            self.assertEqual(player.ask(b"z"), b"z")


class ChangeTest(unittest.TestCase):
    def test_a_hundred_reloads_end_no_session_and_lose_nothing(self):
        reloads = scaled(100)
        with Servers(2) as servers, Proxy([cluster(servers.targets[0])]) as proxy, Crowd(proxy.port, 0, 200) as crowd:
            crowd.send()
            crowd.receive(200)
            stop = threading.Event()
            sent = [200]

            def play():
                while not stop.is_set():
                    crowd.send(pause=0.0002)
                    sent[0] += 200
            player = threading.Thread(target=play)
            player.start()
            try:
                for i in range(reloads):
                    proxy.reload({"session_timeout": f"{60 + i % 2}s"}, filters=[{"name": PASS}] * (i % 3),
                                 clusters=[cluster(servers.targets[0]),
                                           {"locality": "x", "endpoints": [{"address": f"127.0.0.1:{9 + i % 2}"}] if i % 5 == 1 else []}])
                    crowd.receive(1 << 30, 0.001)
                    if i % (reloads // 4) == 0:  # long enough that all have been seen by what is in force
                        crowd.receive(crowd.answers + 1000)
            finally:
                stop.set()
                player.join()
            self.assertEqual(crowd.receive(sent[0]), sent[0])
            self.assertEqual(crowd.strays, 0)
            self.assertEqual({len(ports) for ports in servers.sources(0).values()}, {1})
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "paddock_udp_sessions_ended_total"), 0)
            self.assertEqual(dropped(metrics, "write") + value(metrics, "paddock_udp_kernel_drops_total"), 0)
            check_sums(proxy)

    def change(self, policy):
        """Two players; the endpoint of both is replaced by another one."""
        with Servers(2) as servers, \
                Proxy([cluster(servers.targets[0])], udp={"sessions": {"removed_endpoint": policy}}, workers=1) as proxy, \
                Player(proxy.port) as player, Player(proxy.port) as idle:
            player.ask(b"one")
            idle.ask(b"idle")
            old = servers.seen[0][0][1]
            proxy.reload(clusters=[cluster(servers.targets[1])])
            yield proxy, servers, player, old

    def test_sessions_of_a_removed_endpoint_are_kept(self):
        for proxy, servers, player, old in self.change("keep"):
            servers.sockets[0].sendto(b"late", old)
            self.assertEqual(player.socket.recv(99), b"late")
            self.assertEqual(player.ask(b"two"), b"two")
            servers.sockets[0].sendto(b"later", old)
            self.assertEqual(player.socket.recv(99), b"later")
            self.assertEqual([[data for data, _ in seen] for seen in servers.seen], [[b"one", b"idle"], [b"two"]])
            self.assertEqual(value(proxy.metrics(), "quilkin_session_active"), 3)

    def test_sessions_of_a_removed_endpoint_are_dropped_without_traffic(self):
        for proxy, servers, player, old in self.change("drop"):
            wait_until(lambda: value(proxy.metrics(), "quilkin_session_active") == 0, "the sessions have ended", 3)
            servers.sockets[0].sendto(b"late", old)
            self.assertEqual(player.ask(b"two"), b"two")
            self.assertEqual(player.rest(), [])
            self.assertEqual(value(proxy.metrics(), "paddock_udp_sessions_ended_total", reason="endpoint_removed"), 2)

    def test_sessions_of_a_removed_endpoint_move(self):
        for proxy, servers, player, old in self.change("move"):
            servers.sockets[0].sendto(b"late", old)
            self.assertEqual(player.socket.recv(99), b"late")
            self.assertEqual(player.ask(b"two"), b"two")
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_active"), 2)  # its new one, and that of the idle player
            self.assertEqual(value(metrics, "paddock_udp_sessions_ended_total", reason="moved"), 1)
            servers.sockets[0].sendto(b"late", old)
            self.assertEqual(player.rest(0.2), [])


class EndTest(unittest.TestCase):
    def test_it_ends_at_once_with_idle_sessions(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Crowd(proxy.port, 0, 100) as crowd:
            crowd.send()
            crowd.receive(100)
            start = time.monotonic()
            last = proxy.stop()
            self.assertLess(time.monotonic() - start, 1)
            self.assertEqual((last["message"], last["sessions"]), ("udp stopped", 100))
            self.assertEqual((last["received_from_players"], last["sent_to_players"]), (100, 100))

    def test_a_drain_ends_with_the_last_session(self):
        with Servers(1) as servers, \
                Proxy([cluster(*servers.targets)], None, {"session_timeout": "2s"}, "--termination-timeout", "60s") as proxy, \
                Player(proxy.port) as player, Player(proxy.port) as late:
            player.ask(b"hello")
            self.assertEqual(proxy.http("/ready")[0], 200)
            os.kill(proxy.pid, signal.SIGTERM)
            wait_until(lambda: proxy.http("/ready")[0] == 500, "it is not ready any more")
            self.assertEqual(proxy.http("/live")[0], 200)
            late.socket.send(b"me too")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="draining"}', 1)
            for _ in range(4):
                self.assertEqual(player.ask(b"on and on"), b"on and on")
                time.sleep(0.7)
            start = time.monotonic()
            self.assertEqual(proxy.process.wait(support.STOP_SECONDS), 0)
            self.assertLess(time.monotonic() - start, 4.5)
            self.assertEqual(servers.count(), 5)

    def test_a_second_signal_ends_a_drain(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], None, None, "--termination-timeout", "60s") as proxy, \
                Player(proxy.port) as player:
            player.ask(b"hello")
            os.kill(proxy.pid, signal.SIGTERM)
            wait_until(lambda: proxy.http("/ready")[0] == 500, "it is not ready any more")
            os.kill(proxy.pid, signal.SIGTERM)
            start = time.monotonic()
            self.assertEqual(proxy.process.wait(support.STOP_SECONDS), 0)
            self.assertLess(time.monotonic() - start, 1)


    def test_answers_that_wait_at_the_end_are_counted(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], workers=1) as proxy, Player(proxy.port) as player:
            player.ask(b"hello")
            with stopped(proxy):
                for _ in range(500):
                    servers.sockets[0].sendto(b"late", servers.seen[0][0][1])
                os.kill(proxy.pid, signal.SIGTERM)
            last = proxy.stop()
            self.assertEqual(last["received_from_servers"] + last["kernel_drops"], 501)


class LimitTest(unittest.TestCase):
    def test_without_descriptors_new_players_are_refused_and_others_go_on(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with Servers(1) as servers, \
                Proxy([cluster(*servers.targets)], udp={"sessions": {"max": 1000}}, preexec_fn=few) as proxy, \
                Crowd(proxy.port, 0, 100) as crowd:
            crowd.send()
            wait_until(lambda: servers.count() > 10 and crowd.receive(1 << 30, 0.5) == servers.count(), "some are served")
            served = {data for data, _ in list(servers.seen[0])}
            before = crowd.answers
            self.assertLess(len(served), 64)
            crowd.send()
            self.assertEqual(crowd.receive(before + len(served)), before + len(served))
            self.assertEqual(crowd.strays, 0)
            warning = wait_until(lambda: (proxy.read_log(), proxy.events("udp sessions were refused"))[1], "a warning")[0]["fields"]
            self.assertEqual(warning["reason"], "no_descriptors")
            self.assertIn("LimitNOFILE", warning["raise"])
        # The admin server has no descriptor to answer with while all are in use: counts are in the log of the end.

    @needs_root
    def test_where_strangers_have_all_port_numbers_a_player_gets_in(self):
        """100 numbers, and 300 who are never answered. Who is answered keeps what he has."""
        with contextlib.closing(Namespace()) as namespace, namespace:
            with Servers(1, answer=lambda index, data: [data] if data.startswith(b"real") else []) as servers, \
                    Proxy([cluster(*servers.targets)]) as proxy, contextlib.ExitStack() as stack:
                strangers, real, late = ([stack.enter_context(Player(proxy.port)) for _ in range(count)] for count in (300, 10, 5))
                sysctl("ipv4/ip_local_port_range", "40000 40099")
                for i, player in enumerate(real):
                    player.ask(b"real %d" % i)
                for player in strangers:
                    player.socket.send(b"none")
                no_ports = 'quilkin_packets_dropped_total{event="read",source="no_ports"}'
                wait_until(lambda: proxy.metrics()[no_ports] >= 200, "there is no number left")
                for i, player in enumerate(late):
                    def is_answered(player=player, data=b"real late %d" % i):
                        for stranger in random.sample(strangers, 20):
                            stranger.socket.send(b"none")
                        player.socket.send(data)
                        return data in player.rest(0.3)
                    wait_until(is_answered, "a player gets in")
                for i, player in enumerate(real):
                    self.assertEqual(player.ask(b"real again %d" % i), b"real again %d" % i)
                self.assertEqual(value(proxy.metrics(), "paddock_udp_sessions_ended_total", reason="idle"), 0)
                self.assertGreater(value(proxy.metrics(), "paddock_udp_sessions_ended_total", reason="evicted"), 0)
                check_sums(proxy)

    def test_datagrams_without_a_session_are_counted(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with Servers(1) as servers, \
                Proxy([cluster(*servers.targets)], udp={"sessions": {"max": 1000}, "session_timeout": "1s"}, preexec_fn=few) as proxy, \
                Crowd(proxy.port, 0, 100) as crowd:
            crowd.send()
            wait_until(lambda: servers.count() > 10, "some are served")
            time.sleep(2.2)  # their sessions end, and with them their sockets
            metrics = wait_until(proxy.metrics, "the admin server answers")
            self.assertEqual(dropped(metrics, "read", "no_descriptors"), 100 - servers.count())
            check_sums(proxy)


class ServerTest(unittest.TestCase):
    def test_a_session_lives_through_the_fall_of_its_server(self):
        server = udp_socket(port=0)
        _, port = server.getsockname()
        with Proxy([cluster(target_of(server.getsockname()))]) as proxy, Player(proxy.port) as player:
            player.socket.send(b"one")
            data, source = server.recvfrom(99)
            server.sendto(data, source)
            self.assertEqual(player.socket.recv(99), b"one")
            server.close()
            for _ in range(20):
                player.socket.send(b"nobody is there")
                time.sleep(0.01)
            server = udp_socket(port=port)
            self.addCleanup(server.close)
            player.socket.send(b"two")
            while (got := server.recvfrom(99))[0] != b"two":
                pass
            self.assertEqual(got[1], source)
            server.sendto(b"two", source)
            self.assertEqual(player.socket.recv(99), b"two")
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_total"), 1)
            check_sums(proxy)

    @contextlib.contextmanager
    def named(self, **options):
        """Two addresses of a name, with a server each; and a proxy whose endpoint is the name. Gives the proxy, and the server
        that it asks at first."""
        with contextlib.ExitStack() as stack:
            preexec = stack.enter_context(own_hosts(f"{own_address()} game.test\n{own_address('127.0.0.2')} game.test\n"))
            first = stack.enter_context(Servers(1))
            port = first.sockets[0].getsockname()[1]
            second = stack.enter_context(Servers(1, address="127.0.0.2", port=port))
            proxy = stack.enter_context(Proxy([cluster(f"game.test:{port}", **options)], by_token(size=1), workers=1,
                                              preexec_fn=preexec))
            with Player(proxy.port) as player:
                player.ask(b"hello a")
            yield proxy, first if first.count() else second

    def test_a_name_goes_on_to_its_next_address_when_it_is_refused(self):
        with Servers(1) as others, self.named(tokens=[[b"a"]]) as (proxy, first), Player(proxy.port) as player, \
                Player(proxy.port) as other:
            proxy.reload(clusters=proxy.document["clusters"] + [cluster(*others.targets, tokens=[[b"b"]]) | {"locality": "b"}])
            player.ask(b"hello a")
            first.close(0)

            def is_answered():
                """A player of another server, by the same socket, notices nothing."""
                player.socket.send(b"hello a")
                self.assertEqual(other.ask(b"there b"), b"there ")
                return player.rest(0.1)
            wait_until(is_answered, "the next address serves")
            self.assertEqual(proxy.await_event(NEXT_ADDRESS)["fields"]["name"], "game.test")
            self.assertEqual(player.ask(b"hello a"), b"hello ")
            metrics = proxy.metrics()
            self.assertEqual(dropped(metrics, "read"), 0)
            self.assertEqual(value(metrics, "quilkin_errors_total"), 0)
            self.assertEqual(value(metrics, "paddock_udp_upstream_sockets"), 2)
            check_sums(proxy)

    @contextlib.contextmanager
    def stranger(self):
        """A proxy with a server by its name, a player whom that has answered, and a socket for ICMP in the network's name."""
        with self.named(tokens=[[b"a"]]) as (proxy, first), Player(proxy.port) as player, icmp_socket() as raw:
            player.ask(b"hello a")
            yield proxy, first, player, raw

    @needs_root
    def test_a_stranger_who_says_refused_changes_nothing(self):
        """ICMP that nobody of the path has sent: for a server that answers, for another one, and much of it."""
        with self.stranger() as (proxy, first, player, raw):
            address, server = first.sockets[0].getsockname()
            source = first.seen[0][-1][1][1]

            def refuse(port, count):
                packet = refusal((proxy_address(), source), (address, port))
                for _ in range(count):
                    raw.sendto(packet, (proxy_address(), 0))
            for port in server, 9:
                for _ in range(20):
                    player.ask(b"hello a")
                    refuse(port, 1)
                refuse(port, scaled(10000))
                self.assertEqual(player.ask(b"hello a"), b"hello ")
            seen = first.count()
            time.sleep(1.5)  # what was noted would be in force by then
            self.assertEqual(player.ask(b"hello a"), b"hello ")
            self.assertEqual(first.count(), seen + 1)
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_errors_total"), 0)
            self.assertEqual(value(metrics, "paddock_udp_kernel_drops_total"), 0)
            check_sums(proxy)

    @needs_root
    def test_a_refusal_of_a_server_that_is_silent_is_believed(self):
        """The packet of the test before is one that is taken for the network's."""
        with self.stranger() as (proxy, first, _, raw):
            packet = refusal((proxy_address(), first.seen[0][-1][1][1]), first.sockets[0].getsockname())
            time.sleep(1.1)
            raw.sendto(packet, (proxy_address(), 0))
            proxy.await_event(NEXT_ADDRESS)


if __name__ == "__main__":
    support.main()
