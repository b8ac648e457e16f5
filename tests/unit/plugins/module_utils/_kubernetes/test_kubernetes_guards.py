# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""To which nodes flanneld's pods come, also where a DaemonSet named its nodes before."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    apply,
    daemonset,
    guards,
    objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

RED, BLUE = ("multinet.flannel/network-" + name for name in ("red", "blue"))
NETWORKS = [
    {"name": "red", "cidr": "10.3.0.0/16", "default": True, "backend": {"type": "vxlan", "vni": 2}}
]


def node(name="n1", **labels):
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {RED: labels["red"]} if labels else None},
    }


@pytest.mark.parametrize(
    ("there", "networks", "patched"),
    [
        (None, ["red"], {RED: "guarded"}),
        ({RED: "guarded", "a": "b"}, ["red"], None),
        ({RED: "yes"}, ["red"], {RED: "guarded"}),
        ({RED: "guarded"}, ["blue"], {RED: None, BLUE: "guarded"}),
        ({RED: "guarded", "multinet.flannel/networks": "ready"}, [], {RED: None}),
        ({"multinet.flannel/networks": "ready"}, [], None),
    ],
)
def test_a_node_has_the_labels_of_what_it_guards(there, networks, patched):
    item = {"metadata": {"name": "n1", "labels": there}}
    found = guards.change(item, networks)
    assert (found and found[0]["metadata"]["labels"]) == patched
    if patched == {RED: None, BLUE: "guarded"}:
        assert found[1] == [
            f"label Node n1: {BLUE}=guarded",
            f"remove the label {RED} from Node n1",
        ]


def test_only_the_labels_of_guards_count():
    labels = {RED: "guarded", BLUE: "no", "multinet.flannel/networks": "ready"}
    assert guards.networks_of({"metadata": {"labels": labels}}) == ["red"]
    assert guards.networks_of({"metadata": {}}) == []


class Api:
    """A cluster of three nodes, on two of which flanneld runs."""

    def __init__(self, daemon_set):
        self.nodes = {name: node(name) for name in ("n1", "n2", "n3")}
        self.daemon_set = daemon_set
        self.done = []

    def items(self, path, **query):
        if not path.endswith("/pods"):
            return [self.daemon_set] if path.endswith("/daemonsets") else []
        return [
            {"metadata": {}, "spec": spec, "status": {"phase": phase}}
            for spec, phase in (
                ({"nodeName": "n1"}, "Running"),
                ({"nodeName": "n2"}, "Running"),
                ({"nodeName": "n3"}, "Pending"),  # its guard is not there
                ({}, "Pending"),
            )
        ]

    def get(self, path):
        return self.nodes.get(path.rpartition("/")[2])

    def patch(self, path, change):
        name = path.rpartition("/")[2]
        self.done.append((name, change["metadata"]["labels"]))
        return node(name, red="guarded")

    def apply(self, path, item, **query):
        if not query:
            self.done.append("DaemonSet")
        return item


def daemon_sets():
    """Return (as it was made before there were the labels, as it is made now)."""
    settings = {"namespace": "kube-system", "image": "i", "max_unavailable": 1, "pki": {}}
    items = daemonset.objects(plan(NETWORKS, {"kubernetes": True}), {"red": {}}, settings)
    (now,) = (item for item in items if item["kind"] == "DaemonSet")
    template = now["spec"]["template"]
    pod = {key: value for key, value in template["spec"].items() if key != "nodeSelector"}
    before = {**now, "spec": {**now["spec"], "template": {**template, "spec": pod}}}
    return before, now


def test_nodes_that_a_daemon_set_named_are_labelled_before_it_selects_by_label():
    before, now = daemon_sets()
    api = Api(before)
    slept = []
    patience = apply.Patience(1, sleep=slept.append)
    leaving = apply.Scope(["DaemonSet"], leaving=["n2"])

    told = apply.bring_about(api, [now], leaving, check_mode=True)
    assert api.done == []
    done = apply.bring_about(api, [now], leaving, patience=patience)
    assert api.done == [("n1", {RED: "guarded"}), "DaemonSet"], "n1 would lose its flanneld"
    assert slept, "who makes the pods has not seen the label yet"
    changes = ["change Node n1", f"change {objects.label(now)}"]
    assert [one.what for one in done.changes] == [one.what for one in told.changes] == changes
    assert RED in done.changes[0].diff()["after"] and RED in told.changes[0].diff()["after"]

    api = Api(now)
    assert apply.bring_about(api, [now], apply.Scope(["DaemonSet"])).changes == [] and api.done == [
        "DaemonSet"
    ]


def test_of_a_node_that_is_labelled_nobody_is_warned():
    """Its other fields are written by Kubernetes itself."""
    before, now = daemon_sets()
    api = Api(before)
    for item in api.nodes.values():
        fields = {"f:spec": {"f:podCIDR": {}}}
        item["metadata"]["managedFields"] = [
            {"manager": "kube-controller-manager", "fieldsV1": fields}
        ]
    patience = apply.Patience(1, sleep=lambda dummy: None)
    done = apply.bring_about(api, [now], apply.Scope(["DaemonSet"]), patience=patience)
    assert done.changes[0].what == "change Node n1"
    assert [one.disputed for one in done.changes if one.disputed] == []
