# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kubernetes cluster and its nodes get, from the plan.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter import flanneld
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    checks,
    daemonset,
    kube_proxy,
    objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import units
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token

_CLIENT_CERTIFICATES = ("ca.crt", "client.crt", "client.key")
# Of the settings that units have, what the kubelet fills in for each node instead.
_OF_THE_NODE = {
    "interface": "",
    "public_ip": "$(HOST_IP)",
    "public_ipv6": "",
    "node_name": "$(NODE_NAME)",
}


def kubernetes_objects(plan: dict[str, Any], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return objects.objects(plan, settings), and with settings["daemonset"] what runs flanneld in
    pods. Raises AnsibleFilterError.

    settings["daemonset"]: {image, max_unavailable, flanneld: the settings of filter flanneld_units,
    pki_dir: directory of etcd's client certificates on the controller, or ""}, or null.
    """
    made = objects.objects(plan, settings)
    pods = settings.get("daemonset")
    if pods:
        environments = flanneld.flanneld_units(plan, {**pods["flanneld"], **_OF_THE_NODE})
        made += daemonset.objects(
            plan,
            {
                network["name"]: units.parse_environment(unit["environment"])
                for network, unit in zip(plan["networks"], environments)
            },
            {
                "namespace": settings["namespace"],
                "image": pods["image"],
                "max_unavailable": _count(pods["max_unavailable"]),
                "pki": _certificates(pods["pki_dir"]),
            },
        )
    return made


def _count(given: Any) -> int | str:
    """Return a number of nodes, or a share of them such as 10%, as the API takes it."""
    text = str(given)
    if not re.fullmatch(r"[1-9]\d*|([1-9]\d?|100)%", text):
        raise AnsibleFilterError(
            f"multinet_flanneld_max_unavailable is {text!r}; write the number of nodes on which"
            " flanneld may be replaced at the same time, such as 1 or 10%."
        )
    return int(text) if text.isdigit() else text


def kubernetes_secrets(
    plan: dict[str, Any], settings: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return what is in the Secrets that kubernetes_objects() makes without it: {namespace/name:
    {file name: content}}. settings: the same.
    """
    pods = settings.get("daemonset")
    if not pods:
        return {}
    known = {
        "namespace": settings["namespace"],
        "pki": _certificates(pods["pki_dir"]),
        "secrets": pods["flanneld"].get("secrets") or {},
    }
    return daemonset.contents(plan, known)


def _certificates(directory: str) -> dict[str, str]:
    """Return {file name: content} of the client certificates in a directory; nothing while they are
    not made.
    """
    found = {}
    for name in _CLIENT_CERTIFICATES if directory else ():
        path = f"{directory}/{name}"
        try:
            found[name] = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise AnsibleFilterError(
                f"{path}, which flanneld's pods get, cannot be read on the controller:"
                f" {error.strerror}."
            ) from error
        except ValueError as error:
            raise AnsibleFilterError(
                f"{path}, which flanneld's pods get, is not text. Write it in PEM form."
            ) from error
    return found


def kubernetes_problems(
    plan: dict[str, Any], cluster: Mapping[str, Any], node_name: str, settings: Mapping[str, Any]
) -> list[str]:
    """Return what in the cluster, and about the host's Node object, stands in the way: sentences.

    cluster: what module kubernetes_info returned. settings: see checks.cluster_problems(), and
    {addresses: the host's}.
    """
    found = checks.cluster_problems(cluster, settings)
    found += checks.names_taken(cluster, plan, settings["nad_namespaces"])
    if not cluster.get("announced"):  # where pods run like that already, it is a warning
        found += kube_proxy.problems(cluster.get("kube_proxy"), plan)
    found += checks.wrong_node(cluster, node_name, settings.get("addresses", ()))
    return found + checks.node_problems(cluster, node_name, plan)


def node_names(hosts: list[str], hostvars: Mapping[str, Any], having: str = "") -> list[str]:
    """Return the names of the hosts' Node objects: multinet_node_name, or the host's own name; with
    `having`, of those where a variable of this name has a value.
    """
    return [
        hostvars[host].get("multinet_node_name", host)
        for host in hosts
        if not having or hostvars[host].get(having)
    ]


def token_timing(seconds: int) -> dict[str, int]:
    """Return when the tokens of hosts, asked for with a life of so many seconds, are looked at."""
    interval = token.interval(int(seconds))
    return {
        "interval": interval,
        "delay": token.delay(interval),
        "least_seconds": token.LEAST_INTERVALS * interval,
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "kubernetes_objects": kubernetes_objects,
            "kubernetes_secrets": kubernetes_secrets,
            "kubernetes_problems": kubernetes_problems,
            "node_names": node_names,
            "token_timing": token_timing,
        }
