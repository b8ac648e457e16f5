# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnet of each network a Kubernetes node has, and the node as the flanneld of one network
may see it. Pure.

Kubernetes gives a node one podCIDR (one per family). Its place in the cluster's range is the node's
index, and subnet number <index> of a network's own range is the node's subnet there: every node's
server comes to the same result, and nothing has to be stored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from .._names import LEASES
from .._ranges import Range, is_within

# What flanneld writes to its node under its prefix (flannel, pkg/subnet/kube/annotations.go), and
# what an administrator may write there for flanneld to read.
LEASE_ANNOTATIONS = (
    "backend-type",
    "backend-data",
    "backend-v6-data",
    "public-ip",
    "public-ipv6",
    "kube-subnet-manager",
)
READ_ANNOTATIONS = (
    "public-ip-overwrite",
    "public-ipv6-overwrite",
    "node-public-ip",
    "node-public-ipv6",
)
_LIMIT = 4096  # bytes of one annotation: flannel's are below 200


class NoSubnetError(Exception):
    """A node that has no subnet of a network. The message is a sentence that says why."""


class ChangeRefusedError(Exception):
    """A change that this server does not make. The message is a sentence that says why."""


class Cluster:
    """The range of each family that Kubernetes takes podCIDRs from.

    cidrs: one per family; mask_sizes: the lengths of the podCIDRs, in the same order.
    """

    def __init__(self, cidrs: Sequence[str], mask_sizes: Sequence[int]) -> None:
        self.ranges: dict[int, tuple[Range, int]] = {}
        for cidr, size in zip(cidrs, mask_sizes):
            network = ipaddress.ip_network(cidr, strict=False)
            self.ranges[network.version] = (network, size)

    def index(self, node: Node, version: int) -> int:
        """Return the index of a node for subnets of a family (4 or 6); raise NoSubnetError.

        A cluster of one family numbers both by it.
        """
        if version not in self.ranges:
            version = next(iter(self.ranges))
        network, size = self.ranges[version]
        pod_cidr = next((one for one in _ranges(node) if one.version == version), None)
        if pod_cidr is None:
            raise NoSubnetError(
                f"Node {node.name} has no podCIDR of IPv{version}; the controller manager must give"
                " it one (--allocate-node-cidrs, --cluster-cidr)."
            )
        if pod_cidr.prefixlen != size or not is_within(pod_cidr, network):
            raise NoSubnetError(
                f"Node {node.name} has the podCIDR {pod_cidr}, which is not a /{size} of the"
                f" cluster's range {network}; correct multinet_cluster_cidrs or"
                " multinet_node_cidr_mask_sizes."
            )
        return (int(pod_cidr.network_address) - int(network.network_address)) >> (
            pod_cidr.max_prefixlen - size
        )


def _ranges(node: Node) -> list[Range]:
    found = []
    for text in node.pod_cidrs:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:  # the API takes leading zeros
            raise NoSubnetError(
                f"Node {node.name} has the podCIDR {text}, which is not written as a range; delete"
                " the node, and register it again."
            ) from None
    return found


class Network:
    """One network: name; prefix: of its annotations; config: flannel's own (what flanneld reads in
    etcd's place); ranges: (range, length of a node's subnet) of each family, IPv4 first; written,
    known: the annotations that its flanneld write, and those and what they read.

    raw: name, annotation_prefix, flannel_config, cidr, subnet_len, ipv6_cidr and ipv6_subnet_len
    (or null).
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.name: str = raw["name"]
        self.prefix: str = raw["annotation_prefix"] + "/"
        self.config: dict[str, Any] | None = raw.get("flannel_config")
        self.ranges: list[tuple[Range, int]] = [
            (ipaddress.ip_network(raw["cidr"]), raw["subnet_len"])
        ]
        if raw.get("ipv6_cidr"):
            self.ranges.append((ipaddress.ip_network(raw["ipv6_cidr"]), raw["ipv6_subnet_len"]))
        self.written = frozenset(self.prefix + key for key in LEASE_ANNOTATIONS)
        self.known = self.written | {self.prefix + key for key in READ_ANNOTATIONS}

    def subnets(self, node: Node, cluster: Cluster) -> list[str]:
        """Return the subnets of a node, IPv4 first; raise NoSubnetError."""
        found = []
        for network, length in self.ranges:
            index = cluster.index(node, network.version)
            if index >> (length - network.prefixlen):
                raise NoSubnetError(
                    f"Node {node.name} is number {index + 1} of the cluster, and network"
                    f" {self.name} has {1 << length - network.prefixlen} subnets of /{length} in"
                    f" {network}; give the network a larger range."
                )
            found.append(
                f"{network.network_address + (index << network.max_prefixlen - length)}/{length}"
            )
        return found


class Node:
    """What is kept of a Kubernetes node.

    version: its resourceVersion; addresses: the internal ones; annotations: those of our networks;
    strays: the annotations of networks that are ours no more; size: the characters of both.
    """

    __slots__ = (
        "addresses",
        "annotations",
        "name",
        "pod_cidrs",
        "size",
        "strays",
        "uid",
        "version",
    )

    def __init__(self, raw: Mapping[str, Any], known: frozenset[str]) -> None:
        """raw: the object as the API gives it; known: the annotations that are kept."""
        metadata, spec = raw["metadata"], raw.get("spec") or {}
        self.name: str = metadata["name"]
        self.uid: str = metadata.get("uid") or ""
        self.version: str = metadata["resourceVersion"]
        self.pod_cidrs: tuple[str, ...] = tuple(
            spec.get("podCIDRs") or [cidr for cidr in [spec.get("podCIDR")] if cidr]
        )
        self.addresses: tuple[str, ...] = tuple(
            one["address"]
            for one in (raw.get("status") or {}).get("addresses") or []
            if one.get("type") == "InternalIP"
        )
        annotations = metadata.get("annotations") or {}
        self.annotations: dict[str, str] = {
            key: annotations[key] for key in known.intersection(annotations)
        }
        self.strays: tuple[str, ...] = tuple(
            sorted(
                key
                for key in annotations
                if key not in known and key.partition("/")[0].endswith(LEASES)
            )
        )
        self.size: int = sum(map(len, [*self.annotations.values(), *self.strays]))

    def same_as(self, other: Node) -> bool:
        """Whether only what is not kept differs (heartbeats, conditions, images)."""
        return all(
            getattr(self, key) == getattr(other, key)
            for key in ("uid", "pod_cidrs", "addresses", "annotations", "strays")
        )


def view(node: Node, network: Network, cluster: Cluster) -> dict[str, Any]:
    """Return a node as the flanneld of a network sees it: a v1 Node whose podCIDRs are its subnets
    there, with that network's annotations alone.

    A node without a subnet has no podCIDR and no annotations, so that its own flanneld waits and
    the others pass over it.
    """
    try:
        subnets = network.subnets(node, cluster)
        annotations = {
            key: value for key, value in node.annotations.items() if key in network.known
        }
    except NoSubnetError:
        subnets, annotations = [], {}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": node.name,
            "uid": node.uid,
            "resourceVersion": node.version,
            "annotations": annotations,
        },
        "spec": {"podCIDR": subnets[0], "podCIDRs": subnets} if subnets else {},
        "status": {},
    }


def allowed_annotations(change: Any, network: Network) -> dict[str, str | None]:
    """Return the annotations that a flanneld's change (a merge patch) sets on its node; raise
    ChangeRefusedError for anything else in it.
    """
    if isinstance(change, dict) and "status" in change:
        raise ChangeRefusedError(
            "The subnet server does not change the conditions of a node; start flanneld with"
            " FLANNELD_SET_NODE_NETWORK_UNAVAILABLE=false."
        )
    metadata = (
        change.get("metadata") if isinstance(change, dict) and set(change) == {"metadata"} else None
    )
    annotations = (
        metadata.get("annotations")
        if isinstance(metadata, dict) and set(metadata) == {"annotations"}
        else None
    )
    if not isinstance(annotations, dict) or not annotations:
        raise ChangeRefusedError("The subnet server changes only annotations of a node.")
    for key, value in annotations.items():
        if key not in network.written:
            raise ChangeRefusedError(
                f"The annotation {key!r:.100} does not belong to the flanneld of network"
                f" {network.name}, which may write {', '.join(sorted(network.written))}."
            )
        if value is not None and not (
            isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= _LIMIT
        ):
            raise ChangeRefusedError(f"The annotation {key} is not text of at most {_LIMIT} bytes.")
    return annotations
