#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py CASE SOURCE BUILD: does with libqcmp what other people's builds do with it, and fails where that does not work.

CASE is a key of CASES, SOURCE this source tree, BUILD a build folder of it without sanitizers. Everything happens in a
temporary folder.
"""
import os
import pathlib
import re
import shutil
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


def configure_only(trees, source, *options):
    build = trees.scratch / "build"
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, *options)
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


def parent_exports_its_own(trees):
    # qcmp::qcmp is in an export set of ours, and what the child needs of us comes as a component.
    for shared in ("OFF", "ON"):
        build, prefix = trees.scratch / f"parent-{shared}", trees.scratch / f"installed-{shared}"
        run("cmake", "-G", "Ninja", "-S", HERE / "parent", "-B", build, f"-DPADDOCK_SOURCE={trees.source}",
            f"-DBUILD_SHARED_LIBS={shared}")
        run("cmake", "--build", build, "-j", "2")
        run("cmake", "--install", build, "--prefix", prefix)
        expect(not list(prefix.rglob("*qcmp*")), "the parent's installation brings files of ours unasked")
        run("cmake", "--install", build, "--prefix", prefix, "--component", "qcmp")
        child = trees.scratch / f"child-{shared}"
        run("cmake", "-G", "Ninja", "-S", HERE / "child", "-B", child, f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", child)
        check_program(trees, child / "game", shared=shared == "ON")


def library_only(trees):
    build = configure_only(trees, trees.source, "-DPADDOCK_LIBRARY_ONLY=ON", "-DPADDOCK_WERROR=ON")
    cache = (build / "CMakeCache.txt").read_text()
    expect("CMAKE_BUILD_TYPE:STRING=Release\n" in cache, "not a Release build by default")
    run("cmake", "--build", build, "-j", "2")
    run("cmake", "--install", build, "--prefix", trees.scratch / "installed")
    programs = [path for path in (trees.scratch / "installed").rglob("*") if path.parent.name == "bin"]
    expect(not programs, f"more than the library: {programs}")
    library = build / "src/libqcmp.so"
    run("strip", "-o", trees.scratch / "stripped", library)
    text = int(re.search(r"^\.text\s+(\d+)", run("size", "-A", trees.scratch / "stripped"), re.MULTILINE)[1])
    expect(text <= 24 * 1000, f".text has {text} bytes")
    print(f".text has {text} bytes")


def one_kind_alone(trees):
    # Whoever sets BUILD_SHARED_LIBS gets that kind, and no other.
    for shared, wanted, unwanted in (("ON", "libqcmp.so", "libqcmp.a"), ("OFF", "libqcmp.a", "libqcmp.so")):
        build, prefix = trees.scratch / f"alone-{shared}", trees.scratch / f"alone-{shared}/installed"
        run("cmake", "-G", "Ninja", "-S", trees.source, "-B", build, "-DPADDOCK_LIBRARY_ONLY=ON", f"-DBUILD_SHARED_LIBS={shared}")
        run("cmake", "--build", build, "-j", "2")
        run("cmake", "--install", build, "--prefix", prefix)
        expect(list(prefix.rglob(wanted)) and not list(prefix.rglob(unwanted)), f"BUILD_SHARED_LIBS={shared} is not obeyed")
        project = trees.scratch / f"user-{shared}"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(x LANGUAGES C)\nfind_package(qcmp REQUIRED)\n"
            f"add_executable(x {HERE}/main.c)\ntarget_link_libraries(x PRIVATE qcmp::qcmp)\n")
        run("cmake", "-G", "Ninja", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", project / "build")
        check_program(trees, project / "build/x", shared=shared == "ON")


def package_version(trees):
    # Below 1.0 a minor version may break, so that only the same one is compatible.
    prefix = trees.install()
    project = trees.scratch / "project"
    project.mkdir()
    for wanted, found in (("0.1", True), ("0.1.0", True), ("0.0.9", False), ("0.2", False), ("1.0", False)):
        (project / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.16)\nproject(x LANGUAGES C)\n"
                                                f"find_package(qcmp {wanted})\nmessage(STATUS \"found=${{qcmp_FOUND}}\")\n")
        shutil.rmtree(trees.scratch / "out", ignore_errors=True)
        said = run("cmake", "-S", project, "-B", trees.scratch / "out", f"-DCMAKE_PREFIX_PATH={prefix}")
        expect(("found=1" in said) == found, f"find_package(qcmp {wanted}): {said}")


GROWING = ["qcmp_client_options", "qcmp_client_event", "qcmp_probe_request", "qcmp_probe_event", "qcmp_survey_options",
           "qcmp_survey_result"]


def later_tree(trees):
    """The library's sources with a member more at the end of each struct that may grow, and a function more."""
    later = trees.scratch / "later"
    for name in ("include", "src", "cmake", "docs", "scripts"):
        shutil.copytree(trees.source / name, later / name)
    shutil.copy(trees.source / "CMakeLists.txt", later)
    for header in (later / "include/qcmp").glob("*.h"):
        text = header.read_text()
        for struct in GROWING:
            text = re.sub(rf"(\nstruct {struct} {{\n.*?)\n}};", r"\1\n    uint64_t added[4];\n};", text, flags=re.DOTALL)
        header.write_text(text)
    expect(sum((later / f"include/qcmp/{name}.h").read_text().count("added[4]") for name in ("client", "probe", "survey"))
           == len(GROWING), "the structs that may grow have other names now")
    return later


def build_library(trees, source, name):
    build = trees.scratch / name
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DPADDOCK_LIBRARY_ONLY=ON", "-DCMAKE_C_FLAGS=-g",
        f"-DCMAKE_INSTALL_PREFIX={build}/installed")
    run("cmake", "--build", build, "-j", "2")
    run("cmake", "--install", build)
    return next((build / "installed").rglob("libqcmp.so.0"))


def abi_can_grow(trees):
    later = later_tree(trees)
    earlier_library = build_library(trees, trees.source, "earlier-build")
    later_library = build_library(trees, later, "later-build")
    libraries = {"earlier": (trees.source, earlier_library), "later": (later, later_library)}
    # A program of either version, which puts a guard behind each struct, runs with the library of the other.
    for compiled, (tree, library) in libraries.items():
        program = trees.scratch / f"program-{compiled}"
        run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", tree / "include", HERE / "grow.c", "-o", program, library)
        for (_, runs) in libraries.values():
            run(program, LD_LIBRARY_PATH=str(runs.parent))
    if shutil.which("abidiff") is None:
        print("SKIPPED: abidiff (abigail-tools) is not installed")
        sys.exit(77)
    # abidiff by itself calls a longer struct a change; behind a pointer, at its end, it is what we allow. Everything else counts.
    rules = trees.scratch / "rules"
    rules.write_text("".join(f"[suppress_type]\nname = {name}\nhas_data_member_inserted_at = end\nhas_size_change = yes\n"
                             for name in GROWING))
    # What the public headers do not define is opaque, and none of anybody's ABI.
    compare = ["abidiff", "--suppressions", rules, "--hd1", trees.source / "include", "--hd2", later / "include"]
    run(*compare, earlier_library, later_library)
    # The comparison would notice: a member in the middle is refused.
    header = later / "include/qcmp/client.h"
    header.write_text(header.read_text().replace("    size_t slots;", "    size_t inserted;\n    size_t slots;", 1))
    broken = build_library(trees, later, "broken-build")
    said = subprocess.run([*map(str, compare), str(earlier_library), str(broken)], stdout=subprocess.PIPE, check=False)
    expect(said.returncode != 0, "abidiff does not notice a member in the middle")


def amalgamation(trees):
    folder = trees.scratch / "vendored"
    run(trees.source / "scripts/amalgamate", folder)
    (folder / "qcmp").mkdir()
    (folder / "qcmp/qcmp.h").write_text('#include "../qcmp.h"\n')
    for compiler, program in (("gcc", "main.c"), ("clang", "main.c"), ("g++", "main.cpp"), ("clang++", "main.cpp")):
        language = ["-x", "c++", "-std=c++20"] if program.endswith("cpp") else ["-std=c11"]
        run(compiler, *language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", folder, "-c", folder / "qcmp.c",
            "-o", folder / "qcmp.o")
        run(compiler, "-Wall", "-Wextra", "-Werror", "-I", folder, HERE / program, folder / "qcmp.o", "-o", folder / "game")
        check_program(trees, folder / "game", shared=False)


def unity(trees):
    # Another project's unity build, in C++20, whose flags reach ours.
    build = configure(trees, "add_subdirectory", f"-DPADDOCK_SOURCE={trees.source}", "-DCMAKE_UNITY_BUILD=ON",
                      "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0", "-DCMAKE_CXX_STANDARD=20", "-DCMAKE_C_FLAGS=-D_GNU_SOURCE")
    run("cmake", "--build", build, "-j", "2")
    check_program(trees, build / "cpp_qcmp", shared=False)


def shared_by_default(trees):
    build = configure(trees, "add_subdirectory", f"-DPADDOCK_SOURCE={trees.source}", "-DBUILD_SHARED_LIBS=ON")
    build_and_check(build, trees, qcmp_is_shared=True)


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
    dialects = {"c": ["c11", "c17", "c2x"], "cpp": ["c++11", "c++14", "c++17", "c++20", "c++2b"]}
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
    "parent_exports_its_own": parent_exports_its_own,
    "library_only": library_only,
    "one_kind_alone": one_kind_alone,
    "package_version": package_version,
    "abi_can_grow": abi_can_grow,
    "amalgamation": amalgamation,
    "unity": unity,
    "shared_by_default": shared_by_default,
}


def main(case, source, build):
    with tempfile.TemporaryDirectory(prefix="paddock-embed-") as scratch:
        CASES[case](Trees(pathlib.Path(source), pathlib.Path(build), pathlib.Path(scratch)))
    print(f"{case}: fine")


if __name__ == "__main__":
    main(*sys.argv[1:])
