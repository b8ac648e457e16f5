# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses: read them strictly, refuse what cannot be a network of pods, find free ones."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Union

IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Ranges that hold no ordinary addresses (IANA special-purpose registries).
_UNUSABLE = [
    (ipaddress.ip_network(cidr), what)
    for cidr, what in (
        ("0.0.0.0/8", "is 'this network'"),
        ("127.0.0.0/8", "is loopback"),
        ("169.254.0.0/16", "is link-local"),
        ("224.0.0.0/4", "is multicast"),
        ("240.0.0.0/4", "is reserved"),
        ("::/8", "is loopback, unspecified or IPv4-mapped"),
        ("fe80::/10", "is link-local"),
        ("ff00::/8", "is multicast"),
    )
]
_PRIVATE = {
    4: [ipaddress.ip_network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
    6: [ipaddress.ip_network("fd00::/8")],
}
_EXAMPLE = {4: "10.1.0.0/16", 6: "fd00:1::/48"}


class RangeError(ValueError):
    """What is wrong with a range, to be put after its key and value: '<what>; write <instead>'."""


def parse_network(text: Any, version: int) -> IPNetwork:
    """Return the network that `text` names, of IP version 4 or 6, fit to hold pods.

    Raises RangeError.
    """
    network = parse_range(text, version)
    for unusable, what in _UNUSABLE:
        if unusable.version == version and network.overlaps(unusable):
            raise RangeError(
                f"reaches into {unusable}, which {what}; write a range of ordinary addresses, for"
                f" example {_EXAMPLE[version]!r}"
            )
    return network


def parse_range(text: Any, version: int = 0, strict: bool = True) -> IPNetwork:
    """Return the range that `text` names, of any IP version when `version` is 0; strict: its host
    bits must be zero. Raises RangeError.
    """
    example = _EXAMPLE[version or 4]
    if not isinstance(text, str):
        raise RangeError(f"is not a string; write a range such as {example!r}")
    # ipaddress also takes netmasks, bare addresses and zones, where a reader may mean another thing
    # than it does.
    address, slash, length = text.partition("/")
    if not slash:
        raise RangeError(f"has no prefix length; write it behind a slash, for example {example!r}")
    if not re.fullmatch("[0-9]{1,3}", length) or "%" in address:
        raise RangeError(
            "is not a range of addresses; write an address, a slash and a prefix length, for"
            f" example {example!r}"
        )
    try:
        network = ipaddress.ip_network(text, strict=False)
        base = ipaddress.ip_address(address)
    except ValueError:
        raise RangeError(
            "is not a range of addresses; write an address, a slash and a prefix length, for"
            f" example {example!r}"
        ) from None
    if version and network.version != version:
        raise RangeError(
            f"is IPv{network.version};"
            f" {'write it as ipv6_cidr, and an IPv4 range as cidr' if version == 4 else 'write it as cidr, and an IPv6 range as ipv6_cidr'}"
        )
    if strict and base != network.network_address:
        raise RangeError(f"has host bits set; write {str(network)!r}")
    return network


def free_range(prefix_length: int, taken: Iterable[IPNetwork], version: int) -> str:
    """Return the first private range of this size that overlaps none of `taken`, or '' when there
    is none.
    """
    others = [network for network in taken if network.version == version]
    for pool in _PRIVATE[version]:
        if prefix_length < pool.prefixlen:
            continue
        size = 1 << (pool.max_prefixlen - prefix_length)
        start, end = int(pool.network_address), int(pool.broadcast_address)
        while start <= end:
            candidate = ipaddress.ip_network((start, prefix_length))
            hit = next((network for network in others if network.overlaps(candidate)), None)
            if hit is None:
                return str(candidate)
            start = (
                max(int(hit.broadcast_address), int(candidate.broadcast_address)) // size + 1
            ) * size
    return ""


def usable_subnets(network: IPNetwork, subnet_len: int, first: Any = None, last: Any = None) -> int:
    """How many nodes can lease a subnet: flannel leaves out the first one unless SubnetMin says
    otherwise.
    """
    size = 1 << (network.max_prefixlen - subnet_len)
    low = int(first) if first is not None else int(network.network_address) + size
    high = int(last) if last is not None else int(network.broadcast_address) + 1 - size
    return max(0, (high - low) // size + 1)
