#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_container.py SOURCE: what the Containerfile names is there, as far as it can be seen without an engine that builds it."""
import json
import pathlib
import re
import sys

from support import expect


def stages(text):
    """The stages, each a list of (instruction, arguments); the first instruction of each is its FROM."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\\n", " ", text)
    result = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            result.append([])
        expect(result, f"before the first FROM: {line}")
        result[-1].append((instruction, arguments.strip()))
    return result


def all_of(stage, instruction):
    return [arguments for name, arguments in stage if name == instruction]


def one_of(stage, instruction):
    found = all_of(stage, instruction)
    expect(len(found) == 1, f"{instruction} is there {len(found)} times")
    return found[0]


def check_build(stage, source):
    for arguments in all_of(stage, "COPY"):
        for path in arguments.split()[:-1]:
            expect((source / path).exists(), f"COPY {path}: not in the tree")
    for script in re.findall(r"scripts/\S+", one_of(stage, "RUN")):
        expect((source / script).is_file(), f"RUN {script}: not in the tree")


def check_result(stage, source):
    folder = re.search(r"from=build,source=/src/(\S+?),", one_of(stage, "RUN"))
    expect(folder and folder[1] in (source / "scripts/make-deb").read_text(), "make-deb puts the packages elsewhere")
    user, group = one_of(stage, "USER").split(":")
    manifest = (source / "packaging/kubernetes/deployment.yaml").read_text()
    expect(f"runAsUser: {user}\n" in manifest and f"runAsGroup: {group}\n" in manifest, "Kubernetes uses another user")
    program, = json.loads(one_of(stage, "ENTRYPOINT"))
    installed = (source / "debian/paddock.install").read_text().split()
    expect(program.lstrip("/") in installed, "the package has no such program")


def main(source):
    source = pathlib.Path(source)
    found = stages((source / "packaging/container/Containerfile").read_text())
    expect(len(found) == 2, f"{len(found)} stages")
    check_build(found[0], source)
    check_result(found[1], source)
    expect({".git", "build"} <= set((source / ".containerignore").read_text().split()), "the context has the build in it")


if __name__ == "__main__":
    main(*sys.argv[1:])
