#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control plane with the reference, Quilkin, in each single role, where it is installed; datagrams are routed by token at
the end of every chain."""
import re
import shutil
import subprocess
import unittest

import fleet
import support
from fleet import SUFFIX, Agent, File, FleetTest, Gate, Manager, Relay, await_answer, await_silence, located
from proxying import Administered
from serving import free_ports
from support import Namespace, environment, ip, wait_until

QUILKIN = shutil.which("quilkin")

# The reference drops what comes from loopback, whatever it is told.
PLAYER = "192.0.2.1"


class Theirs(Administered):
    """The reference in some role, on ports that were free a moment ago."""

    def __init__(self, *flags):
        self.admin_port, = free_ports(1)
        super().__init__("--admin.address", f"127.0.0.1:{self.admin_port}", *flags, program=QUILKIN, stdout=subprocess.DEVNULL,
                         env=environment() | {"QUILKIN_ADMIN_ENABLED": "true", "RUST_LOG": "error"})

    def value(self, pattern):
        return sum(number for series, number in self.metrics().items() if re.search(pattern, series))


class TheirManager(Theirs):
    def __init__(self, file):
        port, = free_ports(1)
        super().__init__("--service.xds", "--service.xds.port", str(port), *file.flags())
        self.url = f"http://127.0.0.1:{port}"


class TheirRelay(Theirs):
    def __init__(self, *flags):
        port, mds_port = free_ports(2)
        super().__init__("--service.xds", "--service.xds.port", str(port), "--service.mds", "--service.mds.port", str(mds_port),
                         *flags)
        self.url, self.mds_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{mds_port}"


class TheirAgent(Theirs):
    def __init__(self, file, url, region="eu"):
        self.qcmp_port, = free_ports(1)
        super().__init__("--service.qcmp", "--service.qcmp.port", str(self.qcmp_port), "--provider.mds.endpoints", url,
                         "--locality.region", region, "--locality.icao", "EDDF", *file.flags())


class TheirGate(Theirs):
    def __init__(self, url):
        self.port, = free_ports(1)
        super().__init__("--service.udp", "--service.udp.port", str(self.port), "--service.udp.workers", "2",
                         "--provider.xds.endpoints", url)


@unittest.skipUnless(QUILKIN, "quilkin is not on PATH, so no role was taken by the reference")
class ReferenceTest(FleetTest):
    def setUp(self):
        try:
            here = Namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
        self.addCleanup(here.close)
        self.enter(here)
        ip(f"address add {PLAYER}/32 dev lo")
        super().setUp()

    def check_manager(self, manager, gate):
        """A server's news reaches the proxy, and so does what is gone."""
        file = File(self.folder, filters=SUFFIX, clusters=[located(self.at(0, b"abc"), "eu"), located(self.at(1, b"xyz"), "us")])
        server = self.enter(manager(file))
        proxy = self.enter(gate(server.url))
        player = self.join(proxy, PLAYER)
        await_answer(player, b"helloabc", b"0:hello")
        await_answer(player, b"helloxyz", b"1:hello")
        # In place: the reference does not notice a file that is replaced.
        for clusters, data, answer in (
                ([located(self.at(2, b"abc"), "eu"), located(self.at(1, b"xyz"), "us")], b"helloabc", b"2:hello"),
                ([located(self.at(2, b"abc"), "eu"), located(self.at(1, b"123"), "us")], b"hello123", b"1:hello")):
            file.document["clusters"] = clusters
            file.path.write_text(fleet.json.dumps(file.document), encoding="utf-8")
            await_answer(player, data, answer)
        await_silence(player, b"helloxyz")
        self.assertEqual(proxy.value("xds_nacks"), 0)
        return file, server, proxy, player

    def test_their_server_and_our_proxy(self):
        self.check_manager(TheirManager, Gate)

    def test_our_server_and_their_proxy(self):
        file, server, proxy, player = self.check_manager(Manager, TheirGate)
        file.write(clusters=[located(self.at(2, b"abc"), "eu")])
        await_silence(player, b"hello123")  # which a 0.10 proxy would keep, were its locality only removed
        self.assertEqual(server.value("xds_nacks"), 0)
        self.assertEqual(player.ask(b"helloabc"), b"2:hello")
        wait_until(lambda: proxy.http("/ready")[0] == 200, "the proxy is ready")

    def check_chain(self, agent, relay, gates):
        filters = File(self.folder, "relay.yaml", filters=SUFFIX)
        file = File(self.folder, "agent.yaml", clusters=[self.at(0, b"abc")])
        middle = self.enter(relay(*filters.flags()))
        pusher = self.enter(agent(file, middle.mds_url))
        proxies = [self.enter(gate(url)) for gate in gates for url in (middle.url, middle.mds_url)]
        players = [self.join(proxy, PLAYER) for proxy in proxies]
        for player in players:
            await_answer(player, b"helloabc", b"0:hello")
        file.document["clusters"] = [self.at(1, b"abc")]
        file.path.write_text(fleet.json.dumps(file.document), encoding="utf-8")
        for player in players:
            await_answer(player, b"helloabc", b"1:hello")
        for proxy in (middle, *proxies):
            self.assertEqual(proxy.value("xds_nacks"), 0)
        return pusher, middle, proxies, players

    def test_our_agent_and_their_relay(self):
        agent, _, proxies, _ = self.check_chain(Agent, TheirRelay, [Gate])
        node = {"127.0.0.1": {"qcmp_port": agent.qcmp_port, "icao_code": "EDDF"}}
        wait_until(lambda: proxies[0].config()["datacenters"]["map"] == node, "our data centre by their relay")

    def test_their_agent_and_our_relay(self):
        agent, _, proxies, players = self.check_chain(TheirAgent, Relay, [Gate])
        node = {"127.0.0.1": {"qcmp_port": agent.qcmp_port, "icao_code": "EDDF"}}
        wait_until(lambda: proxies[0].config()["datacenters"]["map"] == node, "their data centre by our relay")
        agent.kill()
        wait_until(lambda: proxies[0].config()["datacenters"]["map"] == {}, "it is gone with its agent")
        self.assertEqual(players[0].ask(b"helloabc"), b"1:hello")

    def test_our_agent_our_relay_and_their_proxy(self):
        self.check_chain(Agent, Relay, [TheirGate])

    def test_their_agent_their_relay_and_our_proxy(self):
        self.check_chain(TheirAgent, TheirRelay, [Gate])


if __name__ == "__main__":
    support.main()
