# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""To which nodes the pods of flanneld come: by a label for each network that a node's guard has. So
a node that joins or leaves changes no DaemonSet, and no other node's flanneld. Runs on the
controller.

A label alone brings up nothing: the pods wait for the guard's own file (daemonset.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from . import nodes, objects
from .admin import Admin, pods_of

Item = dict[str, Any]  # an object, as the API's JSON has it

_PREFIX, _GUARDED = objects.NETWORK_LABEL + "-", "guarded"


def selector(network: str) -> dict[str, str]:
    """Return the label of the nodes whose guard has a network."""
    return {_PREFIX + network: _GUARDED}


def networks_of(node: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of the networks that a node's guard has, by its labels."""
    labels = node["metadata"].get("labels") or {}
    return sorted(
        key[len(_PREFIX) :]
        for key, value in labels.items()
        if key.startswith(_PREFIX) and value == _GUARDED
    )


def change(node: Mapping[str, Any], networks: Iterable[str]) -> tuple[Item, list[str]] | None:
    """Return (JSON merge patch, what it does, as clauses for people) by which a Node object has the
    labels of these networks and of no others; None where it has.
    """
    labels = node["metadata"].get("labels") or {}
    wanted = {key: value for network in networks for key, value in selector(network).items()}
    patched: dict[str, str | None] = {
        key: None for key in labels if key.startswith(_PREFIX) and key not in wanted
    }
    patched.update({key: value for key, value in wanted.items() if labels.get(key) != value})
    if not patched:
        return None
    name = node["metadata"]["name"]
    what = [
        f"label Node {name}: {key}={value}" if value else f"remove the label {key} from Node {name}"
        for key, value in sorted(patched.items())
    ]
    return {"metadata": {"labels": patched}}, what


def bring_about(
    api: Admin, names: Iterable[str], networks: Collection[str], *, check_mode: bool = False
) -> list[str]:
    """Make the Node objects of these names have the labels of these networks and of no others;
    return what was done. One that is not there is passed over. Raises AdminError.
    """
    return nodes.patch_all(api, names, lambda node: change(node, networks), check_mode=check_mode)


def selects(daemon_set: Item, network: str) -> bool:
    """Return whether a network's DaemonSet selects nodes by that label."""
    chosen = daemon_set["spec"]["template"]["spec"].get("nodeSelector") or {}
    return selector(network).items() <= chosen.items()


def former_nodes(api: Admin, daemon_set: Item, network: str) -> list[str]:
    """Return the sorted names of the nodes on which a network's flanneld runs by a DaemonSet that
    does not select by label, as it was made before there were these; [] where it does. Raises
    AdminError.

    That its pods were started there shows that the guards of these nodes have the network.
    """
    if selects(daemon_set, network):
        return []
    pods = pods_of(api, daemon_set)
    return sorted(
        {pod["spec"]["nodeName"] for pod in pods if pod["status"].get("phase") == "Running"}
    )


def added(node: Mapping[str, Any], network: str) -> tuple[Item, list[str]] | None:
    """Return what change() does for a node to which the pods of one more network are to come."""
    return change(node, {*networks_of(node), network})
