# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove networks from a host, in an order that strands no container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._cni import files
from .removal import Host, RemovalError, Step, device_steps, path_steps, unit_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


def network_steps(
    host: Host,
    networks: Sequence[dict[str, Any]],
    cni_conf: str,
    detach: Callable[[str], list[Step]],
) -> list[Step]:
    """Return the steps that remove networks (those of a plan); none when nothing is there of them.

    cni_conf: path of the host's own CNI configuration, whose delegates of these networks go first,
    so that no new container gets them. detach: gives, by a network's CNI name, the steps that take
    it out of running containers (plugins' DEL). Raises RemovalError.
    """
    steps = _delegate_steps(cni_conf, [network["cni_name"] for network in networks])
    for network in networks:
        steps += path_steps([f"/etc/cni/multinet/net.d/{network['name']}.conflist"])
        steps += detach(network["cni_name"])
        steps += unit_steps(host, [network["unit"]])
    for network in networks:
        steps += device_steps(host, network["devices"])
        if not network.get("device"):
            steps += _route_steps(host, network)
        paths = [
            network["environment_file"],
            network.get("net_config_file"),
            network["subnet_file"],
            network["data_dir"],
            network["ipam_dir"],
        ]
        steps += path_steps([path for path in paths if path])
    return steps


def _route_steps(host: Host, network: dict[str, Any]) -> list[Step]:
    return [
        host.step(
            f"route {route['dst']} dev {route['dev']}",
            ["ip", "route", "delete", route["dst"], "dev", route["dev"]],
        )
        for route in host.routes_inside(network["cidr"])
        if route["dev"] != network["bridge"]
    ]


def _delegate_steps(path: str, cni_names: Collection[str]) -> list[Step]:
    """Take the delegates of networks out of the host's own CNI configuration."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RemovalError(
            f"The CNI configuration {path} is not JSON ({error}). Run the site playbook to write it"
            " anew, or remove it."
        ) from error
    delegates = content.get("delegates", [])
    kept = [delegate for delegate in delegates if delegate.get("name") not in cni_names]
    if kept == delegates:
        return []
    if not kept:
        return path_steps([path])
    gone = ", ".join(delegate["name"] for delegate in delegates if delegate not in kept)
    text = json.dumps(dict(content, delegates=kept), indent=2) + "\n"
    return [Step(f"delegates {gone} of {path}", lambda: files.write(path, text, 0o644))]
