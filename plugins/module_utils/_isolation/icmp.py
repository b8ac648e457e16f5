# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP of pods, which tells hosts and other pods of ways: only of their own network's. Pure."""

from __future__ import annotations

from typing import Any

from .._plan.ranges import WIDTH, parse_range
from .nft import FAMILIES, LINK_LOCAL, Family, drop, ranges_of


def icmp_to_host(networks: list[dict[str, Any]], origins: list[str]) -> list[str]:
    """What a pod tells the host of ways: nothing about other networks' or the tunnels' own.

    The kernel believes who says that a packet was too big, or that nobody takes it, whatever packet
    that quotes; what counts is the destination in it.
    """
    lines = ["", "chain icmp_to_host {"]
    for family in FAMILIES:
        lines += [
            f"\t{family.errors} jump icmp_error",
            "\t" + drop(f"iifname @network_devices {family.redirect}", "a pod redirects the host"),
        ]
    lines += ["}", "", "chain icmp_error {"]
    for family in FAMILIES:
        for cidr in ranges_of(networks, family):
            lines.append(f"\t{family.ip} saddr {cidr} {_quoted_target(cidr, family)} return")
    lines += ["\tjump misled", "}", "", "chain misled {"]
    lines += [
        "\t" + drop(origin, "a pod's ICMP error about what is not its network's")
        for origin in origins
    ]
    return [*lines, "}"]


def _quoted_target(cidr: str, family: Family) -> str:
    """Expression that matches ICMP errors about a packet to a range."""
    one = parse_range(cidr, family.version)
    prefix = int(one.network) >> (WIDTH[family.version] - one.prefixlen)
    return f"@th,{family.quoted},{one.prefixlen} {prefix:#x}"


def against_errors(network: dict[str, Any], why: str, *, by_source: bool) -> list[str]:
    """Rules against ICMP errors about packets to what is not in a network, and those that do not
    say what they are about, as a fragment. by_source: those from its addresses alone.

    A pod that gets one, and is on other networks as well, would believe it of its ways there.
    """
    rules = []
    for family in FAMILIES:
        ranges = ranges_of([network], family)
        own = [*ranges, *([LINK_LOCAL] if family.version == 6 else [])]
        froms = [f" {family.ip} saddr {cidr}" for cidr in ranges] if by_source else [""]
        if froms:
            rules += [f"{family.errors} {_quoted_target(cidr, family)} return" for cidr in own]
            rules += [drop(family.errors + source, why) for source in froms]
    return rules
