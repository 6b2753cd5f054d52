# SPDX-License-Identifier: Apache-2.0
"""Processes that watch Kubernetes, and what holds for them whichever API server there is."""
import json

import fleet
from fleet import SUFFIX, FleetTest, Role, await_answer, await_silence
from kubernetes import GAME_SERVERS, LEASES, MAPS, config_map, game_server
from support import environment, wait_until

SERVERS = GAME_SERVERS % "default"


class Watching(Role):
    """A role whose environment names a kubeconfig."""

    def __init__(self, config, *flags, **options):
        self.variables = environment() | {"KUBECONFIG": str(config)}
        super().__init__(*flags, **options)


class Gate(Watching):
    """A proxy that watches by itself."""

    def __init__(self, config, *flags, agones=True, **options):
        super().__init__(config, "--service.udp", "--service.udp.port", "0", "--service.udp.loopback", "--service.udp.workers", "2",
                         "--provider.k8s", *(["--provider.k8s.agones"] if agones else []), *flags, wait="k8s ready", **options)
        self.port = self.logged("udp ready")["port"]


class Agent(Watching):
    """Pushes what it watches to a relay, if it leads."""

    def __init__(self, config, relay, name, *flags, **options):
        super().__init__(config, "--service.qcmp", "--service.qcmp.port", "0", "--provider.mds.endpoints", relay.mds_url,
                         "--locality.region", "eu", "--provider.k8s.agones", "--provider.k8s.leader-election",
                         "--provider.k8s.leader-election.id", name, *flags, wait="k8s ready", **options)

    def leads(self):
        return self.value("^quilkin_provider_leader_election") == 1


class KubernetesTest(FleetTest):
    """self.api is the server."""

    def start(self, *flags, **options):
        self.gate = self.enter(Gate(self.api.kubeconfig(self.folder), *flags, **options))
        self.player = self.join(self.gate)
        return self.gate

    def filters(self, chain=SUFFIX, name="filters"):
        self.api.put(MAPS % "default", config_map(name, json.dumps({"filters": chain, "unknown": 1})))

    def server(self, name, index, *tokens, **options):
        namespace = options.get("namespace", "default")
        self.api.put(GAME_SERVERS % namespace, game_server(name, self.servers.targets[index], *tokens, **options))

    def endpoints(self):
        return {endpoint["metadata"]["name"]: endpoint for cluster in self.gate.config()["clusters"] or ()
                for endpoint in cluster["endpoints"]}

    def await_endpoints(self, *names):
        wait_until(lambda: set(self.endpoints()) == set(names), f"endpoints are {names}")


class Routing:
    """Tests of both servers."""

    def test_players_reach_game_servers_that_come_change_and_go(self):
        self.filters()
        self.server("one", 0, b"abc")
        self.server("idle", 1, b"idl", state="Ready")
        self.start()
        await_answer(self.player, b"helloabc", b"0:hello")
        self.server("two", 1, b"xyz", b"two", labels={"mode": "duel"}, annotations={"paddock/tokens": "bW9y", "paddock/weight": "7"})
        await_answer(self.player, b"helloxyz", b"1:hello")
        await_answer(self.player, b"hellomor", b"1:hello")
        known = self.endpoints()["two"]["metadata"]
        self.assertEqual({key: known[key] for key in ("name", "namespace", "labels", "paddock")},
                         {"name": "two", "namespace": "default", "labels": {"mode": "duel"}, "paddock": {"weight": 7}})
        self.api.merge(SERVERS, "two", {"metadata": {"annotations": {"quilkin.dev/tokens": "bmV3", "paddock/tokens": None}}})
        await_answer(self.player, b"hellonew", b"1:hello")
        await_silence(self.player, b"helloxyz")
        self.api.merge(SERVERS, "two", {"status": {"state": "Shutdown"}})  # at once, and not when it is deleted
        await_silence(self.player, b"hellonew")
        self.api.merge(SERVERS, "idle", {"status": {"state": "Allocated"}})
        await_answer(self.player, b"helloidl", b"1:hello")
        self.api.delete(SERVERS, "one")
        await_silence(self.player, b"helloabc")
        self.await_endpoints("idle")
        self.gate.await_ready()
        self.assertEqual(self.gate.value('deletions_total{kind="true"}'), 1)

    def test_the_leader_alone_pushes_and_another_takes_over(self):
        self.server("one", 0, b"abc")
        relay = self.enter(fleet.Relay("--provider.static.endpoints", "127.0.0.1:1", "--provider.static.endpoint-tokens", "1:3"))
        gate = self.enter(fleet.Gate(relay.url))
        player = self.join(gate)
        config = self.api.kubeconfig(self.folder)
        first = self.enter(Agent(config, relay, "first"))
        await_answer(player, b"helloabc", b"0:hello")
        second = self.enter(Agent(config, relay, "second"))
        second.await_ready()
        self.assertTrue(first.leads() and not second.leads())
        self.assertEqual(second.count("control plane connected"), 0)

        first.kill()
        wait_until(second.leads, "the second leads")
        self.server("two", 1, b"xyz")
        await_answer(player, b"helloxyz", b"1:hello")
        lease = self.api.get(LEASES % "default", "quilkin")["spec"]
        self.assertEqual((lease["holderIdentity"], lease["leaseTransitions"], lease["leaseDurationSeconds"]), ("second", 1, 1))

        third = self.enter(Agent(config, relay, "third"))
        third.await_ready()
        second.process.terminate()
        self.assertEqual(second.process.wait(), 0)
        self.assertNotEqual(self.api.get(LEASES % "default", "quilkin")["spec"]["holderIdentity"], "second")
        wait_until(third.leads, "the third leads")
        self.server("two", 2, b"xyz")
        await_answer(player, b"helloxyz", b"2:hello")
