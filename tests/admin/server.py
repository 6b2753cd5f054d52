# SPDX-License-Identifier: Apache-2.0
"""The test server as a context: Server(program, connections, deadline_ms)."""
import http.client
import os
import pathlib
import subprocess

PATIENCE_SECONDS = 30


class Server:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.port = int(self.process.stdout.readline())
        self.address = ("127.0.0.1", self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.stdout.close()
        assert status == 0, f"the server ended with {status}"

    def order(self, letter):
        self.process.stdin.write(letter + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def request(self, path, method="GET", body=None, **headers):
        """The response, and its body."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_bytes(self):
        statm = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def series(text):
    """The series of an exposition: each line that is no comment, without its value."""
    return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
