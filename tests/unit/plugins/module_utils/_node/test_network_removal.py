# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which a network goes, and what of the host's own CNI configuration stays."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import network_removal, removal


class Host(removal.Host):
    """A host that has everything, and tells what was run."""

    def __init__(self):
        self.done = []
        super().__init__(self.run)

    def run(self, command):
        if command[:1] == ["ip"] and "-j" in command:
            routes = [
                {"dst": "default", "dev": "eth0"},
                {"dst": "10.3.7.0/24", "dev": "mn-red"},
                {"dst": "10.3.8.0/24", "dev": "eth0"},
                {"dst": "10.4.0.0/16", "dev": "eth0"},
            ]
            return 0, json.dumps(routes), ""
        if command[:2] == ["systemctl", "show"]:
            return 0, "ActiveState=active\nUnitFileState=enabled\n", ""
        self.done.append(" ".join(command))
        return 0, "", ""

    def has_link(self, name):
        return True


@pytest.fixture(name="network")
def _network(tmp_path):
    for name in ("red.env", "red.subnet"):
        (tmp_path / name).write_text("", encoding="ascii")
    (tmp_path / "data").mkdir()
    return {
        "name": "red",
        "cni_name": "multinet-red",
        "cidr": "10.3.0.0/16",
        "unit": "flanneld@red.service",
        "bridge": "mn-red",
        "device": None,
        "devices": ["mn-red"],
        "environment_file": str(tmp_path / "red.env"),
        "subnet_file": str(tmp_path / "red.subnet"),
        "data_dir": str(tmp_path / "data"),
        "ipam_dir": str(tmp_path / "not-there"),
    }


def steps_of(host, network, conf):
    def detach(name):
        return [removal.Step(f"container on {name}", lambda: None)]

    return network_removal.network_steps(host, [network], str(conf), detach)


def test_no_container_is_stranded(tmp_path, network):
    conf = tmp_path / "00-multinet.conf"
    delegates = [{"name": "multinet-blue"}, {"name": "multinet-red"}]
    conf.write_text(json.dumps({"type": "multinet", "delegates": delegates}), encoding="ascii")
    host = Host()
    steps = steps_of(host, network, conf)
    assert [step.what for step in steps] == [
        f"delegates multinet-red of {conf}",
        "container on multinet-red",
        "unit flanneld@red.service",
        "device mn-red",
        "route 10.3.8.0/24 dev eth0",
        f"file {network['environment_file']}",
        f"file {network['subnet_file']}",
        f"directory {network['data_dir']}",
    ]
    for step in steps:
        step.act()
    assert host.done == [
        "systemctl disable --now flanneld@red.service",
        "ip link delete mn-red",
        "ip route delete 10.3.8.0/24 dev eth0",
    ]
    assert json.loads(conf.read_text()) == {"type": "multinet", "delegates": delegates[:1]}
    assert [path.name for path in tmp_path.iterdir()] == [conf.name]


def test_a_configuration_without_delegates_goes_and_one_that_is_torn_is_said(tmp_path, network):
    conf = tmp_path / "00-multinet.conf"
    conf.write_text('{"delegates": [{"name": "multinet-red"}]}', encoding="ascii")
    assert steps_of(Host(), network, conf)[0].what == f"file {conf}"
    conf.write_text("half a fi", encoding="ascii")
    with pytest.raises(removal.RemovalError, match="is not JSON"):
        steps_of(Host(), network, conf)
