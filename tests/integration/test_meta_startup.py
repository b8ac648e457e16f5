# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the meta-plugin imports for each pod.

It starts for every operation, so a module more is time more for every pod: whoever adds one here
has measured it (benchmarks/meta_plugin.py).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import library_files
from pythons import FOUND

START = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from multinet._meta.plugin import main
status = main("multinet")
sys.stderr.write(" ".join(set(sys.modules) - before))
sys.exit(status)
"""
DELEGATE = """#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}'
"""
STANDARD = {"__future__", "_json", "_socket", "_struct", "fcntl"}
ALWAYS = {"multinet", "multinet._cni", "multinet._meta", "multinet._meta.plugin"} | {
    "multinet._cni." + name
    for name in (
        "conf",
        "errors",
        "files",
        "invoke",
        "netns",
        "quick_json",
        "quick_os",
        "rtnetlink",
        "runtime",
        "skel",
        "version",
    )
}
ALWAYS |= {"multinet._names"} | {
    "multinet._meta." + name
    for name in (
        "bridge_plugin",
        "conf",
        "flannel",
        "flannel_plugin",
        "host_local_plugin",
        "in_process",
    )
}
WORK = {"multinet._meta.lock", "multinet._meta.state"}
# what runs an executable
PROCESS = {"errno", "select", "multinet._cni.process"}
# _ctypes: how Python before 3.12 enters a network namespace
IMPORTED = {
    "VERSION": ALWAYS | STANDARD,
    "ADD": ALWAYS | STANDARD | WORK | {"multinet._cni.result", "multinet._meta.add", "_ctypes"},
    "DEL": ALWAYS | STANDARD | WORK | {"multinet._meta.delete", "_ctypes"},
}
# What talks to the kernel, in place of six processes
BRIDGE = {"ADD": {"multinet._meta.bridge_port", "multinet._meta.guard"}, "DEL": set()}
LEASE = """\
FLANNEL_NETWORK=10.0.0.0/16
FLANNEL_SUBNET=10.0.0.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""


@pytest.mark.parametrize("python", FOUND)
def test_what_is_imported_for_each_pod(python, tmp_path):
    delegate = {"cniVersion": "1.0.0", "name": "one", "type": "delegate"}
    conf = {"delegates": [delegate, dict(delegate, name="two")]}
    for command, expected in IMPORTED.items():
        more = set() if command == "VERSION" else PROCESS
        check_imports(FOUND[python], tmp_path, command, conf, expected | more)


@pytest.mark.parametrize("python", FOUND)
def test_what_is_imported_where_flannel_is_done_in_process(python, tmp_path):
    (tmp_path / "lease").write_text(LEASE)
    (tmp_path / "flannel").write_text("#!/bin/false\n")
    (tmp_path / "flannel").chmod(0o755)
    flannel = {
        "cniVersion": "1.0.0",
        "name": "one",
        "type": "flannel",
        "subnetFile": str(tmp_path / "lease"),
        "dataDir": str(tmp_path / "data"),
        "delegate": {"type": "delegate"},
    }
    conf = {"delegates": [flannel], "inProcess": ["flannel", "tuning"]}
    for command in ("ADD", "DEL"):
        check_imports(FOUND[python], tmp_path, command, conf, IMPORTED[command] | PROCESS)


@pytest.fixture
def pod():
    """The path of a network namespace of a pod, in one of a host that goes with it."""
    name = f"startup-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield f"/run/netns/{name}"
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")
@pytest.mark.parametrize("python", FOUND)
def test_what_is_imported_where_all_of_a_network_is_done_in_process(python, tmp_path, pod):
    (tmp_path / "lease").write_text(LEASE)
    flannel = {
        "type": "flannel",
        "subnetFile": str(tmp_path / "lease"),
        "dataDir": str(tmp_path / "data"),
        "ipam": {"dataDir": str(tmp_path / "addresses")},
        "delegate": {"bridge": "mn-startup", "isDefaultGateway": True, "ipMasq": False},
    }
    for name in ("flannel", "bridge", "host-local", "tuning"):
        (tmp_path / name).write_text("#!/bin/false\n")
        (tmp_path / name).chmod(0o755)
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}
    network = {"cniVersion": "0.4.0", "name": "one", "plugins": [flannel, tuning]}
    conf = {"delegates": [network], "inProcess": ["flannel", "tuning", "bridge", "host-local"]}
    for command in ("ADD", "DEL"):
        expected = IMPORTED[command] | BRIDGE[command]
        check_imports(FOUND[python], tmp_path, command, conf, expected, pod, ["unshare", "--net"])


def check_imports(python, tmp_path, command, conf, expected, netns="/proc/self/ns/net", within=()):
    """Run a command of an installed meta-plugin; what it imports is what is expected.

    netns: of the pod; within: the command that it is run by.
    """
    for file in library_files.library(["meta-plugin"], str(tmp_path)):
        path = pathlib.Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
    (tmp_path / "delegate").write_text(DELEGATE)
    (tmp_path / "delegate").chmod(0o755)
    base = {"cniVersion": "1.0.0", "name": "multinet", "cniDir": str(tmp_path / "state")}
    done = subprocess.run(
        [*within, python, "-IS", "-c", START, str(tmp_path)],
        env={
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "pod",
            "CNI_NETNS": netns,
            "CNI_NETNS_OVERRIDE": "1",
            "CNI_IFNAME": "none0",
            "CNI_PATH": str(tmp_path),
            "PATH": "/usr/bin:/bin:/usr/sbin",
        },
        input=json.dumps(dict(base, **conf)),
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(done.stderr.split())
    assert found <= expected, (command, sorted(found - expected))
    ours = {name for name in expected if name.startswith("multinet")}
    assert ours <= found, (command, sorted(ours - found))
