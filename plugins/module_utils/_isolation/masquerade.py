# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 3 of 3 of the table `inet multinet`, which ruleset.py puts together: masquerade of what
leaves the networks for good. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nft import any_of, braces, drop, families_of, in_no_range, in_ranges, ports_of, quoted

# Where masquerade looks for a port. Answers to it arrive at the node: not where a node, a hostPort
# or a NodePort listens, and not on a tunnel's port.
MASQUERADE_PORTS = (32768, 65535)
WIREGUARD = (51820, 51821, 51871)  # the kernel's documentation; Calico, IPv4 and IPv6; Cilium
WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
PRIORITY_MASQUERADE = 95  # just ahead of srcnat


def masquerade(networks: list[dict[str, Any]]) -> list[str]:
    """The chain of what leaves this host, and those that it leads to."""
    masqueraded = [network for network in networks if network["masquerade"]]
    if not masqueraded:
        return []
    lines = [
        "",
        "# 3. Masquerade: only what leaves the networks for good, and what comes from elsewhere"
        " into a tunnel, so that the answer comes back this way.",
        "#    Between networks the source stays what it is.",
        "chain leaving {",
        f"\ttype nat hook postrouting priority {PRIORITY_MASQUERADE}; policy accept;",
    ]
    for family in families_of(masqueraded):
        tunnels = [
            network[family.device]
            for network in masqueraded
            if network.get(family.cidr) and network.get(family.device)
        ]
        if tunnels:
            lines.append(
                f"\toifname {any_of(quoted(tunnels))} {in_no_range(networks, family, 'saddr')}"
                " goto as_host"
            )
    lines.append("\toifname @network_devices accept")
    for family in families_of(masqueraded):
        lines += [
            f"\t{match} {in_no_range(networks, family, 'daddr')} {family.ip} daddr !="
            f" {family.multicast} goto outside"
            for match in in_ranges(masqueraded, family, "saddr", "masqueraded")
        ]
    first, last = _masquerade_ports([*ports_of(networks), *WIREGUARD])
    answered = braces([*WITH_PORTS, "icmp", "ipv6-icmp"])
    unanswered = "out of the networks without ports: answers could not be told from the host's own"
    return lines + [
        "}",
        "",
        "chain outside {",
        "\t" + drop(f"meta l4proto != {answered}", unanswered),
        "\tgoto as_host",
        "}",
        "",
        "chain as_host {",
        "\t# answers come to these ports of the host: not where it, a hostPort, a NodePort or a"
        " tunnel listens",
        f"\tmeta l4proto {braces(WITH_PORTS)} counter masquerade to :{first}-{last} fully-random",
        "\tcounter masquerade fully-random",
        "}",
    ]


def _masquerade_ports(taken: Sequence[int]) -> tuple[int, int]:
    """First and last of the most ports in a row, of MASQUERADE_PORTS, that are not taken."""
    first, last = MASQUERADE_PORTS
    edges = [first - 1, *(port for port in sorted(taken) if first <= port <= last), last + 1]
    return max(
        ((low + 1, high - 1) for low, high in zip(edges, edges[1:])),
        key=lambda one: one[1] - one[0],
    )
