# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table of the networks' bridges: what their ports may send. Pure.

A port that CNI attached sends with the MAC and the addresses that it was given. Of any other port
nothing is known but its bridge, so its addresses are the network's. The guard finds the ports and
fills the maps and sets (roles/isolation/files/isolation.py:Ports), because kernels without
nft_meta_bridge do not tell the bridge of a port. What is sent decides here, and not to whom: a pod
may send anywhere, and what is routed is the table `inet multinet`'s.
"""

from __future__ import annotations

import textwrap
from typing import Any

from .._names import DOCKER_BRIDGE
from .._plan import pairs
from .icmp import against_errors
from .nft import FAMILIES
from .ruleset import REPLACED

TABLE = "bridge multinet"

# 802.1Q and 802.1ad, as numbers: nft 0.9 takes their names for the beginning of a number
_TAG, _TAGS = "0x8100", "{ 0x8100, 0x88a8 }"

# The hooks come ahead of br_netfilter (0), which hands frames to the IP tables, and of anybody's
# rules. The bridge learns a frame's MAC only after them.
_SETS = """\
# Which chain judges what a port sends to others of its bridge and to the host, and what to
# others of its bridge alone.
map ports {
    type ifname : verdict
}
map bridged {
    type ifname : verdict
}
# what CNI gave each port
set macs {
    type ifname . ether_addr
}
set addresses {
    type ifname . ether_addr . ipv4_addr
}
set addresses6 {
    type ifname . ether_addr . ipv6_addr
}
# addresses6 again, to compare with what a neighbour advertisement is about; where nft cannot do
# that, the guard leaves it out, and what speaks of it (isolation.py:TARGETS)
set targets {
    typeof iifname . @th,64,128
}

chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname vmap @ports
}

chain forward {
    type filter hook forward priority -300; policy accept;
    iifname vmap @bridged
}
"""

_SHARED = """\
# Of a port that CNI attached: what is neither IPv4 nor IPv6 from an address of its own.
chain without_own_address {
    iifname . ether saddr != @macs counter drop comment "a pod used a MAC that is not its own"
    iifname . arp saddr ether . arp saddr ip @addresses accept
    arp saddr ip 0.0.0.0 iifname . ether saddr . arp daddr ip @addresses accept
    # the search for a duplicate of its own address, and the groups it listens to meanwhile
    ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @targets accept
    ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report } accept
    ether type arp counter drop comment "a pod claimed an address that is not its own (ARP)"
    counter drop comment "a pod used a source address that is not its own"
}

chain from_own_address {
    meta l4proto tcp accept
    udp sport { 67, 547 } counter drop comment "a pod answered as a DHCP server"
    meta l4proto vmap { udp : accept, icmp : goto redirects, ipv6-icmp : goto neighbours }
    meta l4proto igmp goto queriers
}

chain from_any_address {
    udp sport { 67, 547 } counter drop comment "a pod answered as a DHCP server"
    meta l4proto vmap { udp : accept, icmp : goto redirects, ipv6-icmp : goto routers }
    meta l4proto igmp goto queriers
}

chain redirects {
    icmp type redirect counter drop comment "a pod redirected others (ICMP)"
    icmp type router-advertisement counter drop comment "a pod advertised itself as a router"
}

chain neighbours {
    icmpv6 type != nd-neighbor-advert goto routers
    iifname . @th,64,128 @targets accept
    counter drop comment "a pod claimed an address that is not its own (ND)"
}

# Who asks for members decides to whom the bridge sends what is for a group, such as the search for
# a neighbour.
chain queriers {
    igmp type membership-query counter drop comment "a pod asked for members of groups (IGMP)"
}

chain routers {
    icmpv6 type mld-listener-query counter drop comment "a pod asked for members of groups (MLD)"
    icmpv6 type nd-router-advert counter drop comment "a pod advertised itself as a router"
    icmpv6 type nd-redirect counter drop comment "a pod redirected others (ICMPv6)"
}
"""


def table(plan: dict[str, Any], docker_network: str = "") -> str:
    """Return the text for `nft -f` that puts the whole table `bridge multinet` in place, without
    ports.

    Each bridge has the chains `any_<bridge>`, for ports that somebody attached, `within_<bridge>`,
    `errors_<bridge>`, and unless its network allows spoofing `given_<bridge>`, for ports that CNI
    attached.
    plan: what plan() returns; of its networks `name`, `cidr`, `ipv6_cidr`, `bridge`, `spoofing`,
    `delegate` are read, `external`, another CNI's network, and what keeps them apart
    (`_plan/pairs.py`). docker_network: name of the network that docker's own bridge of this host is
    in; empty: none.
    """
    shut = pairs.shut(plan)
    parts = [_within_table(_SETS)]
    all_networks = [*plan["networks"], *([plan["external"]] if plan.get("external") else [])]
    for network in plan["networks"]:
        others = [one for one in all_networks if (network["name"], one["name"]) in shut]
        kinds = _kinds(network) + _asks(network, others)
        docker = [DOCKER_BRIDGE] if network["name"] == docker_network else []
        for bridge in [network["bridge"], *docker]:
            if network["spoofing"] == "blocked":
                parts.append(_chain("given_" + bridge, _given(kinds)))
            parts.append(_chain("any_" + bridge, kinds + _any(network)))
            parts.append(_chain("errors_" + bridge, _errors(network, others)))
            parts.append(_chain("within_" + bridge, _within(network, others, bridge)))
    body = "\n".join([*parts, _within_table(_SHARED)])
    return (
        "# What the ports of their bridges may send (see what was dropped, and why: nft list table"
        f" {TABLE}):\n{REPLACED.format(table=TABLE)} {{\n{body}}}\n"
    )


def _within_table(text: str) -> str:
    """Indent a text as nft does."""
    return textwrap.indent(text.replace("    ", "\t"), "\t")


# First what nearly all packets are. A tag is an ether type of its own.
_GIVEN = [
    "ether type ip iifname . ether saddr . ip saddr @addresses goto from_own_address",
    "ether type ip6 iifname . ether saddr . ip6 saddr @addresses6 goto from_own_address",
]


def _given(kinds: list[str]) -> list[str]:
    """Rules for a port that CNI attached. kinds: those for any port."""
    return [*_GIVEN, *kinds, "goto without_own_address"]


def _kinds(network: dict[str, Any]) -> list[str]:
    """Rules against frames that no IP table would look into."""
    # a trunk has VLANs, and no tag without one (VID 0)
    trunk = (
        [f"ether type {_TAG} vlan id != 0 accept"] if network["delegate"].get("vlanTrunk") else []
    )
    return [
        *trunk,
        _drop(f"ether type {_TAGS}", network, "a pod sent a frame with a VLAN tag"),
        _drop("ether type != { ip, arp, ip6 }", network, "a pod sent what is neither IP nor ARP"),
    ]


def _any(network: dict[str, Any]) -> list[str]:
    """Rules against addresses that are not the network's."""
    lines = []
    if not network["delegate"].get("vlan"):  # where the gateway is a port, too
        used = "a pod used an address that is not the network's"
        v4, v6 = ([network[key]] if network[key] else [] for key in ("cidr", "ipv6_cidr"))
        for match, ranges in (
            ("ip saddr", v4),
            ("arp saddr ip", ["0.0.0.0", *v4]),
            ("ip6 saddr", ["::", "fe80::/10", *v6]),
        ):
            lines.append(_drop(f"{match} != {{ {', '.join(ranges)} }}", network, used))
    return [*lines, "goto from_any_address"]


def _asks(network: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """Rules against questions for addresses of other networks: the host would answer for those that
    it has there, and a neighbour, too.
    """
    ranges = ", ".join(other["cidr"] for other in others if other["cidr"])
    why = "asked for an address of another network (ARP)"
    return [_drop(f"arp daddr ip {{ {ranges} }}", network, why)] if ranges else []


def _errors(network: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """Rules against what a neighbour in the network says of a pod's ways in another one."""
    why = f"{network['name']}: an ICMP error about what is not the network's"
    return against_errors(network, why, by_source=False) if others else []


def _within(network: dict[str, Any], others: list[dict[str, Any]], bridge: str) -> list[str]:
    """Rules against what a neighbour in the network sends to an address that a pod has in another
    network, or says of that pod's ways there: the pod would take it.
    """
    drops = []
    for match, key in (("ip daddr", "cidr"), ("ip6 daddr", "ipv6_cidr")):
        ranges = ", ".join(other[key] for other in others if other[key])
        if ranges:
            why = "to an address of another network, by a neighbour in this one"
            drops.append(_drop(f"{match} {{ {ranges} }}", network, why))
    # first what nearly all packets are
    own = [
        f"ether type {kind} {kind} daddr {network[key]} accept"
        for kind, key in (("ip", "cidr"), ("ip6", "ipv6_cidr"))
        if network[key]
    ]
    errors = [f"{family.icmp} jump errors_{bridge}" for family in FAMILIES]
    return [*errors, *own, *drops] if drops else []


def _drop(match: str, network: dict[str, Any], reason: str) -> str:
    return f'{match} counter drop comment "{network["name"]}: {reason}"'


def _chain(name: str, lines: list[str]) -> str:
    return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"
