# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds where a declaration says nothing. Nothing is judged here: the checks come first, and
null is what they found wrong or nobody gave.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterable
from typing import Any

from .._ports import HEALTHZ_BASE, HEALTHZ_SPAN
from .ranges import IPNetwork
from .schema import BACKENDS, NETWORK_KEYS, NODE_CIDR_MASK_SIZES, OPTIONS, Family


def options(given: dict[str, Any]) -> dict[str, Any]:
    """Return all options: those that are given, and the defaults of the others."""
    values = {key: copy.copy(option.default) for key, option in OPTIONS.items()} | given
    if values["kubernetes"] is None:
        values["kubernetes"] = values["datastore"] == "kubernetes"
    return values


def node_cidr_mask_sizes(ranges: Iterable[IPNetwork]) -> list[int]:
    """Return the length of a node's subnet in each of Kubernetes' ranges."""
    return [NODE_CIDR_MASK_SIZES[one.version] for one in ranges]


def network(given: dict[str, Any]) -> dict[str, Any]:
    """Return the network with the defaults of the keys that are not in `given`.

    Ranges, backend, interface and health port have theirs from the functions below.
    """
    filled = {key: copy.copy(described.default) for key, described in NETWORK_KEYS.items()} | given
    if "attach" not in given:
        filled["attach"] = "all" if filled["default"] else "request"
    if "masquerade" not in given:
        filled["masquerade"] = filled["default"]
    return filled


def healthz_ports(networks: Iterable[dict[str, Any]]) -> None:
    """Give the networks that have none the TCP port of their flanneld on 127.0.0.1: the same on
    every host and in every run, for it depends on the name. Of two names with the same one, the
    later network has the next, so that one that is added at the end moves no other.
    """
    taken: set[int] = set()
    for one in networks:
        if one["healthz_port"] is None and one["name"]:
            place = zlib.crc32(one["name"].encode())
            while place % HEALTHZ_SPAN in taken:
                place += 1
            taken.add(place % HEALTHZ_SPAN)
            one["healthz_port"] = HEALTHZ_BASE + place % HEALTHZ_SPAN


def subnet_len(cidr: IPNetwork, family: Family, cluster: dict[IPNetwork, int]) -> int:
    """Length of a node's subnet of the range: flannel's usual one, Kubernetes' own in a range of
    its own (see options.Options), and in any case four subnets or more.
    """
    return max(cluster.get(cidr, family.usual), cidr.prefixlen + 2)


def backend(given: dict[str, Any], ipv6: bool) -> dict[str, Any]:
    """Return the backend, of which `type` is sound, with the defaults of the keys not in `given`.

    ipv6: whether the network has an IPv6 range.
    """
    kind = BACKENDS[given["type"]]
    filled = {"type": given["type"]}
    filled.update({key: described.default for key, described in kind.keys.items()})
    filled.update(given)
    if ipv6 and kind.ipv6_mtu and filled["mtu"] is None:
        filled["mtu"] = kind.ipv6_mtu
    return filled


def interfaces(networks: Iterable[dict[str, Any]]) -> None:
    """Name the interfaces that have no name: eth0 that of the default network, the others net1,
    net2, ... by their place among all that are not the default.
    """
    number = 0
    for one in networks:
        number += not one["default"]
        one["interface"] = one["interface"] or ("eth0" if one["default"] else f"net{number}")
