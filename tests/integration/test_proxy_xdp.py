# SPDX-License-Identifier: Apache-2.0
"""The proxy with XDP in front of its sockets, between two hosts (network namespaces) over veth."""
import subprocess
import unittest

import support
from proxying import Player, Proxy, Servers, by_token, check_sums, cluster, value
from test_xdp import CLIENT_IPV4, SERVER_IPV4, CLIENT_IPV6, SERVER_IPV6, XdpTest

CARRIES = "xdp carries established sessions"
LEAVES = "xdp leaves players' datagrams to the sockets"


class ProxyXdpTest(XdpTest):
    """What the tests below share: players and servers are on one host, the proxy on the other."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.client:
            # Without it checksums are left to a network interface that does not exist.
            subprocess.run(["ethtool", "-K", "way", "tx", "off"], check=True, stdout=subprocess.DEVNULL)

    def proxy(self, clusters=(), filters=None, udp=None, mode="native", **options):
        with self.server:
            proxy = Proxy(clusters, filters, udp, "--xdp", "on", "--xdp-attach", mode,
                          "--service.udp.xdp.network-interface", "way", **options)
        self.addCleanup(proxy.__exit__)
        return proxy

    def servers(self, count, address=CLIENT_IPV4, **options):
        with self.client:
            servers = Servers(count, address=address, **options)
        self.enterContext(servers)
        return servers

    def player(self, proxy, address=SERVER_IPV4):
        with self.client:
            return self.enterContext(Player(proxy.port, address))

    def metrics(self, proxy):
        with self.server:
            return proxy.metrics()

    def carried(self, proxy):
        metrics = self.metrics(proxy)
        return [value(metrics, "paddock_udp_xdp_packets_total", event=event) for event in ("read", "write")]


@support.needs_root
class NativeTest(ProxyXdpTest):
    mode = "native"

    def test_an_established_session_is_carried_both_ways(self):
        servers = self.servers(1)
        proxy = self.proxy([cluster(*servers.targets)], mode=self.mode)
        player = self.player(proxy)
        for i in range(20):
            self.assertEqual(player.ask(b"datagram %d" % i), b"datagram %d" % i)
        print(self.carried(proxy))
        with self.server:
            check_sums(proxy)


if __name__ == "__main__":
    support.main()
