# SPDX-License-Identifier: Apache-2.0
"""The XDP engine's part of the report, over veth, in two ways. Generator, responder and all that veth does for both of them share one CPU, which
they fill: the time of a ping is what all of it costs, the generator's part included. Or else the receive path of the responder's end is a kernel thread
with a CPU of its own, whose CPU time is that of NAPI and program alone."""
import contextlib
import json
import pathlib

import lab
from lab import Failed, Summary, load

YES = "--yes-i-own-this-target"
FLOOD, DROP_RATE, SHARED_RATE, BASELINE_RATE = "3000000", "6000000", "1000000", "50000"
XDP = ("--xdp", "on", "--service.udp.xdp.network-interface", "veth0")
OBJECTS = lab.PROGRAMS.parent / "bpf"


@contextlib.contextmanager
def program(wire, name):
    """One of bench/*.bpf.c in place of the responder: `drop` or `echo`."""
    device = lab.inside(wire.server, ["ip", "link", "set", "dev", wire.interface])
    lab.run([*device, "xdpdrv", "obj", OBJECTS / f"{name}.bpf.o", "sec", "xdp"])
    try:
        yield
    finally:
        lab.run([*device, "xdpdrv", "off"])


def generate(wire, options, *flags, cpu=lab.SERVER_CPU, silent=False):
    """The report of a generator, on the CPU that does all the work if it is not told another one."""
    return load(f"{wire.server_address}:7600", "--via", "xdp", "--interface", wire.interface, "-d", f"{options.seconds}s", YES, *flags,
                space=wire.client, cpu=cpu, silent=silent)


def program_ns():
    """What one run of the program takes, by the kernel's own statistics since they were switched on."""
    programs = json.loads(lab.run(["bpftool", "--json", "prog", "show"]))
    mine = [one for one in programs if one.get("name") == "paddock" and one.get("run_cnt")]
    if len(mine) != 1:
        raise Failed(f"not one program 'paddock' but {len(mine)}")
    return mine[0]["run_time_ns"] / mine[0]["run_cnt"]


@contextlib.contextmanager
def statistics():
    switch = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text(encoding="ascii")
    switch.write_text("1", encoding="ascii")
    try:
        yield
    finally:
        switch.write_text(before, encoding="ascii")


def baseline_ns(wire, options):
    """The plain responder's own CPU time for a ping, on the same wire: its sends deliver to the generator's end, too."""
    with lab.server(lab.baseline(7600), space=wire.server) as pid:
        report = load(f"{wire.server_address}:7600", "-f", "64", "-n", "64", "-d", f"{options.seconds}s", "-p", str(pid), YES, space=wire.client)
    return report["processes"][0]["cpu_ns_per_answered"]


def drop_ns(wire, options):
    with program(wire, "drop"):
        return 1e9 / generate(wire, options, "-r", DROP_RATE, "-t", "10ms", "--target-mac", wire.mac(wire.server), silent=True)["sent_per_s"]


def echo_ns(wire, options):
    with program(wire, "echo"):
        return 1e9 / generate(wire, options, "-n", "1024", "--target-mac", wire.mac(wire.server))["answered_per_s"]


def frames_seen(wire):
    """How many frames the program at the responder's end has been given, and how many of them it has sent back."""
    lines = lab.run(lab.inside(wire.server, ["ethtool", "-S", wire.interface])).splitlines()
    counts = {name.strip(): int(value) for name, _, value in (line.partition(":") for line in lines) if value.strip().isdigit()}
    return counts["rx_queue_0_xdp_packets"], counts["rx_queue_0_xdp_tx"] + counts["rx_queue_0_xdp_tx_errors"]


def receiving_ns(wire, options, answers=True):
    """What the responder's end of a threaded wire spends on a frame, while another CPU sends at a fixed rate."""
    before, (seen, sent) = wire.receiving_ns(wire.server), frames_seen(wire)
    generate(wire, options, "-r", SHARED_RATE, "-t", "10ms", "--target-mac", wire.mac(wire.server), cpu=lab.CLIENT_CPU, silent=not answers)
    spent, (frames, replies) = wire.receiving_ns(wire.server) - before, frames_seen(wire)
    if answers and replies - sent < 0.99 * (frames - seen):
        raise Failed(f"of {frames - seen} frames {replies - sent} were answered")
    return spent / (frames - seen)


def baseline_apart_ns(wire, options):
    """The same of the plain responder: its receive path and its process, at a rate that it bears."""
    with lab.server(lab.baseline(7600), space=wire.server) as pid:
        before = wire.receiving_ns(wire.server) + lab.cpu_ns(pid)
        report = generate(wire, options, "-r", BASELINE_RATE, "--target-mac", wire.mac(wire.server), cpu=lab.CLIENT_CPU)
        return (wire.receiving_ns(wire.server) + lab.cpu_ns(pid) - before) / report["answered"]


def apart(wire, options, found):
    found["baseline_apart"].append(baseline_apart_ns(wire, options))
    with program(wire, "drop"):
        found["drop_apart"].append(receiving_ns(wire, options, answers=False))
    with program(wire, "echo"):
        found["echo_apart"].append(receiving_ns(wire, options))
    with lab.server(lab.paddock(7600, "--service.qcmp.guard", "false", *XDP), space=wire.server):
        found["xdp_apart"].append(receiving_ns(wire, options))


def one_round(wire, options, found):
    found["baseline"].append(baseline_ns(wire, options))
    found["drop"].append(drop_ns(wire, options))
    found["echo"].append(echo_ns(wire, options))
    with lab.server(lab.paddock(7600, "--service.qcmp.guard", "false", *XDP), space=wire.server, cpu=lab.CLIENT_CPU):
        found["xdp"].append(1e9 / generate(wire, options, "-n", "1024")["answered_per_s"])
        found["flood"].append(generate(wire, options, "-r", FLOOD)["answered_per_s"])
        with statistics():
            generate(wire, options, "-n", "1024")
            found["program"].append(program_ns())
    with lab.server(lab.paddock(7600, *XDP), space=wire.server, cpu=lab.CLIENT_CPU), statistics():
        generate(wire, options, "-r", "500000")
        found["guarded"].append(program_ns())


NAMES = ("baseline", "drop", "echo", "xdp", "flood", "program", "guarded", "baseline_apart", "drop_apart", "echo_apart", "xdp_apart")


def of(found, name, base, form="{:.2f}"):
    """The ratios of one measurement to another one, of the same round."""
    return Summary(own / least for own, least in zip(found[name], found[base])).text(form)


def nanoseconds(values):
    return Summary(values).text("{:.0f}") + " ns"


def compare(table, found, suffix, baseline, first):
    """The rows of one way to measure, whose figures have this suffix; `first` is what the table calls its XDP_DROP."""
    drop, echo, own = (f"{name}{suffix}" for name in ("drop", "echo", "xdp"))
    table.add(first, nanoseconds(found[drop]), "")
    table.add("the same: the least that can answer (bench/echo.bpf.c)", nanoseconds(found[echo]), "")
    table.add("the same: Paddock", nanoseconds(found[own]), "")
    table.add(f"Paddock to the {baseline}", of(found, own, f"baseline{suffix}", "{:.3f}"), "<= 0.10")
    table.add("Paddock to XDP_DROP", of(found, own, drop), "<= 1.4")
    table.add("the least that can answer to XDP_DROP", of(found, echo, drop), "")
    table.add("Paddock to the least that can answer", of(found, own, echo), "")


def fill(table, found):
    """The rows of the table; ratios are of the same round."""
    table.add("NAPI and responder alone: the baseline, by sockets", nanoseconds(found["baseline_apart"]), "")
    compare(table, found, "_apart", "baseline", "the same: XDP_DROP")
    compare(table, found, "", "baseline's own CPU time", "all of the path, with the generator: XDP_DROP")
    table.add("answered on one CPU, 1,024 in flight", Summary(1e9 / ns for ns in found["xdp"]).text("{:.0f}") + " /s", ">= 1,200,000")
    table.add("frames to XDP_DROP on one CPU", Summary(1e9 / ns for ns in found["drop"]).text("{:.0f}") + " /s", "")
    table.add("answered while 3,000,000 a second are asked for", Summary(found["flood"]).text("{:.0f}") + " /s", "its full rate")
    table.add("the program by bpf_stats, guard off", nanoseconds(found["program"]), "<= 200")
    table.add("the program by bpf_stats, guard on (one flooding source)", nanoseconds(found["guarded"]), "reported")


def measure(options, table):
    """Fills the table; Failed where XDP cannot be had."""
    if not (OBJECTS / "drop.bpf.o").exists():
        raise Failed("this build has no XDP")
    found = {name: [] for name in NAMES}
    with lab.Wire(threaded=False) as wire:
        for _ in range(options.rounds):
            one_round(wire, options, found)
    with lab.Wire() as wire:
        for _ in range(options.rounds):
            apart(wire, options, found)
    fill(table, found)
