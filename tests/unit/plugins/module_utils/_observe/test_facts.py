# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts from what `ip` prints and from small files."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns as namespaces
from ansible_collections.multinet.flannel.plugins.module_utils._observe import facts, names

PLAN = {"networks": [{"name": "red", "bridge": "mn-red"}]}
VETH = {
    "ifname": "veth1",
    "ifindex": 7,
    "link_index": 2,
    "link_netnsid": 3,
    "master": "mn-red",
    "link_type": "ether",
    "linkinfo": {"info_kind": "veth"},
}


def test_ways_are_asked_for_where_a_route_leads_to_other_hosts():
    """A network with a route for each host's subnet, and one with a route for all (wireguard)."""
    routes = {
        "4": [
            {"dst": "default", "dev": "eth0"},
            {"dst": "10.3.1.0/24", "dev": "mn-red"},
            {"dst": "10.3.2.0/24", "dev": "flannel.2", "gateway": "10.3.2.0"},
            {"dst": "10.3.2.0/24", "dev": "eth1", "metric": 9},
            {"dst": "10.3.1.0", "dev": "flannel.2"},
            {"dst": "10.4.0.0/16", "dev": "flannel-wg"},
            {"dst": "10.4.0.0/24", "dev": "mn-green"},
        ],
        "6": [],
    }
    sides = [
        {
            "bridge": {"name": bridge, "up": True},
            "lease": {"FLANNEL_SUBNET": own},
            "routes": [
                {"prefix": one["dst"], "device": one["dev"], "dead": False}
                for one in routes["4"]
                if one["dst"].startswith(begin)
            ],
        }
        for bridge, own, begin in (
            ("mn-red", "10.3.1.1/24", "10.3."),
            ("mn-green", "10.4.0.1/24", "10.4."),
        )
    ]
    asked = [one[:3] for one in facts.questions(sides, routes)]
    assert asked == [
        ("10.3.2.2", "10.3.1.254", "mn-red"),
        ("10.4.255.253", "10.4.0.254", "mn-green"),
    ]
    for side in sides:
        side["bridge"]["up"] = False
    assert list(facts.questions(sides, routes)) == []


def test_ports_are_told_from_strangers():
    links = [
        VETH,
        dict(VETH, ifname="other", master="docker0"),
        {"ifname": "eth1", "ifindex": 3, "master": "mn-red", "link_type": "ether"},
    ]
    ports, strangers = facts.bridge_ports(PLAN, links)
    assert ports == [
        {
            "interface": "veth1",
            "bridge": "mn-red",
            "network": "red",
            "index": 7,
            "peer": 2,
            "netnsid": 3,
        }
    ]
    assert strangers == [
        {"interface": "eth1", "bridge": "mn-red", "network": "red", "kind": "ether"}
    ]


def test_ports_that_were_taken_off_their_bridge():
    """By software that does as if all devices were its own, or with the bridge itself."""
    loose = {key: value for key, value in VETH.items() if key != "master"}
    given = {9: {"net1": ["mn-red", "veth1"], "eth0": ["mn-blue", "veth2"], "sriov0": []}}
    port = {"interface": "veth1", "bridge": None, "network": "red"}
    port.update(index=7, peer=2, netnsid=3)
    assert facts.loose_ports(PLAN, [loose], given) == [port]
    other = dict(VETH, master="br9")
    assert facts.loose_ports(PLAN, [other], given) == [dict(port, bridge="br9")]
    dummy = dict(loose, linkinfo={"info_kind": "dummy"})
    here = {key: value for key, value in loose.items() if key != "link_netnsid"}
    for links in ([VETH], [dict(loose, ifname="veth2")], [dummy], [here], []):
        assert facts.loose_ports(PLAN, links, given) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_pod_that_cannot_be_asked_for_its_neighbours_is_told(monkeypatch, tmp_path):
    path = f"/proc/{os.getpid()}/ns/net"
    pod = {"label": "shop/web", "netns": path, "inode": os.stat(path).st_ino}
    monkeypatch.setenv("PATH", str(tmp_path))  # without `ip`
    told = []
    assert facts._neighbours(pod, told) == []
    assert facts._neighbours(dict(pod, inode=1), told) == []  # it has gone
    (sentence,) = told
    assert sentence.startswith("Whom shop/web knows was not looked at: ") and "'ip'" in sentence


def test_underlay_is_what_the_tunnels_use_else_the_default_route():
    eth0 = {
        "ifname": "eth0",
        "addr_info": [{"local": "192.0.2.7", "prefixlen": 24, "scope": "global"}],
    }
    vxlan = {
        "ifname": "flannel.1",
        "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 1, "local": "198.51.100.3"}},
    }
    routes = {"4": [{"dst": "default", "dev": "eth0"}], "6": []}
    assert facts.underlay([eth0, vxlan], routes) == {"4": "198.51.100.3", "6": None}
    assert facts.underlay([eth0], routes) == {"4": "192.0.2.7", "6": None}


def test_labels_come_from_state_that_names_a_living_namespace(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one").write_text(
        json.dumps(
            {
                "netns": "/proc/self/ns/net",
                "containerID": "c1",
                "args": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web",
            }
        )
    )
    (tmp_path / "c1.json").write_text(
        json.dumps(
            {"netns": "/proc/self/ns/net", "containerId": "c1", "target": "container:shop_web"}
        )
    )
    (tmp_path / "gone").write_text(
        json.dumps({"netns": "/run/netns/no-such-one", "containerID": "c2"})
    )
    (tmp_path / "torn").write_text("{")
    found = names.labels([str(tmp_path), str(tmp_path / "missing")])
    said = {"label": "shop_web", "container": "c1", "namespace": "shop", "name": "web", "uid": ""}
    assert list(found.values()) == [dict(said, recorded=str(tmp_path / "c1.json"))]


def test_a_path_that_leads_to_another_namespace_by_now(tmp_path):
    """Numbers of processes are used again: the record of one that has gone is about nobody."""
    path = f"/proc/{os.getpid()}/ns/net"
    mark = namespaces.mark(path)
    if len(mark) < 4:
        pytest.skip("no network namespaces here")
    devices = [{"name": "mn-red"}, {"name": "v1"}, {"name": "net1", "sandbox": "/x"}]
    state = {"netns": path, "containerID": "c1", "result": {"interfaces": devices}}
    file = tmp_path / "c1.json"
    for kept, here in ((mark, 1), ([*mark[:3], "another boot"], 0), ([1, 2], 0), ("odd", 0)):
        file.write_text(json.dumps({**state, "namespace": kept}))
        assert len(names.labels([str(tmp_path)])) == len(names.given([str(tmp_path)])) == here


def test_what_cni_gave_a_pod_and_it_has_no_more(tmp_path):
    def result(interface, *on_host):
        devices = [{"name": name} for name in on_host] + [{"name": interface, "sandbox": "/x"}]
        return {"result": {"interfaces": devices}}

    here = {"netns": "/proc/self/ns/net"}
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                **here,
                "delegates": [
                    result("eth0", "mn-blue", "v1"),
                    result("net1", "mn-red", "v2"),
                    result("sriov0"),
                    {"result": None},
                ],
            }
        )
    )
    (tmp_path / "b.json").write_text(json.dumps({**here, **result("net2", "mn-red", "v3")}))
    (tmp_path / "odd").write_text(json.dumps({**here, "delegates": 5, "result": [7]}))
    given = list(names.given([str(tmp_path)]).values())
    found = given[0]
    assert given == [found] and found == {
        "eth0": ["mn-blue", "v1"],
        "net1": ["mn-red", "v2"],
        "net2": ["mn-red", "v3"],
        "sriov0": [],
    }
    plan = {"networks": [{"name": one, "bridge": f"mn-{one}"} for one in ("blue", "red")]}
    has = [{"name": "renamed", "peer": "v1"}, {"name": "net2", "peer": None}]
    assert facts.lost(plan, found, {"interfaces": has}) == [{"interface": "net1", "network": "red"}]
    assert [one["interface"] for one in facts.lost(plan, found)] == ["eth0", "net1", "net2"]
    has = [
        {"name": "renamed", "peer": "v1", "bridge": "mn-blue"},
        {"name": "net1", "peer": "v2", "bridge": "mn-red"},
        {"name": "net2", "peer": "zzz", "bridge": "mn-red"},
    ]
    assert [tuple(one.values()) for one in facts.renamed(plan, found, {"interfaces": has})] == [
        ("renamed", "blue", "name of the interface", "eth0", "renamed"),
        ("net2", "red", "name of its end on the host", "v3", "zzz"),
    ]
    has = [{"name": "eth0", "peer": None, "bridge": None}, *has]  # as KubeVirt does it
    assert [one["interface"] for one in facts.renamed(plan, found, {"interfaces": has})] == ["net2"]
    assert facts.lost({"networks": []}, found) == [], "networks that are no longer declared"


def test_a_record_that_cannot_be_read_is_told(tmp_path):
    for name, text in {
        "whole.json": "{}",
        "torn.json": '{"netns": "/x", ',
        "empty.json": "",  # an ADD that a power cut ended: it has given nothing yet
        "another": "{",
        ".torn.json.7.tmp": "{",
    }.items():
        (tmp_path / name).write_text(text)
    (told,) = names.damaged([str(tmp_path), str(tmp_path / "none")])
    assert f"{tmp_path}/torn.json" in told


def test_names_of_interfaces_are_safe_and_unique():
    given = [b"eth0", b"\xc3\xa9", b"\xff", b"\\xff", b"a|b\x01"]
    assert list(map(names.plain, given)) == [
        "eth0",
        r"\xc3\xa9",
        r"\xff",
        r"\x5cxff",
        r"a\x7cb\x01",
    ]
    every = {names.plain(bytes([one])) for one in range(256)}
    assert len(every) == 256 and not any(set(one) & set("| \n") for one in every)


def test_labels_are_safe_and_unique():
    labels = ["a b|c", "a b/c", "", "shop/web 1"]
    pods = [
        {"label": label, "name": "web" if "shop" in label else "", "inode": number}
        for number, label in enumerate(labels, 1)
    ]
    assert [pod["label"] for pod in names.unique(pods)] == [
        "a-b-c",
        "a-b-c-2",
        "unnamed",
        "shop/web-1",
    ]
