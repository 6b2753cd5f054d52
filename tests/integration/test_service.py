# SPDX-License-Identifier: Apache-2.0
"""The responder as a service: its start, its log, its end, and what it says when it cannot start."""
import collections
import contextlib
import os
import pathlib
import pty
import re
import signal
import socket
import tempfile
import unittest

import support
from serving import Operated, program_for_everybody
from support import Asker, Process, Responder, environment, run

NOBODY = 65534
SERVE = ("--service.qcmp", "--service.qcmp.port")


def unprivileged_port():
    """The first port that needs no privilege."""
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        return int(file.read())


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.sent = collections.Counter()

    def check_answers(self, port):
        with Asker(port, self.sent) as asker:
            self.assertEqual(asker.answers(), [])

    def check_line(self, done, status, *words):
        """It ended with this status and one line of error that has these words."""
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("paddock: "), lines[0])
        for word in words:
            self.assertIn(word, lines[0])


class StartTest(ServiceTest):
    def test_an_address_that_cannot_be_had_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="ascii") as file:
            file.write("paddock: {qcmp: {listen: [127.0.0.1, 127.0.0.2]}}\n")
            file.flush()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.2", 0))
                port = other.getsockname()[1]
                done = run("-c", file.name, *SERVE, str(port))
        self.check_line(done, 255, f"cannot serve QCMP on 127.0.0.2:{port} (paddock.qcmp.listen[1], qcmp_port, --service.qcmp.port): ")

    def test_port_0_takes_a_free_port_and_the_ready_line_names_it(self):
        with Responder() as responder:
            self.assertNotIn(responder.port, (0, 7600))
            self.assertEqual(support.udp_ports(responder.pid), {responder.port})
            expected = f"[::]:{responder.port}" if support.has_ipv6() else f"0.0.0.0:{responder.port}"
            self.assertEqual(responder.ready["address"], expected)
            self.check_answers(responder.port)
            responder.stop()

    def test_a_port_that_another_program_has_is_an_error(self):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if family == socket.AF_INET6 and not support.has_ipv6():
                continue
            with self.subTest(address), socket.socket(family, socket.SOCK_DGRAM) as taker:
                taker.bind((address, 0))
                port = taker.getsockname()[1]
                done = run(*SERVE, str(port))
                self.check_line(done, 255, f"UDP port {port} (qcmp_port, --service.qcmp.port): Address already in use")
                self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_a_port_that_another_responder_has_is_an_error_with_any_number_of_workers(self):
        with Responder("--service.udp.workers", "2") as responder:
            for workers in ("1", "2"):
                done = run(*SERVE, str(responder.port), "--service.udp.workers", workers)
                self.check_line(done, 255, str(responder.port), "Address already in use")
            self.check_answers(responder.port)
            self.assertEqual(responder.stop(), support.counts(self.sent))

    @support.needs_root
    def test_a_port_that_needs_privilege_is_an_error_without_it(self):
        if unprivileged_port() <= 1:
            self.skipTest("every port is for everybody here (ip_unprivileged_port_start)")
        port = str(min(unprivileged_port() - 1, 1023))
        with program_for_everybody() as program:
            done = run(*SERVE, port, program=program, user=NOBODY, group=NOBODY, extra_groups=[])
        self.check_line(done, 255, port, "Permission denied")
        self.assertEqual(len(done.stderr.splitlines()), 1)

    @support.needs_root
    def test_it_serves_without_privilege(self):
        with program_for_everybody() as program:
            with Responder(program=program, user=NOBODY, group=NOBODY, extra_groups=[]) as responder:
                self.check_answers(responder.port)
                self.assertEqual(responder.stop(), support.counts(self.sent))

    def test_a_bad_flag_is_named_and_ends_the_start_with_2(self):
        cases = [
            (["--no-such-flag"], ["unknown option '--no-such-flag'"]),
            (["-z"], ["unknown option '-z'"]),
            (["--service.qcmp.port"], ["--service.qcmp.port", "needs a value"]),
            (["--service.qcmp.port", "seven"], ["--service.qcmp.port", "seven"]),
            (["--service.qcmp.port", "65536"], ["--service.qcmp.port", "65536"]),
            (["--service.qcmp.port", "-1"], ["--service.qcmp.port"]),
            (["--service.qcmp.port="], ["--service.qcmp.port"]),
            (["--service.udp.workers", "1025"], ["--service.udp.workers", "1025"]),
            (["--service.qcmp=maybe"], ["--service.qcmp", "maybe"]),
            (["--log-format", "xml"], ["--log-format", "xml"]),
            (["--service.tls.cert", "x"], ["--service.tls.cert", "not supported yet"]),
            (["--service.udp", "--service.udp.session-timeout", "0"], ["--service.udp.session-timeout", "0"]),
            (["--admin.address", "localhost"], ["--admin.address", "localhost"]),
            (["--xdp", "dpdk"], ["--xdp", "off, auto or on", "dpdk"]),
            (["--service.udp.xdp", "--xdp", "off"], ["--service.udp.xdp", "contradicts --xdp off"]),
            (["--engine", "mmsg"], ["unknown option", "--engine"]), (["--xdp-mode", "native"], ["unknown option", "--xdp-mode"]),
            (["--receive-buffer", "1s"], ["unknown option", "--receive-buffer"]),
            (["--help=yes"], ["--help", "no value"]),
            (["launch"], ["launch", "not a command"]),
        ]
        for arguments, words in cases:
            with self.subTest(arguments):
                self.check_line(run("--service.qcmp", *arguments), 2, *words)

    def test_a_bad_variable_is_named_and_ends_the_start_with_2(self):
        cases = {"QUILKIN_SERVICE_QCMP": "1", "QUILKIN_SERVICE_QCMP_PORT": "70000", "QUIET": "yes",
                 "QUILKIN_SERVICE_UDP_WORKERS": "many", "QUILKIN_SERVICE_PHOENIX_PORT": "-1", "QUILKIN_SERVICE_TLS_KEY": "x"}
        for name, value in cases.items():
            with self.subTest(name):
                self.check_line(run(env=environment(**{name: value})), 2, name)

    def test_nothing_to_do_is_an_error_in_the_words_of_the_reference(self):
        for arguments in ([], ["-q"], ["--service.qcmp", "false"]):
            with self.subTest(arguments):
                done = run(*arguments)
                self.check_line(done, 255, "no service, provider, or command specified")

    def test_help_and_version_go_to_stdout_and_end_with_0(self):
        for arguments in (["--help"], ["-h"], ["--service.qcmp", "--help"]):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in ("--service.qcmp.port", "QUILKIN_SERVICE_QCMP_PORT", "7600", "--log-format", "ping"):
                self.assertIn(word, done.stdout)
        for arguments in (["ping", "--help"], ["qcmp", "ping", "--help"], ["qcmp", "--help"]):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in ("--amount", "--interval", "--timeout"):
                self.assertIn(word, done.stdout)
        for flag in ("--version", "-V"):
            done = run(flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"\Apaddock \d+\.\d+\.\d+\n\Z")


class IneffectiveTest(ServiceTest):
    def check_warned(self, mode, flags, settings, variables=()):
        with Operated("--service.qcmp.port", "0", "--xdp", mode, *flags,
                      env=environment(**dict(variables))) as service:
            warned = [event["fields"] for event in service.events("this setting has no effect", "WARN")]
            service.stop()
        self.assertEqual([(fields["setting"], fields["xdp"]) for fields in warned],
                         [(setting, mode) for setting in settings])

    def test_what_is_set_for_xdp_is_warned_about_where_sockets_are_alone(self):
        interface, attach = "service.udp.xdp.network-interface", "xdp-attach"
        self.check_warned("off", [], [])
        self.check_warned("off", ["--" + interface, "lo", "--xdp-attach", "generic"], [interface, attach])
        self.check_warned("off", ["--xdp-attach", "native"], [attach])
        self.check_warned("off", [], [interface], {"QUILKIN_SERVICE_UDP_XDP_NETWORK_INTERFACE": "lo"})

    def test_auto_takes_the_interface_and_no_mode_but_native(self):
        self.check_warned("auto", ["--service.udp.xdp.network-interface", "lo", "--xdp-attach", "native"], [])
        self.check_warned("auto", ["--service.udp.xdp.network-interface", "lo", "--xdp-attach", "generic"], ["xdp-attach"])


class EnvironmentTest(ServiceTest):
    def test_variables_configure_the_service(self):
        variables = environment(QUILKIN_SERVICE_QCMP="true", QUILKIN_SERVICE_QCMP_PORT="0",
                                QUILKIN_SERVICE_UDP_WORKERS="3")
        with Process(env=variables) as service:
            port = service.await_port()
            service.await_line("qcmp ready")
            self.check_answers(port)
            workers = [name for name, _ in support.threads(service.pid) if name.startswith("worker-")]
            self.assertEqual(len(workers), 3)
            self.assertEqual(service.end(), 0)

    def test_a_flag_wins_over_its_variable(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
            taker.bind(("0.0.0.0", 0))
            taken = str(taker.getsockname()[1])
            with Responder(env=environment(QUILKIN_SERVICE_QCMP="false", QUILKIN_SERVICE_QCMP_PORT=taken)) as responder:
                self.check_answers(responder.port)
                responder.stop()
            done = run("--service.qcmp", env=environment(QUILKIN_SERVICE_QCMP_PORT=taken))
            self.check_line(done, 255, taken)

    def test_an_empty_variable_counts_as_unset(self):
        with Responder(env=environment(QUIET="", QUILKIN_SERVICE_UDP_WORKERS="")) as responder:
            responder.stop()


class EndTest(ServiceTest):
    def test_sigint_and_sigterm_end_it_with_0_and_are_named(self):
        for number, name in ((signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")):
            with self.subTest(name), Responder() as responder:
                responder.stop(number)
                messages = [event["fields"]["message"] for event in support.events(responder.log.decode())][-3:]
                self.assertEqual(messages, ["qcmp ready", "shutting down", "qcmp stopped"])
                self.assertIn(f'"{name}"', responder.log.decode())
                self.assertEqual(responder.stderr(), "")


class LogTest(ServiceTest):
    def test_json_is_the_format_where_the_output_is_no_terminal(self):
        with Responder() as responder:
            responder.stop()
            for event in support.events(responder.log.decode()):
                self.assertRegex(event["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
                self.assertEqual(event["level"], "INFO")
                self.assertIn("message", event["fields"])

    def check_format(self, arguments, pattern):
        with Process(*SERVE, "0", *arguments) as service:
            line = service.await_line("qcmp ready")
            self.assertRegex(line, pattern)
            self.assertEqual(service.end(), 0)

    def test_plain_is_one_line_of_words_without_colours(self):
        self.check_format(["--log-format", "plain"], r"^[-0-9T:.]+Z +INFO qcmp ready port=\d+ address=\S+\n$")

    def test_pretty_is_the_same_in_colours(self):
        self.check_format(["--log-format=pretty"], "\x1b\\[.*INFO.*qcmp ready.*\x1b\\[")

    def test_auto_is_pretty_on_a_terminal(self):
        controller, terminal = pty.openpty()
        try:
            with Process(*SERVE, "0", stdout=terminal) as service:
                port = service.await_port()
                self.check_answers(port)
                text = b""
                while not re.search(rb"qcmp ready.*\n", text):
                    text += os.read(controller, 4096)
                self.assertRegex(text.decode(), "\x1b\\[.*INFO.*qcmp ready")
                self.assertEqual(service.end(), 0)
        finally:
            os.close(controller)
            os.close(terminal)

    def test_quiet_says_nothing_and_answers(self):
        for arguments, variables in ((["-q"], {}), (["--quiet"], {}), ([], {"QUIET": "true"}),
                                     ([], {"RUST_LOG": "error"})):
            with self.subTest(arguments=arguments, variables=variables), \
                 Process(*SERVE, "0", *arguments, env=environment(**variables)) as service:
                self.check_answers(service.await_port())
                self.assertEqual(service.end(), 0)
                self.assertEqual((service.log, service.stderr()), (b"", ""))

    def test_an_error_at_the_start_is_said_even_if_quiet(self):
        with Responder() as responder:
            self.check_line(run("-q", *SERVE, str(responder.port)), 255, str(responder.port))

    def check_goes_on(self, **options):
        with Process(*SERVE, "0", **options) as service:
            port = service.await_port()
            for _ in range(20):
                self.check_answers(port)
            self.assertEqual(service.end(), 0)

    def test_a_full_disk_under_the_log_does_not_stop_it(self):
        with open("/dev/full", "wb") as full:
            self.check_goes_on(stdout=full)

    def test_a_log_reader_that_goes_away_does_not_stop_it(self):
        reader, writer = os.pipe()
        os.close(reader)
        self.check_goes_on(stdout=writer)
        os.close(writer)

    def test_a_log_reader_that_sleeps_does_not_stop_it(self):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        self.check_goes_on(stdout=writer)
        os.close(reader)
        os.close(writer)

    def test_closed_standard_streams_do_not_give_their_numbers_to_sockets(self):
        def close_all():
            for fd in (0, 1, 2):
                os.close(fd)
        with Process(*SERVE, "0", preexec_fn=close_all) as service:
            self.check_answers(service.await_port())
            self.assertEqual([os.readlink(f"/proc/{service.pid}/fd/{fd}") for fd in (0, 1, 2)], ["/dev/null"] * 3)
            self.assertEqual(service.end(), 0)


class NoIpv6Test(ServiceTest):
    """On a host without IPv6: a filter lets socket(AF_INET6) fail as it fails there."""

    def test_the_responder_serves_ipv4_and_says_so(self):
        with Responder("--service.udp.workers", "2", preexec_fn=support.without_ipv6()) as responder:
            self.assertEqual(responder.ready["address"], f"0.0.0.0:{responder.port}")
            for last in range(1, 20):
                with Asker(responder.port, self.sent, f"127.0.0.{last}") as asker:
                    asker.send(b"noise")
                    self.assertEqual(asker.answers(), [])
            self.assertEqual(responder.stop(), support.counts(self.sent))

    def test_ipv4_addresses_beside_the_unspecified_one_are_served(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file.yaml"
            for listen, first in (('["::", 127.0.0.2]', "127.0.0.2"), ('["::", 0.0.0.0]', "0.0.0.0"),
                                  ('[127.0.0.2, "::"]', "127.0.0.2")):
                path.write_text(f"paddock: {{qcmp: {{listen: {listen}}}}}\n", encoding="utf-8")
                with self.subTest(listen), Responder("-c", str(path), preexec_fn=support.without_ipv6()) as responder:
                    self.assertEqual(responder.ready["address"], f"{first}:{responder.port}")
                    with Asker(responder.port, collections.Counter(), "127.0.0.2") as asker:
                        self.assertEqual(asker.answers(), [])
                    responder.end()

    def test_ping_works_over_ipv4_and_says_what_ails_ipv6(self):
        filtered = support.without_ipv6()
        with Responder() as responder:
            status, document = support.ping_json("-i0", f"127.0.0.1:{responder.port}", preexec_fn=filtered)
            self.assertEqual((status, document["targets"][0]["received"]), (0, 5))
            status, document = support.ping_json("-a1", f"[::1]:{responder.port}", preexec_fn=filtered)
            self.assertEqual(status, 1)
            self.assertEqual(document["targets"][0]["pings"][0]["status"], "error")
            self.assertEqual(document["targets"][0]["pings"][0]["error"], "Address family not supported by protocol")
            responder.stop()


if __name__ == "__main__":
    support.main()
