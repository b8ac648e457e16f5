# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and ranges, computed with netaddr: read them strictly, refuse what cannot be a network
of pods, find overlaps and free ranges. For the controller alone; no other file of the plan imports
netaddr.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

try:
    from netaddr import INET_PTON, AddrFormatError, IPAddress, IPNetwork, IPSet
except ImportError:  # told by _libraries.need, where a plan is asked for
    INET_PTON = AddrFormatError = IPAddress = IPNetwork = IPSet = None

# Ranges that hold no ordinary addresses (IANA special-purpose registries).
_UNUSABLE = {
    "0.0.0.0/8": "is 'this network'",
    "127.0.0.0/8": "is loopback",
    "169.254.0.0/16": "is link-local",
    "224.0.0.0/4": "is multicast",
    "240.0.0.0/4": "is reserved",
    "::/8": "is loopback, unspecified or IPv4-mapped",
    "fe80::/10": "is link-local",
    "ff00::/8": "is multicast",
}
# Where a free range is looked for (RFC 1918, RFC 4193).
_PRIVATE = {4: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), 6: ("fd00::/8",)}
WIDTH = {4: 32, 6: 128}
_EXAMPLE = {4: "10.1.0.0/16", 6: "fd00:1::/48"}
_OTHER_KEY = {
    4: "write it as ipv6_cidr, and an IPv4 range as cidr",
    6: "write it as cidr, and an IPv6 range as ipv6_cidr",
}


class RangeError(ValueError):
    """What is wrong with a range, to be put after its key and value: '<what>; write <instead>'."""


def parse_address(text: Any, version: int = 0) -> IPAddress | None:
    """Return the address that `text` is, of any IP version when `version` is 0; null if it is none.

    Strict: no abbreviations, other bases, leading zeros, zones or blanks.
    """
    if not isinstance(text, str):
        return None
    try:
        return IPAddress(text, version or None, flags=INET_PTON)
    except (AddrFormatError, ValueError):
        return None


def parse_network(text: Any, version: int) -> IPNetwork:
    """Return the network that `text` names, of IP version 4 or 6, fit to hold pods.

    Raises RangeError.
    """
    network = parse_range(text, version)
    for unusable, what in _unusable():
        if network in unusable or unusable in network:
            raise RangeError(
                f"reaches into {unusable}, which {what}; write a range of ordinary addresses, for"
                f" example {_EXAMPLE[version]!r}"
            )
    return network


@functools.cache
def _unusable() -> list[tuple[IPNetwork, str]]:
    return [(IPNetwork(cidr), what) for cidr, what in _UNUSABLE.items()]


def parse_range(text: Any, version: int = 0, strict: bool = True) -> IPNetwork:
    """Return the range that `text` names, of any IP version when `version` is 0; strict: its host
    bits must be zero. Raises RangeError.
    """
    example = _EXAMPLE[version or 4]
    if not isinstance(text, str):
        raise RangeError(f"is not a string; write a range such as {example!r}")
    # netaddr also takes netmasks and bare addresses, where a reader may mean another thing than
    # it does.
    start, slash, length = text.partition("/")
    if not slash:
        raise RangeError(f"has no prefix length; write it behind a slash, for example {example!r}")
    address = parse_address(start) if re.fullmatch("[0-9]{1,3}", length) else None
    if address is None or int(length) > WIDTH[address.version]:
        raise RangeError(
            "is not a range of addresses; write an address, a slash and a prefix length, for"
            f" example {example!r}"
        )
    network = IPNetwork((int(address), int(length)), address.version).cidr
    if version and network.version != version:
        raise RangeError(f"is IPv{network.version}; {_OTHER_KEY[version]}")
    if strict and int(address) != network.first:
        raise RangeError(f"has host bits set; write {str(network)!r}")
    return network


def overlaps(ranges: Sequence[IPNetwork]) -> list[list[int]]:
    """Return for each of the ranges the positions of those that it overlaps, in ascending order.

    Of two ranges that overlap, one holds the other. So one walk in the order of addresses, a range
    ahead of those that it holds, meets each of them while those that hold it are still open.
    """
    found: list[list[int]] = [[] for dummy in ranges]
    holding: list[int] = []
    for position in sorted(range(len(ranges)), key=lambda index: ranges[index].sort_key()):
        while holding and ranges[position] not in ranges[holding[-1]]:
            holding.pop()
        for other in holding:
            found[position].append(other)
            found[other].append(position)
        holding.append(position)
    return [sorted(others) for others in found]


def free_space(taken: Iterable[IPNetwork], version: int) -> IPSet:
    """Return the private addresses of the version that no range of `taken` has."""
    return IPSet(_PRIVATE[version]) - IPSet(
        network for network in taken if network.version == version
    )


def take_free_range(prefix_length: int, free: IPSet) -> str:
    """Return the first range of this size in `free`, and take it out; '' if there is none."""
    for block in free.iter_cidrs():
        if block.prefixlen <= prefix_length:
            found = next(block.subnet(prefix_length))
            free.remove(found)
            return str(found)
    return ""


def halves(cidr: str) -> list[str]:
    """Return the two halves of a range."""
    network = IPNetwork(cidr)
    return [str(half) for half in network.subnet(network.prefixlen + 1)]


def usable_subnets(
    network: IPNetwork,
    subnet_len: int,
    first: IPAddress | None = None,
    last: IPAddress | None = None,
) -> int:
    """How many nodes can lease a subnet: flannel leaves out the first one unless SubnetMin says
    otherwise.

    first, last: the addresses that begin the first and the last subnet that may be leased.
    """
    size = 1 << (WIDTH[network.version] - subnet_len)
    low = network.first + size if first is None else int(first)
    high = network.last + 1 - size if last is None else int(last)
    return max(0, (high - low) // size + 1)
