# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets of nodes, what a flanneld may see and change, leases, and the log of changes."""

from __future__ import annotations

import json
import pathlib
import random

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import (
    leases,
    nodes,
    subnets,
)

VECTORS = pathlib.Path(__file__).parent / "vectors"
CLUSTER = subnets.Cluster(["10.244.0.0/16"], [24])
BLUE = subnets.Network(
    {
        "name": "blue",
        "annotation_prefix": "blue.multinet.flannel",
        "cidr": "10.1.0.0/16",
        "subnet_len": 24,
    }
)
RED = subnets.Network(
    {
        "name": "red",
        "annotation_prefix": "red.multinet.flannel",
        "cidr": "10.3.0.0/16",
        "subnet_len": 24,
    }
)
KNOWN = BLUE.known | RED.known


def vectors(name):
    return [
        pytest.param(case, id=case["what"])
        for case in json.loads((VECTORS / name).read_text(encoding="utf-8"))
    ]


def node(name="n", pod_cidrs=("10.244.3.0/24",), version="7", uid="u", annotations=None, **status):
    spec = {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {}
    metadata = {
        "name": name,
        "uid": uid,
        "resourceVersion": version,
        "annotations": annotations or {},
        "labels": {"a": "b"},
    }
    return subnets.Node({"metadata": metadata, "spec": spec, "status": status}, KNOWN)


def leased(network, public_ip="192.0.2.1", mac="02:00:00:00:00:01"):
    values = {
        "backend-type": "vxlan",
        "backend-data": f'{{"VNI":1,"VtepMAC":"{mac}"}}',
        "public-ip": public_ip,
        "kube-subnet-manager": "true",
    }
    return {network.prefix + key: value for key, value in values.items()}


@pytest.mark.parametrize("case", vectors("subnets.json"))
def test_the_subnet_of_a_node(case):
    network = subnets.Network(
        dict({"name": "red", "annotation_prefix": "red.multinet.flannel"}, **case["network"])
    )
    try:
        found = network.subnets(
            node(pod_cidrs=case["pod_cidrs"]), subnets.Cluster(*case["cluster"])
        )
    except subnets.NoSubnetError as error:
        found = str(error)
    assert found == case.get("subnets", case.get("error"))


def test_no_two_nodes_share_a_subnet():
    found = [
        tuple(RED.subnets(node(pod_cidrs=[f"10.244.{index}.0/24"]), CLUSTER))
        for index in range(256)
    ]
    assert len(set(found)) == 256


@pytest.mark.parametrize("case", vectors("changes.json"))
def test_what_a_flanneld_may_change(case):
    if "refused" in case:
        with pytest.raises(subnets.ChangeRefusedError, match=case["refused"]):
            subnets.allowed_annotations(case["change"], RED)
    else:
        assert (
            subnets.allowed_annotations(case["change"], RED)
            == case["change"]["metadata"]["annotations"]
        )


def test_what_a_flanneld_sees():
    one = node(
        annotations=dict(leased(RED), **leased(BLUE), secret="x"),
        images=[{"names": ["a"]}],
        conditions=[{"type": "Ready"}],
    )
    assert subnets.view(one, RED, CLUSTER) == {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "annotations": leased(RED)},
        "spec": {"podCIDR": "10.3.3.0/24", "podCIDRs": ["10.3.3.0/24"]},
        "status": {},
    }
    # without a subnet there is no lease either, or others would route to nowhere
    lost = subnets.view(node(pod_cidrs=(), annotations=leased(RED)), RED, CLUSTER)
    assert (lost["spec"], lost["metadata"]["annotations"]) == ({}, {})


def test_what_is_no_change():
    one = node(annotations=leased(RED))
    assert one.same_as(
        node(version="8", annotations=leased(RED), conditions=[{"type": "Ready"}], images=[{}])
    )
    for other in (
        node(uid="v", annotations=leased(RED)),
        node(pod_cidrs=("10.244.4.0/24",), annotations=leased(RED)),
        node(),
        node(annotations=leased(RED), addresses=[{"type": "InternalIP", "address": "192.0.2.9"}]),
        node(annotations=dict(leased(RED), **leased(BLUE))),
    ):
        assert not one.same_as(other)


def test_annotations_of_networks_that_are_no_more():
    keys = (
        "gone.multinet.flannel/public-ip",
        "red.multinet.flannel/public-ip",
        "flannel.alpha.coreos.com/public-ip",
        "plain",
    )
    one = node(annotations=dict.fromkeys(keys, "x"))
    assert one.strays == ("gone.multinet.flannel/public-ip",)


# --- the log of changes


def kinds(changes):
    return [(change.kind, change.node.name) for change in changes if change.kind]


def test_a_reader_goes_on_where_it_was():
    kept = nodes.Nodes()
    kept.replace([node("a", version="5")], "10")
    place = kept.place_after("10")
    kept.apply("ADDED", node("b", version="11"))
    kept.apply("MODIFIED", node("b", version="12"))  # a heartbeat
    kept.bookmark("20")
    kept.apply("DELETED", node("a", version="21"))
    changes, place, version = kept.read(place, 0)
    assert (kinds(changes), version) == ([("ADDED", "b"), ("DELETED", "a")], "21")
    assert kept.read(place, 0)[0] == []
    for known, rest in (("11", ["a"]), ("12", ["a"]), ("20", ["a"]), ("21", [])):
        assert [name for _kind, name in kinds(kept.read(kept.place_after(known), 0)[0])] == rest
    for unknown in ("9", "13", "x", ""):
        with pytest.raises(nodes.GoneError):
            kept.place_after(unknown)


def test_a_reader_that_is_too_slow_is_told():
    kept = nodes.Nodes(size=10)
    kept.replace([], "0")
    place = kept.place_after("0")
    for number in range(1, 12):
        kept.apply("ADDED", node(f"n{number}", version=str(number)))
    with pytest.raises(nodes.GoneError):
        kept.read(place, 0)
    with pytest.raises(nodes.GoneError):
        kept.place_after("1")
    assert len(kept.read(kept.place_after("2"), 0)[0]) == 9


def test_a_node_that_writes_much_again_and_again_takes_no_memory():
    """The API lets a node have 256 KiB of annotations."""
    kept = nodes.Nodes(characters=10_000)
    kept.replace([], "0")
    key, stray = RED.prefix + "backend-data", "x" * 300 + ".multinet.flannel/x"
    for number in range(100):
        text = f"{number} {'x' * 900}"
        kept.apply("MODIFIED", node(version=str(number + 1), annotations={key: text, stray: ""}))
    with pytest.raises(nodes.GoneError):
        kept.place_after("90")
    assert len(kept.read(kept.place_after("95"), 0)[0]) == 5


def test_a_node_with_another_podcidr_goes_and_comes():
    """Flanneld compares annotations alone, so it would keep the old route."""
    kept = nodes.Nodes()
    kept.replace([node("a", version="1", annotations=leased(RED))], "1")
    kept.apply("MODIFIED", node("a", ("10.244.9.0/24",), version="2", annotations=leased(RED)))
    assert kinds(kept.read(kept.place_after("1"), 0)[0]) == [("DELETED", "a"), ("ADDED", "a")]
    kept.replace(
        [
            node("a", ("10.244.10.0/24",), version="3", annotations=leased(RED)),
            node("b", ("10.244.2.0/24",), version="4"),
        ],
        "5",
    )
    changes = kept.read(kept.place_after("2"), 0)[0]
    assert kinds(changes) == [("DELETED", "a"), ("ADDED", "a"), ("ADDED", "b")]
    # whoever was cut off in the middle of these gets all of them again, and none is missed
    assert kinds(kept.read(kept.place_after(changes[0].version), 0)[0]) == kinds(changes)
    assert kinds(kept.read(kept.place_after("3"), 0)[0]) == [("ADDED", "b")]


@pytest.mark.parametrize("seed", range(20))
def test_readers_end_where_the_api_is(seed):
    """Readers at their own pace, cut off at any event, come to the nodes that there are."""
    chance = random.Random(seed)
    kept, truth, version = nodes.Nodes(size=30), {}, 0

    def make(name):
        return node(
            name,
            (f"10.244.{chance.randrange(5)}.0/24",),
            version=str(version),
            uid=str(chance.randrange(2)),
        )

    def step():
        nonlocal version
        version += 1
        name = f"n{chance.randrange(6)}"
        kind = (
            "DELETED"
            if name in truth and chance.random() < 0.3
            else "MODIFIED"
            if name in truth
            else "ADDED"
        )
        new = make(name)
        if kind == "DELETED":
            del truth[name]
        else:
            truth[name] = new
        return kind, new

    kept.replace([], "0")
    readers = [{"nodes": {}, "version": None} for _reader in range(3)]
    for _turn in range(150):
        if chance.random() < 0.1:
            for _missed in range(chance.randrange(8)):
                step()  # not seen by the watch
            version += 1
            kept.replace(list(truth.values()), str(version))
        else:
            kept.apply(*step())
        for reader in readers:
            if chance.random() < 0.5:
                follow(kept, reader, chance)
    for reader in readers:
        follow(kept, reader)
        assert {name: (one.uid, one.pod_cidrs) for name, one in reader["nodes"].items()} == {
            name: (one.uid, one.pod_cidrs) for name, one in truth.items()
        }


def follow(kept, reader, chance=None):
    """Read as client-go does: list where there is no version or it is gone, else go on from the
    version of the last object.
    """
    try:
        changes = kept.read(kept.place_after(reader["version"]), 0)[0]
    except nodes.GoneError:
        found, reader["version"] = kept.snapshot()
        reader["nodes"] = {one.name: one for one in found}
        return
    for change in changes:
        if chance and chance.random() < 0.2:
            return
        if change.kind == "DELETED":
            reader["nodes"].pop(change.node.name, None)
        elif change.kind:
            reader["nodes"][change.node.name] = change.node
        if change.kind:
            reader["version"] = change.version


# --- leases


def test_the_lease_of_a_node():
    assert leases.lease(node(annotations=leased(RED)), RED, CLUSTER, 0.0) == {
        "Subnet": "10.3.3.0/24",
        "Expiration": "1970-01-02T00:00:00Z",
        "Asof": 7,
        "Attrs": {
            "PublicIP": "192.0.2.1",
            "BackendType": "vxlan",
            "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:01"},
        },
    }
    assert leases.lease(node(annotations=leased(BLUE)), RED, CLUSTER, 0.0) is None
    assert leases.lease(node(annotations=leased(RED), pod_cidrs=()), RED, CLUSTER, 0.0) is None


@pytest.mark.parametrize("text", ["x", "", "2001:db8::1", "192.0.2.1 ", "0192.0.2.1"])
def test_a_node_without_an_address_has_no_lease(text):
    """A node may write anything there, and clients would refuse the leases of all nodes."""
    one = node(
        annotations=leased(RED, public_ip=text),
        addresses=[{"type": "InternalIP", "address": "192.0.2.9"}],
    )
    assert leases.lease(one, RED, CLUSTER, 0.0) is None
    assert leases.reservation(one, RED, CLUSTER)["PublicIP"] == "192.0.2.9"


@pytest.mark.parametrize("text", ["NaN", '{"a": [1e999]}', "[" * 900 + "]" * 900, "{", "1" * 9999])
def test_the_data_of_one_node_spoils_no_answer(text):
    annotations = {**leased(RED), RED.prefix + "backend-data": text}
    found = leases.lease(node(annotations=annotations), RED, CLUSTER, 0.0)
    assert found["Attrs"] == {"PublicIP": "192.0.2.1", "BackendType": "vxlan"}


def test_what_changes_of_nodes_mean_for_leases():
    kept = nodes.Nodes()
    kept.replace([node("a", version="1")], "1")
    begin = kept.place_after("1")
    kept.apply("MODIFIED", node("a", version="2", annotations=leased(RED)))
    kept.apply("MODIFIED", node("a", version="3", annotations=dict(leased(RED), **leased(BLUE))))
    kept.apply("MODIFIED", node("a", version="4", annotations=leased(RED, mac="02:00:00:00:00:02")))
    kept.apply("MODIFIED", node("a", ("10.244.9.0/24",), version="5", annotations=leased(RED)))
    kept.apply("DELETED", node("a", ("10.244.9.0/24",), version="6", annotations=leased(RED)))
    events = leases.events(kept.read(begin, 0)[0], RED, CLUSTER, 0.0)
    assert [(event["type"], event["lease"]["Subnet"]) for event in events] == [
        ("added", "10.3.3.0/24"),
        ("added", "10.3.3.0/24"),
        ("removed", "10.3.3.0/24"),
        ("added", "10.3.9.0/24"),
        ("removed", "10.3.9.0/24"),
    ]


def test_attributes_become_annotations():
    attributes = {
        "PublicIP": "192.0.2.1",
        "BackendType": "vxlan",
        "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:01"},
    }
    assert leases.to_annotations(attributes, RED) == leased(RED)
    assert (
        leases.to_annotations({"PublicIP": "192.0.2.1"}, RED)["red.multinet.flannel/backend-type"]
        == "udp"
    )
    for wrong in (None, [], {}, {"PublicIP": "x"}, {"PublicIP": "192.0.2.1", "BackendType": 1}):
        with pytest.raises(leases.BadRequestError):
            leases.to_annotations(wrong, RED)


@pytest.mark.parametrize(
    "text, subnet",
    [
        ("10.5.34.0-24", "10.5.34.0/24"),
        ("10.5.34.0-24&fd00:5::-64", "10.5.34.0/24"),
        ("10.5.34", None),
        ("x-24", None),
    ],
)
def test_the_name_of_a_subnet_in_a_path(text, subnet):
    try:
        assert leases.subnet_key(text) == subnet
    except leases.BadRequestError:
        assert subnet is None
