#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All tests of the proxy over sockets, with XDP in front of these: the same players and game servers, on another host (network namespace) than the
proxy. $PADDOCK_XDP_MODE is native or generic. With a sanitizer it is a part of them: what it looks at is the same with less."""
import contextlib
import os
import pathlib
import time
import unittest
from unittest import mock

import hosts
import proxying
import support
import test_filters
import test_proxy
import test_proxy_header
import test_proxy_health
import test_proxy_listeners
import test_proxy_migration
import test_proxy_places
import test_proxy_seeing
import test_proxy_sessions
import test_proxy_trace
from support import ip
from test_xdp import CLIENT_IPV4, CLIENT_IPV6, SERVER_IPV4, SERVER_IPV6, pass_all

MODE = os.environ.get("PADDOCK_XDP_MODE", "native")
SUITES = (test_proxy, test_proxy_sessions, test_proxy_header, test_proxy_listeners, test_proxy_migration, test_proxy_health, test_proxy_trace,
          test_proxy_places, test_proxy_seeing, test_filters)
SMALL = ("PayloadTest", "TimeTest", "ChangeTest")

NO_DATAGRAMS = "it plays no datagrams"
OWN_HOST = "it makes a host of its own"
SAMPLED = "it asks for each datagram, and a trace sees one in 16 of those that the driver would carry"
LEFT_OUT = {
    "RouteTest.test_nothing_is_forwarded_without_endpoints": NO_DATAGRAMS,
    "RouteTest.test_players_on_this_host_are_refused_unless_asked_for": "players are on another host here",
    "AddressTest.test_a_host_whose_ipv6_is_off_serves_ipv4": OWN_HOST,
    "CountTest.test_durations_count_each_datagram": "metrics of filters are of the sockets alone",
    "LoopTest.test_a_ring_of_two_proxies_dies_out": "an interface has one program",
    "LimitTest.test_where_strangers_have_all_port_numbers_a_player_gets_in": OWN_HOST,
    "ListenersTest.test_bad_ones_are_refused_with_their_place": NO_DATAGRAMS,
    "CaptureTest.test_the_file_has_the_datagrams_of_one_session_with_the_ends_addresses": SAMPLED,
    "CaptureTest.test_tcpdump_reads_it": SAMPLED,
    "CaptureTest.test_it_ends_when_the_file_has_as_many_bytes_as_it_may": SAMPLED,
    "RightsTest": NO_DATAGRAMS,
    "PlacesTest.test_a_file_that_changes_is_read_again_and_a_bad_one_is_not_used": "it is about files: who makes a session looks up where it is",
    "PlacesTest.test_reading_gives_way_to_workers_and_does_not_hold_up_the_end": NO_DATAGRAMS,
    "PlacesTest.test_a_list_that_is_none_is_a_usage_error": NO_DATAGRAMS,
    "PageTest": NO_DATAGRAMS,
    "BadFileTest": "what is refused does not come to the driver, for which ListenersTest has a case",
}
# Cases whose sessions end after a few datagrams, or are the sockets' by a filter, a header or a limit. XDP carries some of all others.
BY_SOCKETS = ("DropsTest", "EndTest", "FilterTest", "HeaderTest", "LimitTest", "LoopTest", "MigrationTest", "NetworkTest", "PlacesTest",
              "RateTest", "SessionLogTest", "TopTest")


class Away:
    """The ground: players and game servers are on another host, at the other end of a veth. This process is on the proxy's."""
    flags = "--xdp", "on", "--xdp-attach", MODE, "--service.udp.xdp.network-interface", "way"
    network = "10.96.0.0/12"
    # Others end as the loopback addresses do, in the first network those of players, in the second one those of the proxy.
    own_addresses = {"127.0.0.1": CLIENT_IPV4, "::1": CLIENT_IPV6}
    proxy_addresses = {"127.0.0.1": SERVER_IPV4, "::1": SERVER_IPV6}

    def __init__(self, client):
        self.client = client
        self.received = self.carried = 0  # datagrams of all proxies since reset

    def among_players(self):
        return self.client

    def own(self, address):
        return self.own_addresses.get(address) or address.replace("127.0.", "10.98.")

    def proxy(self, address):
        return self.proxy_addresses.get(address) or address.replace("127.0.", "10.97.")

    def lost(self):
        """A veth has a ring of 256 frames for what its other end sends. The sender's end counts what finds no room."""
        with self.client:
            text = pathlib.Path("/proc/thread-self/net/dev").read_text(encoding="ascii")
        return int(text.split("way:")[1].split()[11])

    @staticmethod
    def pause():
        """The driver takes a session over where its player pauses."""
        time.sleep(0.003)

    def leave(self, proxy):
        # One without descriptors does not answer.
        with contextlib.suppress(OSError), mock.patch.object(support, "ANSWER_SECONDS", 1):
            metrics = proxy.metrics()
            self.received += proxying.value(metrics, "paddock_udp_received_total")
            self.carried += proxying.value(metrics, "paddock_udp_xdp_packets_total")


def setUpModule():
    if os.geteuid() != 0:
        return  # all is skipped
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    try:
        client, server = stack.enter_context(hosts.two_hosts())
    except (OSError, FileNotFoundError) as error:
        raise unittest.SkipTest(f"no network namespaces here: {error}") from error
    with client:
        pass_all()
        ip("route add local 10.98.0.0/16 dev lo")
        ip(f"route add 10.97.0.0/16 via {SERVER_IPV4}")
    stack.enter_context(server)
    ip(f"route add 10.98.0.0/16 via {CLIENT_IPV4}")
    for address in "10.97.0.2", "10.97.7.7":
        ip(f"addr add {address}/32 dev way")
    stack.enter_context(mock.patch.object(proxying, "GROUND", Away(client)))


def carried(case):
    """A case of another module, here."""
    @support.needs_root
    class Carried(case):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            proxying.GROUND.received = proxying.GROUND.carried = 0

        @classmethod
        def tearDownClass(cls):
            ground = proxying.GROUND
            print(f"{cls.__name__}: {ground.carried:.0f} of {ground.received:.0f} datagrams were carried by XDP", flush=True)
            if ground.carried == 0 and cls.__name__ not in BY_SOCKETS:
                raise AssertionError("XDP has carried nothing")
            super().tearDownClass()

    for name in dir(case):
        if LEFT_OUT.pop(f"{case.__name__}.{name}", None):
            setattr(Carried, name, None)
    Carried.__name__ = Carried.__qualname__ = case.__name__
    return Carried


def cases():
    for suite in SUITES:
        for name, case in vars(suite).items():
            if isinstance(case, type) and issubclass(case, unittest.TestCase) and not LEFT_OUT.pop(name, None) and \
                    (name in SMALL or not support.SANITIZE):
                yield name, carried(case)


globals().update(cases())

if __name__ == "__main__":
    if LEFT_OUT and not support.SANITIZE:
        raise AssertionError(f"no such tests: {', '.join(LEFT_OUT)}")
    support.main()
