"""Faults that a test makes happen inside a live program: the other side of tests/support/faults.h.

$PADDOCK_FAULTY is the program with these faults in it.
"""
import contextlib
import ctypes
import mmap
import os
import pathlib
import re
import tempfile
import time

from support import environment

FAULTY = os.environ["PADDOCK_FAULTY"]
HEADER = pathlib.Path(__file__).parent.parent / "support" / "faults.h"
NAMES = re.findall(r"\bX\(([a-z0-9_]+), ", HEADER.read_text(encoding="ascii"))

FOR_EVER = -1
HOUR_NS = 3600 * 10**9


class Fault(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("skip", "every", "error", "limit", "times", "turns", "calls", "done")]


class Block(ctypes.Structure):
    _fields_ = [("wall_before_ns", ctypes.c_int64), ("wall_jump_at_ns", ctypes.c_int64),
                ("wall_after_ns", ctypes.c_int64), ("each", Fault * len(NAMES))]


class Faults:
    """What fails in the programs that are started with its environment(), as long as the `with` lasts."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="paddock-faults-"))
            self.file.truncate(ctypes.sizeof(Block))
            self.memory = mmap.mmap(self.file.fileno(), ctypes.sizeof(Block))
            self.block = Block.from_buffer(self.memory)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def environment(self, **more):
        return environment(PADDOCK_FAULTS=self.file.name, **more)

    def __getitem__(self, name):
        return self.block.each[NAMES.index(name)]

    def inject(self, name, error, times=FOR_EVER, skip=0, every=0):
        """From now on these calls fail; what was injected into them before is forgotten."""
        fault = self[name]
        fault.times = 0
        fault.skip, fault.every, fault.error, fault.turns, fault.calls, fault.done = skip, every, error, 0, 0, 0
        fault.times = times

    def limit(self, name, limit):
        """From now on such a call moves no more than this; 0 for as much as it likes."""
        self[name].done = 0
        self[name].limit = limit

    def lift(self):
        """Nothing fails any more."""
        for fault in self.block.each:
            fault.times = fault.limit = 0

    def jump(self, by_ns):
        """The program's wall clock, and the kernel's stamps that it sees, jump now."""
        self.block.wall_before_ns = self.block.wall_after_ns
        self.block.wall_jump_at_ns = time.time_ns()
        self.block.wall_after_ns = self.block.wall_before_ns + by_ns
