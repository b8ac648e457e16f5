# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who started a flanneld of others, and what it was told."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import daemons


@pytest.mark.parametrize(
    "cgroup, expected",
    [
        ("0::/system.slice/flanneld.service\n", ("unit", "flanneld.service")),
        (
            "4:memory:/\n1:name=systemd:/system.slice/system-flanneld.slice/flanneld@red.service\n",
            ("unit", "flanneld@red.service"),
        ),
        (
            "0::/kubepods/burstable/pod0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c/8c1f\n",
            ("pod", "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c"),
        ),
        (
            "0::/kubepods.slice/kubepods-pod0f5dc38c_11f4_4a2c_9a66_1ee0c0d32a2c.slice/cri-8.scope\n",
            ("pod", "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c"),
        ),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ("process", "")),
        ("", ("process", "")),
    ],
)
def test_started_by(cgroup, expected):
    assert daemons.started_by(cgroup) == expected


def test_settings_of_the_command_line_come_before_those_of_the_environment():
    arguments = [
        "flanneld",
        "-etcd-prefix=/a",
        "--iface",
        "eth1",
        "--ip-masq",
        "--v=2",
        "-etcd-cafile=",
    ]
    environment = {"FLANNELD_ETCD_PREFIX": "/b", "FLANNELD_SUBNET_FILE": "/run/x.env", "HOME": "/"}
    assert daemons.settings(arguments, environment) == {
        "etcd-prefix": "/a",
        "subnet-file": "/run/x.env",
        "iface": "eth1",
        "ip-masq": "true",
        "v": "2",
        "etcd-cafile": "",
    }


def test_ours_and_other_programs_are_no_daemons_of_others(tmp_path):
    for pid, cmdline in {
        7: "/opt/bin/flanneld\0-etcd-prefix=/c/2flannel.1/network\0-etcd-endpoints=http://x:2379\0",
        8: "/usr/local/bin/flanneld\0--subnet-file=/run/flannel/networks/red.env\0",
        9: "/opt/cni/bin/flannel\0",
        10: "",
        11: "flanneld\0--kube-subnet-mgr\0",
    }.items():
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "cmdline").write_text(cmdline)
    (tmp_path / "7" / "fd" / "3").symlink_to("socket:[4711]")
    (tmp_path / "7" / "net").mkdir()
    (tmp_path / "7" / "net" / "udp").write_text(
        "  sl  local_address rem_address st queues tr tm->when retrnsmt uid timeout inode\n"
        "  1: 0BEE12C6:205D 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 4711 2\n"
        "  2: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 0 2\n"
    )
    first, second = daemons.others(str(tmp_path))
    assert first == {
        "pid": 7,
        "kind": "process",
        "id": "7",
        "subnet_file": "/run/flannel/subnet.env",
        "store": "keys below /c/2flannel.1/network in etcd at http://x:2379",
        "udp_ports": [8285],
    }
    assert second["store"] == "leases of the Kubernetes API"
    assert daemons.called(second) == "process 11"


@pytest.mark.parametrize(
    "environ, name",
    [
        (
            "POD_NAME=kube-flannel-ds-x7k2p\0POD_NAMESPACE=kube-flannel\0",
            "kube-flannel/kube-flannel-ds-x7k2p",
        ),
        # anybody's program may be called flanneld, and people copy the commands
        (
            "POD_NAME=x; reboot\0POD_NAMESPACE=kube-flannel\0",
            "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c",
        ),
        ("POD_NAME=kube-flannel-ds-x7k2p\0", "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c"),
        ("", "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c"),
    ],
)
def test_a_pod_has_the_name_that_its_manifest_tells_it(tmp_path, environ, name):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_text("/opt/bin/flanneld\0--kube-subnet-mgr\0")
    (tmp_path / "7" / "environ").write_text(environ)
    (tmp_path / "7" / "cgroup").write_text(
        "0::/kubepods/burstable/pod0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c/8c1f\n"
    )
    (found,) = daemons.others(str(tmp_path))
    assert (found["kind"], found["id"]) == ("pod", name)


def test_the_commands_that_stop_a_pod_are_said():
    daemon = {
        "kind": "pod",
        "id": "kube-flannel/kube-flannel-ds-x7k2p",
        "subnet_file": "/run/flannel/subnet.env",
    }
    assert daemons.in_pod(daemon) == (
        "The flanneld that writes /run/flannel/subnet.env runs in the pod"
        " kube-flannel/kube-flannel-ds-x7k2p, which Kubernetes would start again. Unless you have"
        " done this already, save its DaemonSet (kubectl -n kube-flannel get daemonset"
        " kube-flannel-ds -o yaml >kube-flannel-ds.yaml) and delete it so that its pods go on"
        " running (kubectl -n kube-flannel delete daemonset kube-flannel-ds --cascade=orphan). Then"
        " delete this host's pod (kubectl -n kube-flannel delete pod kube-flannel-ds-x7k2p), and"
        " run this again."
    )
    assert daemons.in_pod({**daemon, "id": "0f5d"}) == (
        "The flanneld that writes /run/flannel/subnet.env runs in the pod with the UID 0f5d, which"
        " Kubernetes would start again. Unless you have done this already, save its DaemonSet and"
        " delete it so that its pods go on running (--cascade=orphan). Then delete this host's pod,"
        " and run this again."
    )
    assert daemons.in_pod({**daemon, "kind": "unit"}) == ""
