# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of Compass as Ansible's inventory: hosts with their variables and groups.

From what a user gives Compass (DHA and network.yml), or from what Compass made of it (the directory
of a run: inventories/inventory.json and group_vars/all), which has the last word on addresses.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from . import hosts as dha
from . import network as net
from .documents import CompassError, Document, read

EXPANSION = "compass_expansion"
# What Ansible has called these since version 2.
_SSH = {
    "ansible_ssh_host": "ansible_host",
    "ansible_ssh_user": "ansible_user",
    "ansible_ssh_port": "ansible_port",
}
_PASSWORD = "ansible_ssh_pass"


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a user chooses. connection, underlay: logical networks that Ansible, that tunnels use.

    nodes, etcd: roles whose hosts are in multinet_nodes, in multinet_etcd. password: whether the
    one that a run's inventory has is passed on.
    """

    connection: str = "mgmt"
    underlay: str = "mgmt"
    nodes: tuple[str, ...] = ("kube_master", "kube_node")
    etcd: tuple[str, ...] = ("etcd",)
    password: bool = False


@dataclasses.dataclass
class _Part:
    """What one deployment, or one expansion, says. addresses: host -> network -> address."""

    hosts: dha.HostFile
    network: net.NetworkFile
    addresses: dict[str, dict[str, str]]


def build(sources: list[dict[str, str]], wish: Wish) -> dict[str, Any]:
    """Return the inventory of a cluster.

    sources: the deployment, then its expansions in order; each has the paths `dha` and
    `network`, or `run_directory`. The result is {hosts: {name: {variable: value}}, groups:
    {name: [hosts]}, children: {name: [groups]}, vars: {variable: value}}. Raises CompassError.
    """
    line = net.Line()
    parts = [_part(source, line) for source in sources]
    first = parts[0]
    hosts: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        for host in part.hosts.hosts:
            if host.name in hosts:
                raise part.hosts.document.wrong(
                    (*host.place, "name"),
                    f"{host.name} is already a host of the cluster; an expansion may name only new"
                    " hosts. Remove it there.",
                )
            hosts[host.name] = _variables(part, host, wish)
            for group in [*host.roles, *([EXPANSION] if number else [])]:
                groups.setdefault(group, []).append(host.name)
    children = {
        ours: [role for role in roles if role in groups]
        for ours, roles in (("multinet_nodes", wish.nodes), ("multinet_etcd", wish.etcd))
    }
    if not children["multinet_nodes"]:
        raise first.hosts.document.wrong(
            ("hosts",), f"no host has one of the roles {', '.join(wish.nodes)}."
        )
    parameters = first.hosts.parameters
    ours = {name: value for name, value in parameters.items() if name.startswith("multinet_")}
    ranges = {str(network.cidr): None for part in parts for network in part.network.networks}
    return {
        "hosts": hosts,
        "groups": groups,
        "children": children,
        "vars": {
            "compass_cluster": {
                "name": first.hosts.cluster,
                "type": first.hosts.kind,
                "plugins": first.hosts.switches,
                "cluster_param": parameters,
                "vips": first.network.vips,
            },
            # no pod may have an address of the hosts' networks
            "multinet_forbidden_cidrs": list(ranges),
            **ours,
        },
    }


def _part(source: dict[str, str], line: net.Line) -> _Part:
    if "run_directory" in source:
        return _of_run(source["run_directory"], line)
    hosts = dha.read(read(source["dha"]))
    network = net.read(read(source["network"]))
    if hosts.kind == "baremetal":
        for host in hosts.hosts:
            _has_nics(host, network, hosts.document)
    return _Part(hosts, network, line.hand_out(network, [host.name for host in hosts.hosts]))


def _has_nics(host: dha.Host, network: net.NetworkFile, document: Document) -> None:
    slaves = {
        nic: ("bond_mappings",)
        for bond in network.bonds
        for nic in bond.slaves
        if host.name in bond.hosts
    }
    for nic, place in {**network.nics(), **slaves}.items():
        if nic not in host.nics:
            raise network.document.wrong(
                place,
                f"{nic} is used here, and {host.name} in {document.path} has no such NIC, but"
                f" {', '.join(host.nics)}. Add it there with its MAC, under interfaces.",
            )


def _of_run(directory: str, line: net.Line) -> _Part:
    """Read the directory of a run, as Compass leaves it in /var/ansible/run."""
    inventory = read(os.path.join(directory, "inventories", "inventory.json"))
    variables = read(os.path.join(directory, "group_vars", "all"))
    top = variables.mapping()
    network_cfg = Document(variables.path, variables.mapping(("network_cfg",)), {})
    network = net.read(network_cfg)
    found = variables.mapping(("ip_settings",))
    place = ("_meta", "hostvars")
    hosts = []
    addresses: dict[str, dict[str, str]] = {}
    for name, ssh in inventory.mapping(place).items():
        if name not in found:
            raise variables.wrong(
                ("ip_settings",),
                f"{name} is in {inventory.path} but has no addresses here: the two files do not"
                " belong to one run. Give the files of one run.",
            )
        roles = [
            group
            for group, members in inventory.mapping().items()
            if group != "_meta" and name in (members.get("hosts") or [])
        ]
        hosts.append(dha.Host(name, roles, {}, (*place, name), ssh))
        addresses[name] = {
            key: variables.string(("ip_settings", name, key, "ip"))
            for key in variables.mapping(("ip_settings", name))
        }
        for address in addresses[name].values():
            line.own(network, ("ip_settings",), address, name)
    return _Part(
        dha.HostFile(
            inventory,
            str(top.get("deploy_type") or "virtual"),
            str(top.get("cluster_name") or "opnfv"),
            # nothing else tells a plugin's switch from the other constants
            {str(key): value for key, value in top.items() if value == "Enable"},
            {str(key): str(value) for key, value in (top.get("cluster_param") or {}).items()},
            hosts,
        ),
        network,
        addresses,
    )


def _variables(part: _Part, host: dha.Host, wish: Wish) -> dict[str, Any]:
    """Return a host's variables; raise CompassError where it lacks a network that is wished."""
    networks = {
        network.name: _on_network(part, host, network)
        for network in part.network.networks
        if network.name in part.addresses[host.name]
    }
    for name in (wish.connection, wish.underlay):
        if name not in networks:
            raise part.network.document.wrong(
                ("ip_settings",),
                f"there is no network {name}, only {', '.join(networks)}: name one of these in"
                " connection_network and underlay_network.",
            )
    variables: dict[str, Any] = {
        "ansible_host": networks[wish.connection]["address"],
        "ansible_user": "root",
        "compass_networks": networks,
        "multinet_underlay_interface": networks[wish.underlay]["interface"],
        "multinet_node_address": networks[wish.underlay]["address"],
    }
    for theirs, today in _SSH.items():
        if theirs in host.ssh and (theirs != "ansible_ssh_host" or wish.connection == "mgmt"):
            variables[today] = host.ssh[theirs]
    if wish.password and _PASSWORD in host.ssh:
        variables["ansible_password"] = host.ssh[_PASSWORD]
    if host.nics:
        variables["compass_nics"] = host.nics
    return variables


def _on_network(part: _Part, host: dha.Host, network: net.Network) -> dict[str, Any]:
    """Return what a host has on one of its networks, as `compass_networks` says it."""
    one: dict[str, Any] = {
        "address": part.addresses[host.name][network.name],
        "cidr": str(network.cidr),
        "prefix": network.cidr.prefixlen,
        "interface": network.device,
    }
    if network.gateway:
        one["gateway"] = network.gateway
    if network.vlan:
        one["vlan"] = network.vlan
    for bond in part.network.bonds:
        if host.name in bond.hosts and network.nic in (bond.name, *bond.slaves):
            one["bond"] = {"name": bond.name, "slaves": bond.slaves, "mode": bond.mode}
            if bond.mtu:
                one["mtu"] = bond.mtu
    return one


__all__ = ["CompassError", "Wish", "build"]
