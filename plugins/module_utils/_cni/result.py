# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of every version of the specification, converted through one inner form: that of 1.1.0.

Version 0.1.0, 0.2.0: ip4 and ip6 {ip, gateway, routes}, dns.
Version 0.3.0, 0.3.1, 0.4.0: interfaces, ips (each with its version), routes, dns.
Version 1.0.0, 1.1.0: ips without version; 1.1.0 adds what _ADDED_1_1 lists.
"""

from __future__ import annotations

from . import conf, errors, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ADDED_1_1 = {
    "interfaces": ("mtu", "socketPath", "pciID"),
    "routes": ("mtu", "advmss", "priority", "table", "scope"),
}
_LISTS = {"interfaces": "name", "ips": "address", "routes": "dst"}


def decode(text: str | bytes, assumed_version: str) -> dict[str, Any]:
    """Return the result a plugin printed, its cniVersion set; raise Error.

    assumed_version: that of the request: a plugin may leave it out.
    """
    if not text.strip():
        raise errors.Error(errors.DECODING_FAILURE, "It ended well but printed no result.")
    if text.strip() in ("null", b"null"):
        text = "{}"
    result = conf.decode(text, "Its result")
    if not result.get("cniVersion"):
        result["cniVersion"] = assumed_version
    to_latest(result)  # what cannot be understood is refused here, not by the next plugin
    if not version.at_least(result["cniVersion"], "0.3.0"):
        result.pop("interfaces", None)  # these versions have none, so it could be anything
    return result


def convert(result: dict[str, Any], to_version: str) -> dict[str, Any]:
    """Return a result (with cniVersion) in another version; raise Error when it cannot be said in
    that one.
    """
    if result["cniVersion"] == to_version:
        return result
    return _from_latest(to_latest(result), to_version)


def to_latest(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result (with cniVersion) in the form of 1.1.0: {cniVersion, interfaces, ips, routes,
    dns}, each there; raise Error.
    """
    stated = result.get("cniVersion")
    if stated not in version.ALL:
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"The result's cniVersion {stated!r} is not known here.",
            f"Known are {', '.join(version.ALL)}.",
        )
    latest: dict[str, Any] = {
        "cniVersion": version.LATEST,
        "interfaces": [],
        "ips": [],
        "routes": [],
        "dns": _dns(result),
    }
    if not version.at_least(stated, "0.3.0"):
        for family in ("ip4", "ip6"):
            _add_family(latest, result.get(family), family)
        return latest
    for key, needed in _LISTS.items():
        items = result.get(key) or []
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and isinstance(item.get(needed), str) for item in items
        ):
            raise _unreadable(f"`{key}` is not a list of objects with a `{needed}`")
        latest[key] = [
            {name: value for name, value in item.items() if name != "version" or key != "ips"}
            for item in items
        ]
    return latest


def default_family(destination: str) -> str | None:
    """Return the family ("4", "6") of which a destination is the default route, None where it is
    none. However its address is written: plugins hand on what they were given (10.0.0.1/0).
    """
    length = destination.rpartition("/")[2]
    is_default = "/" in destination and length != "" and not length.strip("0")
    return _family(destination) if is_default else None


def default_families(result: dict[str, Any]) -> set[str]:
    """Return the families ("4", "6") of which a result (with cniVersion) has a default route."""
    found = {default_family(route["dst"]) for route in to_latest(result)["routes"]}
    return {family for family in found if family}


def default_gateways(result: dict[str, Any]) -> list[str]:
    """Return the gateways of a result's default routes, one of each family."""
    routes = [route for route in to_latest(result)["routes"] if route.get("gw")]
    found = {default_family(route["dst"]): route["gw"] for route in reversed(routes)}
    return [found[family] for family in ("4", "6") if family in found]


def _add_family(latest: dict[str, Any], part: object, family: str) -> None:
    if part is None:
        return
    if not isinstance(part, dict) or not isinstance(part.get("ip"), str):
        raise _unreadable(f"`{family}` is not an object with an `ip`")
    routes = part.get("routes") or []
    if not isinstance(routes, list) or not all(
        isinstance(route, dict) and isinstance(route.get("dst"), str) for route in routes
    ):
        raise _unreadable(f"the `routes` of `{family}` are not a list of objects with a `dst`")
    address = {"address": part["ip"]}
    if part.get("gateway"):
        address["gateway"] = part["gateway"]
    latest["ips"].append(address)
    latest["routes"].extend(dict(route) for route in routes)


def _from_latest(latest: dict[str, Any], to_version: str) -> dict[str, Any]:
    if not version.at_least(to_version, "0.3.0"):
        return _to_families(latest, to_version)
    result: dict[str, Any] = {"cniVersion": to_version}
    for key in _LISTS:
        dropped = _ADDED_1_1.get(key, ()) if to_version != "1.1.0" else ()
        items = [
            {name: value for name, value in item.items() if name not in dropped}
            for item in latest[key]
        ]
        if key == "ips" and not version.at_least(to_version, "1.0.0"):
            items = [dict(item, version=_family(item["address"])) for item in items]
        if items:
            result[key] = items
    # Before 1.0.0 dns is printed even when it is empty, and readers count on it.
    if latest["dns"] or not version.at_least(to_version, "1.0.0"):
        result["dns"] = latest["dns"]
    return result


def _to_families(latest: dict[str, Any], to_version: str) -> dict[str, Any]:
    """The first address of each family, and the routes of that family; there is no form without an
    address.
    """
    result: dict[str, Any] = {"cniVersion": to_version}
    for family, key in (("4", "ip4"), ("6", "ip6")):
        first = next((item for item in latest["ips"] if _family(item["address"]) == family), None)
        if first is None:
            continue
        result[key] = {"ip": first["address"]}
        if first.get("gateway"):
            result[key]["gateway"] = first["gateway"]
        routes = [
            {name: route[name] for name in ("dst", "gw") if route.get(name)}
            for route in latest["routes"]
            if _family(route["dst"]) == family
        ]
        if routes:
            result[key]["routes"] = routes
    if "ip4" not in result and "ip6" not in result:
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"CNI {to_version} has no form for a result without an address.",
        )
    result["dns"] = latest["dns"]
    return result


def _family(address: str) -> str:
    return "6" if ":" in address else "4"


def _dns(result: dict[str, Any]) -> dict[str, Any]:
    dns = result.get("dns")
    if dns is None:
        return {}
    if not isinstance(dns, dict):
        raise _unreadable("`dns` is not an object")
    return dns


def _unreadable(sentence: str) -> errors.Error:
    return errors.Error(errors.DECODING_FAILURE, f"The result cannot be read: {sentence}.")
