# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes, whose packets the tunnels take, and the underlay that they come in by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._plan.ranges import parse_address
from .._plan.sentences import show
from .nft import FAMILIES, Family, any_of, ports_of

# The set of the devices that packets of nodes come in by: the underlay's interface, and those by
# which a route leads to a node, but none that a CNI plugin may have made for a pod.
UNDERLAY = "underlay_devices"
# The same and those by which a route leads to addresses of networks: by which networks without a
# tunnel device reach other nodes.
ROUTED = "routed_devices"
# In the place of node addresses: those that flanneld makes ways to, by its leases, which the guard
# puts into the table; and the whole underlay.
LEASES, TRUSTED = "leases", "trusted"
# Backends whose other nodes the kernel knows. Those of wireguard and ipsec it knows by their keys.
FOLLOWED = ("vxlan", "ipip")


class Nodes(NamedTuple):
    """The nodes' underlay addresses."""

    addresses: dict[int, list[str]]  # version -> as declared
    followed: bool  # whether the guard finds them

    @property
    def families(self) -> list[Family]:
        """The families with a set of them: none when the underlay is trusted."""
        known = self.followed or any(self.addresses.values())
        return list(FAMILIES) if known else []

    def of_tunnels(self, networks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The networks whose tunnels take packets of these addresses alone."""
        if not self.families:
            return []
        return [one for one in networks if not self.followed or one["backend"]["type"] in FOLLOWED]


def declared_nodes(declared: Sequence[str] | str) -> Nodes:
    """Read isolation_node_addresses: a list of them, LEASES or TRUSTED. Raises ValueError with a
    sentence.
    """
    nodes = Nodes({4: [], 6: []}, declared == LEASES)
    is_list = isinstance(declared, Sequence) and not isinstance(declared, str)
    if not declared or not (is_list or declared in (LEASES, TRUSTED)):
        raise ValueError(
            f"isolation_node_addresses is {show(declared)}; write {LEASES}, {TRUSTED}, or the list"
            " of the addresses that all nodes' tunnels use."
        )
    for text in declared if is_list else ():
        address = parse_address(text)
        if address is None or not _is_of_a_node(address):
            raise ValueError(
                f"isolation_node_addresses: {show(text)} is not the IP address of a node; write the"
                " address that the node's tunnels use, such as 192.168.7.11."
            )
        if str(address) not in nodes.addresses[address.version]:
            nodes.addresses[address.version].append(str(address))
    return nodes


def _is_of_a_node(address: Any) -> bool:
    return not (
        address.is_loopback()
        or address.is_multicast()
        or address.is_link_local()
        or int(address) == 0
        or str(address) == "255.255.255.255"
    )


def check_ports(closed: Any) -> None:
    """Raise ValueError with a sentence unless isolation_closed_ports are TCP ports."""
    if not isinstance(closed, Sequence) or isinstance(closed, str):
        raise ValueError(
            f"isolation_closed_ports is {show(closed)}; write a list of TCP ports, or [] for none."
        )
    for port in closed:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
            raise ValueError(
                f"isolation_closed_ports holds {show(port)}; write TCP ports from 1 to 65535."
            )


def from_nodes(nodes: Nodes, networks: list[dict[str, Any]], then: str) -> list[str]:
    """Rules for what the nodes send to the tunnels of the networks whose nodes are known."""
    ports = ports_of(nodes.of_tunnels(networks))
    return [
        f"\tudp dport {any_of(ports)} {family.ip} saddr @nodes{family.suffix} {then}"
        for family in nodes.families
        if ports
    ]
