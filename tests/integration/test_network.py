# SPDX-License-Identifier: Apache-2.0
"""The responder and ping across a network: two hosts (network namespaces) with two links between them."""
import collections
import socket
import struct
import subprocess

import support
from hosts import HostsCase, link_local, LINKS
from support import Asker, Responder, ip, packed_ping, ping_json

SO_BINDTODEVICE = 25
IPV6_CHECKSUM = 7
UDP_CHECKSUM_OFFSET = 6

@support.needs_root
class NetworkTest(HostsCase):
    def setUp(self):
        self.sent = collections.Counter()
        self.start()

    def start(self, **options):
        with self.server:
            self.responder = Responder("--service.udp.workers", "1", **options)
        self.addCleanup(self.responder.__exit__)

    def asker(self, address, link=None):
        """An Asker in the client's namespace."""
        with self.client:
            scope = socket.if_nametoindex(link) if link else 0
            return Asker(self.responder.port, self.sent, address, scope)

    def check_dropped(self, dropped):
        """The counts tell what was dropped, once all has been handled."""
        with self.asker("10.99.0.2") as asker:
            self.assertEqual(asker.answers(), [])
        self.assertEqual(self.responder.stop(), support.counts(self.sent, dropped))

    def send_to_many(self, family, address, option=None):
        """Pings what is no unicast address; what comes first must be the answer to a ping of the server's own."""
        port = self.responder.port
        server = ("fd00:99::2", port) if family == socket.AF_INET6 else ("10.99.0.2", port)
        with self.client, socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(support.ANSWER_SECONDS)
            sender.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"way")
            if option:
                sender.setsockopt(*option)
            sender.sendto(packed_ping(1, 1), (address, port))
            sender.sendto(packed_ping(2, 2), server)
            self.sent["valid"] += 1
            data, source = sender.recvfrom(4096)
            self.assertEqual(source[:2], server)
            self.assertEqual(support.parsed_pong(data).nonce, 2)

    def send_to_many_over_ipv4(self):
        broadcast = (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.send_to_many(socket.AF_INET, "10.99.0.255", broadcast)
        self.send_to_many(socket.AF_INET, "255.255.255.255", broadcast)
        self.send_to_many(socket.AF_INET, "224.0.0.1")

    def test_a_ping_to_many_is_not_answered_over_ipv4(self):
        self.send_to_many_over_ipv4()
        self.check_dropped(2)  # Linux itself keeps IPv4 multicast from a dual-stack socket.

    def test_a_ping_to_many_is_not_answered_over_ipv4_on_a_host_without_ipv6(self):
        self.start(preexec_fn=support.without_ipv6())
        self.send_to_many_over_ipv4()
        self.check_dropped(3)

    def test_a_ping_to_many_is_not_answered_over_ipv6(self):
        self.send_to_many(socket.AF_INET6, "ff02::1")
        self.check_dropped(1)

    def send_raw(self, family, address, source_port):
        ping = packed_ping(3, 3)
        header = struct.pack(">HHHH", source_port, self.responder.port, 8 + len(ping), 0)
        with self.client, socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP) as sender:
            if family == socket.AF_INET6:
                sender.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, UDP_CHECKSUM_OFFSET)
            sender.sendto(header + ping, (address, 0))

    def test_a_ping_from_port_0_is_not_answered(self):
        self.send_raw(socket.AF_INET, "10.99.0.2", 0)
        self.send_raw(socket.AF_INET6, "fd00:99::2", 0)
        self.check_dropped(2)

    def test_a_raw_ping_from_another_port_is_answered(self):
        """So that the test above fails for the port alone."""
        for family, address, source in ((socket.AF_INET, "10.99.0.2", "10.99.0.1"),
                                        (socket.AF_INET6, "fd00:99::2", "fd00:99::1")):
            with self.client, socket.socket(family, socket.SOCK_DGRAM) as receiver:
                receiver.settimeout(support.ANSWER_SECONDS)
                receiver.bind((source, 0))
                self.send_raw(family, address, receiver.getsockname()[1])
                self.sent["valid"] += 1
                self.assertEqual(support.parsed_pong(receiver.recv(4096)).nonce, 3)
        self.check_dropped(0)

    def test_a_link_local_address_answers_on_each_link(self):
        for link in LINKS:
            with self.server:
                address = link_local(link)
            with self.asker(address, link) as asker:
                self.assertEqual(asker.answers(), [])
                self.assertEqual(asker.to[0], address)
            with self.client:
                status, document = ping_json("-i0", "-a3", f"[{address}%{link}]:{self.responder.port}")
                index = socket.if_nametoindex(link)
            result = document["targets"][0]
            self.assertEqual((status, result["received"], result["rejected"]), (0, 3, 0), result)
            self.assertEqual(result["address"], f"[{address}%{index}]:{self.responder.port}")
            self.sent["valid"] += 3
        self.check_dropped(0)

    def check_asymmetric(self, family, asked, source, packet_info, offset):
        """Asks over one link, from an address that the server reaches over the other."""
        with self.client, socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(support.ANSWER_SECONDS)
            sender.setsockopt(*packet_info)
            sender.bind((source, 0))
            sender.sendto(packed_ping(9, 9), (asked, self.responder.port))
            self.sent["valid"] += 1
            data, control, _, answered = sender.recvmsg(4096, 256)
            self.assertEqual(support.parsed_pong(data).nonce, 9)
            self.assertEqual(answered[:2], (asked, self.responder.port))
            index = struct.unpack_from("I", control[0][2], offset)[0]
            self.assertEqual(socket.if_indextoname(index), "back", "the answer did not take the other way")
            target = f"[{asked}]:{self.responder.port}" if ":" in asked else f"{asked}:{self.responder.port}"
            status, document = ping_json("-i0", "-a3", target)
            self.sent["valid"] += 3
            self.assertEqual((status, document["targets"][0]["received"]), (0, 3), document)

    def test_an_answer_takes_another_way_back_but_comes_from_the_asked_address(self):
        with self.client:
            ip("addr add 10.98.0.1/32 dev lo")
            ip("addr add fd00:98::1/128 dev lo nodad")
            ip("route replace 10.99.0.2/32 dev way src 10.98.0.1")
            ip("route replace fd00:99::2/128 dev way src fd00:98::1")
        with self.server:
            ip("route replace 10.98.0.1/32 via 10.99.1.1 dev back")
            ip("route replace fd00:98::1/128 via fd00:9a::1 dev back")
        self.check_asymmetric(socket.AF_INET, "10.99.0.2", "10.98.0.1", (socket.IPPROTO_IP, 8, 1), 0)  # IP_PKTINFO
        self.check_asymmetric(socket.AF_INET6, "fd00:99::2", "fd00:98::1",
                              (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1), 16)
        self.check_dropped(0)

    def test_every_address_of_the_server_answers_for_itself(self):
        with self.server:
            for address in ("10.97.0.5/32", "fd00:97::5/128"):
                subprocess.run(["ip", "addr", "replace", address, "dev", "lo"], check=True)
        with self.client:
            ip("route replace 10.97.0.5/32 via 10.99.1.2")
            ip("route replace fd00:97::5/128 via fd00:9a::2")
        for address in ("10.97.0.5", "10.99.0.2", "10.99.1.2", "fd00:97::5", "fd00:99::2", "fd00:9a::2"):
            with self.asker(address) as asker:
                self.assertEqual(asker.answers(), [])
        self.check_dropped(0)

    def test_an_unreachable_network_is_that_pings_error(self):
        with self.client:
            status, document = ping_json("-a2", "-i0", "192.0.2.1", f"10.99.0.2:{self.responder.port}")
        unreachable, reachable = document["targets"]
        self.assertEqual(status, 1)
        self.assertEqual([ping["error"] for ping in unreachable["pings"]], ["Network is unreachable"] * 2)
        self.assertEqual(reachable["received"], 2)


if __name__ == "__main__":
    support.main()
