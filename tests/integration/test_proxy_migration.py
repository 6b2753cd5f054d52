#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions that go on when their player comes from another address: `paddock.udp.sessions.migrate_by: token`."""
import contextlib
import json
import os
import signal
import unittest

import support
from proxying import Player, Proxy, Servers, by_token, check_sums, cluster, dropped, identity, value
from support import wait_until

MIGRATIONS, HANDOVERS = "paddock_udp_migrations_total", "paddock_udp_handovers_total"
RECEIVED = "paddock_udp_received_total"
QUEUE = 512  # datagrams that one worker has for another one
COUNT = 24  # players: that none of them comes to another worker has a chance of one in 2^24


def token(number):
    return b"%03d" % number


def sessions_of(proxy):
    return json.loads(proxy.http("/sessions")[1])["sessions"]


def migrating(servers, *flags, migrate_by="token", workers=2, **sessions):
    """A proxy whose players have a token each; each server takes all of them."""
    tokens = [token(i) for i in range(COUNT)]
    return Proxy([cluster(*servers.targets, tokens=[tokens for _ in servers.targets])], by_token(),
                 {"sessions": {"migrate_by": migrate_by, **sessions}}, *flags, workers=workers)


class MigrationTest(unittest.TestCase):
    def ports(self, servers):
        return {name: len(ports) for name, ports in servers.sources().items()}

    def test_a_player_with_a_new_address_keeps_its_upstream_port(self):
        with Servers(1) as servers, migrating(servers, log_rate=1000) as proxy, contextlib.ExitStack() as stack:
            def join(number, data=b""):
                player = stack.enter_context(Player(proxy.port))
                self.assertEqual(player.ask(identity(number) + data + token(number)), identity(number) + data)
                return player
            old = [join(i) for i in range(COUNT)]
            new = [join(i, bytes(60000 if i % 2 else 10)) for i in range(COUNT)]
            metrics = proxy.metrics()
            self.assertEqual(value(metrics, MIGRATIONS), COUNT)
            self.assertEqual(value(metrics, "quilkin_session_total"), COUNT)
            self.assertGreater(value(metrics, HANDOVERS), 0)
            self.assertLess(value(metrics, HANDOVERS), COUNT)

            # One player's datagrams stay in order, also those that another worker hands over.
            for number, player in enumerate(new):
                for i in range(40):
                    player.socket.send(identity(number) + b"%02d" % i + token(number))
            for number, player in enumerate(new):
                for i in range(40):
                    self.assertEqual(player.socket.recv(100), identity(number) + b"%02d" % i)
            listed = sessions_of(proxy)
            where = {player.socket.getsockname()[1] for player in new}
            self.assertEqual({int(row["player"].rpartition(":")[2]) for row in listed}, where)
            self.assertEqual([row["migrations"] for row in listed], [1] * COUNT)

            # The last datagram decides, so the old address can have its session back.
            for number, player in enumerate(old):
                self.assertEqual(player.ask(identity(number) + token(number)), identity(number))
            self.assertEqual([player.rest() for player in new], [[]] * COUNT)
            self.assertEqual(value(proxy.metrics(), MIGRATIONS), 2 * COUNT)
            self.assertEqual(self.ports(servers), {identity(i): 1 for i in range(COUNT)})
            check_sums(proxy)
            proxy.stop()
            self.assertEqual({line["fields"]["migrations"] for line in proxy.events("udp session ended")}, {2})

    def test_an_address_that_another_player_had_does_not_give_its_session(self):
        with Servers(1) as servers, migrating(servers) as proxy, contextlib.ExitStack() as stack:
            def join(number, port=0):
                player = stack.enter_context(Player(proxy.port, source="127.0.0.1", number=port))
                self.assertEqual(player.ask(identity(number) + token(number)), identity(number))
                return player
            before = [join(i) for i in range(COUNT)]
            own = [player.socket.getsockname()[1] for player in before]
            for player in before:
                player.socket.close()
            # Each comes from the next one's address while that still has its session there, twice.
            for number in [*range(COUNT), *range(COUNT)]:
                join(number, own[(number + 1) % COUNT]).socket.close()
            last = [join(i) for i in range(COUNT)]
            self.assertEqual(self.ports(servers), {identity(i): 1 for i in range(COUNT)})
            self.assertEqual(value(proxy.metrics(), "quilkin_session_total"), COUNT)
            self.assertEqual([player.rest() for player in last], [[]] * COUNT)
            check_sums(proxy)

            # Two at one address have both their sessions there.
            player = last[0]
            for number in (1, 0, 1, 2, 1):
                self.assertEqual(player.ask(identity(number) + token(number)), identity(number))
            self.assertEqual(self.ports(servers), {identity(i): 1 for i in range(COUNT)})
            self.assertEqual(value(proxy.metrics(), "quilkin_session_total"), COUNT)

    def test_a_token_is_all_that_it_takes_to_have_another_players_session(self):
        with Servers(2) as servers, migrating(servers) as proxy, Player(proxy.port) as player, Player(proxy.port) as thief:
            self.assertEqual([player.ask(b"player" + token(1)) for _ in range(1)], [b"player"])
            thief.ask(b"guess!" + token(2))  # another token has a session of its own, valid as it is
            self.assertEqual(value(proxy.metrics(), MIGRATIONS), 0)
            thief.socket.send(b"no" + b"XYZ")
            with Player(proxy.port) as other:
                other.ask(b"theft!" + token(1))
                self.assertEqual(value(proxy.metrics(), MIGRATIONS), 2)  # with each of the servers
                player.rest(0.05)
                player.ask(b"again!" + token(1))
                self.assertEqual(value(proxy.metrics(), MIGRATIONS), 4)
            for seen in servers.seen:
                ports = {data: source[1] for data, source in seen}
                self.assertEqual(len({ports[b"player"], ports[b"theft!"], ports[b"again!"]}), 1)
                self.assertNotEqual(ports[b"guess!"], ports[b"player"])
            self.assertEqual(dropped(proxy.metrics(), "read", "filter::token_router::no endpoint match"), 1)
            check_sums(proxy)

    def test_what_another_worker_cannot_take_is_counted(self):
        with Servers(1) as servers, migrating(servers) as proxy, contextlib.ExitStack() as stack:
            for number in range(COUNT):
                player = stack.enter_context(Player(proxy.port))
                with Player(proxy.port) as before:
                    before.ask(identity(number) + token(number))
                player.ask(identity(number) + token(number))
                if value(proxy.metrics(), HANDOVERS):
                    break
            at = f":{player.socket.getsockname()[1]}"
            worker = next(row["worker"] for row in sessions_of(proxy) if row["player"].endswith(at))
            with support.held_thread(proxy.pid, f"worker-{worker}") as release:
                for i in range(QUEUE + 10):
                    player.socket.send(identity(number) + b"%03d" % i + token(number))
                    if i % 50 == 0:
                        wait_until(lambda: value(proxy.metrics(), RECEIVED, event="read") > i + 1, "received")
                wait_until(lambda: dropped(proxy.metrics(), "read", "handover") == 10, "10 are refused")
                release()
            def later():
                return [data[8:] for data, _ in list(servers.seen[0]) if len(data) > 8]
            wait_until(lambda: len(later()) == QUEUE, "what was taken")
            self.assertEqual(later(), [b"%03d" % i for i in range(QUEUE)])
            check_sums(proxy)

    def test_nobody_migrates_unless_asked_for(self):
        with Servers(1) as servers, migrating(servers, migrate_by="nothing") as proxy:
            for _ in range(2):
                with Player(proxy.port) as player:
                    player.ask(identity(1) + token(1))
            self.assertEqual(self.ports(servers), {identity(1): 2})
            self.assertEqual(value(proxy.metrics(), MIGRATIONS), 0)

    def test_the_limit_of_an_address_holds_and_a_drain_does_not_matter(self):
        with Servers(1) as servers, migrating(servers, "--termination-timeout", "1m", workers=1, max_per_address=1) as proxy, \
                Player(proxy.port) as player, Player(proxy.port, source="127.0.0.2") as full, \
                Player(proxy.port, source="127.0.0.2") as second, Player(proxy.port, source="127.0.0.3") as third:
            player.ask(identity(1) + token(1))
            full.ask(identity(2) + token(2))
            second.socket.send(identity(1) + token(1))
            refused = 'quilkin_packets_dropped_total{event="read",source="too_many_sessions_of_one_address"}'
            proxy.await_metric(refused, 1)
            self.assertEqual(player.ask(identity(1) + token(1)), identity(1))
            second.ask(identity(2) + token(2))  # another port of the same address
            self.assertEqual(value(proxy.metrics(), MIGRATIONS), 1)

            os.kill(proxy.pid, signal.SIGTERM)
            proxy.await_line("shutting down")
            third.ask(identity(1) + token(1))
            full.socket.send(identity(3) + token(3))
            proxy.await_metric('quilkin_packets_dropped_total{event="read",source="draining"}', 1)
            self.assertEqual(value(proxy.metrics(), MIGRATIONS), 2)
            self.assertEqual(self.ports(servers), {identity(1): 1, identity(2): 1})
            check_sums(proxy)


if __name__ == "__main__":
    unittest.main()
