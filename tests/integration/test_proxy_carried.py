# SPDX-License-Identifier: Apache-2.0
"""Tests of the proxy over sockets, with XDP in front of these: the same players and game servers, on another host (network
namespace) than the proxy. The program has carried some of it in the end."""
import os
import unittest
from unittest import mock

import proxying
import support
import test_proxy
import test_proxy_sessions
import test_proxy_xdp
from proxying import Player, Proxy, Servers, value
from test_xdp import CLIENT_IPV4, CLIENT_IPV6, SERVER_IPV4, SERVER_IPV6

MODE = os.environ.get("PADDOCK_XDP_MODE", "native")
TO_CLIENT = {"127.0.0.1": CLIENT_IPV4, "::1": CLIENT_IPV6}
TO_SERVER = {"127.0.0.1": SERVER_IPV4, "::1": SERVER_IPV6}

# What asks for addresses of this host by itself, or sends more at once than a veth with XDP takes.
LEFT_OUT = ("test_order_is_kept_both_ways", "test_bursts_that_the_kernel_gathers_are_datagrams_again",
            "test_the_second_datagram_counts_while_many_players_come_once")


class Away:
    """Where the tests' names lead to, instead of to this host."""

    def __init__(self, client, server):
        self.carried = 0
        away = self

        class AwayProxy(Proxy):
            def __init__(self, clusters=(), filters=None, udp=None, *flags, **options):
                with server:
                    super().__init__(clusters, filters, udp, "--xdp", "on", "--xdp-attach", MODE,
                                     "--service.udp.xdp.network-interface", "way", *flags, **options)

            def http(self, path, host="127.0.0.1"):
                with server:
                    return super().http(path, host)

            def metrics(self):
                metrics = super().metrics()
                away.carried = max(away.carried, value(metrics, "paddock_udp_xdp_packets_total"))
                return metrics

        class AwayServers(Servers):
            def __init__(self, count, answer=lambda index, data: [data], address="127.0.0.1", port=0):
                with client:
                    super().__init__(count, answer, TO_CLIENT[address], port)

        class AwayPlayer(Player):
            def __init__(self, port, address="127.0.0.1"):
                with client:
                    super().__init__(port, TO_SERVER[address])

        self.names = {"Proxy": AwayProxy, "Servers": AwayServers, "Player": AwayPlayer}


def carried(module, case, is_brief=False):
    """A case of another module with XDP. A brief one may end before XDP has carried anything."""

    @support.needs_root
    class Carried(test_proxy_xdp.ProxyXdpTest, case):
        leaves_checksums = True

        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            cls.away = Away(cls.client, cls.server)
            for where in (module, proxying):
                names = {name: made for name, made in cls.away.names.items() if hasattr(where, name) and
                         (where is not proxying or name == "Player")}
                patch = mock.patch.multiple(where, **names)
                patch.start()
                cls.addClassCleanup(patch.stop)

        @classmethod
        def tearDownClass(cls):
            if cls.away.carried == 0 and not is_brief:
                raise AssertionError("XDP has carried nothing")
            super().tearDownClass()

    for name in LEFT_OUT:
        if hasattr(case, name):
            setattr(Carried, name, None)
    Carried.__name__ = Carried.__qualname__ = f"Carried{case.__name__}"
    return Carried


PayloadTest = carried(test_proxy, test_proxy.PayloadTest, is_brief=True)
TimeTest = carried(test_proxy_sessions, test_proxy_sessions.TimeTest)
ChangeTest = carried(test_proxy_sessions, test_proxy_sessions.ChangeTest, is_brief=True)


if __name__ == "__main__":
    support.main()
