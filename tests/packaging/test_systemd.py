#!/usr/bin/env python3
"""test_systemd.py SOURCE PADDOCK: systemd accepts the unit and the user, and the unit is hardened: its exposure is at or below 2.0."""
import pathlib
import re
import shutil
import sys
import tempfile

from support import expect, run, skip

MOST_EXPOSURE = 2.0


def main(source, paddock):
    for tool in ("systemd-analyze", "systemd-sysusers"):
        if shutil.which(tool) is None:
            skip(f"{tool} (package systemd) is not installed: nobody looked at the unit")
    folder = pathlib.Path(source) / "packaging/systemd"
    shown = run("systemd-analyze", "security", "--offline=true", "--no-pager", folder / "paddock.service")
    exposure = float(re.search(r"Overall exposure level for paddock\.service: ([0-9.]+)", shown)[1])
    print(f"exposure {exposure}")
    expect(exposure <= MOST_EXPOSURE, f"{shown}\nexposure {exposure} is above {MOST_EXPOSURE}")
    with tempfile.TemporaryDirectory(prefix="paddock-systemd-") as scratch:
        # verify wants the program to be there, and that of the build stands elsewhere.
        unit = pathlib.Path(scratch) / "paddock.service"
        text, replaced = re.subn(r"^ExecStart=/usr/bin/paddock\b", f"ExecStart={paddock}",
                                 (folder / "paddock.service").read_text(), flags=re.MULTILINE)
        expect(replaced == 1, "the unit starts something else")
        unit.write_text(text)
        run("systemd-analyze", "verify", "--man=no", unit)
        (pathlib.Path(scratch) / "etc").mkdir()
        run("systemd-sysusers", f"--root={scratch}", folder / "paddock.sysusers")
        users = (pathlib.Path(scratch) / "etc/passwd").read_text()
        expect(re.search(r"^paddock:.*nologin$", users, re.MULTILINE), f"users made: {users}")


if __name__ == "__main__":
    main(*sys.argv[1:])
