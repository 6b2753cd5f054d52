#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_configuration.py SOURCE PADDOCK: paddock accepts each configuration that is delivered: of the unit, of Kubernetes, of the manual."""
import pathlib
import re
import sys
import tempfile

from support import commands, expect, run, skip

try:
    import yaml
except ModuleNotFoundError:
    skip("python3-yaml is not installed")


def uncommented(text):
    """With the settings that stand in comments."""
    return re.sub(r"^# ( *(?:- )?\w+:)", r"\1", text, flags=re.MULTILINE)


def configurations(source):
    """The texts, by where they stand."""
    manifest = yaml.safe_load((source / "packaging/kubernetes/configmap.yaml").read_text())
    page = (source / "docs/man/paddock.yaml.5.scd").read_text().split("\n```\n")
    expect(len(page) == 3, "paddock.yaml(5) has not one example")
    unit = (source / "packaging/systemd/paddock.yaml").read_text()
    expect("\nclusters:" in uncommented(unit) and "\nfilters:" in uncommented(unit), uncommented(unit))
    return {"packaging/systemd/paddock.yaml": unit, "packaging/systemd/paddock.yaml, uncommented": uncommented(unit),
            "packaging/kubernetes/configmap.yaml": manifest["data"]["paddock.yaml"],
            "docs/man/paddock.yaml.5.scd": page[1]}


def main(source, paddock):
    found = configurations(pathlib.Path(source))
    for where, text in found.items():
        expect(yaml.safe_load(text)["version"] == "v1alpha1", f"{where}: no version")
    if ("check",) not in commands(paddock):
        skip("this paddock has no command 'check': nobody checked the configurations")
    with tempfile.TemporaryDirectory(prefix="paddock-configuration-") as folder:
        for where, text in found.items():
            file = pathlib.Path(folder) / "paddock.yaml"
            file.write_text(text)
            run(paddock, "check", "-c", file)


if __name__ == "__main__":
    main(*sys.argv[1:])
