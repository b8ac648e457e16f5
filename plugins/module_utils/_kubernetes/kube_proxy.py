# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom kube-proxy takes for a pod of its own node: it hides the addresses of all others behind the
node's own at Services. Runs on the controller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from .._ranges import is_within
from .admin import Admin

# kubeadm's; other installers give kube-proxy its configuration in files and flags of the nodes
_NAME = "kube-proxy"
_CONFIG_MAP = f"/api/v1/namespaces/kube-system/configmaps/{_NAME}"
_DAEMON_SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"


def look(api: Admin) -> dict[str, Any] | None:
    """Return what local_pods() does of the kube-proxy that runs; None where no DaemonSet has its
    ConfigMap, which stays where another program has taken its place. Raises AdminError.
    """
    config_map = api.get(_CONFIG_MAP)
    if config_map is None or not _is_in_use(api.items(_DAEMON_SETS) or []):
        return None
    return local_pods(config_map)


def _is_in_use(daemon_sets: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of these has the ConfigMap of kube-proxy in its pods."""
    volumes = [
        volume
        for item in daemon_sets
        for volume in item["spec"]["template"]["spec"].get("volumes") or ()
    ]
    sources = [
        source
        for volume in volumes
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ()))
    ]
    return any((source.get("configMap") or {}).get("name") == _NAME for source in sources)


def local_pods(config_map: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how kube-proxy knows pods of its node, by its ConfigMap: {mode: ClusterCIDR, NodeCIDR,
    BridgeInterface or InterfaceNamePrefix, cidrs: list of str, interface: name or its beginning,
    hides_all: bool, whether it hides these too}; None where there is none that says so.
    """
    import yaml  # comes with the package kubernetes

    for text in ((config_map or {}).get("data") or {}).values():
        try:
            config = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        if isinstance(config, dict) and config.get("kind") == "KubeProxyConfiguration":
            detect = config.get("detectLocal") or {}
            mode = config.get("detectLocalMode") or "ClusterCIDR"
            key = "bridgeInterface" if mode == "BridgeInterface" else "interfaceNamePrefix"
            cidrs = [one.strip() for one in str(config.get("clusterCIDR") or "").split(",")]
            # those of iptables are IPVS', too
            rules = config.get("nftables" if config.get("mode") == "nftables" else "iptables")
            return {
                "mode": mode,
                "cidrs": [one for one in cidrs if one],
                "interface": detect.get(key) or "",
                "hides_all": bool((rules or {}).get("masqueradeAll")),
            }
    return None


def problems(known: Mapping[str, Any] | None, plan: Mapping[str, Any]) -> list[str]:
    """Say whether kube-proxy would take pods for strangers: sentences.

    known: what local_pods() returned. plan: as _plan.plan.plan() makes it.
    """
    network = next((one for one in plan["networks"] if one.get("default")), None)
    if not known or network is None:
        return []
    ranges = [cidr for cidr in (network["cidr"], network.get("ipv6_cidr")) if cidr]
    if known["mode"] == "ClusterCIDR":
        told = "clusterCIDR: " + ",".join(known["cidrs"])
        strangers = _outside(ranges, known["cidrs"])
    elif known["mode"] == "NodeCIDR":
        told = "detectLocalMode: NodeCIDR"
        # with leases from the API, a node's subnet is its podCIDR in the cluster's range
        by_node = plan.get("datastore") == "kubernetes"
        strangers = _outside(ranges, plan["cluster_cidrs"]) if by_node else ranges
    elif known["mode"] == "BridgeInterface":
        told = f"bridgeInterface: {known['interface']}"
        strangers = [] if known["interface"] == network["bridge"] else ranges
    else:
        told = f"interfaceNamePrefix: {known['interface']}"
        strangers = [] if network["bridge"].startswith(known["interface"]) else ranges
    if not strangers:
        return []
    return [
        f"kube-proxy does not know that {', '.join(strangers)} (network '{network['name']}') are"
        f" addresses of pods (ConfigMap kube-system/kube-proxy, {told}): Services would see the"
        " node's address instead of the pod's, and a NodePort with externalTrafficPolicy: Local"
        " would not answer those pods. Give the network the cluster's range, or write"
        " detectLocalMode: BridgeInterface and detectLocal: {bridgeInterface:"
        f" {network['bridge']}}} there and restart kube-proxy (kubectl -n kube-system rollout"
        " restart daemonset kube-proxy)."
    ]


def _outside(cidrs: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the ranges that are in none of the known ones of their family: of a family of which
    kube-proxy knows no range, it takes nobody for a stranger.
    """
    here = [ipaddress.ip_network(one) for one in known]
    found = []
    for cidr in cidrs:
        own = ipaddress.ip_network(cidr)
        same = [one for one in here if one.version == own.version]
        if same and not any(is_within(own, one) for one in same):
            found.append(cidr)
    return found
