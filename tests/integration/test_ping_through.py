#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`paddock ping --through`: from a player's host to a responder behind a proxy, and back."""
import base64
import json
import struct
import unittest

from proxying import Proxy, Servers, by_token, cluster
from support import events, run

TOKEN = b"abc"


def pong(_, data):
    """A responder that says nothing of how long it held a ping."""
    magic, _, command, _, nonce, client = struct.unpack("!4sBBHBq", data)
    assert (magic, command) == (b"QLKN", 0)
    return [struct.pack("!4sBBHBqqq", magic, 0, 1, 25, nonce, client, 5, 5)]


class ThroughTest(unittest.TestCase):
    def proxy(self, servers, part="suffix"):
        return Proxy([cluster(*servers.targets, tokens=[[TOKEN]])], by_token(part), None, "--service.qcmp", "--service.qcmp.port", "0")

    def ping(self, proxy, *arguments, token=TOKEN, through=None):
        proxy.read_log()
        responder = next(e["fields"]["port"] for e in events(proxy.log.decode()) if e["fields"]["message"] == "qcmp ready")
        return run("ping", "--through", through or f"127.0.0.1:{proxy.port}", "--token", base64.b64encode(token).decode(), "-a", "3", "-i", "0",
                   "-t", "5s", *arguments, f"127.0.0.1:{responder}")

    def test_the_share_of_each_leg(self):
        with Servers(1, pong) as servers, self.proxy(servers) as proxy:
            servers.delay = 0.05
            done = self.ping(proxy, "--format", "json")
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads(done.stdout)
            self.assertEqual([result[way]["sent"] for way in ("through", "to_proxy")], [3, 3])
            self.assertEqual([result[way]["received"] for way in ("through", "to_proxy")], [3, 3])
            legs = result["legs"]
            self.assertEqual(legs["player_proxy_ns"] + legs["proxy_server_ns"], result["through"]["rtt_ns"]["median"])
            self.assertGreaterEqual(result["through"]["rtt_ns"]["min"], 50_000_000)
            self.assertEqual([len(data) for data, _ in servers.seen[0]], [17] * 3)  # without the token

    def test_people_see_both_legs(self):
        with Servers(1, pong) as servers, self.proxy(servers, "prefix") as proxy:
            done = self.ping(proxy, "--token-first")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"(?s)3 of 3 came back.*player - proxy - player: +\d+\.\d+ ms.*proxy - server - proxy: +\d+\.\d+ ms")

    def test_another_token_comes_nowhere(self):
        with Servers(1, pong) as servers, self.proxy(servers) as proxy:
            done = self.ping(proxy, "-t", "100ms", token=b"xyz")
            self.assertEqual((done.returncode, "through the proxy: 0 of 3 came back" in done.stdout), (1, True))

    def test_what_answers_with_another_stamp_is_no_answer(self):
        with Servers(1, lambda i, data: [pong(i, data)[0][:9] + bytes(24)]) as servers, self.proxy(servers) as proxy:
            self.assertEqual(self.ping(proxy, "-t", "100ms").returncode, 1)

    def test_errors_of_usage(self):
        for arguments in (["--token", "YWJj", "127.0.0.1"], ["--through", "127.0.0.1", "--token", "a b"], ["--token-first", "127.0.0.1"],
                          ["--through", "127.0.0.1", "127.0.0.1", "127.0.0.2"], ["--through", ""]):
            self.assertEqual(run("ping", *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
