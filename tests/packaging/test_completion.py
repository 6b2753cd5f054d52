#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_completion.py SHELL SOURCE PADDOCK: the completion for SHELL (bash, zsh) offers exactly what the program's help has."""
import os
import pathlib
import pty
import re
import shlex
import shutil
import signal
import sys
import tempfile

from support import commands, expect, help_options, long_options, run, skip

HERE = pathlib.Path(__file__).resolve().parent
FILES = {"bash": "paddock.bash", "zsh": "_paddock"}


class Completion:
    def __init__(self, shell, source, paddock):
        self.shell = shell
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
    links = set(os.listdir("/sys/class/net"))
    completion.expect(["load", "--interface", ""], links)
    completion.expect(["--service.udp.xdp.network-interface", ""], links)
    if completion.shell == "bash":
        completion.expect(["--service.udp.xdp.network-interface", "lo,"], {f"lo,{link}" for link in links})


def values_behind_an_equals_sign_are_offered(completion, _paddock):
    if completion.shell == "bash":
        completion.expect(["--log-format", "=", "j"], {"json"})
        completion.expect(["--log-format", "="], {"auto", "json", "plain", "pretty"})
        completion.expect(["--log-format=j"], {"--log-format=json"})
    else:
        completion.expect(["--log-format="], {"auto", "json", "plain", "pretty"})


def typed(completion, keys, folder):
    """The arguments of the command that a terminal has once these keys are typed, and an X behind them."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ "})
    os.write(terminal, f"bind 'set enable-bracketed-paste off'; source {shlex.quote(str(completion.file))}; echo rea''dy\n".encode())
    seen = b""
    try:
        while b"\nready" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, f"paddock {keys}X\x01printf '<%s>' \x05\n".encode())
        while b"X>" not in seen:
            seen += os.read(terminal, 4096)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return re.findall(r"<([^<>]*)>", seen.decode().rpartition("<paddock>")[2])


def files_are_completed_as_the_shell_does_it(completion, _paddock):
    if completion.shell != "bash":
        return
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "two words.yaml").touch()
        pathlib.Path(folder, "folder").mkdir()
        completion.expect(["sites", f"{folder}/fol"], {f"{folder}/folder"})
        for keys, wanted in (("--config two\t", ["--config", "two words.yaml", "X"]), ("--config fol\t", ["--config", "folder/X"]),
                             ("--config=two\t", ["--config=two words.yaml", "X"]), ("--config=fol\t", ["--config=folder/X"]),
                             ("-c two\t", ["-c", "two words.yaml", "X"])):
            found = typed(completion, keys, folder)
            expect(found == wanted, f"{keys!r}: {found}, not {wanted}")


def main(shell, source, paddock):
    if shutil.which(shell) is None:
        skip(f"{shell} is not installed")
    completion = Completion(shell, pathlib.Path(source), paddock)
    options_are_those_of_the_help(completion, paddock)
    commands_are_those_of_the_help(completion, paddock)
    values_are_those_that_the_program_takes(completion, paddock)
    values_behind_an_equals_sign_are_offered(completion, paddock)
    files_are_completed_as_the_shell_does_it(completion, paddock)


if __name__ == "__main__":
    main(*sys.argv[1:])
