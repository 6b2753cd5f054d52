#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chains of filters in a proxy: what players and servers get, what is counted, what is logged."""
import contextlib
import json
import os
import pathlib
import socket
import struct
import time
import unittest

import proxying
import support
from proxying import Player, Proxy, Servers, by_token, cluster, own_address, target_of, value
from serving import NOT_RELOADED
from support import wait_until


def name(kind):
    words = "".join("_" + c.lower() if c.isupper() else c for c in kind)[1:]
    return f"quilkin.filters.{words}.v1alpha1.{kind}"


def use(kind, config=None):
    return {"name": name(kind), "config": config}


class FilterTest(unittest.TestCase):
    def start(self, stack, filters, servers):
        """A proxy with these filters before one server, and a player's socket."""
        proxy = stack.enter_context(Proxy([cluster(servers.targets[0])], filters))
        return proxy, stack.enter_context(Player(proxy.port)).socket

    def dropped(self, service, event, reason):
        return service.metrics()[f'quilkin_packets_dropped_total{{event="{event}",source="{reason}"}}']

    def test_a_long_chain_does_what_each_filter_does(self):
        branch = {"value": "A", "name": name("Concatenate"), "config": {"on_read": "PREPEND", "bytes": "Pg=="}}
        filters = [use("Firewall", {
                       "on_read": [{"action": "ALLOW", "sources": [proxying.GROUND.network], "ports": ["1024-65535", 65535]}],
                       "on_write": [{"action": "ALLOW", "sources": [own_address()], "ports": ["0-65535"]}]}),
                   use("Capture", {"metadataKey": "time", "suffix": {"size": 8, "remove": True}}),
                   use("Timestamp", {"metadataKey": "time"}),
                   use("Capture", {"metadataKey": "kind", "regex": {"pattern": "^[A-Z]"}}),
                   use("Match", {"on_read": {"metadataKey": "kind", "branches": [branch], "fallthrough": use("Drop")}}),
                   use("Concatenate", {"on_write": "APPEND", "bytes": "IQ=="}),
                   use("Debug", {"id": "last"})]
        now = struct.pack(">q", int(time.time()) - 3)
        with Servers(1) as servers, contextlib.ExitStack() as stack:
            service, player = self.start(stack, filters, servers)
            player.send(b"Ahoy" + now)
            self.assertEqual(player.recv(100), b">Ahoy!")
            player.send(b"Bye" + now)
            player.send(b"nothing" + now)
            player.send(b"short")
            player.send(b"Again" + now)
            self.assertEqual(player.recv(100), b">Again!")
            self.assertEqual([data for data, _ in servers.seen[0]], [b">Ahoy", b">Again"])
            self.assertEqual(self.dropped(service, "read", "filter::drop::dropped"), 1)
            self.assertEqual(self.dropped(service, "read", "filter::capture::no value captured"), 2)
            metrics = service.metrics()
            kind = name("Match")
            for label, value in (("packets_matched_total", 2), ("packets_fallthrough_total", 1)):
                found = [number for series, number in metrics.items() if series.startswith("quilkin_filter_int_counter") and
                         kind in series and label in series and 'event="read"' in series]
                self.assertEqual(found, [value])
            for kind, value in (("Firewall", 5), ("Timestamp", 4), ("Match", 3), ("Debug", 2)):
                self.assertEqual(metrics[f'quilkin_filter_read_duration_seconds_count{{filter="{name(kind)}"}}'], value)
            self.assertEqual(metrics[f'quilkin_filter_write_duration_seconds_count{{filter="{name("Concatenate")}"}}'], 2)
            late = [number for series, number in metrics.items() if series.startswith("filter_histogram_bucket") and
                    'event="read"' in series]
            self.assertEqual((late[7], late[-1]), (0, 4))  # not within a second, but within ten
            service.await_line('"message":"Write filter event","id":"last"')
            self.assertIn(f'"source":"{servers.targets[0]}","dest":"{target_of(player.getsockname())}"',
                          service.log.decode())
            self.assertEqual(service.end(), 0)
            self.assertEqual(service.log.decode().count("Read filter event"), 2)

    def test_a_player_over_its_limit_is_held_back_across_reloads(self):
        limit = use("LocalRateLimit", {"max_packets": 5, "period": 60})
        with Servers(2) as servers, contextlib.ExitStack() as stack:
            service, player = self.start(stack, [limit], servers)
            for _ in range(5):
                player.send(b"x")
                player.recv(100)
            service.reload(clusters=[cluster(*servers.targets)])
            for _ in range(3):
                player.send(b"x")
            wait_until(lambda: self.dropped(service, "read", "filter::rate_limit::dropped") == 3, "three are dropped")
            self.assertEqual(servers.seen[1], [])
            self.assertEqual(service.end(), 0)

    def test_what_becomes_too_large_is_dropped(self):
        with Servers(1) as servers, contextlib.ExitStack() as stack:
            service, player = self.start(stack, [use("Concatenate", {"on_read": "APPEND", "bytes": "A" * 400})], servers)
            player.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            player.send(b"y" * 65207)
            self.assertEqual(player.recv(70000), b"y" * 65207 + bytes(300))
            player.send(b"y" * 65208)
            wait_until(lambda: self.dropped(service, "read", "too_large") == 1, "it is dropped")
            self.assertEqual(service.end(), 0)


class BalanceTest(unittest.TestCase):
    def counts_of(self, weights, players):
        """How many players each server has, who send several datagrams each."""
        with Servers(len(weights)) as servers, Proxy(filters=[use("LoadBalancer", {"policy": "LEAST_SESSIONS"})], clusters=[{"endpoints": [
                {"address": target, "metadata": {"paddock": {"weight": weight}}} for target, weight in zip(servers.targets, weights)]}],
                workers=1) as proxy, contextlib.ExitStack() as stack:
            for number in range(players):
                player = stack.enter_context(Player(proxy.port))
                for _ in range(5):
                    self.assertEqual(player.ask(b"%d" % number), b"%d" % number)
            counts = [len(set(data for data, _ in seen)) for seen in servers.seen]
            self.assertEqual(value(proxy.metrics(), "quilkin_session_total"), players)
            proxy.stop()
        return counts

    def test_players_go_where_the_fewest_sessions_are_and_stay(self):
        self.assertEqual(self.counts_of([1, 1, 1], 12), [4, 4, 4])

    def test_servers_get_players_by_their_weights(self):
        self.assertEqual(self.counts_of([1, 2, 5], 16), [2, 4, 10])


BAD_FILES = sorted((pathlib.Path(__file__).parent.parent / "data/config/bad").glob("*.yaml"))


class BadFileTest(unittest.TestCase):
    def test_no_bad_file_changes_what_is_in_force(self):
        """Each is what `paddock check` is held to; its first line has the place, the key and what was expected."""
        with Servers(1) as servers, Proxy([cluster(*servers.targets, tokens=[[b"abc"]])], by_token()) as proxy, Player(proxy.port) as player:
            self.assertEqual(player.ask(b"1abc"), b"1")
            before = json.loads(proxy.http("/config")[1])
            for number, bad in enumerate(BAD_FILES, 1):
                expected = bad.read_bytes().split(b"\n")[0].decode().removeprefix("# ").removesuffix(" | the schema cannot tell")
                other = proxy.path.with_suffix(".new")
                other.write_bytes(bad.read_bytes())
                os.replace(other, proxy.path)
                event = proxy.await_event(NOT_RELOADED, number)
                self.assertEqual(event["fields"]["error"], f"{proxy.path}:{expected}", bad.name)
                self.assertEqual(player.ask(b"%dabc" % number), b"%d" % number)
            self.assertEqual(json.loads(proxy.http("/config")[1]), before)
            self.assertEqual(value(proxy.metrics(), "paddock_config_reloads_total", result="error"), len(BAD_FILES))
            self.assertGreater(len(BAD_FILES), 150)
            proxy.stop()


if __name__ == "__main__":
    support.main()
