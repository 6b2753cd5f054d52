# SPDX-License-Identifier: Apache-2.0
"""What the tests of packaging share: running commands, reading --help, failing and skipping."""
import re
import subprocess
import sys

SKIP = 77


def expect(condition, message):
    if not condition:
        sys.exit(message)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIP)


def run(*command, **options):
    """Runs a command and returns what it printed on stdout; another exit status than 0 ends the test and shows all of it."""
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, **options)
    expect(result.returncode == 0,
           f"{' '.join(words)}\n{result.stdout}{result.stderr}\nexit status {result.returncode}")
    return result.stdout


def long_options(text):
    """The long options named anywhere in a text."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", text))


def help_options(paddock, *command):
    """The long options that the help of a command explains."""
    lines = run(paddock, *command, "--help").splitlines()
    found = {match[1] for line in lines if (match := re.match(r"  (?:-., |    )(--\S+)", line))}
    expect(len(found) > 0, f"no options in the help of {command}")
    return found


def commands(paddock):
    """The commands in the help, each a tuple of words."""
    _, _, listed = run(paddock, "--help").partition("\nCommands:\n")
    found = [tuple(match[1].split()) for line in listed.splitlines()
             if (match := re.match(r"  ([a-z][a-z-]*(?: [a-z][a-z-]*)?)(?: |$)", line))]
    expect(("ping",) in found and ("qcmp", "ping") in found, f"commands in the help: {found}")
    return found
