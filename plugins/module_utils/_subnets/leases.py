# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes as the leases of flannel's own HTTP protocol, version 1 (flannel 0.5 to 0.7:
remote/server.go, subnet/subnet.go, of which the keys of a Lease and a Reservation are). Pure.

A lease is a node that has a subnet in the network and whose flannel has said so in its annotations;
it lasts as long as both.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterable
from typing import Any

from . import nodes, subnets
from .subnets import Cluster, Network, Node

DAY = 24 * 3600  # what flannel itself gives a lease
_DEPTH = 20  # brackets in a backend's data: flannel's have one


class BadRequestError(Exception):
    """A request that can't be understood. The message is a sentence that says why."""


def lease(node: Node, network: Network, cluster: Cluster, now: float) -> dict[str, Any] | None:
    """Return a node's Lease in a network, None when it has none. now: seconds since the epoch."""

    def value(key: str) -> str | None:
        return node.annotations.get(network.prefix + key)

    public_ip = _address(value("public-ip"), 4)
    if value("kube-subnet-manager") != "true" or not public_ip:
        return None
    try:
        found = network.subnets(node, cluster)
    except subnets.NoSubnetError:
        return None
    attributes: dict[str, Any] = {"PublicIP": public_ip}
    item: dict[str, Any] = {
        "Subnet": found[0],
        "Attrs": attributes,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + DAY)),
        "Asof": int(node.version) if node.version.isdigit() else 0,
    }
    if value("backend-type"):
        attributes["BackendType"] = value("backend-type")
    _put_json(attributes, "BackendData", value("backend-data"))
    if len(found) > 1:
        item.update(EnableIPv4=True, EnableIPv6=True, IPv6Subnet=found[1])
        public_ipv6 = _address(value("public-ipv6"), 6)
        if public_ipv6:
            attributes["PublicIPv6"] = public_ipv6
        _put_json(attributes, "BackendV6Data", value("backend-v6-data"))
    return item


def _address(text: str | None, version: int) -> str | None:
    """Return an address of a family, None where a text is none: a node may write anything, and a
    client that cannot read one lease takes none.
    """
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    return str(found) if found.version == version else None


def _put_json(attributes: dict[str, Any], key: str, text: str | None) -> None:
    """Put data there that a node has written, unless it would spoil the answer about all nodes."""
    if not text or text.count("{") + text.count("[") > _DEPTH:
        return
    try:
        data = json.loads(text)
        json.dumps(data, allow_nan=False)
    except (ValueError, RecursionError):
        return
    if data is not None:
        attributes[key] = data


def events(
    changes: Iterable[nodes.Change], network: Network, cluster: Cluster, now: float
) -> list[dict[str, Any]]:
    """Return what changes of nodes mean for the leases of a network: a list of {"type": "added" or
    "removed", "lease": Lease}.
    """
    found = []
    for change in changes:
        if change.node is None:
            continue
        before = lease(change.before, network, cluster, now) if change.before else None
        after = lease(change.node, network, cluster, now) if change.kind != nodes.DELETED else None
        if before and (after is None or after["Subnet"] != before["Subnet"]):
            found.append({"type": "removed", "lease": before})
        if after and (
            before is None
            or any(after.get(key) != before.get(key) for key in ("Subnet", "IPv6Subnet", "Attrs"))
        ):
            found.append({"type": "added", "lease": after})
    return found


def reservation(node: Node, network: Network, cluster: Cluster) -> dict[str, Any] | None:
    """Return a node's Reservation: the subnet that it has whether or not it has asked for it; None
    when it has none.
    """
    try:
        subnet = network.subnets(node, cluster)[0]
    except subnets.NoSubnetError:
        return None
    told = [node.annotations.get(network.prefix + "public-ip"), *node.addresses]
    return {
        "Subnet": subnet,
        "PublicIP": next(filter(None, (_address(text, 4) for text in told)), None),
    }


def subnet_key(text: str) -> str:
    """Return the subnet that a path names as 10.5.34.0-24 (or 10.5.34.0-24&fd00::-64, of which the
    first is enough); raise BadRequestError.
    """
    try:
        return str(ipaddress.ip_network(text.partition("&")[0].replace("-", "/"), strict=False))
    except ValueError:
        raise BadRequestError(
            "The path does not name a subnet: write it as 10.5.34.0-24."
        ) from None


def address(attributes: dict[str, Any], key: str, version: int) -> str:
    """Return an address of a family in its usual form; raise BadRequestError."""
    text = attributes.get(key)
    found = _address(text, version) if isinstance(text, str) else None
    if not found:
        raise BadRequestError(f"{key} is {text!r:.60}, which is not an address of IPv{version}.")
    return found


def to_annotations(attributes: Any, network: Network) -> dict[str, str]:
    """Return the annotations that a client's LeaseAttrs become; raise BadRequestError."""
    if not isinstance(attributes, dict):
        raise BadRequestError("The lease's attributes are not a JSON object.")
    backend = attributes.get("BackendType") or "udp"  # udp writes no type
    if not isinstance(backend, str):
        raise BadRequestError("BackendType is not text.")
    found = {
        "kube-subnet-manager": "true",
        "public-ip": address(attributes, "PublicIP", 4),
        "backend-type": backend,
        "backend-data": json.dumps(attributes.get("BackendData"), separators=(",", ":")),
    }
    if attributes.get("PublicIPv6"):
        found["public-ipv6"] = address(attributes, "PublicIPv6", 6)
    if attributes.get("BackendV6Data") is not None:
        found["backend-v6-data"] = json.dumps(attributes["BackendV6Data"], separators=(",", ":"))
    return {network.prefix + key: value for key, value in found.items()}
