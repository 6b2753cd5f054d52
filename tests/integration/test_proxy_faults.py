# SPDX-License-Identifier: Apache-2.0
"""The UDP proxy while the system fails it: sessions go on, what is lost is counted, and all is well when the fault is over."""
import contextlib
import errno
import select
import socket
import time
import unittest

import support
from faults import FAULTY, FOR_EVER, Faults
from hosts import HostsCase
from proxying import BALANCER, PASS, Player, Proxy, Servers, by_token, check_sums, cluster, dropped, value
from serving import RELOADED
from support import ip, scaled, wait_until

PLAYERS, BURST = 8, 6
A_FEW = 30  # the kernel interrupts for a signal, and says "no data" where there is some, not for ever

RECEIVING = [(errno.EINTR, A_FEW), (errno.EAGAIN, A_FEW)] + [
    (error, FOR_EVER) for error in (errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EPERM,
                                    errno.EIO)]
SENDING = [(errno.EINTR, A_FEW)] + [
    (error, FOR_EVER) for error in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.EHOSTUNREACH,
                                    errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EACCES, errno.EMSGSIZE, errno.EINVAL)]
TABLE = ([("recvmmsg", error, times) for error, times in RECEIVING] + [("sendmmsg", error, times) for error, times in SENDING] +
         [("sendmsg_segmented", error, times) for error, times in SENDING] +
         [("epoll_wait", errno.EINTR, A_FEW), ("epoll_wait", errno.ENOMEM, A_FEW), ("getsockopt", errno.ENOBUFS, FOR_EVER)])
# What a new session needs, and the reason of the datagram that finds none; None: it is made all the same.
MAKING = [("socket", errno.EMFILE, "no_descriptors"), ("socket", errno.ENFILE, "no_descriptors"),
          ("socket", errno.ENOBUFS, "no_descriptors"), ("socket", errno.ENOMEM, "no_memory"), ("bind", errno.EADDRINUSE, "no_ports"),
          ("bind", errno.EPERM, "no_descriptors"), ("getsockname", errno.ENOBUFS, "no_descriptors"),
          ("epoll_ctl", errno.ENOMEM, "no_memory"), ("epoll_ctl", errno.ENOSPC, "no_descriptors"),
          ("memory", errno.ENOMEM, "no_memory")]


class FaultyCase(unittest.TestCase):
    def setUp(self):
        self.faults = self.enterContext(Faults())

    def start(self, clusters, filters=None, **options):
        self.proxy = self.enterContext(Proxy(clusters, filters, program=FAULTY, env=self.faults.environment(), **options))

    def players(self, count):
        return [self.enterContext(Player(self.proxy.port)) for _ in range(count)]


class PathTest(FaultyCase):
    def send(self):
        """A burst of each player; several to one peer leave as segments."""
        for player in self.crowd:
            for _ in range(BURST):
                with contextlib.suppress(ConnectionRefusedError):
                    player.socket.send(b"burst")
                    self.sent += 1

    def suffer(self, name, error, times):
        """Lets a fault really happen, with datagrams in both directions that are found all at once."""
        self.faults.inject(name, error, times)

        def happened():
            self.send()
            if name == "getsockopt":
                self.proxy.metrics()
            for player in self.crowd:
                player.rest()
            time.sleep(0.002)
            return self.faults[name].done >= 3
        wait_until(happened, f"{name} fails with {errno.errorcode[error]}")
        self.faults.lift()

    def check_counts(self):
        """sent = received + kernel drops, received = forwarded + dropped, each way."""
        def settled():
            metrics = self.proxy.metrics()
            return all(value(metrics, "paddock_udp_received_total", event=event) +
                       value(metrics, "paddock_udp_kernel_drops_total", event=event) == sent
                       for event, sent in (("read", self.sent), ("write", self.servers.answered)))
        wait_until(settled, "all datagrams are received or dropped")
        check_sums(self.proxy)

    def test_every_fault_of_the_packet_path_ends_with_its_cause(self):
        with Servers(1) as self.servers:
            self.start([cluster(*self.servers.targets)], workers=1)
            self.crowd, self.sent = self.players(PLAYERS), 0
            for name, error, times in TABLE:
                with self.subTest(fault=name, error=errno.errorcode[error]):
                    self.suffer(name, error, times)
                    for i, player in enumerate(self.crowd):
                        data = b"after %d" % i
                        wait_until(lambda: (player.socket.send(data), data in player.rest(0.2))[1],  # pylint: disable=W0640
                                   "the player is served again")
                        self.sent += 1
                        player.rest(0.01)
                    self.recount()
                    self.check_counts()
            metrics = self.proxy.metrics()
            self.assertEqual(value(metrics, "quilkin_session_total"), PLAYERS)
            self.assertEqual(len({source for _, source in self.servers.seen[0]}), PLAYERS)

    def recount(self):
        """What wait_until() has sent again is known from nobody but the proxy: it has received it all by now."""
        metrics = self.proxy.metrics()
        received = sum(value(metrics, name, event="read") for name in ("paddock_udp_received_total", "paddock_udp_kernel_drops_total"))
        self.assertGreaterEqual(received, self.sent - PLAYERS)
        self.sent = max(self.sent, int(received))


class MakingTest(FaultyCase):
    def test_a_session_that_cannot_be_made_costs_its_own_datagram_alone(self):
        with Servers(1) as servers:
            self.start([cluster(*servers.targets)], workers=1)
            player, = self.players(1)
            player.ask(b"before")
            for name, error, reason in MAKING:
                with self.subTest(call=name, error=errno.errorcode[error]):
                    newcomer, = self.players(1)
                    before = dropped(self.proxy.metrics(), "read", reason)
                    self.faults.inject(name, error)
                    newcomer.socket.send(b"in vain")
                    self.assertEqual(player.ask(b"meanwhile"), b"meanwhile")
                    wait_until(lambda: self.faults[name].done > 0, "it fails")  # pylint: disable=W0640
                    self.faults.lift()
                    self.assertEqual(newcomer.rest(0.05), [])
                    wait_until(lambda: dropped(self.proxy.metrics(), "read", reason) == before + 1,  # pylint: disable=W0640
                               f"{reason}: {self.proxy.metrics()}")
                    wait_until(lambda: (newcomer.socket.send(b"now"), newcomer.rest(0.1))[1], "it is made")  # pylint: disable=W0640
                    check_sums(self.proxy)
            self.assertEqual(value(self.proxy.metrics(), "quilkin_session_total"), 1 + len(MAKING))

    def test_each_allocation_of_a_new_session_may_fail(self):
        with Servers(2) as servers:
            self.start([cluster(*servers.targets)], workers=1, udp={"session_timeout": "1s"})
            for nth in range(100):
                newcomer, = self.players(1)
                self.faults.inject("memory", errno.ENOMEM, times=1, skip=nth)
                newcomer.socket.send(b"hello")
                wait_until(lambda: self.faults["memory"].done or len(newcomer.rest(0.1)) == 2, "it fails or is served")  # pylint: disable=W0640
                is_over = not self.faults["memory"].done
                self.faults.lift()
                newcomer.rest(0.05)
                self.assertEqual(newcomer.ask(b"again"), b"again")
                check_sums(self.proxy)
                if is_over:
                    break
            self.assertGreater(nth, 1)

    def reloads(self):
        return [value(self.proxy.metrics(), "paddock_config_reloads_total", result=result) for result in ("ok", "error")]

    def test_each_allocation_of_a_reload_may_fail(self):
        """The old or the new servers and filters are in force, as the count of reloads says, and never a part of them."""
        step = max(1, int(4 / support.SCALE))
        with Servers(1) as servers:
            versions = [([cluster(*servers.targets)], [{"name": PASS}], b"hello a"),
                        ([cluster(*servers.targets, tokens=[[b"a"]])], by_token(size=1), b"hello ")]
            self.start(*versions[0][:2], workers=1)
            player, = self.players(1)
            current, before = 0, self.reloads()
            for nth in range(0, 4000, step):
                self.proxy.read_log()
                seen = len(self.proxy.events(RELOADED))
                self.faults.inject("memory", errno.ENOMEM, times=1, skip=nth)
                self.proxy.document["clusters"], self.proxy.document["filters"], _ = versions[1 - current]
                self.proxy.write()
                wait_until(lambda: self.faults["memory"].done or  # pylint: disable=W0640
                           (self.proxy.read_log(), len(self.proxy.events(RELOADED)) > seen)[1], "it was read")  # pylint: disable=W0640
                is_over = not self.faults["memory"].done
                self.faults.lift()
                wait_until(lambda: sum(self.reloads()) > sum(before), "it is counted")  # pylint: disable=W0640
                now = self.reloads()
                current = 1 - current if now[0] > before[0] else current
                before = now
                wait_until(lambda: player.ask(b"hello a") == versions[current][2], f"{nth}: version {current} is in force")  # pylint: disable=W0640
                if is_over:
                    break
            self.assertTrue(is_over, "there was no end to the allocations")
            self.assertGreater(min(self.reloads()), 0)
            check_sums(self.proxy)


class FlappingTest(unittest.TestCase):
    def test_a_server_that_comes_and_goes_ends_no_session(self):
        with Servers(1) as servers:
            port = servers.sockets[0].getsockname()[1]
            servers.close(0)
            with Proxy([cluster(f"127.0.0.1:{port}")], workers=1) as proxy, Player(proxy.port) as player:
                sources, sent = set(), 0
                for _ in range(scaled(40)):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                        server.bind(("127.0.0.1", port))
                        player.socket.send(b"there")
                        sent += 1
                        self.assertTrue(select.select([server], [], [], support.ANSWER_SECONDS)[0])
                        data, source = server.recvfrom(99)
                        while data != b"there":
                            data, source = server.recvfrom(99)
                        sources.add(source)
                        server.sendto(b"back", source)
                        self.assertEqual(player.socket.recv(99), b"back")
                    for _ in range(5):
                        player.socket.send(b"gone")
                        sent += 1
                self.assertEqual(len(sources), 1)
                proxy.await_metric('paddock_udp_received_total{event="read"}', sent)
                metrics = proxy.metrics()
                self.assertEqual(value(metrics, "quilkin_packets_total", event="read"), sent)  # a refusal comes later, and costs none
                self.assertEqual(value(metrics, "quilkin_session_total"), 1)
                check_sums(proxy)


@support.needs_root
class LinkTest(HostsCase):
    """A proxy on one host; player and game server on the other, over a link each."""

    def setUp(self):
        with self.client:
            self.game = self.enterContext(Servers(1, address="10.99.1.1"))
        with self.server:
            self.proxy = self.enterContext(Proxy(
                [cluster(*self.game.targets)], [{"name": BALANCER, "config": {}}], workers=1, loopback=False))
        with self.client:
            self.player = self.enterContext(Player(self.proxy.port, "10.99.0.2"))
        self.player.ask(b"before")

    def metrics(self):
        with self.server:
            return self.proxy.metrics()

    def send(self, count=20):
        for _ in range(count):
            with contextlib.suppress(OSError):
                self.player.socket.send(b"meanwhile")
            time.sleep(0.001)

    def check(self, reasons, event="read"):
        """It serves again, by the same port; what was lost has one of these reasons, or was lost on the link."""
        def is_served():
            with contextlib.suppress(OSError):
                self.player.socket.send(b"after")
            return b"after" in self.player.rest(0.2)
        wait_until(is_served, "served again")
        self.assertEqual(len({source for _, source in self.game.seen[0]}), 1)
        with self.server:
            check_sums(self.proxy)
        metrics = self.metrics()
        self.assertEqual(value(metrics, "quilkin_session_total"), 1)
        self.assertEqual(dropped(metrics, event), sum(dropped(metrics, event, reason) for reason in reasons))
        return metrics

    def test_a_link_to_the_server_that_goes_and_comes(self):
        for _ in range(3):
            with self.server:
                ip("link set back down")
            self.send()
            with self.server:
                ip("link set back up")
            metrics = self.check(["unreachable"])
        self.assertGreater(dropped(metrics, "read", "unreachable"), 0)

    def test_a_link_to_the_player_that_goes_and_comes(self):
        news = 0
        for _ in range(3):
            with self.server:
                ip("link set way down")
            for news in range(news + 1, news + 21):
                self.game.sockets[0].sendto(b"news", self.game.seen[0][0][1])
            wait_until(lambda: value(self.metrics(), "paddock_udp_received_total", event="write") ==
                       self.game.answered + news, "all news have arrived")  # pylint: disable=W0640
            with self.server:
                ip("link set way up")
            metrics = self.check(["unreachable"], "write")
        self.assertGreater(dropped(metrics, "write", "unreachable"), 0)

    def test_routes_that_refuse(self):
        for kind, reason in ("unreachable", "unreachable"), ("prohibit", "refused"), ("blackhole", "io"):
            with self.subTest(kind):
                with self.server:
                    ip(f"route add {kind} 10.99.1.1/32")
                before = dropped(self.metrics(), "read", reason)
                self.send()
                wait_until(lambda: dropped(self.metrics(), "read", reason) == before + 20, reason)  # pylint: disable=W0640
                with self.server:
                    ip(f"route del {kind} 10.99.1.1/32")
                self.check(["unreachable", "refused", "io"])


if __name__ == "__main__":
    support.main()
