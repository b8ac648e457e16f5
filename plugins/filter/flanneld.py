# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: the flanneld units of a host, what they need there, and which nodes have no guard yet
for flanneld in pods (documentation: flanneld_units.yml, flanneld_needs.yml, unguarded_nodes.yml).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import daemonset
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed, units
from ansible_collections.multinet.flannel.plugins.module_utils._plan import errors, render


def flanneld_units(
    plan: dict[str, Any], settings: Mapping[str, Any], reason: str = ""
) -> list[dict[str, Any]]:
    """Return the units of plan's networks, in their order, as module node_units takes them.

    settings: see render.flanneld_environment(). reason: one of units.GIVEN to restart them
    all that is known already, or "". Raises AnsibleFilterError with one sentence a line.
    """
    return [
        {
            "name": network["unit"],
            "environment": _environment(network, settings),
            "environment_prefix": "FLANNELD_",
            "executable": deployed.FLANNELD,
            "arguments": [],
            "reason": reason,
        }
        for network in plan["networks"]
    ]


def _environment(network: dict[str, Any], settings: Mapping[str, Any]) -> str:
    config = json.dumps(network["flannel_config"], sort_keys=True).encode()
    try:
        environment = render.flanneld_environment(network, dict(settings))
    except errors.PlanError as error:
        raise AnsibleFilterError(str(error)) from error
    return f"{environment}{units.CONFIG_SUM}={hashlib.sha256(config).hexdigest()}\n"


def flanneld_needs(plan: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return {path of a file without which no flanneld is to run on a host: the role that writes
    it}.

    settings: {form, datastore, tls}.
    """
    in_pods, datastore = settings["form"] == "daemonset", settings["datastore"]
    # before there is a network to keep apart
    needs = {"/etc/systemd/system/multinet-isolation.service": "isolation"}
    if datastore == "etcd" and settings["tls"] and not in_pods:
        needs["/etc/multinet/pki/client.key"] = "etcd"
    if datastore == "kubernetes":
        needs["/etc/systemd/system/multinet-subnets.service"] = "subnet_server"
    if in_pods:
        names = sorted(network["name"] for network in plan["networks"])
        needs.update({f"{daemonset.GUARDED}/{name}": "isolation" for name in names})
    return needs


def unguarded_nodes(
    nodes: Iterable[str], guarded: Mapping[str, list[str]], networks: list[str]
) -> list[str]:
    """Return those nodes, sorted, that do not say that their guard has just these networks.

    guarded: {node: its networks, sorted}; networks: sorted.
    """
    return sorted({node for node in nodes if list(guarded.get(node, ())) != list(networks)})


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "flanneld_needs": flanneld_needs,
            "flanneld_units": flanneld_units,
            "unguarded_nodes": unguarded_nodes,
        }
