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


def _quoted_target(cidr: str, family: Family, compared: str = "") -> str:
    """Expression that matches ICMP errors about a packet to a range. compared: "!= ": elsewhere."""
    one = parse_range(cidr, family.version)
    prefix = int(one.network) >> (WIDTH[family.version] - one.prefixlen)
    return f"@th,{family.quoted},{one.prefixlen} {compared}{prefix:#x}"


def about_others(network: dict[str, Any], family: Family) -> str:
    """Expression that matches ICMP errors about packets to what is not in a network.

    A pod that gets one, and is on other networks as well, would believe it of its ways there.
    """
    own = [*ranges_of([network], family), *([LINK_LOCAL] if family.version == 6 else [])]
    return " ".join([family.errors, *(_quoted_target(cidr, family, "!= ") for cidr in own)])
