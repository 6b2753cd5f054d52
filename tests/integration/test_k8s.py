#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes as a provider, before a stand-in for its API server with all that can go wrong."""
import base64
import json
import os
import re

import fleet
import support
from fleet import SUFFIX, await_answer, await_silence, by_token
from kubernetes import (GAME_SERVERS, LEASES, MAPS, SLICES, StandIn, config_map, endpoint_slice, game_server, make_certificates,
                        write_kubeconfig)
from proxying import Player, own_hosts
from support import environment, run, wait_until
from watching import SERVERS, Agent, Gate, KubernetesTest, Routing


class StandInTest(KubernetesTest):
    def setUp(self):
        super().setUp()
        self.api = self.enter(StandIn())

    def await_watches(self, count=2):
        wait_until(lambda: len(self.api.watches) == count, f"{count} watches")


class RoutingTest(StandInTest, Routing):
    def test_namespaces_stand_beside_each_other_and_what_is_unfit_is_left_out(self):
        self.api.page = 2  # the list comes in pieces
        self.filters()
        self.server("one", 0, b"abc", namespace="a")
        self.server("one", 1, b"xyz", namespace="b")
        for i in range(7):
            self.server(f"more-{i}", 2, b"mo%d" % i, namespace="b")
        portless = game_server("portless", self.servers.targets[2], b"nop", namespace="a")
        portless["status"]["ports"] = []
        bare = {"metadata": {"name": "bare", "namespace": "a"}, "status": {"state": "Allocated"}}
        bad = game_server("bad", self.servers.targets[2], namespace="a", annotations={"quilkin.dev/tokens": "?,b2s4,"})
        for thing in (portless, bare, {"metadata": {"name": "new", "namespace": "a"}}, bad):
            self.api.put(GAME_SERVERS % "a", thing)
        self.start("--provider.k8s.agones.namespaces", "a,b")
        await_answer(self.player, b"helloabc", b"0:hello")
        for token, answer in ((b"xyz", b"1:hello"), (b"mo6", b"2:hello"), (b"ok8", b"2:hello")):
            await_answer(self.player, b"hello" + token, answer)
        metrics = self.gate.metrics()
        errors = 'quilkin_providers_k8s_errors_total{kind="agones.dev/v1/GameServer",reason="%s"}'
        self.assertEqual((metrics[errors % "object"], metrics[errors % "token"]), (2, 2))
        self.assertEqual(metrics['quilkin_provider_k8s_gameservers_total{kind="valid"}'], 10)
        self.await_watches(3)
        self.api.forget()  # each lists again, and takes nothing of the other's
        self.api.delete(GAME_SERVERS % "a", "one")
        await_silence(self.player, b"helloabc")
        self.assertEqual(self.player.ask(b"helloxyz"), b"1:hello")

    def test_addresses_are_chosen_by_type_and_family(self):
        chosen = game_server("chosen", "192.0.2.1:7000")
        chosen["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.2"}, {"type": "PodIP", "address": "192.0.2.3"},
                                         {"type": "PodIP", "address": "2001:db8::3"}]
        other = game_server("other", "192.0.2.9:7000")
        for thing in (chosen, other):
            self.api.put(SERVERS, thing)
        self.start("--provider.k8s.agones.address-type", "PodIP", "--provider.k8s.agones.ip-kind", "v6")
        self.await_endpoints("chosen")
        self.assertEqual(self.endpoints()["chosen"]["address"], "[2001:db8::3]:7000")

    def test_a_service_without_agones_is_followed_by_its_slices(self):
        self.filters(chain=[])
        self.api.put(SLICES % "games", endpoint_slice("a-1", "a", self.servers.targets[0], namespace="games"))
        self.api.put(SLICES % "games", endpoint_slice("b-1", "b", self.servers.targets[1], namespace="games"))
        self.start("--provider.k8s.service", "games/a", agones=False)
        await_answer(self.player, b"hello", b"0:hello")
        self.assertEqual(self.player.rest(0.01), [])
        gone = endpoint_slice("a-1", "a", self.servers.targets[0], namespace="games")
        gone["endpoints"][0]["conditions"] = {"ready": False}
        self.api.put(SLICES % "games", gone)
        await_silence(self.player, b"hello")


class FiltersTest(StandInTest):
    def test_a_bad_config_map_leaves_the_chain_with_one_error(self):
        self.server("one", 0, b"abc")
        self.filters()
        self.start()
        await_answer(self.player, b"helloabc", b"0:hello")
        self.api.put(MAPS % "default", config_map("filters", "filters:\n  - name: no.such.filter\n"))
        error = self.gate.logged("filters are not taken: what is in force stays")["error"]
        self.assertRegex(error, r"ConfigMap default/filters: quilkin\.yaml:2:\d+: filters\[0\]\.name: ")
        self.await_watches()
        self.api.forget()  # told again, and no news
        wait_until(lambda: self.api.count("configmaps.limit") == 2, "it is listed again")
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        self.gate.await_ready()
        self.filters(by_token("prefix"))
        await_answer(self.player, b"abchello", b"0:hello")
        self.assertEqual(self.gate.count("filters are not taken: what is in force stays"), 1)
        self.api.put(MAPS % "default", config_map("later", json.dumps({"filters": SUFFIX}), key="paddock.yaml"))
        await_answer(self.player, b"helloabc", b"0:hello")
        for name in ("later", "filters"):
            self.api.delete(MAPS % "default", name)
        await_answer(self.player, b"whatever", b"0:whatever")
        self.assertEqual(self.gate.value("quilkin_provider_k8s_filters"), 0)

    def test_it_is_not_ready_before_something_good_has_come(self):
        self.api.put(MAPS % "default", config_map("filters", "x", key="other"))
        self.start()
        self.assertIn("expected a key quilkin.yaml", self.gate.logged("filters are not taken: what is in force stays")["error"])
        self.await_watches()
        self.assertEqual(self.gate.http("/ready")[0], 500)
        self.filters()
        self.gate.await_ready()


class FaultTest(StandInTest):
    def start_well(self):
        self.filters()
        self.server("one", 0, b"abc")
        self.start()
        await_answer(self.player, b"helloabc", b"0:hello")
        self.gate.await_ready()
        self.await_watches()

    def test_without_its_server_everything_goes_on(self):
        self.start_well()
        self.api.stop()
        self.gate.await_ready(500)
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        self.server("two", 1, b"xyz")
        self.api.start()
        await_answer(self.player, b"helloxyz", b"1:hello")
        self.gate.await_ready()
        self.assertEqual(self.gate.count("kubernetes not watched: what it told stays"), 2)
        self.assertEqual(self.gate.count("kubernetes watched again"), 2)
        self.assertEqual(self.api.count("limit="), 2)  # it went on from the version that it had
        self.assertGreater(self.gate.value('task_failures_total{task="k8s_provider"}'), 0)

    def test_versions_that_are_forgotten_are_listed_again(self):
        self.start_well()
        self.api.bookmarks = True
        with self.api.lock:  # gone, and nobody was told
            del self.api.objects[SERVERS]["one"]
            self.api.version += 1
        self.api.forget()
        await_silence(self.player, b"helloabc")
        self.server("two", 1, b"xyz")
        await_answer(self.player, b"helloxyz", b"1:hello")
        self.assertGreaterEqual(self.gate.value('errors_total{.*reason="expired"'), 2)
        with self.api.lock:  # one event, and the end: no outage
            news = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.api.version + 1)}}}
            self.api.faults = [("gameservers.watch", json.dumps(news).encode())]
            self.api.requests.clear()
        self.api.forget()
        wait_until(lambda: self.api.count("gameservers.watch") == 4, "it watches again and again")
        self.assertEqual(self.gate.count("kubernetes not watched: what it told stays"), 0)

    def test_answers_that_are_no_good_change_nothing(self):
        broken = b'{"type":"ADDED","object":{"metadata":{"name":"x"}'
        watches = [b"no json", b"[]", broken, b'{"type":"ERROR","object":{"code":500}}', b"", 403, 429, 500, "close"]
        lists = [b"{}", b'{"items":[3],"metadata":{"resourceVersion":"1"}}', b'{"items":[{"a":1}', 404, "close"]
        faults = [("watch", fault) for fault in watches] + [("limit", fault) for fault in lists]
        self.filters()
        for i, _ in enumerate(faults):
            self.server("one", 0, b"o%02d" % i, namespace=f"n{i}")
        self.start("--provider.k8s.agones.namespaces", ",".join(f"n{i}" for i, _ in enumerate(faults)))
        await_answer(self.player, b"helloo00", b"0:hello")
        self.await_watches(len(faults) + 1)
        with self.api.lock:
            self.api.faults = [(f"/n{i}/gameservers.{place}", fault) for i, (place, fault) in enumerate(faults)]
            self.api.faults.append((f"/n({'|'.join(str(i) for i, (place, _) in enumerate(faults) if place == 'limit')})/gameservers.watch", 410))
            before = [self.api.count(pattern) for pattern, _ in self.api.faults]
        self.api.cut()
        for number, (pattern, fault) in enumerate(self.api.faults[:-1]):
            wait_until(lambda: self.api.count(pattern) > before[number] + 1, f"it asks again after {fault}")
            self.assertEqual(self.player.ask(b"helloo%02d" % number), b"0:hello")
        self.api.faults = []
        for i, _ in enumerate(faults):
            self.server("two", 1, b"t%02d" % i, namespace=f"n{i}")
        for i, _ in enumerate(faults):
            await_answer(self.player, b"hellot%02d" % i, b"1:hello")
        self.gate.await_ready()

    def test_rights_may_come_later_and_nothing_is_told_in_part(self):
        self.filters()
        self.server("one", 0, b"abc")
        self.api.faults = [("gameservers", 403)]
        self.start()
        error = self.gate.logged("kubernetes not watched: what it told stays")
        self.assertIn("403 no GET", error["error"])
        self.assertEqual((error["step"], error["path"]), ("list", SERVERS))
        wait_until(lambda: self.api.count("gameservers") > 2, "it asks again")
        self.assertEqual(self.gate.http("/ready")[0], 500)
        self.assertEqual(self.gate.config()["filters"], [])
        self.api.faults = []
        await_answer(self.player, b"helloabc", b"0:hello")
        self.gate.await_ready()
        self.assertEqual(self.gate.count("kubernetes not watched: what it told stays"), 1)


class LeaderTest(StandInTest):
    def test_a_leader_that_cannot_renew_is_quiet_before_another_begins(self):
        relay = self.enter(fleet.Relay())
        agent = self.enter(Agent(self.api.kubeconfig(self.folder), relay, "first"))
        wait_until(agent.leads, "it leads")
        agent.logged("control plane connected")
        self.api.faults = [("leases", "hang")]
        agent.logged("control plane lost")
        self.assertFalse(agent.leads())
        lease = self.api.get(LEASES % "default", "quilkin")
        self.assertEqual(lease["spec"]["holderIdentity"], "first")  # another had to wait longer
        self.api.merge(LEASES % "default", "quilkin", {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}})
        self.api.faults = []
        agent.await_ready()
        self.assertFalse(agent.leads())
        self.api.merge(LEASES % "default", "quilkin", {"spec": {"holderIdentity": ""}})
        wait_until(agent.leads, "it leads again")
        agent.logged("control plane connected", 2)

        self.api.faults = [("PATCH.*leases", 409)]  # however often it asks
        self.assertIn("409", agent.logged("the lease is not reached", 2)["error"])
        self.api.faults = []
        wait_until(agent.leads, "it leads once more")
        self.api.merge(LEASES % "default", "quilkin", {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}})
        wait_until(lambda: not agent.leads(), "it follows")
        self.api.faults = [("GET.*leases", b"")]
        self.assertEqual(agent.logged("the lease is not reached", 3)["error"], "the answer is no Lease")
        self.api.faults = []
        with self.api.lock:
            self.api.delete(LEASES % "default", "quilkin")
            self.api.requests.clear()
        wait_until(agent.leads, "it makes the Lease again")
        with self.api.lock:  # not at once, as the other would not have known
            leases = [request.partition(" ")[0] for request in self.api.requests if "leases" in request]
        self.assertGreaterEqual(leases.index("POST"), 2)


class CredentialsTest(StandInTest):
    def test_certificates_of_both_ends_come_from_files_or_as_text(self):
        keys = self.folder / "keys"
        keys.mkdir()
        make_certificates(keys, "client")
        self.api.stop()
        self.api = self.enter(StandIn(tls=keys, client_authorities=keys / "ca.crt"))
        self.api.token = None
        self.filters(chain=[])
        data = {name: base64.b64encode((keys / name).read_bytes()).decode() for name in ("ca.crt", "client.crt", "client.key")}
        config = self.folder / "config"
        for url, user, cluster in (
                (self.api.url, {"client-certificate": "keys/client.crt", "client-key": "keys/client.key"},
                 {"certificate-authority": "keys/ca.crt"}),
                (self.api.url, {"client-certificate-data": data["client.crt"], "client-key-data": data["client.key"]},
                 {"certificate-authority-data": data["ca.crt"], "tls-server-name": "kubernetes"})):
            write_kubeconfig(config, url, user, **cluster)
            with Gate(config, agones=False) as gate:
                gate.await_ready()
        write_kubeconfig(config, self.api.url, {"client-certificate-data": data["client.crt"], "client-key-data": data["client.key"]})
        with Gate(config, agones=False) as gate:  # authorities are those of the system
            self.assertIn("certificate", gate.logged("kubernetes not watched: what it told stays")["error"])

    def test_a_token_that_is_rotated_is_read_again(self):
        token = self.folder / "token"
        token.write_text(self.api.token + "\n", encoding="utf-8")
        os.chmod(token, 0o644)
        config = write_kubeconfig(self.folder / "config", self.api.url, {"tokenFile": "token"})
        self.filters()
        self.server("one", 0, b"abc")
        with Gate(config) as gate, Player(gate.port) as player:
            await_answer(player, b"helloabc", b"0:hello")
            self.api.token = "other"
            self.api.cut()
            self.assertIn("401 Unauthorized", gate.logged("kubernetes not watched: what it told stays", 3)["error"])
            fresh = self.folder / "fresh"
            fresh.write_text("other", encoding="utf-8")
            os.chmod(fresh, 0o644)
            os.replace(fresh, token)
            gate.logged("kubernetes credentials read again")
            gate.await_ready()

    def test_a_server_is_found_by_its_name(self):
        hosts = self.enter(own_hosts("127.0.0.1 api.test\n"))
        self.filters()
        config = write_kubeconfig(self.folder / "config", f"http://api.test:{self.api.port}/", {"token": self.api.token})
        with Gate(config, agones=False, preexec_fn=hosts) as gate:
            gate.await_ready()

    def refused(self, config, *flags):
        variables = environment() | {"KUBECONFIG": str(config)}
        done = run("--service.udp", "--service.udp.port", "0", "--provider.k8s", *flags, env=variables)
        return done.returncode, done.stderr

    def test_programs_for_credentials_are_refused(self):
        config = write_kubeconfig(self.folder / "config", self.api.url, {"exec": {"command": "aws"}})
        status, stderr = self.refused(config)
        self.assertEqual(status, 255)
        self.assertRegex(stderr, re.escape(str(config)) + ": user.exec: not supported, as no program is run")
        status, stderr = self.refused(self.folder / "nothing")
        self.assertEqual(status, 255)
        self.assertIn("cannot read " + str(self.folder / "nothing"), stderr)

    def test_flags_that_do_not_fit_together_are_usage_errors(self):
        for flags, text in ((("--provider.fs",), "--provider.fs: not together with --provider.k8s"),
                            (("--provider.k8s.agones.ip-kind", "v4", "--provider.k8s.agones"), "needs --provider.k8s.agones.address-type"),
                            (("--provider.k8s.agones.address-type", "PodIP"), "needs --provider.k8s.agones"),
                            (("--provider.k8s.agones.namespaces", "a"), "needs --provider.k8s.agones"),
                            (("--provider.k8s.agones", "--provider.k8s.agones.namespaces", "a,,b"), "names of namespaces"),
                            (("--provider.k8s.service", "name"), "NAMESPACE/NAME")):
            status, stderr = self.refused("/none", *flags)
            self.assertEqual((status, text in stderr), (2, True), stderr)


if __name__ == "__main__":
    support.main()
