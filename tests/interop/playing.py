# SPDX-License-Identifier: Apache-2.0
"""Rows of the table, played with both programs at once: each has servers of its own, and gets the same datagrams."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import selectors
import shutil
import socket
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parent.parent / "integration"))
# pylint: disable=wrong-import-position
from rows import FIRST_PORT, SERVERS
from serving import samples
from support import PADDOCK, Process, environment, make_room, udp_ports, wait_until

QUILKIN = shutil.which("quilkin")
PLAYERS = 8
# How long nothing happens when all has happened; how long a program may take to say what it makes of a file.
QUIET_SECONDS, START_SECONDS = 0.15, 30
# What the reference logs again and again of a file that it does not take.
REFUSAL = "provider task error"
# The addresses of both hosts: players', the proxies'.
HOSTS = {4: ("10.99.0.1", "10.99.0.2"), 6: ("fd00:99::1", "fd00:99::2")}

# What a row looks like from outside. servers: what each server got; players: what each player got back, by its number;
# drops: how many datagrams, by event and reason; refused: whether the program did not take the file; ended: whether it ended
# by itself, having taken it.
Seen = collections.namedtuple("Seen", "servers players drops refused ended")


def bound(address, port):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    make_room(one)
    one.setblocking(False)
    one.bind((address, port))
    return one


class Program:
    """One of the two. Its ports are its own; its servers are at its home."""

    def __init__(self, name, program, flags, home, port):
        self.name, self.program, self.flags, self.home, self.port = name, program, flags, home, port
        self.servers = [bound(home, 7000 + i) for i in range(SERVERS)]

    def start(self, path):
        """Its log goes to a file, as it stops where nobody reads it."""
        with open(path + ".log", "wb") as log:
            return Process(*self.flags, path, "--service.udp", "--service.udp.port", str(self.port), "--service.udp.workers", "1", "--admin.address",
                           f"127.0.0.1:{self.port + 1}", program=self.program, stdout=log, env=environment() | {"QUILKIN_ADMIN_ENABLED": "true"})

    def get(self, path):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port + 1, timeout=5)) as peer:
            peer.request("GET", path)
            answer = peer.getresponse()
            return answer.status, answer.read().decode()

    def is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/ready")[0] == 200
        return False

    def drops(self):
        found = collections.Counter()
        for series, value in samples(self.get("/metrics")[1]).items():
            if series.startswith("quilkin_packets_dropped_total{") and value:
                labels = dict(part.split("=", 1) for part in series[series.index("{") + 1:-1].replace('"', "").split(","))
                found[f"{labels['event']} {labels['source']}"] += int(value)
        return dict(found)


PROGRAMS = {"paddock": ("paddock", PADDOCK, ["-c"], "127.0.0.2", 26000),
            "quilkin": ("quilkin", QUILKIN, ["--provider.fs", "--provider.fs.path"], "127.0.0.3", 27000)}


class Stage:
    """Players in one namespace; both proxies and all servers in another."""

    def __init__(self, client, server, programs):
        self.namespace = server
        with client:
            self.players = {family: [bound(players, FIRST_PORT + i) for i in range(PLAYERS)] for family, (players, _) in HOSTS.items()}
        with server:
            self.programs = [Program(*PROGRAMS[name]) for name in programs]

    def close(self):
        for one in [*sum(self.players.values(), []), *(one for program in self.programs for one in program.servers)]:
            one.close()

    def drain(self):
        """Forgets what is still on its way from the row before."""
        for one in [*sum(self.players.values(), []), *(one for program in self.programs for one in program.servers)]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.recv(65536)

    @contextlib.contextmanager
    def running(self, row):
        """Both programs with the row's file; yields those that have taken it."""
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            os.chmod(folder, 0o755)
            started = {}
            for program in self.programs:
                path = folder / f"{program.name}.yaml"
                text = json.dumps(row.document)
                for i in range(SERVERS):
                    text = text.replace(f'"SERVER{i}"', f'"{program.home}:{7000 + i}"')
                path.write_text(text, encoding="utf-8")
                started[program] = stack.enter_context(program.start(str(path))).process

            def has_refused(program):
                return started[program].poll() is not None or REFUSAL in (folder / f"{program.name}.yaml.log").read_text(encoding="utf-8")

            for program in self.programs:
                wait_until(lambda program=program: program.is_ready() or has_refused(program), f"{program.name} says what it makes of {row.name}",
                           START_SECONDS)
            running = {program: process for program, process in started.items() if not has_refused(program)}
            for program, process in running.items():  # the reference is ready before it listens
                wait_until(lambda program=program, process=process: program.port in udp_ports(process.pid), f"{program.name} listens", START_SECONDS)
            yield running

    def play(self, row):
        """What was seen of both programs: by their names."""
        with self.namespace, self.running(row) as running:
            self.drain()
            seen = {program.name: Seen([[] for _ in range(SERVERS)], collections.defaultdict(list), {}, program not in running, [])
                    for program in self.programs}
            with contextlib.closing(selectors.DefaultSelector()) as selector:
                for program in running:
                    for i, server in enumerate(program.servers):
                        selector.register(server, selectors.EVENT_READ, ("server", program, i))
                for i, player in enumerate(self.players[row.family]):
                    selector.register(player, selectors.EVENT_READ, ("player", None, i))
                for number, data in row.sent:
                    for program in running:
                        self.players[row.family][number].sendto(data, (HOSTS[row.family][1], program.port))
                    self.serve(selector, row, seen, 0.01)
                while self.serve(selector, row, seen, QUIET_SECONDS):
                    pass
            for program, process in running.items():
                if process.poll() is None:
                    seen[program.name].drops.update(program.drops())
                else:
                    seen[program.name].ended.append(process.returncode)
        return {name: compared(row, one) for name, one in seen.items()}

    def serve(self, selector, row, seen, seconds):
        """Takes what arrives until nothing does for so long; servers answer. Returns whether anything came."""
        is_any = False
        while ready := selector.select(seconds):
            is_any = True
            for key, _ in ready:
                kind, program, i = key.data
                with contextlib.suppress(BlockingIOError):
                    data, source = key.fileobj.recvfrom(65536)
                    if kind == "server":
                        seen[program.name].servers[i].append(data)
                        for answer in row.answers(data):
                            key.fileobj.sendto(answer, source)
                    else:
                        name = next(program.name for program in self.programs if program.port == source[1])
                        seen[name].players[i].append(data)
        return is_any


def compared(row, seen):
    """What has to be the same. Copies for several servers may come back in any order."""
    players = {number: sorted(data) for number, data in seen.players.items()}
    if row.only_counts:
        return seen._replace(servers=sorted(len(own) for own in seen.servers), players={number: len(data) for number, data in players.items()})
    return seen._replace(servers=[sorted(own) for own in seen.servers], players=players)


def differences(ours, theirs):
    """The names of what differs."""
    return [name for name in Seen._fields if getattr(ours, name) != getattr(theirs, name)]


def shown(value):
    """For people: of long datagrams the length."""
    if isinstance(value, bytes):
        return repr(value) if len(value) <= 40 else f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value)
