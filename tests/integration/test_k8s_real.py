#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes as a provider, before the real API server: $KUBE_APISERVER names the binary, and etcd is Debian's."""
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile
import threading

import yaml

import support
from fleet import await_answer, await_silence, by_token
from kubernetes import LEASES, MAPS, REAL, Cluster, game_server
from proxying import Player, Servers
from support import scaled, wait_until
from watching import SERVERS, Gate, KubernetesTest, Routing


MANIFESTS = pathlib.Path(__file__).resolve().parents[2] / "packaging/agones"


class ClusterTest(KubernetesTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cluster = Cluster(pathlib.Path(folder.name))
        cls.addClassCleanup(cluster.__exit__)
        cls.api = cluster.__enter__()

    def setUp(self):
        super().setUp()
        for path in (SERVERS, MAPS % "default"):
            self.api.expect("DELETE", path)
        self.api.call("DELETE", f"{LEASES % 'default'}/quilkin")


class RealTest(ClusterTest, Routing):
    def test_a_thousand_game_servers_come_and_go_under_traffic(self):
        count, wrong, stop = scaled(1000), [], threading.Event()
        servers = self.enter(Servers(5, lambda index, data: [data] if int(data[-5:-1]) % 5 == index else wrong.append(data) or []))
        self.filters(by_token(size=5, remove=False))
        self.start()
        tokens = [b"%04dx" % i for i in range(count)]

        def play():
            """A player of every game, there or not."""
            with Player(self.gate.port) as player:
                while not stop.is_set():
                    for token in tokens:
                        player.socket.send(b"hello" + token)
                    player.rest(0.05)
        thread = threading.Thread(target=play)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

        def live(i):
            name = f"gs-{i}"
            self.api.put(SERVERS, game_server(name, servers.targets[i % 5], tokens[i], state="Ready"))
            self.api.merge(SERVERS, name, {"status": {"state": "Allocated"}})
            if i % 2:
                self.api.delete(SERVERS, name)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(live, range(count)))
        self.gate.await_value("paddock_provider_k8s_servers", (count + 1) // 2)
        for i in (0, count // 2 & ~1, (count - 1) & ~1):
            await_answer(self.player, b"well" + tokens[i], b"well" + tokens[i])
        await_silence(self.player, b"well" + tokens[1])
        self.api.expect("DELETE", SERVERS)
        self.gate.await_value("paddock_provider_k8s_servers", 0)
        await_silence(self.player, b"well" + tokens[0])
        self.assertEqual(wrong, [])

    def test_rights_are_refused_and_granted(self):
        self.filters()
        self.server("one", 0, b"abc")
        gate = self.enter(Gate(self.api.kubeconfig(self.folder, "u1token"), "--provider.k8s.leader-election"))
        player = self.enter(Player(gate.port))
        error = gate.logged("kubernetes not watched: what it told stays", 2)["error"]
        self.assertRegex(error, r'403 (configmaps|gameservers.agones.dev) is forbidden: User "u1" cannot list resource')
        self.assertEqual(gate.http("/ready")[0], 500)
        self.api.grant("u1", "default", ("configmaps", ["list", "watch"]), ("gameservers.agones.dev", ["list", "watch"]),
                       ("leases.coordination.k8s.io", ["get", "create", "patch"]))
        await_answer(player, b"helloabc", b"0:hello")
        gate.await_ready()
        gate.await_value("^quilkin_provider_leader_election", 1)

    def test_the_manifests_are_what_the_server_takes(self):
        self.api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "paddock"}})
        taken = 0
        for file in sorted(MANIFESTS.glob("*.yaml")):
            for thing in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                if thing["kind"] in ("Kustomization", "Namespace"):
                    continue
                base = "/api/v1" if thing["apiVersion"] == "v1" else "/apis/" + thing["apiVersion"]
                place = "" if thing["kind"].startswith("Cluster") else "/namespaces/paddock"
                path = f"{base}{place}/{thing['kind'].lower()}s?dryRun=All&fieldValidation=Strict"
                status, answer = self.api.call("POST", path, thing)
                self.assertEqual(status, 201, f"{file.name}: {thing['kind']}: {answer}")
                taken += 1
        self.assertEqual(taken, 14)
        status, _ = self.api.call("POST", "/api/v1/namespaces/paddock/services?dryRun=All&fieldValidation=Strict",
                                  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}})
        self.assertEqual(status, 400)

    def test_the_server_and_etcd_are_killed_and_come_back(self):
        self.filters()
        self.server("one", 0, b"abc")
        self.start()
        await_answer(self.player, b"helloabc", b"0:hello")
        self.api.api.kill()
        self.api.api.wait()
        self.gate.await_ready(500)
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        self.api.start_api()
        self.server("two", 1, b"xyz")
        await_answer(self.player, b"helloxyz", b"1:hello")
        self.gate.await_ready()
        self.api.etcd.kill()
        self.api.etcd.wait()
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        self.api.start_etcd()
        wait_until(self.api.is_ready, "kube-apiserver is ready again", 60)

        def merged():
            status, _ = self.api.call("PATCH", f"{SERVERS}/two", {"status": {"state": "Shutdown"}}, "application/merge-patch+json")
            return status == 200
        wait_until(merged, "kube-apiserver writes again", 60)
        await_silence(self.player, b"helloxyz")
        self.assertEqual(self.player.ask(b"helloabc"), b"0:hello")
        self.gate.await_ready()


if __name__ == "__main__":
    if not REAL or shutil.which("etcd") is None:
        print("KUBE_APISERVER names no kube-apiserver (scripts/kube-apiserver builds one), or there is no etcd", file=sys.stderr)
        sys.exit(77)
    support.main()
