# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that others deployed: what should hold of them, as the plan that verification goes by.

Pure, on the controller.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KEYS = {
    "name": str,
    "bridge": str,
    "cidr": str,
    "ipv6_cidr": str,
    "vni": int,
    "port": int,
    "device": str,
    "device_v6": str,
    "subnet_file": str,
    "default": bool,
    "allow_to": list,
}
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
    """Return what is wrong with a declaration, as sentences."""
    if not isinstance(declared, (list, tuple)) or not declared:
        return ["verify_networks must be a list of networks, each with name, bridge and cidr."]
    found: list[str] = []
    for number, one in enumerate(declared, 1):
        found += _of_network(f"verify_networks, number {number}", one)
    if found:
        return found
    names = [one["name"] for one in declared]
    for key in ("name", "bridge"):
        values = [one[key] for one in declared]
        found += [
            f"verify_networks: {key} {value!r} is used twice; write a different one for each"
            " network."
            for value in sorted({value for value in values if values.count(value) > 1})
        ]
    found += [
        f"network {one['name']!r}: allow_to names {to!r}, which is not declared; write one of"
        f" {', '.join(names)}."
        for one in declared
        for to in one.get("allow_to", [])
        if to not in names
    ]
    if sum(bool(one.get("default")) for one in declared) > 1:
        found.append(
            "verify_networks: several networks have default: true; write it in only one of them."
        )
    return found + _overlaps(declared)


def _of_network(place: str, one: Any) -> list[str]:
    if not isinstance(one, Mapping):
        return [f"{place} is {one!r}; write a mapping with name, bridge and cidr."]
    place = f"network {one['name']!r}" if one.get("name") else place
    found = [
        f"{place}: {key} is unknown; write one of {', '.join(KEYS)}."
        for key in set(one) - set(KEYS)
    ]
    found += [
        f"{place}: {key} is {one[key]!r}; write a value of type {kind.__name__}."
        for key, kind in KEYS.items()
        if key in one and not isinstance(one[key], (list, tuple) if kind is list else kind)
    ]
    found += [f"{place}: {key} is missing." for key in ("name", "bridge") if not one.get(key)]
    if not (one.get("cidr") or one.get("ipv6_cidr")):
        found.append(f"{place}: cidr is missing; write the range of its pods on all hosts.")
    for key, version in (("cidr", 4), ("ipv6_cidr", 6)):
        if isinstance(one.get(key), str) and _range(one[key], version) is None:
            found.append(f"{place}: {key} is {one[key]!r}; write an IPv{version} range.")
    return found


def _range(text: str, version: int) -> Any:
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        return None
    return found if found.version == version else None


def _overlaps(declared: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"networks {one['name']!r} and {other['name']!r}: {one[key]} and {other[key]} overlap;"
        " write ranges that do not overlap, so that each address belongs to one network."
        for one, other in itertools.combinations(declared, 2)
        for key, version in (("cidr", 4), ("ipv6_cidr", 6))
        if one.get(key)
        and other.get(key)
        and _range(one[key], version).overlaps(_range(other[key], version))
    ]
