# SPDX-License-Identifier: Apache-2.0
"""The network under the service fails: links that go and come back, routes, a firewall. In namespaces of the test's own."""
import contextlib
import shutil
import socket
import subprocess
import time
import unittest

import support
from faults import ANSWERED, BURST, RECEIVED, SEND_ERRORS, Client, FaultTest
from support import Namespace, ip, sysctl, wait_until

SERVER, ELSEWHERE = "10.97.0.2", "10.98.0.1"
SERVER6 = "fd00:97::2"


@support.needs_root
class NetworkFaultTest(FaultTest):
    """Two hosts, the service on one of them, and beside it a plain echo server, which tells what the kernel does."""

    def setUp(self):
        super().setUp()
        try:
            self.here, self.there = Namespace(), Namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)
        self.connect()

    def connect(self):
        with self.here:
            ip(f"link add way type veth peer name way netns {self.there.path}")
            ip(f"address add {ELSEWHERE}/32 dev lo")
            self.configure(1)
        with self.there:
            self.configure(2)

    def configure(self, host):
        sysctl("ipv4/conf/all/rp_filter", 0)
        sysctl("ipv6/conf/way/keep_addr_on_down", 1)
        ip(f"address add 10.97.0.{host}/24 dev way")
        ip(f"address add fd00:97::{host}/64 dev way nodad")
        ip("link set way up")
        if host == 2:
            self.route("via 10.97.0.1")

    def route(self, way):
        """From the server to the client's other address."""
        with self.there:
            words = f"{way.split()[0]} {ELSEWHERE}" if way.split()[0] != "via" else f"{ELSEWHERE} {way}"
            ip(f"route replace {words}")

    def serve(self, address, source=None):
        """The service, its client on the other host, and the echo server's."""
        with self.there:
            self.start()
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self.echo = self.enterContext(socket.socket(family, socket.SOCK_DGRAM))
            self.echo.bind((address, 0))
            self.echo.setblocking(False)
        with self.here:
            self.client = self.enterContext(Client(self.service.port, address, source))
            self.reference = self.enterContext(Client(self.echo.getsockname()[1], address, source))

    def metrics(self):
        with self.there:
            return super().metrics()

    def is_routed(self, since):
        """Whether the kernel carries datagrams both ways: one from this number on has come back. Others may come late."""
        self.reference.ping()
        with contextlib.suppress(OSError):
            while True:
                self.echo_one()
        self.reference.take(time.monotonic_ns() + 200_000)
        return max(self.reference.answered, default=-1) >= since

    def await_routed(self):
        since = len(self.reference.sent)
        wait_until(lambda: self.is_routed(since), "the kernel routes")

    def echo_one(self):
        data, source = self.echo.recvfrom(4096)
        nonce, number = support.parsed_ping(data)
        self.echo.sendto(support.packed_pong(nonce, number, 0, 0), source)

    def lose(self, count=BURST):
        return [self.client.ping() for _ in range(count)]

    def settle(self):
        """What arrived is counted, when a ping behind it is answered."""
        self.client.await_answers([self.client.ping()])


class LinkTest(NetworkFaultTest):
    def attempt(self, down, up, host):
        with host:
            down()
        self.assertFalse(self.is_routed(len(self.reference.sent)))
        self.lose()

        def lift():
            with host:
                up()
            self.await_routed()
        return self.client.recovery_ns(lift)

    def check(self, address, down, up, host):
        self.serve(address)
        self.await_routed()
        self.best(lambda: self.attempt(down, up, host))
        self.settle()

        def handled():
            metrics = self.metrics()
            return metrics if metrics[ANSWERED] + metrics[SEND_ERRORS] == metrics[RECEIVED] else None
        metrics = wait_until(handled, "each that was received was answered, or its answer refused by the kernel")
        self.assertEqual(metrics["paddock_qcmp_kernel_drops_total"], 0)
        with self.there:
            self.assertEqual(self.service.http("/live")[0], 200)
        self.assertEqual(self.service.stop()["answered"], metrics[ANSWERED])

    def check_down_and_up(self, address):
        for host in (self.there, self.here):
            self.check(address, lambda: ip("link set way down"), lambda: ip("link set way up"), host)

    def test_a_link_that_goes_down_and_comes_back_over_ipv4(self):
        self.check_down_and_up(SERVER)

    def test_a_link_that_goes_down_and_comes_back_over_ipv6(self):
        self.check_down_and_up(SERVER6)

    def test_an_interface_that_is_removed_and_made_again(self):
        def remove():
            ip("link del way")
            with self.here:
                ip(f"address del {ELSEWHERE}/32 dev lo")
        self.check(SERVER, remove, self.connect, self.there)

    def test_an_address_that_is_removed_and_comes_back(self):
        self.check(SERVER, lambda: ip(f"address del {SERVER}/24 dev way"), lambda: ip(f"address add {SERVER}/24 dev way"),
                   self.there)


class RefusedTest(NetworkFaultTest):
    """The kernel refuses answers: each is counted, and with the cause the refusals end."""

    def check_refusals(self, address, source, down, up):
        self.serve(address, source)
        self.await_routed()

        def attempt():
            before = self.metrics()[SEND_ERRORS]
            with self.there:
                down()
            refused = self.lose()
            wait_until(lambda: self.metrics()[SEND_ERRORS] == before + len(refused), "all refusals are counted")

            def lift():
                with self.there:
                    up()
            return self.client.recovery_ns(lift)
        self.best(attempt)
        self.settle()
        self.check_counts()
        self.service.stop()

    def test_no_route_to_the_client(self):
        for way in ("unreachable", "prohibit", "blackhole"):
            with self.subTest(way):
                self.check_refusals(SERVER, ELSEWHERE, lambda way=way: self.route(way), lambda: self.route("via 10.97.0.1"))

    @unittest.skipUnless(shutil.which("nft"), "nft is not installed")
    def test_a_firewall(self):
        def drop():
            nft("add table inet t; add chain inet t out { type filter hook output priority 0; };"
                f"add rule inet t out udp sport {self.service.port} drop")
        with self.there:
            nft("list ruleset")
        self.check_refusals(SERVER, None, drop, lambda: nft("delete table inet t"))


def nft(rules):
    done = subprocess.run(["nft", rules], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise unittest.SkipTest(f"nft does not work here: {done.stderr}")


if __name__ == "__main__":
    support.main()
