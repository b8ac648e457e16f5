# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the configuration of a host's subnet server (documentation: subnet_server_config.yml)."""

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils import _ports

_KEYS = (
    "name",
    "annotation_prefix",
    "cidr",
    "subnet_len",
    "ipv6_cidr",
    "ipv6_subnet_len",
    "flannel_config",
    "subnet_file",
    "bridge",
    "ipam_dir",
)


def subnet_server_config(plan, settings):
    remote = settings.get("remote")
    return {
        "node_name": settings["node_name"],
        "kubeconfig": settings["kubeconfig"],
        "cluster_cidrs": plan["cluster_cidrs"],
        "node_cidr_mask_sizes": plan["node_cidr_mask_sizes"],
        "default_network": plan["default_network"],
        "networks": [{key: network[key] for key in _KEYS} for network in plan["networks"]],
        "listen": {"address": "127.0.0.1", "port": settings["port"]},
        "remote": dict({"port": _ports.SUBNET_SERVER_REMOTE}, **remote) if remote else None,
    }


class FilterModule:
    """The filter of this file, for Ansible."""

    def filters(self):
        return {"subnet_server_config": subnet_server_config}
