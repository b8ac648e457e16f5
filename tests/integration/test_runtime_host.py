# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runtime_wiring on a host with a real systemd: what it changes, what it restarts, and
that all of it comes back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid

import pytest
from adhoc import ROOT
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("podman"), reason="needs root and podman"
)

# A kubelet of 2017 that says which options it was started with, and nothing else: what is tried is
# whether they reach it.
KUBELET = (
    '#!/bin/sh\n[ "$1" = --version ] && echo "Kubernetes v1.8.4" && exit\necho "$@" >'
    " /run/kubelet.options\nexec sleep 1000000\n"
)
# It is started when it has said what it was started with.
UNIT = (
    "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/local/bin/kubelet"
    " $KUBELET_OPTS\nExecStartPre=rm -f /run/kubelet.options\n"
    "ExecStartPost=sh -c 'until [ -s /run/kubelet.options ]; do sleep 0.1; done'\n"
)
OPTIONS = 'KUBELET_OPTS="--address=0.0.0.0 --network-plugin=kubenet --v=2"\n'
FILES = "/etc/default/kubelet /etc/crio/crio.conf.d/90-multinet.conf /etc/multinet/runtime.json"


class Host:
    """A container with systemd, and this checkout's module run in it."""

    def __init__(self, image):
        self.name = "mn-runtime-" + uuid.uuid4().hex[:8]
        self.inventory = self.name + ","
        subprocess.run(
            [
                "podman",
                "run",
                "-d",
                "--name",
                self.name,
                "--runtime",
                "runc",
                "--privileged",
                "--systemd=always",
                "--network",
                "none",
                "--ulimit",
                "nofile=16384:16384",
                "--ulimit",
                "nproc=16384:16384",
                image,
                "/sbin/init",
            ],
            check=True,
            capture_output=True,
        )
        self.sh(
            "until systemctl is-system-running --wait | grep -q 'running\\|degraded'; do sleep 0.1;"
            " done"
        )

    def sh(self, script, text=None):
        done = subprocess.run(
            ["podman", "exec", "-i", self.name, "timeout", "600", "sh", "-c", script],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stdout}{done.stderr}")
        return done.stdout

    def write(self, path, text):
        self.sh(f'mkdir -p "$(dirname {path})" && cat > {path}', text)

    def module(self, tmp_path, *options, module="runtime_wiring", **arguments):
        namespace = tmp_path / "collections" / "ansible_collections" / "multinet"
        if not namespace.exists():
            namespace.mkdir(parents=True)
            (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)
        command = [
            "ansible",
            "all",
            "-i",
            self.inventory,
            "-c",
            "containers.podman.podman",
            "-e",
            "ansible_python_interpreter=/usr/bin/python3",
            "-m",
            "multinet.flannel." + module,
            "-a",
            json.dumps(arguments or {"state": "present"}),
            *options,
        ]
        site = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(":")[-1] or next(
            path for path in sys.path if path.endswith("site-packages")
        )
        environment = dict(
            os.environ,
            ANSIBLE_COLLECTIONS_PATH=f"{tmp_path / 'collections'}:{site}",
            ANSIBLE_CONFIG=str(tmp_path / "none.cfg"),
            ANSIBLE_STDOUT_CALLBACK="minimal",
            ANSIBLE_NOCOLOR="1",
            PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"],
        )
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        start = done.stdout.find("=> {")
        if start < 0:
            raise RuntimeError(done.stdout + done.stderr)
        return json.JSONDecoder().raw_decode(done.stdout[start + 3 :])[0]

    def is_due(self, tmp_path):
        """Return what the preflight check says of it."""
        return self.module(
            tmp_path,
            module="node_preflight",
            plan={"networks": []},
            underlay_interface="lo",
            containerd_configure=True,
        )["wiring_due"]


@pytest.fixture(name="host")
def _host(environment):
    host = Host(environment["MULTINET_HOST_IMAGE"])
    try:
        host.write("/usr/local/bin/kubelet", KUBELET)
        host.write("/etc/systemd/system/kubelet.service", UNIT)
        host.write("/etc/default/kubelet", OPTIONS)
        host.write(
            "/etc/crio/crio.conf.d/01-crio.conf",
            '[crio.network]\nplugin_dirs = ["/usr/lib/cni/"]\n',
        )
        host.sh(
            "chmod 0755 /usr/local/bin/kubelet; chmod 0640 /etc/default/kubelet; systemctl"
            " daemon-reload; systemctl start kubelet"
        )
        yield host
    finally:
        subprocess.run(
            ["podman", "rm", "-f", "-v", "-t", "1", host.name], capture_output=True, check=False
        )


def test_there_and_back(host, tmp_path):
    first = host.sh(
        "stat -c '%a %n' /etc/default/kubelet; cat /etc/default/kubelet; find /etc -newer"
        " /etc/crio/crio.conf.d/01-crio.conf | sort"
    )

    assert host.is_due(tmp_path)
    foretold = host.module(tmp_path, "--check", "--diff", configure=True)
    assert foretold.get("changed"), foretold
    assert foretold["restarted"] == ["crio.service", "kubelet.service"]
    assert host.sh("cat /etc/default/kubelet") == OPTIONS, "check mode changes nothing"

    done = host.module(tmp_path, configure=True)
    assert {key: done[key] for key in ("changed", "changed_files", "restarted")} == {
        key: foretold[key] for key in ("changed", "changed_files", "restarted")
    }
    assert host.sh("cat /run/kubelet.options").split() == [
        "--address=0.0.0.0",
        "--v=2",
        "--network-plugin=cni",
        "--cni-conf-dir=/etc/cni/net.d",
        "--cni-bin-dir=/opt/cni/bin",
    ]
    assert 'plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]' in host.sh(
        "cat /etc/crio/crio.conf.d/90-multinet.conf"
    )
    assert host.sh("stat -c %a /etc/default/kubelet /etc/multinet/runtime.json").split() == [
        "640",
        "600",
    ]

    pid = host.sh("systemctl show -P MainPID kubelet")
    assert not host.is_due(tmp_path)
    assert host.module(tmp_path, configure=True)["changed"] is False
    assert host.sh("systemctl show -P MainPID kubelet") == pid, "nothing was restarted"

    assert host.module(tmp_path, state="absent")["changed"] is True
    assert host.sh("cat /run/kubelet.options").split() == [
        "--address=0.0.0.0",
        "--network-plugin=kubenet",
        "--v=2",
    ]
    host.sh("rmdir /etc/multinet")
    after = host.sh("stat -c '%a %n' /etc/default/kubelet; cat /etc/default/kubelet")
    assert first.startswith(after)
    assert host.sh(f"ls {FILES} 2>/dev/null || true").split() == ["/etc/default/kubelet"]
    assert host.module(tmp_path, state="absent")["changed"] is False


def test_a_run_that_was_cut_off_is_taken_up_again(host, tmp_path):
    """The record is there before the files: whatever was reached, the next run restarts what has
    not been, and all can be taken back.
    """
    host.module(tmp_path)
    record = json.loads(host.sh("cat /etc/multinet/runtime.json"))
    host.write("/etc/multinet/runtime.json", json.dumps(dict(record, pending=["kubelet.service"])))
    pid = host.sh("systemctl show -P MainPID kubelet")
    assert host.is_due(tmp_path)
    done = host.module(tmp_path)
    assert (
        done["changed"]
        and done["restarted"] == ["kubelet.service"]
        and host.sh("systemctl show -P MainPID kubelet") != pid
    )
    assert host.module(tmp_path)["changed"] is False


def test_status_names_a_runtime_that_lost_its_settings(host, tmp_path):
    """As by an upgrade of it: from then on, pods are attached by others."""
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "backend": {"type": "vxlan", "vni": 1}}
    planned = plan([{**blue, "default": True}], {"kubernetes": True})
    host.write("/etc/multinet/deployed.json", json.dumps({"plan": planned}))

    def told():
        found = host.module(
            tmp_path, module="node_status_info", cni_conf="/etc/cni/net.d/00-multinet.conf"
        )
        sentences = [one["sentence"] for one in found["deviations"]]
        return [one for one in sentences if one.startswith("CRI-O looks for CNI executables in")]

    assert len(told()) == 1
    host.module(tmp_path, configure=True)
    assert told() == []
    host.sh("rm /etc/crio/crio.conf.d/90-multinet.conf")
    assert len(told()) == 1
