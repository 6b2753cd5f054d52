#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_systemd.py SOURCE PADDOCK: systemd accepts the unit and the user, and the unit is hardened: its exposure is at or below 2.0."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from support import expect, run, skip

MOST_EXPOSURE = 2.0


# Beside those of the workers: the metrics of the clock, giving up privileges, --pin, reading of places.
# The proxy's: its limit of descriptors, and names by the DNS.
CALLS = {"adjtimex", "clock_adjtime", "capset", "seccomp", "sched_setaffinity", "setpriority", "prlimit64", "connect", "recvfrom", "writev"}


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


def environment(unit, default):
    """That of the unit, then of the file of defaults."""
    variables = dict(word.split("=", 1) for line in re.findall(r"^Environment=(.*)", unit, re.MULTILINE) for word in line.split())
    return variables | {name: value.strip('"') for name, value in re.findall(r"^(\w+)=(.*)", default, re.MULTILINE)}


def check_services(folder, paddock):
    """The unit's command runs the responder, and the proxy as well where the file of defaults says so."""
    unit, default = ((folder / name).read_text() for name in ("paddock.service", "paddock.default"))
    words = re.search(r"^ExecStart=/usr/bin/paddock (.*)", unit, re.MULTILINE)[1]
    words = words.replace("/etc/paddock/paddock.yaml", str(folder / "paddock.yaml"))
    with_proxy = re.sub(r"^# (\w+=)", r"\1", default, flags=re.MULTILINE)
    for text, wanted in ((default, {"qcmp ready"}), (with_proxy, {"qcmp ready", "udp ready"})):
        variables = environment(unit, text)
        expect("-c " in words and words.endswith(" $PADDOCK_OPTIONS"), f"the unit starts {words}")
        options = words.replace("$PADDOCK_OPTIONS", variables.pop("PADDOCK_OPTIONS")).split()
        with subprocess.Popen([paddock, *options, "--service.qcmp.port", "0", "--service.udp.port", "0", "--admin.enabled", "false",
                               "--log-format", "json"], env=variables, stdout=subprocess.PIPE, text=True) as service:
            found = set()
            for line in service.stdout:
                message = json.loads(line)["fields"]["message"]
                found |= {message} & {"qcmp ready", "udp ready"}
                if found == wanted:
                    service.terminate()
            expect(found == wanted and service.wait() == 0, f"{options} with {variables}: {found}, exit status {service.returncode}")


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
    check_services(folder, paddock)
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
