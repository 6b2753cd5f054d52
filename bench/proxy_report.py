#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""proxy_report.py [--rounds N] [--seconds S] [--only ROW,...] [--write [NOTE]]: what the UDP proxy costs, beside a bare forwarder (bench/forwarder.c)
as the floor, and the reference, nginx (its stream module) and nft (DNAT in the kernel) where they are on PATH.

The proxy is in one network namespace, on CPU 0 with all that receives for it; players and servers are one process in another one, on CPU 1
(bench/players.c). Proxies take turns in each round. Figures are medians of the rounds; ratios are those of the same round, with the median's
interval of 95 % (by rank). --write writes docs/performance-proxy.md.
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
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import lab
from lab import PADDOCK, PROGRAMS, SERVER_CPU, CLIENT_CPU, Failed, inside, on_cpu, run

TREE = pathlib.Path(__file__).parent.parent
FLOOR = "forwarder"
Case = collections.namedtuple("Case", "name players servers in_flight rate burst")
CASES = [Case("64 players", 64, 1, 64, 0, 1), Case("1,000 players", 1000, 1, 64, 0, 1), Case("8 servers by token", 64, 8, 64, 0, 1),
         Case("bursts of 16", 64, 1, 256, 0, 16), Case("20,000 a second", 64, 1, 0, 20000, 1), Case("10,000 a second", 64, 1, 0, 10000, 1),
         Case("one in flight", 1, 1, 1, 0, 1)]


class Place:
    """Where a proxy runs: the wire, its port, the servers behind it, a folder for its files."""

    def __init__(self, wire, servers, folder):
        self.wire, self.folder = wire, pathlib.Path(folder)
        self.port, *self.servers = (lab.free_port() for _ in range(servers + 1))

    def endpoints(self):
        return [f"{self.wire.client_address}:{server}" for server in self.servers]


def forwarder(place):
    return [PROGRAMS / "paddock_forwarder", place.port, place.wire.client_address, *place.servers]


def proxy(program, place, *flags):
    tokens = ["--provider.static.endpoint-tokens", "1:1"] if len(place.servers) > 1 else []
    return [program, "--service.udp", "--service.udp.port", place.port, "--service.udp.workers", "1",
            "--provider.static.endpoints", ",".join(place.endpoints()), *tokens, *flags]


def paddock(place, *flags):
    return proxy(PADDOCK, place, "-q", *flags)


def paddock_many(place):
    lab.write(place.folder / "paddock.yaml", "paddock: {udp: {sessions: {max: 200000}}}")
    return paddock(place, "-c", place.folder / "paddock.yaml")


def paddock_low_latency(place):
    return paddock(place, "--low-latency")


def paddock_realtime(place):
    return paddock(place, "--realtime")


def quilkin(place):
    return proxy(shutil.which("quilkin"), place)


def nginx(place):
    modules = [path for path in ("/usr/lib/nginx/modules/ngx_stream_module.so",) if os.path.exists(path)]
    if len(place.servers) > 1:
        raise Failed("it knows no tokens")
    load = "".join(f"load_module {module};" for module in modules)
    lab.write(place.folder / "nginx.conf", f"""{load} daemon off; master_process off; worker_processes 1; pid {place.folder}/nginx.pid;
error_log /dev/null; worker_rlimit_nofile 20000; events {{ worker_connections 8192; }}
stream {{ server {{ listen {place.port} udp; proxy_pass {place.endpoints()[0]}; proxy_timeout 60s; }} }}""")
    return [shutil.which("nginx"), "-c", place.folder / "nginx.conf", "-p", place.folder]


def nft(place):
    """No process carries anything: the one that is started waits."""
    if len(place.servers) > 1:
        raise Failed("it knows no tokens")
    rules = f"""flush ruleset
table ip proxy {{
  chain in {{ type nat hook prerouting priority dstnat; udp dport {place.port} dnat to {place.endpoints()[0]}; }}
  chain out {{ type nat hook postrouting priority srcnat; ip daddr {place.wire.client_address} masquerade; }}
}}
"""
    run(inside(place.wire.server, ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                                   "net.ipv4.conf.veth0.send_redirects=0"]))
    run(inside(place.wire.server, ["nft", "-f", "-"]), input=rules)
    return ["sh", "-c", "trap 'nft flush ruleset' EXIT; trap exit TERM; while :; do sleep 1; done"]


PROXIES = {FLOOR: forwarder, "paddock": paddock, "quilkin": quilkin, "nginx": nginx, "nft": nft}


def available():
    return {name: make for name, make in PROXIES.items() if name in (FLOOR, "paddock") or shutil.which(name)}


def players(place, pid, case, seconds, address=None, port=None):
    kernel = ",".join(str(thread) for thread in place.wire.threads[place.wire.server])
    command = [PROGRAMS / "paddock_players", pid, kernel, address or place.wire.server_address, port or place.port, place.wire.client_address,
               case.players, case.in_flight, case.rate, case.burst, seconds, *place.servers]
    return json.loads(run(inside(place.wire.client, on_cpu(CLIENT_CPU, command))))


def play(wire, make, case, seconds):
    """The figures of one proxy and case; without a proxy: of players that send to the server itself."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Place(wire, case.servers, folder)
        if make is None:
            report = players(place, os.getpid(), case, seconds, wire.client_address, place.servers[0])
        else:
            report = players(place, stack.enter_context(lab.server(make(place), space=wire.server)), case, seconds)
    if not report["round_trips"]:
        raise Failed("nothing came back")
    report["program_us"] = report["program_ns"] / report["round_trips"] / 1000
    report["cpu_us"] = report["program_us"] + report["kernel_ns"] / report["round_trips"] / 1000
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


def in_turn(proxies, number):
    order = list(proxies.items())
    return order[number % len(order):] + order[:number % len(order)]


def measure(wire, cases, rounds, seconds):
    """By case and proxy: the reports of the rounds; a round in which one proxy failed has none of it."""
    found = {case: collections.defaultdict(dict) for case in cases}
    proxies = available()
    for number in range(rounds):
        for case in cases:
            order = in_turn(proxies | ({"paddock --low-latency": paddock_low_latency} if case.in_flight == 1 else {}), number)
            if case.in_flight == 1 or case.rate:
                order.append(("direct", None))
            for name, make in order:
                try:
                    found[case][name][number] = play(wire, make, case, seconds)
                except Failed as failure:
                    if number == 0:
                        print(f"{case.name}: {name}: {failure}", file=sys.stderr)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return found


def ratios(ours, theirs, key):
    """Of the rounds that both have."""
    return [ours[n][key] / theirs[n][key] for n in ours if n in theirs and theirs[n][key] > 0]


def cost(found):
    lines = ["| | | CPU of the program a round trip, us | of the floor's | with what receives for it, us | of the floor's | round trips a second | "
             "of the floor's | p50, us | p99, us | lost |", "|" + "---|" * 11]
    for case, proxies in found.items():
        floor = proxies[FLOOR]
        for name, reports in proxies.items():
            if name == "direct":
                continue
            busy = not case.rate and case.in_flight > 1
            program = [text([r["program_us"] for r in reports.values()]), text(ratios(reports, floor, "program_us"))]
            lines.append(" | ".join(("| " + case.name, name, *(program if name != "nft" else ("", "")),
                                     text([r["cpu_us"] for r in reports.values()]), text(ratios(reports, floor, "cpu_us")),
                                     text([r["rate"] for r in reports.values()], "{:,.0f}") if busy else "",
                                     text(ratios(reports, floor, "rate")) if busy else "",
                                     text([r["p50_ns"] / 1000 for r in reports.values()], "{:.1f}"),
                                     text([r["p99_ns"] / 1000 for r in reports.values()], "{:.1f}"),
                                     "{:.2%}".format(statistics.median(r["loss"] for r in reports.values())))) + " |")
    return "\n".join(lines)


def delays(found):
    """What a proxy adds to the delay of the same players and servers without one."""
    lines = ["| | | p50 added, us | of the floor's | p90 added, us | of the floor's | p99 added, us | of the floor's |", "|" + "---|" * 8]
    for case, proxies in found.items():
        direct = proxies.get("direct")
        if not direct:
            continue
        added = {name: {n: {key: (r[key] - direct[n][key]) / 1000 for key in ("p50_ns", "p90_ns", "p99_ns")} for n, r in reports.items()
                        if n in direct} for name, reports in proxies.items() if name != "direct"}
        for name, reports in added.items():
            row = ["| " + case.name, name]
            for key in ("p50_ns", "p90_ns", "p99_ns"):
                row += [text([r[key] for r in reports.values()], "{:.1f}"), text(ratios(reports, added[FLOOR], key) or [0])]
            lines.append(" | ".join(row) + " |")
    return "\n".join(lines)


# What comes to servers of datagrams at a rate.
OFFERED = (40_000, 60_000, 80_000, 100_000, 150_000, 200_000, 300_000, 400_000, 600_000)


def arrivals(space):
    """UDP datagrams over IPv4 that came to a socket in a namespace, read or not."""
    rows = [line.split() for line in run(inside(space, ["cat", "/proc/net/snmp"])).splitlines() if line.startswith("Udp:")]
    counts = dict(zip(*rows))
    return int(counts["InDatagrams"]) + int(counts["RcvbufErrors"])


def deliver(wire, make, seconds):
    """By offered rate: offered in fact, and delivered, a second."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Place(wire, 1, folder)
        stack.enter_context(lab.server(make(place), space=wire.server))
        sink = ["python3", "-c", f"""import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("{wire.client_address}", {place.servers[0]})); time.sleep(1000)"""]
        stack.enter_context(lab.server(sink, space=wire.client, cpu=CLIENT_CPU))

        def offer(datagrams, rate):
            before = arrivals(wire.client)
            sent, took = run(inside(wire.client, on_cpu(CLIENT_CPU, [
                PROGRAMS / "paddock_flood", wire.interface, wire.mac(wire.server), wire.server_address, place.port, datagrams, rate,
                wire.client_address, 64]))).split()
            time.sleep(0.3)
            return int(sent) / float(took), (arrivals(wire.client) - before) / float(took)

        offer(512, 1024)  # sessions are made, the server's link address is asked for, and its socket, which nobody reads, is full
        for rate in OFFERED:
            found[rate] = offer(int(rate * seconds), rate)
    return found


def overload(wire, rounds, seconds):
    """The limit is the highest rate of which 99 % are delivered. The floor has what it delivers of the same rate."""
    proxies = available() | {"paddock --realtime": paddock_realtime}
    found = {name: {} for name in proxies}
    for number in range(rounds):
        for name, make in in_turn(proxies, number):
            try:
                rows = deliver(wire, make, seconds)
            except Failed as failure:
                print(f"overload: {name}: {failure}", file=sys.stderr)
                continue
            limit = max((delivered for offered, delivered in rows.values() if delivered >= 0.99 * offered), default=0)
            twice = next((rate for rate, (offered, _) in rows.items() if offered >= 2 * limit), OFFERED[-1])
            below = [1 - delivered / offered for offered, delivered in rows.values() if offered <= 0.8 * limit]
            if limit:
                found[name][number] = {"limit": limit, "rate": twice, "kept": rows[twice][1] / limit, "below": max(below, default=0),
                                       "delivered": {rate: delivered for rate, (_, delivered) in rows.items()}}
        print(f"overload: round {number + 1} of {rounds}", file=sys.stderr)
    lines = ["| | limit, datagrams a second one way | lost up to 80 % of it | delivered at twice the limit, or of 600,000 | of the limit | "
             "of the floor's |", "|" + "---|" * 6]
    for name, reports in ((name, reports) for name, reports in found.items() if reports):
        beside = [r["delivered"][r["rate"]] / found[FLOOR][n]["delivered"][r["rate"]] for n, r in reports.items() if n in found[FLOOR]]
        lines.append(f"| {name} | {text([r['limit'] for r in reports.values()], '{:,.0f}')} | "
                     f"{text([max(0, r['below']) for r in reports.values()], '{:.3%}')} | "
                     f"{text([r['delivered'][r['rate']] for r in reports.values()], '{:,.0f}')} | "
                     f"{text([r['kept'] for r in reports.values()])} | {text(beside or [0])} |")
    return "\n".join(lines)


SOCKET_CACHES = ("UDP", "UDPv6", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq")


def kernel_bytes():
    """What sockets take in the kernel, but for their memory of datagrams and their entries of directories."""
    total = 0
    for line in pathlib.Path("/proc/slabinfo").read_text(encoding="ascii").splitlines():
        name, *numbers = line.split()
        if name in SOCKET_CACHES:
            total += int(numbers[0]) * int(numbers[2])
    return total


def many_sessions(wire, rounds):
    """The floor has a socket for each session, and no process here may have more than some thousands."""
    found = collections.defaultdict(dict)
    for number in range(rounds):
        for name, make, each in (FLOOR, forwarder, 1000), ("paddock", paddock_many, 1000), ("paddock", paddock_many, 6250):
            case = Case("", each, 16, 1, 0, 1)
            with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
                place = Place(wire, case.servers, folder)
                pid = stack.enter_context(lab.server(make(place), space=wire.server))
                memory, kernel = lab.resident_kib(pid), kernel_bytes()
                report = players(place, pid, case, 0.1)
                time.sleep(1)
                sessions = each * case.servers
                found[name, sessions][number] = {
                    "process": (lab.resident_kib(pid) - memory) * 1024 / sessions, "kernel": (kernel_bytes() - kernel) / sessions,
                    "first": report["first_p50_ns"] / 1000, "sockets": len(os.listdir(f"/proc/{pid}/fd")),
                    "threads": len(os.listdir(f"/proc/{pid}/task"))}
        print(f"sessions: round {number + 1} of {rounds}", file=sys.stderr)
    floor = found[FLOOR, 16_000]
    lines = ["| | sessions | bytes of each in the process | in the kernel | its first round trip, p50 us | of the floor's | descriptors | threads |",
             "|" + "---|" * 8]
    for (name, sessions), reports in found.items():
        lines.append(" | ".join((f"| {name} | {sessions:,}", *(text([r[key] for r in reports.values()], "{:,.0f}") for key in ("process", "kernel")),
                                 text([r["first"] for r in reports.values()], "{:.1f}"), text(ratios(reports, floor, "first")),
                                 *(str(max(r[key] for r in reports.values())) for key in ("sockets", "threads")))) + " |")
    return "\n".join(lines)


def emptied(folder, workers, datagrams):
    """Datagrams a second of so many workers that find their queues full, in a namespace of its own; players are on its loopback device."""
    space = f"pdk-w{os.getpid()}"
    run(["ip", "netns", "add", space])
    try:
        run(inside(space, ["ip", "link", "set", "lo", "up"]))
        port, server = lab.free_port(), lab.free_port()
        lab.write(folder / "paddock.yaml", "paddock: {udp: {receive_buffer: 2s}}")
        command = [PADDOCK, "-q", "-c", folder / "paddock.yaml", "--service.udp", "--service.udp.port", port, "--service.udp.loopback",
                   "--service.udp.workers", workers, "--provider.static.endpoints", f"127.0.0.1:{server}"]
        queue = f"""import socket
players = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(256)]
for p in players: p.connect(("127.0.0.1", {port}))
for i in range({datagrams} // 256):
    for p in players: p.send(b"x" * 64)
"""
        sink = ["python3", "-c", f"""import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1); s.bind(("127.0.0.1", {server})); time.sleep(1000)"""]
        with lab.server(sink, space=space), lab.server(command, space=space, cpu="0,1") as pid:
            run(inside(space, ["python3", "-c", queue.replace(f"{datagrams} // 256", "4")]))  # the sessions
            time.sleep(0.5)
            os.kill(pid, signal.SIGSTOP)
            run(inside(space, ["python3", "-c", queue]))
            return awaken(space, pid)
    finally:
        run(["ip", "netns", "del", space])


def awaken(space, pid):
    """Datagrams a second from the end of a process' sleep to the last that it sent."""
    def sent(rows):
        names, values = [line.split()[1:] for line in rows.splitlines() if line.startswith("Udp:")]
        return int(values[names.index("OutDatagrams")])
    with open(f"/proc/{pid}/net/snmp", encoding="ascii") as file:
        before = last = sent(file.read())
        os.kill(pid, signal.SIGCONT)
        begin = end = time.monotonic()
        while time.monotonic() < end + 0.2:
            time.sleep(0.002)
            file.seek(0)
            now = sent(file.read())
            if now != last:
                last, end = now, time.monotonic()
    return (last - before) / (end - begin)


def workers(rounds):
    one, two = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            one.append(emptied(pathlib.Path(folder), 1, 40_000))
            two.append(emptied(pathlib.Path(folder), 2, 80_000))
            print(f"workers: round {number + 1} of {rounds}", file=sys.stderr)
    return (f"One worker that finds its queue full: {text(one, '{:,.0f}')} datagrams a second; two, on two CPUs: {text(two, '{:,.0f}')}, "
            f"{text([b / a for a, b in zip(one, two)])} times as many.")


def filters(parts):
    """What paddock_bench_filters prints: now, or from what the benchmarks of parts have printed."""
    if parts is None:
        return run([PROGRAMS / "paddock_bench_filters"])
    sections = parts.read_text(encoding="utf-8").split("== ")
    return next(text.partition("\n")[2] for text in sections if text.startswith("filters\n"))


def document(parts, options):
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    missing = ", ".join(name for name in PROXIES if name not in available())
    return f"""# What the UDP proxy costs

Measured by `bench/proxy_report.py` on {datetime.date.today()}: {model}, {os.cpu_count()} CPUs, Linux {platform.release()}, {options.rounds} interleaved
rounds of {options.seconds:g} s, payload 64 bytes, over a veth between two network namespaces. The proxy and all that receives for it have CPU 0,
players and servers have CPU 1. Medians; in brackets the interval that has the median with 95 %. {options.write or ""}
{f"Not measured, as they are not on PATH: {missing}." if missing else ""}

The floor is `bench/forwarder.c`: `recvmmsg`, a hash table, a connected socket for each session, `sendmmsg`; no filters, no limits, no counters.
A round trip is two datagrams in and two out.
""" + "\n".join(f"\n## {title}\n\n{body}\n" for title, body in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", help="names of cases, with commas between them, or of 'overload', 'sessions', 'workers', 'filters'")
    parser.add_argument("--parts", type=pathlib.Path, help="what the benchmarks of parts printed; else that of filters is run")
    parser.add_argument("--write", nargs="?", const="", default=None, metavar="NOTE")
    options = parser.parse_args()
    wanted = options.only and options.only.split(",")
    cases = [case for case in CASES if wanted is None or case.name in wanted]
    parts = []
    with lab.Wire() as wire:
        if cases:
            found = measure(wire, cases, options.rounds, options.seconds)
            parts.append(("CPU", cost(found)))
            parts.append(("Delay", f"Beside the same players and servers without a proxy, over the loopback device.\n\n{delays(found)}"))
        if wanted is None or "overload" in wanted:
            parts.append(("More than can be carried", "Datagrams of 64 players to a server that does not answer.\n\n"
                          + overload(wire, options.rounds, options.seconds / 4)))
        if wanted is None or "sessions" in wanted:
            parts.append(("Many sessions", "Each player is on each of 16 servers, by token.\n\n" + many_sessions(wire, min(3, options.rounds))))
    if wanted is None or "workers" in wanted:
        parts.append(("Two workers", workers(options.rounds)))
    if wanted is None or "filters" in wanted:
        parts.append(("Filters", "CPU time of one datagram in the chain, as `paddock_bench_filters` measures it; without receiving and sending. A row with\n"
                      "several names is a chain of these. The bare look-up is in a table of open addressing, at most half full, of pointers to the\n"
                      f"same tokens, with the same keyed hash.\n\n```\n{filters(options.parts).rstrip()}\n```"))
    page = document(parts, options)
    print(page)
    if options.write is not None:
        path = TREE / "docs/performance-proxy.md"
        # That section has what other programs measured.
        _, title, others = path.read_text(encoding="utf-8").partition("\n## With XDP\n")
        path.write_text(page + title + others, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.TimeoutExpired) as failed:
        sys.exit(f"proxy_report: {failed}")
