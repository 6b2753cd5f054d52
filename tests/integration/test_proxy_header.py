#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol version 2 before players' datagrams. The parser is the test's own, by haproxy's doc/proxy-protocol.txt."""
import base64
import ipaddress
import socket
import struct
import unittest

from proxying import FILTER, Player, Proxy, Servers, check_sums, cluster, dropped, proxy_address
from support import wait_until

UDP_SEGMENT = 103
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
CONCATENATE = FILTER("concatenate", "Concatenate")


def parse(data):
    """(source, destination, rest) of a datagram; None for both addresses where there is no header."""
    if data[:12] != SIGNATURE:
        return None, None, data
    version_command, family, length = struct.unpack("!BBH", data[12:16])
    if version_command != 0x21 or family not in (0x12, 0x22):
        raise AssertionError(f"not PROXY for datagrams: {data[12:16].hex()}")
    size, fields = (4, data[16:28]) if family == 0x12 else (16, data[16:52])
    if length != len(fields):
        raise AssertionError(f"a length of {length}")
    ports = struct.unpack("!HH", fields[2 * size:])
    source, destination = ((str(ipaddress.ip_address(fields[i * size:(i + 1) * size])), ports[i]) for i in range(2))
    return source, destination, data[16 + length:]


def located(locality, *servers):
    return cluster(*servers) | {"locality": locality}


def headed(how, locality="*"):
    return {"clusters": {locality: {"proxy_protocol": how}}}


class HeaderTest(unittest.TestCase):
    def seen(self, servers, count, index=0):
        wait_until(lambda: len(servers.seen[index]) >= count, f"{count} datagrams at server {index}")
        return [parse(data) for data, _ in servers.seen[index]]

    def test_every_datagram_tells_the_player_and_an_echo_comes_back_without(self):
        for address in ("127.0.0.1", "::1"):
            with self.subTest(address), Servers(1, address=address) as servers, \
                    Proxy([cluster(*servers.targets)], udp=headed("every")) as proxy, Player(proxy.port, address) as player:
                for payload in (b"hello", b"", b"x" * 1200):
                    self.assertEqual(player.ask(payload), payload)
                own = player.socket.getsockname()[:2]
                self.assertEqual(self.seen(servers, 3),
                                 [(own, (proxy_address(address), proxy.port), payload) for payload in (b"hello", b"", b"x" * 1200)])
                check_sums(proxy)

    def test_the_first_of_each_session_alone(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp=headed("first")) as proxy:
            for number in range(2):
                with Player(proxy.port) as player:
                    for payload in (b"one", b"two", b"three"):
                        self.assertEqual(player.ask(payload), payload)
                    source = player.socket.getsockname()
                seen = self.seen(servers, 3 * number + 3)[3 * number:]
                self.assertEqual([found for found, _, _ in seen], [source, None, None])
                self.assertEqual([rest for _, _, rest in seen], [b"one", b"two", b"three"])

    def test_the_cluster_decides_also_among_copies_of_one_datagram(self):
        with Servers(3) as servers, \
                Proxy([located("a", servers.targets[0]), located("b", servers.targets[1]), located("c", servers.targets[2])],
                      udp={"clusters": {"a": {"proxy_protocol": "every"}, "*": {}, "c": {"proxy_protocol": "every"}}}) as proxy, \
                Player(proxy.port) as player:
            self.assertEqual([player.ask(b"hello"), player.socket.recv(99), player.socket.recv(99)], [b"hello"] * 3)
            source = player.socket.getsockname()
            self.assertEqual([self.seen(servers, 1, i)[0][0] for i in range(3)], [source, None, source])

    def test_it_goes_before_what_filters_made_however_long(self):
        for count in (1, 249, 256, 300, 60000):
            added = b"+" * count
            chain = [{"name": CONCATENATE, "config": {"on_read": "PREPEND", "bytes": base64.b64encode(added).decode()}}]
            with self.subTest(count), Servers(1) as servers, \
                    Proxy([cluster(*servers.targets)], chain, udp=headed("every")) as proxy, Player(proxy.port) as player:
                for payload in (b"one", b"two"):
                    self.assertEqual(player.ask(payload), added + payload)
                source = player.socket.getsockname()
                self.assertEqual([found for found, _, _ in self.seen(servers, 2)], [source, source])

    def test_a_burst_that_the_kernel_gathers_has_room_for_headers(self):
        chain = [{"name": CONCATENATE, "config": {"on_read": "PREPEND", "bytes": base64.b64encode(b"+" * 250).decode()}}]
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], chain, udp=headed("every") | {"gro": True}, workers=1) as proxy, \
                Player(proxy.port) as player:
            payloads = [bytes([i]) * 100 for i in range(60)]
            player.socket.sendmsg([b"".join(payloads)], [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", 100))])
            source = player.socket.getsockname()
            self.assertEqual(self.seen(servers, 60), [(source, (proxy_address(), proxy.port), b"+" * 250 + payload) for payload in payloads])

    def test_a_header_that_a_player_forges_stays_data(self):
        forged = SIGNATURE + bytes.fromhex("2112000c") + bytes(12) + b"me"
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp=headed("every")) as proxy, \
                Player(proxy.port) as player:
            self.assertEqual(player.ask(forged), forged)
            source, _, rest = self.seen(servers, 1)[0]
            self.assertEqual((source, rest), (player.socket.getsockname(), forged))

    def test_without_it_what_looks_like_a_header_passes_both_ways(self):
        forged = SIGNATURE + bytes.fromhex("20000000") + b"me"
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            self.assertEqual(player.ask(forged), forged)

    def test_a_datagram_that_becomes_too_long_is_dropped_and_counted(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp=headed("every")) as proxy, \
                Player(proxy.port) as player:
            player.socket.send(b"x" * 65500)
            wait_until(lambda: dropped(proxy.metrics(), "read", "too_large") == 1, "it is dropped")
            self.assertEqual(player.ask(b"x" * 65479), b"x" * 65479)
            check_sums(proxy)

    def test_a_reload_changes_it_for_sessions_that_there_are(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)]) as proxy, Player(proxy.port) as player:
            player.ask(b"one")
            proxy.reload(headed("every"))
            player.ask(b"two")
            proxy.reload(headed("off"))
            player.ask(b"three")
            source = player.socket.getsockname()
            self.assertEqual([found for found, _, _ in self.seen(servers, 3)], [None, source, None])
            self.assertEqual(len({port for _, port in (peer for _, peer in servers.seen[0])}), 1)


if __name__ == "__main__":
    unittest.main()
