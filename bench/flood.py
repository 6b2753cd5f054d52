#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""flood.py BUILD [--count N] [--rate N] [--cap N] [--guard BOOL] [--proxy-rate N,...]: how guard and proxy stand floods.

Two network namespaces with a veth between them: a responder in one, in the other a flood of pings in others' names and
a client that pings ten times a second through it. Nothing leaves the namespaces. Two cases: random sources, and one
victim's address, 100,000 a second. Then a proxy, of which 50 players are at a server, while others try to join: a flood of players in others' names at each of some rates. Prints what came of it; nothing
fails because of the figures. Needs root."""
import argparse
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
PONG_FRAME_BYTES = 14 + 20 + 8 + 33
VICTIM = "10.99.0.77"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10_000_000, help="packets of the first case")
    parser.add_argument("--rate", type=int, default=150_000, help="of them a second")
    parser.add_argument("--cap", type=int, default=20_000, help="replies_per_second of the first case")
    parser.add_argument("--victim-seconds", type=int, default=30, help="length of the second case")
    parser.add_argument("--guard", choices=("true", "false"), default="true")
    parser.add_argument("--proxy-rate", default="30000,100000", help="players in others' names a second, a list with commas")
    parser.add_argument("--proxy-seconds", type=int, default=20, help="length of each")
    return parser.parse_args()


class Case:
    """A responder, a client and what is read of them."""

    def __init__(self, options, hosts, keys):
        self.options, (self.client, self.server) = options, hosts
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o755)
        file = pathlib.Path(self.folder.name) / "paddock.yaml"
        file.write_text(f"paddock:\n  qcmp:\n    guard: {{{keys}}}\n", encoding="utf-8")
        with self.server:
            self.service = serving.Operated("-c", str(file), "--service.qcmp.port", "0", "--service.qcmp.guard",
                                            options.guard)
            self.mac = support.ip("-brief link show dev way").split()[2]

    def resident_kib(self):
        text = pathlib.Path(f"/proc/{self.service.pid}/status").read_text(encoding="ascii")
        return int(text.split("VmRSS:")[1].split()[0])

    def transmitted(self):
        """Packets and bytes that left the server's interface."""
        text = pathlib.Path(f"/proc/{self.service.pid}/net/dev").read_text(encoding="ascii")
        fields = text.split("way:")[1].split()
        return int(fields[9]), int(fields[8])

    def metrics(self):
        with self.server:
            return self.service.metrics()

    def flood(self, count, rate, source=()):
        command = [self.options.build / "bin/paddock_flood", "way", self.mac, "10.99.0.2", self.service.port, count, rate,
                   *source]
        with self.client:
            return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)

    def client_start(self, seconds):
        """A client that pings ten times a second for so long."""
        command = [support.PADDOCK, "ping", "-i", "100ms", "-a", str(seconds * 10), "--format", "json",
                   f"10.99.0.2:{self.service.port}"]
        with self.client:
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=support.environment())

    def watch(self, sender):
        """Until the sender ends: the most packets and bytes that left in any second, and both in all."""
        samples = [(time.monotonic(), *self.transmitted())]
        while sender.poll() is None:
            time.sleep(0.05)
            samples.append((time.monotonic(), *self.transmitted()))
        most = [0, 0]
        for i, (start, packets, size) in enumerate(samples):
            inside = [sample for sample in samples[i:] if sample[0] - start <= 1.0]
            most = [max(most[0], inside[-1][1] - packets), max(most[1], inside[-1][2] - size)]
        return most, samples[-1][1] - samples[0][1], samples[-1][2] - samples[0][2]

    def report(self, found):
        """Waits until all is counted; prints the counts and whether they add up."""
        time.sleep(0.5)
        metrics = self.metrics()
        for series, value in sorted(metrics.items()):
            if series.startswith(("paddock_qcmp_dropped", "paddock_qcmp_rec", "paddock_qcmp_ans", "paddock_qcmp_leak",
                                  "paddock_qcmp_kernel", "quilkin_service_qcmp_packets")) and value:
                print(f"  {series:66} {value:12.0f}")
        kinds = sum(value for series, value in metrics.items()
                    if series.startswith(("quilkin_service_qcmp_packets_total", "paddock_qcmp_dropped_total")))
        received, lost = metrics["paddock_qcmp_received_total"], metrics["paddock_qcmp_kernel_drops_total"]
        print(f"  counts add up: {kinds == received}; sent {found:.0f} = received {received:.0f} + dropped by the kernel "
              f"{lost:.0f} + {found - received - lost:.0f} before it")

    def close(self):
        with self.server:
            self.service.stop()
        self.service.__exit__()
        self.folder.cleanup()


def answers(client):
    """How many pings a client sent, and how many answers it got."""
    target = json.loads(client.communicate()[0])["targets"][0]
    return target["sent"], target["received"]


def random_sources(options, hosts):
    case = Case(options, hosts, f"replies_per_second: {options.cap}")
    seconds = max(1, options.count // options.rate)
    print(f"{options.count} pings from random sources, {options.rate} a second; cap {options.cap} answers a second; guard "
          f"{options.guard}")
    client = case.client_start(seconds)
    time.sleep(2)  # until it is steady
    before = case.resident_kib()
    sender = case.flood(options.count, options.rate)
    most, packets, size = case.watch(sender)
    after = case.resident_kib()
    sent, took = sender.communicate()[0].split()
    asked, answered = answers(client)
    print(f"  sent in {took} s: {int(sent) / float(took):.0f} a second")
    print(f"  resident memory before {before} KiB, after {after} KiB")
    print(f"  out: {packets} packets, {size} bytes; in any second at most {most[0]} packets, {most[1]} bytes; the cap is "
          f"{options.cap} packets, {options.cap * PONG_FRAME_BYTES} bytes")
    print(f"  a client with ten pings a second: {answered} of {asked} answered, {100 * answered / asked:.2f} %")
    case.report(int(sent) + asked)
    case.close()


def one_victim(options, hosts):
    """The victim's own pings come from his address, which is one of the client's host."""
    case = Case(options, hosts, "")
    rate, seconds = 100_000, options.victim_seconds
    print(f"{rate * seconds} pings in one victim's name, {rate} a second; guard {options.guard}")
    with case.client:
        subprocess.run(["ip", "address", "add", f"{VICTIM}/32", "dev", "way"], check=True)
        subprocess.run(["ip", "route", "replace", "10.99.0.2/32", "dev", "way", "src", VICTIM], check=True)
    sender = case.flood(rate * seconds, rate, [VICTIM])
    client = case.client_start(max(1, seconds - 2))
    most, packets, _ = case.watch(sender)
    sent, took = sender.communicate()[0].split()
    asked, answered = answers(client)
    print(f"  sent in {took} s; answered {packets}, {100 * packets / int(sent):.3f} % of the flood; in any second at most "
          f"{most[0]}")
    print(f"  the victim's own pings, ten a second: {answered} of {asked} answered")
    case.report(int(sent) + asked)
    with case.client:
        subprocess.run(["ip", "route", "del", "10.99.0.2/32", "dev", "way"], check=True)
    case.close()


def newcomers(client, port, seconds):
    """Players who come one after the other while the flood lasts: how many, and how many had an answer within five tries."""
    came, joined = 0, 0
    with client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
                player.settimeout(0.3)
                player.connect(("10.99.0.2", port))
                came += 1
                for _ in range(5):
                    with contextlib.suppress(OSError):
                        player.send(b"may I join?")
                        joined += bool(player.recv(100))
                        break
            time.sleep(0.05)
    return came, joined


def spoofed_players(options, hosts, rate):
    client, server = hosts
    seconds = options.proxy_seconds
    with client:
        game, = serving.free_ports(1)
    with server, proxying.Proxy([proxying.cluster(f"10.99.0.1:{game}")], loopback=False, workers=2) as proxy:
        mac = support.ip("-brief link show dev way").split()[2]
        def resident_kib():
            return int(pathlib.Path(f"/proc/{proxy.pid}/status").read_text(encoding="ascii").split("VmRSS:")[1].split()[0])
        before = resident_kib()
        with client:
            players = subprocess.Popen([str(part) for part in (
                options.build / "bin/paddock_players", proxy.pid, proxy.pid, "10.99.0.2", proxy.port, "10.99.0.1", 50, 0, 1000, 1, seconds + 3,
                game)], stdout=subprocess.PIPE, text=True)
            time.sleep(2)
            flood = subprocess.Popen([str(part) for part in (
                options.build / "bin/paddock_flood", "way", mac, "10.99.0.2", proxy.port, rate * seconds, rate)], stdout=subprocess.PIPE, text=True)
        came, joined = newcomers(client, proxy.port, seconds - 1)
        sent, took = flood.communicate()[0].split()
        report = json.loads(players.communicate()[0])
        metrics = proxy.metrics()
        lost = 1 - report["round_trips"] / report["sent"]
        print(f"{sent} datagrams of players in others' names, {int(sent) / float(took):.0f} a second")
        print(f"  50 players, 1,000 datagrams a second: {lost:.3%} of {report['sent']} not answered")
        print(f"  {joined} of {came} who came had an answer within five tries of 0.3 s, {joined / max(came, 1):.1%}")
        print(f"  resident memory before {before} KiB, after {resident_kib()} KiB; {proxying.value(metrics, 'quilkin_session_active'):.0f} sessions")
        for series, value in sorted(metrics.items()):
            if value and series.startswith(("quilkin_packets_dropped_total", "paddock_udp_sessions_ended", "paddock_udp_kernel_drops")):
                print(f"  {series:90} {value:12.0f}")


def main():
    options = arguments()
    with hosts.two_hosts() as both:
        client, server = both
        with client:
            mac = support.ip("-brief link show dev way").split()[2]
        with server:  # answers to anybody go back over the veth, and end there
            support.ip("route add default via 10.99.0.1 dev way")
            support.ip(f"neigh replace 10.99.0.1 lladdr {mac} dev way nud permanent")
        random_sources(options, both)
        one_victim(options, both)
        for rate in filter(None, options.proxy_rate.split(",")):
            spoofed_players(options, both, int(rate))


if __name__ == "__main__":
    os.environ["PADDOCK"] = str(arguments().build.resolve() / "bin/paddock")
    sys.path.insert(0, str(TREE / "tests/integration"))
    import hosts
    import proxying
    import serving  # pylint: disable=import-error
    import support
    main()
