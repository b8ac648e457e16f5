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


def daemon(subnet_file, **more):
    return {
        "pid": 471,
        "kind": "unit",
        "id": "flanneld.service",
        "subnet_file": subnet_file,
        "store": "keys below /x in etcd at http://127.0.0.1:2379",
        "udp_ports": [],
        **more,
    }


def found(configurations, files=None, links=None, daemons=(), adopted=None):
    return foreign.recognise(
        {
            "configurations": configurations,
            "unreadable": {},
            "subnet_files": FILES if files is None else files,
            "links": LINKS if links is None else links,
            "daemons": daemons,
            "adopted": adopted or {},
        }
    )


def declarations(configurations, **more):
    return [one["declaration"] for one in found(configurations, **more)["networks"]]


def test_multus_with_two_flannels():
    running = [daemon("/run/2flannel/networks/subnet2.env")]
    assert declarations({"10-multus-2flannel.conf": TWO}, daemons=running) == [
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
            "files": ["10-flannel.conflist"],
            "default": True,
            "bridge": "cni0",
            "subnet_file": "/run/flannel/subnet.env",
            "ipam_dir": "/var/lib/cni/networks/cbr0",
            "subnet": "10.244.1.1/24",
            "ipv6_subnet": "",
            "device": "flannel.7",
            "mac": "",
            "daemon": None,
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
    assert "keep their interfaces and addresses" in result["stays"][0]


def test_a_network_that_several_files_name_is_one():
    """Multus writes its own from the one that kube-flannel has written."""
    cbr0 = json.loads(KUBE_FLANNEL)
    multus = {"name": "multus-cni-network", "type": "multus", "delegates": [cbr0]}
    result = found({"00-multus.conf": json.dumps(multus), "10-flannel.conflist": KUBE_FLANNEL})
    (network,) = result["networks"]
    assert network["files"] == ["00-multus.conf", "10-flannel.conflist"]
    assert network["declaration"]["default"]
    assert "cbr0 (00-multus.conf and 10-flannel.conflist, " in foreign.sentences(result)[0]
    assert not [one for one in result["stays"] if "none of flannel's" in one]


def test_what_is_called_besides_flannel_is_named():
    multus = json.loads(TWO)
    multus["delegates"] += [{"name": "storage", "type": "macvlan"}, {"type": "tuning"}]
    result = found({"10-multus.conf": json.dumps(multus), "20-calico.conflist": CALICO})
    assert result["beside"] == {"10-multus.conf": ["storage", "tuning"]}


def test_a_daemon_that_does_not_run():
    result = found({"10-flannel.conflist": KUBE_FLANNEL}, files={})
    assert result["networks"][0]["declaration"] is None
    assert foreign.sentences(result)[0] == (
        "cbr0 (10-flannel.conflist, bridge cni0): /run/flannel/subnet.env has no range, so its"
        " flanneld does not run here. Start that flanneld, and run this again."
    )


def test_a_daemon_that_was_stopped_has_taken_its_device_along():
    """A backend without a device is not told from host-gw then; one with a device is seen."""
    result = found({"10-multus-2flannel.conf": TWO})
    assert "backend" not in result["networks"][0]["declaration"]
    assert result["networks"][1]["declaration"]["backend"] == {"type": "udp", "port": 8285}
    assert foreign.sentences(result)[1] == (
        "  its flanneld does not run: add the backend that it has to the declaration"
    )


def test_another_cni_stays():
    assert foreign.sentences(found({"10-calico.conflist": CALICO})) == [
        "The CNI configuration of this host has no network of flannel.",
        "10-calico.conflist stays: k8s-pod-network (calico, portmap) is not a network of flannel."
        " To keep it as the pods' first network, declare it with default: external.",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_configuration_is_not_told(text):
    assert foreign.sentences(found({"99-x.conf": text}, files={})) == [
        "The CNI configuration of this host has no network of flannel."
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"delegates": 3}',
        '{"delegates": [1, {"type": "flannel", "delegate": 1}]}',
        '{"plugins": [1]}',
        '{"type": "flannel", "plugins": null}',
        '{"type": "flannel", "plugins": 5}',
        '{"plugins": {"type": "flannel"}}',
        '{"delegates": [{"type": "flannel"}, {"plugins": [1]}]}',
        '{"type": "flannel", "subnetFile": "/run/\\u0000"}',
    ],
)
def test_what_is_half_a_configuration_is_told_by_its_file(text):
    assert any(
        "99-x.conf" in one for one in foreign.sentences(found({"99-x.conf": text}, files={}))
    )


def test_our_own_is_not_of_others():
    assert found({"00-multinet.conf": TWO}) == {
        "networks": [],
        "beside": {},
        "stays": [],
        "adopted": {},
    }


def test_a_host_is_looked_at(tmp_path):
    (tmp_path / "10-flannel.conflist").write_text(KUBE_FLANNEL)
    (tmp_path / "README").write_text("{")
    seen = foreign.look(lambda command: (0, json.dumps(LINKS), ""), str(tmp_path))
    assert list(seen["configurations"]) == ["10-flannel.conflist"]
    assert seen["links"] == LINKS
    assert foreign.look(lambda command: (1, "", ""), str(tmp_path / "none"))["links"] == []


def test_what_cannot_be_read_is_told_and_left_out(tmp_path):
    (tmp_path / "10-old.conflist").symlink_to(tmp_path / "gone")
    (tmp_path / "20-flannel.conflist").write_text(KUBE_FLANNEL)
    (tmp_path / "30-odd.conf").write_text('{"type": "flannel", "subnetFile": "/run/\\u0000"}')
    (tmp_path / "40-deep.conf").write_text('{"a":' * 100000)
    seen = foreign.look(lambda command: (0, "", ""), str(tmp_path))
    told = foreign.recognise(seen)
    assert [one["name"] for one in told["networks"]] == ["cbr0", ""]
    (sentence,) = [one for one in foreign.sentences(told) if "10-old" in one]
    assert sentence == (
        "10-old.conflist was left out, for it cannot be read: No such file or directory. If nobody"
        " needs it, remove it; container runtimes may refuse all pods because of it."
    )


def test_a_daemon_says_its_port_and_where_its_leases_are():
    running = daemon("/run/2flannel/networks/subnet2.env", udp_ports=[8286])
    tun = {**LINKS[3], "ifname": "flannel1", "addr_info": [{"local": "10.235.70.0"}]}
    result = found({"10-multus-2flannel.conf": TWO}, daemons=[running], links=[tun])
    network = result["networks"][0]
    assert network["declaration"]["backend"] == {"type": "udp", "port": 8286}
    assert network["daemon"] == running
    lines = foreign.sentences(result)
    assert "  its flanneld is unit flanneld.service, with keys below /x in etcd at" in lines[1]
    assert any(
        line.startswith("Not changed, so that you can go back: keys below") for line in lines
    )


def test_a_subnet_of_another_length_and_ipv6():
    files = {
        "/run/flannel/subnet.env": {
            "FLANNEL_NETWORK": "10.244.0.0/16",
            "FLANNEL_SUBNET": "10.244.1.1/26",
            "FLANNEL_IPV6_NETWORK": "fd00:4::/48",
            "FLANNEL_IPV6_SUBNET": "fd00:4:0:7::1/64",
        }
    }
    (network,) = found({"10-flannel.conflist": KUBE_FLANNEL}, files=files)["networks"]
    assert network["declaration"]["subnet_len"] == 26
    assert network["declaration"]["ipv6_cidr"] == "fd00:4::/48"
    assert network["ipv6_subnet"] == "fd00:4:0:7::1/64"


def test_a_daemon_of_no_configuration_stays():
    (line,) = found({}, daemons=[daemon("/run/x.env")])["stays"]
    assert line.startswith("unit flanneld.service stays: it is a flanneld that writes /run/x.env")


def test_what_was_taken_over_is_said():
    assert foreign.sentences(found({}, adopted={"blue": "flannel0"})) == [
        "blue: taken over; it was flannel0"
    ]
