#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_man.py CASE SOURCE PADDOCK: the manual pages render without warnings, and name the options that the program has.

SOURCE is the source tree, PADDOCK the program. CASE is a key of CASES.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from support import commands, expect, help_options, long_options, run, skip


def pages(source):
    found = sorted((source / "docs/man").glob("*.scd"))
    names = [page.name for page in found]
    expect(names == ["libqcmp.3.scd", "paddock-filters.7.scd", "paddock-load.1.scd", "paddock-ping.1.scd", "paddock-relay.1.scd", "paddock.1.scd", "paddock.yaml.5.scd"],
           f"pages: {names}")
    return found


def pages_render_without_warnings(source, _paddock):
    for tool in ("scdoc", "man", "lexgrog", "groff"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed")
    with tempfile.TemporaryDirectory(prefix="paddock-man-") as folder:
        for page in pages(source):
            made = pathlib.Path(folder) / page.stem
            made.write_text(run("scdoc", input=page.read_text()))
            shown = subprocess.run(["man", "--warnings", "-l", made], capture_output=True, text=True, timeout=60,
                                   env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            expect(shown.returncode == 0 and shown.stderr == "", f"{page.name}: {shown.stderr}")
            expect("SEE ALSO" in shown.stdout, f"{page.name} ends early")
            # Without a NAME that it can read, apropos does not find a page.
            expect(page.stem.rpartition(".")[0] + " - " in run("lexgrog", made), f"{page.name}: no NAME")


def functions_have_pages_of_their_own(source, _paddock):
    for tool in ("man", "lexgrog"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed")
    declared = set()
    for header in (source / "include/qcmp").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        declared |= set(re.findall(r"^(?:QCMP_EXPORT|static inline)\s[^;({]*?(qcmp_\w+)\s*\(", text, re.MULTILINE))
    with tempfile.TemporaryDirectory(prefix="paddock-man-") as folder:
        run(source / "scripts/man-from-headers", folder)
        made = {page.stem: page for page in pathlib.Path(folder).glob("*.3")}
        expect(set(made) == declared, f"with a page or declared, but not both: {sorted(set(made) ^ declared)}")
        for name, page in sorted(made.items()):
            if page.read_text().startswith(".so "):
                expect(name.endswith("_sized"), f"{page.name} leads elsewhere")
                continue
            shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, timeout=60,
                                   env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            expect(shown.returncode == 0 and shown.stderr == "", f"{page.name}: {shown.stderr}")
            expect("SYNOPSIS" in shown.stdout and "@" not in shown.stdout, f"{page.name} is not whole: {shown.stdout}")
            expect(name in run("lexgrog", page), f"{page.name}: no NAME")


def described(source, name):
    return long_options((source / "docs/man" / name).read_text().replace("\\", ""))


def compare(page, options, allowed, wanted):
    expect(wanted <= options, f"{page} does not name {sorted(wanted - options)}")
    expect(options <= allowed, f"{page} names what no --help has: {sorted(options - allowed)}")


def paddock_1_names_the_options_of_the_help(source, paddock):
    wanted = help_options(paddock)
    for command in commands(paddock):
        if command not in (("load",), ("ping",), ("relay",)):
            wanted |= help_options(paddock, *command)
    compare("paddock.1", described(source, "paddock.1.scd"), wanted, wanted)


def explained(source, name):
    """What a page says of each option, without markup."""
    found = {}
    for paragraph in re.split(r"\n(?=\*)", (source / "docs/man" / name).read_text()):
        for option in long_options(paragraph.partition("\n")[0]):
            found[option] = found.get(option, "") + re.sub(r"[*_\\\n\t]", " ", paragraph)
    return found


def pages_name_the_defaults_and_variables_of_the_help(source, paddock):
    for command, name in (((), "paddock.1.scd"), (("ping",), "paddock-ping.1.scd"), (("load",), "paddock-load.1.scd"),
                          (("qcmp", "ping"), "paddock.1.scd")):
        texts = explained(source, name)
        for line in run(paddock, *command, "--help").splitlines():
            option = re.match(r"  (?:-., |    )(--\S+)", line)
            # A default of several words is an explanation, which the page gives in its own.
            for value in re.findall(r"\[(?:default|environment): (\S+)\]", line):
                words = value.replace("_", " ")
                expect(re.search(rf"(?<!\S){re.escape(words)}(?![^\s.,;:])", texts[option[1]]),
                       f"{name} does not say {value} at {option[1]}")


def paddock_ping_1_names_the_options_of_the_help(source, paddock):
    wanted = help_options(paddock, "ping")
    compare("paddock-ping.1", described(source, "paddock-ping.1.scd"), wanted, wanted)


def paddock_load_1_names_the_options_of_the_help(source, paddock):
    wanted = help_options(paddock, "load")
    compare("paddock-load.1", described(source, "paddock-load.1.scd"), wanted, wanted)


def paddock_relay_1_names_the_options_of_the_help(source, paddock):
    wanted = help_options(paddock, "relay")
    ping = help_options(paddock, "ping")  # which an example calls
    compare("paddock-relay.1", described(source, "paddock-relay.1.scd"), wanted | ping, wanted)


def other_pages_name_no_option_that_is_not_there(source, paddock):
    allowed = help_options(paddock) | help_options(paddock, "check") | {"--cflags", "--libs"}
    for name in ("paddock.yaml.5.scd", "paddock-filters.7.scd", "libqcmp.3.scd"):
        compare(name, described(source, name), allowed, set())


def properties(schema):
    """The keys of a schema and of the schemas within, but not of the filters that are within."""
    found = set()
    for key, inner in schema.get("properties", {}).items():
        found |= {key} | properties(inner)
    for inner in (schema.get("items"), *schema.get("anyOf", ())):
        found |= properties(inner) if isinstance(inner, dict) else set()
    return found


def paddock_filters_7_has_each_filter_with_its_keys_and_an_example(source, paddock):
    sections = (source / "docs/man/paddock-filters.7.scd").read_text().split("\n# ")[1:]
    with tempfile.TemporaryDirectory(prefix="paddock-man-") as folder:
        run(paddock, "generate-config-schema", "-o", folder)
        schemas = {made.stem: json.loads(made.read_text()) for made in pathlib.Path(folder).glob("quilkin.filters.*")}
        expect(len(schemas) > 10, f"schemas: {sorted(schemas)}")
        for name, schema in schemas.items():
            about = [text for text in sections if re.search(rf"^[\w .,]*_{re.escape(name)}_", text.replace("\\_", "_"), re.MULTILINE)]
            expect(len(about) == 1, f"{name} has {len(about)} sections")
            for key in properties(schema):
                expect(f"*{key}*" in about[0], f"the section of {name} does not name {key}")
            example = pathlib.Path(folder, "example.yaml")
            example.write_text(about[0].split("\n```\n")[1])
            expect(name.removesuffix("HashedTokenRouter") in example.read_text(), f"the example of {name} is about something else")
            run(paddock, "check", "-c", example)


def json_keys(source, name):
    """The keys that a page explains in its section on JSON."""
    _, _, keys = (source / "docs/man" / name).read_text().partition("# JSON OUTPUT")
    return {word.strip("*") for line in keys.partition("\n# ")[0].splitlines() if line.startswith("*")
            for word in line.split(", ")}


def json_keys_of_load_are_those_that_the_program_prints(source, paddock):
    named = json_keys(source, "paddock-load.1.scd")
    # Nobody answers on the discard port; what counts here is the shape.
    result = subprocess.run([paddock, "load", "--format", "json", "-d", "10ms", "-t", "10ms", "127.0.0.1:9"],
                            capture_output=True, text=True, timeout=60)
    has = set(json.loads(result.stdout))
    expect(named == has, f"described or printed, but not both: {sorted(named ^ has)}")


def json_keys_are_those_that_the_program_prints(source, paddock):
    named = json_keys(source, "paddock-ping.1.scd")
    # As above: nobody answers.
    result = subprocess.run([paddock, "ping", "--format", "json", "-a", "1", "-t", "10ms", "127.0.0.1:9"],
                            capture_output=True, text=True, timeout=60)
    printed = json.loads(result.stdout)
    target = printed["targets"][0]
    has = {*printed, *target, *target["pings"][0]}
    expect(named == has, f"described or printed, but not both: {sorted(named ^ has)}")


def json_keys_of_the_relay_are_those_that_it_prints(source, paddock):
    named = json_keys(source, "paddock-relay.1.scd")
    command = [paddock, "relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--report", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as relay:
        ready = relay.stderr.readline()
        expect("listening on" in ready, f"the relay did not start: {ready}")
        relay.terminate()
        printed = json.loads(relay.communicate(timeout=60)[0])
    has = {*printed, *printed["up"], *printed["down"]}
    expect(named == has, f"described or printed, but not both: {sorted(named ^ has)}")


CASES = {case.__name__: case for case in (
    pages_render_without_warnings, functions_have_pages_of_their_own, paddock_1_names_the_options_of_the_help, pages_name_the_defaults_and_variables_of_the_help, paddock_ping_1_names_the_options_of_the_help,
    paddock_load_1_names_the_options_of_the_help, json_keys_of_load_are_those_that_the_program_prints,
    paddock_relay_1_names_the_options_of_the_help, other_pages_name_no_option_that_is_not_there, json_keys_are_those_that_the_program_prints,
    json_keys_of_the_relay_are_those_that_it_prints, paddock_filters_7_has_each_filter_with_its_keys_and_an_example)}

if __name__ == "__main__":
    CASES[sys.argv[1]](pathlib.Path(sys.argv[2]), sys.argv[3])
