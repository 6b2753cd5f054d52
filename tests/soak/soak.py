# SPDX-License-Identifier: Apache-2.0
"""soak.py MINUTES: one service under changing load, reloads, a bad network and coming and going clients, and what is left of it all.

Fails unless, at the end, memory, descriptors and threads of the service are where they were after the first minute, and its
counts are those of everybody who sent to it, to the packet: sent = received + dropped by the kernel.
"""
import concurrent.futures
import http.client
import json
import pathlib
import random
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import support
from relaying import Relay
from serving import Operated, free_ports, public_folder

ROUND_SECONDS = 6
SETTLE_SECONDS = 3
# Longer than the admin server keeps a connection on which nothing comes.
IDLE_SECONDS = 15
# What the allocator keeps: the arenas of the threads find their greatest size after some hundred reloads and scrapes, and not within a minute.
MEMORY_TOLERANCE_KIB = 1024
LOG_BYTES = 65536
FILE = "qcmp_port: {port}\nid: soak-{round}\npaddock:\n  qcmp:\n    max_age: {age}\n    guard: {{leak: {leak}}}\n    access: {{deny: [192.0.2.0/{bits}]}}\n"


class Sent:
    """What was sent to the service, by everybody."""

    def __init__(self):
        self.datagrams, self.answered = 0, 0

    def add(self, datagrams, answered=0):
        self.datagrams += datagrams
        self.answered += answered


def run_json(*arguments):
    done = support.run(*arguments, seconds=120)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as why:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr}") from why


def load(random_, target):
    """A generator of some kind."""
    flags = random_.choice([("-n", "64", "-f", "16"), ("-n", "256", "-f", "8", "-b", "32"), ("-r", "2000", "--arrivals", "poisson"),
                            ("-r", "40000", "-f", "32"), ("-r", "90000", "-f", "64"), ("-n", "1", "-f", "1")])
    report = run_json("load", "--format", "json", "-d", f"{ROUND_SECONDS}s", *flags, target)
    return report["sent"], report["answered"]


def ping_over_a_bad_network(random_, target):
    """A client behind a relay: what the relay sent on is what the service got from here."""
    flags = ["--delay", f"{random_.randint(0, 20)}ms", "--jitter", f"{random_.randint(0, 10)}ms", "--loss", f"{random_.random() / 5:.3f}",
             "--duplicate", f"{random_.random() / 5:.3f}", "--reorder", f"{random_.random() / 5:.3f}",
             "--distribution", random_.choice(["uniform", "normal", "pareto"])]
    with Relay(target, *flags) as relay:
        count = random_.randint(50, 400)
        support.run("ping", "-a", str(count), "-i", f"{ROUND_SECONDS / count:.4f}s", "-t", "500ms", f"127.0.0.1:{relay.port}", seconds=60)
        up = relay.stop()["up"]
    return up["forwarded"], 0


def clients_that_come_and_go(random_, target):
    """A socket for each ping, some of which leave before the answer."""
    port = int(target.rpartition(":")[2])
    sent = 0
    for _ in range(random_.randint(100, 1500)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(support.packed_ping(random_.randrange(256), time.time_ns()), ("127.0.0.1", port))
            sent += 1
            if random_.random() < 0.5:
                client.settimeout(1)
                try:
                    client.recv(64)
                except TimeoutError:
                    pass
    return sent, 0


def garbage(random_, target):
    port = int(target.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        count = random_.randint(1000, 5000)
        for _ in range(count):
            client.sendto(random_.randbytes(random_.randrange(1, 200)), ("127.0.0.1", port))
    return count, 0


def scrapes(random_, service):
    """Operators, and those who never finish. Sends nothing to the service itself."""
    waiting = []
    for _ in range(random_.randint(20, 200)):
        kind = random_.randrange(3)
        if kind == 0:
            service.http(random_.choice(["/metrics", "/config", "/ready", "/live", "/none"]))
        elif kind == 1:
            waiting.append(socket.create_connection(("127.0.0.1", service.admin_port)))
        else:
            connection = http.client.HTTPConnection("127.0.0.1", service.admin_port, timeout=10)
            connection.request("GET", "/metrics")
            connection.close()
    for one in waiting:
        one.close()
    return 0, 0


def reloads(random_, service, path, port, number):
    """Good files and bad ones, while the others send; the port stays."""
    for _ in range(random_.randint(1, 5)):
        bad = random_.random() < 0.3
        text = FILE.format(port=port, round=f"{number}-{random_.randrange(10**6)}", age=random_.choice(["0", "10s"]),
                           leak=random_.randint(1, 100), bits=random_.randint(24, 32))
        path.write_text("paddock: [" if bad else text, encoding="utf-8")
        time.sleep(random_.random())
    path.write_text(FILE.format(port=port, round=number, age="0", leak=64, bits=24), encoding="utf-8")
    return 0, 0


def state(pid):
    """Memory in KiB, descriptors, threads."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {"memory KiB": int(fields["VmRSS"].split()[0]), "descriptors": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())),
            "threads": int(fields["Threads"])}


def backlog_drops():
    """Datagrams that the kernel dropped before any socket, on all CPUs."""
    rows = pathlib.Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()
    return sum(int(row.split()[1], 16) for row in rows)


def check_counts(service, sent, drops_before):
    """Waits for what is still queued, as long as the counts come nearer."""
    def differences():
        metrics = service.metrics()
        received, kernel = metrics["paddock_qcmp_received_total"], metrics["paddock_qcmp_kernel_drops_total"]
        backlog = backlog_drops() - drops_before
        text = f"sent {sent.datagrams}, received {received:.0f}, dropped by the kernel at the socket {kernel:.0f}, before it {backlog}"
        return sent.datagrams - received - kernel - backlog, text
    missing, text = differences()
    deadline = time.monotonic() + SETTLE_SECONDS
    while missing and time.monotonic() < deadline:
        time.sleep(0.1)
        missing, text = differences()
    print(text, flush=True)
    if missing:
        raise AssertionError(f"the counts do not add up: {missing:.0f} are missing")


def move(service, path, number, sent, drops_before):
    """To another port, once all that was sent to this one has arrived: on a busy host the kernel may be late with it."""
    check_counts(service, sent, drops_before)
    moved, port = service.config()["qcmp_port"], free_ports(1)[0]
    path.write_text(FILE.format(port=port, round=number, age="0", leak=64, bits=24), encoding="utf-8")
    support.wait_until(lambda: service.config()["qcmp_port"] == port, f"the move from {moved} to {port}")
    return port


def read_log(service):
    """Takes what the log has, so that it never fills its pipe, and keeps its last lines."""
    service.read_log()
    if len(service.log) > LOG_BYTES:
        service.log = service.log[-LOG_BYTES:].partition(b"\n")[2]


def one_round(random_, service, path, port, number, sent):
    target = f"127.0.0.1:{port}"
    senders = random_.sample([load, load, ping_over_a_bad_network, clients_that_come_and_go, garbage], random_.randint(1, 3))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(sender, random.Random(random_.random()), target) for sender in senders]
        jobs.append(pool.submit(scrapes, random.Random(random_.random()), service))
        if random_.random() < 0.5:
            jobs.append(pool.submit(reloads, random.Random(random_.random()), service, path, port, number))
        for job in jobs:
            sent.add(*job.result())


def check_state(pid, first):
    """Waits for connections of the admin server that are about to end."""
    deadline = time.monotonic() + IDLE_SECONDS
    last = state(pid)
    while (last["descriptors"], last["threads"]) != (first["descriptors"], first["threads"]) and time.monotonic() < deadline:
        time.sleep(0.2)
        last = state(pid)
    print(f"after the first minute {first}\nat the end             {last}", flush=True)
    if (last["descriptors"], last["threads"]) != (first["descriptors"], first["threads"]):
        raise AssertionError("descriptors or threads are not where they were")
    if last["memory KiB"] > first["memory KiB"] + MEMORY_TOLERANCE_KIB:
        raise AssertionError("memory has grown")


def soak(minutes, seed):
    random_, sent, first, number = random.Random(seed), Sent(), None, 0
    drops_before = backlog_drops()
    with public_folder() as folder:
        path = folder / "soak.yaml"
        port = free_ports(1)[0]
        path.write_text(FILE.format(port=port, round=0, age="0", leak=64, bits=24), encoding="utf-8")
        path.chmod(0o644)
        with Operated("-c", str(path), "--service.udp.workers", "2") as service:
            start = time.monotonic()
            while time.monotonic() - start < 60 * minutes:
                number += 1
                one_round(random_, service, path, port, number, sent)
                port = move(service, path, number, sent, drops_before) if random_.random() < 0.3 else port
                read_log(service)
                if number % 20 == 0:
                    print(f"{(time.monotonic() - start) / 60:.1f} min: {state(service.pid)}", flush=True)
                if first is None and time.monotonic() - start >= min(60, 20 * minutes):
                    time.sleep(IDLE_SECONDS)
                    first = state(service.pid)
            time.sleep(SETTLE_SECONDS)
            check_counts(service, sent, drops_before)
            check_state(service.pid, first)
            last = service.stop()
    print(f"{number} rounds, seed {seed}; {last}")


if __name__ == "__main__":
    soak(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32))
