# SPDX-License-Identifier: Apache-2.0
"""Least privilege: what a service that was started as root still may, as /proc tells it."""
import collections
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import stat
import unittest

import support
from serving import PORT_CHANGED, RELOADED, Operated, free_ports, public_folder
from support import Asker, run

NOBODY = pwd.getpwnam("nobody")
NET_BIND_SERVICE = 1 << 10
PORT_0 = ("--service.qcmp.port", "0")
UNREADABLE = "the user of this process cannot read the configuration file: changes go unnoticed until a restart"
SMALL_BUFFER = "the receive buffer is smaller than asked for: raise net.core.rmem_max"
LARGE_BUFFER = 64 << 20  # bytes; well below what 500 ms at the full rate need
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
STEPS = ["empty the bounding set", "become another user", "keep capabilities that are needed", "gain no new privileges",
         "confine the process by seccomp", "confine the workers by seccomp"]


def kept_capabilities(service):
    """What the log says of them."""
    return [event["fields"]["capabilities"] for event in service.events("privileges dropped", "INFO")
            if "capabilities" in event["fields"]]


def threads(pid):
    """The name and the status of each thread."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            lines = (task / "status").read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        status = dict(line.split(":", 1) for line in lines)
        yield status["Name"].strip(), {key: value.split() for key, value in status.items()}


def privileged_port():
    """A port that only CAP_NET_BIND_SERVICE can take, and that nobody has."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    if first <= 1:
        raise unittest.SkipTest("every port is for everybody here (ip_unprivileged_port_start)")
    taken = set()
    for name in ("udp", "udp6"):
        with contextlib.suppress(FileNotFoundError):
            rows = pathlib.Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
            taken.update(int(row.split()[1].rpartition(":")[2], 16) for row in rows)
    return max(set(range(1, min(first, 1024))) - taken)


@support.needs_root
class PrivilegeTest(unittest.TestCase):
    def setUp(self):
        folder = public_folder()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)

    def file(self, text, mode=0o644):
        path = self.folder / "file.yaml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def check_answers(self, port):
        with Asker(port, collections.Counter()) as asker:
            self.assertEqual(asker.answers(), [])

    def check_line(self, done, text):
        self.assertEqual((done.returncode, done.stderr), (255, f"paddock: {text}\n"))


class DropTest(PrivilegeTest):
    def check_thread(self, status):
        self.assertEqual(status["Uid"], [str(NOBODY.pw_uid)] * 4)
        self.assertEqual(status["Gid"], [str(NOBODY.pw_gid)] * 4)
        self.assertEqual(status["Groups"], [])
        for name, wanted in (("CapEff", NET_BIND_SERVICE), ("CapPrm", NET_BIND_SERVICE), ("CapBnd", NET_BIND_SERVICE),
                             ("CapInh", 0), ("CapAmb", 0)):
            self.assertEqual(int(status[name][0], 16), wanted, name)
        self.assertEqual(status["NoNewPrivs"], ["1"])

    def check_threads(self, service, workers, seccomp):
        for name, status in threads(service.pid):
            with self.subTest(name):
                self.check_thread(status)
        own = 2 if support.SANITIZE == "thread" else 1  # ThreadSanitizer has a thread of its own
        names = sorted(["paddock"] * own + ["admin"] + [f"worker-{i}" for i in range(workers)])
        def modes():
            return sorted((name, *status["Seccomp"]) for name, status in threads(service.pid))
        support.wait_until(lambda: modes() == [(name, seccomp) for name in names], "all threads are confined as told")

    def test_all_threads_have_dropped_what_they_do_not_need(self):
        with Operated(*PORT_0, "--service.udp.workers", "2", extra_groups=[1, 2]) as service:
            self.check_answers(service.port)
            self.check_threads(service, 2, "2")
            self.assertEqual([event["fields"]["step"] for event in service.events("privileges dropped", "INFO")], STEPS)
            self.assertEqual(kept_capabilities(service), ["cap_net_bind_service"])
            service.stop()

    def test_phoenix_has_its_port_and_is_confined_as_the_admin_server(self):
        flags = ("--service.udp.workers", "1", "--service.phoenix", "--service.phoenix.port", str(privileged_port()))
        with Operated(*PORT_0, *flags) as service:
            service.await_event("phoenix ready")

            def filters():
                found = {name: status.get("Seccomp_filters") for name, status in threads(service.pid)}
                return found if found["phoenix"] == found["admin"] != found["paddock"] else None
            support.wait_until(filters, "the thread has its filter")
            for _, status in threads(service.pid):
                self.check_thread(status)
            service.end()

    def test_workers_of_a_port_taken_later_are_confined_too(self):
        path = self.file("qcmp_port: 0\npaddock: { workers: 2 }\n")
        with Operated("-c", str(path)) as service:
            port = privileged_port()
            path.write_text(f"qcmp_port: {port}\npaddock: {{ workers: 2 }}\n", encoding="utf-8")
            self.assertEqual(service.await_event(PORT_CHANGED)["fields"]["port"], port)
            service.await_event(RELOADED)
            self.check_answers(port)
            self.check_threads(service, 2, "2")
            service.stop()

    def test_a_buffer_that_a_port_taken_later_does_not_get_is_warned_about(self):
        largest = int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
        text = "qcmp_port: %d\npaddock: { workers: 1, qcmp: { receive_buffer: 500ms } }\n"
        path = self.file(text % 0)
        with Operated("-c", str(path)) as service:
            if service.events(SMALL_BUFFER):
                self.skipTest("even at the start the receive buffer cannot be had (no CAP_NET_ADMIN)")
            path.write_text(text % free_ports(1)[0], encoding="utf-8")
            service.await_event(RELOADED)
            warned = [event["fields"] for event in service.events(SMALL_BUFFER, "WARN")]
            if not warned and largest >= LARGE_BUFFER:
                self.skipTest("net.core.rmem_max gives it to everybody here")
            self.assertEqual(len(warned), 1)
            self.assertLess(warned[0]["granted_bytes"], warned[0]["asked_bytes"])
            service.stop()

    def test_seccomp_can_be_switched_off(self):
        with Operated(*PORT_0, "--seccomp", "false", "--service.udp.workers", "1") as service:
            self.check_answers(service.port)
            self.check_threads(service, 1, "0")
            service.stop()

    def test_a_port_that_needs_privilege_is_taken_at_the_start(self):
        with Operated("--service.qcmp.port", str(privileged_port())) as service:
            self.check_answers(service.port)
            self.check_thread(dict(threads(service.pid))["paddock"])
            service.stop()


class UserTest(PrivilegeTest):
    def test_a_user_that_does_not_exist_ends_the_start(self):
        done = run("--service.qcmp", *PORT_0, "--user", "no-such-user")
        self.check_line(done, "there is no user 'no-such-user' to become")

    def check_user(self, name, user, **options):
        with Operated(*PORT_0, "--user", name, **options) as service:
            status = dict(threads(service.pid))["paddock"]
            self.assertEqual(status["Uid"], [str(user)] * 4)
            self.assertEqual(status["Gid"], [str(user)] * 4)
            self.check_answers(service.port)
            service.stop()

    def test_a_number_stands_for_a_user_with_or_without_a_name(self):
        self.check_user("65534", 65534)
        self.check_user("54321", 54321)

    def test_without_a_passwd_file_it_becomes_nobody_all_the_same(self):
        def hide():
            support.checked(support.LIBC.unshare(0x20000))  # CLONE_NEWNS
            support.checked(support.LIBC.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
            support.checked(support.LIBC.mount(b"/dev/null", b"/etc/passwd", None, 0x1000, None))  # MS_BIND
        self.check_user("nobody", 65534, preexec_fn=hide)

    def test_who_is_to_become_root_stays_it_and_is_warned(self):
        with Operated(*PORT_0, "--user", "root") as service:
            self.check_answers(service.port)
            self.assertEqual([event["fields"]["step"] for event in service.events("privileges kept", "WARN")], ["become another user"])
            self.assertEqual([event["fields"]["step"] for event in service.events("privileges dropped", "INFO")],
                             [step for step in STEPS if step != "become another user"])
            for name, status in threads(service.pid):
                self.assertEqual((status["Uid"][0], status["NoNewPrivs"]), ("0", ["1"]), name)
                self.assertEqual(int(status["CapEff"][0], 16), NET_BIND_SERVICE, name)
            service.stop()

    def test_a_file_that_the_new_user_cannot_read_is_warned_about(self):
        path = self.file("qcmp_port: 0\n", 0o600)
        with Operated("-c", str(path)) as service:
            warnings = [event["fields"] for event in service.events(level="WARN")]
            self.assertEqual([(w["message"], w["file"], w["uid"], w["error"]) for w in warnings],
                             [(UNREADABLE, str(path), NOBODY.pw_uid, "Permission denied")])
            self.check_answers(service.port)
            service.stop()

    def test_a_file_that_the_new_user_can_read_is_not_warned_about(self):
        with Operated("-c", str(self.file("qcmp_port: 0\n"))) as service:
            self.assertEqual(service.events(level="WARN"), [])
            os.kill(service.pid, signal.SIGHUP)
            service.await_event(RELOADED)
            service.stop()

    def test_started_as_nobody_it_serves_and_warns_about_nothing(self):
        program = shutil.copy(support.PADDOCK, self.folder)
        os.chmod(program, stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
        with Operated("-c", str(self.file("qcmp_port: 0\n")), program=program, user=NOBODY.pw_uid,
                      group=NOBODY.pw_gid, extra_groups=[]) as service:
            self.check_answers(service.port)
            warnings = {event["fields"]["message"] for event in service.events(level="WARN")}
            self.assertLessEqual(warnings, {SMALL_BUFFER})  # as net.core.rmem_max of this host has it
            for name, status in threads(service.pid):
                self.assertEqual(status["NoNewPrivs"], ["1"], name)
                self.assertEqual(int(status["CapEff"][0], 16), 0, name)
            service.stop()

    @unittest.skipUnless(shutil.which("setpriv"), "setpriv is not installed (util-linux)")
    def test_started_as_nobody_with_capabilities_it_keeps_what_it_needs(self):
        program = shutil.copy(support.PADDOCK, self.folder)
        os.chmod(program, 0o755)
        prefix = ("setpriv", "--reuid", str(NOBODY.pw_uid), "--regid", str(NOBODY.pw_gid), "--clear-groups",
                  "--inh-caps", "+net_bind_service,+net_raw", "--ambient-caps", "+net_bind_service,+net_raw")
        with Operated("--service.qcmp.port", str(privileged_port()), program=program, prefix=prefix) as service:
            self.check_answers(service.port)
            self.assertEqual(kept_capabilities(service), ["cap_net_bind_service"])
            for name, status in threads(service.pid):
                for of, wanted in (("CapEff", NET_BIND_SERVICE), ("CapPrm", NET_BIND_SERVICE), ("CapInh", 0),
                                   ("CapAmb", 0)):
                    self.assertEqual(int(status[of][0], 16), wanted, f"{name}: {of}")
            service.stop()

    @unittest.skipUnless(shutil.which("setpriv"), "setpriv is not installed (util-linux)")
    def test_root_without_capabilities_is_warned_and_serves(self):
        with Operated(*PORT_0, prefix=WITHOUT_CAPABILITIES) as service:
            steps = {event["fields"]["step"] for event in service.events("privileges kept", "WARN")}
            self.assertEqual(steps, {"become another user", "empty the bounding set"} if any(
                int(status["CapBnd"][0], 16) & ~NET_BIND_SERVICE for _, status in threads(service.pid))
                else {"become another user"})
            self.assertEqual(kept_capabilities(service), ["none"])
            self.check_answers(service.port)
            self.assertEqual(service.http("/ready")[0], 200)
            for name, status in threads(service.pid):
                self.assertEqual((status["Uid"][0], status["NoNewPrivs"]), ("0", ["1"]), name)
                self.assertEqual(int(status["CapEff"][0], 16), 0, name)
            service.stop()


if __name__ == "__main__":
    support.main()
