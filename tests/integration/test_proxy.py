#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The UDP proxy: which datagram reaches whom, unharmed, in order, and counted."""
import base64
import contextlib
import os
import socket
import struct
import sys
import time
import unittest

import proxying
import support
from proxying import (BALANCER, DROP, FILTER, PASS, Player, Proxy, Servers, by_token, check_sums, cluster, dropped, is_all_counted, losses,
                      own_address, processor_seconds, proxy_address, stopped, target_of, udp_socket, value)
from support import Namespace, make_room, needs_ipv6, needs_root, scaled, sysctl, wait_until, without_ipv6

UDP_SEGMENT = 103
LISTENED = "127.0.0.1", "127.0.0.2", "::1"
TOKENS = [b"abc"], [b"xyz", b"\x00\x00\x01"]


class RouteTest(unittest.TestCase):
    def test_the_token_chooses_the_server_and_is_removed(self):
        for part, make in (("suffix", lambda data, token: data + token), ("prefix", lambda data, token: token + data)):
            with self.subTest(part), Servers(2) as servers, \
                    Proxy([cluster(*servers.targets, tokens=TOKENS)], by_token(part)) as proxy, Player(proxy.port) as player:
                self.assertEqual(player.ask(make(b"hello", b"abc")), b"hello")
                self.assertEqual(player.ask(make(b"there", b"\x00\x00\x01")), b"there")
                self.assertEqual(player.ask(make(b"", b"xyz")), b"")
                player.socket.send(make(b"hello", b"abd"))
                player.socket.send(b"ab")
                self.assertEqual(player.ask(make(b"again", b"xyz")), b"again")
                self.assertEqual([[data for data, _ in seen] for seen in servers.seen], [[b"hello"], [b"there", b"", b"again"]])
                metrics = proxy.metrics()
                self.assertEqual(dropped(metrics, "read", "filter::token_router::no endpoint match"), 1)
                self.assertEqual(dropped(metrics, "read", "filter::capture::no value captured"), 1)
                self.assertEqual(dropped(metrics, "read"), 2)
                self.assertEqual(value(metrics, "quilkin_session_active"), 2)
                self.assertEqual(value(metrics, "paddock_udp_upstream_sockets"), 1)
                self.assertEqual(value(metrics, "quilkin_active_endpoints"), 2)
                self.assertEqual(value(metrics, "quilkin_cluster_active"), 1)
                check_sums(proxy)
                proxy.stop()

    def test_the_token_stays_unless_it_is_to_be_removed(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets, tokens=[[b"abc"]])], by_token(remove=False)) as proxy, \
                Player(proxy.port) as player:
            self.assertEqual(player.ask(b"hello abc"), b"hello abc")

    def test_static_endpoints_have_tokens_of_their_own(self):
        with Servers(2) as servers, \
                Proxy([], None, None, "--provider.static.endpoints", ",".join(servers.targets),
                      "--provider.static.endpoint-tokens", "2:2") as proxy, Player(proxy.port) as player:
            for number in range(4):
                player.ask(b"%d" % number + number.to_bytes(2, "little"))
            self.assertEqual([[data for data, _ in seen] for seen in servers.seen], [[b"0", b"1"], [b"2", b"3"]])

    def test_without_a_filter_all_endpoints_get_a_copy(self):
        for filters in (None, [], [{"name": PASS}]):
            with self.subTest(filters), Servers(3) as servers, Proxy([cluster(*servers.targets)], filters) as proxy, \
                    Player(proxy.port) as player:
                player.socket.send(b"hello")
                self.assertEqual([player.socket.recv(99) for _ in range(3)], 3 * [b"hello"])
                metrics = proxy.metrics()
                self.assertEqual(value(metrics, "paddock_udp_copies_total"), 2)
                self.assertEqual(value(metrics, "paddock_udp_upstream_sockets"), 1)
                self.assertEqual(value(metrics, "quilkin_session_active"), 3)
                check_sums(proxy)

    def test_the_load_balancer_chooses_one(self):
        with Servers(3) as servers, \
                Proxy([cluster(*servers.targets)], [{"name": BALANCER, "config": {}}], workers=1) as proxy, \
                Player(proxy.port) as player:
            for i in range(30):
                player.ask(b"%d" % i)
            self.assertEqual([len(seen) for seen in servers.seen], [10, 10, 10])
            proxy.reload(filters=[{"name": BALANCER, "config": {"policy": "HASH"}}])
            for i in range(30):
                player.ask(b"%d" % i)
            self.assertEqual(sorted(len(seen) for seen in servers.seen), [10, 10, 40])
            proxy.reload(filters=[{"name": BALANCER, "config": {"policy": "RANDOM"}}])
            for i in range(60):
                player.ask(b"%d" % i)
            self.assertGreater(min(len(seen) for seen in servers.seen), 12)
            self.assertEqual(servers.count(), 120)
            check_sums(proxy)

    def test_drop_drops_both_ways(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], [{"name": DROP}]) as proxy, Player(proxy.port) as player:
            player.socket.send(b"one")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="filter::drop::dropped"}', 1)
            proxy.reload(filters=[])
            self.assertEqual(player.ask(b"two"), b"two")
            proxy.reload(filters=[{"name": DROP}])
            servers.sockets[0].sendto(b"three", servers.seen[0][0][1])
            proxy.await_metric('quilkin_packets_dropped_total{event="write",source="filter::drop::dropped"}', 1)
            self.assertEqual((player.rest(), servers.count()), ([], 1))
            check_sums(proxy)

    def test_nothing_is_forwarded_without_endpoints(self):
        with Proxy([]) as proxy, Player(proxy.port) as player:
            player.socket.send(b"hello")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="no upstream endpoints"}', 1)

    def test_players_on_this_host_are_refused_unless_asked_for(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], loopback=False) as proxy, Player(proxy.port) as player:
            player.socket.send(b"hello")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="disallowed source ip"}', 1)
            self.assertEqual(servers.count(), 0)
            proxy.reload({"loopback": True})
            self.assertEqual(player.ask(b"hello"), b"hello")


class PayloadTest(unittest.TestCase):
    def test_datagrams_of_any_size_pass_unharmed(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            for size in (0, 1, 3, 511, 1200, 1472, 1473, 2048, 2049, 9000, 32768, 65000, 65506, 65507):
                data = os.urandom(size)
                self.assertEqual(player.ask(data), data)
                self.assertEqual(servers.seen[0][-1][0], data)
            check_sums(proxy)

    @needs_ipv6
    def test_the_longest_datagram_of_ipv6_passes(self):
        with Servers(1, address="::1") as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port, "::1") as player:
            data = os.urandom(65527)
            self.assertEqual(player.ask(data), data)

    @needs_ipv6
    def test_what_is_too_long_for_the_other_side_is_dropped_with_a_reason(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port, "::1") as player:
            player.socket.send(bytes(65520))
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="too_large"}', 1)
            self.assertEqual(player.ask(b"hello"), b"hello")
            check_sums(proxy)

    def test_datagrams_that_grow_by_much_are_not_mixed_up(self):
        more = bytes(range(256)) * 4
        grow = {"name": FILTER("concatenate", "Concatenate"),
                "config": {"on_read": "APPEND", "on_write": "PREPEND", "bytes": base64.b64encode(more).decode()}}
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], [grow], workers=1) as proxy:
            players = [Player(proxy.port) for _ in range(20)]
            for player in players:
                player.ask(b"first")
            with stopped(proxy):
                for i, player in enumerate(players):
                    for j in range(3):
                        player.socket.send(b"%d %d" % (i, j))
            for i, player in enumerate(players):
                self.assertEqual([player.socket.recv(9999) for _ in range(3)], [more + b"%d %d" % (i, j) + more for j in range(3)])
                player.socket.close()
            check_sums(proxy)

    def test_bursts_that_the_kernel_gathers_are_datagrams_again(self):
        """One send is cut by the kernel, which gives it to the proxy as one message again."""
        def burst(peer, payloads, *to):
            segment = (socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", len(payloads[0])))
            peer.sendmsg([b"".join(payloads)], [segment], 0, *to)
        token = b"\x01\x02\x03"
        with Servers(1, lambda _, data: []) as servers, udp_socket() as player, \
                Proxy([cluster(*servers.targets, tokens=[[token]])], by_token(), {"gro": True}, workers=1) as proxy:
            make_room(player)
            player.connect((proxy_address(), proxy.port))
            for size, count in ((0, 5), (1, 40), (64, 100), (1000, 33), (1400, 46)):
                payloads = [bytes([i]) * size for i in range(count)]
                servers.seen[0].clear()
                burst(player, [payload + token for payload in payloads])
                wait_until(lambda count=count: len(servers.seen[0]) == count, f"{count} datagrams of {size} bytes")
                self.assertEqual([data for data, _ in servers.seen[0]], payloads)
                answers = [payload + b"." for payload in payloads]
                burst(servers.sockets[0], answers, servers.seen[0][0][1])
                self.assertEqual([player.recv(65536) for _ in answers], answers)
            check_sums(proxy)

    def test_order_is_kept_both_ways(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            sent = [b"%06d" % i + bytes(i % 700) for i in range(scaled(20000))]
            received = []
            for first in range(0, len(sent), 50):
                for data in sent[first:first + 50]:
                    player.socket.send(data)
                received += [player.socket.recv(65536) for _ in sent[first:first + 50]]
            may_differ = value(proxy.metrics(), "paddock_udp_xdp_overtakings_total") > 0
            for found in [data for data, _ in servers.seen[0]], received:
                self.assertEqual(sorted(found) if may_differ else found, sent)


class TrafficTest(unittest.TestCase):
    def check(self, address, is_carried):
        """Sends with each of some DSCP and ECN; returns what server and player saw."""
        level, option, told = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS) if ":" in address else \
            (socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS)

        def receive(receiver):
            data, control, _, source = receiver.recvmsg(99, 99)
            return data, [int.from_bytes(found, sys.byteorder) for _, kind, found in control if kind == option], source
        with udp_socket(address, 0) as server, \
                Proxy([cluster(target_of(server.getsockname()))], udp={"dscp": is_carried}) as proxy, Player(proxy.port, address) as player:
                for side in server, player.socket:
                    side.setsockopt(level, told, 1)
                for there, back in 2 * ((0xb8, 0x28), (0x03, 0x02), (0x01, 0x00), (0x00, 0xff), (0xff, 0x01)):
                    proxying.GROUND.pause()
                    player.socket.setsockopt(level, option, there)
                    server.setsockopt(level, option, back)
                    player.socket.send(b"hello")
                    data, seen, source = receive(server)
                    self.assertEqual((data, seen), (b"hello", [there if is_carried else 0]))
                    server.sendto(b"there", source)
                    data, seen, _ = receive(player.socket)
                    self.assertEqual((data, seen), (b"there", [back if is_carried else 0]))
                check_sums(proxy)

    def test_dscp_and_ecn_are_carried_both_ways_on_request(self):
        for address in ["127.0.0.1"] + (["::1"] if support.has_ipv6() else []):
            for is_carried in (True, False):
                with self.subTest(address, is_carried=is_carried):
                    self.check(address, is_carried)

    @needs_ipv6
    def test_they_are_carried_between_the_families(self):
        with udp_socket(port=0) as server, Proxy([cluster(target_of(server.getsockname()))], udp={"dscp": True}) as proxy, \
                Player(proxy.port, "::1") as player:
            server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            player.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0xb9)
            player.socket.send(b"hello")
            data, control, _, _ = server.recvmsg(99, 99)
            self.assertEqual((data, control[0][2]), (b"hello", b"\xb9"))


class AddressTest(unittest.TestCase):
    def check(self, proxy, addresses):
        """A connected socket hears an answer of the address and port that it is connected to alone."""
        for address in addresses:
            with self.subTest(address), Player(proxy.port, address) as player:
                for _ in range(5):
                    self.assertEqual(player.ask(b"hello"), b"hello")

    def test_the_answer_leaves_from_the_address_that_was_asked(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy:
            self.check(proxy, ["127.0.0.1", "127.0.0.2", "127.0.7.7"] + (["::1"] if support.has_ipv6() else []))

    @needs_ipv6
    def test_several_addresses_are_served(self):
        with Servers(1, address="::1") as servers, \
                Proxy([cluster(*servers.targets)], udp={"listen": [proxy_address(address) for address in LISTENED]}) as proxy:
            self.check(proxy, LISTENED)

    def check_without_ipv6(self, **options):
        """Servers of IPv4 are served, and one of IPv6 is nobody: not the IPv4 address in its last bytes either."""
        with Servers(2) as servers:
            six = f"[2001:db8::{own_address()}]:{servers.sockets[1].getsockname()[1]}"
            with Proxy([cluster(servers.targets[0], six, tokens=[[b"a"], [b"b"]])], by_token(size=1), **options) as proxy:
                for address in "127.0.0.1", "127.0.0.2":
                    with self.subTest(address), Player(proxy.port, address) as player:
                        self.assertEqual(player.ask(b"hello a"), b"hello ")
                        player.socket.send(b"hello b")
                        self.assertEqual(player.ask(b"hello a"), b"hello ")
                proxy.await_metric('quilkin_packets_dropped_total{event="read",source="unreachable"}', 2)
                self.assertEqual(servers.seen[1], [])
                check_sums(proxy)

    def test_a_kernel_without_ipv6_serves_ipv4(self):
        self.check_without_ipv6(preexec_fn=without_ipv6())

    @needs_root
    def test_a_host_whose_ipv6_is_off_serves_ipv4(self):
        with contextlib.closing(Namespace()) as namespace, namespace:
            sysctl("ipv6/conf/all/disable_ipv6", 1)
            self.assertFalse(support.has_ipv6())
            self.check_without_ipv6()

    @needs_ipv6
    def test_sessions_of_all_addresses_live_through_a_change_of_the_port(self):
        with Servers(1) as servers, \
                Proxy([cluster(*servers.targets)], udp={"listen": [proxy_address(address) for address in LISTENED]}) as proxy:
            players = [Player(proxy.port, address) for address in LISTENED]
            for i, player in enumerate(players):
                player.ask(b"%08d" % i)
            new = support.closed_port()
            proxy.reload({"port": new})
            for i, player in enumerate(players):  # answers come from the new port, to which the socket is now connected
                address = player.socket.getpeername()
                player.socket.connect((address[0], new, *address[2:]))
                servers.sockets[0].sendto(b"answer", servers.seen[0][i][1])
                self.assertEqual(player.socket.recv(99), b"answer")
                self.assertEqual(player.ask(b"%08d" % i), b"%08d" % i)
                player.socket.close()
            self.assertEqual([len(ports) for ports in servers.sources().values()], [1, 1, 1])
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_total"), 3)
            check_sums(proxy)


class CountTest(unittest.TestCase):
    def test_every_datagram_is_counted_when_the_kernel_drops(self):
        count, lost = 30000, losses()  # more than the buffers hold, however slow the build
        with Servers(1, answer=lambda index, data: []) as servers, Proxy([cluster(*servers.targets)]) as proxy:
            players = [Player(proxy.port) for _ in range(8)]
            for player in players:
                player.socket.send(b"first")
            wait_until(lambda: servers.count() == 8, "the sessions are there")
            with stopped(proxy):
                for i in range(count):
                    players[i % 8].socket.send(b"x")
                for i in range(count):
                    servers.sockets[0].sendto(b"y", servers.seen[0][i % 8][1])

            wait_until(lambda: is_all_counted(proxy, count + 8, count, lost), "all datagrams are received or dropped", 15)
            metrics = proxy.metrics()
            check_sums(proxy)
            self.assertGreater(value(metrics, "paddock_udp_kernel_drops_total", event="read"), 0)
            self.assertGreater(value(metrics, "paddock_udp_kernel_drops_total", event="write"), 0)
            for player in players:
                player.socket.close()
            proxy.stop()

    def test_every_datagram_is_counted_at_more_than_it_can_take(self):
        """Two processes send as fast as they can to one worker."""
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], workers=1) as proxy:
            count, senders, lost = scaled(40000), [], losses()
            for _ in range(2):
                child = os.fork()
                if child == 0:
                    with Player(proxy.port) as player:
                        player.socket.setblocking(True)
                        for i in range(count):
                            try:
                                player.socket.send(b"%d" % i)
                            except OSError:
                                os._exit(1)
                    os._exit(0)
                senders.append(child)
            self.assertEqual([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in senders], [0, 0])
            wait_until(lambda: is_all_counted(proxy, 2 * count, servers.answered, lost), "all datagrams are received or dropped, each way")
            check_sums(proxy)

    def test_durations_count_each_datagram(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets, tokens=[[b"abc"]])], by_token()) as proxy, Player(proxy.port) as player:
            for i in range(100):
                player.ask(b"%d abc" % i)
            player.socket.send(b"no")
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="filter::capture::no value captured"}', 1)
            metrics = proxy.metrics()
            for event, count in (("read", 101), ("write", 100)):
                self.assertEqual(value(metrics, "quilkin_packets_processing_duration_seconds_count", event=event), count)
            runs = {name: value(metrics, "quilkin_filter_read_duration_seconds_count", filter=f"quilkin.filters.{name}")
                    for name in ("capture.v1alpha1.Capture", "token_router.v1alpha1.TokenRouter", "pass.v1alpha1.Pass")}
            self.assertEqual(list(runs.values()), [101, 100, 0])
            self.assertGreater(value(metrics, "quilkin_packet_jitter", event="write"), 0)


class LoopTest(unittest.TestCase):
    def check_quiet(self, proxies):
        """What is on its way comes to an end: nothing is received any more, and no time is spent."""
        def received(proxy):
            return value(proxy.metrics(), "paddock_udp_received_total")
        wait_until(lambda: [received(proxy) for proxy in proxies] == (time.sleep(0.3) or [received(proxy) for proxy in proxies]),
                   "no datagram comes any more")
        before = [processor_seconds(proxy.pid) for proxy in proxies]
        time.sleep(1)
        for proxy, seconds in zip(proxies, before):
            self.assertLess(processor_seconds(proxy.pid) - seconds, 0.3)
            check_sums(proxy)

    def test_an_endpoint_that_is_the_proxy_itself_makes_no_loop(self):
        with Proxy([]) as proxy, Player(proxy.port) as player:
            addresses = ["127.0.0.1"] + (["::1"] if support.has_ipv6() else [])
            proxy.reload(clusters=[cluster(*(target_of((proxy_address(address), proxy.port)) for address in addresses))])
            for _ in range(10):
                player.socket.send(b"round and round")
            self.check_quiet([proxy])
            metrics = proxy.metrics()
            self.assertEqual(dropped(metrics, "read", "loop"), 10 * len(addresses))
            self.assertEqual(value(metrics, "paddock_udp_received_total", event="read"), 10 + 10 * len(addresses))

    def test_an_endpoint_that_is_a_socket_of_the_proxy_makes_no_loop(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            player.ask(b"hello")
            own = servers.seen[0][0][1][1]
            proxy.reload(clusters=[cluster(target_of((proxy_address(), own)))])
            for _ in range(10):
                player.socket.send(b"round and round")
            self.check_quiet([proxy])
            self.assertEqual(dropped(proxy.metrics(), "write", "loop"), 10)

    def test_a_ring_of_two_proxies_dies_out(self):
        with Proxy([]) as first, Proxy([cluster(f"127.0.0.1:{first.port}")]) as second, Player(first.port) as player:
            first.reload(clusters=[cluster(f"127.0.0.1:{second.port}")])
            player.socket.send(b"round and round")
            self.check_quiet([first, second])
            self.assertGreater(dropped(first.metrics(), "read", "loop") + dropped(second.metrics(), "read", "loop"), 0)
            self.assertLess(value(first.metrics(), "paddock_udp_received_total", event="read"), 300)


if __name__ == "__main__":
    support.main()
