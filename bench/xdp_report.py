"""The XDP engine's part of the report, over veth: generator, responder and all that veth does for both of them share one CPU, which they fill.
So the time of a ping is what all of it costs, and what is said of the responder is too much rather than too little."""
import contextlib
import json
import pathlib

import lab
from lab import Failed, Summary, load

YES = "--yes-i-own-this-target"
FLOOD, DROP_RATE = "3000000", "6000000"
XDP = ("--engine", "xdp", "--service.udp.xdp.network-interface", "veth0")
DROP_OBJECT = lab.PROGRAMS.parent / "bpf/drop.bpf.o"


@contextlib.contextmanager
def dropping(wire):
    """XDP_DROP in place of the responder."""
    device = lab.inside(wire.server, ["ip", "link", "set", "dev", wire.interface])
    lab.run([*device, "xdpdrv", "obj", DROP_OBJECT, "sec", "xdp"])
    try:
        yield
    finally:
        lab.run([*device, "xdpdrv", "off"])


def generate(wire, options, *flags, silent=False):
    """The report of a generator on the CPU that does all the work."""
    return load(f"{wire.server_address}:7600", "--via", "xdp", "--interface", wire.interface, "-d", f"{options.seconds}s", YES, *flags,
                space=wire.client, cpu=lab.SERVER_CPU, silent=silent)


def program_ns():
    """What one run of the program takes, by the kernel's own statistics since they were switched on."""
    programs = json.loads(lab.run(["bpftool", "--json", "prog", "show"]))
    mine = [one for one in programs if one.get("name") == "paddock_qcmp" and one.get("run_cnt")]
    if len(mine) != 1:
        raise Failed(f"not one program 'paddock_qcmp' but {len(mine)}")
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
    """CPU of the plain responder for a ping, on the same wire, without what its packets cost the CPU of the generator."""
    with lab.server(lab.baseline(7600), space=wire.server) as pid:
        report = load(f"{wire.server_address}:7600", "-f", "64", "-n", "64", "-d", f"{options.seconds}s", "-p", str(pid), YES, space=wire.client)
    return report["processes"][0]["cpu_ns_per_answered"]


def drop_ns(wire, options):
    mac = lab.run(lab.inside(wire.server, ["cat", f"/sys/class/net/{wire.interface}/address"])).strip()
    with dropping(wire):
        return 1e9 / generate(wire, options, "-r", DROP_RATE, "-t", "10ms", "--target-mac", mac, silent=True)["sent_per_s"]


def one_round(wire, options, found):
    found["baseline"].append(baseline_ns(wire, options))
    found["drop"].append(drop_ns(wire, options))
    with lab.server(lab.paddock(7600, "--service.qcmp.guard", "false", *XDP), space=wire.server, cpu=lab.CLIENT_CPU):
        found["xdp"].append(1e9 / generate(wire, options, "-n", "1024")["answered_per_s"])
        found["flood"].append(generate(wire, options, "-r", FLOOD)["answered_per_s"])
        with statistics():
            generate(wire, options, "-n", "1024")
            found["program"].append(program_ns())
    with lab.server(lab.paddock(7600, *XDP), space=wire.server, cpu=lab.CLIENT_CPU), statistics():
        generate(wire, options, "-r", "500000")
        found["guarded"].append(program_ns())


NAMES = ("baseline", "drop", "xdp", "flood", "program", "guarded")


def fill(table, found):
    """The rows of the table; ratios are of the same round."""
    ratio = Summary(own / base for own, base in zip(found["xdp"], found["baseline"]))
    drop = Summary(own / least for own, least in zip(found["xdp"], found["drop"]))
    table.add("baseline by sockets, its own CPU time a ping", Summary(found["baseline"]).text("{:.0f}") + " ns", "")
    table.add("XDP, a ping with all of its path", Summary(found["xdp"]).text("{:.0f}") + " ns", "")
    table.add("of the baseline", ratio.text("{:.3f}"), "<= 0.10")
    table.add("XDP_DROP, a frame with all of its path", Summary(found["drop"]).text("{:.0f}") + " ns", "")
    table.add("XDP to XDP_DROP", drop.text(), "<= 1.4")
    table.add("answered on one CPU, 1,024 in flight", Summary(1e9 / ns for ns in found["xdp"]).text("{:.0f}") + " /s", ">= 1,200,000")
    table.add("frames to XDP_DROP on one CPU", Summary(1e9 / ns for ns in found["drop"]).text("{:.0f}") + " /s", "")
    table.add("answered while 3,000,000 a second are asked for", Summary(found["flood"]).text("{:.0f}") + " /s", "its full rate")
    table.add("the program by bpf_stats, guard off", Summary(found["program"]).text("{:.0f}") + " ns", "<= 200")
    table.add("the program by bpf_stats, guard on (one flooding source)", Summary(found["guarded"]).text("{:.0f}") + " ns", "reported")


def measure(options, table):
    """Fills the table; Failed where XDP cannot be had."""
    if not DROP_OBJECT.exists():
        raise Failed("this build has no XDP")
    found = {name: [] for name in NAMES}
    with lab.Wire(threaded=False) as wire:
        for _ in range(options.rounds):
            one_round(wire, options, found)
    fill(table, found)
