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

_KEYS = ("cniVersion", "name", "type", "ipam", "subnetFile", "dataDir", "delegate", "runtimeConfig")
_LOWER_KEYS = frozenset(key.lower() for key in _KEYS)
_ADDRESSES = {
    "FLANNEL_NETWORK": 4,
    "FLANNEL_SUBNET": 4,
    "FLANNEL_IPV6_NETWORK": 6,
    "FLANNEL_IPV6_SUBNET": 6,
}


def parse_lease(text):
    """Return what a subnet file (str) says: {"networks", "subnets": lists of prefixes (str), IPv4's
    first, "mtu": int, "ipmasq": bool}; or None.
    """
    values = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        key, equals, value = line.partition("=")
        if key in _ADDRESSES:
            value = network_of(value, _ADDRESSES[key])
        elif key == "FLANNEL_MTU":
            value = (
                int(value) if value.isascii() and value.isdigit() and int(value) < 1 << 32 else None
            )
        elif key == "FLANNEL_IPMASQ":
            value = value == "true"
        else:
            continue
        if not equals or value is None:
            return None
        values[key] = value
    lease = {
        "networks": [
            values[key] for key in ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK") if key in values
        ],
        "subnets": [
            values[key] for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET") if key in values
        ],
        "mtu": values.get("FLANNEL_MTU"),
        "ipmasq": values.get("FLANNEL_IPMASQ"),
    }
    return (
        lease
        if lease["networks"]
        and lease["subnets"]
        and lease["mtu"] is not None
        and lease["ipmasq"] is not None
        else None
    )


def is_plain(conf):
    """Say whether a configuration (dict) of the flannel plugin is one that is read here as Go reads
    it.
    """
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


def delegate_conf(conf, lease):
    """Return the configuration (dict) of the plugin behind flannel; or None.

    conf: dict, flannel's own, is_plain(); lease: dict, of parse_lease(). Neither is changed.
    """
    delegate = dict(conf.get("delegate") or {})
    ipam = dict(conf.get("ipam") or {})
    routes = _routes(ipam)
    if (
        routes is None
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
    ipam["routes"] = routes + [{"dst": network} for network in lease["networks"]]
    delegate["ipam"] = ipam
    return delegate


def _routes(ipam):
    """The routes that the configuration has already, as Go prints them (list of dict); or None for
    what Go versions read differently.
    """
    routes = ipam.get("routes")
    if not isinstance(routes, list):
        return [] if routes is None else None
    printed = []
    for route in routes:
        if (
            not isinstance(route, dict)
            or not set(route) <= {"dst", "gw"}
            or not all(isinstance(value, str) for value in route.values())
        ):
            return None
        address, slash, length = route.get("dst", "").partition("/")
        address, gateway = _canonical(address), _canonical(route["gw"]) if "gw" in route else ""
        if (
            not slash
            or address is None
            or gateway is None
            or not _is_length(length, 128 if ":" in address else 32)
        ):
            return None
        printed.append(dict({"dst": f"{address}/{length}"}, **({"gw": gateway} if gateway else {})))
    return printed


def network_of(text, family):
    """Return the network (str) of an address with a length, "10.1.5.1/24" -> "10.1.5.0/24"; None
    for what is none of that family (4 or 6).
    """
    address, slash, length = text.partition("/")
    address = _canonical(address)
    if (
        not slash
        or address is None
        or (":" in address) != (family == 6)
        or not _is_length(length, 128 if family == 6 else 32)
    ):
        return None
    from _socket import (
        AF_INET,
        AF_INET6,
        inet_ntop,
        inet_pton,
    )  # `socket` adds names for people, and takes milliseconds to import

    kind = AF_INET6 if family == 6 else AF_INET
    packed = inet_pton(kind, address)
    bits = len(packed) * 8
    number = int.from_bytes(packed, "big") >> (bits - int(length)) << (bits - int(length))
    return f"{inet_ntop(kind, number.to_bytes(len(packed), 'big'))}/{length}"


def _canonical(address):
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


def _is_length(text, most):
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= most
