# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API says that bears on a measurement, cut down from its lists. Pure, on the
controller; asked in JMESPath, see questions.py.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .questions import ask

Item = dict[str, Any]  # an object of the API

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
# of a Service: who serves it in kube-proxy's place
PROXY = 'metadata.labels."service.kubernetes.io/service-proxy-name"'
OWNER = 'metadata.labels."kubernetes.io/service-name"'  # of an EndpointSlice
ADDRESSES = "clusterIPs || [clusterIP] | [?@ && @ != 'None']"  # of a Service's spec
READY = "endpoints[?conditions.ready != `false`]"  # of an EndpointSlice
# of a pod: those that its node publishes, but for those bound to one address of the node; all of
# its addresses in one family are such as one
HOST_PORTS = (
    "spec.containers[].ports[] | [?hostPort && (!protocol || protocol == 'TCP')"
    " && (!hostIP || hostIP == '0.0.0.0' || hostIP == '::')].[hostPort, hostIP || '']"
)
POD_ADDRESSES = "status.podIPs[].ip"
# of a pod: its node's, at which kube-proxy publishes, and by default no other in nftables mode
NODE_ADDRESSES = "status.hostIPs[].ip || [status.hostIP][?@]"


def view(pods: Iterable[Item], services: Iterable[Item], slices: Iterable[Item]) -> dict[str, Any]:
    """Return {"pods", "services", "ports", "nodes"} of the items of three lists of the API.

    pods: [{"label": namespace/name, "uid", "node", "running": bool, "started": when, ISO 8601 in
    UTC, or "", "host_network": bool, "status": network-status as a list, None without one,
    "status_error": str}]. services, for every TCP port of a Service with a cluster address:
    [{"name": namespace/name:port, "node": whose pods it leads to these endpoints, None for all,
    "address", "port", "endpoints": [addresses]}]. ports, for every TCP port that nodes publish and
    each IP family in which they do: [{"name", "node": None for all, "port", "endpoints"}]. nodes:
    {name: the addresses at which it publishes what all nodes do}, of those that have pods.
    """
    pods = list(pods)
    ports = [port for item in pods for port in _host_ports(item)]
    by_service: dict[str, list[Item]] = {}
    for item in slices:
        owner = f"{item['metadata']['namespace']}/{ask(OWNER, item)}"
        by_service.setdefault(owner, []).append(item)
    found = []
    for item in services:
        if ask(PROXY, item) is not None:
            continue
        name, spec = _label(item), item.get("spec") or {}
        mine = by_service.get(name, [])
        for port in spec.get("ports") or []:
            if port.get("protocol", "TCP") != "TCP":
                continue  # a datagram would reach the application
            of_port = port.get("name") or ""
            for address, node in itertools.product(ask(ADDRESSES, spec), _nodes(spec, mine)):
                version = ipaddress.ip_address(address).version
                behind = _endpoints(mine, of_port, version, node)
                if behind:
                    found.append(
                        {
                            "name": f"{name}:{port['port']}",
                            "node": node,
                            "address": address,
                            "port": port["port"],
                            "endpoints": behind,
                        }
                    )
            if not port.get("nodePort") or spec.get("externalTrafficPolicy") == "Local":
                continue
            ports += [
                _published(name, None, port["nodePort"], behind)
                for behind in (_endpoints(mine, of_port, version) for version in (4, 6))
                if behind
            ]
    return {
        "pods": sorted(map(_pod, pods), key=lambda pod: pod["label"]),
        "services": sorted(
            found, key=lambda service: (service["name"], service["address"], service["node"] or "")
        ),
        "ports": sorted(ports, key=lambda port: (port["name"], port["node"] or "")),
        "nodes": {
            item["spec"]["nodeName"]: addresses
            for item in pods
            for addresses in [ask(NODE_ADDRESSES, item)]
            if addresses
        },
    }


def _published(name: str, node: str | None, port: int, endpoints: list[str]) -> dict[str, Any]:
    return {"name": f"{name}:{port}", "node": node, "port": port, "endpoints": endpoints}


def _label(item: Item) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _running(item: Item) -> bool:
    return bool(ask("status.phase == 'Running' && !(metadata.deletionTimestamp)", item))


def _pod(item: Item) -> dict[str, Any]:
    status, wrong = None, ""
    text = ask(f'metadata.annotations."{NETWORK_STATUS}"', item)
    if text is not None:
        try:
            status = [
                {
                    "interface": entry.get("interface") or "",
                    "network": entry.get("name") or "",
                    "ips": entry.get("ips") or [],
                    "mac": entry.get("mac") or "",
                }
                for entry in json.loads(text)
            ]
        except (ValueError, AttributeError, TypeError):
            wrong = "it is not a list of JSON objects"
    return {
        "label": _label(item),
        "uid": item["metadata"].get("uid", ""),
        "node": item["spec"].get("nodeName") or "",
        "running": _running(item),
        "started": ask("status.startTime", item) or "",
        "host_network": bool(item["spec"].get("hostNetwork")),
        "status": status,
        "status_error": wrong,
    }


def _host_ports(item: Item) -> Iterator[dict[str, Any]]:
    """Yield what the node of a running pod publishes for it, for each of the pod's addresses."""
    if item["spec"].get("hostNetwork") or not _running(item):
        return
    for port, host_ip in ask(HOST_PORTS, item) or []:
        for address in ask(POD_ADDRESSES, item) or []:
            if not host_ip or (":" in host_ip) == (":" in address):
                yield _published(_label(item), item["spec"]["nodeName"], port, [address])


def _nodes(spec: Item, slices: Iterable[Item]) -> list[str | None]:
    """Return for whose pods a Service's endpoints differ: [None] where they are the same for all.
    With internalTrafficPolicy: Local, each node leads to its own alone.
    """
    if spec.get("internalTrafficPolicy") != "Local":
        return [None]
    return sorted({one for item in slices for one in ask("endpoints[].nodeName", item) or []})


def _endpoints(
    slices: Iterable[Item], port: str, version: int, node: str | None = None
) -> list[str]:
    """Return the sorted addresses of the ready endpoints that offer the port (its name, "" for the
    only one), of one node if it is given.
    """
    found: set[str] = set()
    for item in slices:
        names = [one.get("name") or "" for one in item.get("ports") or []]
        if item.get("addressType") == f"IPv{version}" and port in names:
            for one in ask(READY, item) or []:
                if node in (None, one.get("nodeName")):
                    found.update(one["addresses"])
    return sorted(found)
