#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py CASE SOURCE BUILD: does with libqcmp what other people's builds do with it, and fails where that does not work.

CASE is a key of CASES, SOURCE this source tree, BUILD a build folder of it without sanitizers. Everything happens in a
temporary folder.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
OURS = re.compile(r"^(PADDOCK_|QCMP_|paddock_)")
STRICT = ["-Wall", "-Wextra", "-pedantic-errors", "-Wundef", "-Wshadow", "-Wconversion", "-Werror", "-fsyntax-only"]


def run(*command, **environment):
    """Runs a command and returns what it printed; a failure ends the test and shows all of it."""
    words = [str(word) for word in command]
    result = subprocess.run(words, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=300)
    if result.returncode != 0:
        sys.exit(f"{' '.join(words)}\n{result.stdout}\nexit status {result.returncode}")
    return result.stdout


def expect(condition, message):
    if not condition:
        sys.exit(message)


class Trees:
    """The folders of a test: source, build, a scratch folder, and an installed tree that was moved after its installation."""

    def __init__(self, source, build, scratch):
        self.source, self.build, self.scratch = source, build, scratch

    def install(self):
        first, moved = self.scratch / "first", self.scratch / "moved"
        run("cmake", "--install", self.build, "--prefix", first)
        first.rename(moved)
        return moved

    def version(self):
        header = (self.source / "include/qcmp/version.h").read_text()
        return re.search(r'QCMP_VERSION "([^"]+)"', header)[1]


def library_folder(prefix):
    found = list(prefix.rglob("qcmp.pc"))
    expect(len(found) == 1, f"qcmp.pc files installed: {found}")
    return found[0].parent.parent


def check_program(trees, program, shared, **environment):
    """Runs a program, and looks whether it is linked in the way that was asked for."""
    expect(run(program, **environment) == f"qcmp {trees.version()}\n", f"{program} printed something else")
    needed = re.findall(r"\(NEEDED\).*\[(libqcmp[^\]]*)\]", run("readelf", "-d", program))
    expect(needed == (["libqcmp.so.0"] if shared else []), f"{program} needs {needed}")


def configure(trees, project, *options, **environment):
    build = trees.scratch / "build"
    run("cmake", "-G", "Ninja", "-S", HERE / project, "-B", build, "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror", *options, **environment)
    return build


def build_and_check(build, trees, qcmp_is_shared):
    run("cmake", "--build", build, "-j", "2")
    for language in ("c", "cpp"):
        check_program(trees, build / f"{language}_static", shared=False)
        check_program(trees, build / f"{language}_shared", shared=True)
        check_program(trees, build / f"{language}_qcmp", shared=qcmp_is_shared)


def find_package(trees):
    build = configure(trees, "find_package", f"-DCMAKE_PREFIX_PATH={trees.install()}")
    build_and_check(build, trees, qcmp_is_shared=True)


def find_package_static(trees):
    build = configure(trees, "find_package", f"-DCMAKE_PREFIX_PATH={trees.install()}", "-DQCMP_USE_STATIC=ON")
    build_and_check(build, trees, qcmp_is_shared=False)


def pkg_config(trees, shared):
    folder = library_folder(trees.install())
    places = {"PKG_CONFIG_PATH": str(folder / "pkgconfig"), "LD_LIBRARY_PATH": str(folder)}
    expect(run("pkg-config", "--modversion", "qcmp", **places).strip() == trees.version(), "another version in qcmp.pc")
    kind = [] if shared else ["--static"]
    words = run("pkg-config", *kind, "--cflags", "--libs", "qcmp", **places).split()
    for compiler, source in (("gcc", "main.c"), ("g++", "main.cpp")):
        program = trees.scratch / source.replace(".", "_")
        run(compiler, "-Wall", "-Wextra", "-Werror", HERE / source, "-o", program, *([] if shared else ["-static"]), *words)
        check_program(trees, program, shared, **places)


def add_subdirectory(trees):
    # Without pkg-config's files, because a game that embeds the library needs none of what the program needs.
    build = configure(trees, "add_subdirectory", f"-DPADDOCK_SOURCE={trees.source}",
                      PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    before, after = (set((build / name).read_text().splitlines()) for name in ("before", "after"))
    changed = sorted({line.split()[0] for line in before ^ after if not OURS.match(line)})
    expect(not changed, f"variables and properties that add_subdirectory changed: {changed}")
    targets = sorted((build / "targets").read_text().split())
    expect(targets == ["qcmp_shared", "qcmp_static"], f"targets that came along: {targets}")
    expect((build / "tests").read_text().split() == [], "tests came along")
    leaks = build / "leaks"
    expect(not leaks.exists(), f"what linking the library adds: {leaks.exists() and leaks.read_text()}")
    build_and_check(build, trees, qcmp_is_shared=False)
    run("cmake", "--install", build, "--prefix", trees.scratch / "game")
    expect(not (trees.scratch / "game").exists(), "the game's installation brings files of ours")


def declared(trees):
    """The names of all functions that the public headers export."""
    names = set()
    for header in (trees.source / "include/qcmp").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        names |= set(re.findall(r"^QCMP_EXPORT\s[^;(]*?(\w+)\s*\(", text, re.MULTILINE))
    expect(len(names) > 10, f"only {sorted(names)} found in the headers")
    return names


def symbols_shared(trees):
    library = library_folder(trees.install()) / "libqcmp.so"
    lines = [line.split() for line in run("nm", "-D", "--defined-only", library).splitlines()]
    exported = {name.partition("@")[0] for _, kind, name in lines if kind != "A"}
    expect(exported == declared(trees), f"exported or declared, but not both: {sorted(exported ^ declared(trees))}")
    versions = {name for _, kind, name in lines if kind == "A"}
    expect(versions == {"QCMP_0"}, f"versions of symbols: {versions}")


def symbols_static(trees):
    library = library_folder(trees.install()) / "libqcmp.a"
    lines = [line.split() for line in run("nm", "--defined-only", "--extern-only", library).splitlines()]
    names = {line[2] for line in lines if len(line) == 3}
    expect(names >= declared(trees), f"declared, but not in the archive: {sorted(declared(trees) - names)}")
    foreign = sorted(name for name in names if not name.startswith("qcmp_"))
    expect(not foreign, f"names that could collide with a game's: {foreign}")


def headers(trees):
    include = trees.install() / "include"
    names = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    expected = sorted(f"qcmp/{path.name}" for path in (trees.source / "include/qcmp").glob("*.h"))
    expect(names == expected, f"installed headers: {names}")
    dialects = {"c": ["c11", "c17"], "cpp": ["c++11", "c++17"]}
    compilers = {"c": ["gcc", "clang"], "cpp": ["g++", "clang++"]}
    for name in names:
        for suffix in dialects:
            unit = trees.scratch / f"alone.{suffix}"
            # Twice, because a header must bear being included twice; the declaration keeps the unit from being empty.
            unit.write_text(f"#include <{name}>\n#include <{name}>\nextern int not_empty;\n")
            for compiler in compilers[suffix]:
                for dialect in dialects[suffix]:
                    run(compiler, f"-std={dialect}", *STRICT, "-I", include, unit)


CASES = {
    "find_package": find_package,
    "find_package_static": find_package_static,
    "pkg_config_shared": lambda trees: pkg_config(trees, shared=True),
    "pkg_config_static": lambda trees: pkg_config(trees, shared=False),
    "add_subdirectory": add_subdirectory,
    "symbols_shared": symbols_shared,
    "symbols_static": symbols_static,
    "headers": headers,
}


def main(case, source, build):
    with tempfile.TemporaryDirectory(prefix="paddock-embed-") as scratch:
        CASES[case](Trees(pathlib.Path(source), pathlib.Path(build), pathlib.Path(scratch)))
    print(f"{case}: fine")


if __name__ == "__main__":
    main(*sys.argv[1:])
