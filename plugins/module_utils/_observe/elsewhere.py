# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that others deployed: what should hold of them, as the plan that verification goes by.

Pure, on the controller.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .._plan.sentences import Report, nearest, show

VNIS, PORTS = range(1 << 24), range(1, 1 << 16)
VXLAN_PORT = 8472  # flannel's and the kernel's own


def plan_of(declared: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the plan (see _plan.plan.plan()) of networks that others deployed, as far as
    verification reads it; "elsewhere" says so.

    declared: [{"name", "bridge", "cidr", "ipv6_cidr", "vni", "port", "device", "device_v6",
    "subnet_file", "default", "allow_to"}], see docs/verify_elsewhere.md. Raises ValueError with all
    that is wrong.
    """
    wrong = problems(declared)
    if wrong:
        raise ValueError(" ".join(wrong))
    default = next((one["name"] for one in declared if one.get("default")), None)
    return {
        "networks": [_network(one) for one in declared],
        "default_network": default,
        "external": None,
        "isolated": [one["name"] for one in declared],
        "allowed": [[one["name"], to] for one in declared for to in one.get("allow_to", [])],
        "elsewhere": True,
    }


def _network(one: Mapping[str, Any]) -> dict[str, Any]:
    vni = one.get("vni")
    named = vni is not None
    backend: dict[str, Any] = {"type": "none"}
    if named:
        backend = {"type": "vxlan", "vni": vni, "port": one.get("port", VXLAN_PORT)}
    device = f"flannel.{vni}" if named and one.get("cidr") else None
    device_v6 = f"flannel-v6.{vni}" if named and one.get("ipv6_cidr") else None
    return {
        "name": one["name"],
        "cidr": one.get("cidr"),
        "ipv6_cidr": one.get("ipv6_cidr"),
        "default": one.get("default", False),
        "bridge": one["bridge"],
        "interface": "",
        "device": one.get("device", device),
        "device_v6": one.get("device_v6", device_v6),
        "backend": backend,
        "subnet_file": one.get("subnet_file", ""),
        "attach": "request",
        "masquerade": False,
        "delegate": {},
    }


def problems(declared: Any) -> list[str]:
    """Return everything that is wrong with a declaration, as sentences."""
    if not isinstance(declared, (list, tuple)):
        return [
            f"verify_networks: {show(declared)} is not a list; write a list of networks, each with"
            " name, bridge and cidr."
        ]
    if not declared:
        return [
            "verify_networks: the list is empty; write networks, each with name, bridge and cidr."
        ]
    found: list[str] = []
    reports = []
    for number, one in enumerate(declared, 1):
        named = isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]
        reports.append(
            Report(f"network {show(named)}" if named else f"network number {number}", found)
        )
        _alone(one, reports[-1])
    if not found:
        _together(declared, reports)
    return found


def differing(declared: Mapping[str, Any]) -> list[str]:
    """Return a sentence if not all hosts have the same declaration. declared: by host, null where
    one has none.
    """
    first = next(iter(declared))
    others = [host for host in declared if declared[host] != declared[first]]
    if not others:
        return []
    return [
        f"verify_networks is not the same for {', '.join(others)} as for {first}, but it must be"
        " the same for all hosts of the play. Write it once: in a file for -e, or in"
        " group_vars/all.yml."
    ]


def _alone(one: Any, report: Report) -> None:
    """Check a network by itself."""
    if not isinstance(one, Mapping):
        report.wrong(f"{show(one)} is not a mapping; write name, bridge and cidr")
        return
    for key in one:
        if key not in KEYS:
            report.wrong(f"{show(key)} is not a key; {nearest(key, KEYS)}")
    for key, what in (("name", "what reports call it"), ("bridge", "the bridge of its pods")):
        if key not in one:
            report.wrong(f"{key} is missing; write {what}")
    if "cidr" not in one and "ipv6_cidr" not in one:
        report.wrong("cidr is missing; write the range of its pods on all hosts")
    for key, check in KEYS.items():
        if key in one:
            wrong = check(one[key])
            if wrong:
                report.wrong(f"{key} {wrong}")
    if "port" in one and "vni" not in one:
        report.wrong("port is given without vni; write vni too, or remove port")


def _together(declared: Sequence[Mapping[str, Any]], reports: Sequence[Report]) -> None:
    """Check each network against those before it."""
    networks = [_network(one) for one in declared]
    names = [network["name"] for network in networks]
    for number, (network, report) in enumerate(zip(networks, reports)):
        for other in networks[:number]:
            for sentence in _clashes(network, other):
                report.wrong(sentence)
        for to in declared[number].get("allow_to", []):
            if to not in names:
                report.wrong(
                    f"allow_to names {show(to)}, which is not declared; {nearest(to, names)}"
                )


def _clashes(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """Yield what two networks have in common and must not."""
    that = f"network {show(other['name'])}"
    if one["name"] == other["name"]:
        yield "the name is used twice; write another one for one of them"
    for key in ("bridge", "device", "device_v6"):
        if one[key] and one[key] == other[key]:
            yield f"{key} {show(one[key])} is also that of {that}; write what each has"
    if one["backend"] == other["backend"] and one["backend"]["type"] == "vxlan":
        vni, port = one["backend"]["vni"], one["backend"]["port"]
        yield f"vni {vni} with port {port} is also that of {that}; write what each has"
    if one["default"] and other["default"]:
        yield f"{show(other['name'])} has default: true, too; write it in only one of them"
    for key in ("cidr", "ipv6_cidr"):
        if one[key] and other[key] and _range(one[key]).overlaps(_range(other[key])):
            yield (
                f"{key} {show(one[key])} overlaps {that} ({other[key]}); write ranges that do not,"
                " so that each address belongs to one network"
            )


def _range(text: str) -> Any:
    return ipaddress.ip_network(text)


def _is_name(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]+", value):
        return ""
    return f"is {show(value)}; write letters, digits, '.', '_' and '-'"


def _is_interface(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[^\s/]{1,15}", value):
        return ""
    return f"is {show(value)}; write the name of an interface, of at most 15 characters"


def _is_range(version: int, such: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        instead = f"is {show(value)}; write an IPv{version} range, such as '{such}'"
        if not isinstance(value, str) or "/" not in value:
            return instead
        try:
            found = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return instead
        if found.version != version:
            return instead
        same = found.network_address == ipaddress.ip_interface(value).ip
        return "" if same else f"{show(value)} has host bits set; write '{found}'"

    return check


def _is_number(numbers: range) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value in numbers:
            return ""
        return f"is {show(value)}; write a whole number from {numbers[0]} to {numbers[-1]}"

    return check


def _is_path(value: Any) -> str:
    if isinstance(value, str) and value.startswith("/"):
        return ""
    return f"is {show(value)}; write a path that begins with /"


def _is_boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else f"is {show(value)}; write true or false"


def _is_names(value: Any) -> str:
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return ""
    return f"is {show(value)}; write a list of names of networks"


# What a network may have, each with a check that returns what is wrong with a value, "" if nothing
KEYS: dict[str, Callable[[Any], str]] = {
    "name": _is_name,
    "bridge": _is_interface,
    "cidr": _is_range(4, "10.1.0.0/16"),
    "ipv6_cidr": _is_range(6, "fd00:1::/48"),
    "vni": _is_number(VNIS),
    "port": _is_number(PORTS),
    "device": _is_interface,
    "device_v6": _is_interface,
    "subnet_file": _is_path,
    "default": _is_boolean,
    "allow_to": _is_names,
}
