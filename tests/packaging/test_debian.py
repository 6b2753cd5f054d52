#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_debian.py SOURCE: the Debian packages agree with the tree: version, what the build needs, what is installed."""
import pathlib
import re
import sys

from support import expect

# In build-essential, or for checks that a package build leaves out.
IMPLIED = {"gcc", "libc6-dev", "python3"}


def version_is_that_of_the_tree(source):
    cmake = re.search(r"project\(paddock VERSION (\S+)", (source / "CMakeLists.txt").read_text())[1]
    debian = re.match(r"paddock \((\S+)\)", (source / "debian/changelog").read_text())[1]
    image = re.search(r"image: paddock:(\S+)", (source / "packaging/kubernetes/deployment.yaml").read_text())[1]
    expect(cmake == debian == image, f"versions: CMake {cmake}, Debian {debian}, Kubernetes {image}")


def build_depends_on_what_the_build_needs(source):
    groups = dict(re.findall(r"^(\w+)=\(\n(.*?)^\)", (source / "scripts/install-dependencies").read_text(),
                             re.MULTILINE | re.DOTALL))
    needed = set(re.findall(r"^ +'(\S+)", groups["build"], re.MULTILINE)) - IMPLIED
    stated = re.search(r"^Build-Depends:(.*(?:\n .*)*)", (source / "debian/control").read_text(), re.MULTILINE)[1]
    depends = {re.match(r"\S+", part.strip())[0].rstrip(",") for part in stated.split(",")}
    expect("cmake" in needed and needed <= depends, f"debian/control: Build-Depends lacks {sorted(needed - depends)}")


def files_of_the_tree_that_packages_take_are_there(source):
    taken = [line.split()[0] for path in (source / "debian").iterdir() if path.suffix in (".install", ".docs")
             for line in path.read_text().splitlines()]
    ours = [path for path in taken if not path.startswith("usr/")]
    expect(ours, f"files: {taken}")
    for path in ours:
        expect((source / path).exists(), f"debian/ takes {path}, which is not in the tree")


def symbols_are_those_of_the_headers(source):
    text = "".join(path.read_text() for path in (source / "include/qcmp").glob("*.h"))
    declared = set(re.findall(r"^QCMP_EXPORT\s[^;(]*?(\w+)\s*\(", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL), re.MULTILINE))
    listed = set(re.findall(r"^ (qcmp_\w+)@QCMP_0 ", (source / "debian/libqcmp0.symbols").read_text(), re.MULTILINE))
    expect(declared == listed, f"in the headers or in the symbols file, but not both: {sorted(declared ^ listed)}")


def main(source):
    source = pathlib.Path(source)
    version_is_that_of_the_tree(source)
    build_depends_on_what_the_build_needs(source)
    files_of_the_tree_that_packages_take_are_there(source)
    symbols_are_those_of_the_headers(source)


if __name__ == "__main__":
    main(*sys.argv[1:])
