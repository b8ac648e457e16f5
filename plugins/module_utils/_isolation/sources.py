# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 1 of 3 of the table `inet multinet`, which ruleset.py puts together: source addresses. Each
device brings in its own network's only. Pure.
"""

from __future__ import annotations

from typing import Any

from .nft import FAMILIES, Family, drop, families_of, in_ranges, ports_of, ranges_of, vmap
from .nodes import ROUTED, Nodes, from_nodes

# What is dropped at any priority is dropped for good; ours come early so that the counters here
# tell why, and nothing after us sees it.
PRIORITY_SOURCES = -290  # after raw, ahead of connection tracking: no entry for a forged packet
PRIORITY_SENT = -300  # ahead of connection tracking
# The set of the host's ends of pods' interfaces. What is on a bridge comes in by that bridge.
ENDS_OF_PODS = "ends_of_pods"


def sources(
    networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]], nodes: Nodes
) -> list[str]:
    """Who may use which source address: later chains, and everybody who filters by address, can
    rely on it. reach: name of a network -> the others that it may open connections to.
    """
    by_device = [('"lo"', "accept")]
    chains: list[str] = []
    elsewhere: list[str] = []
    for network in networks:
        name = network["name"]
        peers = _peers(network, networks, reach)
        tunnels = _tunnel_devices(network)
        bridges = [device for device in network["devices"] if device not in tunnels]
        by_device += [(f'"{bridge}"', "goto pods_of_" + name) for bridge in bridges]
        by_device += [(f'"{device}"', "goto tunnel_of_" + name) for device in tunnels]
        chains += _sources_of_pods(network)
        if tunnels:
            chains += _sources_of_tunnel(network, peers)
        elsewhere += _sources_without_tunnel(network, peers)
    lines = [
        "",
        "# 1. Source addresses: each device brings in its own network's only.",
        "chain sources {",
        f"\ttype filter hook prerouting priority {PRIORITY_SOURCES}; policy accept;",
        "\tiifname " + vmap(by_device),
    ]
    if ports_of(networks):
        lines += [
            "\t# no connection of anybody's can take a tunnel's packets for its own",
            # the same without a look at routes, which costs more than all else here
            *from_nodes(nodes, networks, "notrack accept"),
            "\tudp dport @tunnel_ports fib daddr type local notrack accept",
        ]
    lines.append("\t" + drop(f"iifname @{ENDS_OF_PODS}", "a pod that is not on its bridge"))
    if elsewhere:
        lines += [
            "\t# networks that reach other nodes without a tunnel device: from the interfaces to"
            " these, where the way back leads"
        ] + elsewhere
    lines += [
        "\t" + drop(match, "a network's address as source, but not from one of its devices")
        for family in families_of(networks)
        for match in in_ranges(networks, family, "saddr")
    ]
    return lines + ["}"] + chains + (_sent() if ports_of(networks) else [])


def _peers(
    network: dict[str, Any], networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The other networks whose packets a network's tunnel brings in, too: a packet of an open pair
    travels in the tunnel of its target, and its answer in that of its source.
    """
    targets = reach[network["name"]]
    return targets + [
        other for other in networks if network in reach[other["name"]] and other not in targets
    ]


def _sent() -> list[str]:
    """The chain of what this host sends through its tunnels: no connection is made of it."""
    return [
        "",
        "chain sent {",
        f"\ttype filter hook output priority {PRIORITY_SENT}; policy accept;",
        "\tudp dport @tunnel_ports notrack",
        "\tudp sport @tunnel_ports notrack",
        "}",
    ]


def _tunnel_devices(network: dict[str, Any]) -> list[str]:
    own = (network["device"], network["device_v6"])
    return [device for device in network["devices"] if device in own]


def _sources_of_pods(network: dict[str, Any]) -> list[str]:
    """The chain of what a network's bridge brings in."""
    name = network["name"]
    return [
        "",
        f"chain pods_of_{name} {{",
        *_accept_sources([network]),
        "\t" + drop("", f"{name}: a pod used a source address that is not the network's"),
        "}",
    ]


def _sources_of_tunnel(network: dict[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    """The chain of what a network's tunnel brings in; peers: whose packets travel in it, too."""
    name = network["name"]
    alien = f"{name}: came out of the tunnel with a source address that is not the network's"
    return [
        "",
        f"chain tunnel_of_{name} {{",
        *_accept_sources([network, *peers]),
        "\t" + drop("", alien),
        "}",
    ]


def _sources_without_tunnel(network: dict[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    """Rules that accept what a network without a tunnel device gets from other nodes."""
    is_ipsec = network["backend"]["type"] == "ipsec"
    of_peers = "meta ipsec exists" if is_ipsec else f"iifname @{ROUTED}"
    comes = of_peers if is_ipsec else f"{of_peers} fib saddr . iif oif exists"
    lines = []
    for family in FAMILIES:
        if network.get(family.cidr) and is_routed(network, family):
            lines.append(f"\t{family.ip} saddr {network[family.cidr]} {comes} accept")
            lines += [
                f"\t{family.ip} daddr {network[family.cidr]} {family.ip} saddr {other}"
                f" {of_peers} accept"
                for other in ranges_of(peers, family)
            ]
    return lines


def is_routed(network: dict[str, Any], family: Family) -> bool:
    """Whether packets between nodes may arrive on a device that is not the network's own (host-gw,
    ipsec, udp, direct routing).
    """
    return not network.get(family.device) or bool(network["backend"].get("direct_routing"))


def _accept_sources(networks: list[dict[str, Any]]) -> list[str]:
    return [
        f"\t{family.ip} saddr {cidr} accept"
        for family in FAMILIES
        for cidr in [*ranges_of(networks, family), *family.own]
    ]
