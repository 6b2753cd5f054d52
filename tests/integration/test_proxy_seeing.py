#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of the UDP proxy beside its metrics."""
import pathlib
import re
import tempfile
import unittest

import support
from proxying import Crowd, Player, Proxy, Servers, cluster, proxy_address, value

ENDED = "udp session ended"


class SessionLogTest(unittest.TestCase):
    def test_each_session_that_ends_has_its_line(self):
        with Servers(1, lambda _, data: [data, b"two"]) as servers, ShortSessions(servers, log_rate=100) as (proxy, player):
            player.ask(b"hello")
            player.ask(b"again")
            fields = proxy.await_event(ENDED)["fields"]
            self.assertEqual((fields["reason"], fields["player"], fields["local"], fields["server"]),
                             ("idle", player.name, f"{proxy_address()}:{proxy.port}", servers.targets[0]))
            self.assertEqual((fields["read_packets"], fields["read_bytes"], fields["write_packets"], fields["write_bytes"]),
                             (2, 10, 4, 16))
            self.assertEqual(fields["upstream_port"], servers.seen[0][0][1][1])
            self.assertLess(fields["duration_ms"], 1000 * support.ANSWER_SECONDS)

    def test_there_is_none_unless_asked_for(self):
        with Servers(1) as servers, ShortSessions(servers) as (proxy, player):
            player.ask(b"hello")
            proxy.await_metric('paddock_udp_sessions_ended_total{reason="idle"}', 1)
            proxy.stop()
            self.assertEqual(proxy.events(ENDED), [])

    def test_at_the_end_there_are_no_more_than_the_rate_and_the_rest_is_told(self):
        with Servers(1) as servers, Proxy([cluster(*servers.targets)], udp={"sessions": {"log_rate": 10}}) as proxy, \
                Crowd(proxy.port, 0, 50) as crowd:
            crowd.send()
            self.assertEqual(crowd.receive(50), 50)
            self.assertEqual(value(proxy.metrics(), "paddock_udp_session_lines_lost_total"), 0)
            last = proxy.stop()
            self.assertEqual((last["message"], last["sessions"]), ("udp stopped", 50))
            lines = proxy.events(ENDED)
            self.assertEqual({line["fields"]["reason"] for line in lines}, {"stopped"})
            lost = proxy.events("more udp sessions ended than the log may have lines")
            self.assertEqual((len(lines), [event["fields"]["lost"] for event in lost]), (10, [40]))

    def test_a_reload_turns_it_on(self):
        with Servers(1) as servers, ShortSessions(servers) as (proxy, player):
            player.ask(b"hello")
            proxy.reload({"sessions": {"log_rate": 1}})
            proxy.await_event(ENDED)


class ShortSessions:
    """A player of a proxy whose sessions end after a second."""

    def __init__(self, servers, **sessions):
        self.proxy = Proxy([cluster(*servers.targets)], udp={"session_timeout": "1s", "sessions": sessions})

    def __enter__(self):
        self.player = Player(self.proxy.port)
        return self.proxy, self.player

    def __exit__(self, *failure):
        self.player.__exit__()
        self.proxy.__exit__(*failure)


class PageTest(unittest.TestCase):
    def test_the_page_about_one_datagram_says_what_happens_to_it(self):
        page = pathlib.Path(__file__).parents[2].joinpath("docs/one-datagram.md").read_text(encoding="utf-8")
        arguments = re.search(r"`paddock check -c FILE (--datagram .*?)`", page)[1].split()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
            file.flush()
            done = support.run("check", "-c", file.name, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sent to 192.0.2.20:7000, 5 bytes", done.stdout)
        self.assertEqual(bytes.fromhex(arguments[1]), b"move!ABCD")


if __name__ == "__main__":
    unittest.main()
