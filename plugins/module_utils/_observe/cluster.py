# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API says that bears on a measurement, cut down from its lists. Pure."""

from __future__ import annotations

import ipaddress
import json

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def view(pods, services, slices):
    """Return {"pods", "services", "ports"} of the items (lists of dict) of three lists of the API.

    pods: [{"label": namespace/name, "uid", "node", "running": bool, "host_network": bool, "status":
    network-status as a list, None without one, "status_error": str}]. services, for every TCP port
    of a Service with a cluster address: [{"name": namespace/name:port, "address", "port",
    "endpoints": [addresses]}]. ports, for every TCP port that nodes publish and each IP family in
    which they do: [{"name", "node": None for all, "port", "endpoints"}].
    """
    known = [_pod(item) for item in pods]
    ports = [port for item in pods for port in _host_ports(item)]
    by_service = {}
    for item in slices:
        owner = f"{item['metadata']['namespace']}/{(item['metadata'].get('labels') or {}).get('kubernetes.io/service-name')}"
        by_service.setdefault(owner, []).append(item)
    found = []
    for item in services:
        name, spec = _label(item), item.get("spec") or {}
        for port in spec.get("ports") or []:
            if port.get("protocol", "TCP") != "TCP":
                continue  # a datagram would reach the application
            for address in spec.get("clusterIPs") or [spec.get("clusterIP")]:
                if address in (None, "", "None"):
                    continue
                endpoints = _endpoints(
                    by_service.get(name, []),
                    port.get("name") or "",
                    ipaddress.ip_address(address).version,
                )
                if endpoints:
                    found.append(
                        {
                            "name": f"{name}:{port['port']}",
                            "address": address,
                            "port": port["port"],
                            "endpoints": endpoints,
                        }
                    )
            for version in (4, 6):
                endpoints = _endpoints(by_service.get(name, []), port.get("name") or "", version)
                if (
                    port.get("nodePort")
                    and endpoints
                    and spec.get("externalTrafficPolicy") != "Local"
                ):
                    ports.append(
                        {
                            "name": f"{name}:{port['nodePort']}",
                            "node": None,
                            "port": port["nodePort"],
                            "endpoints": endpoints,
                        }
                    )
    return {
        "pods": sorted(known, key=lambda one: one["label"]),
        "services": sorted(found, key=lambda one: (one["name"], one["address"])),
        "ports": sorted(ports, key=lambda one: (one["name"], one["node"] or "")),
    }


def _label(item):
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _running(item):
    return (item.get("status") or {}).get("phase") == "Running" and not item["metadata"].get(
        "deletionTimestamp"
    )


def _pod(item):
    status, wrong = None, ""
    text = (item["metadata"].get("annotations") or {}).get(NETWORK_STATUS)
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
            wrong = "it is no list of JSON objects"
    return {
        "label": _label(item),
        "uid": item["metadata"].get("uid", ""),
        "node": item["spec"].get("nodeName") or "",
        "running": _running(item),
        "host_network": bool(item["spec"].get("hostNetwork")),
        "status": status,
        "status_error": wrong,
    }


def _host_ports(item):
    """The hostPorts of a running pod, but for those bound to one address of the node."""
    spec, addresses = (
        item["spec"],
        [one["ip"] for one in (item.get("status") or {}).get("podIPs") or []],
    )
    if spec.get("hostNetwork") or not _running(item):
        return
    for container in spec.get("containers") or []:
        for port in container.get("ports") or []:
            if (
                port.get("hostPort")
                and port.get("protocol", "TCP") == "TCP"
                and port.get("hostIP") in (None, "", "0.0.0.0", "::")
            ):
                for address in addresses:
                    yield {
                        "name": f"{_label(item)}:{port['hostPort']}",
                        "node": spec["nodeName"],
                        "port": port["hostPort"],
                        "endpoints": [address],
                    }


def _endpoints(slices, port, version):
    """Return the sorted addresses of the ready endpoints that offer the port (its name, "" for the
    only one).
    """
    found = set()
    for item in slices:
        offered = [one for one in item.get("ports") or [] if (one.get("name") or "") == port]
        if item.get("addressType") != f"IPv{version}" or not offered:
            continue
        for endpoint in item.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found.update(endpoint.get("addresses") or [])
    return sorted(found)
