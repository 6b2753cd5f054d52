"""What the responder spends in user space on a ping, in instructions: a figure that does not depend on the machine's mood.

Counted by callgrind in the worker alone, without guard and lists. Clock reads become system calls under valgrind, so they
are missing. The difference of two runs leaves out what does not depend on the number of pings."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ["ANSWER_QUEUED"]
FEW, MANY = 320, 3520
# Seen: 148 and 177; docs/performance.md says what they are spent on, and what bursts have for it.
LIMIT = 150
LIMIT_IN_BURSTS = 185


def count(pings, clients, burst):
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=engine_run",
                   f"--callgrind-out-file={folder}/out", PROGRAM, "1", str(pings), str(clients), str(burst)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or found is None:
        raise AssertionError(f"callgrind failed: {run.stdout}{run.stderr}")
    return int(found.group(1))


def per_ping(clients, burst):
    return (count(MANY, clients, burst) - count(FEW, clients, burst)) / (MANY - FEW)


class Instructions(unittest.TestCase):
    def check(self, clients, burst, limit):
        instructions = per_ping(clients, burst)
        print(f"{clients} clients, {burst} pings in turn: {instructions:.1f} instructions a ping, at most {limit}")
        self.assertGreater(instructions, 30, "the worker was not counted")
        self.assertLessEqual(instructions, limit)

    def test_each_ping_from_another_client(self):
        self.check(64, 1, LIMIT)

    def test_bursts_of_one_client(self):
        self.check(1, 32, LIMIT_IN_BURSTS)


if __name__ == "__main__":
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instructions are not counted")
        sys.exit(77)
    unittest.main(verbosity=2)
