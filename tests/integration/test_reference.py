# SPDX-License-Identifier: Apache-2.0
"""Side by side with the reference, Quilkin, where it is installed: each one's client against the other's responder."""
import collections
import random
import re
import shutil
import subprocess
import unittest

import support
from support import PADDOCK, Asker, Process, Responder, Server, events, packed_ping, packed_pong, ping_json, run

QUILKIN = shutil.which("quilkin")


def said(program, *arguments, expect):
    """Runs `qcmp ping`; returns the events about pings as (level, fields)."""
    done = run("--log-format", "json", "qcmp", "ping", *arguments, program=program)
    if done.returncode != expect:
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")
    found = [(event["level"], event["fields"]) for event in events(done.stdout)]
    return [(level, fields) for level, fields in found if not fields["message"].lower().startswith("starting")]


def forms(found):
    """What scripts rely on: of each event the level, the keys, and how the values are written."""
    def form(fields):
        return {key: value if key == "message" else form_of(value) for key, value in fields.items()}
    return [(level, form(fields)) for level, fields in found]


def form_of(value):
    if not isinstance(value, str):
        return type(value).__name__
    return next((name for name, pattern in (("decimals", r"-?\d+\.\d\d"), ("digits", r"\d+"))
                 if re.fullmatch(pattern, value)), "text")


@unittest.skipUnless(QUILKIN, "quilkin is not on PATH, so nothing was compared with the reference")
class ReferenceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.reference = cls.enterClassContext(cls.start())

    def setUp(self):
        self.sent = collections.Counter()

    @staticmethod
    def start():
        """The reference's responder, on ports that were free a moment ago."""
        port = support.closed_port()
        process = Process("--service.qcmp", "--service.qcmp.port", str(port), "--service.udp.port",
                          str(support.closed_port()), "--admin.enabled", "false", program=QUILKIN,
                          stdout=subprocess.DEVNULL)  # it logs each bad packet, and waits for who reads that
        try:
            support.wait_until(lambda: run("ping", "-a1", "-t100ms", f"127.0.0.1:{port}").returncode == 0, "quilkin answers")
        except BaseException:
            process.__exit__()
            raise
        process.port = port
        return process

    def test_our_ping_is_answered_by_the_reference(self):
        status, document = ping_json("-a20", "-i10ms", f"127.0.0.1:{self.reference.port}")
        target = document["targets"][0]
        self.assertEqual((status, target["sent"], target["received"], target["rejected"]), (0, 20, 20, 0), document)
        self.assertEqual({ping["suspect"] for ping in target["pings"]}, {None})

    def test_our_qcmp_ping_is_answered_by_the_reference(self):
        found = said(PADDOCK, "-a5", f"127.0.0.1:{self.reference.port}", expect=0)
        self.assertEqual(found[-1][1]["successful_attempts"], "5")

    def test_the_references_ping_is_answered_by_us(self):
        with Responder() as responder:
            found = said(QUILKIN, "-a", "20", f"127.0.0.1:{responder.port}", expect=0)
            self.assertEqual(found[-1][1]["successful_attempts"], "20")
            counts = responder.stop()
        self.assertEqual((counts["valid"], counts["answered"], counts["received"]), (20, 20, 20))

    def test_both_say_the_same_of_answered_pings(self):
        with Responder() as responder:
            arguments = ("-a", "4", f"127.0.0.1:{responder.port}")
            self.assertEqual(forms(said(PADDOCK, *arguments, expect=0)), forms(said(QUILKIN, *arguments, expect=0)))
            responder.stop()

    def test_both_say_the_same_of_a_ping_without_answer(self):
        """The reference waits five seconds, whatever it is told."""
        with Server() as server:
            arguments = ("-a", "1", "-t", "100ms", server.target)
            ours, theirs = said(PADDOCK, *arguments, expect=255), said(QUILKIN, *arguments, expect=255)
        self.assertEqual(forms(ours), forms(theirs))
        self.assertEqual(ours[0][1]["endpoint"], theirs[0][1]["endpoint"])

    def test_both_answer_the_same_datagrams(self):
        rng = random.Random(10)
        with Responder("--service.udp.workers", "1") as responder, Asker(responder.port, self.sent) as ours, \
             Asker(self.reference.port, self.sent) as theirs:
            for _ in range(support.scaled(2000)):
                datagram = near_ping(rng)
                for asker in (ours, theirs):
                    asker.send(datagram)
                self.assertEqual(echoes(ours.answers()), echoes(theirs.answers()), datagram.hex())
            responder.stop()

    def test_no_flag_of_the_reference_is_unknown(self):
        flags = set(re.findall(r"^ +(?:-\w, )?(--[a-z][\w.-]+)", run("--help", program=QUILKIN).stdout, re.MULTILINE))
        self.assertIn("--service.qcmp.port", flags)
        for flag in flags - {"--help", "--version"}:
            done = run("--service.qcmp", f"{flag}=?", "--termination-timeout", "no time")  # which ends it where the flag is fine
            self.assertEqual(done.returncode, 2, flag)
            self.assertNotIn("unknown option", done.stderr)


def near_ping(rng):
    """A ping or a pong with a few bytes changed, cut off or added."""
    packet = packed_ping(rng.randrange(256), rng.getrandbits(63))
    if rng.random() < 0.3:
        packet = packed_pong(rng.randrange(256), *[rng.getrandbits(63) for _ in range(3)])
    changed = bytearray(packet + rng.randbytes(rng.choice((0, 0, 0, 1, 16))))
    for _ in range(rng.randrange(3)):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 9, 25, 255))
    return bytes(changed[:rng.choice((len(changed), len(changed), rng.randrange(len(changed))))])


def echoes(pongs):
    return [(pong.nonce, pong.client) for pong in pongs]


if __name__ == "__main__":
    support.main()
