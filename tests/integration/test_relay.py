# SPDX-License-Identifier: Apache-2.0
"""`paddock relay`: every datagram is in the report, and what is done to it is what was asked for."""
import contextlib
import os
import resource
import signal
import socket
import struct
import threading
import time
import unittest

import support
from relaying import Relay
from support import Responder, Server, ping_json, run, scaled

MS = 1_000_000


def echo(server, data, client):
    server.send(data, client)


def unread(port):
    """The bytes that wait in the receive buffers of IPv4 sockets with this port."""
    with open("/proc/net/udp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(int(row[4].rpartition(":")[2], 16) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def settled(relay, server):
    """Whether what was sent so far has been read by both, but for what the relay holds."""
    return not unread(relay.port) and not unread(server.port)


class Client:
    """A socket that sends numbered datagrams to a relay and reads what comes back."""

    def __init__(self, relay, address="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        support.make_room(self.socket)
        self.socket.settimeout(support.ANSWER_SECONDS)
        self.socket.connect((address, relay.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *numbers):
        for number in numbers:
            self.socket.send(struct.pack(">I", number))

    def receive(self, count):
        return [struct.unpack(">I", self.socket.recv(65536))[0] for _ in range(count)]

    def send_through(self, relay, server, count):
        """Sends numbers from 0 on, as fast as the relay and the server read them, so that no buffer overflows."""
        for first in range(0, count, 100):
            self.send(*range(first, min(first + 100, count)))
            support.wait_until(lambda: settled(relay, server), "the datagrams are read")

    def receive_waiting(self):
        """What is there already."""
        self.socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self.receive(1)
        return found


def numbers_of(server):
    return [struct.unpack(">I", data)[0] for _, data in server.arrivals]


class RelayTest(unittest.TestCase):
    def expect_counts(self, counts, **expected):
        """These counts, and 0 of all others."""
        nonzero = {name: count for name, count in counts.items() if count != 0}
        self.assertEqual(nonzero, {name: count for name, count in expected.items() if count != 0})


class ForwardTest(RelayTest):
    def test_without_impairments_everything_comes_once_and_in_order(self):
        count = scaled(5000)
        with Server(echo) as server, Relay(server.target) as relay, Client(relay) as client:
            for first in range(0, count, 50):
                numbers = list(range(first, min(first + 50, count)))
                client.send(*numbers)
                self.assertEqual(client.receive(len(numbers)), numbers)
            report = relay.stop()
            self.assertEqual(numbers_of(server), list(range(count)))
        self.assertEqual(report["clients"], 1)
        for direction in ("up", "down"):
            self.expect_counts(report[direction], received=count, forwarded=count)

    def test_datagrams_of_every_size_come_whole(self):
        sizes = [0, 1, 17, 33, 1200, 1472, 1473, 9000, 32768, 65506, 65507]
        with Server(echo) as server, Relay(server.target) as relay, Client(relay) as client:
            for size in sizes:
                data = os.urandom(size)
                client.socket.send(data)
                self.assertEqual(client.socket.recv(65536), data)
            report = relay.stop()
        self.expect_counts(report["up"], received=len(sizes), forwarded=len(sizes))

    @support.needs_ipv6
    def test_ipv4_and_ipv6_on_either_side(self):
        for listen, ask, to in (("[::1]:0", "::1", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1", "::1"),
                                ("[::]:0", "127.0.0.1", "::1"), ("[::]:0", "::1", "127.0.0.1"),
                                ("0.0.0.0:0", "127.0.0.3", "127.0.0.1")):
            with self.subTest(listen=listen, ask=ask, to=to), Server(echo, address=to) as server, \
                 Relay(server.target, listen=listen) as relay, Client(relay, ask) as client:
                # A connected socket takes an answer from the very address that it asked, and no other.
                client.send(1, 2, 3)
                self.assertEqual(client.receive(3), [1, 2, 3])
                self.expect_counts(relay.stop()["down"], received=3, forwarded=3)

    @support.needs_ipv6
    def test_a_datagram_too_large_for_the_other_side_is_a_send_error(self):
        with Server(address="127.0.0.1") as server, Relay(server.target, listen="[::1]:0") as relay, \
             Client(relay, "::1") as client:
            client.socket.send(bytes(65520))
            client.socket.send(bytes(100))
            server.await_arrivals(1)
            report = relay.stop()
        self.expect_counts(report["up"], received=2, forwarded=1, send_errors=1, dropped_queue=1)

    def test_many_clients_each_get_their_own_answers(self):
        count = scaled(300)
        with Server(echo) as server, Relay(server.target, "--delay", "5ms") as relay, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(relay)) for _ in range(count)]
            for first in range(0, count, 100):  # as many as the smallest of the buffers holds
                wave = range(first, min(first + 100, count))
                for number in wave:
                    clients[number].send(number, number + 100000)
                for number in wave:
                    self.assertEqual(sorted(clients[number].receive(2)), [number, number + 100000])
            report = relay.stop()
        self.assertEqual(report["clients"], count)
        self.expect_counts(report["up"], received=2 * count, forwarded=2 * count)
        self.expect_counts(report["down"], received=2 * count, forwarded=2 * count)

    def test_without_descriptors_a_new_client_is_counted_and_others_go_on(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))

        with Server(echo) as server, Relay(server.target, preexec_fn=limit) as relay, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(relay)) for _ in range(30)]
            for client in clients:
                client.send(1)
            clients[0].send(2)
            self.assertEqual(clients[0].receive(2), [1, 2])
            report = relay.stop()
        self.assertEqual(report["up"]["received"], 31)
        self.assertGreater(report["up"]["no_client"], 0)
        self.assertEqual(report["up"]["no_client"], 30 - report["clients"])
        self.assertEqual(report["up"]["forwarded"], report["clients"] + 1)

    def test_an_idle_client_goes_and_is_a_new_one_afterwards(self):
        with Server(echo) as server, Relay(server.target, "--idle", "2s") as relay, Client(relay) as client:
            client.send(1)
            self.assertEqual(client.receive(1), [1])
            # The kernel's list may lack a socket while others come and go: not three times in a row.
            support.wait_until(lambda: all(support.udp_ports(relay.pid) == {relay.port} for _ in range(3)),
                               "the client's socket is closed")
            client.send(2)
            self.assertEqual(client.receive(1), [2])
            report = relay.stop()
        self.assertEqual(report["clients"], 2)

    def test_a_client_with_a_datagram_on_its_way_is_not_idle(self):
        with Server(echo) as server, Relay(server.target, "--idle", "2s", "--up-delay", "3s") as relay, \
             Client(relay) as client:
            client.send(1)
            self.assertEqual(client.receive(1), [1])
            report = relay.stop()
        self.assertEqual(report["clients"], 1)
        self.expect_counts(report["up"], received=1, forwarded=1)

    def test_a_server_that_is_not_there_is_counted_and_found_again(self):
        port = support.closed_port()
        with Relay(f"127.0.0.1:{port}") as relay, Client(relay) as client:
            for number in range(10):
                client.send(number)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(("127.0.0.1", port))
                server.settimeout(support.ANSWER_SECONDS)
                client.send(10)
                while struct.unpack(">I", server.recv(100))[0] != 10:
                    pass
            report = relay.stop()
        self.assertEqual(report["up"]["received"], 11)
        # An ICMP error takes the place of no datagram: each is taken by the system in the end.
        self.assertEqual(report["up"]["forwarded"], 11)

    def test_what_the_kernel_dropped_is_told(self):
        with Server() as server, Relay(server.target) as relay, Client(relay) as client:
            relay.process.send_signal(signal.SIGSTOP)
            buffered = 0
            for buffered in range(1, 50001):
                client.socket.send(bytes(60000 if buffered < 1000 else 10))
            relay.process.send_signal(signal.SIGCONT)
            report = relay.stop()
        up = report["up"]
        self.assertGreater(up["kernel_drops"], 0)
        self.assertEqual(up["received"] + up["kernel_drops"], buffered)


class ImpairmentTest(RelayTest):
    def up(self, count, *flags):
        """Sends through a relay with these impairments; returns what the server got, and the counts."""
        with Server() as server, Relay(server.target, *flags) as relay, Client(relay) as client:
            client.send_through(relay, server, count)
            report = relay.stop()
            server.await_arrivals(report["up"]["forwarded"])
            self.expect_counts(report["down"])
            return numbers_of(server), report["up"]

    def down(self, count, *flags):
        """The same for what a server sends to a client in answer to one datagram."""
        sent = threading.Event()

        def burst(server, _data, client):
            for number in range(count):
                server.send(struct.pack(">I", number), client)
            sent.set()

        with Server(burst) as server, Relay(server.target, *flags) as relay, Client(relay) as client:
            client.send(0)
            self.assertTrue(sent.wait(support.ANSWER_SECONDS))
            report = relay.stop()
            return client.receive_waiting(), report["down"]

    def test_what_is_lost_is_what_does_not_come(self):
        count = scaled(2000)
        came, counts = self.up(count, "--loss", "0.3", "--seed", "1")
        self.assertEqual(len(set(came)), len(came))
        self.expect_counts(counts, received=count, forwarded=len(came), lost=count - len(came))
        self.assertAlmostEqual(counts["lost"] / count, 0.3, delta=0.1)

    def test_loss_of_all_and_of_nothing(self):
        self.expect_counts(self.up(200, "--loss", "1")[1], received=200, lost=200)
        self.expect_counts(self.up(200, "--loss", "1", "--up-loss", "0")[1], received=200, forwarded=200)

    def test_copies_are_as_many_as_the_report_says(self):
        count = scaled(2000)
        came, counts = self.up(count, "--duplicate", "0.2", "--seed", "2")
        twice = len(came) - len(set(came))
        self.assertEqual(set(came), set(range(count)))
        self.expect_counts(counts, received=count, forwarded=count + twice, duplicated=twice)
        self.assertAlmostEqual(twice / count, 0.2, delta=0.1)

    def test_a_reordered_datagram_overtakes_what_came_before(self):
        count = 200
        with Server() as server, Relay(server.target, "--delay", "3s", "--reorder", "0.1", "--seed", "3") as relay, \
             Client(relay) as client:
            client.send(*range(count))
            server.await_arrivals(count)
            counts = relay.stop()["up"]
            came = numbers_of(server)
        first = counts["reordered"]
        self.assertIn(first, range(5, 50))
        self.assertEqual(came, sorted(came[:first]) + sorted(came[first:]))
        self.assertNotEqual(came, sorted(came))
        self.expect_counts(counts, received=count, forwarded=count, reordered=first)

    def test_a_seed_makes_the_same_choices_again_and_another_makes_others(self):
        flags = ("--loss", "0.3", "--duplicate", "0.3")
        first, counts = self.up(300, *flags, "--seed", "42")
        self.assertEqual((first, counts), self.up(300, *flags, "--seed", "42"))
        self.assertNotEqual(first, self.up(300, *flags, "--seed", "43")[0])

    def test_each_client_and_direction_has_choices_of_its_own(self):
        def came_of(relay, server, order):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(Client(relay)) for _ in range(2)]
                for number in range(100):
                    for index in order:
                        clients[index].send(1000 * index + number)
                server.await_arrivals(relay.stop()["up"]["forwarded"])
            return [[number % 1000 for number in numbers_of(server) if number // 1000 == index] for index in range(2)]

        results = []
        for order in ((0, 1), (0, 0, 1)):
            with Server() as server, Relay(server.target, "--loss", "0.5", "--seed", "9") as relay:
                results.append(came_of(relay, server, order))
        first, second = results[0]
        self.assertNotEqual(first, second)
        # What the second client loses does not depend on how much the first sends.
        self.assertEqual(results[1][1], second)

    def test_the_other_direction_is_impaired_in_the_same_way(self):
        came, counts = self.down(100, "--down-loss", "0.5", "--seed", "5")
        self.expect_counts(counts, received=100, forwarded=len(came), lost=100 - len(came))
        self.assertIn(counts["lost"], range(20, 80))
        self.assertEqual((came, counts), self.down(100, "--down-loss", "0.5", "--seed", "5"))

    def test_a_delay_counts_from_the_arrival_not_from_when_the_relay_looked(self):
        with Server() as server, Relay(server.target, "--delay", "200ms") as relay, Client(relay) as client:
            relay.process.send_signal(signal.SIGSTOP)
            client.send(*range(10))
            sent = time.monotonic()
            support.wait_until(lambda: time.monotonic() > sent + 0.2, "the delay is over")
            relay.process.send_signal(signal.SIGCONT)
            report = relay.stop()
        self.expect_counts(report["up"], received=10, forwarded=10)

    def test_beyond_the_rate_datagrams_are_dropped_and_counted(self):
        start = time.monotonic()
        with Server() as server, Relay(server.target, "--rate", "1G", "--up-rate", "80k") as relay, Client(relay) as client:
            for _ in range(500):
                client.socket.send(bytes(100 - 28))
            support.wait_until(lambda: not unread(relay.port), "the datagrams are read")
            counts = relay.stop()["up"]
        passed = counts["forwarded"]
        # A burst of 100 ms and one; then 100 a second.
        self.assertGreaterEqual(passed, 11)
        self.assertLessEqual(passed, 12 + (time.monotonic() - start) * 100)
        self.expect_counts(counts, received=500, forwarded=passed, dropped_rate=500 - passed)

    def test_a_full_queue_drops_and_what_waits_at_the_end_is_told(self):
        came, counts = self.up(10500, "--delay", "1h")
        self.assertEqual(came, [])
        self.expect_counts(counts, received=10500, dropped_queue=10500, queue_full=500, unsent=10000)

    def test_jitter_is_where_the_distribution_says(self):
        for distribution, least in (("uniform", 0.1), ("pareto", 0.3), ("normal", 0)):
            with self.subTest(distribution), Server() as server, \
                 Relay(server.target, "--delay", "200ms", "--jitter", "100ms", "--distribution", distribution) as relay, \
                 Client(relay) as client:
                start = time.monotonic()
                client.send(*range(100))
                sent = time.monotonic()
                server.await_arrivals(100)
                took = [arrived - sent for arrived, _ in server.arrivals]
                self.assertGreaterEqual(min(took), least - (sent - start) - 0.001)
                self.assertNotEqual(numbers_of(server), list(range(100)), "jitter of more than the pace left the order alone")
                self.expect_counts(relay.stop()["up"], received=100, forwarded=100)


class PingTest(RelayTest):
    """What the client makes of a bad network."""

    def ping(self, relay, *arguments, expect=0):
        status, document = ping_json(*arguments, relay.target)
        self.assertEqual(status, expect, document)
        target, = document["targets"]
        self.assertEqual((target["rejected"], document["rejected_elsewhere"]), (0, 0))
        return target

    def test_the_distances_of_both_ways_are_told_apart(self):
        with Responder() as responder, \
             Relay(f"127.0.0.1:{responder.port}", "--delay", "10ms", "--up-delay", "60ms") as relay:
            target = self.ping(relay, "-a", "10", "-i", "10ms")
            report = relay.stop()
        incoming = [ping["incoming_ns"] for ping in target["pings"]]
        outgoing = [ping["outgoing_ns"] for ping in target["pings"]]
        # The relay counts from the kernel's stamp, and both clocks are one.
        self.assertGreaterEqual(min(incoming), 60 * MS - MS // 10)
        self.assertGreaterEqual(min(outgoing), 10 * MS - MS // 10)
        self.assertLess(min(outgoing), 60 * MS)
        self.expect_counts(report["up"], received=10, forwarded=10)
        self.expect_counts(report["down"], received=10, forwarded=10)

    def test_what_a_client_lost_is_what_the_relay_lost(self):
        with Responder() as responder, \
             Relay(f"127.0.0.1:{responder.port}", "--loss", "0.2", "--down-loss", "0.1", "--seed", "6") as relay:
            target = self.ping(relay, "-a", "200", "-i", "1ms", "-t", "5s")
            report = relay.stop()
            counts = responder.stop()
        up, down = report["up"], report["down"]
        self.assertEqual(target["late"], 0)
        self.assertEqual((target["sent"], target["lost"]), (200, up["lost"] + down["lost"]))
        self.expect_counts(up, received=200, forwarded=counts["answered"], lost=200 - counts["answered"])
        self.expect_counts(down, received=counts["answered"], forwarded=target["received"], lost=down["lost"])
        self.assertTrue(up["lost"] > 0 and down["lost"] > 0)

    def test_a_pong_after_the_time_out_is_late(self):
        with Responder() as responder, Relay(f"127.0.0.1:{responder.port}", "--down-delay", "200ms") as relay:
            target = self.ping(relay, "-a", "10", "-i", "100ms", "-t", "50ms", expect=1)
            relay.stop()
        self.assertEqual((target["received"], target["duplicates"]), (0, 0))
        # The run may end before the last ones come back, or be kept from its end for as long as they take.
        self.assertIn(target["late"], range(1, 11))

    def test_a_pong_that_comes_twice_is_a_duplicate(self):
        with Responder() as responder, Relay(f"127.0.0.1:{responder.port}", "--down-duplicate", "1") as relay:
            target = self.ping(relay, "-a", "10", "-i", "10ms")
            report = relay.stop()
            responder.stop()
        self.assertEqual((target["received"], target["late"]), (10, 0))
        self.assertIn(target["duplicates"], (9, 10))
        self.expect_counts(report["down"], received=10, forwarded=20, duplicated=10)

    def test_a_ping_that_comes_twice_has_one_answer_and_a_duplicate(self):
        with Responder() as responder, Relay(f"127.0.0.1:{responder.port}", "--up-duplicate", "1") as relay:
            target = self.ping(relay, "-a", "10", "-i", "10ms")
            relay.stop()
            self.assertEqual(responder.stop()["answered"], 20)
        self.assertEqual(target["received"], 10)
        self.assertIn(target["duplicates"], (9, 10))

    def test_pongs_in_another_order_are_each_the_answer_to_their_ping(self):
        delay = 1000 * MS  # far more than what is not delayed takes
        with Responder() as responder, \
             Relay(f"127.0.0.1:{responder.port}", "--down-delay", "1s", "--down-reorder", "0.5", "--seed", "8") as relay:
            target = self.ping(relay, "-a", "40", "-i", "2ms", "-t", "10s")
            report = relay.stop()
        reordered = report["down"]["reordered"]
        self.assertIn(reordered, range(5, 36))
        self.assertEqual((target["received"], target["late"], target["duplicates"]), (40, 0, 0))
        delayed = [ping for ping in target["pings"] if ping["rtt_ns"] >= delay - MS // 10]
        self.assertGreaterEqual(len(delayed), 40 - reordered)
        self.assertLess(len(delayed), 40)


class ReportTest(RelayTest):
    def test_a_person_gets_both_directions_on_either_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), Server(echo) as server, \
                 Relay(server.target, "--seed", "77", report="human") as relay, Client(relay) as client:
                client.send(1, 2)
                client.receive(2)
                self.assertEqual(relay.end(number), 0)
                lines = relay.log.decode().splitlines()
            self.assertEqual(lines[0], f"{relay.target} to {server.target}, seed 77, 1 clients")
            self.assertEqual([line.split() for line in lines if "received" in line or "forwarded" in line],
                             [["received", "2"], ["forwarded", "2"]] * 2)

    def test_a_seed_that_was_not_given_is_reported_and_can_be_used_again(self):
        with Relay("127.0.0.1:9") as relay:
            self.assertEqual(relay.stop()["seed"], relay.seed)
        with Relay("127.0.0.1:9", "--seed", str(relay.seed)) as again:
            self.assertEqual(again.seed, relay.seed)
            report = again.stop()
        self.assertEqual((report["listen"], report["to"], report["clients"]), (again.target, "127.0.0.1:9", 0))

    def test_a_report_that_cannot_be_written_is_an_error(self):
        for form in ("human", "json"):
            with self.subTest(form), open("/dev/full", "w", encoding="ascii") as full, \
                 Relay("127.0.0.1:9", report=form, stdout=full) as relay:
                self.assertEqual(relay.end(), 255)
                self.assertIn("cannot write", relay.stderr())

    def test_wrong_usage_is_named_and_ends_with_2(self):
        both = ("--listen", "127.0.0.1:0", "--to", "127.0.0.1:9")
        cases = [
            ((), "'--listen' is missing"),
            (("--listen", "127.0.0.1:0"), "'--to' is missing"),
            ((*both, "--loss", "1.1"), "option '--loss': '1.1' is not a fraction"),
            ((*both, "--up-loss", "1%"), "option '--up-loss': '1%'"),
            ((*both, "--duplicate=-0.1"), "'--duplicate'"),
            ((*both, "--reorder", "nan"), "'--reorder'"),
            ((*both, "--delay", "61m"), "option '--delay': '61m' is not a duration"),
            ((*both, "--jitter", "soon"), "'--jitter'"),
            ((*both, "--down-distribution", "gauss"), "uniform, normal or pareto"),
            ((*both, "--rate", "1001G"), "option '--rate': '1001G'"),
            ((*both, "--rate", "1.0001k"), "'--rate'"),
            ((*both, "--seed", "9223372036854775808"), "'--seed'"),
            ((*both, "--idle", "0"), "'--idle'"),
            ((*both, "--report", "xml"), "human or json"),
            ((*both, "word\n"), "'word\\n' is not an option"),
            (("--listen", "localhost:0", "--to", "127.0.0.1:9"), "option '--listen': 'localhost:0': not a numeric"),
            (("--listen", "224.0.0.1:0", "--to", "127.0.0.1:9"), "'--listen'"),
            (("--listen", "127.0.0.1:0", "--to", "127.0.0.1:0"), "option '--to': '127.0.0.1:0': the port"),
            (("--listen", "127.0.0.1:0", "--to", "0.0.0.0:9"), "'--to'"),
            (("--listen", "127.0.0.1:0", "--to", "no..name"), "option '--to': 'no..name'"),
        ]
        for arguments, words in cases:
            with self.subTest(arguments):
                done = run("relay", *arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_an_address_that_is_taken_or_the_relays_own_ends_with_255(self):
        with Server() as server:
            done = run("relay", "--listen", server.target, "--to", "127.0.0.1:9")
            self.assertEqual(done.returncode, 255)
            self.assertIn("Address already in use", done.stderr)
        for listen in ("127.0.0.1", "0.0.0.0"):
            port = support.closed_port()
            done = run("relay", "--listen", f"{listen}:{port}", "--to", f"127.0.0.1:{port}")
            self.assertEqual(done.returncode, 255)
            self.assertIn("its own server", done.stderr)


if __name__ == "__main__":
    support.main()
