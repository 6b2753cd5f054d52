# SPDX-License-Identifier: Apache-2.0
"""A service as its operator sees it: its admin server, its configuration file, its events."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import socket
import stat
import tempfile
import time

import support
from support import Process, environment

PORT_CHANGED = "qcmp port changed"
RELOADED = "configuration reloaded"
NOT_RELOADED = "configuration not reloaded: the running one stays"


@contextlib.contextmanager
def public_folder():
    """A directory that a service can read as whoever it becomes."""
    with tempfile.TemporaryDirectory(prefix="paddock-test-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@contextlib.contextmanager
def program_for_everybody():
    """A copy of the program that any user may run, wherever the build tree is."""
    with public_folder() as folder:
        copy = shutil.copy(support.PADDOCK, folder)
        os.chmod(copy, stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
        yield copy


def free_ports(count):
    """Ports as closed_port() has them; no two alike."""
    ports = set()
    while len(ports) < count:
        ports.add(support.closed_port())
    return list(ports)


def samples(text):
    """The samples of Prometheus' text format, by their series."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, value = re.fullmatch(r"(\w+(?:\{[^}]*\})?) (\S+)", line).groups()
        if series in found:
            raise AssertionError(f"twice: {series}")
        found[series] = float(value)
    return found


class Operated(Process):
    """`paddock --service.qcmp` with its admin server on a free port."""

    def __init__(self, *flags, env=None, **options):
        variables = (env or environment()) | {"QUILKIN_ADMIN_ENABLED": "true"}
        super().__init__("--service.qcmp", "--admin.address", "127.0.0.1:0", *flags, env=variables, **options)
        try:
            self.port = self.await_event("qcmp ready")["fields"]["port"]
            self.admin_port = self.await_event("admin ready")["fields"]["port"]
        except BaseException:
            self.__exit__()
            raise

    def events(self, message=None, level=None):
        """The events read so far, of this message or level."""
        whole = self.log[:self.log.rfind(b"\n") + 1].decode()
        return [event for event in support.events(whole)
                if message in (None, event["fields"]["message"]) and level in (None, event["level"])]

    def await_event(self, message, nth=1):
        """Reads the log until it has this event for the nth time; returns that event."""
        deadline = time.monotonic() + support.START_SECONDS
        while len(self.events(message)) < nth:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise AssertionError(f"no event '{message}' ({nth}); log: {self.log!r}; stderr: {self.stderr()}")
            self.log += piece
        return self.events(message)[nth - 1]

    def http(self, path, method="GET", headers=()):
        """The status, the headers and the text of an answer of the admin server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=support.ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def config(self):
        return json.loads(self.http("/config")[2])

    def metrics(self):
        return samples(self.http("/metrics")[2])

    def reloads(self, result):
        return self.metrics()[f'paddock_config_reloads_total{{result="{result}"}}']

    def stop(self):
        """Stops it; returns the counts of its last event. Behind it stands at most what the log had held back."""
        status = self.end()
        if status != 0:
            raise AssertionError(f"exit status {status}: {self.stderr()}")
        last = [event["fields"] for event in self.events() if "suppressed" not in event["fields"]][-1]
        if last.pop("message") != "qcmp stopped":
            raise AssertionError(f"the last event is not 'qcmp stopped': {self.log.decode()}")
        return last


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(support.ANSWER_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        """The next message but WATCHDOG=1, as a mapping."""
        while (text := self.socket.recv(65536).decode()) == "WATCHDOG=1":
            pass
        return dict(line.split("=", 1) for line in text.splitlines())

    def await_watchdogs(self, count):
        while count > 0:
            count -= self.socket.recv(65536) == b"WATCHDOG=1"

    def rest(self):
        messages = []
        while select.select([self.socket], [], [], 0)[0]:
            messages.append(self.socket.recv(65536))
        return messages
