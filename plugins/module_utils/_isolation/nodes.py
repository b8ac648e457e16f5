# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes, whose packets the tunnels take, and the underlay that they come in by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._plan.ranges import parse_address
from .nft import FAMILIES, Family, any_of, ports_of

# The set of the devices that packets of nodes come in by: those by which a route leads to one.
UNDERLAY = "underlay_devices"
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
    """Read node addresses: a list of them, LEASES or TRUSTED. Raises ValueError with a sentence."""
    nodes = Nodes({4: [], 6: []}, declared == LEASES)
    if not declared or (isinstance(declared, str) and declared not in (LEASES, TRUSTED)):
        raise ValueError(
            f"node_addresses is {declared!r}; write {LEASES}, {TRUSTED}, or the list of the"
            " addresses that all nodes' tunnels use"
        )
    for text in [] if declared in (LEASES, TRUSTED) else declared:
        address = parse_address(text)
        if address is None:
            raise ValueError(
                f"node_addresses: {text!r} is not an IP address; write the address that the node's"
                " tunnels use, such as 192.168.7.11."
            )
        if str(address) not in nodes.addresses[address.version]:
            nodes.addresses[address.version].append(str(address))
    return nodes


def from_nodes(nodes: Nodes, networks: list[dict[str, Any]], then: str) -> list[str]:
    """Rules for what the nodes send to the tunnels of the networks whose nodes are known."""
    ports = ports_of(nodes.of_tunnels(networks))
    return [
        f"\tudp dport {any_of(ports)} {family.ip} saddr @nodes{family.suffix} {then}"
        for family in nodes.families
        if ports
    ]
