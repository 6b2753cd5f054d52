# SPDX-License-Identifier: Apache-2.0
"""The same files and the same datagrams through Paddock and through the reference, Quilkin, where it is installed. What differs stands in
docs/differences.md with its reason, by the names of rows; what differs and does not stand there fails, and so does what stands there and does
not differ."""
import contextlib
import pathlib
import re
import unittest

from playing import QUILKIN, Stage, differences, shown
from regexes import EXPECTED, MANY, REGEX_ROWS
from rows import ROWS

# pylint: disable=wrong-import-order
import support
from hosts import two_hosts

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "differences.md"
# The reference loses a datagram now and then where the machine is busy, so a row may have another try.
TRIES = 3
TABLE = {row.name: row for row in ROWS + REGEX_ROWS}


def listed():
    """By row: what of it differs, from lines such as "Rows that show it: `name` (drops, servers), `other` (players)."."""
    found = {}
    for text in re.findall(r"^Rows that show it: (.*?)\.$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for name, fields in re.findall(r"`([\w-]+)`\s+\(([\w,\s]+)\)", text):
            if name in found:
                raise AssertionError(f"{PAGE.name} names {name} twice")
            found[name] = re.split(r",\s*", fields)
    return found


class PageTest(unittest.TestCase):
    def test_every_row_that_is_named_is_there(self):
        self.assertEqual(set(listed()) - set(TABLE), set())

    def test_there_are_enough_rows(self):
        self.assertGreater(len(ROWS), 200)
        self.assertGreater(sum(len(row.sent) for row in REGEX_ROWS), 100)


class StageCase(unittest.TestCase):
    """Tests on a stage with these programs."""
    programs = ()

    @classmethod
    def setUpClass(cls):
        try:
            client, server = cls.enterClassContext(two_hosts())
        except (OSError, FileNotFoundError) as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
        cls.stage = cls.enterClassContext(contextlib.closing(Stage(client, server, cls.programs)))


class ExpressionTest(StageCase):
    programs = ("paddock",)

    def test_expressions_capture_what_the_corpus_says(self):
        for name, pairs in EXPECTED.items():
            expected = sorted(data + (b"<none>" if value is MANY else b"<%d>" % value) for data, value in pairs if value is not None)
            seen = self.stage.play(TABLE[name])["paddock"]
            self.assertEqual(seen.servers[0], expected, name)
            self.assertEqual(seen.drops, {"read filter::capture::no value captured": len(pairs) - len(expected)}, name)

    def test_expressions_without_a_bound_are_refused(self):
        for row in REGEX_ROWS:
            self.assertEqual(self.stage.play(row)["paddock"].refused, row.is_bad, row.name)


@unittest.skipUnless(QUILKIN, "quilkin is not on PATH, so nothing was compared with the reference")
class InteropTest(StageCase):
    programs = ("paddock", "quilkin")

    def test_both_do_the_same_or_it_is_said(self):
        said, wrong = listed(), []
        for name, row in TABLE.items():
            for _ in range(TRIES):
                ours, theirs = self.stage.play(row).values()
                found = differences(ours, theirs)
                if found == said.get(name, []):
                    break
            else:
                wrong += [f"{name}: {found} differ, {said.get(name, [])} should"]
                wrong += [f"    {field}: {shown(getattr(one, field))}" for field in found for one in (ours, theirs)]
        self.assertEqual(wrong, [], "not as docs/differences.md has it:\n" + "\n".join(wrong))


if __name__ == "__main__":
    support.main()
