#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""churn.py BUILD [--players N] [--joins N] [--seconds S] [--workers N] [--mode MODE] [--xdp on|off]: many sessions and much coming and going before
a proxy with XDP.

Players and game servers are real sockets (bench/churn.c) in one network namespace, the proxy is in another one, a veth between them. Prints what
was sent, what the driver and what the sockets carried, what was lost where, who got what was not theirs, what came out of order, and the memory.
Ends with 1 where an answer came to a wrong player, or a datagram is missing that nobody counted. Needs root."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
SERVERS, FIRST_SERVER_PORT = 16, 7000
PLAYERS_A_PROCESS = 16000  # a process may have 20,000 descriptors on many hosts
XDP_PACKETS, RECEIVED, KERNEL = "paddock_udp_xdp_packets_total", "paddock_udp_received_total", "paddock_udp_kernel_drops_total"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--players", type=int, default=100_000, help="at a time")
    parser.add_argument("--joins", type=int, default=10_000, help="players that come a second, and as many that go")
    parser.add_argument("--seconds", type=int, default=10, help="of coming and going, once all are there")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mode", choices=("native", "generic"), default="native")
    parser.add_argument("--xdp", choices=("on", "off"), default="on")
    return parser.parse_args()


class Host:
    """What the kernel counts in a network namespace that loses datagrams."""

    def __init__(self, host):
        self.host = host

    def read(self):
        with self.host:
            device = pathlib.Path("/proc/thread-self/net/dev").read_text(encoding="ascii").split("way:")[1].split()
            rows = [line.split() for line in pathlib.Path("/proc/thread-self/net/snmp").read_text(encoding="ascii").splitlines()]
            driver = subprocess.run(["ethtool", "-S", "way"], stdout=subprocess.PIPE, text=True, check=True).stdout
        names, values = [row for row in rows if row[0] == "Udp:"]
        udp = dict(zip(names, values))
        return {"received drops of the device": int(device[3]), "sent drops of the device": int(device[11]),
                "transmit errors of XDP": sum(map(int, re.findall(r"xdp_tx_err\w*: (\d+)", driver))),
                "no room at a socket": int(udp["RcvbufErrors"]), "nobody at the port": int(udp["NoPorts"])}


def difference(after, before):
    return {name: value - before[name] for name, value in after.items()}


def map_bytes(pid):
    """Memory of the BPF maps of a process."""
    found, text = {}, ""
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a socket that is closed meanwhile
            text = info.read_text(encoding="ascii")
        if "map_id:" in text:
            found[re.search(r"map_id:\s*(\d+)", text)[1]] = int(re.search(r"memlock:\s*(\d+)", text)[1])
    return sum(found.values())


def resident_bytes(pid):
    return 1024 * int(pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").split("VmRSS:")[1].split()[0])


class Watch:
    """The most sessions and the most memory, while the players play."""

    def __init__(self, proxy, server):
        self.proxy, self.server, self.over = proxy, server, threading.Event()
        self.sessions = self.carried = self.resident = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.server:
            while not self.over.wait(1):
                metrics = self.proxy.metrics()
                self.sessions = max(self.sessions, value(metrics, "quilkin_session_active"))
                self.carried = max(self.carried, value(metrics, "paddock_udp_xdp_sessions"))
                self.resident = max(self.resident, resident_bytes(self.proxy.pid))

    def end(self):
        self.over.set()
        self.thread.join()


def prepare(client, server):
    """Addresses for more players than one has ports, and ports for as many sessions of a server."""
    with client:
        support.ip("route add local 10.98.0.0/16 dev lo")
        subprocess.run(["ethtool", "-K", "way", "tx", "off"], check=True, stdout=subprocess.DEVNULL)
    with server:
        support.ip("route add 10.98.0.0/16 via 10.99.0.1")
        support.sysctl("ipv4/ip_local_port_range", "10000 65000")
    for host in client, server:
        with host:  # what finds the veth's ring of 256 frames full waits, where the kernel is of 6.16 or later
            subprocess.run(["tc", "qdisc", "replace", "dev", "way", "root", "pfifo", "limit", "20000"], check=True)


def passing(options, client):
    """A program at the players' end, without which a veth loses what XDP at its other end sends."""
    with client:
        return subprocess.Popen([options.build / "bin/paddock_carry", "pass", "way", "10.99.0.2", "10.99.0.1", "1"], stdin=subprocess.PIPE)


def main(options):
    with hosts.two_hosts() as (client, server):
        prepare(client, server)
        targets = [f"10.99.0.1:{FIRST_SERVER_PORT + i}" for i in range(SERVERS)]
        most = options.players + 8 * options.joins
        with server:
            proxy = proxying.Proxy([proxying.cluster(*targets)], [{"name": proxying.BALANCER, "config": {"policy": "HASH"}}],
                                   {"session_timeout": "6s", "sessions": {"max": most, "max_per_address": most}}, "--xdp", options.xdp, "--xdp-attach",
                                   options.mode, "--service.udp.xdp.network-interface", "way", loopback=False, workers=options.workers)
        pass_all = passing(options, client)
        try:
            time.sleep(1)
            return play(options, proxy, client, server)
        finally:
            pass_all.stdin.close()
            pass_all.wait()
            proxy.__exit__()


def play(options, proxy, client, server):
    both = Host(client), Host(server)
    before, resident = [host.read() for host in both], resident_bytes(proxy.pid)
    watch = Watch(proxy, server)
    count = options.players // PLAYERS_A_PROCESS + 1
    with client:
        processes = [subprocess.Popen([str(part) for part in (
            options.build / "bin/paddock_churn", i, count, "10.99.0.2", proxy.port, "10.99.0.1", FIRST_SERVER_PORT + i * SERVERS // count,
            (i + 1) * SERVERS // count - i * SERVERS // count, options.players // count, options.joins / count, options.seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) for i in range(count)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    players = total(processes)
    watch.end()
    time.sleep(0.5)
    for process in processes:
        process.stdin.close()
    servers = total(processes)
    time.sleep(1)
    lost = [difference(host.read(), then) for host, then in zip(both, before)]
    with server:
        proxying.check_sums(proxy)
        metrics = proxy.metrics()
    return report(options, players, servers, lost, metrics, watch, (resident, map_bytes(proxy.pid)))


def total(processes):
    """What all have counted, in the next line of each."""
    lines = [json.loads(process.stdout.readline()) for process in processes]
    return {name: max(line[name] for line in lines) if name == "seconds" else sum(line[name] for line in lines) for name in lines[0]}


def report(options, players, servers, lost, metrics, watch, memory):
    received, carried, kernel, forwarded = ([value(metrics, name, event=event) for event in ("read", "write")]
                                            for name in (RECEIVED, XDP_PACKETS, KERNEL, "quilkin_packets_total"))
    dropped = [proxying.dropped(metrics, event) for event in ("read", "write")]
    print(f"{players['joined']} players came and went, {players['joined'] / players['seconds']:.0f} a second; {options.mode} XDP {options.xdp}, "
          f"{options.workers} worker(s)")
    print(f"  sessions at a time: {watch.sessions:.0f}, of which the driver had {watch.carried:.0f}")
    for i, (way, sent, came) in enumerate((("to servers", players["sent"], servers["received"]),
                                           ("to players", servers["sent"], players["received"]))):
        print(f"  {way}: {sent} sent; {carried[i]:.0f} by the driver, {received[i] - carried[i]:.0f} by sockets; {came} arrived; "
              f"{sent - came} lost, {dropped[i]:.0f} of them dropped by the proxy, {kernel[i]:.0f} at its sockets")
    counted = sum(dropped) + sum(kernel)
    for name, host in zip(("players' and servers' host", "proxy's host"), lost):
        for what, count in host.items():
            if count != 0:
                print(f"  {name}: {what}: {count}")
    # What the device at the proxy's end drops it counts itself, with XDP's, and tells the proxy of what that sent by sockets.
    told = proxying.dropped(metrics, "read", "no_buffers") + proxying.dropped(metrics, "write", "no_buffers")
    counted += max(0, lost[1]["sent drops of the device"] - told) + lost[0]["sent drops of the device"]
    counted += lost[0]["no room at a socket"] + lost[0]["nobody at the port"]
    missing = players["sent"] - servers["received"] + servers["sent"] - players["received"]
    print(f"  lost {missing}, of which {missing - counted:.0f} are not explained")
    for series, number in sorted(metrics.items()):
        if number and series.startswith(("quilkin_packets_dropped_total", "paddock_udp_sessions_ended_total", "quilkin_errors_total")):
            print(f"    {series}: {number:.0f}")
    print(f"  at a wrong player or server: {players['strays'] + servers['strays']}; twice: {players['twice'] + servers['twice']}; "
          f"came after a later one: {servers['overtaken']} at servers, {players['overtaken']} at players; changes that may cost order, as counted: {value(metrics, 'paddock_udp_xdp_overtakings_total'):.0f}")
    print(f"  memory: {memory[0] >> 20} MiB at first, at most {watch.resident >> 20} MiB; maps of the kernel {memory[1] >> 20} MiB")
    print(f"  players' own: unsent {players['unsent']}, errors {players['errors'] + servers['errors']}, left with a datagram unanswered {players['left_unanswered']}")
    return 1 if any(one[what] for one in (players, servers) for what in ("strays", "twice")) or missing != counted else 0


if __name__ == "__main__":
    chosen = arguments()
    os.environ["PADDOCK"] = str(chosen.build.resolve() / "bin/paddock")
    sys.path.insert(0, str(TREE / "tests/integration"))
    import hosts  # pylint: disable=import-error
    import proxying
    import support
    from proxying import value
    sys.exit(main(chosen))
