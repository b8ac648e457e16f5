# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream's flannel plugin makes of its configuration and of flanneld's subnet file: the
configuration of the plugin behind it.

Pure. Each function returns None for what is not plainly well formed; the executable is asked then,
so every error is upstream's own. The behaviour is that of containernetworking/plugins 0.9.1 and of
flannel-io/cni-plugin up to 1.9.1-flannel3 (flannel.go, flannel_linux.go).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEYS = ("cniVersion", "name", "type", "ipam", "subnetFile", "dataDir", "delegate", "runtimeConfig")
_LOWER_KEYS = frozenset(key.lower() for key in _KEYS)
_NETWORKS = ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK")
_SUBNETS = ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")
_ADDRESSES = {key: 6 if "IPV6" in key else 4 for key in _NETWORKS + _SUBNETS}


def parse_lease(text: str) -> dict[str, Any] | None:
    """Return what a subnet file says: {"networks", "subnets": prefixes, IPv4's first, "mtu": int,
    "ipmasq": bool}; or None.
    """
    values: dict[str, Any] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        key, equals, written = line.partition("=")
        if key in _ADDRESSES:
            values[key] = network_of(written, _ADDRESSES[key])
        elif key == "FLANNEL_MTU":
            values[key] = _mtu(written)
        elif key == "FLANNEL_IPMASQ":
            values[key] = written == "true"
        else:
            continue
        if not equals or values[key] is None:
            return None
    networks = [values[key] for key in _NETWORKS if key in values]
    subnets = [values[key] for key in _SUBNETS if key in values]
    if not (networks and subnets and "FLANNEL_MTU" in values and "FLANNEL_IPMASQ" in values):
        return None
    return {
        "networks": networks,
        "subnets": subnets,
        "mtu": values["FLANNEL_MTU"],
        "ipmasq": values["FLANNEL_IPMASQ"],
    }


def _mtu(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 1 << 32 else None


def is_plain(conf: dict[str, Any]) -> bool:
    """Say whether a configuration of the flannel plugin is one that is read here as Go reads it."""
    # Go takes `DataDir` for `dataDir` too; `dns` has a form that it checks, and means nothing here
    if any(
        (key.lower() in _LOWER_KEYS and key not in _KEYS) or key.lower() == "dns" for key in conf
    ):
        return False
    strings = (conf[key] for key in ("cniVersion", "name", "subnetFile", "dataDir") if key in conf)
    objects = (conf.get(key) for key in ("ipam", "delegate", "runtimeConfig"))
    return all(isinstance(one, str) and one for one in strings) and all(
        one is None or isinstance(one, dict) for one in objects
    )


def delegate_conf(conf: dict[str, Any], lease: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration of the plugin behind flannel; or None.

    conf: flannel's own, is_plain(); lease: of parse_lease(). Neither is changed.
    """
    delegate = dict(conf.get("delegate") or {})
    ipam = dict(conf.get("ipam") or {})
    before = routes(ipam)
    if (
        before is None
        or "name" in delegate
        or "ipam" in delegate
        or not isinstance(delegate.setdefault("type", "bridge"), str)
    ):
        return None
    if conf.get("runtimeConfig") is not None:
        delegate["runtimeConfig"] = conf["runtimeConfig"]
    delegate["name"] = conf.get("name", "")
    delegate.setdefault("ipMasq", not lease["ipmasq"])  # who masquerades: flanneld, else the plugin
    delegate.setdefault("mtu", lease["mtu"])
    if delegate["type"] == "bridge":
        delegate.setdefault("isGateway", True)
    if conf.get("cniVersion"):
        delegate["cniVersion"] = conf["cniVersion"]
    ipam.setdefault("type", "host-local")
    ipam["ranges"] = [[{"subnet": subnet}] for subnet in lease["subnets"]]
    ipam["routes"] = before + [{"dst": network} for network in lease["networks"]]
    delegate["ipam"] = ipam
    return delegate


def routes(ipam: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the routes of an `ipam`, as Go prints them; or None for what Go versions read
    differently.
    """
    written = ipam.get("routes")
    if not isinstance(written, list):
        return [] if written is None else None
    printed = []
    for route in written:
        if (
            not isinstance(route, dict)
            or not set(route) <= {"dst", "gw"}
            or not all(isinstance(value, str) for value in route.values())
        ):
            return None
        destination = prefix(route.get("dst", ""))
        if destination is None:
            return None
        one = {"dst": "/".join(destination)}
        if "gw" in route:
            gateway = _canonical(route["gw"])
            if gateway is None:
                return None
            one["gw"] = gateway
        printed.append(one)
    return printed


def network_of(text: str, family: int) -> str | None:
    """Return the network of an address with a length, "10.1.5.1/24" -> "10.1.5.0/24"; None for what
    is none of that family (4 or 6).
    """
    found = prefix(text)
    if found is None or (":" in found[0]) != (family == 6):
        return None
    from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # as in annotations.py

    address, length = found
    kind = AF_INET6 if family == 6 else AF_INET
    packed = inet_pton(kind, address)
    host_bits = len(packed) * 8 - int(length)
    number = int.from_bytes(packed, "big") >> host_bits << host_bits
    return f"{inet_ntop(kind, number.to_bytes(len(packed), 'big'))}/{length}"


def prefix(text: str) -> tuple[str, str] | None:
    """Return the address (as Go prints it) and the length of "10.1.5.1/24"; None for another."""
    written, slash, length = text.partition("/")
    address = _canonical(written)
    if not slash or address is None or not _is_length(length, 128 if ":" in address else 32):
        return None
    return address, length


def _canonical(address: str) -> str | None:
    """An address as Go prints it; None for what is none, and for forms that Go and C print
    differently.
    """
    from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

    kind = AF_INET6 if ":" in address else AF_INET
    try:
        printed = inet_ntop(kind, inet_pton(kind, address))
    except (OSError, ValueError):
        return None
    return None if ":" in printed and "." in printed else printed


def _is_length(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= most
