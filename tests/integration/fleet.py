# SPDX-License-Identifier: Apache-2.0
"""The roles of a fleet: management server, relay, agent, proxy; of this program, or of the reference."""
import json
import os
import re
import time
import unittest

import support
from proxying import Administered, Player, Servers, by_token, cluster
from serving import public_folder
from support import environment, wait_until

SUFFIX = by_token()


def located(cluster, locality):
    return cluster | {"locality": locality}


class File:
    """What `--provider.fs` reads, replaced whole."""

    def __init__(self, folder, name="fleet.yaml", **document):
        self.path = folder / name
        self.document = {"version": "v1alpha1"}
        self.write(**document)

    def write(self, **document):
        self.document |= document
        other = self.path.with_suffix(".new")
        other.write_text(json.dumps({key: value for key, value in self.document.items() if value is not None}),
                         encoding="utf-8")
        os.chmod(other, 0o644)
        os.replace(other, self.path)

    def flags(self):
        return "--provider.fs", "--provider.fs.path", str(self.path)


class Role(Administered):
    """A process with its admin server on a free port."""
    variables = environment()

    def __init__(self, *flags, wait="admin ready", **options):
        variables = self.variables | {"QUILKIN_ADMIN_ENABLED": "true"}
        super().__init__("--admin.address", "127.0.0.1:0", *flags, env=variables, **options)
        try:
            self.await_line(wait)
            self.admin_port = self.logged("admin ready")["port"]
        except BaseException:
            self.__exit__()
            raise

    def logged(self, message, nth=1):
        """The fields of the nth event with this message."""
        def found():
            self.read_log()
            whole = self.log[:self.log.rfind(b"\n") + 1].decode()
            events = [event["fields"] for event in support.events(whole) if event["fields"]["message"] == message]
            return events[nth - 1:nth]
        return wait_until(found, f"event '{message}' ({nth})")[0]

    def count(self, message):
        self.read_log()
        return self.log.count(f'"message":"{message}"'.encode())

    def config(self):
        return json.loads(self.http("/config")[1])

    def await_ready(self, status=200):
        wait_until(lambda: self.http("/ready")[0] == status, f"/ready is {status}")

    def await_value(self, pattern, value):
        wait_until(lambda: self.value(pattern) == value, f"{pattern} is {value}")

    def value(self, pattern):
        """The sum of all series that match."""
        return sum(number for series, number in self.metrics().items() if re.search(pattern, series))


class Manager(Role):
    """A management server on a free port."""

    def __init__(self, file, *flags, port=0, **options):
        super().__init__("--service.xds", "--service.xds.port", str(port), *file.flags(), *flags, wait="xds ready", **options)
        self.port = self.logged("xds ready")["port"]
        self.url = f"http://127.0.0.1:{self.port}"


class Relay(Role):
    """A relay on two free ports."""

    def __init__(self, *flags, port=0, mds_port=0, **options):
        super().__init__("--service.grpc", "--service.xds.port", str(port), "--service.mds.port", str(mds_port), *flags,
                         wait="mds ready", **options)
        self.port, self.mds_port = self.logged("xds ready")["port"], self.logged("mds ready")["port"]
        self.url, self.mds_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.mds_port}"


class Agent(Role):
    """Pushes a file's servers, and its own data centre."""

    def __init__(self, file, *urls, region="eu", icao="EDDF", flags=(), **options):
        super().__init__("--service.qcmp", "--service.qcmp.port", "0", "--provider.mds.endpoints", ",".join(urls),
                         "--locality.region", region, "--locality.icao", icao, *file.flags(), *flags, wait="qcmp ready",
                         **options)
        self.qcmp_port = self.logged("qcmp ready")["port"]


class Gate(Role):
    """A proxy that learns from a server."""

    def __init__(self, *urls, flags=(), **options):
        super().__init__("--service.udp", "--service.udp.port", "0", "--service.udp.loopback", "--service.udp.workers", "2",
                         "--provider.xds.endpoints", ",".join(urls), *flags, wait="udp ready", **options)
        self.port = self.logged("udp ready")["port"]


class FleetTest(unittest.TestCase):
    """A folder, and three servers that put their number before what they answer."""
    enter = unittest.TestCase.enterContext

    def setUp(self):
        self.folder = self.enter(public_folder())
        self.servers = self.enter(Servers(3, lambda index, data: [b"%d:" % index + data]))

    def at(self, index, token):
        """A cluster of one server with one token."""
        return cluster(self.servers.targets[index], tokens=[[token]])

    def join(self, proxy, *address):
        """A player of a proxy."""
        return self.enter(Player(proxy.port, *address))


def await_answer(player, data, expected, seconds=support.START_SECONDS):
    """Sends until this answer comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        player.socket.send(data)
        if expected in player.rest(0.05):
            player.rest(0.01)
            return
    raise AssertionError(f"no answer {expected} to {data}")


def await_silence(player, data, seconds=support.START_SECONDS):
    """Sends until nothing comes back any more, for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        player.rest(0.05)
        player.socket.send(data)
        if not player.rest(0.3):
            return
    raise AssertionError(f"{data} is answered still")
