# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the subnet server is told, whom it believes, and what it counts."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import (
    config,
    metrics,
    own_node,
    peer,
)
from ansible_collections.multinet.flannel.plugins.module_utils._subnets.nodes import Nodes
from ansible_collections.multinet.flannel.plugins.module_utils._subnets.subnets import Node
from ansible_collections.multinet.flannel.plugins.module_utils._subnets.written import Written

RAW = {
    "node_name": "n",
    "kubeconfig": "/kubeconfig",
    "cluster_cidrs": ["10.244.0.0/16"],
    "node_cidr_mask_sizes": [24],
    "networks": [
        {
            "name": "red",
            "annotation_prefix": "red.multinet.flannel",
            "cidr": "10.3.0.0/16",
            "subnet_len": 24,
            "subnet_file": "/run/red.env",
            "bridge": "mn-red",
            "ipam_dir": "/ipam/red",
        }
    ],
    "listen": {"address": "127.0.0.1", "port": 10253},
}
PREFIX = "red.multinet.flannel/"


def load(directory, **changes):
    path = directory / "subnets.json"
    path.write_text(json.dumps(dict(RAW, **changes)), encoding="utf-8")
    return config.load(str(path))


def test_a_configuration(tmp_path):
    told = load(tmp_path)
    assert told.on_host["red"] == config.OnHost("/run/red.env", "mn-red", "/ipam/red")
    assert (told.listen, told.remote, told.default_network) == (("127.0.0.1", 10253), None, None)
    assert PREFIX + "public-ip" in told.known


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"networks": []}, "has nothing in 'networks'"),
        ({"listen": {"address": "192.0.2.1", "port": 1}}, "which allows only loopback"),
        ({"networks": [{"name": "red"}]}, "not the configuration of a subnet server: KeyError"),
        ({"cluster_cidrs": ["x"]}, "not the configuration of a subnet server: ValueError"),
        (
            {"remote": {"address": "192.0.2.1"}},
            "not the configuration of a subnet server: KeyError 'port'",
        ),
    ],
)
def test_configurations_that_will_not_do(tmp_path, changes, sentence):
    with pytest.raises(config.ConfigError, match=sentence):
        load(tmp_path, **changes)


@pytest.mark.parametrize(
    ("common_name", "node"), [("system:node:n1", "n1"), ("n1", "n1"), (None, "")]
)
def test_a_certificate_names_a_node(common_name, node):
    subject = ((("organizationName", "x"),),)
    if common_name:
        subject += ((("commonName", common_name),),)
    assert peer.of_certificate({"subject": subject}) == peer.Peer(True, node, f"node {node}")


def test_the_user_behind_a_connection(tmp_path):
    row = "   0: {}:0035 {}:9C40 01 0:0 0:0 0 {} 0 1 2"
    (tmp_path / "tcp").write_text(
        "head\n" + row.format("0100007F", "0100007F", 7), encoding="ascii"
    )
    (tmp_path / "tcp6").write_text(
        "head\n" + row.format("0" * 24 + "01000000", "0" * 24 + "01000000", 8), encoding="ascii"
    )
    table = f"{tmp_path}/"
    assert peer.owner_in_table(("127.0.0.1", 53), ("127.0.0.1", 40000), table) == 7
    assert peer.owner_in_table(("::1", 53), ("::1", 40000), table) == 8
    assert peer.owner_in_table(("127.0.0.1", 54), ("127.0.0.1", 40000), table) is None


@pytest.mark.parametrize(
    "row", ["06 0:0 3:1 0 0 0 0 3 x", "08 0:0 0:0 0 0 0 4711 1 x", "01 0:0 0:0 0 0 0 0 3 x"]
)
def test_a_closed_connection_has_no_user(tmp_path, row):
    (tmp_path / "tcp").write_text(f"head\n 0: 0100007F:0035 0100007F:9C40 {row}", encoding="ascii")
    assert peer.owner_in_table(("127.0.0.1", 53), ("127.0.0.1", 40000), f"{tmp_path}/") is None


def test_metrics():
    counted = metrics.Metrics()
    counted.add("requests_total", code=200, verb="GET")
    counted.add("requests_total", code=200, verb="GET")
    counted.add("watches", 0, network="red")
    counted.include(lambda: [("nodes", 3)])
    lines = counted.text().splitlines()
    assert lines[:2] == ['requests_total{code="200",verb="GET"} 2', 'watches{network="red"} 0']
    assert lines[-1] == "nodes 3"
    assert [line.split()[0] for line in lines[2:4]] == [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ]


class FakeHost:
    """A host whose flanneld works with one subnet."""

    def __init__(self, subnet):
        self.subnet = subnet
        self.file = [subnet]
        self.runs = True
        self.ended = 0

    def subnets_in_file(self, path):
        return self.file

    def remove_file(self, path):
        self.file = []

    def end_flanneld(self, subnet_file):
        self.ended += self.runs
        self.file = [self.subnet] if self.runs else self.file  # the next one is not better
        return [4711] if self.runs else []

    def addresses(self, device):
        return []


@pytest.mark.parametrize(
    "text, subnets",
    [
        ("", []),
        ("FLANNEL_SUBNET=10.3.7.1/24\nFLANNEL_MTU=1450\n", ["10.3.7.0/24"]),
        (
            "FLANNEL_IPV6_SUBNET=fd00::1/64\nFLANNEL_SUBNET=10.3.7.1/24\n",
            ["10.3.7.0/24", "fd00::/64"],
        ),
        ("FLANNEL_SUBNET=10.3.7.1", []),  # half of a file
    ],
)
def test_what_flanneld_wrote_is_read_as_by_all_others(tmp_path, text, subnets):
    (tmp_path / "red.env").write_text(text)
    assert own_node.Host.subnets_in_file(str(tmp_path / "red.env")) == subnets
    assert own_node.Host.subnets_in_file(str(tmp_path / "none")) == []


def test_a_flanneld_is_ended_when_it_is_wrong_twice_and_not_again_for_a_minute(tmp_path):
    told, kept, host, said = load(tmp_path), Nodes(), FakeHost("10.3.9.0/24"), []
    node = {
        "metadata": {"name": "n", "resourceVersion": "1"},
        "spec": {"podCIDRs": ["10.244.3.0/24"]},
    }
    kept.replace([Node(node, told.known)], "1")
    reconciler = own_node.Reconciler(told, kept, host, None, Written(str(tmp_path)), said.append)
    ended = []
    for now in (0.0, 5.0, 10.0, 64.0, 66.0):
        reconciler.look(now)
        ended.append(host.ended)
    assert ended == [0, 1, 1, 1, 2]
    assert "it works with 10.3.9.0/24, but this node now has 10.3.3.0/24" in said[0]
    assert ('multinet_subnets_flanneld_restarts_total{network="red"}', 2) in reconciler.samples()


@pytest.mark.parametrize("pod_cidrs", [["10.244.3.0/24"], [], None])
def test_no_pod_gets_an_address_of_a_subnet_that_is_not_the_nodes_any_more(tmp_path, pod_cidrs):
    """A Node object made anew has no labels, so the kubelet ends the flanneld that runs in a pod;
    or it has another name. Another node may have the former subnet by then.
    """
    told, kept, host, said = load(tmp_path), Nodes(), FakeHost("10.3.9.0/24"), []
    host.runs = False
    node = {"metadata": {"name": "n", "resourceVersion": "1"}, "spec": {"podCIDRs": pod_cidrs}}
    kept.replace([] if pod_cidrs is None else [Node(node, told.known)], "1")
    reconciler = own_node.Reconciler(told, kept, host, None, Written(str(tmp_path)), said.append)
    files = []
    for now in (0.0, 5.0, 10.0, 70.0):
        reconciler.look(now)
        files.append(list(host.file))
    assert files == [["10.3.9.0/24"], [], [], []]
    (sentence,) = [one for one in said if "10.3.9.0/24" in one]
    assert sentence.endswith("Until it runs, new pods of the network wait."), said


class FakeApi:
    """Takes changes of the own node, and events."""

    def __init__(self):
        self.patched = []
        self.events = []

    def patch_own(self, name, annotations):
        self.patched.append((name, annotations))
        return 200, {}

    def create_event(self, namespace, event):
        self.events.append((namespace, event))
        return 201


LEASE = {PREFIX + "kube-subnet-manager": "true", PREFIX + "public-ip": "192.0.2.7"}


def the_node(annotations):
    metadata = {"name": "n", "resourceVersion": "1", "annotations": annotations}
    return {"metadata": metadata, "spec": {"podCIDRs": ["10.244.3.0/24"]}}


def test_what_another_wrote_into_a_lease_is_put_back_after_two_looks(tmp_path):
    """All other nodes believe it, and would send this node's packets elsewhere for good."""
    told, kept, api, said = load(tmp_path), Nodes(), FakeApi(), []
    written = Written(str(tmp_path))
    reconciler = own_node.Reconciler(told, kept, FakeHost("10.3.3.0/24"), api, written, said.append)
    wrong = Node(the_node({**LEASE, PREFIX + "public-ip": "192.0.2.66"}), told.known)
    kept.replace([wrong], "1")
    for now in (0.0, 5.0):
        reconciler.look(now)
    assert api.patched == []  # nobody knows what flanneld wrote
    written.found("red", LEASE)
    reconciler.look(10.0)
    assert api.patched == []  # it may be on its way
    reconciler.look(15.0)
    assert api.patched == [("n", {PREFIX + "public-ip": "192.0.2.7"})]
    assert said == [
        "The lease of network red on the Node object was changed, but not by this node's flanneld:"
        f" {PREFIX}public-ip was 192.0.2.66, and is again 192.0.2.7."
    ]
    assert ('multinet_subnets_leases_put_back_total{network="red"}', 1) in reconciler.samples()
    kept.replace([Node(the_node(LEASE), told.known)], "2")
    for now in (20.0, 25.0):
        reconciler.look(now)
    assert len(api.patched) == 1


def test_what_flanneld_wrote_is_known_after_a_new_start(tmp_path):
    written = Written(str(tmp_path))
    written.found("red", LEASE)
    written.changed(
        "red", {PREFIX + "public-ip": "192.0.2.8", PREFIX + "kube-subnet-manager": None}
    )
    assert Written(str(tmp_path)).of("red") == {PREFIX + "public-ip": "192.0.2.8"}
    (tmp_path / "red.json").write_text("rubbish", encoding="utf-8")
    assert written.of("red") == {} == written.of("blue")
    Written("/proc/none").found("red", LEASE)  # nothing of flanneld's depends on it


class FormerHost(FakeHost):
    """A host where a pod of a former subnet still runs."""

    def addresses(self, device):
        return ["10.3.9.1"]

    def ports(self, bridge):
        return 1

    def allocations(self, directory):
        return [("10.3.9.5", "4f2a"), ("10.3.9.6", "unknown")]

    def pod(self, container):
        pod = {"namespace": "apps", "name": "web-0", "uid": "1-2", "container": "4f2a"}
        return pod if container == "4f2a" else None


def test_a_pod_of_a_former_subnet_gets_an_event_and_so_does_the_node(tmp_path):
    told, kept, api, said = load(tmp_path), Nodes(), FakeApi(), []
    kept.replace([Node(the_node(LEASE), told.known)], "1")
    host = FormerHost("10.3.3.0/24")
    reconciler = own_node.Reconciler(told, kept, host, api, Written(str(tmp_path)), said.append)
    for now in (0.0, 5.0):
        reconciler.look(now)
    assert len(said) == 3
    (where, node), (namespace, pod) = api.events
    assert (where, namespace) == ("default", "apps")
    assert node["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"}
    assert pod["involvedObject"]["uid"] == "1-2" and pod["reason"] == "FormerSubnet"
    assert pod["message"] == said[1] and "apps/web-0 has 10.3.9.5 of a former subnet" in said[1]
    assert pod["source"] == {"component": "multinet"} and pod["type"] == "Warning"


def test_pods_that_are_counted_have_been_named_and_no_event_is_waited_for(tmp_path):
    """Who is called by the metric looks into the journal; an API that is away takes its time."""
    told, kept, api = load(tmp_path), Nodes(), FakeApi()
    kept.replace([Node(the_node(LEASE), told.known)], "1")
    seen = []

    def note(what):
        counted = dict(reconciler.samples())['multinet_subnets_stale_pods{network="red"}']
        seen.append((what, counted))

    api.create_event = lambda namespace, event: note("event")
    host, written = FormerHost("10.3.3.0/24"), Written(str(tmp_path))
    reconciler = own_node.Reconciler(
        told, kept, host, api, written, lambda sentence: note("sentence")
    )
    reconciler.look(0.0)
    assert seen == [("sentence", 0)] * 3 + [("event", 2)] * 2


def test_what_was_written_of_a_network_that_is_served_no_more_is_forgotten(tmp_path):
    written = Written(str(tmp_path))
    for network in ("red", "black"):
        written.found(network, LEASE)
    written.keep_only({"red", "blue"})
    assert [path.name for path in tmp_path.iterdir()] == ["red.json"]
    Written(str(tmp_path / "none")).keep_only(())
