#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_http.py SERVER: the admin server over loopback, as operators and as strangers use it."""
import json
import os
import re
import resource
import select
import socket
import sys
import time
import unittest

from server import PATIENCE_SECONDS, Server, series

PROGRAM = sys.argv.pop(1)
LONG_MS = 600_000
SANITIZED = os.environ.get("PADDOCK_SANITIZE", "") != ""  # with memory of their own for each byte, and slow
PROMPT_SECONDS = 10 if SANITIZED else 1
HOLDERS = 1000
CAPACITY = 64
OPENMETRICS = "application/openmetrics-text"
# What Prometheus 2.42 sends.
PROMETHEUS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def connect(server):
    return socket.create_connection(server.address, timeout=PATIENCE_SECONDS)


def read_all(connection):
    """All that comes until the other side ends it, in whatever way."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def ask(server, data):
    """All that comes back for some bytes."""
    with connect(server) as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(connection)


def statuses(answer):
    """The status of each response in what came back: one request has one."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def await_fds(server, wanted):
    """Waits until the server has at most so many descriptors open."""
    end = time.monotonic() + PATIENCE_SECONDS
    while server.open_fds() > wanted:
        assert time.monotonic() < end, "the server keeps its descriptors"
        select.select([], [], [], 0.01)


def is_open(connection):
    """Whether the other side has neither closed nor reset it."""
    if not select.select([connection], [], [], 0)[0]:
        return True
    try:
        return connection.recv(1) != b""
    except ConnectionResetError:
        return False


def trickle(connection):
    """Sends one byte of a header that never ends. Returns whether it could."""
    try:
        return is_open(connection) and connection.send(b"x") == 1
    except (BrokenPipeError, ConnectionResetError):
        return False


class Answers(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(PROGRAM))

    def test_a_working_service_is_live_and_ready(self):
        for path in ("/live", "/livez", "/ready", "/readyz"):
            response, body = self.server.request(path)
            self.assertEqual((path, response.status, body), (path, 200, b"ok\n"))

    def test_a_broken_service_is_not_live(self):
        self.server.order("l")
        self.assertEqual([self.server.request(path)[0].status for path in ("/live", "/livez", "/ready")],
                         [500, 500, 200])

    def test_a_service_that_does_not_serve_is_live_and_not_ready(self):
        self.server.order("r")
        self.assertEqual([self.server.request(path)[0].status for path in ("/ready", "/readyz", "/live")],
                         [500, 500, 200])

    def test_config_shows_access_lists_to_those_who_ask(self):
        self.assertEqual(json.loads(self.server.request("/config?access=true")[1]), {"access": True})
        for query in ("", "?access", "?access=", "?access=1", "?access=false", "?x=true"):
            self.assertEqual(json.loads(self.server.request(f"/config{query}")[1]), {"version": "v1alpha1"})

    def test_config_is_json(self):
        response, body = self.server.request("/config")
        self.assertEqual((response.status, response.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(json.loads(body), {"version": "v1alpha1"})

    def test_metrics_are_text_unless_openmetrics_is_asked_for(self):
        for accept, expected in (("", "text/plain; version=0.0.4; charset=utf-8"),
                                 ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
                                 ("text/plain, " + OPENMETRICS + ";q=0.4", OPENMETRICS + "; version=1.0.0; charset=utf-8"),
                                 (OPENMETRICS, OPENMETRICS + "; version=1.0.0; charset=utf-8"),
                                 (PROMETHEUS, OPENMETRICS + "; version=1.0.0; charset=utf-8")):
            response, body = self.server.request("/metrics", Accept=accept)
            self.assertEqual((accept, response.status, response.headers["Content-Type"]), (accept, 200, expected))
            self.assertEqual(body.endswith(b"# EOF\n"), expected.startswith(OPENMETRICS))

    def test_what_is_counted_makes_no_new_series(self):
        before = series(self.server.request("/metrics")[1].decode())
        self.server.order("x")
        after = self.server.request("/metrics")[1].decode()
        self.assertEqual(series(after), before)
        self.assertIn("paddock_qcmp_dropped_total{reason=\"source_port_zero\"} 7\n", after)

    def test_a_query_changes_nothing(self):
        self.assertEqual(self.server.request("/live?a=b&c")[0].status, 200)

    def test_other_paths_are_not_found_whatever_the_method(self):
        for path in ("/", "/metrics/", "/live/z", "/Live", "//live", "/metricsx", "/%00", "/" + "a" * 4000):
            for method in ("GET", "POST"):
                self.assertEqual((path, self.server.request(path, method)[0].status), (path, 404))

    def test_other_methods_are_refused_with_those_that_are_allowed(self):
        for path in ("/live", "/livez", "/ready", "/readyz", "/metrics", "/config"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"):
                response, _ = self.server.request(path, method)
                self.assertEqual((method, response.status, response.headers["Allow"]), (method, 405, "GET, HEAD"))

    def test_a_body_is_read_and_ignored(self):
        response, _ = self.server.request("/metrics", "POST", b"x" * 1_000_000)
        self.assertEqual(response.status, 405)
        self.assertEqual(self.server.request("/live", "GET", b"x" * 100_000)[0].status, 200)

    def test_head_has_the_headers_of_get_and_no_body(self):
        for path in ("/live", "/config", "/nothing"):
            get, body = self.server.request(path)
            with connect(self.server) as connection:
                connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                head, _, rest = read_all(connection).partition(b"\r\n\r\n")
            self.assertEqual(rest, b"")
            self.assertIn(f"HTTP/1.1 {get.status} ".encode(), head)
            self.assertIn(f"Content-Length: {len(body)}\r\n".encode(), head + b"\r\n")
            self.assertIn(f"Content-Type: {get.headers['Content-Type']}\r\n".encode(), head + b"\r\n")

    def test_a_callback_that_fails_is_an_error_without_half_a_text(self):
        self.server.order("f")
        response, body = self.server.request("/config")
        self.assertEqual((response.status, body), (500, b"failed\n"))

    def test_what_is_no_http_is_refused_and_forgotten(self):
        server = self.enterContext(Server(PROGRAM, 0, 500))
        for garbage, status in ((b"\0\1\2\3\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET /live HTTP/9.9\r\n\r\n", 505),
                                (b"\x16\x03\x01" * 30 + b"\r\n\r\n", 400), (b"GET /live HTTP/1.1\r\nA: " + b"b" * 100_000, 431),
                                (b"GET /" + b"b" * 100_000, 431), (b"POST /live HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 405)):
            self.assertEqual((garbage[:30], statuses(ask(server, garbage))), (garbage[:30], [status]))
        self.assertEqual(server.request("/live")[0].status, 200)

    def test_http_1_0_is_answered(self):
        with connect(self.server) as connection:
            connection.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            self.assertIn(b" 200 ", read_all(connection))


    def test_a_browsers_cookies_are_no_hindrance_and_each_request_has_one_answer(self):
        for count in (100, 3000, 4000, 4096, 5000, 6000, 8000, 8192, 9000, 16_384, 32_000, 32_768, 33_000, 40_000, 70_000, 200_000):
            answer = ask(self.server, b"GET /live HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * count + b"\r\n\r\n")
            self.assertEqual((count, statuses(answer)), (count, [200 if count < 32_700 else 431]))
        many = b"".join(b"Cookie: a%d=b\r\n" % i for i in range(1500))
        self.assertEqual(statuses(ask(self.server, b"GET /live HTTP/1.1\r\n" + many + b"\r\n")), [200])

    def test_a_length_and_a_body_of_whatever_kind_leave_one_answer(self):
        for field in (b"Content-Length: -1", b"Content-Length: 99999999999999999999999", b"Content-Length: 18446744073709551615",
                      b"Content-Length: a", b"Content-Length:", b"Content-Length: 3\r\nContent-Length: 4",
                      b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x",
                      b"Expect: 100-continue\r\nContent-Length: 3"):
            for body in (b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"x\r\n\r\n", b"GET /ready HTTP/1.1\r\n\r\n"):
                for method, status in ((b"GET", 200), (b"POST", 405)):
                    answer = ask(self.server, method + b" /live HTTP/1.1\r\n" + field + b"\r\n\r\n" + body)
                    self.assertEqual((field, body, statuses(answer)), (field, body, [status]))

    def test_of_requests_that_come_together_the_first_is_answered(self):
        answer = ask(self.server, b"GET /live HTTP/1.1\r\n\r\n" + b"GET /nothing HTTP/1.1\r\n\r\n" * 3)
        self.assertEqual(statuses(answer), [200])
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_a_target_may_have_scheme_and_host(self):
        host = f"127.0.0.1:{self.server.port}"
        for target in (f"http://{host}/live", f"HTTP://{host}/live", "http://a/live?b=c", "https://[::1]:80/live"):
            self.assertEqual((target, self.server.request(target)[0].status), (target, 200))
        self.assertEqual(json.loads(self.server.request("http://a/config?access=true")[1]), {"access": True})
        for target in ("http://a", "http://a/", "http:/live", "ftp://a/live", "*"):
            self.assertEqual((target, self.server.request(target)[0].status), (target, 404))

    def test_a_request_may_come_byte_by_byte_and_its_client_may_stop_sending(self):
        with connect(self.server) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"\r\nGET /live HTTP/1.1\nHost: a\r\n\r\n":
                connection.send(bytes((byte,)))
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(statuses(read_all(connection)), [200])

    def test_whoever_has_the_document_is_told_that_it_is_the_same(self):
        response, body = self.server.request("/config")
        tag = response.headers["ETag"]
        self.assertRegex(tag, '^"[0-9a-f]{16}"$')
        for known in (tag, f'"x", W/{tag}', "*"):
            response, rest = self.server.request("/config", **{"If-None-Match": known})
            self.assertEqual((response.status, rest, response.headers["ETag"]), (304, b"", tag))
        for path, known in (("/config", tag[:-2] + '"'), ("/config?access=true", tag), ("/live", tag)):
            self.assertEqual(self.server.request(path, **{"If-None-Match": known})[0].status, 200)
        self.assertEqual(self.server.request("/config")[1], body)

    def test_one_client_may_ask_fifty_times_a_second(self):
        start = time.monotonic()
        for _ in range(200):
            self.assertEqual(self.server.request("/config")[0].status, 200)
        self.assertLess(time.monotonic() - start, 4 * PROMPT_SECONDS)


class Strangers(unittest.TestCase):
    def test_large_answers_that_nobody_reads_cost_little_and_delay_no_health(self):
        server = self.enterContext(Server(PROGRAM, 0, LONG_MS))
        server.order("b")
        before = server.resident_bytes()
        holders = [connect(server) for _ in range(64)]
        self.addCleanup(lambda: [holder.close() for holder in holders])
        for holder in holders:
            holder.sendall(b"GET /config HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(20):
            start = time.monotonic()
            self.assertEqual(server.request("/live")[0].status, 200)
            self.assertLess(time.monotonic() - start, PROMPT_SECONDS)
        heads = [holder.recv(12) for holder in holders]
        self.assertEqual((heads.count(b"HTTP/1.1 200"), heads.count(b"HTTP/1.1 503")), (8, 56))
        if not SANITIZED:
            self.assertLess(server.resident_bytes() - before, 8_000_000)
        response, _ = server.request("/config")
        self.assertEqual((response.status, response.headers["Retry-After"]), (503, "1"))
        self.assertEqual(server.request("/config?access=true")[0].status, 503)
        for holder in holders:
            holder.close()
        end = time.monotonic() + PATIENCE_SECONDS
        while server.request("/config")[0].status != 200:
            self.assertLess(time.monotonic(), end)

    def test_a_thousand_unfinished_requests_cost_less_than_their_bytes_and_delay_nobody(self):
        server = self.enterContext(Server(PROGRAM, 1100, LONG_MS))
        before = server.resident_bytes()
        holders = [connect(server) for _ in range(HOLDERS)]
        self.addCleanup(lambda: [holder.close() for holder in holders])
        for holder in holders:
            holder.sendall(b"GET /live HTTP/1.1\r\nA: " + b"b" * 30_000)
        start = time.monotonic()
        self.assertEqual(server.request("/live")[0].status, 200)
        self.assertLess(time.monotonic() - start, PROMPT_SECONDS)
        if not SANITIZED:
            self.assertLess(server.resident_bytes() - before, 40_000_000)
        holders[0].sendall(b"\r\n\r\n")
        self.assertEqual(statuses(read_all(holders[0])), [200])

    def test_one_address_takes_no_more_than_its_share(self):
        server = self.enterContext(Server(PROGRAM, 8, LONG_MS, 3))
        holders = [connect(server) for _ in range(3)]
        for holder in holders:
            self.addCleanup(holder.close)
        other = socket.create_connection(server.address, PATIENCE_SECONDS, ("127.0.0.2", 0))
        self.addCleanup(other.close)
        self.assertEqual(server.request("/live")[0].status, 200)
        self.assertEqual(read_all(holders[0]), b"")
        for holder in (*holders[1:], other):
            holder.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(statuses(read_all(holder)), [200])

    def test_who_has_an_answer_goes_before_who_waits_for_one(self):
        server = self.enterContext(Server(PROGRAM, 4, LONG_MS))
        waiting = [connect(server) for _ in range(2)]
        answered = [connect(server) for _ in range(2)]
        for holder in (*waiting, *answered):
            self.addCleanup(holder.close)
        for holder in answered:
            holder.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(statuses(read_all(holder)), [200])
        for _ in range(8):
            self.assertEqual(server.request("/live")[0].status, 200)
        for holder in waiting:
            holder.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(statuses(read_all(holder)), [200])

    def test_a_thousand_connections_that_never_finish_do_not_stop_a_scrape(self):
        """Half of them silent, half with a byte now and then, all renewed as they go; no deadline helps."""
        server = self.enterContext(Server(PROGRAM, CAPACITY, LONG_MS))
        holders = [connect(server) for _ in range(HOLDERS)]
        self.addCleanup(lambda: [holder.close() for holder in holders])
        renewed = 0
        for _ in range(5):
            for i, holder in enumerate(holders):
                if not (trickle(holder) if i % 2 else is_open(holder)):
                    holder.close()
                    holders[i] = connect(server)
                    renewed += 1
            response, body = server.request("/metrics")
            self.assertEqual(response.status, 200)
            self.assertIn(b"quilkin_info{", body)
            self.assertLess(server.open_fds(), CAPACITY + 16)
        self.assertGreater(renewed, HOLDERS)

    def test_the_oldest_of_those_that_wait_goes_first(self):
        server = self.enterContext(Server(PROGRAM, 4, LONG_MS))
        holders = [connect(server) for _ in range(4)]
        for holder in holders:
            self.addCleanup(holder.close)
        self.assertEqual(server.request("/live")[0].status, 200)
        self.assertEqual(read_all(holders[0]), b"")
        for holder in holders[1:]:
            holder.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b" 200 ", read_all(holder))

    def test_a_silent_connection_ends_at_its_deadline(self):
        server = self.enterContext(Server(PROGRAM, 0, 200))
        with connect(server) as connection:
            self.assertEqual(read_all(connection), b"")

    def test_a_byte_now_and_then_does_not_move_the_deadline(self):
        server = self.enterContext(Server(PROGRAM, 0, 300))
        end = time.monotonic() + PATIENCE_SECONDS
        with connect(server) as connection:
            connection.sendall(b"GET /live HTTP/1.1\r\n")
            while trickle(connection):
                self.assertLess(time.monotonic(), end)
                select.select([connection], [], [], 0.05)

    def test_an_answer_that_nobody_reads_ends_at_the_deadline(self):
        server = self.enterContext(Server(PROGRAM, 0, 3000))  # which are for making it, too
        server.order("b")
        idle_fds = server.open_fds()
        with connect(server) as connection:
            connection.sendall(b"GET /config HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(connection.recv(1), b"H")
            await_fds(server, idle_fds)
            self.assertLess(len(read_all(connection)), 16 * 1024 * 1024)

    def test_an_answer_larger_than_all_buffers_arrives_whole(self):
        server = self.enterContext(Server(PROGRAM))
        server.order("b")
        _, body = server.request("/config")
        self.assertEqual(len(body), len(b'{"version":"v1alpha1"}') + 16 * 1024 * 1024)

    def test_connections_that_wait_cost_no_time(self):
        server = self.enterContext(Server(PROGRAM, CAPACITY, LONG_MS))
        holders = [connect(server) for _ in range(HOLDERS)]
        self.addCleanup(lambda: [holder.close() for holder in holders])
        self.assertEqual(server.request("/live")[0].status, 200)
        before = server.cpu_seconds()
        select.select([], [], [], 1)
        self.assertLess(server.cpu_seconds() - before, 0.3)


class Shortage(unittest.TestCase):
    def limit(self, server, count):
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (count, hard))

    def test_without_descriptors_the_server_waits_and_does_not_spin(self):
        server = self.enterContext(Server(PROGRAM, 0, LONG_MS))
        count = server.open_fds()
        self.limit(server, count)
        with connect(server) as connection:
            connection.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
            before = server.cpu_seconds()
            self.assertEqual(select.select([connection], [], [], 1)[0], [])
            self.assertLess(server.cpu_seconds() - before, 0.3)
            self.limit(server, count + 8)
            self.assertIn(b" 200 ", read_all(connection))

    def test_where_connections_hold_the_descriptors_the_oldest_gives_way(self):
        server = self.enterContext(Server(PROGRAM, 0, LONG_MS))
        idle_fds = server.open_fds()
        holders = [connect(server) for _ in range(8)]
        self.addCleanup(lambda: [holder.close() for holder in holders])
        self.assertEqual(server.request("/live")[0].status, 200)
        await_fds(server, idle_fds + len(holders))
        self.limit(server, server.open_fds())
        self.assertEqual(server.request("/live")[0].status, 200)
        self.assertEqual(read_all(holders[0]), b"")


if __name__ == "__main__":
    unittest.main()
