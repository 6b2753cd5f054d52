#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_systemd.py SOURCE PADDOCK: systemd accepts the unit and the user, and the unit is hardened: its exposure is at or below 2.0."""
import pathlib
import re
import shutil
import sys
import tempfile

from support import expect, run, skip

MOST_EXPOSURE = 2.0


# Beside those of the workers: the metrics of the clock, giving up privileges, --pin.
CALLS = {"adjtimex", "clock_adjtime", "capset", "seccomp", "sched_setaffinity"}


def expanded(name):
    """The system calls of a group, or of a name that is none."""
    if not name.startswith("@"):
        return {name}
    lines = run("systemd-analyze", "syscall-filter", "--no-pager", name).splitlines()
    return set().union(*(expanded(line.strip()) for line in lines[1:] if line.strip() and not line.strip().startswith("#")))


def allowed_calls(unit):
    """What the lines of the filter leave, one after the other."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)", unit, re.MULTILINE):
        calls = set().union(*map(expanded, line.removeprefix("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def check_calls(source, unit):
    """What the filter of the unit forbids fails at run time, and only with some options."""
    workers = set(re.findall(r"\bALLOW\((\w+)\)", (pathlib.Path(source) / "src/daemon/privileges.c").read_text())) - {"call"}
    expect("recvmmsg" in workers, f"calls of the workers: {workers}")
    missing = (workers | CALLS) - allowed_calls(unit)
    expect(not missing, f"the unit forbids {sorted(missing)}")


def main(source, paddock):
    for tool in ("systemd-analyze", "systemd-sysusers"):
        if shutil.which(tool) is None:
            skip(f"{tool} (package systemd) is not installed: nobody looked at the unit")
    folder = pathlib.Path(source) / "packaging/systemd"
    shown = run("systemd-analyze", "security", "--offline=true", "--no-pager", folder / "paddock.service")
    exposure = float(re.search(r"Overall exposure level for paddock\.service: ([0-9.]+)", shown)[1])
    print(f"exposure {exposure}")
    expect(exposure <= MOST_EXPOSURE, f"{shown}\nexposure {exposure} is above {MOST_EXPOSURE}")
    check_calls(source, (folder / "paddock.service").read_text())
    with tempfile.TemporaryDirectory(prefix="paddock-systemd-") as scratch:
        # verify wants the program to be there, and that of the build stands elsewhere.
        unit = pathlib.Path(scratch) / "paddock.service"
        text, replaced = re.subn(r"^ExecStart=/usr/bin/paddock\b", f"ExecStart={paddock}",
                                 (folder / "paddock.service").read_text(), flags=re.MULTILINE)
        expect(replaced == 1, "the unit starts something else")
        unit.write_text(text)
        run("systemd-analyze", "verify", "--man=no", unit)
        (pathlib.Path(scratch) / "etc").mkdir()
        run("systemd-sysusers", f"--root={scratch}", folder / "paddock.sysusers")
        users = (pathlib.Path(scratch) / "etc/passwd").read_text()
        expect(re.search(r"^paddock:.*nologin$", users, re.MULTILINE), f"users made: {users}")


if __name__ == "__main__":
    main(*sys.argv[1:])
