#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`paddock sessions`: who plays where, for people and programs, and for this host alone."""
import contextlib
import json
import socket
import time
import unittest

import support
from proxying import Player, Proxy, Servers, cluster
from serving import public_folder
from support import Namespace, Server, ip, needs_root, run, wait_until
from test_provider import Provided, clusters, echo

ADMIN = ("sessions", "--admin")


class SessionsTest(unittest.TestCase):
    def test_live_sessions_are_listed_with_what_has_passed(self):
        with public_folder() as folder, Server(echo) as server, Server() as silent, contextlib.ExitStack() as stack:
            path = folder / "config.yaml"
            path.write_text(clusters(server, silent), encoding="utf-8")
            service = stack.enter_context(Provided(path))
            players = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(5)]
            for number, player in enumerate(players, 1):
                player.settimeout(support.ANSWER_SECONDS)
                player.connect(("127.0.0.1", service.port))
                for _ in range(number):
                    player.send(b"hello")
                    player.recv(100)
                time.sleep(0.02 * (number == 1))  # the first is older by more than the clock's tick
            target = f"127.0.0.1:{service.admin_port}"
            done = run(*ADMIN, target, "--format", "json", "--sort", "packets")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            listed = json.loads(done.stdout)
            self.assertEqual((listed["total"], len(listed["sessions"])), (10, 10))
            first = listed["sessions"][0]
            self.assertEqual(first["player"], "127.0.0.1:%d" % players[4].getsockname()[1])
            self.assertEqual((first["server"], first["state"]), (server.target, "answered"))
            self.assertEqual((first["read"], first["write"]), ({"packets": 5, "bytes": 25}, {"packets": 5, "bytes": 25}))
            self.assertLessEqual(first["idle_ms"], first["age_ms"])
            waiting = [row for row in listed["sessions"] if row["state"] == "waiting"]
            self.assertEqual(({row["server"] for row in waiting}, len(waiting)), ({silent.target}, 5))
            self.assertEqual(sorted(row["read"]["packets"] for row in waiting), [1, 2, 3, 4, 5])

            few = json.loads(run(*ADMIN, target, "--format", "json", "--sort", "age", "-n", "3").stdout)
            self.assertEqual((few["total"], len(few["sessions"])), (10, 3))
            self.assertEqual(few["sessions"][0]["player"], "127.0.0.1:%d" % players[0].getsockname()[1])
            ages = [row["age_ms"] for row in few["sessions"]]
            self.assertEqual(ages, sorted(ages, reverse=True))

            table = run(*ADMIN, target, "-n", "4").stdout.splitlines()
            self.assertTrue(table[0].startswith("PLAYER"))
            self.assertEqual((len(table), table[-1]), (6, "4 of 10 sessions"))
            self.assertEqual(service.end(), 0)

    @needs_root
    def test_other_hosts_are_told_on_request_alone(self):
        """One that asks by another address than loopback is taken for another host."""
        with contextlib.closing(Namespace()) as namespace, namespace, Servers(1) as servers:
            ip("addr add 10.9.0.1/32 dev lo")
            for flags, status in ((), 403), (("--admin.show-sessions",), 200):
                with self.subTest(flags), Proxy([cluster(*servers.targets)], None, None, *flags, admin="0.0.0.0:0") as proxy, \
                        Player(proxy.port) as player:
                    player.ask(b"hello")
                    self.assertEqual(proxy.http("/sessions")[0], 200)
                    found, body = proxy.http("/sessions", "10.9.0.1")
                    self.assertEqual(found, status)
                    self.assertEqual(status == 200, "127.0.0.1" in body)

    def test_tokens_are_shown_on_request_alone_and_with_a_warning(self):
        token, clusters_of_one = "c2VjcmV0", [cluster("10.0.0.1:7", tokens=[[b"secret"]])]
        for flags, admin, is_shown, is_warned in (((), "0.0.0.0:0", False, False),
                                                  (("--admin.show-tokens",), "127.0.0.1:0", True, False),
                                                  (("--admin.show-tokens",), "[::ffff:127.0.0.1]:0", True, False),
                                                  (("--admin.show-tokens",), "0.0.0.0:0", True, True)):
            with self.subTest(flags, admin=admin), Proxy(clusters_of_one, None, None, *flags, admin=admin) as proxy:
                shown = wait_until(lambda: json.loads(proxy.http("/config")[1])["clusters"], "clusters")  # pylint: disable=W0640
                tokens = shown[0]["endpoints"][0]["metadata"]["quilkin.dev"]["tokens"]
                self.assertEqual(tokens == [token], is_shown, tokens)
                proxy.read_log()
                self.assertEqual(len(proxy.events("/config shows tokens, and to other hosts")), is_warned)

    def test_a_proxy_that_is_not_there_is_an_error(self):
        done = run(*ADMIN, f"127.0.0.1:{support.closed_port()}")
        self.assertEqual((done.returncode, done.stdout), (255, ""))
        self.assertIn("nothing answers", done.stderr)
        self.assertEqual(run("sessions", "--sort", "x").returncode, 2)
        self.assertEqual(run("sessions", "-n", "0").returncode, 2)


if __name__ == "__main__":
    support.main()
