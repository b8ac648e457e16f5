# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Node objects are made to say of the networks."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import nodes
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes.admin import AdminError

OTHER = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def node(labels=None, annotations=None, taints=None):
    metadata = {"name": "node1", "resourceVersion": "7"}
    metadata.update(labels=labels, annotations=annotations)
    return {"metadata": metadata, "spec": {"taints": taints}}


def test_a_node_that_joins_gets_the_label_and_loses_the_taint():
    joining = node({"a": "b"}, None, [{"key": nodes.TAINT, "effect": "NoExecute"}, OTHER])
    patch, what = nodes.change(joining, True)
    assert patch == {
        # or a taint that came meanwhile would be lost
        "metadata": {"labels": {nodes.LABEL: "ready"}, "resourceVersion": "7"},
        "spec": {"taints": [OTHER]},
    }
    assert what == [
        "label Node node1: multinet.flannel/networks=ready",
        "remove the taint multinet.flannel/no-networks from Node node1",
    ]
    assert nodes.is_announced(node({nodes.LABEL: "ready"}, {"red.multinet.flannel/x": "1"}))
    assert not nodes.is_announced(node({nodes.LABEL: "ready"}, None, [{"key": nodes.TAINT}]))


def test_a_node_that_has_them_no_more_loses_label_and_leases():
    annotations = {
        "red.multinet.flannel/public-ip": "192.0.2.7",
        "red.multinet.flannel/backend-data": "null",
        "blue.multinet.flannel/public-ip": "192.0.2.7",
        "flannel.alpha.coreos.com/public-ip": "192.0.2.7",
        "multinet.flannel": "mine",
    }
    patch, what = nodes.change(node({nodes.LABEL: "ready"}, annotations), False)
    assert patch == {
        "metadata": {
            "labels": {nodes.LABEL: None},
            "annotations": {
                key: None
                for key in annotations
                if key.endswith(("-ip", "-data")) and "alpha" not in key
            },
        }
    }
    assert what == [
        "remove the label multinet.flannel/networks from Node node1",
        "remove the leases of blue, red from Node node1",
    ]
    assert nodes.change(node(), False) is None
    leaving = nodes.change(node({nodes.LABEL: "ready"}, annotations), False, leases_stay=True)
    assert leaving == ({"metadata": {"labels": {nodes.LABEL: None}}}, what[:1])
    assert nodes.change(node({}, annotations), False, leases_stay=True) is None


class Api:
    """A node that somebody else changes while it is changed."""

    def __init__(self, conflicts):
        self.conflicts = conflicts
        self.patched = []

    def get(self, path):
        return node() if path == "/api/v1/nodes/node1" else None

    def patch(self, path, change):
        if self.conflicts:
            self.conflicts -= 1
            raise AdminError("HTTP 409", 409)
        self.patched.append((path, change))


def test_a_conflict_is_tried_again_and_a_node_that_is_gone_is_passed_over():
    api = Api(2)
    assert len(nodes.bring_about(api, ["gone", "node1"], has_networks=True)) == 1
    assert len(api.patched) == 1
    with pytest.raises(AdminError):
        nodes.bring_about(Api(9), ["node1"], has_networks=True)
    api = Api(0)
    assert nodes.bring_about(api, ["node1"], has_networks=True, check_mode=True)
    assert api.patched == []


def test_nodes_that_the_inventory_does_not_have_are_named():
    of_linux = {"nodeInfo": {"operatingSystem": "linux"}}
    n1, n2, n3 = (
        {"metadata": {"name": name}, "status": status}
        for name, status in (("n1", {}), ("n2", of_linux), ("n3", None))
    )
    assert nodes.outside([n1, n2], ["n1", "n2", "n3"]) == ""
    assert nodes.outside([n3, n1, n2], ["n1"]).startswith(
        "Nodes of the cluster that are not in the inventory: n2, n3. "
    )
    many = [{"metadata": {"name": f"n{number:04}"}} for number in range(5000)]
    said = nodes.outside(many, ["n0001"])
    assert "n0000, n0002, " in said and ", n0010 and 4989 more. Pods" in said and len(said) < 500


@pytest.mark.parametrize(
    "windows",
    [
        {"metadata": {"name": "w1"}, "status": {"nodeInfo": {"operatingSystem": "windows"}}},
        {"metadata": {"name": "w1", "labels": {"kubernetes.io/os": "windows"}}},
    ],
)
def test_a_node_that_cannot_have_the_networks_is_not_named(windows):
    assert nodes.outside([windows], []) == ""
