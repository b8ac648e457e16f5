# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clusters and nodes are refused, and with which sentences."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    checks,
    pods_of_others,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

CLUSTER = {
    "server": "https://192.0.2.10:6443",
    "namespaces": ["default", "kube-system"],
    "nodes": {
        "n1": ["10.244.3.0/24"],
        "n2": [],
        "n3": ["10.9.0.0/24"],
        "n4": ["10.244.4.0/25"],
        "n5": ["10.244.5.0/24", "fd00:244:0:5::/64"],
    },
}
SETTINGS = {"server": "", "namespace": "kube-system", "nad_namespaces": ["default"]}
API = {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"], "node_cidr_mask_sizes": [24]}
DUAL = {
    "datastore": "kubernetes",
    "cluster_cidrs": ["10.244.0.0/16", "fd00:244::/48"],
    "node_cidr_mask_sizes": [24, 64],
}


@pytest.mark.parametrize(
    ("name", "settings"), [("n1", API), ("n2", {"datastore": "etcd"}), ("n5", DUAL), ("n5", API)]
)
def test_good_nodes(name, settings):
    assert checks.node_problems(CLUSTER, name, settings) == []


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        (
            "n9",
            API,
            (
                "The cluster has no node 'n9': set multinet_node_name of this host to one of n1,"
                " n2, n3, n4, n5."
            ),
        ),
        (
            "n2",
            API,
            (
                "Node 'n2' has no podCIDR, from which its subnets are derived: run the controller"
                " manager with --allocate-node-cidrs"
            ),
        ),
        (
            "n3",
            API,
            (
                "Node 'n3': podCIDR 10.9.0.0/24 is not in multinet_cluster_cidrs (10.244.0.0/16):"
                " write the controller manager's --cluster-cidr there."
            ),
        ),
        (
            "n4",
            API,
            (
                "Node 'n4': podCIDR 10.244.4.0/25 is not a /24: write the controller manager's"
                " --node-cidr-mask-size into multinet_node_cidr_mask_sizes."
            ),
        ),
        (
            "n1",
            DUAL,
            (
                "Node 'n1' has no IPv6 podCIDR, but multinet_cluster_cidrs has fd00:244::/48:"
                " remove that range, or give the node a podCIDR in it."
            ),
        ),
    ],
)
def test_nodes_that_will_not_do(name, settings, expected):
    problems = checks.node_problems(CLUSTER, name, settings)
    assert len(problems) == 1 and problems[0].startswith(expected)


@pytest.mark.parametrize(
    ("name", "here", "is_wrong"),
    [
        ("n1", ["10.1.0.1", "192.0.2.1"], False),
        ("n1", ["10.1.0.1", "192.0.2.2"], True),  # as when two addresses are exchanged
        ("n1", ["2001:db8::2"], True),
        ("n1", ["203.0.113.1"], False),  # the cluster knows it behind NAT
        ("n1", ["192.0.2.1", "192.0.2.2"], False),
        ("n3", ["192.0.2.2"], True),  # which has none yet
        ("n4", ["10.0.2.15"], False),  # as machines of Vagrant have it, all of them
        ("n9", ["192.0.2.2"], False),  # that there is no such node is told
    ],
)
def test_a_host_that_is_another_node_than_the_inventory_says(name, here, is_wrong):
    known = {"n1": ["192.0.2.1"], "n2": ["192.0.2.2", "2001:db8::2"], "n3": []}
    known.update({key: ["10.0.2.15"] for key in ("n4", "n5")})
    found = checks.wrong_node(dict(CLUSTER, addresses=known), name, here)
    assert found == (
        [
            f"This host has the address {here[-1]} of the node 'n2', and none of the node '{name}',"
            " whose subnets it would take. Correct ansible_host or multinet_node_name of this host."
        ]
        if is_wrong
        else []
    )
    assert checks.wrong_node(CLUSTER, name, here) == []


@pytest.mark.parametrize("version", ["v1.22.0", "v1.34.4-gke.1", "v2.0.0", "unknown", ""])
def test_versions_that_do(version):
    assert checks.cluster_problems(dict(CLUSTER, version=version), SETTINGS) == []


def test_good_cluster():
    assert checks.cluster_problems(CLUSTER, SETTINGS) == []
    assert (
        checks.cluster_problems(
            dict(CLUSTER, server="https://127.0.0.1:6443"),
            dict(SETTINGS, server="https://192.0.2.10:6443"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("cluster", "settings", "expected"),
    [
        (
            {"server": "https://127.0.0.1:6443"},
            {},
            "write the URL at which the hosts reach it into multinet_kubernetes_server.",
        ),
        (
            {},
            {"server": "192.0.2.10:6443"},
            (
                "multinet_kubernetes_server is '192.0.2.10:6443': write a URL such as"
                " https://192.0.2.10:6443."
            ),
        ),
        (
            {},
            {"server": "https://[::1"},
            (
                "multinet_kubernetes_server is 'https://[::1': write a URL such as"
                " https://192.0.2.10:6443."
            ),
        ),
        (
            {},
            {"nad_namespaces": ["default", "apps"]},
            (
                "multinet_nad_namespaces: the cluster has no namespace 'apps'. Make it (kubectl"
                " create namespace apps)"
            ),
        ),
        (
            {"pod_security": {"kube-system": "baseline"}},
            {"form": "daemonset"},
            "The namespace 'kube-system' enforces the Pod Security level 'baseline'",
        ),
        (
            {"pods_refused": "The API says no."},
            {"form": "daemonset"},
            "flanneld would not run in pods in the namespace 'kube-system'. The API says no. Or",
        ),
        (
            {"version": "v1.21.14+k3s1"},
            {},
            "The cluster has Kubernetes v1.21.14+k3s1, and v1.22 or newer is needed: upgrade it.",
        ),
        (
            {"terminating": ["default", "other"]},
            {},
            "multinet_nad_namespaces: the namespace 'default' is being deleted (Terminating)",
        ),
    ],
)
def test_clusters_that_will_not_do(cluster, settings, expected):
    problems = checks.cluster_problems(dict(CLUSTER, **cluster), dict(SETTINGS, **settings))
    assert len(problems) == 1 and expected in problems[0]


def test_definitions_of_others_that_have_the_name_of_a_network():
    """Said before anything is made: the networks of a former Multus have such."""
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "default": True}
    planned = plan([{**blue, "backend": {"type": "vxlan", "vni": 1}}], {"kubernetes": True})
    cluster = dict(CLUSTER, definitions=["apps/blue", "other/blue", "apps/red"])
    (taken,) = checks.names_taken(cluster, planned, ["default", "apps"])
    assert taken.startswith("NetworkAttachmentDefinition apps/blue already exists and is not the")
    assert checks.names_taken(CLUSTER, planned, ["apps"]) == []


def network(name, interface, attach="all"):
    return {"name": name, "attach": attach, "interface": interface}


def test_whose_interfaces_are_shifted():
    blue, red = network("blue", "eth0"), network("red", "net1")
    assert pods_of_others.shifted([blue, red], ["apps/macvlan"]) == [
        "In new pods, networks such as apps/macvlan are net2 and so on, no longer net1: attach: all"
        " gives net1 to red. Write an interface there that is not numbered, for example interface:"
        " red0. Then the other networks keep their interfaces."
    ]
    green = network("green", "net2")
    sentence = pods_of_others.shifted([blue, red, green], ["d/d", "a/a", "c/c", "b/b"])[0]
    assert "such as a/a, b/b, c/c, ... are net3" in sentence
    assert "gives net1 to red, green." in sentence


@pytest.mark.parametrize(
    ("networks", "others"),
    [
        ([network("red", "net1")], []),
        ([network("red", "net1", "request")], ["apps/macvlan"]),
        ([network("red", "red0"), network("blue", "eth0")], ["apps/macvlan"]),
    ],
)
def test_nobody_is_shifted(networks, others):
    assert pods_of_others.shifted(networks, others) == []


def test_flanneld_runs_where_its_namespace_lets_it():
    settings = dict(SETTINGS, form="daemonset")
    for levels in ({}, {"kube-system": "privileged"}, {"default": "restricted"}):
        assert checks.cluster_problems(dict(CLUSTER, pod_security=levels), settings) == []
    limited = dict(CLUSTER, pod_security={"kube-system": "baseline"})
    assert checks.cluster_problems(limited, SETTINGS) == []  # units are no pods


@pytest.mark.parametrize(
    ("pod", "is_multus"),
    [
        ({"image": "ghcr.io/k8snetworkplumbingwg/multus-cni:v4.2.3"}, True),
        ({"image": "registry.example/mirror@sha256:0", "command": ["/install_multus"]}, True),
        ({"image": "registry.example/multus/web:1"}, False),
        ({"image": "flannel:1", "command": ["/opt/bin/flanneld"]}, False),
        ({}, False),
    ],
)
def test_the_daemon_sets_of_multus(pod, is_multus):
    spec = {"template": {"spec": {"initContainers": [pod], "containers": [{"image": "web"}]}}}
    item = {"metadata": {"namespace": "kube-system", "name": "one"}, "spec": spec}
    assert pods_of_others.multus([item]) == (["kube-system/one"] if is_multus else [])


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("worker-0123", "worker-0123.example.com"),
        ("Worker-0123.example.com", "worker-0123.example.com"),
        ("woker-0042.example.com", "worker-0042.example.com"),
    ],
)
def test_of_thousands_of_nodes_those_with_like_names_are_named(name, first):
    nodes = {f"worker-{number:04}.example.com": [] for number in range(5000)}
    (said,) = checks.node_problems({"nodes": nodes}, name, API)
    begins = f"The cluster has no node '{name}': set multinet_node_name of this host to one of its"
    assert said.startswith(f"{begins} 5000 nodes, such as {first}, ") and len(said) < 300


@pytest.mark.parametrize("datastore", ["etcd", "kubernetes"])
def test_two_hosts_that_say_they_are_one_node(datastore):
    shared = dict(CLUSTER, shared=["n1"])
    (said,) = checks.node_problems(shared, "n1", dict(API, datastore=datastore))
    assert said.startswith("Several hosts of the inventory are the node 'n1': set")
    assert checks.node_problems(shared, "n5", dict(API, datastore=datastore)) == []
