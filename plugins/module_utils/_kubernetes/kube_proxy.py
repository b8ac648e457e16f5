# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom kube-proxy takes for a pod of its own node: it hides the addresses of all others behind the
node's own at Services. Pure; runs on the controller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from .._ranges import is_within

# kubeadm's; other installers give kube-proxy its configuration in files and flags of the nodes
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"


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
        # without any it takes nobody for a stranger
        told = "clusterCIDR: " + ",".join(known["cidrs"])
        knows = not known["cidrs"] or all(_inside(cidr, known["cidrs"]) for cidr in ranges)
    elif known["mode"] == "NodeCIDR":
        told = "detectLocalMode: NodeCIDR"
        # then a node's subnet is its podCIDR
        knows = plan.get("datastore") == "kubernetes" and network["cidr"] in plan["cluster_cidrs"]
    elif known["mode"] == "BridgeInterface":
        told = f"bridgeInterface: {known['interface']}"
        knows = known["interface"] == network["bridge"]
    else:
        told = f"interfaceNamePrefix: {known['interface']}"
        knows = network["bridge"].startswith(known["interface"])
    if knows:
        return []
    return [
        f"kube-proxy takes pods of the network '{network['name']}' ({', '.join(ranges)}) for"
        f" strangers (ConfigMap kube-system/kube-proxy, {told}): Services would see their node's"
        " address in place of theirs, and a NodePort with externalTrafficPolicy: Local would not"
        " answer them. Give the network the cluster's range, or write detectLocalMode:"
        f" BridgeInterface and detectLocal: {{bridgeInterface: {network['bridge']}}} there and"
        " start kube-proxy anew (kubectl -n kube-system rollout restart daemonset kube-proxy)."
    ]


def _inside(cidr: str, known: list[str]) -> bool:
    return any(is_within(ipaddress.ip_network(cidr), ipaddress.ip_network(one)) for one in known)
