# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of nft's language: sets, verdict maps, and matches of the ranges and tunnels of networks,
for both IP families. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._plan.ranges import parse_network

LINK_LOCAL = "fe80::/10"


class Family(NamedTuple):
    """What differs between the two IP families in the rules."""

    ip: str  # keyword of the header
    suffix: str  # of the names of sets
    set_type: str
    cidr: str  # key of a network's range in the plan
    device: str  # key of the tunnel device that carries the family
    version: int
    multicast: str
    own: tuple[str, ...]  # sources that every interface may use
    icmp: str
    errors: str  # ICMP errors
    too_big: str  # the one that lowers what the kernel sends to a destination
    quoted: int  # bits from the ICMP header to that destination, in the packet it quotes
    redirect: str


FAMILIES = (
    Family(
        "ip",
        "",
        "ipv4_addr",
        "cidr",
        "device",
        4,
        "224.0.0.0/4",
        (),
        "meta l4proto icmp",
        "icmp type { destination-unreachable, source-quench, time-exceeded, parameter-problem }",
        "icmp type destination-unreachable icmp code frag-needed",
        (8 + 16) * 8,
        "icmp type redirect",
    ),
    # Neighbour discovery: the unspecified address while it looks for duplicates, link-local
    # afterwards.
    Family(
        "ip6",
        "6",
        "ipv6_addr",
        "ipv6_cidr",
        "device_v6",
        6,
        "ff00::/8",
        (LINK_LOCAL, "::"),
        "meta l4proto ipv6-icmp",
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
        "icmpv6 type packet-too-big",
        (8 + 24) * 8,
        "icmpv6 type nd-redirect",
    ),
)


def quoted(devices: Sequence[str]) -> list[str]:
    """Names of devices, as nft writes them."""
    return [f'"{device}"' for device in devices]


def braces(elements: Sequence[Any]) -> str:
    """A set without a name: `{ a, b }`."""
    return "{ " + ", ".join(str(element) for element in elements) + " }"


def any_of(elements: Sequence[Any]) -> str:
    """The right side of a match with one of the elements, of which there is at least one."""
    return str(elements[0]) if len(elements) == 1 else braces(elements)


def named_set(name: str, kind: str, elements: Sequence[Any]) -> list[str]:
    """Lines that declare a set; kind: its type, such as ifname."""
    lines = [f"set {name} {{", f"\ttype {kind}"]
    if elements:
        lines.append("\telements = " + braces(elements))
    return lines + ["}"]


def vmap(targets: Sequence[tuple[str, str]]) -> str:
    """A verdict map; targets: (key, verdict) of each element."""
    return "vmap " + braces([f"{key} : {verdict}" for key, verdict in targets])


def drop(match: str, reason: str) -> str:
    """A rule that counts what it drops, and says why."""
    return f'{match} counter drop comment "{reason}"'.lstrip()


def ranges_of(networks: Sequence[dict[str, Any]], family: Family) -> list[str]:
    """The ranges of one family that networks have."""
    return [network[family.cidr] for network in networks if network.get(family.cidr)]


def families_of(networks: Sequence[dict[str, Any]]) -> list[Family]:
    """The families that any of the networks has a range of."""
    return [family for family in FAMILIES if ranges_of(networks, family)]


class Prefixes(NamedTuple):
    """Ranges of one family that have prefixes of one length.

    A set of them holds their first addresses, and an address is masked before it is looked up. The
    kernel begins to find what a set of intervals holds only a moment after the table is in force,
    and is slower at it.
    """

    length: int
    mask: str
    found: list[tuple[str, dict[str, Any]]]  # (first address, network)

    def of(self, family: Family, side: str) -> str:
        """Expression of the masked address."""
        return f"{family.ip} {side} & {self.mask}"


def prefixes_of(networks: Sequence[dict[str, Any]], family: Family) -> list[Prefixes]:
    """The ranges of one family that networks have, by the length of their prefixes."""
    made: dict[int, Prefixes] = {}
    for network in networks:
        if network.get(family.cidr):
            length, mask, first = _read(network[family.cidr], family.version)
            if length not in made:
                made[length] = Prefixes(length, mask, [])
            made[length].found.append((first, network))
    return [made[length] for length in sorted(made)]


@functools.lru_cache(maxsize=4096)  # each network's rules ask for those of all
def _read(cidr: str, version: int) -> tuple[int, str, str]:
    """Return length, mask and first address of a range."""
    one = parse_network(cidr, version)
    return one.prefixlen, str(one.netmask), str(one.network)


def _set_name(name: str, family: Family, prefixes: Prefixes) -> str:
    return f"{name}{family.suffix}_{prefixes.length}"


def range_sets(name: str, networks: Sequence[dict[str, Any]]) -> list[str]:
    """Lines that declare the sets of networks' ranges: one for each family and prefix length."""
    return [
        line
        for family in FAMILIES
        for prefixes in prefixes_of(networks, family)
        for line in named_set(
            _set_name(name, family, prefixes),
            family.set_type,
            [address for address, dummy in prefixes.found],
        )
    ]


def in_ranges(
    networks: Sequence[dict[str, Any]], family: Family, side: str, name: str = "network_ranges"
) -> list[str]:
    """Expressions, each of which matches an address of some of the networks; name: of the sets."""
    return [
        f"{prefixes.of(family, side)} @{_set_name(name, family, prefixes)}"
        for prefixes in prefixes_of(networks, family)
    ]


def in_no_range(networks: Sequence[dict[str, Any]], family: Family, side: str) -> str:
    """Expression that matches an address of none of the networks."""
    return " ".join(
        f"{prefixes.of(family, side)} != @{_set_name('network_ranges', family, prefixes)}"
        for prefixes in prefixes_of(networks, family)
    )


def ports_of(networks: list[dict[str, Any]]) -> list[int]:
    """The UDP ports of networks' tunnels."""
    return sorted({port for network in networks for port in network["tunnel_ports"]})


def _protocols(networks: list[dict[str, Any]]) -> list[int]:
    """Numbers of the IP protocols that tunnels other than UDP ones use (4 ipip, 50 ESP)."""
    return sorted(
        {number for network in networks for number in network.get("tunnel_protocols") or []}
    )


def tunnel_matches(networks: list[dict[str, Any]]) -> list[str]:
    """Expressions, each of which matches packets that a tunnel of the networks would take in."""
    matches = []
    if ports_of(networks):
        matches.append("udp dport " + any_of(ports_of(networks)))
    if _protocols(networks):
        matches.append("meta l4proto " + any_of(_protocols(networks)))
    return matches
