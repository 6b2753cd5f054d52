#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.py [--rounds N] [--seconds S] [--only SECTION,...] [--parts FILE] [--write]: measures what docs/performance.md shows, and prints it.

Every figure is the median of interleaved rounds, beside the baseline's of the same round (bench/baseline.c: one thread, epoll,
recvfrom, sendto, user-space stamps). --write writes docs/performance.md and its plots, of which the sections stay that were not measured; without
it nothing is changed.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import lab
import plots
import xdp_report
from lab import Failed, Summary, baseline, load, paddock, server

TREE = pathlib.Path(__file__).parent.parent
GUARD_OFF = ("--service.qcmp.guard", "false")
YES = "--yes-i-own-this-target"
SINGLES = ("-f", "64", "-n", "64")
BURSTS = ("-f", "8", "-n", "256", "-b", "32")


class Section:
    """A table of the report: rows of names and values, with what they are measured against."""

    def __init__(self, title, about, head):
        self.title, self.about, self.head, self.rows = title, about, head, []

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def markdown(self):
        lines = [f"## {self.title}", "", self.about, "", "| " + " | ".join(self.head) + " |",
                 "|" + "---|" * len(self.head)]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows]) + "\n"

    def text(self):
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) for i in range(len(self.head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in [self.head, *self.rows]]
        return f"== {self.title}\n" + "\n".join(lines) + "\n"


def plain(port):
    return paddock(port, *GUARD_OFF)


PLAIN = {"baseline": baseline, "paddock": plain}
REALTIME = {"paddock --realtime": lambda port: paddock(port, *GUARD_OFF, "--realtime")}


def responders():
    """Name and command of each responder to compare: by port."""
    found = dict(PLAIN)
    if lab.quilkin(0):
        found["quilkin"] = lab.quilkin
    else:
        print("bench: quilkin is not on PATH: it is not compared", file=sys.stderr)
    return found


def cpu_rounds(options, flags):
    """CPU nanoseconds per answered ping of each responder, in interleaved rounds on loopback."""
    costs = {}
    for _ in range(options.rounds):
        for name, make in responders().items():
            port = lab.free_port()
            with server(make(port)) as pid:
                report = load(f"[::1]:{port}", *flags, "-d", f"{options.seconds}s", "-p", str(pid))
            costs.setdefault(name, []).append(report["processes"][0]["cpu_ns_per_answered"])
    return costs


def cost(options):
    section = Section("CPU time per ping", "One worker on one CPU, the generator on the other, over loopback; kernel time included, and of that what "
                      "delivers the pongs, too. Ratios are of the same round. Guard off.",
                      ("traffic", "responder", "ns of CPU per ping", "of the baseline", "target"))
    for name, flags, target in (("64 clients, one ping each", SINGLES, "<= 0.95"), ("bursts of 32 from 8 clients", BURSTS, "<= 0.40")):
        costs = cpu_rounds(options, flags)
        for responder, values in costs.items():
            ratio = Summary(own / base for own, base in zip(values, costs["baseline"]))
            section.add(name, responder, Summary(values).text("{:.0f}"), ratio.text(), target if responder == "paddock" else "")
    return section


def scaling(options):
    section = Section("Two workers", "Pings are queued first, and then answered by workers that have the machine for themselves (tests/engine/answer_queued.c): "
                      "on two CPUs a generator would take one of them. Pings a second of two workers to that of one, of the same round.",
                      ("workers", "pings a second", "of one worker", "target"))
    rates = {1: [], 2: []}
    for _ in range(options.rounds):
        for workers, found in rates.items():
            done = lab.measure("scaling", workers, 100000 * workers, 256, 1, 6)
            found.append(done["answered"] / done["elapsed_ns"] * 1e9)
    for workers, found in rates.items():
        ratio = Summary(own / one for own, one in zip(found, rates[1]))
        section.add(workers, Summary(found).text("{:.0f}"), ratio.text(), ">= 1.8" if workers == 2 else "")
    return section


def flood(wire, make, rate, options):
    """What becomes of frames that another CPU sends at this rate, from 64 clients in turn: sent and read a second, and the round trips."""
    with server(make(7600), space=wire.server):
        before = lab.datagrams_read(wire.server)
        report = load(f"{wire.server_address}:7600", "--via", "xdp", "--interface", wire.interface, "--target-mac", wire.mac(wire.server), "-r", str(rate),
                      "-f", "64", "-t", "100ms", "-d", f"{options.seconds}s", YES, space=wire.client)
        return report["sent_per_s"], (lab.datagrams_read(wire.server) - before) * report["sent_per_s"] / report["sent"], report["round_trip_ns"]


def overload(options):
    section = Section("Overload", "Pings a second over veth to one CPU that also runs the receive path (threaded NAPI), as frames, as a network card would bring "
                      "them (`paddock load --via xdp`); 64 clients in turn. What a responder reads it answers, so shares are of what the kernel says was read: "
                      "not all answers reach a generator whose CPU is full. Ratios are of the same round.",
                      ("offered", "responder", "answered", "of the baseline", "target"))
    compared = responders() | REALTIME
    with lab.Wire() as wire:
        for rate in (100000, 200000, 1000000):
            shares = {}
            for _ in range(options.rounds):
                for name, make in compared.items():
                    sent, read, _ = flood(wire, make, rate, options)
                    shares.setdefault(name, []).append(read / sent)
            for name, values in shares.items():
                ratio = Summary(own / base for own, base in zip(values, shares["baseline"]))
                section.add(f"{rate} /s", name, Summary(values).text("{:.3f}"), ratio.text(),
                            ">= 0.85 and >= 2.00" if name.startswith("paddock") and rate == 100000 else "")
    return section


def curve(options):
    """Also what the plot is made of."""
    section = Section("Offered and answered load", "The same wire and clients, up to thirty times what can be answered; the receive buffer at its default of 20 ms. Beyond "
                      "its rate a responder shares the CPU with the kernel's receive path, and delay is bounded by the buffer; `--realtime` goes before that path, and what is "
                      "too much is lost where it costs least. ![load](performance/load.svg)",
                      ("offered /s", "responder", "answered /s", "p50 ms", "p99 ms"))
    points = {}
    with lab.Wire() as wire:
        for rate in (25000, 50000, 100000, 200000, 400000, 800000, 1600000, 3000000):
            for name, make in (PLAIN | REALTIME).items():
                runs = [flood(wire, make, rate, options) for _ in range(3)]
                offered, read = (Summary(values).median for values in list(zip(*runs))[:2])
                p50, p99 = (Summary(trip[at] / 1e6 for _, _, trip in runs).median for at in ("p50", "p99"))
                points.setdefault(name, []).append((offered, read, p50, p99))
                section.add(f"{offered:.0f}", name, f"{read:.0f}", f"{p50:.3f}", f"{p99:.3f}")
    section.points = points
    return section


def stamps(options):
    section = Section("Transmit stamps", "How far the transmit stamp in a pong is from the moment at which the kernel handed the datagram to the device "
                      "(its own transmit stamp, bench/departure.c). In a burst several pongs leave with one call and one stamp: what segmentation costs "
                      "in accuracy is the difference between the last two rows.",
                      ("load", "p50 us", "p99 us"))
    kinds = {"idle: 1,000 pings a second": ("-f", "64", "-r", "1000"), "saturated, 64 clients": SINGLES,
             "saturated, bursts of 32": BURSTS}
    for name, flags in kinds.items():
        p50, p99 = [], []
        for _ in range(options.rounds):
            port = lab.free_port()
            done = with_departure(port, flags, options)
            p50.append(done["error_ns"]["p50"] / 1e3)
            p99.append(done["error_ns"]["p99"] / 1e3)
        section.add(name, Summary(p50).text(), Summary(p99).text())
    return section


def with_departure(port, flags, options):
    """Runs the load against the program that checks its own stamps."""
    command = lab.on_cpu(lab.SERVER_CPU, [lab.PROGRAMS / "paddock_departure", port, options.seconds + 1])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.3)
        load(f"[::1]:{port}", *flags, "-d", f"{options.seconds}s")
        return json.loads(process.communicate(timeout=60)[0])


@contextlib.contextmanager
def saturated(port, options):
    """A load beside what is measured, for as long as that lasts."""
    command = lab.on_cpu(lab.CLIENT_CPU, [lab.PADDOCK, "load", "--format", "json", *SINGLES, "-d", "30s", f"[::1]:{port}"])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def distances(options):
    section = Section("Distances under full load", "Incoming and outgoing between a client and a responder on one machine that a generator saturates: "
                      "the truth is about a microsecond, what is above is error. The kernel's stamps in libqcmp and paddock, against user-space stamps in "
                      "client and baseline.",
                      ("stamps", "incoming p50 us", "outgoing p50 us", "worse of the two", "target"))
    worst = {"kernel": [], "user": []}
    found = {kind: ([], []) for kind in worst}
    for _ in range(options.rounds):
        for kind, make in (("kernel", plain), ("user", baseline)):
            port = lab.free_port()
            with server(make(port)), saturated(port, options):
                done = lab.measure("distance", port, kind, 1000, 1000, cpu=lab.CLIENT_CPU)
            values = [done[way]["p50"] / 1e3 for way in ("incoming_ns", "outgoing_ns")]
            for kept, value in zip(found[kind], values):
                kept.append(value)
            worst[kind].append(max(values))
    for kind, values in worst.items():
        section.add(kind, *(Summary(kept).text() for kept in found[kind]), Summary(values).text(), "<= 10" if kind == "kernel" else "")
    ratio = Summary(user / kernel for user, kernel in zip(worst["user"], worst["kernel"]))
    section.add("user / kernel", "", "", ratio.text("{:.0f}"), ">= 50")
    return section


def idle(options):
    section = Section("Without traffic", "Of a responder alone, ten seconds: wake-ups of all threads, CPU time, and memory (proportional set size).",
                      ("responder", "wake-ups a second", "CPU us a second", "memory MiB"))
    commands = {"baseline": baseline, "paddock, 1 worker": paddock,
                f"paddock, {os.cpu_count()} workers": lambda port: [*paddock(port)[:-1], str(os.cpu_count())]}
    if lab.quilkin(0):
        commands["quilkin"] = lab.quilkin
    for name, make in commands.items():
        with server(make(lab.free_port())) as pid:
            time.sleep(1)
            slept, cpu = lab.switches(pid), lab.cpu_ns(pid)
            time.sleep(10)
            section.add(name, f"{(lab.switches(pid) - slept) / 10:.1f}", f"{(lab.cpu_ns(pid) - cpu) / 1e4:.0f}",
                        f"{lab.resident_kib(pid) / 1024:.1f}")
    return section


def low_latency(options):
    section = Section("Low latency", "Median round trip of single pings after pauses of 10 ms, over veth, and what the waiting costs. Ratios of the same round.",
                      ("responder", "p50 us", "of the default", "CPU ms a second"))
    trips, busy = {}, {}
    with lab.Wire() as wire:
        for _ in range(options.rounds):
            for name, flags in (("default", ()), ("--low-latency", ("--low-latency",))):
                with server([part for part in paddock(7600, *GUARD_OFF, *flags) if part != "-q"], space=wire.server) as pid:
                    before = lab.cpu_ns(pid)
                    report = load(f"{wire.server_address}:7600", "-r", "100", "-d", "2s", YES, space=wire.client)
                    busy.setdefault(name, []).append((lab.cpu_ns(pid) - before) / 2e6)
                trips.setdefault(name, []).append(report["round_trip_ns"]["p50"] / 1e3)
    for name, values in trips.items():
        ratio = Summary(own / plain for own, plain in zip(values, trips["default"]))
        section.add(name, Summary(values).text("{:.1f}"), ratio.text(), Summary(busy[name]).text())
    return section


def xdp(options):
    section = Section("XDP", "Over veth, natively, from `paddock load --via xdp` (live frames), guard off but in the last row. The targets are of NAPI and program; "
                      "they stand beside both ways of measuring that. NAPI and responder alone: the receive path of the responder's end is a kernel thread on a CPU of its own, to "
                      "which the other one sends a million frames a second (50,000 to the baseline, whose process is counted with it, wake-ups and all); given is the CPU time for a frame that came in. "
                      "XDP_DROP frees its frame there, an answer is freed at the other end. All of the path: generator, responder and both receive paths share one CPU and fill it, so "
                      "that a ping's share of a second is what all of that costs. XDP_DROP spares the generator the answer, which is why even the least that can answer misses the target there.",
                      ("what", "measured", "target"))
    xdp_report.measure(options, section)
    return section


SECTIONS = {"cost": cost, "scaling": scaling, "overload": overload, "curve": curve, "stamps": stamps, "distances": distances,
            "idle": idle, "low_latency": low_latency, "xdp": xdp}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, {datetime.date.today()}"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of each comparison")
    parser.add_argument("--seconds", type=int, default=1, help="of load in each round")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between them")
    parser.add_argument("--parts", type=pathlib.Path, help="what the benchmarks of parts printed, to be written as well")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return options


def merged(made, parts, document):
    """The sections of the document, those of this run in place of the ones with the same title."""
    pieces = {}
    if document.exists():
        for piece in document.read_text(encoding="utf-8").split("\n## ")[1:]:
            pieces[piece.partition("\n")[0]] = "## " + piece.rstrip() + "\n"
    for section in made:
        pieces[section.title] = section.markdown()
    if parts:
        pieces["Parts"] = "## Parts\n\n```\n" + parts.read_text(encoding="utf-8").rstrip() + "\n```\n"
    last = pieces.pop("Parts", None)
    return "\n".join([*pieces.values(), *([last] if last else [])])


def write(made, skipped, options):
    plots.write(made, TREE / "docs/performance")
    document = TREE / "docs/performance.md"
    head = (TREE / "bench/performance.head.md").read_text(encoding="utf-8")
    about = f"Measured on {machine()}: medians of {options.rounds} rounds of {options.seconds} s, with the least and the greatest.\n"
    left = "".join(f"\nNot measured: {line}\n" for line in skipped)
    document.write_text(head + "\n" + about + left + "\n" + merged(made, options.parts, document), encoding="utf-8")


def main():
    options = arguments()
    made, skipped = [], []
    for name in options.only.split(","):
        try:
            section = SECTIONS[name](options)
        except Failed as why:
            skipped.append(f"{name}: {why}")
            print(f"bench: {name} is skipped: {why}", file=sys.stderr)
            continue
        made.append(section)
        print(section.text(), flush=True)
    if options.write:
        write(made, skipped, options)


if __name__ == "__main__":
    main()
