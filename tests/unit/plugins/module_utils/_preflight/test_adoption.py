# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan takes over of a host, and why not; and which leases it keeps."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import adoption

THEIRS = {
    "name": "flannel0",
    "file": "10-multus.conf",
    "files": ["10-multus.conf"],
    "bridge": "kbr0",
    "device": "flannel.1",
    "mac": "82:00:00:00:00:01",
    "subnet": "10.1.5.1/24",
    "ipv6_subnet": "",
    "daemon": {"kind": "unit", "id": "flanneld.service"},
    "problem": "",
    "declaration": {
        "name": "flannel0",
        "cidr": "10.1.0.0/16",
        "default": True,
        "backend": {"type": "vxlan", "vni": 1, "port": 8472},
    },
}
OURS = {
    "name": "blue",
    "cidr": "10.1.0.0/16",
    "ipv6_cidr": None,
    "subnet_len": 24,
    "backend": {"type": "vxlan", "vni": 1, "port": 8472, "gbp": False},
    "etcd_prefix": "/coreos.com/network/blue",
    "tunnel_ports": [8472],
}


def problems(theirs=None, ours=None, external=None, cluster=(), beside=()):
    found = {
        "networks": [{**copy.deepcopy(THEIRS), **(theirs or {})}],
        "beside": {"10-multus.conf": list(beside)},
    }
    plan = {"networks": [{**OURS, **(ours or {})}], "external": external}
    return adoption.problems(found, plan, cluster)


def test_what_fits_is_taken_over():
    assert problems() == []


@pytest.mark.parametrize(
    "case, said",
    [
        ({"ours": {"cidr": "10.9.0.0/16"}}, "no network of multinet_networks has its range"),
        (
            {"ours": {"subnet_len": 26}},
            "subnet_len is 24 on this host, but network 'blue' declares 26",
        ),
        ({"ours": {"backend": {"type": "vxlan", "vni": 2, "port": 8472}}}, "backend is {"),
        ({"ours": {"ipv6_cidr": "fd00::/48"}}, "ipv6_cidr is null on this host"),
        ({"theirs": {"declaration": None, "problem": "x says no range"}}, "x says no range"),
        ({"ours": {"etcd_prefix": None}}, "multinet_datastore: kubernetes"),
    ],
)
def test_what_does_not_fit_is_said(case, said):
    (sentence,) = problems(**case)
    assert sentence.startswith("flannel0 (10-multus.conf)")
    assert said in sentence


def test_what_a_meta_plugin_calls_besides_flannel_would_be_lost():
    (sentence,) = problems(beside=["storage"])
    assert sentence == (
        "10-multus.conf also calls storage, which is not a network of flannel, so new pods would"
        " not get it any more. Remove it from the file, or, if it is the pods' first network,"
        " declare it with default: external."
    )
    assert problems(beside=["calico"], external={"name": "calico", "cidr": None}) == []
    # the file stays where it is
    assert len(problems(beside=["storage"], ours={"cidr": "10.9.0.0/16"})) == 1


def test_two_networks_do_not_become_one():
    other = {**THEIRS, "name": "flannel1", "bridge": "kbr1"}
    found = {"networks": [THEIRS, other], "beside": {}}
    assert adoption.problems(found, {"networks": [OURS], "external": None}) == [
        "flannel0 (10-multus.conf, bridge kbr0) and flannel1 (10-multus.conf, bridge kbr1) both"
        " have the range 10.1.0.0/16. Remove the one that no pod uses."
    ]


def test_a_backend_that_is_not_seen_is_as_declared():
    declared = {key: value for key, value in THEIRS["declaration"].items() if key != "backend"}
    assert problems(theirs={"declaration": declared}) == []


def test_a_flanneld_in_a_pod_is_stopped_first_where_its_network_is_taken_over():
    pod = {"kind": "pod", "id": "0f5d", "subnet_file": "/run/flannel/subnet.env"}
    one, two = {**THEIRS, "daemon": pod}, {**THEIRS, "daemon": pod, "name": "flannel1"}
    assert adoption.waits({"networks": [one, two]}, {"networks": [OURS]}) == [
        "The flanneld that writes /run/flannel/subnet.env runs in the pod with the UID 0f5d, which"
        " Kubernetes would start again. Unless you have done this already, save its DaemonSet and"
        " delete it so that its pods go on running (--cascade=orphan). Then delete this host's pod,"
        " and run this again."
    ]
    assert adoption.waits({"networks": [THEIRS]}, {"networks": [OURS]}) == []
    assert adoption.waits({"networks": [one]}, {"networks": []}) == []


def test_all_files_that_name_a_network_go():
    found = {"networks": [{**THEIRS, "files": ["10-multus.conf", "10-flannel.conflist"]}]}
    assert adoption.files(found, {"networks": [OURS]}) == ["10-flannel.conflist", "10-multus.conf"]
    assert adoption.files(found, {"networks": []}) == []


def test_another_cni_stays():
    other = {"ours": {"cidr": "10.9.0.0/16"}}
    assert problems(**other, external={"cidr": "10.1.0.0/16", "conf": None}) == []
    assert problems(**other, external={"cidr": None, "conf": "10-multus.conf"}) == []


def test_leases_of_kubernetes_are_kept_where_the_range_is_the_clusters():
    assert problems(ours={"etcd_prefix": None}, cluster=["10.1.0.0/16"]) == []


def test_leases():
    found, plan = {"networks": [THEIRS]}, {"networks": [OURS]}
    assert adoption.leases(found, plan, "192.0.2.7") == [
        {
            "prefix": "/coreos.com/network/blue",
            "subnet": "10.1.5.0/24",
            "ipv6_subnet": "",
            "attributes": {
                "PublicIP": "192.0.2.7",
                "PublicIPv6": None,
                "BackendType": "vxlan",
                "BackendData": {"VNI": 1, "VtepMAC": "82:00:00:00:00:01"},
            },
        }
    ]
    assert adoption.leases(found, plan, "") == []
    two = {**THEIRS, "ipv6_subnet": "fd00:1:0:7::1/64"}
    (lease,) = adoption.leases({"networks": [two]}, plan, "192.0.2.7", "fd00::7")
    assert (lease["ipv6_subnet"], lease["attributes"]["PublicIPv6"]) == (
        "fd00:1:0:7::/64",
        "fd00::7",
    )
    udp = {**OURS, "backend": {"type": "udp", "port": 8285}}
    (lease,) = adoption.leases(found, {"networks": [udp]}, "192.0.2.7")
    assert "BackendData" not in lease["attributes"]


def test_what_is_taken_over_is_in_nobodys_way():
    observed = {
        "links": [{"ifname": "eth0"}, {"ifname": "kbr0"}, {"ifname": "flannel.1"}],
        "addresses": [{"ifname": "kbr0"}, {"ifname": "eth0"}],
        "routes": [
            {"dst": "10.1.9.0/24", "dev": "eth0"},
            {"dst": "10.2.0.0/16", "dev": "eth0"},
            {"dev": "eth0"},
        ],
        "busy_udp_ports": [8472, 53],
        "cni_confs": ["10-multus.conf", "20-x.conf"],
        "machine": "x86_64",
    }
    assert adoption.without(observed, {"networks": [THEIRS]}, {"networks": [OURS]}) == {
        "links": [{"ifname": "eth0"}],
        "addresses": [{"ifname": "eth0"}],
        "routes": [{"dst": "10.2.0.0/16", "dev": "eth0"}, {"dev": "eth0"}],
        "busy_udp_ports": [53],
        "cni_confs": ["20-x.conf"],
        "machine": "x86_64",
    }
    assert adoption.without(observed, {"networks": [THEIRS]}, {"networks": []}) == observed
