#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Configuration files: `paddock check` and the schema of `paddock generate-config-schema` agree on the files in
tests/data/config/. The first line of each bad one says where it is bad and what is said; ` | the schema cannot tell` behind
that, where what is bad is the YAML, its spelling or a range that JSON Schema has no words for."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"SKIPPED: {missing}; install Debian's python3-jsonschema and python3-yaml", file=sys.stderr)
    sys.exit(77)

PADDOCK = os.environ["PADDOCK"]
TREE = pathlib.Path(__file__).resolve().parent.parent.parent
GOOD = sorted((TREE / "tests/data/config/good").glob("*.yaml")) + [TREE / "packaging/paddock.yaml"]
BAD = sorted((TREE / "tests/data/config/bad").glob("*.yaml"))
BEYOND_THE_SCHEMA = " | the schema cannot tell"


class CoreLoader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2's core schema instead of YAML 1.1's."""
    yaml_implicit_resolvers = {}


for tag, pattern in (("null", r"~|null|Null|NULL|"), ("bool", r"true|True|TRUE|false|False|FALSE"),
                     ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+"),
                     ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)


def run(*arguments, folder=None):
    return subprocess.run([PADDOCK, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"]})


def expectation(file):
    """What `paddock check` must say of a bad file, without its name, and whether the schema refuses it too."""
    line = file.read_bytes().split(b"\n")[0].decode().removeprefix("# ")
    return line.removesuffix(BEYOND_THE_SCHEMA), not line.endswith(BEYOND_THE_SCHEMA)


class ConfigFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = json.loads(run("generate-config-schema").stdout)
        jsonschema.Draft202012Validator.check_schema(cls.schema)
        cls.validator = jsonschema.Draft202012Validator(cls.schema, format_checker=jsonschema.FormatChecker())

    def schema_accepts(self, file):
        text = file.read_bytes().decode()
        return self.validator.is_valid(yaml.load(text, CoreLoader) or {})

    def test_there_are_enough_files(self):
        self.assertGreaterEqual(len(GOOD), 20)
        self.assertGreaterEqual(len(BAD), 40)
        self.assertGreaterEqual(sum(expectation(file)[1] for file in BAD), 30)

    def test_good_files_are_accepted_by_parser_and_schema(self):
        for file in GOOD:
            with self.subTest(file.name):
                done = run("check", "-c", str(file))
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{file}: ok\n", ""))
                self.assertTrue(self.schema_accepts(file))

    def test_bad_files_are_refused_with_the_message_of_their_first_line(self):
        for file in BAD:
            with self.subTest(file.name):
                done = run("check", "-c", file.name, folder=file.parent)
                message = f"{file.name}:{expectation(file)[0]}\n"
                self.assertEqual((done.returncode, done.stdout, done.stderr), (2, message, ""))

    def test_bad_files_are_refused_by_the_schema(self):
        for file in BAD:
            if expectation(file)[1]:
                with self.subTest(file.name):
                    self.assertFalse(self.schema_accepts(file))

    def test_example_has_every_key(self):
        document = yaml.load((TREE / "packaging/paddock.yaml").read_text(), CoreLoader)
        keys, own = self.schema["properties"], self.schema["properties"]["paddock"]["properties"]
        self.assertEqual(set(document) | {"id"}, set(keys))
        self.assertEqual(set(document["paddock"]) | {"workers"}, set(own))
        self.assertEqual(set(document["paddock"]["xdp"]) | {"interface"}, set(own["xdp"]["properties"]))
        self.assertEqual(set(document["paddock"]["qcmp"]), set(own["qcmp"]["properties"]))
        self.assertEqual(set(document["paddock"]["udp"]), set(own["udp"]["properties"]))
        self.assertEqual(set(document["paddock"]["phoenix"]), set(own["phoenix"]["properties"]))
        self.assertEqual(set(document["paddock"]["phoenix"]["interval"]), set(own["phoenix"]["properties"]["interval"]["properties"]))
        self.assertEqual(set(document["paddock"]["udp"]["sessions"]), set(own["udp"]["properties"]["sessions"]["properties"]))

    def test_service_with_a_bad_file_ends_with_255_and_one_line(self):
        file = BAD[0]
        done = run("--service.qcmp", "-q", "-c", file.name, folder=file.parent)
        self.assertEqual((done.returncode, done.stdout), (255, ""))
        self.assertEqual(done.stderr, f"paddock: {file.name}:{expectation(file)[0]}\n")

    def test_check_finds_the_file_as_a_service_does(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "a.yaml").write_text("id: a\n")
            self.assertEqual(run("-c", "a.yaml", "check", folder=folder).stdout, "a.yaml: ok\n")
            pathlib.Path(folder, "quilkin.yaml").write_text("id: [\n")
            self.assertEqual(run("check", folder=folder).returncode, 2)
            self.assertEqual(run("check", "-c", "a.yaml", folder=folder).returncode, 0)
            self.assertEqual(run("check", "-c", "none.yaml", folder=folder).stdout,
                             "none.yaml: cannot be read: No such file or directory\n")
            self.assertEqual(run("check", "a.yaml", folder=folder).returncode, 2)


if __name__ == "__main__":
    unittest.main()
