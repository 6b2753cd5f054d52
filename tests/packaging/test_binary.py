#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_binary.py CASE SOURCE PADDOCK: what the program is built with, as readelf(1) shows it."""
import pathlib
import re
import shutil
import sys

from support import expect, run, skip


def it_is_hardened(_source, paddock):
    if shutil.which("readelf") is None:
        skip("readelf is not installed")
    header, dynamic = run("readelf", "-hW", paddock), run("readelf", "-dlW", paddock)
    expect("DYN (Position-Independent Executable" in header, header)
    expect("GNU_RELRO" in dynamic and re.search(r"FLAGS.*(BIND_NOW|NOW)", dynamic), dynamic)
    expect(re.search(r"GNU_STACK.* RW ", dynamic), dynamic)
    imported = run("readelf", "--dyn-syms", "-W", paddock)
    expect("__stack_chk_fail" in imported, "no stack protector")
    if pathlib.Path("/etc/debian_version").exists():  # a C library with fortified functions
        expect(re.search(r"__(mem|str|v?snprintf|read|poll)\w*_chk@", imported), "no fortified function")


def it_names_no_path_of_the_build(source, paddock):
    """In debugging information and BPF programs, too: then two builds in two places are the same bytes."""
    data = pathlib.Path(paddock).read_bytes()
    for path in {str(pathlib.Path(source)), str(pathlib.Path(paddock).parent.parent)}:
        at = data.find(path.encode() + b"/")
        expect(at < 0, f"{path} is in the program: {data[at - 20:at + 120]}")


if __name__ == "__main__":
    {case.__name__: case for case in (it_is_hardened, it_names_no_path_of_the_build)}[sys.argv[1]](*sys.argv[2:])
