# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of others: what Multus with two flannels, kube-flannel and other CNIs are taken for."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import foreign

TWO = json.dumps(
    {
        "name": "multus-cni",
        "type": "multus",
        "delegates": [
            {
                "name": "flannel1",
                "type": "flannel",
                "subnetFile": "/run/2flannel/networks/subnet2.env",
                "delegate": {"bridge": "kbr1", "isDefaultGateway": False},
            },
            {
                "name": "flannel0",
                "type": "flannel",
                "subnetFile": "/run/2flannel/networks/subnet1.env",
                "masterplugin": True,
                "delegate": {"bridge": "kbr0", "isDefaultGateway": True},
            },
        ],
    }
)
KUBE_FLANNEL = json.dumps(
    {
        "name": "cbr0",
        "cniVersion": "0.3.1",
        "plugins": [
            {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
)
CALICO = json.dumps(
    {"name": "k8s-pod-network", "plugins": [{"type": "calico"}, {"type": "portmap"}]}
)
FILES = {
    "/run/2flannel/networks/subnet1.env": {
        "FLANNEL_NETWORK": "10.233.64.0/18",
        "FLANNEL_SUBNET": "10.233.65.1/24",
    },
    "/run/2flannel/networks/subnet2.env": {
        "FLANNEL_NETWORK": "10.235.64.0/18",
        "FLANNEL_SUBNET": "10.235.70.1/24",
    },
    "/run/flannel/subnet.env": {
        "FLANNEL_NETWORK": "10.244.0.0/16",
        "FLANNEL_SUBNET": "10.244.1.1/24",
    },
}
LINKS = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
    {"ifname": "cni0", "linkinfo": {"info_kind": "bridge"}, "addr_info": [{"local": "10.244.1.1"}]},
    {
        "ifname": "flannel.7",
        "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 7, "port": 4789}},
        "addr_info": [{"local": "10.244.1.0"}, {"local": "fe80::1"}],
    },
    {
        "ifname": "flannel0",
        "linkinfo": {"info_kind": "tun"},
        "addr_info": [{"local": "10.233.65.0"}],
    },
]


def found(configurations, files=None, links=None):
    return foreign.recognise(
        {
            "configurations": configurations,
            "subnet_files": FILES if files is None else files,
            "links": LINKS if links is None else links,
        }
    )


def declarations(configurations, **more):
    return [one["declaration"] for one in found(configurations, **more)["networks"]]


def test_multus_with_two_flannels():
    assert declarations({"10-multus-2flannel.conf": TWO}) == [
        {
            "name": "flannel1",
            "cidr": "10.235.64.0/18",
            "attach": "all",
            "backend": {"type": "host-gw"},
        },
        {
            "name": "flannel0",
            "cidr": "10.233.64.0/18",
            "default": True,
            "backend": {"type": "udp", "port": 8285},
        },
    ]


def test_kube_flannel():
    result = found({"10-flannel.conflist": KUBE_FLANNEL})
    assert result["networks"] == [
        {
            "name": "cbr0",
            "file": "10-flannel.conflist",
            "default": True,
            "bridge": "cni0",
            "subnet_file": "/run/flannel/subnet.env",
            "subnet": "10.244.1.1/24",
            "declaration": {
                "name": "cbr0",
                "cidr": "10.244.0.0/16",
                "default": True,
                "backend": {"type": "vxlan", "vni": 7, "port": 4789},
            },
            "problem": "",
        }
    ]
    assert len(result["stays"]) == 1
    assert "until they are made anew" in result["stays"][0]


def test_a_daemon_that_does_not_run():
    result = found({"10-flannel.conflist": KUBE_FLANNEL}, files={})
    assert result["networks"][0]["declaration"] is None
    assert foreign.sentences(result)[0] == (
        "cbr0 (10-flannel.conflist, bridge cni0): /run/flannel/subnet.env says no range, so its"
        " flanneld does not run here. Start it, and look again."
    )


def test_another_cni_stays():
    assert foreign.sentences(found({"10-calico.conflist": CALICO})) == [
        "No network of flannel's is in the CNI configuration of this host.",
        "10-calico.conflist stays: k8s-pod-network (calico, portmap) is none of flannel's. To keep"
        " it as the pods' first network, declare it with default: external.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"delegates": 3}',
        '{"delegates": [1, {"type": "flannel", "delegate": 1}]}',
        '{"plugins": [1]}',
        '{"type": "flannel", "plugins": null}',
    ],
)
def test_what_is_no_configuration_breaks_nothing(text):
    foreign.sentences(found({"99-x.conf": text}, files={}))


def test_our_own_is_not_of_others():
    assert found({"00-multinet.conf": TWO}) == {"networks": [], "stays": []}


def test_a_host_is_looked_at(tmp_path):
    (tmp_path / "10-flannel.conflist").write_text(KUBE_FLANNEL)
    (tmp_path / "README").write_text("{")
    seen = foreign.look(lambda command: (0, json.dumps(LINKS), ""), str(tmp_path))
    assert list(seen["configurations"]) == ["10-flannel.conflist"]
    assert seen["links"] == LINKS
    assert foreign.look(lambda command: (1, "", ""), str(tmp_path / "none"))["links"] == []
