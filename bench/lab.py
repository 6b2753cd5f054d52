# SPDX-License-Identifier: Apache-2.0
"""What the measurements of bench/report.py stand on: processes on chosen CPUs, network namespaces, medians."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import time

PROGRAMS = pathlib.Path(os.environ.get("PADDOCK_PROGRAMS", pathlib.Path(__file__).parent.parent / "build/release/bin"))
PADDOCK = PROGRAMS / "paddock"
BASELINE = PROGRAMS / "paddock_baseline"
SERVER_CPU, CLIENT_CPU = 0, 1
START_SECONDS = 10


class Failed(Exception):
    """A measurement cannot be made here, and why."""


def on_cpu(cpu, command):
    return [str(part) for part in ("taskset", "-c", cpu, *command)]


def inside(space, command):
    """The command in a network namespace; None is the one of this process."""
    return [str(part) for part in ((() if space is None else ("ip", "netns", "exec", space)) + tuple(command))]


def run(command, fine=(0,), **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, **options)
    if done.returncode not in fine:
        raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def free_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.bind(("::", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def server(command, space=None, cpu=SERVER_CPU):
    """A process on a CPU, stopped at the end; yields its pid once it has had time to bind. In a session of its own: Linux gives each an equal
    share (sched_autogroup), and one that it shared with the generator would leave it half of a share."""
    variables = dict(os.environ, QUILKIN_ADMIN_ENABLED="false")
    process = subprocess.Popen(inside(space, on_cpu(cpu, command)), env=variables, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        time.sleep(0.4)
        if process.poll() is not None:
            raise Failed(f"{command[0]}: {process.stderr.read().strip()}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        process.kill()
        process.wait()
        process.stderr.close()


def baseline(port):
    return [BASELINE, port]


def paddock(port, *flags):
    return [PADDOCK, "-q", "--service.qcmp", "--service.qcmp.port", port, "--service.udp.workers", "1", *flags]


def quilkin(port):
    """The reference's responder, where it is installed, or None."""
    program = shutil.which("quilkin")
    return program and [program, "--service.qcmp", "--service.qcmp.port", port, "--admin.enabled", "false"]


def load(target, *flags, space=None, cpu=CLIENT_CPU, silent=False):
    """The report of `paddock load`; Failed if there was no answer, unless the target is silent."""
    command = inside(space, on_cpu(cpu, [PADDOCK, "load", "--format", "json", *flags, target]))
    report = json.loads(run(command, fine=(0, 1)))
    if not report["answered"] and not silent:
        raise Failed(f"{target} answered nothing")
    return report


def measure(name, *arguments, cpu=None):
    """The JSON object that a program of bench/ prints."""
    command = [PROGRAMS / f"paddock_{name}", *arguments]
    return json.loads(run(on_cpu(cpu, command) if cpu is not None else command))


class Summary:
    """Values of several rounds."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.min, self.max = min(self.values), max(self.values)

    def text(self, form="{:.2f}"):
        return f"{form.format(self.median)} ({form.format(self.min)} to {form.format(self.max)})"


def write(path, text):
    pathlib.Path(path).write_text(str(text), encoding="ascii")


class Wire:
    """Two namespaces and a veth between them. Its receive paths are kernel threads, each on one CPU; or else each packet is received on the CPU
    that sent it."""

    def __init__(self, threaded=True):
        self.threaded = threaded
        self.server, self.client = f"pdk-s{os.getpid()}", f"pdk-c{os.getpid()}"
        self.threads = {}  # by namespace: the kernel threads that receive there
        self.server_address, self.client_address = "10.77.0.1", "10.77.0.2"
        self.interface = "veth0"

    def __enter__(self):
        if os.geteuid() != 0:
            raise Failed("network namespaces need root")
        try:
            for space in (self.server, self.client):
                run(["ip", "netns", "add", space])
                run(inside(space, ["ip", "link", "set", "lo", "up"]))
            run(["ip", "link", "add", "veth0", "netns", self.server, "type", "veth", "peer", "name", "veth0", "netns", self.client])
            for space, address, cpu in ((self.server, self.server_address, SERVER_CPU),
                                        (self.client, self.client_address, CLIENT_CPU)):
                self._configure(space, address, cpu)
            self._introduce(self.server, self.client, self.client_address)
            self._introduce(self.client, self.server, self.server_address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _configure(self, space, address, cpu):
        run(inside(space, ["ip", "address", "add", f"{address}/24", "dev", "veth0"]))
        run(inside(space, ["ethtool", "-K", "veth0", "gro", "on", "tso", "off"]))
        run(inside(space, ["ip", "link", "set", "veth0", "up"]))
        if not self.threaded:
            return
        before = napi_threads()
        run(inside(space, ["sh", "-c", "echo 1 > /sys/class/net/veth0/threaded"]))
        self.threads[space] = napi_threads() - before
        for pid in self.threads[space]:
            os.sched_setaffinity(pid, {cpu})

    def _introduce(self, space, other, address):
        """So that nobody has to ask for the other's hardware address in the middle of a flood."""
        run(inside(space, ["ip", "neighbour", "replace", address, "lladdr", self.mac(other), "dev", self.interface, "nud", "permanent"]))

    def mac(self, space):
        """The hardware address of the end in a namespace."""
        return run(inside(space, ["cat", f"/sys/class/net/{self.interface}/address"])).strip()

    def receiving_ns(self, space):
        """The CPU time of what receives in a namespace; the wire is a threaded one."""
        return sum(cpu_ns(pid) for pid in self.threads[space])

    def __exit__(self, *_):
        for space in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL, check=False)


def napi_threads():
    """The kernel threads that poll network devices."""
    found = set()
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text(encoding="ascii").startswith("napi/"):
                found.add(int(comm.parent.name))
    return found


def cpu_ns(pid):
    """The CPU time of all threads of a process."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def switches(pid):
    """How often the threads of a process went to sleep."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def datagrams_read(space):
    """How many UDP datagrams over IPv4 programs in a network namespace have read."""
    rows = [line.split() for line in run(inside(space, ["cat", "/proc/net/snmp"])).splitlines() if line.startswith("Udp:")]
    return int(dict(zip(*rows))["InDatagrams"])


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise Failed("no Pss in smaps_rollup")
