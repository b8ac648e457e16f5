# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what a host gets of the plan as files (documentation: planned_files.yml)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter.flanneld import flanneld_units
from ansible_collections.multinet.flannel.plugins.module_utils import _ports
from ansible_collections.multinet.flannel.plugins.module_utils._isolation import (
    networkd,
    ports,
    seal,
)
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._names import NETWORK_DIRECTORY
from ansible_collections.multinet.flannel.plugins.module_utils._plan import secrets

# What the subnet server reads of a network.
_SUBNET_SERVER_KEYS = (
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


def cni_files(plan: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, str | bool]]:
    """One conflist per network, then the host's own configuration in settings["conf_dir"]."""
    contents = [
        (f"{NETWORK_DIRECTORY}/{network['name']}.conflist", network["cni_conflist"])
        for network in plan["networks"]
    ]
    contents.append((f"{settings['conf_dir']}/00-multinet.conf", plan["cni_conf"]))
    return [_file(path, json.dumps(content, indent=2) + "\n") for path, content in contents]


def flanneld_files(plan: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, str | bool]]:
    """The environment of each flanneld, and the network's configuration where no etcd has it."""
    networks = plan["networks"]
    files = [
        _file(network["environment_file"], unit["environment"])
        for network, unit in zip(networks, flanneld_units(plan, settings))
    ]
    for network in networks:
        if network["net_config_file"]:
            config = _config(network, settings)
            text = json.dumps(config, indent=2, sort_keys=True) + "\n"
            is_secret = config is not network["flannel_config"]
            files.append(_file(network["net_config_file"], text, is_secret=is_secret))
    return files


def isolation_files(plan: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, str | bool]]:
    """The nftables tables, and what keeps systemd-networkd from the networks' devices."""
    try:
        text = ruleset(
            plan,
            settings["node_addresses"],
            settings["docker_network"],
            settings.get("closed_ports", []),
            int(settings.get("subnet_server_port") or 0),
            settings.get("underlay_interface", ""),
        )
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    text += "\n" + ports.table(plan, settings["docker_network"])
    return [
        _file("/etc/multinet/isolation.nft", seal.sealed(text)),
        _file(networkd.PATH, networkd.network_file(plan)),
    ]


def subnet_server_files(
    plan: dict[str, Any], settings: dict[str, Any]
) -> list[dict[str, str | bool]]:
    """The configuration of the subnet server."""
    config = json.dumps(subnet_server_config(plan, settings), indent=4, sort_keys=True)
    return [_file("/etc/multinet/subnets.json", config + "\n", "0600", bool(_known(settings)))]


def subnet_server_config(plan: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What the subnet server of a host works from (see _subnets/main.py)."""
    remote = settings.get("remote")
    return {
        "node_name": settings["node_name"],
        "kubeconfig": settings["kubeconfig"],
        "cluster_cidrs": plan["cluster_cidrs"],
        "node_cidr_mask_sizes": plan["node_cidr_mask_sizes"],
        "default_network": plan["default_network"],
        "networks": [
            {
                **{key: network[key] for key in _SUBNET_SERVER_KEYS},
                "flannel_config": _config(network, settings),
            }
            for network in plan["networks"]
        ],
        "listen": {"address": "127.0.0.1", "port": settings["port"]},
        "remote": dict({"port": _ports.SUBNET_SERVER_REMOTE}, **remote) if remote else None,
    }


def _known(settings: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The secrets of the networks, as filter secrets returns them."""
    return settings.get("secrets") or {}


def _config(network: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Flannel's configuration of a network as flanneld needs it."""
    try:
        return secrets.unmasked(network, _known(settings))
    except KeyError:
        raise AnsibleFilterError(
            f"The plan has only a fingerprint of the secret of the network {network['name']}; pass"
            " the result of the filter secrets as `secrets` of the settings."
        ) from None


def _file(
    path: str, content: str, mode: str = "0644", is_secret: bool = False
) -> dict[str, str | bool]:
    if is_secret:
        return {"path": path, "content": content, "mode": "0600", "secret": True}
    return {"path": path, "content": content, "mode": mode}


PARTS = {
    "cni": cni_files,
    "flanneld": flanneld_files,
    "isolation": isolation_files,
    "subnet_server": subnet_server_files,
}


def planned_files(
    plan: dict[str, Any], part: str, settings: dict[str, Any]
) -> list[dict[str, str | bool]]:
    """Return the files of a part of PARTS as module node_files takes them. Raises
    AnsibleFilterError with a sentence.
    """
    if part not in PARTS:
        raise AnsibleFilterError(
            f"The plan has no files of {part!r}; write one of {', '.join(PARTS)}."
        )
    return PARTS[part](plan, settings)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"planned_files": planned_files}
