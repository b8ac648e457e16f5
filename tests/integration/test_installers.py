# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories that docs/integration.md shows: Ansible reads them, and their plans are right."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from adhoc import ROOT, Ansible

DOCUMENT = (ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
KUBESPRAY, K3S = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
# As users of Kubespray have it: groups, and a group of groups.
THEIRS = {
    "kube_control_plane": {"hosts": {"n1": {}}},
    "etcd": {"hosts": {"n1": {}}},
    "kube_node": {"hosts": {"n2": {}, "n3": {}}},
    "k8s_cluster": {
        "children": {"kube_control_plane": {}, "kube_node": {}},
        "vars": {"kube_network_plugin": "cni", "kube_pods_subnet": "10.66.0.0/16"},
    },
}
WANTED = (
    "multinet_plan",
    "multinet_nodes",
    "multinet_cluster_cidrs",
    "multinet_service_cidrs",
    "multinet_cni_conf_dir",
    "multinet_cni_bin_dir",
    "multinet_etcd_members",
    "multinet_node_name",
)
SHOW = [
    {
        "name": "Show the plan",
        "hosts": "multinet_nodes",
        "gather_facts": False,
        "roles": ["multinet.flannel.multinet"],
        "tasks": [
            {
                "name": "Write what follows from the inventory",
                "ansible.builtin.copy": {
                    "content": "{{ found | to_json }}",
                    "dest": "{{ playbook_dir }}/{{ inventory_hostname }}.json",
                    "mode": "0644",
                },
                "vars": {"found": {name: f"{{{{ {name} }}}}" for name in WANTED}},
                "delegate_to": "localhost",
                "check_mode": False,
            }
        ],
    }
]


@pytest.fixture(name="plan_of")
def _plan_of(tmp_path):
    def plan_of(*inventories):
        ansible = Ansible(tmp_path, {})
        options = []
        for number, inventory in enumerate(inventories):
            path = tmp_path / f"{number}.yml"
            path.write_text(inventory)
            options += ["-i", str(path)]
        assert ansible.playbook(SHOW, "--check", *options) == 0, ansible.output
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*[0-9].json")}

    return plan_of


def test_kubespray(plan_of):
    found = plan_of(yaml.safe_dump(THEIRS), KUBESPRAY)
    assert sorted(found) == ["n1", "n2", "n3"]
    for host, one in found.items():
        assert one["multinet_nodes"] == ["n1", "n2", "n3"]
        assert one["multinet_node_name"] == host
        assert one["multinet_cluster_cidrs"] == ["10.66.0.0/16"]
        assert one["multinet_service_cidrs"] == ["10.233.0.0/18"]
        assert one["multinet_cni_conf_dir"] == "/etc/cni/net.d"
        assert one["multinet_etcd_members"] == [], "Kubespray's etcd is not asked"
        assert [network["name"] for network in one["multinet_plan"]["networks"]] == ["blue", "red"]


def test_k3s(plan_of):
    found = plan_of(K3S)
    assert sorted(found) == ["agent1", "server1"]
    one = found["agent1"]
    assert one["multinet_cni_conf_dir"] == "/var/lib/rancher/k3s/agent/etc/cni/net.d"
    assert one["multinet_cni_bin_dir"] == "/var/lib/rancher/k3s/data/cni"
    assert [network["name"] for network in one["multinet_plan"]["networks"]] == ["blue", "red"]


def test_k3s_with_calico(plan_of):
    calico = re.search(r"`(\{name: calico.*?\})`", DOCUMENT, re.DOTALL)[1]
    inventory = re.sub(r"\{name: blue.*", calico.replace("\n", " "), K3S)
    assert [
        network["name"] for network in plan_of(inventory)["server1"]["multinet_plan"]["networks"]
    ] == ["red"]
