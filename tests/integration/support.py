# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: real processes, packets made and read without the C code, network namespaces.

The program under test is in $PADDOCK. $PADDOCK_SCALE below 1 makes the bulky tests smaller, for builds that are slow.
"""
import collections
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import platform
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PADDOCK = os.environ["PADDOCK"]
SANITIZE = os.environ.get("PADDOCK_SANITIZE", "")
PERMITTED_SKIPS = pathlib.Path(__file__).resolve().parent.parent / "permitted_skips.txt"
SCALE = float(os.environ.get("PADDOCK_SCALE", "1"))

# Bounds on waiting for what must happen; never on how fast it is.
START_SECONDS = 30
ANSWER_SECONDS = 20
STOP_SECONDS = 30

# For who must have an answer: a process may be kept from a CPU for longer than the second that a ping waits by itself.
PATIENT = ("-t", f"{ANSWER_SECONDS}s")

SO_RCVBUFFORCE = 33

INT64_MIN, INT64_MAX = -2**63, 2**63 - 1
MAGIC = b"QLKN"
PING_BYTES, PONG_BYTES = 17, 33
PING_HEADER, PONG_HEADER = MAGIC + b"\x00\x00\x00\x09", MAGIC + b"\x00\x01\x00\x19"

Pong = collections.namedtuple("Pong", "nonce client start transmit")


def scaled(count):
    return max(1, int(count * SCALE))


def packed_ping(nonce, client):
    return PING_HEADER + struct.pack(">Bq", nonce, client)


def packed_pong(nonce, client, start, transmit):
    return PONG_HEADER + struct.pack(">Bqqq", nonce, client, start, transmit)


def parsed_ping(data):
    """The nonce and the client timestamp of a ping."""
    if len(data) != PING_BYTES or not data.startswith(PING_HEADER):
        raise AssertionError(f"not a ping: {data.hex()}")
    return struct.unpack(">Bq", data[8:])


def parsed_pong(data):
    if len(data) != PONG_BYTES or not data.startswith(PONG_HEADER):
        raise AssertionError(f"not a pong: {data.hex()}")
    return Pong(*struct.unpack(">Bqqq", data[8:]))


def kind(datagram):
    """The model: how a responder counts a datagram that it decodes."""
    if len(datagram) == PING_BYTES and datagram.startswith(PING_HEADER):
        return "valid"
    if len(datagram) == PONG_BYTES and datagram.startswith(PONG_HEADER):
        return "unsupported"
    return "invalid"


def answer_to(data, hold=0):
    """The pong of an honest responder whose clock is ours."""
    nonce, client = parsed_ping(data)
    now = time.time_ns()
    return packed_pong(nonce, client, now - hold, now)


def environment(**more):
    """This process's environment without what configures the program, without an admin server, whose default port only
    one could have, and with exit codes for sanitizers that the program does not use."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("QUILKIN_") and key not in ("QUIET", "RUST_LOG")}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
        kept[name] = ":".join(filter(None, [kept.get(name), "exitcode=99"]))
    return kept | {"QUILKIN_ADMIN_ENABLED": "false"} | more


def check_sanitizers(stderr):
    if "Sanitizer" in stderr or "runtime error:" in stderr:
        raise AssertionError(f"a sanitizer complains:\n{stderr}")


def wait_until(condition, what, seconds=START_SECONDS):
    """Waits for what nothing announces; returns the condition's value once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def run(*arguments, seconds=120, program=PADDOCK, env=None, **options):
    """Runs the program to its end; the output is text."""
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([program, *arguments], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          timeout=seconds, env=env or environment(), check=False, **options)
    check_sanitizers(done.stderr)
    return done


def ping_json(*arguments, **options):
    """Runs `paddock ping --format json`, which is patient unless told otherwise; returns the exit status and the document."""
    done = run("ping", "--format", "json", *PATIENT, *arguments, **options)
    if not done.stdout:
        raise AssertionError(f"no results, exit status {done.returncode}: {done.stderr}")
    return done.returncode, json.loads(done.stdout)


def events(text):
    """The events of a log in JSON."""
    return [json.loads(line) for line in text.splitlines()]


def udp_ports(pid):
    """The local ports of a process's UDP sockets."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
    ports = set()
    for name in ("udp", "udp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/net/{name}", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
            ports.update(int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes)
    return ports - {0}


class Process:
    """A service, from `with` to its end. Whatever happens, it is gone afterwards."""

    def __init__(self, *arguments, program=PADDOCK, prefix=(), env=None, stdout=subprocess.PIPE, **options):
        self.log = b""
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*prefix, program, *arguments], stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=self.errors, bufsize=0, env=env or environment(), **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, failure=None, *_):
        try:
            if failure is not None:
                self.show()
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()

    def show(self):
        """Puts beside the report of a test that failed what it wrote, and where its threads are if it still runs."""
        if self.process.stdout and not self.process.stdout.closed:
            self.read_log()
        print(f"its log: {self.log.decode(errors='replace')}\nits stderr: {self.stderr()}", file=sys.stderr)
        for thread in sorted(pathlib.Path(f"/proc/{self.pid}/task").glob("*")):
            with contextlib.suppress(OSError):  # ended, or not ours to look at
                print("thread", *((thread / name).read_text().strip() for name in ("comm", "wchan", "syscall")),
                      file=sys.stderr)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def await_line(self, wanted, seconds=START_SECONDS):
        """Reads the log until it has a line with these words; returns the line."""
        deadline = time.monotonic() + seconds
        while True:
            lines = self.log.decode(errors="replace").splitlines(keepends=True)
            for line in lines:
                if wanted in line and line.endswith("\n"):
                    return line
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise AssertionError(f"no line with '{wanted}'; log: {self.log!r}; stderr: {self.stderr()}")
            self.log += piece

    def read_log(self):
        """Takes what there is of the log, so that a pipe that nobody reads does not fill up."""
        while select.select([self.process.stdout], [], [], 0)[0] and \
                (piece := os.read(self.process.stdout.fileno(), 65536)):
            self.log += piece

    def await_port(self):
        """The port of its UDP socket, where the log cannot tell."""
        def ports():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.stderr()}")
            return udp_ports(self.pid)
        return wait_until(ports, "the process has a UDP socket").pop()

    def end(self, number=signal.SIGTERM):
        """Stops it with a signal; returns the exit status."""
        self.process.send_signal(number)
        if self.process.stdout:
            self.log += self.process.communicate(timeout=STOP_SECONDS)[0]
        status = self.process.wait(STOP_SECONDS)
        check_sanitizers(self.stderr())
        return status


class Responder(Process):
    """`paddock --service.qcmp` on a free port."""

    def __init__(self, *flags, **options):
        super().__init__("--service.qcmp", "--service.qcmp.port", "0", *flags, **options)
        try:
            self.ready = json.loads(self.await_line("qcmp ready"))["fields"]
        except BaseException:
            self.__exit__()
            raise
        self.port = self.ready["port"]

    def stop(self, number=signal.SIGTERM):
        """Stops it; returns the counts of its last event."""
        status = self.end(number)
        if status != 0:
            raise AssertionError(f"exit status {status}: {self.stderr()}")
        last = events(self.log.decode())[-1]["fields"]
        if last.pop("message") != "qcmp stopped":
            raise AssertionError(f"the last event is not 'qcmp stopped': {self.log.decode()}")
        return last


def counts(sent, dropped=0):
    """The counts that a responder must end with: `sent` counts datagrams by kind."""
    return {"received": sum(sent.values()) + dropped, "answered": sent["valid"], "valid": sent["valid"],
            "invalid": sent["invalid"], "unsupported": sent["unsupported"], "dropped": dropped, "send_errors": 0,
            "receive_errors": 0, "kernel_drops": 0}


class Asker:
    """A socket that sends to one responder, and tells which answers came. Counts what it sends into `sent`.

    Datagrams of one socket reach one worker, in order. So a ping of its own (a marker) tells, when it is answered, that
    all before it were handled: what is unanswered then never will be.
    """

    def __init__(self, port, sent, address="127.0.0.1", scope=0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.to = (address, port, 0, scope) if family == socket.AF_INET6 else (address, port)
        self.sent = sent
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(ANSWER_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, datagram):
        self.sent[kind(datagram)] += 1
        self.socket.sendto(datagram, self.to)

    def receive(self):
        data, source = self.socket.recvfrom(65536)
        if source[:2] != self.to[:2]:
            raise AssertionError(f"answered from {source}, asked was {self.to}")
        return parsed_pong(data)

    def answers(self):
        """What came in answer to all that was sent since the last call."""
        marker = random.getrandbits(63)
        self.send(packed_ping(255, marker))
        found = []
        while (pong := self.receive()).client != marker:
            found.append(pong)
        return found


def make_room(receiver):
    """Gives a socket a buffer for some thousand datagrams, so that none is lost while nobody reads."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)


class Server:
    """A UDP server of the test's own: calls behave(server, data, client) in a thread for each datagram."""

    def __init__(self, behave=None, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        make_room(self.socket)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.target = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.arrivals = []  # (monotonic seconds, data)
        self._behave = behave or (lambda *_: None)
        self._changed = threading.Condition()
        self._stopping = False
        self._failure = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping = True
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"stop", self.socket.getsockname())
        self._thread.join()
        self.socket.close()
        if self._failure:
            raise self._failure

    def _serve(self):
        while True:
            data, client = self.socket.recvfrom(65536)
            if self._stopping:
                return
            with self._changed:
                self.arrivals.append((time.monotonic(), data))
                self._changed.notify_all()
            try:
                self._behave(self, data, client)
            except Exception as failure:  # pylint: disable=broad-except
                self._failure = self._failure or failure

    def send(self, data, client):
        self.socket.sendto(data, client)

    def await_arrivals(self, count):
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.arrivals) >= count, ANSWER_SECONDS):
                raise AssertionError(f"{len(self.arrivals)} datagrams instead of {count}")


def honest(server, data, client):
    server.send(answer_to(data), client)


def alone(server, data, client):
    """As honest(), for a client that must not have two pings in flight."""
    server.socket.setblocking(False)
    try:
        second = server.socket.recv(65536)
        raise AssertionError(f"{second.hex()} came before the answer to {data.hex()}")
    except BlockingIOError:
        pass
    finally:
        server.socket.setblocking(True)
    honest(server, data, client)


def closed_port():
    """A port that nobody has, and that the kernel gives to nobody who asks for any: tests run side by side."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.SystemRandom().randrange(1024, first) if first > 2048 else 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker, contextlib.suppress(OSError):
            taker.bind(("0.0.0.0", port))
            return taker.getsockname()[1]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taker:
            taker.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = unittest.skipUnless(has_ipv6(), "this host has no IPv6 loopback address")
needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def checked(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: of a thread as well


def threads(pid):
    """The name and the number of each thread that has not ended."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text(encoding="ascii").strip()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        yield name, int(task.name)


@contextlib.contextmanager
def held_thread(pid, name):
    """Holds one thread of a process, as a debugger does, until what it gives is called or the process ends."""
    thread = next(thread for found, thread in threads(pid) if found == name)
    LIBC.ptrace.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
    LIBC.ptrace.restype = ctypes.c_long
    if LIBC.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
        raise unittest.SkipTest("a thread cannot be held: ptrace is not permitted")
    checked(LIBC.ptrace(PTRACE_INTERRUPT, thread, None, None))
    os.waitpid(thread, WALL)
    released = []

    def release():
        checked(LIBC.ptrace(PTRACE_DETACH, thread, None, None))
        released.append(thread)
    try:
        yield release
    except BaseException:  # whoever kills the process then would wait for us to wait for the thread
        if not released and LIBC.ptrace(PTRACE_DETACH, thread, None, None) != 0:
            os.waitpid(thread, WALL)  # it is ending
        raise
    if not released:
        os.waitpid(thread, WALL)


class Namespace:
    """A network namespace without a name: the kernel removes it with its last process and descriptor, so that nothing
    can be left behind. Inside `with`, this thread and the processes that it starts are in it."""

    def __init__(self):
        home = self._current()
        try:
            checked(LIBC.unshare(CLONE_NEWNET))
            self.fd = self._current()
            self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
            ip("link set lo up")
        finally:
            checked(LIBC.setns(home, CLONE_NEWNET))
            os.close(home)
        self._homes = []

    @staticmethod
    def _current():
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        self._homes.append(self._current())
        checked(LIBC.setns(self.fd, CLONE_NEWNET))
        return self

    def __exit__(self, *_):
        home = self._homes.pop()
        checked(LIBC.setns(home, CLONE_NEWNET))
        os.close(home)

    def close(self):
        os.close(self.fd)


def ip(words):
    """Runs ip(8) in the namespace of this thread."""
    done = subprocess.run(["ip", *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"ip {words}: {done.stderr}")
    return done.stdout


def sysctl(name, value):
    """Sets a variable of the namespace of this thread."""
    with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


def refusing(call, argument, values, error):
    """For preexec_fn: from then on a system call whose argument of this index is one of the values fails. By a seccomp
    filter, which the process's own ones come on top of."""
    calls = {"x86_64": (0xC000003E, {"socket": 41, "setsockopt": 54}),
             "aarch64": (0xC00000B7, {"socket": 198, "setsockopt": 208})}
    if platform.machine() not in calls:
        raise unittest.SkipTest(f"no seccomp filter for {platform.machine()}")
    architecture, numbers = calls[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, refuse = 0x7FFF0000, 0x00050000 | error  # SECCOMP_RET_ERRNO
    tests = [(equal, len(values) - 1 - i, 0 if i < len(values) - 1 else 1, value) for i, value in enumerate(values)]
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in (
        (load, 0, 0, 4), (equal, 0, len(values) + 4, architecture), (load, 0, 0, 0),
        (equal, 0, len(values) + 2, numbers[call]), (load, 0, 0, 16 + 8 * argument), *tests,
        (give, 0, 0, refuse), (give, 0, 0, allow)))
    instructions = ctypes.create_string_buffer(program, len(program))
    filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions)))

    def install():
        checked(LIBC.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
        checked(LIBC.prctl(22, 2, filter_program, 0, 0))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        assert instructions

    return install


def permitted_skips():
    """The tests that may be skipped: the first word of each line that is no comment. See scripts/test."""
    lines = PERMITTED_SKIPS.read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def without_ipv6():
    """For preexec_fn: from then on socket(AF_INET6) fails as on a kernel without IPv6."""
    return refusing("socket", 0, (socket.AF_INET6,), errno.EAFNOSUPPORT)


def main():
    """Runs the tests of the calling file. The exit status is that of CTest's convention: 77 is a skip. With
    $PADDOCK_STRICT_SKIPS a skip that is not permitted is a failure."""
    if SCALE != 1:
        print(f"counts are scaled by {SCALE:g} ({SANITIZE or 'PADDOCK_SCALE'})", flush=True)
    result = unittest.main(exit=False, verbosity=2).result
    permitted = permitted_skips()
    surprises = []
    for test, reason in result.skipped:
        name = test.id().replace("__main__", pathlib.Path(sys.argv[0]).stem).split()[0]
        print(f"SKIPPED: {name}: {reason}", file=sys.stderr)
        if name not in permitted:
            surprises.append(name)
    if surprises and os.environ.get("PADDOCK_STRICT_SKIPS"):
        print(f"FAILED: skipped, and not in {PERMITTED_SKIPS}: {', '.join(surprises)}", file=sys.stderr)
        sys.exit(1)
    ran = result.testsRun - len({id(test) for test, _ in result.skipped if type(test).__name__ != "_ErrorHolder"})
    if not result.wasSuccessful():
        sys.exit(1)
    if ran <= 0:
        sys.exit(77 if result.skipped else 1)
