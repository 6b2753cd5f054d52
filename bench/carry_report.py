#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""carry_report.py [--rounds N] [--seconds S] [--players N] [--offered N]: what the proxy with XDP costs for a round trip, beside a bare XDP forwarder
(bench/carry.bpf.c) and the reference with --service.udp.xdp, where that is on PATH. Players and server are an XDP program at the other end of a
veth; frames have 64 bytes. They take turns in each round; ratios are those of one round.

Rate: all of it, the generator's part included, shares one CPU. CPU: the receive path at the proxy's end is a kernel thread, whose CPU time, and
that of the proxy's process, is divided by the round trips. Overload: datagrams of players come as often as --offered says, whether or not they
are answered; what is carried then both ways, divided by what is when each waits for its answer."""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import lab
from lab import CLIENT_CPU, PADDOCK, PROGRAMS, SERVER_CPU, Failed, Summary, Wire, inside, on_cpu, run

CARRY, PORT, SERVER_PORT, FIRST_PORT = PROGRAMS / "paddock_carry", 7777, 7000, 2000
TOKEN = "tok"
XDP = ("--service.udp.xdp", "--service.udp.xdp.network-interface", "veth0")


@contextlib.contextmanager
def entered(space):
    """This process in another network namespace."""
    with open("/proc/self/ns/net", encoding="ascii") as own, open(f"/run/netns/{space}", encoding="ascii") as other:
        setns(other.fileno())
        try:
            yield
        finally:
            setns(own.fileno())


def setns(fd):
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def establish(wire, players, token):
    """Sessions, by real sockets, until XDP carries them."""
    with entered(wire.client):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((wire.client_address, SERVER_PORT))
        server.settimeout(3)
        for number in range(players):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
                player.bind((wire.client_address, FIRST_PORT + number))
                player.connect((wire.server_address, PORT))
                player.settimeout(3)
                for _ in range(4):
                    player.send(b"hello" + token.encode())
                    data, source = server.recvfrom(2048)
                    server.sendto(data, source)
                    player.recv(2048)
        server.close()


@contextlib.contextmanager
def bare(wire, players, token):
    command = inside(wire.server, [CARRY, "bare", wire.interface, wire.server_address, wire.client_address, players])
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        time.sleep(1)
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()


def proxy(program, *flags):
    @contextlib.contextmanager
    def start(wire, players, token):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "quilkin.yaml")
            filters = [{"name": "quilkin.filters.capture.v1alpha1.Capture",
                        "config": {"suffix": {"size": len(TOKEN), "remove": False}}},
                       {"name": "quilkin.filters.token_router.v1alpha1.TokenRouter"}] if token else []
            endpoint = {"address": f"{wire.client_address}:{SERVER_PORT}", "metadata": {"quilkin.dev": {"tokens": ["dG9r"]}}}
            path.write_text(json.dumps({"version": "v1alpha1", "filters": filters, "clusters": [{"endpoints": [endpoint]}]}), encoding="ascii")
            os.chmod(folder, 0o755)
            command = [program, "--service.udp", "--service.udp.port", PORT, "--service.udp.workers", 1, "--provider.fs", "--provider.fs.path",
                       path, *XDP, *flags]
            with lab.server(command, space=wire.server) as pid:
                with passing(wire):
                    establish(wire, players, token)
                yield pid
    return start


@contextlib.contextmanager
def passing(wire):
    """A program on the players' end that passes everything, without which a veth loses what XDP at its other end sends."""
    process = subprocess.Popen(inside(wire.client, [CARRY, "pass", wire.interface, wire.server_address, wire.client_address, 1]), stdin=subprocess.PIPE)
    try:
        time.sleep(0.5)
        yield
    finally:
        process.stdin.close()
        process.wait()


def flood(wire, options, token, cpu, offered=0):
    command = [CARRY, "flood", wire.interface, wire.server_address, wire.client_address, options.players, wire.mac(wire.server),
               options.seconds, token, offered]
    report = json.loads(run(inside(wire.client, on_cpu(cpu, command))))
    if report["round_trips"] < report["sent"] // 200:
        raise Failed(f"nearly nothing came back: {report}")
    return report


def whole_checksums(wire):
    """A program at an end of a veth turns round frames whose checksums the kernel has left to the interface, which nobody then would take."""
    for space in (wire.client, wire.server):
        run(inside(space, ["ethtool", "-K", wire.interface, "tx", "off"]))


def rate(options, start, token):
    with Wire(threaded=False) as wire:
        whole_checksums(wire)
        with start(wire, options.players, token):
            report = flood(wire, options, token, SERVER_CPU)
    return report["round_trips"] / report["seconds"] / 1e6


def overload(options, start, token):
    """What is carried both ways while players send what --offered says, as a share of what is when they wait for answers. One CPU receives for
    the proxy, the other one is players and server."""
    carried = []
    with Wire() as wire:
        whole_checksums(wire)
        with start(wire, options.players, token):
            for offered in (0, options.offered):
                report = flood(wire, options, token, CLIENT_CPU, offered)
                carried.append((report["reached"] + report["round_trips"]) / report["seconds"])
    return carried[1] / carried[0]


def cost(options, start, token):
    with Wire() as wire:
        whole_checksums(wire)
        with start(wire, options.players, token) as pid:
            before = wire.receiving_ns(wire.server) + lab.cpu_ns(pid)
            report = flood(wire, options, token, CLIENT_CPU)
            after = wire.receiving_ns(wire.server) + lab.cpu_ns(pid)
    return (after - before) / report["round_trips"] / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--players", type=int, default=64)
    parser.add_argument("--offered", type=int, default=3000000)
    options = parser.parse_args()
    who = [("bare", bare, ""), ("paddock", proxy(PADDOCK, "-q"), ""), ("paddock, token", proxy(PADDOCK, "-q"), TOKEN)]
    if shutil.which("quilkin"):
        who.append(("quilkin", proxy(shutil.which("quilkin")), ""))
    measures = {"rate": (rate, "million round trips a second on one core"), "cost": (cost, "us of CPU a round trip"),
                "overload": (overload, f"of its rate with {options.offered} a second offered")}
    found = {name: {what: [] for what in measures} for name, _, _ in who}
    for _ in range(options.rounds):
        for name, start, token in who:
            for what, (measure, _) in measures.items():
                try:
                    found[name][what].append(measure(options, start, token))
                except (Failed, OSError) as error:
                    print(f"{name}: {what}: {error}")
    for name, values in found.items():
        for what, (_, unit) in measures.items():
            if len(values[what]) != options.rounds:
                continue
            ratios = [own / base for own, base in zip(values[what], found["bare"][what])]
            print(f"{name}: {Summary(values[what]).text()} {unit}; {Summary(ratios).text()} of the bare forwarder's")


if __name__ == "__main__":
    main()
