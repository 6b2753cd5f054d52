# SPDX-License-Identifier: Apache-2.0
"""`paddock relay` for tests: a bad network on loopback between a client and a server."""
import json
import re

import support
from support import Process

COUNTS = {"received", "forwarded", "lost", "duplicated", "reordered", "dropped_rate", "dropped_queue", "queue_full",
          "no_client", "send_errors", "unsent", "kernel_drops", "receive_errors"}


def check_sums(counts):
    """The equations of paddock-relay(1)."""
    if set(counts) != COUNTS:
        raise AssertionError(f"counts: {sorted(set(counts) ^ COUNTS)} is missing or new")
    into = counts["received"] + counts["duplicated"]
    out = sum(counts[name] for name in ("forwarded", "lost", "dropped_rate", "dropped_queue"))
    parts = sum(counts[name] for name in ("queue_full", "no_client", "send_errors", "unsent"))
    if into != out or counts["dropped_queue"] != parts:
        raise AssertionError(f"the sums do not agree: {counts}")


class Relay(Process):
    """A relay to `to`, as text with its port, on a free port."""

    def __init__(self, to, *flags, listen="127.0.0.1:0", report="json", **options):
        super().__init__("relay", "--listen", listen, "--to", to, "--report", report, *flags, **options)
        try:
            ready = support.wait_until(self._ready, "the relay listens")
        except BaseException:
            self.__exit__()
            raise
        self.target, self.port, self.seed = ready[1], int(ready[2]), int(ready[3])

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.stderr()}")
        return re.search(r"listening on (\S+:(\d+)), to \S+, seed (\d+)\n", self.stderr())

    def stop(self, *number):
        """Stops it; returns its report, whose sums agree."""
        status = self.end(*number)
        if status != 0:
            raise AssertionError(f"exit status {status}: {self.stderr()}")
        report = json.loads(self.log)
        for direction in ("up", "down"):
            check_sums(report[direction])
        return report
