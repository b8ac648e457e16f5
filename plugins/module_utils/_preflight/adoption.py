# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a plan can take over the flannel networks that somebody else deployed on a host, and what
of them stays as it is: ranges, subnets, tunnels. Pure.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._node import daemons
from .._ranges import is_within

Facts = Mapping[str, Any]


class Pair(NamedTuple):
    """A network of others (foreign.recognise()), and the one of the plan that takes its place."""

    theirs: Facts
    ours: Facts


def pairs(found: Facts, plan: Facts) -> list[Pair]:
    """Return what is taken over: networks of the same range."""
    planned = {network["cidr"]: network for network in plan["networks"]}
    return [
        Pair(network, planned[network["declaration"]["cidr"]])
        for network in found["networks"]
        if network["declaration"] and network["declaration"]["cidr"] in planned
    ]


def files(found: Facts, plan: Facts) -> list[str]:
    """Return the names of the CNI configurations that are moved away."""
    return sorted({name for theirs, dummy in pairs(found, plan) for name in theirs["files"]})


def problems(found: Facts, plan: Facts, cluster_cidrs: Sequence[str] = ()) -> list[str]:
    """Return why a host's networks cannot be taken over as they are, as sentences.

    cluster_cidrs: what Kubernetes gives its nodes subnets of, where leases come from its API.
    """
    return [*_problems(found, plan), *_leases_of_kubernetes(found, plan, cluster_cidrs)]


def waits(found: Facts, plan: Facts) -> list[str]:
    """Return what a person does on a host before its networks are taken over, as sentences."""
    said = {
        daemons.in_pod(pair.theirs["daemon"])
        for pair in pairs(found, plan)
        if pair.theirs["daemon"]
    }
    return sorted(said - {""})


def _problems(found: Facts, plan: Facts) -> Iterator[str]:
    external = plan.get("external") or {}
    taken = {id(pair.theirs): pair for pair in pairs(found, plan)}
    for network in found["networks"]:
        where = f"{network['name']} ({network['file']})"
        declared = network["declaration"]
        if not declared:
            yield f"{where}: {network['problem']}"
            continue
        pair = taken.get(id(network))
        if pair is None:
            if external.get("conf") in network["files"] or external.get("cidr") == declared["cidr"]:
                continue
            yield (
                f"{where}: no network of multinet_networks has its range {declared['cidr']}, so new"
                f" pods would not get this network any more. Add {json.dumps(declared)}."
            )
            continue
        yield from _differences(where, pair)
    yield from _same_range(taken.values())
    for file in files(found, plan):
        for name in found["beside"].get(file, []):
            if name != external.get("name"):
                yield (
                    f"{file} also calls {name}, which is not a network of flannel, so new pods"
                    " would not get it any more. Remove it from the file, or, if it is the pods'"
                    " first network, declare it with default: external."
                )


def _same_range(taken: Iterable[Pair]) -> Iterator[str]:
    """Two bridges would become one."""
    first: dict[str, Facts] = {}
    for theirs, ours in taken:
        other = first.setdefault(ours["cidr"], theirs)
        if other is not theirs:
            yield (
                f"{other['name']} ({other['file']}, bridge {other['bridge']}) and {theirs['name']}"
                f" ({theirs['file']}, bridge {theirs['bridge']}) both have the range"
                f" {ours['cidr']}. Remove the one that no pod uses."
            )


def _differences(where: str, pair: Pair) -> Iterator[str]:
    """What hosts that have moved and hosts that have not would not agree on."""
    is_now = pair.theirs["declaration"]
    wanted: dict[str, Any] = {
        "subnet_len": ipaddress.ip_interface(pair.theirs["subnet"]).network.prefixlen,
        "ipv6_cidr": is_now.get("ipv6_cidr"),
    }
    different = {key: value for key, value in wanted.items() if pair.ours[key] != value}
    backend = is_now.get("backend", {})
    if any(pair.ours["backend"].get(key) != value for key, value in backend.items()):
        different["backend"] = backend
    for key, value in different.items():
        yield (
            f"{where}: {key} is {json.dumps(value)} on this host, but network '{pair.ours['name']}'"
            f" declares {json.dumps(pair.ours[key])}. Declare the value of this host; otherwise"
            " hosts that are taken over later cannot be reached. You can change it when all hosts"
            " are taken over."
        )


def _leases_of_kubernetes(found: Facts, plan: Facts, cluster_cidrs: Sequence[str]) -> Iterator[str]:
    for pair in pairs(found, plan):
        if not pair.ours["etcd_prefix"] and pair.ours["cidr"] not in cluster_cidrs:
            yield (
                f"{pair.theirs['name']} ({pair.theirs['file']}): with multinet_datastore:"
                " kubernetes, the subnet of a node is derived from its podCIDR, so this host would"
                " get another subnet than it has now. Take the network over with"
                " multinet_datastore: etcd."
            )


def leases(
    found: Facts, plan: Facts, public_ip: str, public_ipv6: str = ""
) -> list[dict[str, Any]]:
    """Return this host's leases, which are to be those of the plan's networks: [{prefix, subnet,
    ipv6_subnet, attributes}] as flanneld's own in etcd (flannel, pkg/lease/lease.go).

    public_ip, public_ipv6: what this host's daemons are going to be told; without an address there
    is no lease.
    """
    made = []
    for theirs, ours in pairs(found, plan) if public_ip else []:
        if not ours["etcd_prefix"]:
            continue
        attributes: dict[str, Any] = {
            "PublicIP": public_ip,
            "PublicIPv6": (public_ipv6 or None) if theirs["ipv6_subnet"] else None,
            "BackendType": ours["backend"]["type"],
        }
        if ours["backend"]["type"] == "vxlan":
            attributes["BackendData"] = {"VNI": ours["backend"]["vni"], "VtepMAC": theirs["mac"]}
        made.append(
            {
                "prefix": ours["etcd_prefix"],
                "subnet": _range(theirs["subnet"]),
                "ipv6_subnet": _range(theirs["ipv6_subnet"]),
                "attributes": attributes,
            }
        )
    return made


def _range(gateway: str) -> str:
    return str(ipaddress.ip_interface(gateway).network) if gateway else ""


def without(observed: Facts, found: Facts, plan: Facts) -> dict[str, Any]:
    """Return what was observed of a host (observe.observe()) without the networks of others that
    are taken over: nothing of them is in the way.
    """
    both = pairs(found, plan)
    devices = {name for theirs, dummy in both for name in (theirs["bridge"], theirs["device"])}
    ranges = [
        ipaddress.ip_network(cidr)
        for dummy, ours in both
        for cidr in (ours["cidr"], ours["ipv6_cidr"])
        if cidr
    ]
    ports = {port for dummy, ours in both for port in ours["tunnel_ports"]}
    away = files(found, plan)

    def is_theirs(route: Facts) -> bool:
        if route.get("dst", "default") == "default":
            return False
        prefix = ipaddress.ip_network(route["dst"], strict=False)
        return any(is_within(prefix, one) for one in ranges)

    return {
        **observed,
        "links": [one for one in observed["links"] if one["ifname"] not in devices],
        "addresses": [one for one in observed["addresses"] if one["ifname"] not in devices],
        "routes": [one for one in observed["routes"] if not is_theirs(one)],
        "busy_udp_ports": [one for one in observed["busy_udp_ports"] if one not in ports],
        "cni_confs": [one for one in observed["cni_confs"] if one not in away],
    }
