# SPDX-License-Identifier: Apache-2.0
"""The programs in examples/, as somebody who starts from them runs them."""
import os
import unittest

import support
from support import Responder, Server, closed_port, run

SOURCE = os.path.join(os.path.dirname(__file__), "../..")
EXAMPLES = os.path.dirname(support.PADDOCK)


def example(name, *arguments):
    return run(*map(str, arguments), program=os.path.join(EXAMPLES, "paddock_example_" + name))


class ExamplesTest(unittest.TestCase):
    def test_a_blocking_ping_prints_the_round_trip(self):
        with Responder() as responder:
            done = example("blocking_ping", "127.0.0.1", responder.port)
            self.assertRegex(done.stdout, r"^\d+\.\d{3} ms\n$")
            self.assertEqual(done.returncode, 0)

    def test_a_blocking_ping_says_why_there_is_no_answer(self):
        done = example("blocking_ping", "127.0.0.1", closed_port())
        self.assertEqual((done.returncode, done.stdout), (1, "Connection refused\n"))

    def test_a_game_measures_beside_its_frames(self):
        with Responder() as responder:
            for _ in range(10):  # a game has no more patience than 250 ms: less than the machine may keep it from a CPU
                done = example("game_loop", "127.0.0.1", responder.port)
                self.assertEqual(done.returncode, 0)
                if done.stdout.startswith("10 answered"):
                    break
            self.assertRegex(done.stdout, r"^10 answered, 0 lost, best \d+\.\d{3} ms\n$")

    def test_a_game_notices_a_dead_server(self):
        with Server() as silent:
            done = example("game_loop", "127.0.0.1", silent.port)
            self.assertRegex(done.stdout, r"^0 answered, [1-9]\d* lost")
            self.assertEqual(done.returncode, 1)

    def test_a_poll_loop_finds_the_server_that_answers(self):
        with Responder() as responder, Server() as silent:
            done = example("poll_loop", "127.0.0.2", silent.port, "127.0.0.1", responder.port)
            self.assertRegex(done.stdout, r"^127\.0\.0\.1 is the nearest: \d+\.\d{3} ms\n$")
            self.assertEqual(done.returncode, 0)

    def test_a_survey_finds_the_best_site(self):
        with Responder() as responder, Server() as silent:
            done = example("best_site", f"127.0.0.2:{silent.port}", f"127.0.0.1:{responder.port}")
            self.assertRegex(done.stdout, rf"^127\.0\.0\.1:{responder.port} is the best: \d+\.\d{{3}} ms, jitter \d+\.\d{{3}} ms, loss")
            self.assertEqual(done.returncode, 0)

    def test_a_survey_of_silent_sites_ends(self):
        with Server() as silent:
            done = example("best_site", f"127.0.0.1:{silent.port}")
            self.assertEqual((done.returncode, done.stdout), (1, ""))

    def test_the_example_of_a_survey_has_at_most_forty_lines(self):
        with open(os.path.join(SOURCE, "examples/best_site.c"), encoding="utf-8") as source:
            self.assertLessEqual(len(source.readlines()), 40)


if __name__ == "__main__":
    support.main()
