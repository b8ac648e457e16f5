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
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._cni.conf import files as conf_files
from .._node import adopted, daemons, subnet_file

if TYPE_CHECKING:
    from collections.abc import Callable

    # calls a command, returns its exit status, stdout and stderr, as AnsibleModule.run_command
    Run = Callable[[list[str]], tuple[int, str, str]]

    Facts = Mapping[str, Any]

OURS = "00-multinet.conf"
# What the flannel plugin takes where its configuration says nothing.
SUBNET_FILE = "/run/flannel/subnet.env"
BRIDGE = "cni0"
UDP_PORT = 8285
IPAM = "/var/lib/cni/networks"


def look(run: Run, conf_dir: str) -> dict[str, Any]:
    """Return what recognise() wants to know of this host. run: calls a command."""
    configurations, unreadable = {}, {}
    for path in conf_files(conf_dir):
        name = os.path.basename(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                configurations[name] = file.read()
        except OSError as error:
            unreadable[name] = error.strerror
    running = daemons.others()
    paths = {plugin["subnet_file"] for plugin in _flannels(configurations)}
    paths |= {daemon["subnet_file"] for daemon in running}
    code, out, dummy = run(["ip", "-j", "-d", "address"])
    return {
        "configurations": configurations,
        "unreadable": unreadable,
        "subnet_files": {path: subnet_file.read(path) for path in sorted(paths)},
        "links": json.loads(out) if code == 0 and out.strip() else [],
        "daemons": running,
        "adopted": adopted.names(adopted.read()),
    }


def recognise(seen: Facts) -> dict[str, Any]:
    """Return the networks that a host has from others.

    seen: {configurations: {file name: text}, unreadable: {file name: why}, subnet_files: {path:
    {variable: value}}, links: what `ip -j -d address` says, daemons: of daemons.others(), adopted:
    {name of ours: name of theirs} of what was taken over before}. The result is {networks: [{name,
    file, files, default, bridge, subnet_file, ipam_dir, subnet, device, mac, daemon, declaration,
    problem}], beside: {file: [name of what it calls besides flannel]}, stays: [sentence], adopted:
    as it was seen}; files are all that name the network, as Multus' own and the one that Multus has
    made it from; declaration is an item of multinet_networks, without a backend that is not seen,
    or null with the reason in `problem`.
    """
    named: dict[tuple[str, ...], dict[str, Any]] = {}
    for plugin in _flannels(seen["configurations"]):
        key = plugin["subnet_file"], plugin["bridge"], plugin["ipam_dir"]
        same = named.setdefault(key, {**plugin, "files": []})
        same["files"].append(plugin["file"])
        same["default"] |= plugin["default"]
    networks = [_network(plugin, seen) for plugin in named.values()]
    return {
        "networks": networks,
        "beside": _beside(seen["configurations"]),
        "stays": list(_stays(seen, networks)),
        "adopted": seen["adopted"],
    }


def sentences(found: Facts) -> list[str]:
    """Return the lines that a user reads of recognise()'s result."""
    lines = []
    for network in found["networks"]:
        where = f"{network['name']} ({' and '.join(network['files'])}, bridge {network['bridge']})"
        declared = network["declaration"]
        lines.append(
            f"{where}: declare it as {json.dumps(declared)}"
            if declared
            else f"{where}: {network['problem']}"
        )
        daemon = network["daemon"]
        if daemon:
            lines.append(f"  its flanneld is {daemons.called(daemon)}, with {daemon['store']}")
        elif declared and "backend" not in declared:
            lines.append(
                "  its flanneld does not run: add the backend that it has to the declaration"
            )
    lines += [f"{ours}: taken over; it was {theirs}" for ours, theirs in found["adopted"].items()]
    if not lines:
        lines.append("The CNI configuration of this host has no network of flannel.")
    return lines + list(found["stays"])


def _beside(configurations: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what meta-plugins call besides flannel, by the names of their files."""
    found = {}
    for file, conf in _read(configurations):
        called = [item for item, dummy in _delegates(conf)]
        others = [item for item in called if "flannel" not in _types(item)]
        if 0 < len(others) < len(called):
            found[file] = [str(item.get("name") or _types(item)[0]) for item in others]
    return found


def _types(conf: Mapping[str, Any]) -> list[str]:
    """Return the types of the plugins that a configuration calls."""
    return [str(one.get("type")) for one in _plugins(conf)]


def _plugins(conf: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plugins of a configuration, itself where it lists none."""
    listed = conf.get("plugins")
    plugins = listed if isinstance(listed, list) else []
    return [one for one in plugins if isinstance(one, dict)] or [conf]


def _flannels(configurations: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield {name, file, default, bridge, subnet_file, ipam_dir} of each use of flannel."""
    for file, conf in _read(configurations):
        for item, alone in _delegates(conf):
            for plugin in _plugins(item):
                if plugin.get("type") != "flannel":
                    continue
                delegate = plugin.get("delegate")
                delegate = delegate if isinstance(delegate, dict) else {}
                name = str(item.get("name") or plugin.get("name") or "")
                ipam = plugin.get("ipam")
                ipam = ipam if isinstance(ipam, dict) else {}
                yield {
                    "name": name,
                    "file": file,
                    "default": bool(delegate.get("isDefaultGateway", alone)),
                    "bridge": str(delegate.get("bridge") or BRIDGE),
                    "subnet_file": str(plugin.get("subnetFile") or SUBNET_FILE),
                    # host-local keeps one for each network's name
                    "ipam_dir": os.path.join(str(ipam.get("dataDir") or IPAM), name),
                }


def _read(configurations: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, text in sorted(configurations.items()):
        try:
            conf = json.loads(text)
        except (ValueError, RecursionError):
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
    daemon = next(
        (one for one in seen["daemons"] if one["subnet_file"] == plugin["subnet_file"]), None
    )
    network = {
        **plugin,
        "subnet": "",
        "ipv6_subnet": "",
        "device": "",
        "mac": "",
        "daemon": daemon,
        "declaration": None,
        "problem": "",
    }
    try:
        # of several ranges, the IPv4 one is first
        cidr = ipaddress.ip_network(written["FLANNEL_NETWORK"].split(",")[0])
        subnet = ipaddress.ip_interface(written["FLANNEL_SUBNET"])
    except (KeyError, ValueError):
        network["problem"] = (
            f"{plugin['subnet_file']} has no range, so its flanneld does not run here. Start that"
            " flanneld, and run this again."
        )
        return network
    network["subnet"] = written["FLANNEL_SUBNET"]
    name = re.sub(r"[^a-z0-9]+", "-", plugin["name"].lower()).strip("-")[:12].strip("-")
    declared: dict[str, Any] = {"name": name or plugin["bridge"], "cidr": str(cidr)}
    length = subnet.network.prefixlen
    if length != (24 if cidr.prefixlen <= 22 else cidr.prefixlen + 2):
        declared["subnet_len"] = length
    declared.update(_ipv6(written, network))
    declared.update({"default": True} if plugin["default"] else {"attach": "all"})
    tunnel = _tunnel(cidr, plugin["bridge"], seen["links"])
    if tunnel:
        network["device"], network["mac"] = tunnel["ifname"], tunnel.get("address", "")
    if tunnel or daemon:  # a daemon that has ended took the device of udp along
        declared["backend"] = _backend(tunnel, daemon)
    network["declaration"] = declared
    return network


def _ipv6(written: Mapping[str, str], network: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a declaration for the IPv6 range, {} where there is none."""
    try:
        cidr = ipaddress.IPv6Network(written["FLANNEL_IPV6_NETWORK"])
        subnet = ipaddress.IPv6Interface(written["FLANNEL_IPV6_SUBNET"])
    except (KeyError, ValueError):
        return {}
    network["ipv6_subnet"] = written["FLANNEL_IPV6_SUBNET"]
    length = subnet.network.prefixlen
    return {"ipv6_cidr": str(cidr), **({} if length == 64 else {"ipv6_subnet_len": length})}


def _tunnel(cidr: Any, bridge: str, links: Sequence[Facts]) -> Facts | None:
    """Return the device that has an address of the range and is not the bridge: flanneld's."""
    for link in links:
        addresses = [one.get("local", "") for one in link.get("addr_info", [])]
        if link.get("ifname") != bridge and any(_within(one, cidr) for one in addresses):
            info = link.get("linkinfo") or {}
            if info.get("info_kind") in ("vxlan", "tun", "ipip", "wireguard"):
                return link
    return None


def _backend(tunnel: Facts | None, daemon: Facts | None) -> dict[str, Any]:
    """Return the backend that makes such a device; without one, flanneld makes routes alone."""
    info = (tunnel or {}).get("linkinfo") or {}
    kind, data = info.get("info_kind"), info.get("info_data") or {}
    if kind == "vxlan":
        return {"type": "vxlan", "vni": data["id"], "port": data["port"]}
    if kind == "tun":
        ports = daemon["udp_ports"] if daemon else []
        return {"type": "udp", "port": ports[0] if len(ports) == 1 else UDP_PORT}
    return {"type": kind or "host-gw"}


def _within(address: str, cidr: Any) -> bool:
    try:
        return ipaddress.ip_address(address) in cidr
    except ValueError:
        return False


def _stays(seen: Facts, networks: list[dict[str, Any]]) -> Iterator[str]:
    for file, why in seen["unreadable"].items():
        yield (
            f"{file} was left out, for it cannot be read: {why}. If nobody needs it, remove it;"
            " container runtimes may refuse all pods because of it."
        )
    for file, conf in _read(seen["configurations"]):
        kinds = _types(conf)
        if not any(file in network["files"] for network in networks) and kinds != ["loopback"]:
            yield (
                f"{file} stays: {conf.get('name') or file} ({', '.join(kinds)}) is not a network of"
                " flannel. To keep it as the pods' first network, declare it with default:"
                " external."
            )
    named = {network["subnet_file"] for network in networks}
    for daemon in seen["daemons"]:
        if daemon["subnet_file"] not in named and not seen["adopted"]:
            yield (
                f"{daemons.called(daemon)} stays: it is a flanneld that writes"
                f" {daemon['subnet_file']}, which no CNI configuration of this host names."
            )
    stores = {one["daemon"]["store"] for one in networks if one["daemon"]}
    if networks:
        yield (
            "When networks are taken over, running pods keep their interfaces and addresses: the"
            " bridges are renamed, and the records of used addresses are moved. Running pods get"
            " the same sysctls as new pods."
        )
    for store in sorted(stores):
        yield f"Not changed, so that you can go back: {store}."
