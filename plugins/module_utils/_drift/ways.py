# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What leads from this host to others, as the kernel has it. Reads only; runs on hosts."""

from __future__ import annotations

import functools
import ipaddress
import shutil
from collections.abc import Collection
from typing import Any

from .._node import xfrm
from . import commands, rules

# What ip prints where the kernel has no rules of a family, or no route has made a table
_NONE = (
    "Address family not supported",
    "Operation not supported",
    "FIB table does not exist",
    "RTNETLINK answers: No such file or directory",
)


def look(execute: commands.Run, backends: Collection[str]) -> dict[str, Any]:
    """Return what leads to other hosts by networks of these backends.

    {"routes": [{dst, dev, gateway, protocol, metric}], "neighbours": {device: {address: MAC}},
    "fdb": {device: {MAC: address}}, "fdb_others": {device: [[MAC, address, words]]}, with what
    flanneld makes none like: a second entry of a MAC, or one with a port, VNI or interface of its
    own, in the words of bridge(8), "rules": rules.look(), "xfrm": {subnet: the host that a policy
    leads to it by}, "wireguard": {device: {public key: [ranges]}} or None without the command wg}.

    Raises ObserveError.
    """
    neighbours: dict[str, dict[str, Any]] = {}
    for one in commands.of_ip(execute, "neigh", "show", "nud", "permanent"):
        neighbours.setdefault(one["dev"], {})[one["dst"]] = one.get("lladdr")
    fdb: dict[str, dict[str, str]] = {}
    others: dict[str, list[Any]] = {}
    for one in commands.listed(execute, ["bridge", "-j", "fdb", "show"]):
        if "dst" not in one:
            continue
        device, mac, own = one["ifname"], one["mac"], []
        for key, word in (("port", "port"), ("vni", "vni"), ("viaIf", "via")):
            own += [word, str(one[key])] if key in one else []
        if own or mac in fdb.get(device, {}):
            others.setdefault(device, []).append([mac, one["dst"], own])
        else:
            fdb.setdefault(device, {})[mac] = one["dst"]
    return {
        "routes": [
            {key: route.get(key) for key in ("dst", "dev", "gateway", "protocol", "metric")}
            for family in ("-4", "-6")
            for route in commands.of_ip(execute, family, "route")
            if _has_target(route)
        ],
        "neighbours": neighbours,
        "fdb": fdb,
        "fdb_others": others,
        "rules": rules.look(functools.partial(_policy, execute)),
        "xfrm": _xfrm(execute) if "ipsec" in backends else {},
        "wireguard": _wireguard(execute) if "wireguard" in backends else {},
    }


def _policy(execute: commands.Run, family: str, table: str) -> list[Any]:
    """Return the rules of a family ("4" or "6"), or the routes of one of their tables; none where
    there is no such family or table. Raises ObserveError.
    """
    what = ["route", "show", "table", table] if table else ["rule"]
    try:
        return commands.of_ip(execute, f"-{family}", *what)
    except commands.ObserveError as error:
        if any(words in str(error) for words in _NONE):
            return []
        raise


def _has_target(route: dict[str, Any]) -> bool:
    """Whether a route has a target that can be compared: not one of another family (MPLS)."""
    dst = str(route.get("dst"))  # a number would be an address, too
    if dst == "default":
        return True
    try:
        ipaddress.ip_network(dst)
    except ValueError:
        return False
    return True


def _xfrm(execute: commands.Run) -> dict[str, str]:
    listed = xfrm.policies(execute(["ip", "xfrm", "policy"]))
    return {one.target: one.host for one in listed if one.way == "out" and one.host}


def _wireguard(execute: commands.Run) -> dict[str, dict[str, list[str]]] | None:
    if not shutil.which("wg"):
        return None
    found: dict[str, dict[str, list[str]]] = {}
    for line in execute(["wg", "show", "all", "allowed-ips"]).splitlines():
        device, key, ranges = line.split("\t", 2)
        found.setdefault(device, {})[key] = ranges.split()
    return found
