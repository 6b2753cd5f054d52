# SPDX-License-Identifier: Apache-2.0
"""The proxy with XDP in front of its sockets, between two hosts (network namespaces) over veth: players and game servers are on
one of them."""
import json
import os
import socket
import subprocess
import time

import support
import test_xdp
from faults import FAULTY, Faults
from proxying import BALANCER, FILTER, Player, Proxy, Servers, by_token, check_sums, cluster, dropped, stopped, value
from serving import RELOADED
from support import ip, sysctl
from test_xdp import CLIENT_IPV4, CLIENT_IPV6, DETACHED, LOSING, SERVER_IPV4, SERVER_IPV6, XdpTest, holder, mac_of, pass_all

CARRIES = "xdp carries established sessions"
LEAVES = "xdp leaves players' datagrams to the sockets"
LIMIT, OVER_LIMIT = FILTER("local_rate_limit", "LocalRateLimit"), "filter::rate_limit::dropped"
FIREWALL, CONCATENATE = FILTER("firewall", "Firewall"), FILTER("concatenate", "Concatenate")
BACK_CLIENT_IPV4, BACK_CLIENT_IPV6 = "10.99.1.1", "fd00:9a::1"
SO_NO_CHECK = 11
EVERYBODY = {"action": "ALLOW", "sources": ["0.0.0.0/0", "::/0"], "ports": ["0-65535", 65535]}


def limited(count, seconds):
    return {"name": LIMIT, "config": {"max_packets": count, "period": seconds}}


def compute_checksums(link):
    """Has what leaves by a link of this namespace leave with its checksum."""
    subprocess.run(["ethtool", "-K", link, "tx", "off"], check=True, stdout=subprocess.DEVNULL)


class ProxyXdpTest(XdpTest):
    """What the tests below share."""
    mode = None
    interfaces = "way"
    leaves_checksums = False  # to the interface, which is veth's way; else senders compute them

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.leaves_checksums:
            with cls.client:
                compute_checksums("way")

    def proxy(self, clusters=(), filters=None, udp=None, *flags, **options):
        with self.server:
            proxy = Proxy(clusters, filters, udp, *flags, "--xdp", "on", "--xdp-attach", self.mode,
                          "--service.udp.xdp.network-interface", self.interfaces, **options)
        self.addCleanup(proxy.__exit__)
        return proxy

    def servers(self, count, address=CLIENT_IPV4, **options):
        with self.client:
            servers = Servers(count, address=address, **options)
        return self.enterContext(servers)

    def player(self, proxy, address=SERVER_IPV4, port=None):
        with self.client:
            return self.enterContext(Player(port or proxy.port, address))

    def metrics(self, proxy):
        with self.server:
            return proxy.metrics()

    def carried(self, proxy):
        """Datagrams that XDP has carried so far: to servers, to players."""
        metrics = self.metrics(proxy)
        return [value(metrics, "paddock_udp_xdp_packets_total", event=event) for event in ("read", "write")]

    def establish(self, proxy, player, data=b"hello", ways=(0, 1)):
        """Plays until XDP carries the session both ways, or one."""
        def is_carried():
            before = self.carried(proxy)
            player.ask(data)
            after = self.carried(proxy)
            return all(after[way] > before[way] for way in ways)
        support.wait_until(is_carried, "XDP carries the session")

    def check_all_by_xdp(self, proxy, player, count=50, data=b"datagram %d", answer=None):
        """But for a few that ask the kernel where to go, when it has news of routes."""
        before = self.carried(proxy)
        for i in range(count):
            self.assertEqual(player.ask(data % i), (answer or data) % i)
        for now, then in zip(self.carried(proxy), before):
            self.assertIn(now - then, range(count - 3, count + 1))

    def check_sums(self, proxy):
        with self.server:
            check_sums(proxy)

    def sessions(self, proxy):
        with self.server:
            return json.loads(proxy.http("/sessions")[1])["sessions"]


class WayTests:
    """Where frames go: as the kernel sends them, by whatever interface, in both modes."""
    interfaces = "way,back"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.client:
            pass_all("back")
            compute_checksums("back")

    def ways(self):
        """Frames that the host of the proxy has sent: to the players' and servers' host, by each link."""
        with self.client:
            links = json.loads(ip("-j -s link show"))
        return {link["ifname"]: link["stats64"]["rx"]["packets"] for link in links}

    def by(self, link, before, count):
        """Waits until `count` frames more have come by a link than before."""
        support.wait_until(lambda: self.ways()[link] - before[link] >= count, f"{count} frames came by {link}")

    def play(self, proxy, player, link):
        """Plays, all by XDP, and sees that the servers' share comes by a link."""
        self.establish(proxy, player)
        before = self.ways()
        self.check_all_by_xdp(proxy, player)
        if link != "way":
            self.by(link, before, 50)
            self.assertLess(self.ways()[link] - before[link], 80)

    def test_servers_behind_another_interface_are_carried(self):
        for own, host in ((BACK_CLIENT_IPV4, SERVER_IPV4), (BACK_CLIENT_IPV6, SERVER_IPV6)):
            servers = self.servers(1, own)
            proxy = self.proxy([cluster(*servers.targets)])
            self.assertEqual(proxy.await_event(CARRIES)["fields"]["interface"], self.interfaces)
            player = self.player(proxy, host)
            self.play(proxy, player, "back")
            self.check_sums(proxy)
            with self.server:
                proxy.stop()

    def test_servers_in_a_vlan_of_another_interface_are_carried(self):
        for host, end in ((self.client, 1), (self.server, 2)):
            with host:
                try:
                    ip("link add link back name back.7 type vlan id 7")
                except AssertionError as error:
                    self.skipTest(f"no VLAN devices here: {error}")
                ip(f"addr add 10.77.0.{end}/24 dev back.7")
                ip("link set back.7 up")
                self.addCleanup(self.away(host), "link del back.7")
        with self.client:  # or the tag is beside the frame, where no program sees it
            subprocess.run(["ethtool", "-K", "back", "txvlan", "off"], check=True, stdout=subprocess.DEVNULL)
        servers = self.servers(1, "10.77.0.1")
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.play(proxy, player, "back")
        self.check_sums(proxy)

    def away(self, host):
        def run(arguments):
            with host:
                ip(arguments)
        return run

    def test_another_route_is_taken_at_once(self):
        self.away(self.client)("addr add 10.55.0.1/32 dev lo")
        self.addCleanup(self.away(self.client), "addr del 10.55.0.1/32 dev lo")
        self.away(self.server)(f"route add 10.55.0.1 via {BACK_CLIENT_IPV4}")
        self.addCleanup(self.away(self.server), "route del 10.55.0.1")
        servers = self.servers(1, "10.55.0.1")
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.play(proxy, player, "back")
        # The kernel may choose another source address with a route, or keep it.
        for link, route in (("way", CLIENT_IPV4), ("back", BACK_CLIENT_IPV4), ("way", f"{CLIENT_IPV4} src 10.99.1.2")):
            self.away(self.server)(f"route replace 10.55.0.1 via {route}")

            def has_changed():
                before = self.ways()["back"]
                for _ in range(10):
                    player.ask(b"where")
                frames = self.ways()["back"] - before
                return frames >= 10 if link == "back" else frames < 5
            support.wait_until(has_changed, f"it goes by {link}")
            self.play(proxy, player, link)
        self.check_sums(proxy)

    def test_a_neighbour_that_has_another_mac_address_is_followed(self):
        servers = self.servers(1, BACK_CLIENT_IPV4)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.play(proxy, player, "back")
        with self.client:
            was = mac_of("back").hex(":")
            ip("link set back address 02:00:00:00:00:77")
        self.addCleanup(self.away(self.client), f"link set back address {was}")
        with self.server:
            ip(f"neigh replace {BACK_CLIENT_IPV4} lladdr 02:00:00:00:00:77 dev back")
        self.addCleanup(self.away(self.server), f"neigh del {BACK_CLIENT_IPV4} dev back")

        def answers():
            player.socket.send(b"to the new one")
            return player.rest(0.1) != []
        support.wait_until(answers, "the server gets datagrams again")
        player.rest(0.2)
        self.play(proxy, player, "back")
        self.check_sums(proxy)

    def test_a_neighbour_that_is_not_known_any_more_is_asked_for_again(self):
        for own, host in ((BACK_CLIENT_IPV4, SERVER_IPV4), (BACK_CLIENT_IPV6, SERVER_IPV6)):
            servers = self.servers(1, own)
            proxy = self.proxy([cluster(*servers.targets)])
            player = self.player(proxy, host)
            self.play(proxy, player, "back")
            self.away(self.server)("neigh flush dev back")
            self.assertEqual(player.ask(b"who has it"), b"who has it")
            self.play(proxy, player, "back")
            for host in (self.client, self.server):
                self.away(host)("link set back down")
                self.away(host)("link set back up")
            # IPv6 addresses go with the link.
            for host, end in ((self.client, 1), (self.server, 2)):
                with host:
                    ip(f"addr replace fd00:9a::{end}/64 dev back nodad")

            def answers():
                player.socket.send(b"up again")
                return player.rest(0.1) != []
            support.wait_until(answers, "the server gets datagrams again")
            player.rest(0.2)
            self.play(proxy, player, "back")
            self.check_sums(proxy)
            with self.server:
                proxy.stop()

    def test_what_is_too_long_for_the_other_interface_goes_in_pieces(self):
        for host in (self.client, self.server):
            self.away(host)("link set back mtu 1000")
            self.addCleanup(self.away(host), "link set back mtu 1500")
        servers = self.servers(1, BACK_CLIENT_IPV4)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.play(proxy, player, "back")
        before = self.carried(proxy)
        for size in (1000, 1200, 1400):
            data = bytes(size)
            self.assertEqual(player.ask(data), data)
        self.assertEqual(self.carried(proxy), before)
        self.assertEqual([len(data) for data, _ in servers.seen[0][-3:]], [1000, 1200, 1400])
        longest = bytes(972)
        player.ask(longest)

        def is_carried():
            before = self.carried(proxy)
            self.assertEqual(player.ask(longest), longest)
            return self.carried(proxy) == [number + 1 for number in before]
        support.wait_until(is_carried, "XDP carries what is as long as the kernel has sent")
        self.check_sums(proxy)

    def third(self):
        """Another link, at whose other end nothing is yet; returns the address there."""
        with self.client:
            ip(f"link add third type veth peer name third netns {self.server.path}")
        self.addCleanup(self.away(self.client), "link del third")
        for host, end in ((self.client, 1), (self.server, 2)):
            self.away(host)(f"addr add 10.98.0.{end}/24 dev third")
            self.away(host)("link set third up")
        with self.client:
            compute_checksums("third")
        self.addCleanup(setattr, self, "interfaces", self.interfaces)
        self.interfaces = "way,third"
        return "10.98.0.1"

    def check_losses(self, proxy, servers):
        """What was sent has come, or is counted as lost."""
        def is_all():
            metrics = self.metrics(proxy)
            return value(metrics, "quilkin_packets_total", event="read") == \
                servers.count() + metrics["paddock_xdp_transmit_errors_total"]
        support.wait_until(is_all, "no datagram is missing")

    def test_what_would_leave_by_an_interface_that_is_down_is_not_lost_silently(self):
        address = self.third()
        with self.client:
            pass_all("third")
        servers = self.servers(1, address)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.establish(proxy, player)
        self.away(self.server)("link set third down")

        def is_left():
            before = self.carried(proxy)
            for _ in range(3):  # one may ask the kernel where to go, and the next one be carried
                player.socket.send(b"nowhere")
            time.sleep(0.01)
            return self.carried(proxy) == before
        support.wait_until(is_left, "XDP leaves it to the sockets")

        def refused():
            return dropped(self.metrics(proxy), "read", "unreachable")
        carried, before = self.carried(proxy), refused()
        player.socket.send(b"nowhere")
        support.wait_until(lambda: refused() > before, "it is counted")
        self.assertEqual(self.carried(proxy), carried)
        self.away(self.server)("link set third up")
        player.rest(0.1)
        support.wait_until(lambda: player.socket.send(b"back again") and player.rest(0.1), "it comes again")
        self.establish(proxy, player)
        self.check_all_by_xdp(proxy, player)
        self.check_losses(proxy, servers)

    def test_an_interface_that_goes_leaves_all_to_the_sockets(self):
        with self.server:
            ip("link add third type veth peer name fourth")
            proxy_interfaces, self.interfaces = self.interfaces, "way,third"
        self.addCleanup(setattr, self, "interfaces", proxy_interfaces)
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.play(proxy, player, "way")
        with self.server:
            ip("link del third")
        proxy.await_event(DETACHED)
        before = self.carried(proxy)
        self.assertEqual(player.ask(b"by sockets"), b"by sockets")
        self.assertEqual(self.carried(proxy), before)
        with self.server:
            self.assertIsNone(holder("way"))
        self.check_sums(proxy)


class ModeTests:
    """The same for both modes."""

    def test_established_sessions_are_carried_and_counted_once(self):
        for own, host in ((CLIENT_IPV4, SERVER_IPV4), (CLIENT_IPV6, SERVER_IPV6)):
            servers = self.servers(1, own)
            proxy = self.proxy([cluster(*servers.targets)])
            self.assertEqual(proxy.await_event(CARRIES)["fields"]["interface"], "way")
            players = [self.player(proxy, host) for _ in range(5)]
            for player in players:
                self.establish(proxy, player)
                self.check_all_by_xdp(proxy, player, 20)
            self.check_sums(proxy)
            metrics = self.metrics(proxy)
            self.assertEqual(value(metrics, "quilkin_session_total"), 5)
            self.assertEqual(value(metrics, "paddock_udp_xdp_sessions"), 5)
            self.assertEqual(value(metrics, "quilkin_packets_total", event="read"), servers.count())
            self.assertEqual(value(metrics, "quilkin_packets_total", event="write"), servers.count())
            size = sum(len(data) for data, _ in servers.seen[0])
            self.assertEqual(value(metrics, "quilkin_bytes_total", event="read"), size)
            self.assertEqual(value(metrics, "quilkin_bytes_total", event="write"), size)
            shown = self.sessions(proxy)
            self.assertEqual(sum(one["read"]["packets"] for one in shown), servers.count())
            self.assertEqual(sum(one["write"]["bytes"] for one in shown), size)
            with self.server:
                self.assertEqual(holder("way"), self.mode)
                stopped = proxy.stop()
            self.assertEqual([stopped["received_from_players"], stopped["sent_to_players"]], [servers.count()] * 2)
            with self.server:
                self.assertIsNone(holder("way"))

    def test_tokens_are_compared_for_each_datagram_and_cut_off(self):
        for part, size, remove in (("suffix", 3, True), ("prefix", 3, True), ("prefix", 16, True), ("suffix", 4, False)):
            with self.subTest(part=part, size=size, remove=remove):
                servers = self.servers(2)
                tokens = [b"A" * size, b"B" * size]
                proxy = self.proxy([cluster(*servers.targets, tokens=[[token] for token in tokens])],
                                   by_token(part, size, remove))
                player = self.player(proxy)

                def marked(data, token):
                    return data + token if part == "suffix" else token + data
                self.establish(proxy, player, marked(b"hello", tokens[0]))
                data = marked(b"datagram %d", tokens[0])
                self.check_all_by_xdp(proxy, player, 20, data, b"datagram %d" if remove else data)
                before = self.carried(proxy)
                player.socket.send(marked(b"nobody's", b"C" * size))
                other = marked(b"the other's", tokens[1])
                self.assertEqual(player.ask(other), b"the other's" if remove else other)
                self.assertEqual([data for data, _ in servers.seen[1]], [b"the other's" if remove else other])
                self.assertEqual(self.carried(proxy), before)
                self.check_all_by_xdp(proxy, player, 5, data, b"datagram %d" if remove else data)
                metrics = self.metrics(proxy)
                self.assertEqual(dropped(metrics, "read"), 1)
                self.assertEqual(dropped(metrics, "read", "filter::token_router::no endpoint match"), 1)
                self.check_sums(proxy)
                with self.server:
                    proxy.stop()

    def test_a_change_is_in_force_for_the_next_datagram(self):
        servers = self.servers(2)
        proxy = self.proxy([cluster(servers.targets[0])])
        player = self.player(proxy)
        for turn in range(1, 5):
            self.establish(proxy, player)
            seen = len(servers.seen[(turn - 1) % 2])
            with self.server:
                proxy.reload(clusters=[cluster(servers.targets[turn % 2])])
            player.ask(b"after %d" % turn)
            self.assertEqual(len(servers.seen[(turn - 1) % 2]), seen)
            self.assertEqual(servers.seen[turn % 2][-1][0], b"after %d" % turn)
        firewall = {"on_read": [EVERYBODY], "on_write": [EVERYBODY]}
        with self.server:
            proxy.reload(filters=[{"name": FIREWALL, "config": firewall}])
        self.establish(proxy, player)
        firewall["on_write"] = [EVERYBODY | {"action": "DENY"}]
        with self.server:
            proxy.reload(filters=[{"name": FIREWALL, "config": firewall}])
        player.socket.send(b"no answer")
        support.wait_until(lambda: dropped(self.metrics(proxy), "write", "filter::firewall::denied") == 1, "it is denied")
        self.assertEqual(player.rest(), [])
        self.check_sums(proxy)

    def test_an_answer_that_one_listener_lets_pass_is_none_of_another_one(self):
        servers = self.servers(1)
        denies = {"name": FIREWALL, "config": {"on_read": [EVERYBODY], "on_write": [EVERYBODY | {"action": "DENY"}]}}
        proxy = self.proxy([cluster(*servers.targets)], udp={"listeners": [{"port": 0, "filters": [denies]}]}, workers=1)
        player = self.player(proxy)
        player.ask(b"hello")
        player.socket.connect((SERVER_IPV4, proxy.events("udp listener ready")[0]["fields"]["port"]))
        player.socket.send(b"hello")
        support.wait_until(lambda: dropped(self.metrics(proxy), "write", "filter::firewall::denied") == 1, "it is denied")
        self.assertEqual(self.metrics(proxy)["paddock_udp_xdp_sessions"], 0)
        self.check_sums(proxy)

    def test_what_waits_for_a_worker_that_is_late_is_not_overtaken(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)])
        sent = [b"datagram %d" % i for i in range(5)]
        for attempt in range(5):
            player, seen = self.player(proxy), len(servers.seen[0])
            for _ in range(2):  # from now on the driver has the session, and waits for a pause
                player.ask(b"hello")
            before = self.metrics(proxy)["paddock_udp_xdp_overtakings_total"]
            with stopped(proxy):
                for data in sent:
                    player.socket.send(data)
                    time.sleep(0.01)
            answers = [player.socket.recv(100) for _ in sent]
            if self.metrics(proxy)["paddock_udp_xdp_overtakings_total"] == before:
                break  # else news of routes had one datagram ask the kernel
        self.assertEqual(answers, sent)
        self.assertEqual([data for data, _ in servers.seen[0]][seen + 2:], sent)
        self.assertLess(attempt, 4)
        self.check_sums(proxy)

    def test_what_the_driver_cannot_do_is_told_and_left_to_the_sockets(self):
        servers = self.servers(1)
        append = {"name": CONCATENATE, "config": {"on_read": "APPEND", "bytes": "IQ=="}}
        proxy = self.proxy([cluster(*servers.targets)], [append])
        self.assertEqual(proxy.await_event(LEAVES)["fields"]["reason"], CONCATENATE)
        player = self.player(proxy)

        def shown():
            with self.server:
                return json.loads(proxy.http("/config")[1])["paddock"]["udp"]["xdp"]
        for _ in range(5):
            self.assertEqual(player.ask(b"hello"), b"hello!")
        self.assertEqual((self.carried(proxy), shown()), ([0, 0], CONCATENATE))
        self.assertEqual(self.metrics(proxy)["paddock_udp_xdp_active"], 0)
        with self.server:
            proxy.reload(filters=[{"name": BALANCER, "config": {"policy": "HASH"}}])
        self.establish(proxy, player)
        self.assertEqual((shown(), self.metrics(proxy)["paddock_udp_xdp_active"]), ("sessions", 1))
        with self.server:
            proxy.reload(filters=[limited(5, 60), limited(9, 3600)])
        self.assertEqual((shown(), self.metrics(proxy)["paddock_udp_xdp_sessions"]), (LIMIT, 0))
        with self.server:
            proxy.reload(filters=[])
        limit = "paddock.udp.sessions.max_packets_per_second"
        with self.server:
            proxy.reload(udp={"sessions": {"max_packets_per_second": 1000000}})
        before = self.carried(proxy)
        player.ask(b"limited")
        self.assertEqual((self.carried(proxy), shown()), (before, limit))
        self.check_sums(proxy)

    def test_a_limit_holds_over_both_ways_together(self):
        most, filters = 400, [*by_token(), limited(400, 3600), {"name": BALANCER, "config": {"policy": "HASH"}}]
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets, tokens=[[b"tok"]])], filters)
        player = self.player(proxy)

        def received():
            return value(self.metrics(proxy), "paddock_udp_received_total", event="read")

        def flood(count):
            """Every third without a checksum, which is the sockets'. In steps, so that no queue is too short."""
            for i in range(count):
                if i % 100 == 0:
                    support.wait_until(lambda: received() >= sent + i, "what was sent has come")
                player.socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, i % 3 == 0)
                player.socket.send(b"%d tok" % i)
            support.wait_until(lambda: received() == sent + count, "all have come")
            return sent + count
        self.establish(proxy, player, b"hello tok")
        sent, before = received(), self.carried(proxy)
        sent = flood(150)
        self.assertIn(self.carried(proxy)[0] - before[0], range(96, 101))
        self.assertEqual(servers.count(), sent)
        with self.server:
            proxy.reload(udp={"session_timeout": "1s"})
        support.wait_until(lambda: self.metrics(proxy)["paddock_udp_xdp_sessions"] == 0, "the session has ended")
        with self.server:
            proxy.reload(udp={"session_timeout": "50s"})
        player.rest()
        self.establish(proxy, player, b"hello tok")
        sent = received()
        sent = flood(3 * most)
        support.wait_until(lambda: servers.count() == most, "what may come has come")
        metrics = self.metrics(proxy)
        self.assertEqual(dropped(metrics, "read", OVER_LIMIT), sent - most)
        self.assertGreaterEqual(metrics["paddock_udp_xdp_dropped_total"], 2 * (3 * most - most) // 3 - 2)
        self.assertLessEqual(metrics["paddock_udp_xdp_dropped_total"], sent - most)
        self.assertEqual(dropped(metrics, "read"), sent - most)
        self.check_sums(proxy)


@support.needs_root
class NativeTest(ModeTests, ProxyXdpTest):
    mode = "native"

    def test_a_session_that_the_driver_carries_is_not_idle_and_then_ends_in_time(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)], udp={"session_timeout": "3s", "sessions": {"log_rate": 10}})
        player = self.player(proxy)
        self.establish(proxy, player)
        widest, last = 0, time.monotonic()
        for _ in range(14):
            time.sleep(0.4)
            player.ask(b"still here")
            widest, last = max(widest, time.monotonic() - last), time.monotonic()
        if widest < 2.5:
            self.assertEqual(value(self.metrics(proxy), "paddock_udp_sessions_ended_total"), 0)
        line = proxy.await_event("udp session ended")
        if widest < 2.5:
            self.assertGreater(time.monotonic() - last, 2.9)
            self.assertEqual(line["fields"]["read_packets"], servers.count())
            self.assertEqual(line["fields"]["write_packets"], servers.count())
            self.assertGreater(line["fields"]["duration_ms"], 5000)
        self.assertEqual(self.metrics(proxy)["paddock_udp_xdp_sessions"], 0)
        self.establish(proxy, player)
        self.check_sums(proxy)

    def test_no_datagram_is_overtaken_where_the_driver_takes_over(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        sent, answers = [], []
        while len(sent) < 2000 or min(self.carried(proxy)) == 0:
            self.assertLess(len(sent), 100000)
            for _ in range(20):
                burst = [b"%06d" % (len(sent) + i) for i in range(10)]
                for data in burst:
                    player.socket.send(data)
                sent += burst
                answers += [player.socket.recv(100) for _ in burst]
        self.assertEqual([data for data, _ in servers.seen[0]], sent)
        self.assertEqual(answers, sent)
        self.check_sums(proxy)

    def beyond(self, address, far_address, length):
        """A further host, which sends by the client's."""
        far = support.Namespace()
        self.addCleanup(far.close)
        with self.client:
            sysctl("ipv4/ip_forward", 1)
            sysctl("ipv6/conf/all/forwarding", 1)
            ip(f"link add near type veth peer name far netns {far.path}")
            compute_checksums("near")
            ip(f"addr add {address}/{length} dev near nodad")
            ip("link set near up")
        with far:
            compute_checksums("far")
            ip(f"addr add {far_address}/{length} dev far nodad")
            ip("link set far up")
            ip(f"route add default via {address}")
        return far

    def refused(self, name):
        """Messages of routers about packets that are too long, which have come to the proxy's host."""
        with self.server, open(f"/proc/net/{name}", encoding="ascii") as file:
            words = file.read().split()
        if name == "snmp6":
            return int(words[words.index("Icmp6InPktTooBigs") + 1])
        names, numbers = (words[i + 1:] for i, word in enumerate(words) if word == "Icmp:")
        return int(numbers[names.index("InDestUnreachs")])

    def test_a_path_that_becomes_narrower_takes_no_datagrams_silently(self):
        answer, short = bytes(1400), bytes(900)
        for name, host, own, near, away, length in (("snmp", SERVER_IPV4, CLIENT_IPV4, "10.98.0.1", "10.98.0.2", 24),
                                                    ("snmp6", SERVER_IPV6, CLIENT_IPV6, "fd00:98::1", "fd00:98::2", 64)):
            far = self.beyond(near, away, length)
            with self.server:
                ip(f"route replace {away} via {own}")
            with far:
                behind = self.enterContext(Servers(1, address=away, answer=lambda _, data: [data[:10]]))
            servers = self.servers(1, own, answer=lambda _, data: [data if len(data) > 10 else answer])
            for target in (behind, servers):
                proxy = self.proxy([cluster(*target.targets)])
                player = self.player(proxy, host)
                if target is servers:
                    with far:
                        player = self.enterContext(Player(proxy.port, host))
                asked = answer if target is behind else b"long"
                self.establish(proxy, player, asked)
                with self.client:
                    ip("link set near mtu 1300")
                before, carried = self.refused(name), self.carried(proxy)
                player.socket.send(asked)
                support.wait_until(lambda: self.refused(name) > before, "the router has said that it is too long")
                for _ in range(5):
                    self.assertEqual(len(player.ask(asked)), 10 if target is behind else 1400)
                way = 0 if target is behind else 1
                self.assertLessEqual(self.carried(proxy)[way], carried[way] + 1)  # at most the one that was refused
                self.establish(proxy, player, short, [way])
                with self.client:
                    ip("link set near mtu 1500")
                with self.server:
                    ip(f"-{'6' if ':' in away else '4'} route flush cache")
                    proxy.stop()
            with self.client:
                ip("link del near")

    def test_a_privilege_that_is_missing_is_named(self):
        needed = ("bpf", "perfmon", "net_admin", "net_raw")
        for missing in needed:
            few = ",".join(["-all", *(f"+{name}" for name in needed if name != missing)])
            prefix = "setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={few}", f"--ambient-caps={few}"
            flags = "--xdp-attach", "native", "--service.udp.xdp.network-interface", "way"
            reason = "cannot see what leaves by way (it needs CAP_NET_RAW): Operation not permitted"
            if missing != "net_raw":
                reason = "cannot load the XDP program (it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN): "
            with self.subTest(missing), self.server, Faults() as faults:
                done = support.run(*prefix[1:], support.PADDOCK, "--service.udp", "--service.udp.port", "0", "--xdp", "on",
                                   *flags, program=prefix[0])
                self.assertEqual(done.returncode, 255)
                self.assertIn(reason, done.stderr)
                os.chmod(faults.file.name, 0o666)
                faults.inject("hardware", 0)
                proxy = Proxy([], None, None, "--xdp", "auto", *flags, program=FAULTY, prefix=prefix, env=faults.environment())
                self.addCleanup(proxy.__exit__)
                message = "sockets carry sessions without xdp" if missing == "net_raw" else test_xdp.WITHOUT
                self.assertIn(reason, proxy.await_event(message)["fields"]["reason"])
                self.assertIsNone(holder("way"))
                self.assertEqual(proxy.metrics()["paddock_xdp_attached"], 0)
                proxy.stop()

    def test_the_number_of_the_port_for_players_may_change(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.establish(proxy, player)
        with self.server:
            port = support.closed_port()
            proxy.reload(udp={"port": port})
        moved = self.player(proxy, port=port)
        self.establish(proxy, moved)
        player.socket.send(b"to the old one")
        self.assertEqual(player.rest(0.2), [])
        self.check_sums(proxy)


@support.needs_root
class GenericTest(ModeTests, ProxyXdpTest):
    mode = "generic"


@support.needs_root
class NativeWayTest(WayTests, ProxyXdpTest):
    mode = "native"

    def test_where_nothing_is_carried_nothing_is_overtaken(self):
        self.interfaces = "way"
        for address, has_no_checksum in ((BACK_CLIENT_IPV4, 0), (CLIENT_IPV4, 1)):  # the first one is behind the other link
            servers = self.servers(1, address)
            proxy = self.proxy([cluster(*servers.targets)])
            player = self.player(proxy)
            for end in (servers.sockets[0], player.socket):
                end.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, has_no_checksum)
            for _ in range(20):
                player.ask(b"hello")
                time.sleep(0.01)  # a pause, after which it would be carried
            beyond = time.monotonic() + 1.5  # longer than any stream waits for a pause
            while time.monotonic() < beyond:
                player.ask(b"hello")
            metrics = self.metrics(proxy)
            self.assertEqual((metrics["paddock_udp_xdp_sessions"], self.carried(proxy)), (1, [0, 0]))
            self.assertEqual(metrics["paddock_udp_xdp_overtakings_total"], 0)
            self.check_sums(proxy)
            with self.server:
                proxy.stop()

    def test_what_comes_by_another_way_than_answers_is_the_kernels_where_that_is_strict(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)
        self.establish(proxy, player)
        with self.server:
            mac = mac_of("back")
        own, number = player.socket.getsockname()[:2]
        addresses = [socket.inet_aton(address) for address in (own, SERVER_IPV4)]
        datagram = test_xdp.ipv4(*addresses, test_xdp.udp(*addresses, number, proxy.port, b"in its name"))

        def forged(number):
            """How many more of so many datagrams in the player's name that come by the other interface arrive."""
            with self.client, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                raw.bind(("back", 0))
                before = sum(data == b"in its name" for data, _ in servers.seen[0])
                for _ in range(number):
                    raw.send(mac + mac_of("back") + b"\x08\x00" + datagram)
            answer = player.ask(b"after it")
            while answer != b"after it":
                answer = player.socket.recv(100)
            return sum(data == b"in its name" for data, _ in servers.seen[0]) - before
        for name in ("all", "back"):
            support.wait_until(lambda: forged(1) == 1, "the driver carries it")
            with self.server:
                sysctl(f"ipv4/conf/{name}/rp_filter", 1)
            self.addCleanup(self.loosen, name)
            support.wait_until(lambda: forged(1) == 0, "the kernel drops it")
            self.assertEqual(forged(10), 0)
            self.check_all_by_xdp(proxy, player)
            self.loosen(name)
        self.check_sums(proxy)

    def loosen(self, name):
        with self.server:
            sysctl(f"ipv4/conf/{name}/rp_filter", 0)

    def test_what_another_interface_does_not_take_is_counted(self):
        servers = self.servers(1, self.third())
        proxy = self.proxy([cluster(*servers.targets)])
        player = self.player(proxy)

        def is_carried():
            player.socket.send(b"lost")
            player.rest(0.01)
            return self.carried(proxy)[0] >= 20
        support.wait_until(is_carried, "datagrams are carried to an end without a program")
        proxy.await_event(LOSING)
        self.check_losses(proxy, servers)


@support.needs_root
class GenericWayTest(WayTests, ProxyXdpTest):
    mode = "generic"


class ContainerTests:
    """Senders leave checksums to the interface, as between containers."""
    leaves_checksums = True

    def test_datagrams_of_every_kind_arrive_as_they_were_sent(self):
        for own, host, part, size, remove in ((CLIENT_IPV4, SERVER_IPV4, None, 0, False),
                                              (CLIENT_IPV6, SERVER_IPV6, "prefix", 3, True),
                                              (CLIENT_IPV4, SERVER_IPV4, "prefix", 4, True),
                                              (CLIENT_IPV6, SERVER_IPV6, "suffix", 5, True),
                                              (CLIENT_IPV4, SERVER_IPV4, "suffix", 16, False)):
            with self.subTest(own=own, part=part, size=size):
                servers, token = self.servers(1, own), os.urandom(size)
                filters = by_token(part, size, remove) if part else None
                proxy = self.proxy([cluster(*servers.targets, tokens=[[token]] if part else None)], filters)
                player = self.player(proxy, host)

                def marked(data):
                    return token + data if part == "prefix" else data + token
                is_moved = part == "prefix" and remove and self.mode == "generic"
                self.establish(proxy, player, marked(b"hello"), (1,) if is_moved else (0, 1))
                player.ask(marked(bytes(1400)))  # as long as the kernel has sent, the driver may
                before, lengths = self.carried(proxy), [*range(70), 127, 128, 129, 511, 512, 1023, 1399, 1400]
                for length in lengths:
                    data = os.urandom(length)
                    self.assertEqual(player.ask(marked(data)), data if remove or not part else marked(data))
                self.check_carried(proxy, before, len(lengths), is_moved)
                self.check_sums(proxy)
                with self.server:
                    proxy.stop()

    def check_carried(self, proxy, before, count, is_moved=False):
        """In the generic mode the sockets have what would move a header whose checksum is to be completed, and one
        datagram in 65,536, whose checksum looks complete."""
        to_servers, to_players = (now - then for now, then in zip(self.carried(proxy), before))
        self.assertIn(to_servers, [0] if is_moved else range(count - 4, count + 1))
        self.assertIn(to_players, range(count - 4, count + 1))

    def test_checksums_are_right_behind_further_interfaces(self):
        servers = self.servers(1)
        with self.server:
            port = support.closed_port()
        proxy = self.proxy([cluster(*servers.targets)], None, None, "--service.qcmp", "--service.qcmp.port", str(port))
        far = support.Namespace()
        self.addCleanup(far.close)
        with self.client:
            sysctl("ipv4/ip_forward", 1)
            ip(f"link add near type veth peer name far netns {far.path}")
            compute_checksums("near")
            ip("addr add 10.98.0.1/24 dev near")
            ip("link set near up")
        with self.server:
            ip(f"route replace 10.98.0.0/24 via {CLIENT_IPV4}")
        with far:
            ip("addr add 10.98.0.2/24 dev far")
            ip("link set far up")
            ip("route add default via 10.98.0.1")
            player = self.enterContext(Player(proxy.port, SERVER_IPV4))
            asker = self.enterContext(support.Asker(port, self.sent, SERVER_IPV4))
        self.establish(proxy, player)
        before = self.carried(proxy)
        for length in range(100):
            data = os.urandom(length)
            self.assertEqual(player.ask(data), data)
        self.check_carried(proxy, before, 100)
        for nonce in range(100):
            asker.send(support.packed_ping(nonce, nonce))
            self.assertEqual(asker.receive().nonce, nonce)
        self.assertIn(self.metrics(proxy)["paddock_xdp_answered_total"], range(98, 101))


@support.needs_root
class NativeContainerTest(ContainerTests, ProxyXdpTest):
    mode = "native"


@support.needs_root
class GenericContainerTest(ContainerTests, ProxyXdpTest):
    mode = "generic"


if __name__ == "__main__":
    support.main()
