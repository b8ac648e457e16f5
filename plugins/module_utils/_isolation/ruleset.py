# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that keeps the networks of a plan apart, masquerades those that want it, and
guards the tunnels. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from .._libraries import need
from .._names import DOCKER_BRIDGE
from .._plan import pairs
from .._ports import ETCD_CLIENT, ETCD_PEER
from .._ranges import is_within
from .external import External, external_of, from_external
from .guard import from_networks, guard
from .masquerade import masquerade
from .nft import FAMILIES, families_of, named_set, ports_of, quoted, range_sets
from .nodes import LEASES, ROUTED, UNDERLAY, Nodes, check_ports, declared_nodes
from .sources import ENDS_OF_PODS, is_routed, sources

TABLE = "inet multinet"
# Declared first, so that the deletion finds a table on the first run too. The braces make it a file
# that guards of before do not take for theirs: they would load the sets that a guard fills, empty.
REPLACED = "add table {table} {{}}\ndelete table {table}\ntable {table}"
# TCP ports of nodes that no pod needs: whoever writes to the leases has the networks.
CLOSED_PORTS = (ETCD_CLIENT, ETCD_PEER)
# Sets of what tunnels that are not the networks' take in -> their type.
OTHERS = {"other_tunnel_ports": "inet_service", "other_tunnel_protocols": "inet_proto"}


def ruleset(
    plan: dict[str, Any],
    node_addresses: Sequence[str] | str = LEASES,
    docker_network: str = "",
    closed_ports: Sequence[int] = (),
    subnet_server_port: int = 0,
    underlay_interface: str = "",
) -> str:
    """Return the text for `nft -f` that puts the whole table `inet multinet` in place, in one
    transaction.

    plan: what plan() returns; of its networks `name`, `cidr`, `ipv6_cidr`, `backend`, `masquerade`,
    `bridge`, `device`, `device_v6`, `devices`, `tunnel_ports`, `tunnel_protocols` are read,
    `isolated` and `allowed`, of which the pairs follow that are not let through, and `external`,
    another CNI's network.
    node_addresses: underlay addresses of all nodes, and no one else's packets reach the tunnel
    ports; or LEASES, or nodes.TRUSTED.
    docker_network: name of the network that docker's own bridge of this host is in; empty: none.
    closed_ports: TCP ports of nodes, besides CLOSED_PORTS, that pods do not reach.
    subnet_server_port: where flanneld reaches the subnet server on loopback; 0: there is none.
    underlay_interface: by which this host reaches the others; the guard finds more.
    Raises ValueError with a sentence for a node address or a port that is none, or without netaddr.
    """
    need("netaddr")
    plan = dict(
        plan,
        networks=[
            _with_docker(network) if network["name"] == docker_network else network
            for network in plan["networks"]
        ],
    )
    networks = plan["networks"]
    nodes = declared_nodes(node_addresses)
    _check_outside(nodes, networks)
    check_ports(closed_ports)
    shut = pairs.shut(plan)
    reach = _reach(networks, shut)
    external = external_of(plan, shut)
    lines: list[str] = []
    lines += _sets(networks, nodes, closed_ports, underlay_interface)
    lines += sources(networks, reach, nodes)
    lines += guard(networks, nodes, external, subnet_server_port)
    lines += from_networks(networks, reach, external, nodes)
    lines += from_external(external)
    lines += masquerade(networks)
    body = "\n".join("\t" + line if line else "" for line in lines)
    replaced = REPLACED.format(table=TABLE)
    return f"{_header(networks, reach, external)}\n{replaced} {{\n{body}\n}}\n"


def _reach(
    networks: list[dict[str, Any]], shut: set[tuple[str, str]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the name of each network -> the other networks that it may open connections to.

    shut: pairs.shut() of the plan; what is not in it is open.
    """
    return {
        source["name"]: [
            target
            for target in networks
            if target is not source and (source["name"], target["name"]) not in shut
        ]
        for source in networks
    }


def _with_docker(network: dict[str, Any]) -> dict[str, Any]:
    """Docker's bridge is one more device of its network."""
    return dict(network, devices=network["devices"] + [DOCKER_BRIDGE])


def _header(
    networks: list[dict[str, Any]],
    reach: dict[str, list[dict[str, Any]]],
    external: External | None,
) -> str:
    lines = [
        "# Ansible managed: multinet.flannel writes this from multinet_networks; what is changed"
        " here by hand is lost.",
        f"# It keeps these networks apart (see what was dropped, and why: nft list table {TABLE}):",
    ]
    for network in networks:
        ranges = " ".join(network[family.cidr] for family in FAMILIES if network.get(family.cidr))
        targets = ", ".join(target["name"] for target in reach[network["name"]])
        lines.append(
            f"#   {network['name']}: {ranges}, devices {' '.join(network['devices'])}"
            + (f"; may open connections to {targets}" if targets else "")
        )
    if external:
        ranges = " ".join(
            external.network[family.cidr] for family in FAMILIES if external.network[family.cidr]
        )
        lines.append(
            f"#   {external.name}: {ranges}, another CNI's, kept apart from"
            f" {', '.join(one['name'] for one in external.apart)}"
        )
    return "\n".join(lines)


def _check_outside(nodes: Nodes, networks: list[dict[str, Any]]) -> None:
    """Raise ValueError with a sentence if a node's address is one of a network's pods."""
    for address in [one for of_version in nodes.addresses.values() for one in of_version]:
        for network in networks:
            for cidr in (network["cidr"], network["ipv6_cidr"]):
                if cidr and is_within(ip_network(address), ip_network(cidr)):
                    raise ValueError(
                        f"isolation_node_addresses: {address} is in the range of network"
                        f" {network['name']}; write the address that the node's tunnels use."
                    )


def _sets(
    networks: list[dict[str, Any]],
    nodes: Nodes,
    closed_ports: Sequence[int],
    underlay_interface: str,
) -> list[str]:
    lines = ["# Devices and ranges of all the networks, and what their tunnels listen on."]
    lines += named_set(
        "network_devices",
        "ifname",
        quoted([device for network in networks for device in network["devices"]]),
    )
    lines += range_sets("network_ranges", networks)
    lines += named_set("tunnel_ports", "inet_service", ports_of(networks))
    lines += named_set("closed_ports", "inet_service", sorted({*CLOSED_PORTS, *closed_ports}))
    lines += range_sets("masqueraded", [one for one in networks if one["masquerade"]])
    filled = ["nodes" + family.suffix for family in nodes.families if nodes.followed]
    ways = [UNDERLAY] if nodes.families else []
    if any(is_routed(one, family) for one in networks for family in families_of([one])):
        ways.append(ROUTED)
    filled += ways
    lines.append("# filled by the guard: " + " ".join([*filled, *OTHERS, ENDS_OF_PODS]))
    lines += named_set(ENDS_OF_PODS, "ifname", [])
    declared = quoted([underlay_interface] if underlay_interface else [])
    for name in ways:
        lines += named_set(name, "ifname", declared)
    for family in nodes.families:
        lines += named_set(
            "nodes" + family.suffix, family.set_type, nodes.addresses[family.version]
        )
    return lines + [line for name, kind in OTHERS.items() for line in named_set(name, kind, [])]
