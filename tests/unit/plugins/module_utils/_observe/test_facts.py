# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts from what `ip` prints and from small files."""

from __future__ import annotations

import json

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
    assert list(found.values()) == [
        {"label": "shop_web", "container": "c1", "namespace": "shop", "name": "web", "uid": ""}
    ]


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
