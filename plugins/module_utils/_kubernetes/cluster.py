# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API says that bears on a measurement, cut down from its lists. Pure, on the
controller; asked in JMESPath, see questions.py.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .questions import ask

Item = dict[str, Any]  # an object of the API

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
OWNER = 'metadata.labels."kubernetes.io/service-name"'  # of an EndpointSlice
ADDRESSES = "clusterIPs || [clusterIP] | [?@ && @ != 'None']"  # of a Service's spec
READY = "endpoints[?conditions.ready != `false`].addresses[]"  # of an EndpointSlice
# of a pod: those that its node publishes, but for those bound to one address of the node
HOST_PORTS = (
    "spec.containers[].ports[] | [?hostPort && (!protocol || protocol == 'TCP')"
    " && (!hostIP || hostIP == '0.0.0.0' || hostIP == '::')].hostPort"
)
POD_ADDRESSES = "status.podIPs[].ip"


def view(
    pods: Iterable[Item], services: Iterable[Item], slices: Iterable[Item]
) -> dict[str, list[dict[str, Any]]]:
    """Return {"pods", "services", "ports"} of the items of three lists of the API.

    pods: [{"label": namespace/name, "uid", "node", "running": bool, "started": when, ISO 8601 in
    UTC, or "", "host_network": bool, "status": network-status as a list, None without one,
    "status_error": str}]. services, for every TCP port of a Service with a cluster address:
    [{"name": namespace/name:port, "address", "port", "endpoints": [addresses]}]. ports, for every
    TCP port that nodes publish and each IP family in which they do: [{"name", "node": None for all,
    "port", "endpoints"}].
    """
    pods = list(pods)
    ports = [port for item in pods for port in _host_ports(item)]
    by_service: dict[str, list[Item]] = {}
    for item in slices:
        owner = f"{item['metadata']['namespace']}/{ask(OWNER, item)}"
        by_service.setdefault(owner, []).append(item)
    found = []
    for item in services:
        name, spec = _label(item), item.get("spec") or {}
        mine = by_service.get(name, [])
        for port in spec.get("ports") or []:
            if port.get("protocol", "TCP") != "TCP":
                continue  # a datagram would reach the application
            endpoints = {
                version: _endpoints(mine, port.get("name") or "", version) for version in (4, 6)
            }
            for address in ask(ADDRESSES, spec):
                behind = endpoints[ipaddress.ip_address(address).version]
                if behind:
                    found.append(
                        {
                            "name": f"{name}:{port['port']}",
                            "address": address,
                            "port": port["port"],
                            "endpoints": behind,
                        }
                    )
            if not port.get("nodePort") or spec.get("externalTrafficPolicy") == "Local":
                continue
            ports += [
                _published(name, None, port["nodePort"], behind)
                for behind in endpoints.values()
                if behind
            ]
    return {
        "pods": sorted(map(_pod, pods), key=lambda pod: pod["label"]),
        "services": sorted(found, key=lambda service: (service["name"], service["address"])),
        "ports": sorted(ports, key=lambda port: (port["name"], port["node"] or "")),
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
    for port in ask(HOST_PORTS, item) or []:
        for address in ask(POD_ADDRESSES, item) or []:
            yield _published(_label(item), item["spec"]["nodeName"], port, [address])


def _endpoints(slices: Iterable[Item], port: str, version: int) -> list[str]:
    """Return the sorted addresses of the ready endpoints that offer the port (its name, "" for the
    only one).
    """
    found: set[str] = set()
    for item in slices:
        names = [one.get("name") or "" for one in item.get("ports") or []]
        if item.get("addressType") == f"IPv{version}" and port in names:
            found.update(ask(READY, item) or [])
    return sorted(found)
