# SPDX-License-Identifier: Apache-2.0
"""What an ordinary day brings, and must not end the service or lose pings uncounted: changes of the port under load, addresses
that come later, more signals than it can follow."""
import contextlib
import json
import signal
import socket
import threading
import time
import unittest

import support
from serving import PORT_CHANGED, RELOADED, Operated, free_ports, public_folder
from support import Namespace, ip, packed_ping, scaled, wait_until

RATE = 40_000
CHANGES = 40


class Sender:
    """Sends pings at an even pace to a port that may change, from the namespace that it is made in. Its socket stays, so
    that late answers are none to a port that is closed."""

    def __init__(self, port):
        self.port, self.sent, self.done = port, 0, threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def run(self):
        ping = packed_ping(1, 0)
        begin = time.monotonic()
        while not self.done.wait(0.001):
            due = int((time.monotonic() - begin) * RATE * support.SCALE)
            while self.sent < due:
                self.socket.sendto(ping, ("127.0.0.1", self.port))
                self.sent += 1


def udp_counter(name):
    """Of IPv4, in this thread's namespace."""
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, values = [line.split()[1:] for line in file if line.startswith("Udp:")]
    return int(values[names.index(name)])


class OutageTest(unittest.TestCase):
    def setUp(self):
        self.path = self.enterContext(public_folder()) / "paddock.yaml"

    def write(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="ascii")
        new.rename(self.path)

    def namespace(self):
        try:
            namespace = Namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
        self.addCleanup(namespace.close)
        return self.enterContext(namespace)


@support.needs_root
class PortChangeTest(OutageTest):
    def test_no_ping_is_lost_uncounted_in_forty_changes_of_the_port_under_load(self):
        self.namespace()
        ports = free_ports(2)
        self.write(f"qcmp_port: {ports[0]}\npaddock: {{workers: 2}}\n")
        with Operated("-c", str(self.path)) as service:
            with Sender(ports[0]) as sender:
                for change in range(1, scaled(CHANGES) + 1):
                    port = ports[change % 2]
                    self.write(f"qcmp_port: {port}\npaddock: {{workers: 2}}\n")
                    self.assertEqual(service.await_event(PORT_CHANGED, change)["fields"]["port"], port)
                    sender.port = port
                    service.await_event(RELOADED, change)
            counts = service.stop()
            sender.socket.close()
            self.assertGreater(sender.sent, 0)
            self.assertEqual(counts["received"] + counts["kernel_drops"] + udp_counter("NoPorts"), sender.sent)
            self.assertEqual(counts["received"], counts["valid"] + counts["dropped"])


@support.needs_root
class AddressTest(OutageTest):
    MISSING = "this host does not have an address to listen on: it is served once it has"

    def check(self, *addresses):
        """Each answers once the host has it."""
        self.write(f"qcmp_port: 7600\npaddock: {{workers: 2, qcmp: {{listen: {json.dumps(addresses)}}}}}\n")
        with Operated("-c", str(self.path)) as service:
            missing = [event["fields"]["address"].rpartition(":")[0].strip("[]") for event in service.events(self.MISSING, "WARN")]
            self.assertEqual(missing, list(addresses))
            wait_until(lambda: service.http("/ready")[0] == 200, "it is ready all the same")
            for address in addresses:
                ip(f"address add {address}/{128 if ':' in address else 32} dev lo")
                with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(0.1)
                    def is_answered(client=client, address=address):
                        with contextlib.suppress(OSError):
                            client.sendto(packed_ping(1, 0), (address, 7600))
                            return client.recvfrom(100)[1][0] == address
                        return False
                    wait_until(is_answered, f"{address} is served")
            service.stop()

    def test_addresses_that_come_later(self):
        self.namespace()
        self.check("192.0.2.7", "192.0.2.8")

    @unittest.skipUnless(support.has_ipv6(), "there is no IPv6")
    def test_addresses_of_ipv6_that_come_later(self):
        self.namespace()
        self.check("2001:db8::7", "192.0.2.7")

    @unittest.skipUnless(support.has_ipv6(), "there is no IPv6")
    def test_an_address_whose_duplicates_are_looked_for(self):
        self.namespace()
        ip("link add one type veth peer name two")
        ip("link set one up")
        ip("link set two up")
        ip("address add 2001:db8::9/64 dev one")
        if " tentative" not in ip("-6 address show dev one"):
            self.skipTest("duplicates are not looked for")
        self.write("qcmp_port: 7600\npaddock: {qcmp: {listen: ['2001:db8::9']}}\n")
        with Operated("-c", str(self.path)) as service:
            service.stop()


class SignalTest(OutageTest):
    def test_a_stop_comes_before_reloads(self):
        prefixes = ", ".join(f"10.{i >> 8}.{i & 255}.{j}/32" for i in range(scaled(4096)) for j in range(32))
        self.write(f"qcmp_port: 0\npaddock: {{workers: 1, qcmp: {{access: {{deny: [{prefixes}]}}}}}}\n")
        with Operated("-c", str(self.path)) as service:
            done = threading.Event()
            def storm():
                while not done.wait(0.01):
                    with contextlib.suppress(ProcessLookupError):
                        service.process.send_signal(signal.SIGHUP)
            thread = threading.Thread(target=storm)
            thread.start()
            try:
                service.await_event(RELOADED, 2)
                service.read_log()
                before = len(service.events(RELOADED))
                service.process.send_signal(signal.SIGTERM)
                service.await_event("shutting down")
                self.assertLessEqual(len(service.events(RELOADED)) - before, 1)
                self.assertEqual(service.process.wait(support.STOP_SECONDS), 0)
            finally:
                done.set()
                thread.join()


if __name__ == "__main__":
    support.main()
