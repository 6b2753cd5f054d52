#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""proxy_report.py [--rounds N] [--seconds S] [--only ROW,...] [--write [NOTE]]: what the UDP proxy costs, beside a bare forwarder (bench/forwarder.c)
as the floor, and nginx (its stream module) where it is on PATH. The reference takes no players on loopback: it is named, and not measured.

Proxies take turns in each round, on CPU 0; players and servers are one process on CPU 1 (bench/players.c). Figures are medians of the rounds with the
least and the most; ratios are those of the same round, with the median's interval of 95 % (by rank). --write writes docs/performance-proxy.md.
"""
import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import lab
from lab import PADDOCK, PROGRAMS, SERVER_CPU, CLIENT_CPU, Failed, on_cpu, run

TREE = pathlib.Path(__file__).parent.parent
FLOOR = "forwarder"
Case = collections.namedtuple("Case", "name players servers in_flight rate")
CASES = [Case("64 players", 64, 1, 64, 0), Case("1,000 players", 1000, 1, 64, 0), Case("8 servers by token", 64, 8, 64, 0),
         Case("20,000 a second", 64, 1, 0, 20000), Case("10,000 a second", 64, 1, 0, 10000), Case("one in flight", 1, 1, 1, 0)]


def forwarder(_folder, port, servers):
    return [PROGRAMS / "paddock_forwarder", port, *servers]


def paddock(_folder, port, servers, *flags):
    tokens = ["--provider.static.endpoint-tokens", "1:1"] if len(servers) > 1 else []
    return [PADDOCK, "-q", "--service.udp", "--service.udp.port", port, "--service.udp.loopback", "--service.udp.workers", "1",
            "--provider.static.endpoints", ",".join(f"127.0.0.1:{server}" for server in servers), *tokens, *flags]


def paddock_low_latency(folder, port, servers):
    return paddock(folder, port, servers, "--low-latency")


def quilkin(_folder, port, servers):
    """The reference drops players on loopback: it is asked at an address of the host, if there is one."""
    raise Failed("it takes no players on loopback")


def nginx(folder, port, servers):
    program = shutil.which("nginx")
    modules = [path for path in ("/usr/lib/nginx/modules/ngx_stream_module.so",) if os.path.exists(path)]
    if len(servers) > 1:
        raise Failed("it knows no tokens")
    load = "".join(f"load_module {module};" for module in modules)
    lab.write(folder / "nginx.conf", f"""{load} daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
worker_rlimit_nofile 20000; events {{ worker_connections 8192; }}
stream {{ server {{ listen {port} udp; proxy_pass 127.0.0.1:{servers[0]}; proxy_timeout 60s; }} }}""")
    return [program, "-c", folder / "nginx.conf", "-p", folder]


PROXIES = {FLOOR: forwarder, "paddock": paddock, "quilkin": quilkin, "nginx": nginx}


def available():
    return {name: make for name, make in PROXIES.items() if name in (FLOOR, "paddock") or shutil.which(name)}


def play(make, case, seconds):
    """The figures of one proxy and case; without a proxy: of players that send to the server itself."""
    servers = [lab.free_port() for _ in range(case.servers)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        port, pid = servers[0], os.getpid()
        if make is not None:
            port = lab.free_port()
            pid = stack.enter_context(lab.server(make(pathlib.Path(folder), port, servers), cpu=SERVER_CPU))
        report = json.loads(run(on_cpu(CLIENT_CPU, [PROGRAMS / "paddock_players", pid, port, case.players, case.in_flight, case.rate, seconds,
                                                    *servers])))
    if not report["round_trips"]:
        raise Failed("nothing came back")
    report["cpu_us"] = report["cpu_ns"] / report["round_trips"] / 1000
    report["rate"] = report["round_trips"] / report["seconds"]
    report["loss"] = 1 - min(1, report["round_trips"] / report["sent"])
    return report


def interval(values):
    """The median, and the interval by rank that has it with 95 % (of 7 rounds: the least and the most)."""
    ordered = sorted(values)
    k, n = 0, len(ordered)
    tail, chance = 0.5 ** n, 0.5 ** n
    while tail * 2 <= 0.05 and k < n // 2:
        k += 1
        chance = chance * (n - k + 1) / k
        tail += chance
    k = max(0, k - 1)
    return statistics.median(ordered), ordered[k], ordered[n - 1 - k]


def text(values, form="{:.2f}"):
    median, low, high = (form.format(value) for value in interval(values))
    return f"{median} ({low} to {high})"


def measure(cases, rounds, seconds):
    """By case and proxy: the reports of the rounds that all proxies have finished."""
    found = {case: collections.defaultdict(list) for case in cases}
    proxies = available()
    if any(case.in_flight == 1 for case in cases):
        proxies = proxies | {"paddock --low-latency": paddock_low_latency}
    for number in range(rounds):
        for case in cases:
            order = list(proxies.items())
            order = order[number % len(order):] + order[:number % len(order)]
            if case.in_flight == 1 or case.rate:
                order.append(("direct", None))
            for name, make in order:
                if name.endswith("latency") and case.in_flight != 1:
                    continue
                try:
                    found[case][name].append(play(make, case, seconds))
                except Failed as failure:
                    if number == 0:
                        print(f"{case.name}: {name}: {failure}", file=sys.stderr)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return found


def table(found):
    lines = ["| | | CPU a round trip, us | of the floor's | round trips a second a core | of the floor's | p50, us | p99, us | lost |", "|" + "---|" * 9]
    for case, proxies in found.items():
        floor = proxies[FLOOR]
        for name, reports in proxies.items():
            if name == "direct":
                continue
            same = list(zip(reports, floor))
            busy = not case.rate and case.in_flight > 1
            # A core's worth: what the CPU time of one would have carried, since players and servers may have kept it waiting.
            lines.append(" | ".join(("| " + case.name, name, text([r["cpu_us"] for r in reports]),
                                     text([r["cpu_us"] / f["cpu_us"] for r, f in same]),
                                     text([1e6 / r["cpu_us"] for r in reports], "{:,.0f}") if busy else "",
                                     text([f["cpu_us"] / r["cpu_us"] for r, f in same]) if busy else "",
                                     text([r["p50_ns"] / 1000 for r in reports], "{:.1f}"), text([r["p99_ns"] / 1000 for r in reports], "{:.1f}"),
                                     "{:.2%}".format(statistics.median(r["loss"] for r in reports)))) + " |")
    return "\n".join(lines)


def delays(found):
    """What a proxy adds to the delay of the same players and servers without one."""
    lines = ["| | | p50 added, us | of the floor's | p90 added, us | of the floor's | p99 added, us | of the floor's |", "|" + "---|" * 8]
    for case, proxies in found.items():
        if not proxies.get("direct"):
            continue
        cells = {name: {key: [(r[key] - d[key]) / 1000 for r, d in zip(reports, proxies["direct"])] for key in ("p50_ns", "p90_ns", "p99_ns")}
                 for name, reports in proxies.items() if name != "direct"}
        for name, added in cells.items():
            row = ["| " + case.name, name]
            for key, values in added.items():
                row += [text(values, "{:.1f}"), text([v / f for v, f in zip(values, cells[FLOOR][key]) if f > 0] or [0])]
            lines.append(" | ".join(row) + " |")
    return "\n".join(lines)


def filters(parts):
    """What paddock_bench_filters prints: now, or from what the benchmarks of parts have printed."""
    if parts is None:
        return run([PROGRAMS / "paddock_bench_filters"])
    sections = parts.read_text(encoding="utf-8").split("== ")
    return next(text.partition("\n")[2] for text in sections if text.startswith("filters\n"))


def document(found, options):
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    missing = ", ".join(name for name in PROXIES if name not in available())
    return f"""# What the UDP proxy costs

Measured by `bench/proxy_report.py` on {datetime.date.today()}: {model}, {os.cpu_count()} CPUs, Linux {platform.release()}, {options.rounds} interleaved
rounds of {options.seconds:g} s, payload 64 bytes, over the loopback device. The proxy has CPU 0, players and servers have CPU 1.
Medians; in brackets the interval that has the median with 95 %. {options.write or ""}
{f"Not measured, as they are not on PATH: {missing}." if missing else ""}

The floor is `bench/forwarder.c`: `recvmmsg`, a hash table, a connected socket for each session, `sendmmsg`; no filters, no limits, no counters.
A round trip is two datagrams in and two out.

## CPU

{table(found)}

## Delay

Beside the same players and servers without a proxy.

{delays(found)}

## Filters

CPU time of one datagram in the chain, as `paddock_bench_filters` measures it; without receiving and sending. A row with several names is a chain
of these. The bare look-up is in a table of open addressing, at most half full, of pointers to the same tokens, with the same keyed hash.

```
{filters(options.parts).rstrip()}
```
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", help="names of cases, with commas between them")
    parser.add_argument("--parts", type=pathlib.Path, help="what the benchmarks of parts printed; else that of filters is run")
    parser.add_argument("--write", nargs="?", const="", default=None, metavar="NOTE")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only is None or case.name in options.only.split(",")]
    page = document(measure(cases, options.rounds, options.seconds), options)
    print(page)
    if options.write is not None:
        (TREE / "docs/performance-proxy.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.TimeoutExpired) as failed:
        sys.exit(f"proxy_report: {failed}")
