# SPDX-License-Identifier: Apache-2.0
"""A thousand targets at once from one process, two hundred of them dead: the dead hold up nobody."""
import contextlib
import statistics
import time
import unittest

import socket

import support
from support import Responder, ping_json

TARGETS = 1000
DEAD_EVERY = 5
AMOUNT = 5
PLAN = ("-a", str(AMOUNT), "-i", "100ms", "-t", "3s")

# What a run with a thousand targets may take beyond one with a dead one: start-up and writing of the results. And what the
# living may take where the machine has other things to do. Of dead targets that hold up others, two hundred take ten minutes
# and each takes three seconds.
MARGIN_SECONDS = 30
ROUND_TRIP_LIMIT_NS = 1_000_000_000


def address(number):
    return f"127.{1 + number // 250}.{number // 16 % 16}.{1 + number % 250}"


@contextlib.contextmanager
def silent_port():
    """A port that takes pings at every address of this host and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("0.0.0.0", 0))
        yield taker.getsockname()[1]


def timed(targets):
    start = time.monotonic()
    status, document = ping_json(*PLAN, *targets)
    return time.monotonic() - start, status, document["targets"]


def median_round_trip(targets):
    return statistics.median(target["rtt_ns"]["median"] for target in targets)


class ManyTest(unittest.TestCase):
    def test_dead_targets_hold_up_nobody_and_spoil_nothing(self):
        with Responder() as responder, silent_port() as silent:
            targets = [f"{address(number)}:{silent if number % DEAD_EVERY == 0 else responder.port}"
                       for number in range(TARGETS)]
            self.assertEqual(len(set(targets)), TARGETS)
            dead_time, status, _ = timed(targets[:1])
            self.assertEqual(status, 1)
            _, status, living_alone = timed([target for number, target in enumerate(targets) if number % DEAD_EVERY])
            self.assertEqual(status, 0)
            all_time, status, results = timed(targets)
            self.assertEqual(status, 1)
            counts = responder.stop()

        self.assertEqual([result["target"] for result in results], targets)
        living = [result for number, result in enumerate(results) if number % DEAD_EVERY]
        dead = [result for number, result in enumerate(results) if number % DEAD_EVERY == 0]
        self.assertEqual((len(living), len(dead)), (800, 200))
        self.assertEqual({(result["sent"], result["received"]) for result in living}, {(AMOUNT, AMOUNT)})
        self.assertEqual({(result["sent"], result["received"]) for result in dead}, {(AMOUNT, 0)})
        self.assertEqual({result[key] for result in results for key in ("late", "duplicates", "rejected")}, {0})
        self.assertEqual((counts["valid"], counts["answered"]), (2 * 800 * AMOUNT, 2 * 800 * AMOUNT))
        medians = median_round_trip(living_alone), median_round_trip(living)
        print(f"one dead target: {dead_time:.2f} s; all: {all_time:.2f} s; "
              f"median round trip of the living alone {medians[0] / 1e6:.3f} ms, among the dead {medians[1] / 1e6:.3f} ms")
        self.assertLess(all_time, dead_time + MARGIN_SECONDS)
        self.assertLess(max(medians), ROUND_TRIP_LIMIT_NS)


if __name__ == "__main__":
    support.main()
