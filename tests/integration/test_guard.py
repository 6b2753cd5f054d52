# SPDX-License-Identifier: Apache-2.0
"""Access lists and the guard, between two hosts (network namespaces): who is answered, how often, and what is counted."""
import json
import socket

import support
import textwrap
from hosts import HostsCase
from serving import Operated, RELOADED, public_folder
from support import packed_ping

SERVER_IPV4, SERVER_IPV6 = "10.99.0.2", "fd00:99::2"
RECEIVED, ANSWERED = "paddock_qcmp_received_total", "paddock_qcmp_answered_total"
VALID = 'quilkin_service_qcmp_packets_total{kind="valid"}'
BURST = 50
STRICT = f"""
  guard:
    ipv4: [{{prefix: 32, rate: 1, burst: {BURST}}}]
    ipv6: [{{prefix: 64, rate: 1, burst: {BURST}}}]
    leak: 0
"""


@support.needs_root
class GuardTest(HostsCase):
    def setUp(self):
        self.file = self.enterContext(public_folder()) / "paddock.yaml"
        self.reloads = 0

    def serve(self, keys, *flags):
        """A service with these keys under `paddock.qcmp:`."""
        self.file.write_text("paddock:\n  qcmp:\n" + textwrap.indent(keys, "  "), encoding="utf-8")
        with self.server:
            self.service = Operated("-c", str(self.file), "--service.qcmp.port", "0", *flags)
        self.addCleanup(self.service.__exit__)

    def reload(self, keys):
        self.reloads += 1
        self.file.write_text("paddock:\n  qcmp:\n" + textwrap.indent(keys, "  "), encoding="utf-8")
        self.service.await_event(RELOADED, self.reloads)

    def metrics(self):
        with self.server:
            return self.service.metrics()

    def dropped(self, reason):
        return self.metrics()[f'paddock_qcmp_dropped_total{{reason="{reason}"}}']

    def settled(self, received=0):
        """The metrics once so many have been received, and what is valid has been answered: it is counted before it is."""
        def found():
            metrics = self.metrics()
            return metrics if metrics[RECEIVED] >= received and metrics[ANSWERED] == metrics[VALID] else None
        return support.wait_until(found, "all pings are counted, and every valid one is answered")

    def answers(self, pings, address=SERVER_IPV4, namespace=None):
        """Sends so many pings; returns how many are answered once all have been counted."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        before = self.settled()
        with namespace or self.client:
            asker = socket.socket(family, socket.SOCK_DGRAM)
        with asker:
            support.make_room(asker)
            for i in range(pings):
                asker.sendto(packed_ping(i % 256, i), (address, self.service.port))
            answered = int(self.settled(before[RECEIVED] + pings)[ANSWERED] - before[ANSWERED])
            asker.settimeout(support.ANSWER_SECONDS)  # answers are on their way when they are counted
            for _ in range(answered):
                support.parsed_pong(asker.recv(100))
            asker.setblocking(False)
            with self.assertRaises(BlockingIOError):
                asker.recv(100)
        return answered

    def check_sums(self):
        """What was received is in exactly one place, and what is valid was answered."""
        found = self.settled()
        kinds = sum(value for series, value in found.items()
                    if series.startswith(("quilkin_service_qcmp_packets_total", "paddock_qcmp_dropped_total")))
        self.assertEqual(found[RECEIVED], kinds)
        self.assertEqual(found["paddock_qcmp_kernel_drops_total"], 0)
        with self.server:
            last = self.service.stop()
        self.assertEqual(last["received"], last["valid"] + last["invalid"] + last["unsupported"] + last["dropped"])
        self.assertEqual(last["answered"], last["valid"])

    def test_who_is_denied_is_not_answered(self):
        self.serve("  access: {deny: [10.99.0.0/24, \"fd00:9a::/64\"]}\n")
        self.assertEqual(self.answers(5), 0)
        self.assertEqual(self.answers(5, SERVER_IPV6), 5)
        self.assertEqual(self.dropped("access_denied"), 5)
        self.check_sums()

    def test_only_who_is_allowed_is_answered(self):
        self.serve("  access: {allow: [10.99.0.1], deny: [10.99.0.0/24]}\n")
        self.assertEqual(self.answers(5), 5)
        self.assertEqual(self.answers(5, SERVER_IPV6), 0)
        self.assertEqual(self.answers(5, "127.0.0.1", self.server), 0)
        self.check_sums()

    def test_lists_change_while_the_service_runs_and_a_bad_one_changes_nothing(self):
        self.serve("  access: {deny: [10.99.0.0/24]}\n")
        self.assertEqual(self.answers(3), 0)
        self.reload("  access: {deny: [10.98.0.0/24]}\n")
        self.assertEqual(self.answers(3), 3)
        self.file.write_text("paddock: {qcmp: {access: {deny: [10.99.0.0/24, 10.99.0.1/24]}}}\n", encoding="utf-8")
        error = self.service.await_event("configuration not reloaded: the running one stays")["fields"]["error"]
        self.assertIn(":1:48: paddock.qcmp.access.deny[1]: expected an address or a prefix", error)
        self.assertEqual(self.answers(3), 3)
        self.reload("  access: {allow: [\"::/0\"]}\n")
        self.assertEqual(self.answers(3), 0)
        self.check_sums()

    def test_a_hundred_thousand_prefixes_are_taken_over(self):
        prefixes = "".join(f"      - 198.{18 + i // 65536}.{i // 256 % 256}.{i % 256}\n" for i in range(100000))
        self.serve("  access: {}\n")
        self.reload(f"  access:\n    deny:\n      - 10.99.0.1\n{prefixes}")
        self.assertEqual(self.answers(3), 0)
        self.assertEqual(self.answers(3, SERVER_IPV6), 3)
        self.check_sums()

    def test_config_shows_lists_only_to_those_who_ask(self):
        self.serve("  access: {deny: [10.98.0.0/24]}\n")
        with self.server:
            self.assertNotIn("access", self.service.config()["paddock"]["qcmp"])
            shown = json.loads(self.service.http("/config?access=true")[2])
            self.assertEqual(shown["paddock"]["qcmp"]["access"], {"allow": [], "deny": ["10.98.0.0/24"]})
        self.check_sums()

    def test_a_burst_beyond_the_limit_is_refused(self):
        self.serve(STRICT)
        for address in (SERVER_IPV4, SERVER_IPV6):
            # One a second is added while the burst is under way.
            self.assertIn(self.answers(500, address), range(BURST, BURST + 30))
        found = self.metrics()
        limited = found['paddock_qcmp_dropped_total{reason="rate_limited"}']
        self.assertEqual(limited, 1000 - found['quilkin_service_qcmp_packets_total{kind="valid"}'])
        self.check_sums()

    def test_one_refused_ping_in_so_many_leaks(self):
        self.serve(STRICT.replace("leak: 0", "leak: 16"))
        answered = self.answers(500 + BURST)
        found = self.metrics()
        self.assertIn(found["paddock_qcmp_leaked_total"], range(8, 80))
        self.assertEqual(answered, 500 + BURST - found['paddock_qcmp_dropped_total{reason="rate_limited"}'])
        self.check_sums()

    def test_the_process_has_a_cap(self):
        self.serve("  guard: {replies_per_second: 2}\n")
        answered = self.answers(500)
        self.assertIn(answered, range(1, 60))
        self.assertEqual(self.dropped("process_cap"), 500 - self.metrics()["paddock_qcmp_leaked_total"] -
                         self.dropped("rate_limited") - answered)
        self.check_sums()

    def test_limits_change_while_the_service_runs(self):
        self.serve(STRICT)
        self.assertIn(self.answers(200), range(BURST, BURST + 30))
        self.reload("  guard: {enabled: false}\n")
        self.assertEqual(self.answers(300), 300)
        self.reload("  guard: {ipv4: [{prefix: 24, rate: 1000, burst: 60000}]}\n")
        self.assertEqual(self.answers(300), 300)
        self.reload(STRICT)
        self.assertIn(self.answers(200), range(0, BURST + 30))
        self.check_sums()

    def test_a_flag_switches_the_guard_off_and_the_lists_not(self):
        self.serve(STRICT + "  access: {deny: [\"fd00:99::/64\"]}\n", "--service.qcmp.guard", "false")
        self.assertEqual(self.answers(500), 500)
        self.assertEqual(self.answers(5, SERVER_IPV6), 0)
        self.check_sums()

    def test_loopback_is_exempt_unless_told_otherwise(self):
        self.serve(STRICT)
        self.assertEqual(self.answers(500, "127.0.0.1", self.server), 500)
        self.assertEqual(self.answers(500, "::1", self.server), 500)
        self.reload(STRICT + "    loopback: true\n")
        self.assertIn(self.answers(500, "127.0.0.1", self.server), range(BURST, BURST + 30))
        self.check_sums()


if __name__ == "__main__":
    support.main()
