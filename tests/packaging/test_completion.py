#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_completion.py SHELL SOURCE PADDOCK: the completion for SHELL (bash, zsh) offers exactly what the program's help has."""
import pathlib
import re
import shutil
import sys

from support import commands, expect, help_options, long_options, run, skip

HERE = pathlib.Path(__file__).resolve().parent
FILES = {"bash": "paddock.bash", "zsh": "_paddock"}


class Completion:
    def __init__(self, shell, source, paddock):
        self.file = source / "packaging/completion" / FILES[shell]
        self.command = [shell, *{"bash": ["--norc"], "zsh": ["-f"]}[shell], HERE / f"completion.{shell}", self.file, paddock]

    def offers(self, *words):
        """What is offered for the last word."""
        return set(run(*self.command, *words).split())

    def expect(self, words, offered):
        found = self.offers(*words)
        expect(found == offered, f"{self.file.name}: {words}: offers {sorted(found)}, not {sorted(offered)}")


def options_are_those_of_the_help(completion, paddock):
    for command in ((), *commands(paddock)):
        letters = set(re.findall(r"^  (-\w), ", run(paddock, *command, "--help"), re.MULTILINE))
        offered = completion.offers(*command, "-")
        expect(offered >= letters, f"{command}: letters {sorted(letters - offered)} are not offered")
        expect(long_options(" ".join(offered)) == help_options(paddock, *command), f"{command}: offers {sorted(offered)}")


def commands_are_those_of_the_help(completion, paddock):
    listed = commands(paddock)
    completion.expect([""], {words[0] for words in listed})
    completion.expect(["--quiet", ""], {words[0] for words in listed})
    for words in listed:
        if len(words) == 2:
            completion.expect([words[0], ""], {words[1]})


def values_are_those_that_the_program_takes(completion, _paddock):
    completion.expect(["--log-format", ""], {"auto", "json", "plain", "pretty"})
    completion.expect(["ping", "--format", ""], {"human", "json"})
    completion.expect(["load", "--arrivals", ""], {"constant", "poisson"})
    completion.expect(["--xdp", ""], {"auto", "off", "on"})
    completion.expect(["--xdp-attach", ""], {"native", "generic"})
    completion.expect(["relay", "--report", ""], {"human", "json"})
    completion.expect(["relay", "--up-distribution", ""], {"uniform", "normal", "pareto"})
    completion.expect(["load", "--via", ""], {"sockets", "xdp"})


def main(shell, source, paddock):
    if shutil.which(shell) is None:
        skip(f"{shell} is not installed")
    completion = Completion(shell, pathlib.Path(source), paddock)
    options_are_those_of_the_help(completion, paddock)
    commands_are_those_of_the_help(completion, paddock)
    values_are_those_that_the_program_takes(completion, paddock)


if __name__ == "__main__":
    main(*sys.argv[1:])
