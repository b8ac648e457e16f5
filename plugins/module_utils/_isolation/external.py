# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of another CNI, which is known by its ranges alone. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from .nft import FAMILIES, LINK_LOCAL, any_of, drop, quoted, ranges_of
from .nodes import UNDERLAY, Nodes


class External(NamedTuple):
    """The network of another CNI, known by its ranges alone, and the networks that are kept apart
    from it.
    """

    name: str
    network: dict[str, Any]
    apart: list[dict[str, Any]]


def external_of(plan: dict[str, Any], shut: set[tuple[str, str]]) -> External | None:
    """Return it; None when there is none, or nothing is kept apart from it."""
    network = plan.get("external")
    if not network:
        return None
    apart = [one for one in plan["networks"] if (one["name"], network["name"]) in shut]
    return External(network["name"], network, apart) if apart else None


def external_matches(external: External | None, nodes: Nodes, side: str) -> list[str]:
    """Expressions that match packets from (saddr) or to (daddr) pods of another CNI.

    Some give pods addresses of the range that nodes have theirs in.
    """
    return [
        f"{family.ip} {side} {external.network[family.cidr]}"
        + (f" {family.ip} {side} != @nodes{family.suffix}" if nodes.families else "")
        for family in FAMILIES
        if external and external.network[family.cidr]
    ]


def forged(external: External | None, nodes: Nodes) -> list[str]:
    """Expressions that match packets with a source to which no route leads where they came from.

    A pod of another CNI is known by its source alone, so it may have taken any other.
    """
    return [f"{match} fib saddr . iif oif missing" for match in _from_elsewhere(external, nodes)]


def _from_elsewhere(external: External | None, nodes: Nodes) -> list[str]:
    """Expressions that match what came from where another CNI's pods may be."""
    if not external or not external_matches(external, nodes, "saddr"):
        return []
    of_nodes = f" iifname != @{UNDERLAY}" if nodes.families else ""
    return ["iifname != @network_devices" + of_nodes]


def forged_to(external: External | None, nodes: Nodes) -> list[str]:
    """Rules against such packets to networks that are kept apart from another CNI's, and those with
    a link-local source, which every device has a route to.
    """
    if not external:
        return []
    devices = [device for one in external.apart for device in one["devices"]]
    ways = ["oifname " + any_of(quoted(devices))]
    ways += [
        f"{one.ip} daddr {cidr}" for one in FAMILIES for cidr in ranges_of(external.apart, one)
    ]
    matches = [f"{way} {match}" for way in ways for match in forged(external, nodes)]
    matches += [
        f"ip6 daddr {cidr} ip6 saddr {LINK_LOCAL} {match}"
        for cidr in ranges_of(external.apart, FAMILIES[1])
        for match in _from_elsewhere(external, nodes)
    ]
    why = "to a network, from where no route leads to its source"
    return ["\t" + drop(match, why) for match in matches]


def from_external(external: External | None) -> list[str]:
    """What came from a pod of another CNI, by source; of its devices nothing is known."""
    if not external:
        return []
    lines = ["", "chain from_external {"]
    lines.append(
        "\t"
        + drop(
            "oifname "
            + any_of(quoted([device for one in external.apart for device in one["devices"]])),
            f"{external.name}: to a device of another network",
        )
    )
    lines += [
        "\t"
        + drop(f"{family.ip} daddr {cidr}", f"{external.name}: to an address of another network")
        for family in FAMILIES
        for cidr in ranges_of(external.apart, family)
    ]
    return lines + ["}"]
