#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""relay_fleet_report.py FOLDER [SUBSCRIBERS [RATE [SECONDS]]]: one relay with many subscribers, of this program and, where it is on
PATH, of the reference; the same peers for both, one after the other. FOLDER has `paddock` and `paddock_relay_fleet`."""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import time


def free_port():
    with contextlib.closing(socket.create_server(("::", 0), family=socket.AF_INET6)) as server:
        return server.getsockname()[1]


def seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(program, folder, subscribers, rate, length):
    xds, mds, admin = free_port(), free_port(), free_port()
    filters = "/tmp/fleet_report.yaml"
    pathlib.Path(filters).write_text('{"version": "v1alpha1"}', encoding="ascii")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("QUILKIN_")} | {"RUST_LOG": "error"}
    relay = subprocess.Popen(
        [program, "--service.xds", "--service.xds.port", str(xds), "--service.mds", "--service.mds.port", str(mds),
         "--admin.address", f"127.0.0.1:{admin}", "--provider.fs", "--provider.fs.path", filters],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        time.sleep(2)
        idle = resident(relay.pid)
        with subprocess.Popen([folder / "paddock_relay_fleet", *map(str, (mds, xds, subscribers, rate, length))],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as fleet:
            first = json.loads(fleet.stdout.readline())
            held, before = resident(relay.pid), seconds(relay.pid)
            fleet.stdin.write("go\n")
            fleet.stdin.flush()
            last = json.loads(fleet.stdout.readline())
            used = seconds(relay.pid) - before
        return first | last | {"cpu": used, "bytes_each": (held - idle) / max(1, first["subscribers"]),
                               "peak_each": (resident(relay.pid) - idle) / max(1, first["subscribers"])}
    finally:
        relay.kill()
        relay.wait()


def main():
    folder = pathlib.Path(sys.argv[1])
    subscribers, rate, length = (int(word) for word in (sys.argv[2:] + ["1000", "100", "10"][len(sys.argv) - 2:]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    programs = {"paddock": folder / "paddock", "quilkin": shutil.which("quilkin")}
    print(f"one relay, {subscribers} subscribers, {rate} changes a second of a locality with 100 endpoints, {length} s")
    for name, program in programs.items():
        if program is None:
            print(f"{name:8} is not on PATH")
            continue
        got = measure(program, folder, subscribers, rate, length)
        print(f"{name:8} {got['subscribers']:5} connected, {got['messages']:8} messages, {got['bytes'] / got['seconds'] / 1e6:7.1f} "
              f"MB/s, {got['cpu']:6.2f} s CPU, {got['cpu'] / max(1, got['messages']) * 1e6:6.1f} us CPU a message, "
              f"{got['bytes_each'] / 1024:6.1f} KiB a subscriber, {got['peak_each'] / 1024:6.1f} KiB at the end, "
              f"{got['ended']} streams ended")


if __name__ == "__main__":
    main()
