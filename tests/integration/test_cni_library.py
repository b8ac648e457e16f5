# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/cni_library.md says can be done with the library alone is done here, with its own
lines, in a package that has nothing else.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from cni_host import BIN, NET, CniHost

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "plugins" / "module_utils" / "_cni"
PAGE = (ROOT / "docs" / "cni_library.md").read_text(encoding="utf-8")
RUNTIME, PLUGIN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(name="package")
def _package(tmp_path):
    shutil.copytree(
        LIBRARY,
        tmp_path / "alone" / "mypackage" / "_cni",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path / "alone"


def test_the_page_names_each_module():
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))
    assert sorted(named) == sorted(path.stem for path in LIBRARY.glob("[a-z]*.py"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")
def test_be_a_runtime(tmp_path, package, upstream_bin):
    host = CniHost(tmp_path, upstream_bin)
    try:
        pod = host.pod()
        network = {
            "name": "n",
            "cniVersion": "1.0.0",
            "plugins": [
                {
                    "type": "bridge",
                    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]},
                }
            ],
        }
        (host.path(NET) / "10-n.conflist").write_text(json.dumps(network), encoding="utf-8")
        text = RUNTIME.replace("/run/netns/one", "/run/netns/" + pod).replace(
            "/var/lib/mine", "/var/lib/cni/mine"
        )
        done = host.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                f"import sys; sys.path.insert(0, {str(package)!r})\n"
                + text
                + "print(entry['result'])",
            ]
        )
        assert done.returncode == 0, done.stderr
        assert "10.9.0.2/24" in done.stdout
        assert host.addresses(pod) == {}
        assert host.leftovers() == []
        (host.path(BIN) / "bridge").unlink()
        done = host.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                f"import sys; sys.path.insert(0, {str(package)!r})\n" + text,
            ]
        )
        assert done.returncode == 1 and "There is no executable bridge" in done.stderr
        assert host.leftovers() == []
    finally:
        host.close()


def test_be_a_plugin(package):
    environ = {
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": "/no/such",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/bin",
        "CNI_COMMAND": "ADD",
    }

    def call(**conf):
        argv = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(package)!r})\n" + PLUGIN,
        ]
        done = subprocess.run(
            argv, env=environ, input=json.dumps(conf), capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout)

    assert call(cniVersion="1.0.0", name="n", greeting="hello") == (0, {"cniVersion": "1.0.0"})
    assert call(cniVersion="1.0.0", name="n") == (
        1,
        {"cniVersion": "1.0.0", "code": 7, "msg": "`greeting` is missing."},
    )
