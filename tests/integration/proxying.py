# SPDX-License-Identifier: Apache-2.0
"""A UDP proxy between players and game servers, both of which are the test's."""
import base64
import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import select
import selectors
import signal
import socket
import tempfile
import threading
import time
import unittest

import support
from serving import RELOADED, samples
from support import Process, environment, make_room, wait_until

FILTER = "quilkin.filters.{}.v1alpha1.{}".format
CAPTURE, ROUTER = FILTER("capture", "Capture"), FILTER("token_router", "TokenRouter")
BALANCER, DROP, PASS = FILTER("load_balancer", "LoadBalancer"), FILTER("drop", "Drop"), FILTER("pass", "Pass")


class Loopback:
    """The ground: where players and game servers are. They are on the proxy's own host, and tests say addresses as they are there.
    On another ground, as in test_proxy_carried.py, others stand in their place."""
    flags = ()
    network = "127.0.0.0/8"  # all players' addresses are in it

    @staticmethod
    def among_players():
        """Inside, this thread makes sockets of players and game servers."""
        return contextlib.nullcontext()

    @staticmethod
    def own(address):
        """In place of the address of a player or a game server."""
        return address

    @staticmethod
    def proxy(address):
        """In place of an address of the proxy's, as players see it."""
        return address

    @staticmethod
    def lost():
        """Datagrams that were lost between hosts before the proxy's could receive them, so far."""
        return 0

    def pause(self):
        """What a player does between an answer and what it sends next."""

    def leave(self, proxy):
        """A proxy is about to end."""


GROUND = Loopback()


def own_address(address="127.0.0.1"):
    return GROUND.own(address)


def proxy_address(address="127.0.0.1"):
    return GROUND.proxy(address)


def udp_socket(address="127.0.0.1", port=None):
    """A socket of a player or a game server, of the address's family; with a port it is bound to what stands for the address."""
    with GROUND.among_players():
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(support.ANSWER_SECONDS)
    if port is not None:
        made.bind((own_address(address), port))
    return made


def target_of(name):
    """A socket's name as configurations and logs have it."""
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def losses():
    """Returns what tells how many datagrams to the proxy have been lost between hosts since then."""
    before = GROUND.lost()
    return lambda: GROUND.lost() - before


def many_descriptors():
    """Lets this process have as many descriptors as it may; returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def own_hosts(text):
    """For preexec_fn: a process's own /etc/hosts, in a mount namespace."""
    clone_newns, bind, recursive, private = 0x20000, 0x1000, 0x4000, 1 << 18
    with tempfile.NamedTemporaryFile("w", prefix="paddock-hosts-") as file:
        os.chmod(file.name, 0o644)
        file.write(text)
        file.flush()

        def mount():
            support.checked(support.LIBC.unshare(clone_newns))
            support.checked(support.LIBC.mount(None, b"/", None, recursive | private, None))
            support.checked(support.LIBC.mount(file.name.encode(), b"/etc/hosts", None, bind, None))
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        child = os.fork()
        if child == 0:
            try:
                mount()
            except OSError:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise unittest.SkipTest("no mount namespaces here")
        yield mount


def by_token(part="suffix", size=3, remove=True):
    return [{"name": CAPTURE, "config": {part: {"size": size, "remove": remove}}}, {"name": ROUTER}]


def cluster(*servers, tokens=None):
    """A cluster of servers, or of what is written like one's target. Tokens are bytes, in one list for each."""
    endpoints = []
    for i, server in enumerate(servers):
        endpoint = {"address": getattr(server, "target", server)}
        if tokens:
            endpoint["metadata"] = {"quilkin.dev": {"tokens": [base64.b64encode(t).decode() for t in tokens[i]]}}
        endpoints.append(endpoint)
    return {"endpoints": endpoints}


class Administered(Process):
    """A process whose admin server is asked, at `admin_port`."""

    def http(self, path, host="127.0.0.1"):
        with contextlib.closing(socket.create_connection((host, self.admin_port), support.ANSWER_SECONDS)) as peer:
            peer.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            with peer.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
        if not head:
            raise ConnectionResetError("it ended before it answered")
        return int(head.split()[1]), body.decode()

    def metrics(self):
        return samples(self.http("/metrics")[1])


class Configured(Administered):
    """A service with its own configuration file, which is JSON and so YAML, and with its admin server on a free port."""

    def __init__(self, document, *flags, ready, env=None, admin="127.0.0.1:0", **options):
        self.folder = tempfile.TemporaryDirectory(prefix="paddock-test-")
        os.chmod(self.folder.name, 0o755)
        self.path = pathlib.Path(self.folder.name, "quilkin.yaml")
        self.loads = 0
        self.document = {"version": "v1alpha1", **document}
        self.write()
        variables = (env or environment()) | {"QUILKIN_ADMIN_ENABLED": "true"}
        super().__init__(*flags, "-c", str(self.path), "--admin.address", admin, env=variables, **options)
        try:
            self.port = json.loads(self.await_line(ready))["fields"]["port"]
            self.admin_port = json.loads(self.await_line("admin ready"))["fields"]["port"]
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.folder.cleanup()

    def write(self):
        other = self.path.with_suffix(".new")
        other.write_text(json.dumps(self.document), encoding="utf-8")
        os.replace(other, self.path)

    def events(self, message):
        whole = self.log[:self.log.rfind(b"\n") + 1].decode()
        return [event for event in support.events(whole) if event["fields"]["message"] == message]

    def await_event(self, message, count=1):
        def found():
            self.read_log()
            return len(self.events(message)) >= count
        wait_until(found, f"event '{message}' ({count})")
        return self.events(message)[count - 1]

    def reload(self, **document):
        """Writes the file anew, and waits until it is in force."""
        self.document |= document
        self.write()
        self.loads += 1
        self.await_event(RELOADED, self.loads)


class Proxy(Configured):
    """`paddock --service.udp` on a free port."""

    def __init__(self, clusters=(), filters=None, udp=None, *flags, workers=2, loopback=True, **options):
        document = {"clusters": list(clusters),
                    "paddock": {"workers": workers, "udp": {"port": 0, "loopback": loopback, **(udp or {})}}}
        if filters is not None:
            document["filters"] = filters
        super().__init__(document, "--service.udp", *GROUND.flags, *flags, ready="udp ready", **options)

    def __exit__(self, *failure):
        if self.process.poll() is None:
            GROUND.leave(self)
        super().__exit__(*failure)

    def reload(self, udp=None, **document):
        self.document["paddock"]["udp"] |= udp or {}
        super().reload(**document)

    def await_metric(self, series, value):
        return wait_until(lambda: self.metrics()[series] == value, f"{series} is {value}: {self.metrics()[series]}")

    def stop(self):
        GROUND.leave(self)
        status = self.end()
        if status != 0:
            raise AssertionError(f"exit status {status}: {self.stderr()}")
        return support.events(self.log.decode())[-1]["fields"]


def value(metrics, name, **labels):
    """The sum of the series of a family with these labels."""
    total = 0
    for series, number in metrics.items():
        found, _, rest = series.partition("{")
        if found == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
            total += number
    return total


def dropped(metrics, event, source=None):
    labels = {"event": event} | ({"source": source} if source else {})
    return value(metrics, "quilkin_packets_dropped_total", **labels)


def check_sums(proxy):
    """received + copies = forwarded + dropped by reason, each way, once what was received is sent: a player may have an
    answer a moment before it is counted."""
    def holds():
        with contextlib.suppress(AssertionError):
            check_sums_of(proxy.metrics())
            return True
    with contextlib.suppress(AssertionError):
        wait_until(holds, "sums", 2)
    check_sums_of(proxy.metrics())


def check_sums_of(metrics):
    for event in ("read", "write"):
        copies = value(metrics, "paddock_udp_copies_total") if event == "read" else 0
        received = value(metrics, "paddock_udp_received_total", event=event)
        forwarded = value(metrics, "quilkin_packets_total", event=event)
        if received + copies != forwarded + dropped(metrics, event):
            raise AssertionError(f"{event}: {received} + {copies} != {forwarded} + {dropped(metrics, event)}")
    began, live = value(metrics, "quilkin_session_total"), value(metrics, "quilkin_session_active")
    if began != live + value(metrics, "paddock_udp_sessions_ended_total"):
        raise AssertionError(f"sessions: {began} began, {live} are, {value(metrics, 'paddock_udp_sessions_ended_total')} ended")


def is_all_counted(proxy, read, write, lost):
    """Whether each of so many datagrams that were sent to the proxy was received, or dropped by its host's kernel, or lost before."""
    metrics = proxy.metrics()
    missing = [sent - value(metrics, "paddock_udp_received_total", event=event) - value(metrics, "paddock_udp_kernel_drops_total", event=event)
               for event, sent in (("read", read), ("write", write))]
    return min(missing) >= 0 and sum(missing) == lost()


class Servers:
    """Game servers in one thread. Each answers what it gets with `answer(index, data)`, a list of answers."""

    def __init__(self, count, answer=lambda index, data: [data], address="127.0.0.1", port=0):
        self.sockets = [udp_socket(address, port) for _ in range(count)]
        self.seen = [[] for _ in range(count)]  # (data, source) of each
        self.answered = 0  # datagrams that the kernel took
        self.later = collections.deque()  # (monotonic seconds, socket, data, to)
        self.delay = 0
        self._answer = answer
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        for index, server in enumerate(self.sockets):
            make_room(server)
            server.setblocking(False)
            self._selector.register(server, selectors.EVENT_READ, index)
        self.targets = [target_of(server.getsockname()) for server in self.sockets]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping = True
        self._thread.join()
        for server in self.sockets:
            server.close()
        self._selector.close()

    def _serve(self):
        while not self._stopping:
            for key, _ in self._selector.select(0.01):
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    while True:
                        data, source = key.fileobj.recvfrom(65536)
                        self.seen[key.data].append((data, source))
                        for answer in self._answer(key.data, data):
                            if self.delay:
                                self.later.append((time.monotonic() + self.delay, key.fileobj, answer, source))
                            else:
                                key.fileobj.sendto(answer, source)
                                self.answered += 1
            while self.later and self.later[0][0] <= time.monotonic():
                _, server, answer, source = self.later.popleft()
                with contextlib.suppress(ConnectionRefusedError):
                    server.sendto(answer, source)

    def close(self, index):
        """From now on nobody listens there."""
        self._selector.unregister(self.sockets[index])
        self.sockets[index].close()

    def count(self):
        return sum(map(len, self.seen))

    def sources(self, index=0):
        """By the datagram's first eight bytes: the ports that it came from."""
        found = collections.defaultdict(set)
        for data, source in list(self.seen[index]):
            found[data[:8]].add(source[1])
        return found


class Player:
    """A socket that is connected to the proxy, so that an answer from elsewhere does not arrive."""

    def __init__(self, port, address="127.0.0.1", source=None, number=0):
        self.socket = udp_socket(address) if source is None else udp_socket(source, number)
        self.socket.connect((proxy_address(address), port))

    @property
    def name(self):
        return target_of(self.socket.getsockname())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, data):
        GROUND.pause()
        self.socket.send(data)
        return self.socket.recv(65536)

    def rest(self, seconds=0.0):
        """What arrives within this time."""
        found = []
        while select.select([self.socket], [], [], seconds)[0]:
            with contextlib.suppress(ConnectionRefusedError):
                found.append(self.socket.recv(65536))
        return found


def identity(number):
    return b"%08d" % number


class Crowd:
    """Many players of one port; each sends its identity first, and counts what it gets that has another one."""

    def __init__(self, port, first, count):
        self.players = [Player(port) for _ in range(count)]
        self.first, self.strays, self.answers = first, 0, 0
        self._selector = selectors.DefaultSelector()
        for i, player in enumerate(self.players):
            player.socket.setblocking(False)
            self._selector.register(player.socket, selectors.EVENT_READ, identity(first + i))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._selector.close()
        for player in self.players:
            player.socket.close()

    def send(self, rest=b"", pause=0):
        for i, player in enumerate(self.players):
            with contextlib.suppress(ConnectionRefusedError):
                player.socket.send(identity(self.first + i) + rest)
            if pause:
                time.sleep(pause)

    def receive(self, count, seconds=support.ANSWER_SECONDS):
        """Takes answers until there are so many in all, or until the time is over."""
        deadline = time.monotonic() + seconds
        while self.answers < count and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.05):
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    while True:
                        self.answers += 1
                        if not key.fileobj.recv(65536).startswith(key.data):
                            self.strays += 1
                        # A failed receive is none.
                self.answers -= 1
        return self.answers


def processor_seconds(pid):
    fields = re.sub(r"^.*\) ", "", pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")).split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stopped(process):
    """Stops a process until the block ends: what comes meanwhile waits in the kernel, or is dropped there."""
    @contextlib.contextmanager
    def hold():
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)
    return hold()
