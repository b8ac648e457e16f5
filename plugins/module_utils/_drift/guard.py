# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of this host: its tables, its state, and the ports that it does not know.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable
from typing import Any

from .._cni import files
from .._isolation import seal
from . import commands

RULES = "/etc/multinet/isolation.nft"
STATE = "/run/multinet-isolation/state.json"
PORT_SECONDS = 2  # a pod's ADD has told the guard of its port by then

_DROP = re.compile(r'counter packets (\d+) bytes \d+ drop comment "([^"]*)"')
_PORT = re.compile(r'"(\S+)" : goto ([^\s,]+)')


def look(execute: commands.Run) -> dict[str, Any]:
    """Return {"devices": list or None without a table, "unreadable": a sentence or "", "error",
    "file_changed", "file_as_deployed", "held", "restored", "dropped": {reason: packets}, "ports":
    {port of a bridge: its chain} or None}.
    """
    devices: list[str] | None = None
    unreadable = ""
    drops: dict[str, int] = {}
    ports: dict[str, str] | None
    argv = ["nft", "-j", "list", "set", "inet", "multinet", "network_devices"]
    try:
        devices = _elements(execute(argv))
        if devices is None:
            unreadable = f"'{' '.join(argv)}' did not print the set in JSON"
        # not as JSON: nft 1.0 breaks off at the flag of a table that is owned
        drops = _dropped(execute(["nft", "list", "table", "inet", "multinet"]))
    except commands.ObserveError as error:
        unreadable = _unread("inet multinet", error, execute)
    try:
        listed_ports = execute(["nft", "list", "table", "bridge", "multinet"])
        ports = dict(_PORT.findall(listed_ports.partition("map bridged")[0]))
        drops.update(_dropped(listed_ports))
    except commands.ObserveError as error:
        ports = None
        unreadable = unreadable or _unread("bridge multinet", error, execute)
    try:
        state = {**json.loads(files.text(STATE) or "{}")}
    except (ValueError, TypeError):
        state = {}
    try:
        changed = os.stat(RULES).st_mtime_ns > state.get("loaded_at", 0)
    except OSError:
        changed = False
    return {
        "devices": devices,
        "unreadable": unreadable,
        "error": state.get("error", ""),
        "file_changed": changed,
        "file_as_deployed": not seal.is_broken(files.text(RULES)),
        "held": state.get("held", ""),
        "restored": state.get("restored", 0),
        "dropped": drops,
        "ports": ports,
    }


def _unread(table: str, failed: commands.ObserveError, execute: commands.Run) -> str:
    """Return why a table could not be listed, "" if it is not there."""
    try:
        there = f"table {table}" in execute(["nft", "list", "tables"]).splitlines()
    except commands.ObserveError:
        there = True  # for all that anybody can say
    return str(failed) if there else ""


def _elements(text: str) -> list[str] | None:
    """Return the elements of the set that `nft -j` printed, None where that cannot be read."""
    try:
        for one in json.loads(text)["nftables"]:
            if "set" in one:
                found = one["set"].get("elem", [])
                return found if all(isinstance(name, str) for name in found) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def _dropped(table: str) -> dict[str, int]:
    """Return {reason: packets} of the rules of a table that drop: a reason is a rule's comment."""
    found: dict[str, int] = {}
    for packets, reason in _DROP.findall(table):
        found[reason] = found.get(reason, 0) + int(packets)
    return found


# What the guard sets group_fwd_mask of each port to (roles/isolation/files/isolation.py)
_GROUPS = "0xfffd"
_last_odd: set[tuple[str, ...]] = set()  # names and MACs of ports without the guard; other ports


def odd_ports(
    plan: dict[str, Any],
    links: dict[str, dict[str, Any]],
    ports: dict[str, str] | None,
    execute: commands.Run,
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the ports of the networks' bridges that the guard's table does not have, and {bridge
    of a network that is there: its ports that do not treat frames to bridges themselves like
    others}, which the guard sets. ports: the table's, None where it is not there, which is told
    elsewhere.

    A port that is just coming or going is looked at again after a pause. One that this process saw
    before, at its last look, is not waited for again.
    """
    global _last_odd  # what this process saw last
    bridges = [network["bridge"] for network in plan["networks"]]
    on_bridges = {name for name, link in links.items() if link["master"] in bridges}
    linklocal = _linklocal(bridges)
    unknown = set() if ports is None else on_bridges - set(ports)
    odd: set[tuple[str, ...]] = {(name, links[name]["mac"]) for name in unknown}
    odd.update((port,) for of_bridge in linklocal.values() for port in of_bridge)
    is_new, _last_odd = not odd <= _last_odd, odd
    if is_new:
        time.sleep(PORT_SECONDS)
        linklocal = _linklocal(bridges)
        if unknown:
            unknown = on_bridges - _known_ports(execute, on_bridges)
    there = [name for name in unknown if os.path.exists(f"/sys/class/net/{name}/brport")]
    return sorted(there), linklocal


def _known_ports(execute: commands.Run, otherwise: set[str]) -> set[str]:
    """Return the ports that the guard's table has now; otherwise: where it is gone by now."""
    try:
        listed = execute(["nft", "list", "map", "bridge", "multinet", "ports"])
    except commands.ObserveError:
        return otherwise
    return {port for port, dummy in _PORT.findall(listed)}


def _linklocal(bridges: Iterable[str]) -> dict[str, list[str]]:
    found = {}
    for bridge in bridges:
        place = f"/sys/class/net/{bridge}/brif"
        with contextlib.suppress(FileNotFoundError):
            found[bridge] = [
                port
                for port in sorted(os.listdir(place))
                if files.text(f"{place}/{port}/group_fwd_mask").strip() != _GROUPS
            ]
    return found
