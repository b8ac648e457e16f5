# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a host with IPv6 and several backends: what is said of each, and what is done about it.

vectors/lab.json is a host that was read for real: blue (vxlan, dual-stack), red (vxlan), green
(host-gw), grey (udp). vectors/lab_faults.json is what is changed in it.
"""

from __future__ import annotations

import copy
import json

import drift_host
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, repair
from ansible_collections.multinet.flannel.plugins.module_utils._drift import network as networks
from ansible_collections.multinet.flannel.plugins.module_utils._node import firewalls
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.schema import BACKENDS
from declaration import BLUE, RED

VECTORS = drift_host.VECTORS
HOST = json.loads((VECTORS / "lab.json").read_text(encoding="utf-8"))
FAULTS = json.loads((VECTORS / "lab_faults.json").read_text(encoding="utf-8"))
PLAN = plan(
    [
        dict(BLUE, ipv6_cidr="fd00:1::/48"),
        dict(RED, attach="all"),
        {"name": "green", "cidr": "10.5.0.0/16", "attach": "all", "backend": {"type": "host-gw"}},
        {"name": "grey", "cidr": "10.7.0.0/16", "attach": "all", "backend": {"type": "udp"}},
    ],
    {"architectures": ["amd64"]},
)


def host_with(fault):
    """Return what would be seen on this host with a fault."""
    seen = drift_host.host_with(fault, HOST)
    seen["firewalls"] = [firewalls.Table(*one) for one in seen["firewalls"]]
    return seen


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_named_and_repaired(fault):
    seen = host_with(fault)
    found = compare.deviations(PLAN, seen)
    assert [(one.network, one.kind) for one in found] == [
        (network, kind) for network, kind, dummy in fault["deviations"]
    ], [one.sentence for one in found]
    for one, (dummy, dummy, words) in zip(found, fault["deviations"]):
        assert words in one.sentence
    assert [
        [word for command in step.commands for word in command] + [step.unit] * bool(step.unit)
        for step in repair.steps(PLAN, seen, found)
    ] == fault["steps"]


@pytest.mark.parametrize("store", ["etcd", "kubernetes"])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "udp"])
def test_a_lease_of_a_former_address_is_named_whatever_the_backend(backend, store):
    """Also where flanneld makes no device that has the address, and where leases do not end."""
    more = {"ipsec": {"psk": "0" * 96}, "vxlan": {"vni": 2}}.get(backend, {})
    (network,) = plan(
        [{"name": "red", "cidr": "10.3.0.0/16", "default": True,
          "backend": {"type": backend, **more}}],
        {"datastore": store, "cluster_cidrs": ["10.64.0.0/16"] * (store == "kubernetes")},
    )["networks"]  # fmt: skip
    seen = copy.deepcopy(HOST)
    seen["underlay"]["red"].update(addresses=["198.18.201.77"], all=["198.18.201.77"])
    seen["wireguard"] = {}
    if store == "kubernetes":
        seen["lease_seconds"] = {}
        seen["leases"]["red"] = [dict(one, id=None) for one in seen["leases"]["red"]]
    said = [text for kind, text in networks.deviations(network, seen) if kind == "lease"]
    assert said == [
        "flanneld@red.service works with 10.3.41.0/24, but the lease of this subnet belongs to"
        " 198.18.201.11, an address that this host does not have"
    ]
    found = [compare.Deviation("red", "lease", said[0])]
    (step,) = repair.steps({"networks": [network]}, seen, found)
    assert step.unit == "flanneld@red.service"


def test_of_all_kinds_of_deviation_there_is_a_fault():
    """Or a kind could be renamed and never be told again."""
    faults = [*FAULTS, *drift_host.FAULTS]
    assert {kind for fault in faults for dummy, kind, dummy in fault["deviations"]} == set(
        compare.KINDS
    )


@pytest.mark.parametrize("kind", compare.KINDS)
def test_what_a_kind_says_of_its_repair_is_true(kind):
    """docs/operations.md has it: what the keeper repairs has steps, and nothing else has any."""
    faults = [*FAULTS, *drift_host.FAULTS]
    alone = [
        fault["steps"]
        for fault in faults
        if {found for dummy, found, dummy in fault["deviations"]} == {kind}
    ]
    assert alone
    if compare.KINDS[kind].by == "keeper":
        assert any(alone)
    else:
        assert not any(alone)
    assert compare.KINDS[kind].by in compare.BY


def test_what_nobody_can_look_at_is_said_and_no_fault():
    said = compare.status(PLAN, HOST)
    assert said["ok"]
    assert said["not_looked_at"] == [
        "It was not checked which hosts the flanneld of network grey sends to: only flanneld knows"
        " (backend udp)."
    ]


def test_what_site_does_not_repair_is_said_by_it():
    """All else is put right by a step, or by the task that writes it."""
    for what, kinds in (
        ("the underlay's MTU was lowered", ["mtu"] * 4),
        ("etcd is full", ["datastore"]),
        ("another host runs another backend", ["peers"]),
        ("the bridge's MTU was lowered", []),
        ("firewalld knows one network alone", []),
        ("the configuration is gone", []),
    ):
        seen = host_with(next(fault for fault in FAULTS if fault["what"] == what))
        compared = compare.compared(PLAN, seen)
        left = repair.left_to_hands(compared, repair.steps(*compared))
        assert [one.kind for one in left] == kinds, what
    seen = copy.deepcopy(HOST)
    seen["links"]["mn-red"]["addresses"].append("10.3.7.1/24")
    compared = compare.compared(PLAN, seen)
    (one,) = repair.left_to_hands(compared, repair.steps(*compared))
    assert "10.3.7.1/24, of a former subnet" in one.sentence


def with_backend(**backend):
    """Return the plan with another backend for grey, and what is seen of its host."""
    networks = plan(
        [
            {
                "name": "grey",
                "cidr": "10.7.0.0/16",
                "ipv6_cidr": "fd00:7::/48" if backend["type"] == "wireguard" else None,
                "default": True,
                "backend": backend,
            }
        ]
    )
    seen = copy.deepcopy(HOST)
    seen["configs"]["grey"] = networks["networks"][0]["flannel_config"]
    seen["subnet_files"]["grey"]["FLANNEL_MTU"] = "1400"
    for link in seen["links"].values():
        if link["name"] == "mn-grey" or link["master"] == "mn-grey":
            link["mtu"] = 1400
    return networks, seen


def told(networks, seen):
    return [(one.kind, one.sentence) for one in compare.deviations(networks, seen)]


def test_ipip_has_a_route_to_each_host_by_its_address():
    networks, seen = with_backend(type="ipip")
    device = dict(seen["links"].pop("flannel0"), name="flannel.ipip", kind="ipip", mtu=1400)
    seen["links"]["flannel.ipip"] = device
    seen["sysctls"]["net/ipv4/conf/flannel.ipip/forwarding"] = 1
    seen["guard"]["devices"].append("flannel.ipip")
    ((kind, sentence),) = told(networks, seen)
    assert (kind, sentence) == ("routes", "there is no route to 10.7.85.0/24 (198.18.201.12)")
    route = {"dst": "10.7.85.0/24", "dev": "flannel.ipip", "gateway": "198.18.201.12"}
    seen["routes"].append(route)
    assert told(networks, seen) == []
    route["dev"] = "eth0"  # only with direct_routing
    assert told(networks, seen)[0][0] == "routes"
    assert with_backend(type="ipip", direct_routing=True)[0]
    networks = with_backend(type="ipip", direct_routing=True)[0]
    seen["configs"]["grey"] = networks["networks"][0]["flannel_config"]
    assert told(networks, seen) == []


def test_ipsec_has_a_policy_for_each_host():
    networks, seen = with_backend(type="ipsec", psk="x" * 96)
    assert told(networks, seen) == [
        ("routes", "there is no policy (ip xfrm) that leads to 10.7.85.0/24 (198.18.201.12)")
    ]
    seen["xfrm"] = {"10.7.85.0/24": "198.18.201.12"}
    assert told(networks, seen) == []


def test_wireguard_has_a_route_for_all_and_a_peer_for_each_host():
    networks, seen = with_backend(type="wireguard")
    seen["subnet_files"]["grey"]["FLANNEL_IPV6_SUBNET"] = "fd00:7:0:1::1/64"
    own, other = seen["leases"]["grey"]
    own.update(ipv6_subnet="fd00:7:0:1::/64", public_ipv6="fd00:201::2", key="A", key_v6="B")
    other.update(ipv6_subnet="fd00:7:0:2::/64", public_ipv6="fd00:201::3", key="C", key_v6="D")
    seen["links"]["mn-grey"]["addresses"].append("fd00:7:0:1::1/64")
    first = seen["links"].pop("flannel0")
    for name, address in (("flannel-wg", "10.7.83.0/32"), ("flannel-wg-v6", "fd00:7:0:1::/128")):
        seen["links"][name] = dict(
            first, name=name, kind="wireguard", mtu=1400, addresses=[address]
        )
        seen["guard"]["devices"].append(name)
    for path in compare.sysctl_paths(networks, seen["links"]):
        seen["sysctls"][path] = 0 if path.endswith("disable_ipv6") else 1
    seen["routes"] = [
        {"dst": "10.7.0.0/16", "dev": "flannel-wg", "gateway": None},
        {"dst": "fd00:7::/48", "dev": "flannel-wg-v6", "gateway": None},
    ]
    seen["wireguard"] = None
    assert told(networks, seen) == []
    assert [text for text in compare.never_compared(networks, seen) if "wireguard-tools" in text]
    seen["wireguard"] = {"flannel-wg": {"C": ["10.7.85.0/24"]}, "flannel-wg-v6": {"D": []}}
    assert told(networks, seen) == [
        ("neighbours", "there is no WireGuard peer for fd00:7:0:2::/64 (198.18.201.12)")
    ]
    seen["wireguard"]["flannel-wg-v6"]["D"] = ["fd00:7:0:2::/64"]
    assert told(networks, seen) == []
    del seen["routes"][1]
    assert told(networks, seen) == [("routes", "there is no route to fd00:7::/48")]
