# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a cluster as an inventory, and which of them join."""

from __future__ import annotations

from ansible.inventory.data import InventoryData
from ansible_collections.multinet.flannel.plugins.inventory.nodes import InventoryModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes.nodes import LABEL, TAINT

OPTIONS = {"address": "InternalIP", "strict": True, "compose": {}, "groups": {}, "keyed_groups": []}


def node(name, labels=None, taints=None, **addresses):
    return {
        "metadata": {"name": name, "labels": labels, "resourceVersion": "1"},
        "spec": {"taints": taints},
        "status": {"addresses": [{"type": one, "address": at} for one, at in addresses.items()]},
    }


def filled(nodes, **options):
    plugin, inventory = InventoryModule(), InventoryData()
    plugin.inventory = inventory
    plugin.get_option = {**OPTIONS, **options}.get
    plugin.fill(nodes)
    return inventory


READY = {LABEL: "ready"}


def test_nodes_without_the_networks_join():
    inventory = filled(
        [
            node("n2", None, None, Hostname="n2", InternalIP="192.0.2.2"),
            node("n1", READY, [{"key": "other"}], InternalIP="192.0.2.1"),
            node("n3", READY, [{"key": TAINT}]),
        ]
    )
    groups = inventory.get_groups_dict()
    assert groups["multinet_nodes"] == ["n1", "n2", "n3"]
    assert groups["multinet_joining"] == ["n2", "n3"]
    hosts = {name: host.vars for name, host in inventory.hosts.items()}
    assert (hosts["n2"]["ansible_host"], hosts["n2"]["multinet_node_name"]) == ("192.0.2.2", "n2")
    assert "ansible_host" not in hosts["n3"]


def test_a_cluster_without_nodes_and_another_kind_of_address():
    assert filled([]).get_groups_dict()["multinet_joining"] == []
    inventory = filled([node("n1", InternalIP="192.0.2.1", Hostname="one")], address="Hostname")
    assert inventory.hosts["n1"].vars["ansible_host"] == "one"


def test_a_file_of_its_options_is_known_by_its_name(tmp_path):
    for name, is_one in (("nodes.yml", True), ("my_nodes.yaml", True), ("hosts.yml", False)):
        (tmp_path / name).write_text("plugin: multinet.flannel.nodes\n", encoding="utf-8")
        assert InventoryModule().verify_file(str(tmp_path / name)) is is_one


def test_nodes_with_windows_are_no_hosts():
    said = dict(node("w1"), status={"nodeInfo": {"operatingSystem": "windows"}})
    inventory = filled([node("w2", {"kubernetes.io/os": "windows"}), said, node("n1")])
    assert inventory.get_groups_dict()["multinet_nodes"] == ["n1"]
    assert inventory.get_groups_dict()["multinet_joining"] == ["n1"]
