# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove networks from a host, in an order that strands no container."""

from __future__ import annotations

import functools
import ipaddress
import json
import os
from typing import TYPE_CHECKING, Any

from .._cni import files
from .._ranges import is_within
from . import subnet_file, xfrm
from .identity import ETCD_SETTINGS
from .removal import Host, RemovalError, Step, device_steps, path_steps, unit_steps
from .units import parse_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

# What held() said before the files that say it were removed: so an interrupted removal still knows
# which leases are this host's
LEASES = "/etc/multinet/leases.json"
_ANEW = "Run the playbook site, which writes it again, or remove it."


def held(
    host: Host, networks: Sequence[dict[str, Any]], record: str = LEASES
) -> dict[str, dict[str, Any]]:
    """Return how this host's leases of networks (those of a plan) are recognized: {network:
    {subnets: [10.1.5.0/24], public: addresses that its flanneld may have published, mac: of its
    tunnel device, or None}}.

    record: the file of remember().
    """
    remembered = _remembered(record)
    addresses = host.addresses()
    found = {}
    for network in networks:
        environment = parse_environment(files.text(network["environment_file"]))
        public = environment.get("FLANNELD_PUBLIC_IP")
        interface = addresses.get(environment.get("FLANNELD_IFACE", ""))
        every = sorted({one for of_link in addresses.values() for one in of_link})
        now = {
            "subnets": [
                str(one) for one in subnet_file.subnets(subnet_file.read(network["subnet_file"]))
            ],
            "public": [public] if public else interface or every,
            "mac": host.mac(network["device"]) if network.get("device") else None,
        }
        before = remembered.get(network["name"])
        found[network["name"]] = before if before and not now["subnets"] else now
    return found


def _remembered(record: str) -> dict[str, Any]:
    """Return what remember() wrote, {} where that is not there."""
    try:
        found = json.loads(files.text(record) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: one for name, one in found.items() if isinstance(one, dict)}


def data_store(networks: Sequence[dict[str, Any]], member: str = ETCD_SETTINGS) -> dict[str, Any]:
    """Return how the first flanneld that says it reaches etcd, or else the member of etcd that is
    here: {endpoints: URLs, tls: bool}.

    member: the file of its settings.
    """
    for network in networks:
        environment = parse_environment(files.text(network["environment_file"]))
        endpoints = environment.get("FLANNELD_ETCD_ENDPOINTS")
        if endpoints:
            return {"endpoints": endpoints.split(","), "tls": "FLANNELD_ETCD_CAFILE" in environment}
    environment = parse_environment(files.text(member))
    listens = environment.get("ETCD_LISTEN_CLIENT_URLS", "")
    return {
        "endpoints": [url for url in listens.split(",") if "//127.0.0.1:" in url],
        "tls": "ETCD_TRUSTED_CA_FILE" in environment,
    }


def remember(leases: dict[str, dict[str, Any]], record: str = LEASES) -> None:
    """Write down what held() said."""
    if os.path.isdir(os.path.dirname(record)):
        files.write(record, json.dumps(leases, indent=2) + "\n", 0o600)


def network_steps(
    host: Host,
    networks: Sequence[dict[str, Any]],
    cni_conf: str,
    detach: Callable[[str], list[Step]],
    keepers: Sequence[str] = (),
    given_back: Sequence[Step] = (),
    stay: Collection[str] = (),
) -> list[Step]:
    """Return the steps that remove networks (those of a plan); none when nothing is there of them.

    cni_conf: path of the host's own CNI configuration, whose delegates of these networks go first,
    so that no new container gets them. detach: gives, by a network's CNI name, the steps that take
    it out of running containers (plugins' DEL). keepers: units that look after the networks, and so
    stop before the devices go. given_back: steps by which devices and addresses become others'
    again, which stay. stay: names of networks whose tunnel devices and routes do, too. Raises
    RemovalError.
    """
    steps = _delegate_steps(cni_conf, [network["cni_name"] for network in networks])
    for network in networks:
        steps += path_steps([f"/etc/cni/multinet/net.d/{network['name']}.conflist"])
        steps += detach(network["cni_name"])
        steps += unit_steps(host, [network["unit"]])
    steps += unit_steps(host, keepers)
    steps += given_back
    for network in networks:
        stays = network["name"] in stay
        steps += device_steps(host, [network["bridge"]] if stays else network["devices"])
        if not stays:
            ranges = [range_ for range_ in (network["cidr"], network.get("ipv6_cidr")) if range_]
            backend = network.get("backend", {})
            if not network.get("device") or backend.get("direct_routing"):
                steps += _route_steps(host, ranges, network["devices"])
            if backend.get("type") == "ipsec":
                steps += _policy_steps(host, [network["cidr"]])
        paths = [
            network["environment_file"],
            network.get("net_config_file"),
            network["subnet_file"],
            network["data_dir"],
            network["ipam_dir"],
        ]
        steps += path_steps([path for path in paths if path])
    return steps


def former_steps(host: Host, former: Sequence[dict[str, Any]]) -> list[Step]:
    """Return the steps that remove what networks had and no longer have: _plan.changes.former()."""
    steps: list[Step] = []
    for one in former:
        steps += device_steps(host, one["devices"])
        steps += _route_steps(host, one["routes"], one["devices"], one["keep"])
        steps += _policy_steps(host, one["policies"])
    return steps


def _route_steps(
    host: Host, ranges: Sequence[str], devices: Collection[str], keep: Sequence[str] = ()
) -> list[Step]:
    """Routes that lead over the underlay. Those of a network's own devices go with these."""
    kept = [ipaddress.ip_network(range_) for range_ in keep]
    return [
        host.step(
            f"route {route['dst']} dev {route['dev']}",
            ["ip", "route", "delete", route["dst"], "dev", route["dev"]],
            functools.partial(_has_route, host, range_, route),
        )
        for range_ in ranges
        for route in host.routes_inside(range_)
        # a connected one is not flanneld's: it goes with its address, if that goes
        if route["dev"] not in devices and route.get("protocol") != "kernel"
        if not any(is_within(ipaddress.ip_network(route["dst"]), one) for one in kept)
    ]


def _has_route(host: Host, cidr: str, route: dict[str, str]) -> bool:
    known = [(one["dst"], one["dev"]) for one in host.routes_inside(cidr)]
    return (route["dst"], route["dev"]) in known


def _policy_steps(host: Host, ranges: Sequence[str]) -> list[Step]:
    """What ipsec has beside its daemon: packets would still be encrypted, or not let in."""
    return [
        host.step(
            f"policy {one.way} of ipsec from {one.source} to {one.target}",
            [
                "ip",
                "xfrm",
                "policy",
                "delete",
                "src",
                one.source,
                "dst",
                one.target,
                "dir",
                one.way,
            ],
            functools.partial(_has_policy, host, range_, one),
        )
        for range_ in ranges
        for one in host.policies_inside(range_)
    ]


def _has_policy(host: Host, cidr: str, policy: xfrm.Policy) -> bool:
    return policy in host.policies_inside(cidr)


def _delegate_steps(path: str, cni_names: Collection[str]) -> list[Step]:
    """Take the delegates of networks out of the host's own CNI configuration."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RemovalError(
            f"The CNI configuration {path} is not JSON ({error}). {_ANEW}"
        ) from error
    delegates = content.get("delegates", []) if isinstance(content, dict) else None
    if not isinstance(delegates, list) or not all(isinstance(one, dict) for one in delegates):
        raise RemovalError(f"The CNI configuration {path} is none of the meta-plugin's. {_ANEW}")
    kept = [delegate for delegate in delegates if delegate.get("name") not in cni_names]
    if kept == delegates:
        return []
    if not kept:
        return path_steps([path])
    gone = ", ".join(delegate["name"] for delegate in delegates if delegate not in kept)
    text = json.dumps(dict(content, delegates=kept), indent=2) + "\n"
    return [Step(f"delegates {gone} of {path}", lambda: files.write(path, text, 0o644))]
