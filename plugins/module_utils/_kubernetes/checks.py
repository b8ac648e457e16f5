# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster must have before anything is changed in it or on its nodes.

Pure: observations in, sentences out. Runs on the controller.
"""

from __future__ import annotations

import bisect
import difflib
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from .._libraries import need
from . import objects

_NAMED = 5  # nodes, where there are many
_COMPARED = 200  # with how many names one is compared by its letters, which takes time
OLDEST = (1, 22)  # Kubernetes: server-side apply and evictions in policy/v1


def cluster_problems(cluster: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Say what in the cluster stands in the way: sentences.

    cluster: what module kubernetes_info returned. settings: {server: URL as the hosts reach the
    API, or "", namespace: of DaemonSets, nad_namespaces: list of str, form: units or
    daemonset}.
    """
    found = []
    version = cluster.get("version", "")
    known = re.match(r"v(\d+)\.(\d+)", version)
    if known and (int(known[1]), int(known[2])) < OLDEST:
        found.append(
            f"The cluster has Kubernetes {version}, and v{OLDEST[0]}.{OLDEST[1]} or newer is"
            " needed: upgrade it."
        )
    server = settings["server"] or cluster["server"]
    try:
        host = urllib.parse.urlsplit(server).hostname or ""
    except ValueError:
        host = ""
    if host in ("localhost", "::1") or host.startswith("127."):
        found.append(
            f"multinet_kubeconfig has the API at {server}, an address that means the host itself on"
            " every host: write the URL at which the hosts reach it into"
            " multinet_kubernetes_server."
        )
    elif not server.startswith("https://") or not host:
        found.append(
            f"multinet_kubernetes_server is '{server}': write a URL such as"
            " https://192.0.2.10:6443."
        )
    wanted = [("multinet_kubernetes_namespace", settings["namespace"])]
    wanted += [("multinet_nad_namespaces", name) for name in settings["nad_namespaces"]]
    found += [
        f"{variable}: the cluster has no namespace '{name}'. Make it (kubectl create namespace"
        f" {name}), or write another one."
        for variable, name in wanted
        if name not in cluster["namespaces"]
    ]
    found += [
        f"{variable}: the namespace '{name}' is being deleted (Terminating), and nothing can be"
        f" made in it. Wait until it is gone (kubectl get namespace {name} -o yaml says what keeps"
        " it) and make it anew, or write another one."
        for variable, name in wanted
        if name in cluster.get("terminating", ())
    ]
    level = cluster.get("pod_security", {}).get(settings["namespace"])
    if settings.get("form") == "daemonset" and level not in (None, "privileged"):
        found.append(
            f"The namespace '{settings['namespace']}' enforces the Pod Security level '{level}',"
            " but flanneld needs the host's network: write multinet_kubernetes_namespace:"
            " kube-system, or another one with the label"
            " pod-security.kubernetes.io/enforce=privileged."
        )
    elif cluster.get("pods_refused"):
        found.append(
            f"flanneld would not run in pods in the namespace '{settings['namespace']}'."
            f" {cluster['pods_refused']} Or write multinet_kubernetes_namespace: kube-system, or"
            " another one whose pods may use the host's network, or multinet_flanneld_form: units."
        )
    return found


def names_taken(
    cluster: Mapping[str, Any], plan: Mapping[str, Any], nad_namespaces: Iterable[str]
) -> list[str]:
    """Say whose NetworkAttachmentDefinitions have the place of the plan's: sentences."""
    wanted = [
        objects.labelled(network["net_attach_def"], network["name"], namespace)
        for network in plan["networks"]
        for namespace in nad_namespaces
    ]
    others = set(cluster.get("definitions", ()))
    return [objects.is_taken(item) for item in wanted if objects.full_name(item) in others]


def node_problems(cluster: Mapping[str, Any], name: str, settings: Mapping[str, Any]) -> list[str]:
    """Say what about a host's Node object stands in the way: sentences. Raises MissingLibraryError.

    name: of the Node. settings: {datastore, cluster_cidrs: list of str, node_cidr_mask_sizes: list
    of int}.
    """
    nodes = cluster["nodes"]
    if name not in nodes:
        return [
            f"The cluster has no node '{name}': set multinet_node_name of this host to one of"
            f" {_like(name, nodes)}."
        ]
    if name in cluster.get("shared", ()):
        return [
            f"Several hosts of the inventory are the node '{name}': set multinet_node_name of each"
            " to that of its own Node object, and list a host only once. They would take one"
            " another's subnets."
        ]
    if settings["datastore"] != "kubernetes":
        return []
    if not nodes[name]:
        return [
            f"Node '{name}' has no podCIDR, from which its subnets are derived: run the controller"
            " manager with --allocate-node-cidrs and --cluster-cidr, or patch spec.podCIDR of the"
            " node, or use multinet_datastore: etcd."
        ]
    need("netaddr")
    from netaddr import IPNetwork

    pod_cidrs = [IPNetwork(cidr) for cidr in nodes[name]]
    found = []
    for cidr, size in zip(settings["cluster_cidrs"], settings["node_cidr_mask_sizes"]):
        cluster_cidr = IPNetwork(cidr)
        own = [pod_cidr for pod_cidr in pod_cidrs if pod_cidr.version == cluster_cidr.version]
        if not own:
            found.append(
                f"Node '{name}' has no IPv{cluster_cidr.version} podCIDR, but"
                f" multinet_cluster_cidrs has {cluster_cidr}: remove that range, or give the node a"
                " podCIDR in it."
            )
        found += [
            f"Node '{name}': podCIDR {pod_cidr} is not in multinet_cluster_cidrs ({cluster_cidr}):"
            " write the controller manager's --cluster-cidr there."
            for pod_cidr in own
            if pod_cidr not in cluster_cidr
        ]
        found += [
            f"Node '{name}': podCIDR {pod_cidr} is not a /{size}: write the controller manager's"
            " --node-cidr-mask-size into multinet_node_cidr_mask_sizes."
            for pod_cidr in own
            if pod_cidr in cluster_cidr and pod_cidr.prefixlen != size
        ]
    return found


def wrong_node(cluster: Mapping[str, Any], name: str, here: Iterable[str]) -> list[str]:
    """Say that a host is another node than the inventory says, by its addresses: a sentence.

    here: the host's addresses. Where none is known to the cluster (NAT), nothing is said.
    """
    known = cluster.get("addresses", {})
    if name not in cluster["nodes"] or set(here).intersection(known.get(name, ())):
        return []
    others = {address: node for node, addresses in known.items() for address in addresses}
    return [
        f"This host has the address {address} of the node '{others[address]}', and none of the node"
        f" '{name}', whose subnets it would take. Correct ansible_host or multinet_node_name of"
        " this host."
        for address in here
        if address in others
    ][:1]


def _like(name: str, nodes: Iterable[str]) -> str:
    """Say which nodes there are; of many, those whose names are most like this one."""
    known = sorted(nodes)
    if not known:
        return "its nodes (it has none)"
    if len(known) <= _NAMED:
        return ", ".join(known)
    # with the domain or without it: the likeliest mistake, whose letters differ most
    short = name.partition(".")[0]
    same = [one for one in known if one.partition(".")[0].lower() == short.lower()]
    place = max(bisect.bisect(known, name) - _COMPARED // 2, 0)
    near = difflib.get_close_matches(name, known[place : place + _COMPARED], _NAMED, 0.0)
    named = list(dict.fromkeys(same[:_NAMED] + near))[:_NAMED]
    return f"its {len(known)} nodes, such as {', '.join(named)}"
