#!/usr/bin/env python3
"""test_container.py SOURCE: the shape of the Containerfile, as far as it can be seen without an engine that builds it."""
import json
import pathlib
import re
import sys

from support import expect

INSTRUCTIONS = {"FROM", "COPY", "WORKDIR", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def stages(text):
    """The stages, each a list of (instruction, arguments); the first instruction of each is its FROM."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\\n", " ", text)
    result = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, arguments = line.partition(" ")
        expect(instruction in INSTRUCTIONS, f"not an instruction that is known here: {line}")
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
    expect(re.fullmatch(r"\S+/debian:12-slim AS build", one_of(stage, "FROM")), "the build is not on Debian 12")
    for arguments in all_of(stage, "COPY"):
        for path in arguments.split()[:-1]:
            expect((source / path).exists(), f"COPY {path}: not in the tree")
    for script in re.findall(r"scripts/\S+", one_of(stage, "RUN")):
        expect((source / script).is_file(), f"RUN {script}: not in the tree")


def check_result(stage, source):
    expect(re.fullmatch(r"\S+/debian:12-slim", one_of(stage, "FROM")), "the result is not on Debian 12")
    expect(not all_of(stage, "COPY"), "the result takes files of the tree")
    run = one_of(stage, "RUN")
    expect("from=build,source=/src/build/deb," in run and "/deb/paddock_*.deb" in run, f"RUN {run}")
    expect("build/deb" in (source / "scripts/make-deb").read_text(), "make-deb puts the packages elsewhere")
    user, group = one_of(stage, "USER").split(":")
    expect(int(user) > 0 and int(group) > 0, f"USER {user}:{group}")
    manifest = (source / "packaging/kubernetes/deployment.yaml").read_text()
    expect(f"runAsUser: {user}\n" in manifest and f"runAsGroup: {group}\n" in manifest, "Kubernetes uses another user")
    expect(one_of(stage, "EXPOSE").split() == ["7600/udp", "8000/tcp"], "EXPOSE")
    expect(one_of(stage, "HEALTHCHECK") == "NONE", "HEALTHCHECK")
    program = json.loads(one_of(stage, "ENTRYPOINT"))
    expect(program == ["/usr/bin/paddock"], f"ENTRYPOINT {program}")
    expect("usr/bin/paddock" in (source / "debian/paddock.install").read_text().split(), "the package has no such program")
    expect(json.loads(one_of(stage, "CMD")) == ["--service.qcmp"], "CMD")


def main(source):
    source = pathlib.Path(source)
    found = stages((source / "packaging/container/Containerfile").read_text())
    expect(len(found) == 2, f"{len(found)} stages")
    check_build(found[0], source)
    check_result(found[1], source)
    expect({".git", "build"} <= set((source / ".containerignore").read_text().split()), "the context has the build in it")


if __name__ == "__main__":
    main(*sys.argv[1:])
