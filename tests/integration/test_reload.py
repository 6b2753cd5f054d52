# SPDX-License-Identifier: Apache-2.0
"""A configuration that changes while the service answers."""
import collections
import datetime
import itertools
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import support
from serving import NOT_RELOADED, PORT_CHANGED, RELOADED, Operated, free_ports, public_folder
from support import Asker, wait_until

FIXED = "this setting cannot change at run time: restart to apply it"
FILE_NAME = "quilkin.yaml"
RELOADS = 100
IN_FLIGHT = 32

# Named requirements: how soon a change is in force where the folder of the file tells of it, and where nothing does.
SOON_SECONDS, LATER_SECONDS = 0.3, 2
SETTLE_SECONDS = 0.05
TRIES = 5
PIECES = 12


def event_ns(event):
    """When an event was logged; to the microsecond, rounded down."""
    at = datetime.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
    since = at - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return (since // datetime.timedelta(microseconds=1)) * 1000


def can_unshare_mounts():
    return shutil.which("unshare") and subprocess.run(["unshare", "--mount", "true"], capture_output=True,
                                                      check=False).returncode == 0


class Pinger(threading.Thread):
    """Pings without pause, each with a client timestamp of its own; remembers where each went and who answered."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.sent = {}  # client timestamp: (port, when it had been sent)
        self.answered = collections.Counter()
        self.strange = []
        self._ports = set()
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self.join()
        self._socket.close()

    def _send(self):
        client, port = random.getrandbits(63), self.port
        self._ports.add(port)
        self._socket.sendto(support.packed_ping(client % 256, client), ("127.0.0.1", port))
        self.sent[client] = port, time.time_ns()

    def _take(self, seconds):
        if not select.select([self._socket], [], [], seconds)[0]:
            return False
        data, source = self._socket.recvfrom(65536)
        if source[1] not in self._ports and not data.startswith(support.PONG_HEADER):
            return True  # another test sent it, which had this port before
        client = support.parsed_pong(data).client
        if client in self.sent and self.sent[client][0] == source[1]:
            self.answered[client] += 1
        else:
            self.strange.append((data, source))
        return True

    def run(self):
        lost = 0
        while not self._stopping.is_set():
            self._send()
            while self._take(0):
                pass
            if len(self.sent) - len(self.answered) - lost >= IN_FLIGHT and not self._take(1):
                lost = len(self.sent) - len(self.answered)

    def await_answers(self, count):
        """Waits until so many more have been answered."""
        wanted = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= wanted, "the pings are answered")

    def finish(self):
        """Ends the pinging, and takes the answers that are under way."""
        self._stopping.set()
        self.join()
        while len(self.answered) < len(self.sent) and self._take(1):
            pass


class ReloadTest(unittest.TestCase):
    def setUp(self):
        folder = public_folder()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.path = self.folder / FILE_NAME

    def start(self, text, *flags):
        self.path.write_text(text, encoding="utf-8")
        return Operated("-c", str(self.path), *flags)

    def check_answers(self, port):
        with Asker(port, collections.Counter()) as asker:
            self.assertEqual(asker.answers(), [])


class PingerTest(ReloadTest):
    def test_nothing_that_is_sent_to_a_port_in_force_is_lost(self):
        before, after = free_ports(2)
        with self.start(f"qcmp_port: {before}\n", "--service.udp.workers", "2") as service, Pinger(before) as pinger:
            pinger.await_answers(100)
            self.path.write_text(f"qcmp_port: {after}\n", encoding="utf-8")
            changed = service.await_event(PORT_CHANGED)
            pinger.port = after
            service.await_event(RELOADED)
            self.assertEqual(changed["fields"]["port"], after)
            reloads = support.scaled(RELOADS)
            for number in range(reloads):
                os.kill(service.pid, signal.SIGHUP)
                service.await_event(RELOADED, 2 + number)
                pinger.await_answers(1)
            self.path.write_text("qcmp_port: [\n", encoding="utf-8")
            service.await_event(NOT_RELOADED)
            pinger.await_answers(100)
            pinger.finish()
            self.assertEqual((service.reloads("ok"), service.reloads("error")), (1 + reloads, 1))
            lost = self.check_pings(pinger, before, event_ns(changed))
            counted = service.stop()
        self.assertLessEqual(counted["kernel_drops"], lost)
        expected = support.counts(collections.Counter(valid=len(pinger.answered)))
        self.assertEqual(counted | {"kernel_drops": 0}, expected)

    def check_pings(self, pinger, old_port, changed_ns):
        """All are answered once, but what went to the old port after the log had named the new one. Returns how many
        those are: the kernel drops and counts them until the old port is closed."""
        self.assertEqual(pinger.strange, [])
        self.assertEqual(set(pinger.answered.values()), {1})
        lost = [(port, at) for client, (port, at) in pinger.sent.items() if client not in pinger.answered]
        self.assertEqual([(port, at) for port, at in lost if port != old_port or at < changed_ns], [])
        return len(lost)


class NoticeTest(ReloadTest):
    def await_id(self, service, wanted):
        wait_until(lambda: service.config()["id"] == wanted, f"the id is {wanted}")

    def check_soon(self, service, ways, seconds):
        """Each way to change the file, a function of the id to come, is in force within a time. The best of a few tries
        counts: the machine may have other things to do."""
        for name, change in ways.items():
            took = []
            while len(took) < TRIES and min(took, default=seconds) >= seconds:
                wanted = f"{name}-{len(took)}"
                changed = time.monotonic()
                change(wanted)
                self.await_id(service, wanted)
                took.append(time.monotonic() - changed)
            with self.subTest(name):
                self.assertLess(min(took), seconds, took)

    @staticmethod
    def text(name):
        return f"id: {name}\nqcmp_port: 0\n"

    def replace(self, name, mode=0o644):
        other = self.folder / "other"
        other.write_text(self.text(name), encoding="utf-8")
        other.chmod(mode)
        os.replace(other, self.path)

    def link(self, name):
        """As some editors do it: the file is away for a moment."""
        other = self.folder / "other"
        other.write_text(self.text(name), encoding="utf-8")
        self.path.unlink()
        os.link(other, self.path)
        other.unlink()

    def test_a_change_that_its_folder_tells_of_is_in_force_soon(self):
        with self.start(self.text("first")) as service:
            self.check_soon(service, {
                "in-place": lambda name: self.path.write_text(self.text(name), encoding="utf-8"),
                "renamed": self.replace, "linked": self.link}, SOON_SECONDS)
            self.assertEqual(service.reloads("error"), 0)
            service.stop()

    @support.needs_root
    def test_a_file_that_may_be_read_from_now_on_is_in_force_soon(self):
        nobody = pwd.getpwnam("nobody").pw_uid
        for name, open_it in (("chmod", lambda: self.path.chmod(0o644)), ("chown", lambda: os.chown(self.path, nobody, -1))):
            with self.subTest(name), self.start(self.text("first")) as service:
                took = []
                while len(took) < TRIES and min(took, default=SOON_SECONDS) >= SOON_SECONDS:
                    refused, wanted = service.reloads("error"), f"{name}-{len(took)}"
                    self.replace(wanted, 0o600)
                    wait_until(lambda before=refused: service.reloads("error") > before, "what cannot be read is refused")
                    opened = time.monotonic()
                    open_it()
                    self.await_id(service, wanted)
                    took.append(time.monotonic() - opened)
                self.assertLess(min(took), SOON_SECONDS, took)
                service.stop()

    def test_the_swap_of_a_config_map_is_in_force_soon(self):
        self.config_map(1)
        self.path.symlink_to(f"..data/{FILE_NAME}")
        numbers = itertools.count(2)
        with Operated("-c", str(self.path)) as service:
            took = []
            while len(took) < TRIES and min(took, default=SOON_SECONDS) >= SOON_SECONDS:
                number = next(numbers)
                changed = time.monotonic()
                self.config_map(number)
                self.await_id(service, f"version-{number}")
                took.append(time.monotonic() - changed)
            self.assertLess(min(took), SOON_SECONDS, took)
            service.stop()

    def test_a_folder_above_that_is_swapped_is_in_force_within_two_seconds(self):
        current = self.folder / "current"
        current.symlink_to(self.version("first"))
        with Operated("-c", str(current / FILE_NAME)) as service:
            self.check_soon(service, {"swapped": lambda name: self.swap(current, self.version(name))}, LATER_SECONDS)
            service.stop()

    @support.needs_root
    @unittest.skipUnless(can_unshare_mounts(), "no mount namespace of its own can be had (a chroot)")
    def test_a_single_file_that_is_mounted_and_written_in_place_is_in_force_within_two_seconds(self):
        source, mounted = self.folder / "source.yaml", self.folder / "mounted"
        source.write_text(self.text("first"), encoding="utf-8")
        mounted.mkdir()
        (mounted / FILE_NAME).touch()
        bind = ("unshare", "--mount", "sh", "-c", f'mount --bind {source} {mounted / FILE_NAME} && exec "$@"', "sh")
        with Operated("-c", str(mounted / FILE_NAME), prefix=bind) as service:
            self.assertEqual(service.config()["id"], "first")
            self.check_soon(service, {"written": lambda name: source.write_text(self.text(name), encoding="utf-8")},
                            LATER_SECONDS)
            service.stop()

    def test_a_file_that_is_being_written_is_loaded_when_it_has_settled(self):
        """Which is 50 ms after the last piece. Where this process was kept waiting for half of that between two pieces, the
        service may have taken the first for all, and another try is due."""
        with self.start(self.text("first")) as service:
            for attempt in range(TRIES):
                reloads, longest = service.reloads("ok") + service.reloads("error"), 0
                with self.path.open("w", encoding="utf-8", buffering=1) as file:
                    file.write(self.text(f"written-{attempt}"))
                    for number in range(PIECES):
                        began = time.monotonic()
                        time.sleep(0.01)
                        file.write(f"# {number}\n")
                        longest = max(longest, time.monotonic() - began)
                    file.write("icao_code: EDDF\n")
                self.await_id(service, f"written-{attempt}")
                if longest < SETTLE_SECONDS / 2:
                    break
            wait_until(lambda: service.config()["icao_code"] == "EDDF", "the whole file is in force")
            self.assertEqual(service.reloads("ok") + service.reloads("error") - reloads, 1)
            service.stop()

    def test_a_file_written_in_place_is_noticed(self):
        with self.start("id: first\nqcmp_port: 0\n") as service:
            for name in ("second", "third"):
                self.path.write_text(f"id: {name}\nqcmp_port: 0\n", encoding="utf-8")
                self.await_id(service, name)
            self.assertEqual(service.reloads("error"), 0)
            service.stop()

    def test_a_file_replaced_by_rename_is_noticed(self):
        with self.start("id: first\nqcmp_port: 0\n") as service:
            for count, name in enumerate(("second", "third"), 1):
                other = self.folder / "other"
                other.write_text(f"id: {name}\nqcmp_port: 0\n", encoding="utf-8")
                os.replace(other, self.path)
                self.await_id(service, name)
                wait_until(lambda count=count: service.reloads("ok") == count, "it is reloaded once a change")
            service.stop()

    def test_a_file_that_goes_and_comes_back_is_noticed(self):
        with self.start("id: first\nqcmp_port: 0\n") as service:
            self.path.unlink()
            self.check_answers(service.port)
            self.path.write_text("id: second\nqcmp_port: 0\n", encoding="utf-8")
            self.await_id(service, "second")
            service.stop()

    def config_map(self, number):
        """Puts a version of the file where Kubernetes would, and removes the one before as it would."""
        data, version = self.folder / "..data", self.folder / f"..2026_{number}"
        old = self.folder / os.readlink(data) if data.is_symlink() else None
        version.mkdir(mode=0o755)
        (version / FILE_NAME).write_text(f"id: version-{number}\nqcmp_port: 0\n", encoding="utf-8")
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        os.replace(link, data)
        if old:
            shutil.rmtree(old)

    def test_the_symlink_swap_of_a_config_map_is_noticed(self):
        self.config_map(1)
        self.path.symlink_to(f"..data/{FILE_NAME}")
        with Operated("-c", str(self.path)) as service:
            self.assertEqual(service.config()["id"], "version-1")
            for number in (2, 3, 4):
                self.config_map(number)
                self.await_id(service, f"version-{number}")
            (self.folder / "..2026_4" / FILE_NAME).write_text("id: in-place\nqcmp_port: 0\n", encoding="utf-8")
            self.await_id(service, "in-place")
            self.assertEqual(service.reloads("error"), 0)
            service.stop()


    def swap(self, link, target):
        """Makes a link lead elsewhere, by a rename."""
        other = link.with_name("other-link")
        other.symlink_to(target)
        os.replace(other, link)

    def version(self, name):
        """A directory with a file of that id."""
        folder = self.folder / name
        folder.mkdir()
        (folder / FILE_NAME).write_text(f"id: {name}\nqcmp_port: 0\n", encoding="utf-8")
        return folder

    def check_links(self, service, *links):
        """The file is noticed wherever one of the links leads to another version of it."""
        for number, (link, behind) in enumerate(links):
            for how in ("swapped", "made-again"):
                name = f"{how}-{number}"
                folder = self.version(name)
                target = folder / FILE_NAME if behind == "file" else folder
                if how == "swapped":
                    self.swap(link, target)
                else:
                    link.unlink()
                    link.symlink_to(target)
                self.await_id(service, name)

    def test_a_link_anywhere_in_a_chain_is_noticed(self):
        places = [self.folder / name for name in "abcd"]
        for place in places:
            place.mkdir()
        first = self.version("first")
        chain = [place / "link" for place in places]
        for link, target in zip(chain, (*chain[1:], first / FILE_NAME)):
            link.symlink_to(target)
        with Operated("-c", str(chain[0])) as service:
            self.assertEqual(service.config()["id"], "first")
            # From the end, as what lies behind a swapped link is out of the chain.
            self.check_links(service, *((link, "file") for link in reversed(chain)))
            self.assertEqual(service.reloads("error"), 0)
            service.stop()

    def test_a_parent_directory_that_is_a_link_is_noticed(self):
        releases = self.folder / "releases"
        current = self.folder / "current"
        releases.symlink_to(self.folder)
        self.version("first")
        current.symlink_to("releases/first")
        with Operated("-c", f"current/../current/./{FILE_NAME}", cwd=self.folder) as service:
            self.assertEqual(service.config()["id"], "first")
            self.check_links(service, (current, "directory"))
            service.stop()

    def test_a_directory_that_is_replaced_is_noticed(self):
        self.version("first")
        with Operated("-c", str(self.folder / "first" / FILE_NAME)) as service:
            os.rename(self.folder / "first", self.folder / "old")
            os.rename(self.version("second"), self.folder / "first")
            self.await_id(service, "second")
            shutil.rmtree(self.folder / "first")
            other = self.version("third")
            (self.folder / "first").mkdir()
            os.rename(other / FILE_NAME, self.folder / "first" / FILE_NAME)
            self.await_id(service, "third")
            service.stop()

    def test_a_loop_of_links_ends(self):
        self.version("first")
        link = self.folder / "link"
        link.symlink_to(self.folder / "first" / FILE_NAME)
        with Operated("-c", str(link)) as service:
            self.swap(link, "link")
            self.check_answers(service.port)
            self.swap(link, self.version("second") / FILE_NAME)
            self.await_id(service, "second")
            service.stop()

    @support.needs_root
    @unittest.skipUnless(can_unshare_mounts(), "no mount namespace of its own can be had (a chroot)")
    def test_a_default_file_in_a_directory_that_comes_later_is_noticed(self):
        etc = self.folder / "etc"
        etc.mkdir()
        shutil.copy("/etc/passwd", etc)
        own_etc = ("unshare", "--mount", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh")
        with Operated("--service.qcmp.port", "0", cwd=self.folder, prefix=own_etc) as service:
            (etc / "quilkin").mkdir()
            (etc / "quilkin" / FILE_NAME).write_text("id: late\n", encoding="utf-8")
            self.await_id(service, "late")
            self.path.write_text("id: nearer\n", encoding="utf-8")
            self.await_id(service, "nearer")
            service.stop()

    def test_another_file_beside_it_is_no_change(self):
        with self.start("id: first\nqcmp_port: 0\n") as service:
            for number in range(3):
                (self.folder / f"other-{number}").write_text("id: other\n", encoding="utf-8")
                os.replace(self.folder / f"other-{number}", self.folder / "other")
            os.utime(self.path)
            self.path.write_text("id: second\nqcmp_port: 0\n", encoding="utf-8")
            self.await_id(service, "second")
            wait_until(lambda: service.reloads("ok") == 1, "the reload is counted")
            self.assertEqual(service.reloads("error"), 0)
            service.stop()


class AgeTest(ReloadTest):
    def test_a_ping_that_waited_too_long_is_dropped_until_a_reload_allows_it(self):
        dropped = 'paddock_qcmp_dropped_total{reason="too_old"}'
        with self.start("qcmp_port: 0\npaddock: {qcmp: {max_age: 1ns}}\n") as service:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(support.packed_ping(1, 2), ("127.0.0.1", service.port))
                wait_until(lambda: service.metrics()[dropped] == 1, "the ping is dropped")
                self.path.write_text("qcmp_port: 0\npaddock: {qcmp: {max_age: 1h}}\n", encoding="utf-8")
                service.await_event(RELOADED)
                self.check_answers(service.port)
                self.assertEqual(select.select([client], [], [], 0)[0], [])
            counted = service.stop()
        self.assertEqual((counted["dropped"], counted["received"]), (1, 1 + counted["answered"]))


class RefusalTest(ReloadTest):
    def test_a_bad_file_is_one_error_and_the_running_configuration_stays(self):
        good = "id: good\nqcmp_port: 0\nicao_code: EDDF\n"
        cases = {"id: bad\nqcmp_port: many\n": (":2:", "qcmp_port"), "id: bad\n\nnonsense: 1\n": (":3:", "nonsense"),
                 "id: bad\npaddock:\n  workers: -1\n": (":3:", "workers"), "id: bad\nid: worse\n": (":2:", "id")}
        with self.start(good) as service:
            before = service.config()
            for count, (text, words) in enumerate(cases.items(), 1):
                with self.subTest(text):
                    other = self.folder / "other"
                    other.write_text(text, encoding="utf-8")
                    os.replace(other, self.path)
                    error = service.await_event(NOT_RELOADED, count)["fields"]["error"]
                    for word in (str(self.path), *words):
                        self.assertIn(word, error)
                    wait_until(lambda count=count: service.reloads("error") == count, "the error is counted")
                    self.assertEqual(service.config(), before)
            self.check_answers(service.port)
            service.stop()
            self.assertEqual(len(service.events(level="ERROR")), len(cases))
            self.assertEqual(service.events(RELOADED), [])

    def test_a_file_that_was_cleared_is_refused(self):
        """As it is for a moment while somebody writes it in place: the access lists would be gone."""
        with self.start("id: first\nqcmp_port: 0\npaddock: {qcmp: {access: {deny: [192.0.2.0/24]}}}\n") as service:
            before = service.config()
            for number, text in enumerate(("", "\n# {}\n"), 1):
                self.path.write_text(text, encoding="utf-8")
                error = service.await_event(NOT_RELOADED, number)["fields"]["error"]
                self.assertEqual(error, f"{self.path}: there is nothing in the file now; {{}} in it stands for the defaults")
                self.assertEqual(service.config(), before)
            self.path.write_text("{id: second, qcmp_port: 0}\n", encoding="utf-8")
            service.await_event(RELOADED)
            self.assertEqual(service.config()["id"], "second")
            service.stop()

    def test_a_default_file_that_is_gone_is_refused(self):
        self.path.write_text("id: first\nqcmp_port: 0\n", encoding="utf-8")
        with Operated(cwd=self.folder) as service:
            before = service.config()
            self.path.rename(self.folder / "away")
            os.kill(service.pid, signal.SIGHUP)
            error = service.await_event(NOT_RELOADED)["fields"]["error"]
            self.assertEqual(error, f"{FILE_NAME}: the file is not there any more; {{}} in it stands for the defaults")
            self.assertEqual(service.config(), before)
            self.path.write_text("id: second\nqcmp_port: 0\n", encoding="utf-8")
            service.await_event(RELOADED)
            self.assertEqual(service.config()["id"], "second")
            service.stop()

    def test_a_port_that_another_has_leaves_everything_as_it_was(self):
        port, = free_ports(1)
        with self.start(f"id: before\nqcmp_port: {port}\n") as service, \
             socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
            taker.bind(("0.0.0.0", 0))
            taken = taker.getsockname()[1]
            before = service.config()
            self.path.write_text(f"id: after\nqcmp_port: {taken}\n", encoding="utf-8")
            service.await_event(NOT_RELOADED)
            self.assertEqual(service.config(), before)
            self.assertEqual((before["id"], before["qcmp_port"]), ("before", port))
            metrics = service.metrics()
            self.assertEqual(metrics['quilkin_service_qcmp_errors_total{reason="failed_port_change"}'], 1)
            self.assertEqual(metrics['paddock_config_reloads_total{result="error"}'], 1)
            error, = service.events(level="ERROR")
            self.assertIn(f" {taken} (qcmp_port, --service.qcmp.port): Address already in use", error["fields"]["error"])
            self.check_answers(port)
            self.check_next_change_applies(service, taker, taken)

    def check_next_change_applies(self, service, taker, wanted):
        taker.close()
        os.kill(service.pid, signal.SIGHUP)
        self.assertEqual(service.await_event(PORT_CHANGED)["fields"]["port"], wanted)
        service.await_event(RELOADED)
        self.assertEqual((service.config()["id"], service.config()["qcmp_port"]), ("after", wanted))
        self.check_answers(wanted)
        wait_until(lambda: support.udp_ports(service.pid) == {wanted}, "the old port is closed")
        service.stop()

    def test_what_cannot_change_at_run_time_is_named_and_keeps_its_value(self):
        with self.start("qcmp_port: 0\npaddock: { workers: 1 }\n") as service:
            before = service.config()["paddock"]
            self.path.write_text("id: new\nqcmp_port: 0\npaddock: { workers: 2, user: root, seccomp: false, "
                                 "qcmp: { listen: ['127.0.0.1'], receive_buffer: 7ms, max_age: 3s } }\n", encoding="utf-8")
            service.await_event(RELOADED)
            named = {event["fields"]["setting"] for event in service.events(FIXED, "WARN")}
            self.assertEqual(named, {f"paddock.{key}" for key in ("workers", "user", "seccomp", "qcmp.listen",
                                                                  "qcmp.receive_buffer")})
            self.assertEqual(service.config()["paddock"], before | {"qcmp": before["qcmp"] | {"max_age": "3s"}})
            self.assertEqual(service.config()["id"], "new")
            self.check_answers(service.port)
            service.stop()

    def test_filters_and_clusters_are_shown_as_the_file_has_them_without_a_warning(self):
        balancer = "quilkin.filters.load_balancer.v1alpha1.LoadBalancer"
        text = f"qcmp_port: 0\nfilters: [{{name: {balancer}, config: {{}}}}]\n" \
               "clusters: [{endpoints: [{address: '10.0.0.2:7777'}]}]\n" \
               "datacenters: {map: {'10.0.0.1': {qcmp_port: 7600, icao_code: EDDF}}}\n"
        shown = [{"name": balancer, "label": None, "config": {"policy": "ROUND_ROBIN"}}]
        with self.start(text) as service:
            os.kill(service.pid, signal.SIGHUP)
            service.await_event(RELOADED)
            self.assertEqual(service.config()["filters"], shown)
            self.path.write_text(text.replace("load_balancer.v1alpha1.LoadBalancer", "none.v1alpha1.None"), encoding="utf-8")
            service.await_event(NOT_RELOADED)
            self.assertEqual(service.config()["filters"], shown)
            self.path.write_text("qcmp_port: 0\nfilters: []\nclusters: []\ndatacenters: {map: {}}\n", encoding="utf-8")
            service.await_event(RELOADED, 2)
            self.assertEqual((service.config()["filters"], service.config()["clusters"]), ([], []))
            self.assertEqual(service.events(level="WARN"), [])
            service.stop()


if __name__ == "__main__":
    support.main()
