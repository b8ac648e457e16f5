# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that somebody else deployed on a host: kube-flannel, Multus with its delegates, others.

What they are, how each would be declared, and what stays as it is. recognise() is pure; look()
reads. Runs on hosts.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._node import subnet_file

if TYPE_CHECKING:
    from collections.abc import Callable

    # calls a command, returns its exit status, stdout and stderr, as AnsibleModule.run_command
    Run = Callable[[list[str]], tuple[int, str, str]]

    Facts = Mapping[str, Any]

OURS = "00-multinet.conf"
CONFIGURATIONS = (".conf", ".conflist", ".json")
# What the flannel plugin takes where its configuration says nothing.
SUBNET_FILE = "/run/flannel/subnet.env"
BRIDGE = "cni0"
UDP_PORT = 8285


def look(run: Run, conf_dir: str) -> dict[str, Any]:
    """Return what recognise() wants to know of this host. run: calls a command."""
    configurations = {}
    for name in sorted(os.listdir(conf_dir)) if os.path.isdir(conf_dir) else []:
        if name.endswith(CONFIGURATIONS):
            with open(os.path.join(conf_dir, name), encoding="utf-8", errors="replace") as file:
                configurations[name] = file.read()
    paths = {plugin["subnet_file"] for plugin in _flannels(configurations)}
    code, out, dummy = run(["ip", "-j", "-d", "address"])
    return {
        "configurations": configurations,
        "subnet_files": {path: subnet_file.read(path) for path in sorted(paths)},
        "links": json.loads(out) if code == 0 and out.strip() else [],
    }


def recognise(seen: Facts) -> dict[str, Any]:
    """Return the networks that a host has from others.

    seen: {configurations: {file name: text}, subnet_files: {path: {variable: value}}, links: what
    `ip -j -d address` says}. The result is {networks: [{name, file, default, bridge, subnet_file,
    subnet, declaration, problem}], stays: [sentence]}; declaration is an item of multinet_networks,
    or null with the reason in `problem`.
    """
    networks = [_network(plugin, seen) for plugin in _flannels(seen["configurations"])]
    return {"networks": networks, "stays": list(_stays(seen["configurations"], networks))}


def sentences(found: Facts) -> list[str]:
    """Return the lines that a user reads of recognise()'s result."""
    lines = []
    for network in found["networks"]:
        where = f"{network['name']} ({network['file']}, bridge {network['bridge']})"
        declared = network["declaration"]
        lines.append(
            f"{where}: would be declared as {json.dumps(declared)}"
            if declared
            else f"{where}: {network['problem']}"
        )
    if not lines:
        lines.append("No network of flannel's is in the CNI configuration of this host.")
    return lines + list(found["stays"])


def _flannels(configurations: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield {name, file, default, bridge, subnet_file} of each use of the flannel plugin."""
    for file, conf in _read(configurations):
        for item, alone in _delegates(conf):
            for plugin in item.get("plugins") or [item]:
                if not isinstance(plugin, dict) or plugin.get("type") != "flannel":
                    continue
                delegate = plugin.get("delegate")
                delegate = delegate if isinstance(delegate, dict) else {}
                yield {
                    "name": str(item.get("name") or plugin.get("name") or ""),
                    "file": file,
                    "default": bool(delegate.get("isDefaultGateway", alone)),
                    "bridge": str(delegate.get("bridge") or BRIDGE),
                    "subnet_file": str(plugin.get("subnetFile") or SUBNET_FILE),
                }


def _read(configurations: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, text in sorted(configurations.items()):
        try:
            conf = json.loads(text)
        except ValueError:
            continue  # a container runtime skips it, too
        if file != OURS and isinstance(conf, dict):
            yield file, conf


def _delegates(conf: dict[str, Any]) -> list[tuple[dict[str, Any], bool]]:
    """Return what a meta-plugin calls, or the configuration itself; and whether it is alone."""
    delegates = conf.get("delegates")
    if not isinstance(delegates, list):
        return [(conf, True)]
    some = [one for one in delegates if isinstance(one, dict)]
    return [(one, len(some) == 1) for one in some]


def _network(plugin: dict[str, Any], seen: Facts) -> dict[str, Any]:
    written = seen["subnet_files"].get(plugin["subnet_file"], {})
    network = {**plugin, "subnet": "", "declaration": None, "problem": ""}
    try:
        # of several ranges, the IPv4 one is first
        cidr = ipaddress.ip_network(written["FLANNEL_NETWORK"].split(",")[0])
        network["subnet"] = written["FLANNEL_SUBNET"]
    except (KeyError, ValueError):
        network["problem"] = (
            f"{plugin['subnet_file']} says no range, so its flanneld does not run here. Start it,"
            " and look again."
        )
        return network
    name = re.sub(r"[^a-z0-9]+", "-", plugin["name"].lower()).strip("-")[:12].strip("-")
    network["declaration"] = {
        "name": name or plugin["bridge"],
        "cidr": str(cidr),
        **({"default": True} if plugin["default"] else {"attach": "all"}),
        "backend": _backend(cidr, plugin["bridge"], seen["links"]),
    }
    return network


def _backend(cidr: Any, bridge: str, links: list[Facts]) -> dict[str, Any]:
    """Return the backend whose device has an address of the range: flanneld's tunnel."""
    for link in links:
        addresses = [one.get("local", "") for one in link.get("addr_info", [])]
        if link.get("ifname") == bridge or not any(_within(one, cidr) for one in addresses):
            continue
        info = link.get("linkinfo") or {}
        kind, data = info.get("info_kind"), info.get("info_data") or {}
        if kind == "vxlan":
            return {"type": "vxlan", "vni": data["id"], "port": data["port"]}
        if kind == "tun":
            # of which port it is, is said by flanneld's configuration alone
            return {"type": "udp", "port": UDP_PORT}
    return {"type": "host-gw"}


def _within(address: str, cidr: Any) -> bool:
    try:
        return ipaddress.ip_address(address) in cidr
    except ValueError:
        return False


def _stays(configurations: Mapping[str, str], networks: list[dict[str, Any]]) -> Iterator[str]:
    for file, conf in _read(configurations):
        kinds = [one.get("type") for one in conf.get("plugins") or [conf] if isinstance(one, dict)]
        if file not in {network["file"] for network in networks} and kinds != ["loopback"]:
            yield (
                f"{file} stays: {conf.get('name') or file} ({', '.join(map(str, kinds))}) is none"
                " of flannel's. To keep it as the pods' first network, declare it with default:"
                " external."
            )
    if networks:
        yield (
            "Pods that run keep their interfaces until they are made anew. Of a range, nodes get"
            " other subnets than before: take a range over when no pod has an address of it any"
            " more, or declare another."
        )
