# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 2 of 3 of the table `inet multinet`, which ruleset.py puts together: from network to
network, to nodes, and to tunnels. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .external import External, external_matches, forged, forged_to
from .icmp import against_errors, icmp_to_host
from .nft import (
    FAMILIES,
    Family,
    any_of,
    drop,
    families_of,
    in_ranges,
    prefixes_of,
    quoted,
    ranges_of,
    tunnel_matches,
    vmap,
)
from .nodes import ROUTED, UNDERLAY, Nodes, from_nodes
from .sources import is_routed

CLOSED = "tcp dport @closed_ports"

# Of packets whose sender chose the way: the targets that rules see are not all that they have, and
# a host sends its answer back by the same way. Of a source route that has come to its end, nftables
# cannot read an option, so that those that it can read are let through: router alert (IGMP) and
# record route.
CHOSEN_WAYS = (
    "exthdr rt exists",
    "ip option lsrr exists",
    "ip option ssrr exists",
    "ip hdrlength > 5 ip option ra missing ip option rr missing",
)

# A network card writes the checksum of a packet where that says, after all rules: any two octets
# behind the addresses of IPv4, such as a port, and any in a header of IPv6, which no checksum
# covers. So a packet that looks like VXLAN is dropped whatever its port, also for tunnels of
# others, and so is an IPv6 extension header, whose octets can become UDP.
VXLAN_MESSAGE = "@th,64,32 0x8000000"
VXLAN_GBP_MESSAGE = "@th,64,8 0x88 @th,96,32"  # and the VNI, as a policy may be anything
EXTENSIONS = "ip6 nexthdr { 0, 43, 51, 60 }"

PRIORITY_GUARD = -150  # ahead of the filter chains of others, after DNAT: the real target counts


def guard(
    networks: list[dict[str, Any]], nodes: Nodes, external: External | None, subnet_server_port: int
) -> list[str]:
    """The ways that a pod's packet can take here, through this host, to it, and out of it:
    from_<network> judges what came from a network, by device or source.
    """
    by_source = _by_address(networks, "saddr", "from_") + [
        f"\t{match} jump from_external" for match in external_matches(external, nodes, "saddr")
    ]
    by_target = _by_address(networks, "daddr", "towards_")
    origins = _origins(networks, external, nodes)
    return [
        *_forward(networks, nodes, by_target),
        *_input(networks, nodes),
        *_output(
            [*_of_tunnels(networks, nodes), *by_source, *by_target],
            origins[1:] if nodes.families else [],
            subnet_server_port,
        ),
        *_out_of_tunnel(nodes),
        *_towards(networks),
        *_to_node(networks, nodes),
        *_by_device_and_source(networks, by_source, forged_to(external, nodes)),
        *_to_tunnel(networks, nodes, origins),
        *_to_closed_port(origins),
        *_chosen_way(origins + forged(external, nodes)),
        *icmp_to_host(networks, origins + forged(external, nodes)),
    ]


def _origins(networks: list[dict[str, Any]], external: External | None, nodes: Nodes) -> list[str]:
    """Expressions, each of which matches what came from a pod."""
    return [
        "iifname @network_devices",
        *(
            match
            for family in families_of(networks)
            for match in in_ranges(networks, family, "saddr")
        ),
        *external_matches(external, nodes, "saddr"),
    ]


def _by_device(networks: Sequence[dict[str, Any]], chains: str) -> list[tuple[str, str]]:
    """Return what vmap() takes: each device of a network leads to its chain. chains: how the names
    of these begin.
    """
    return [
        (device, f"jump {chains}{network['name']}")
        for network in networks
        for device in quoted(network["devices"])
    ]


def _by_address(networks: Sequence[dict[str, Any]], key: str, chains: str) -> list[str]:
    """Rules by which each range of a network leads to its chain. key: saddr or daddr; chains: how
    the names of these begin.
    """
    return [
        f"\t{prefixes.of(family, key)} "
        + vmap([(address, f"jump {chains}{one['name']}") for address, one in prefixes.found])
        for family in FAMILIES
        for prefixes in prefixes_of(networks, family)
    ]


def _towards(networks: list[dict[str, Any]]) -> list[str]:
    """What is for a network leaves by the network's devices, or, where it has no tunnel device, by
    those to other nodes: a route of the host may lead elsewhere, as a CNI plugin makes one to
    whatever address somebody gives a pod.
    """
    lines = []
    for network in networks:
        routed = any(is_routed(network, family) for family in families_of([network]))
        match = f"oifname != {any_of(quoted(network['devices']))}"
        match += f" oifname != @{ROUTED}" if routed else ""
        rule = drop(match, f"{network['name']}: to its addresses, but out by a device of others")
        lines += ["", f"chain towards_{network['name']} {{", "\t" + rule, "}"]
    return lines


def _forward(networks: list[dict[str, Any]], nodes: Nodes, by_target: list[str]) -> list[str]:
    return [
        "",
        "# 2. From network to network: through this host (forward), and to its own addresses in"
        " another network (input).",
        "chain forward {",
        f"\ttype filter hook forward priority {PRIORITY_GUARD}; policy accept;",
        "\t# first what nearly all packets are: what stays in its network, by one look",
        "\tiifname . oifname "
        + vmap(
            [
                (f'"{came}" . "{goes}"', "jump within_" + network["name"])
                for network in networks
                for came in network["devices"]
                for goes in network["devices"]
            ]
        ),
        *_chosen_ways(),
        "\t# from pods of nodes to which there is no tunnel device",
        "\tmeta l4proto { icmp, ipv6-icmp } oifname " + vmap(_by_device(networks, "errors_in_")),
        "\tjump guard",
        *by_target,
        *_to_another_node(networks, nodes),
        "}",
    ]


def _to_another_node(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    """What this host does not send on to another node: masquerade would have it come from here."""
    matches = tunnel_matches(nodes.of_tunnels(networks))
    lines = []
    for family in nodes.families:
        to_node = f"{family.ip} daddr @nodes{family.suffix}"
        lines += [f"\t{match} {to_node} jump into_tunnel" for match in matches]
        lines += [
            f"\t{CLOSED} {to_node} jump to_closed_port",
            f"\t{family.too_big} {to_node} jump misled",
        ]
    return [*lines, *([f"\tiifname != @{UNDERLAY} jump to_node"] if nodes.families else [])]


def _to_node(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    why = "to a node: a network card could make a tunnel's message of it"
    rules = [
        drop(f"{match} {family.ip} daddr @nodes{family.suffix}", why)
        for family in nodes.families
        for match in _becomes_a_message(networks, family)
    ]
    return ["", "chain to_node {", *("\t" + rule for rule in rules), "}"] if rules else []


def _becomes_a_message(networks: list[dict[str, Any]], family: Family) -> list[str]:
    """Expressions that match what a network card can make a tunnel's message of."""
    backends = [one["backend"] for one in networks if one["backend"].get("gbp")]
    vnis = sorted({f"{one['vni'] << 8:#x}" for one in backends})
    return [
        VXLAN_MESSAGE,
        *([f"{VXLAN_GBP_MESSAGE} {any_of(vnis)}"] if vnis else []),
        *([EXTENSIONS] if family.version == 6 else []),
    ]


def _input(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    return [
        "",
        "chain input {",
        f"\ttype filter hook input priority {PRIORITY_GUARD}; policy accept;",
        '\tiifname "lo" accept',
        "\t# no device of a network brings in the address of a node (1)",
        *from_nodes(nodes, networks, f"iifname @{UNDERLAY} accept"),
        *(f"\t{match} goto into_tunnel" for match in tunnel_matches(networks)),
        "\t# what pods may not do with the host itself",
        *_chosen_ways(),
        f"\t{CLOSED} jump to_closed_port",
        "\t"
        + drop("iifname @network_devices ip daddr 127.0.0.0/8", "a pod to the host's loopback"),
        "\tmeta l4proto { icmp, ipv6-icmp } jump icmp_to_host",
        "\tjump guard",
        "}",
    ]


def _of_tunnels(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    """What this host's own tunnels send leaves by the underlay, whatever a route to a node says."""
    return [
        f"\t{match} oifname != @{UNDERLAY} jump out_of_tunnel"
        for match in tunnel_matches(nodes.of_tunnels(networks))
    ]


def _out_of_tunnel(nodes: Nodes) -> list[str]:
    why = "from a tunnel to a node, but out by a device of others"
    rules = [drop(f"{one.ip} daddr @nodes{one.suffix}", why) for one in nodes.families]
    return ["", "chain out_of_tunnel {", *("\t" + rule for rule in rules), "}"] if rules else []


def _output(by_address: list[str], sources: list[str], subnet_server_port: int) -> list[str]:
    """IPVS takes what is for the address of a Service in on input, and sends it on through output
    with the pod as its source; forward does not see it.

    Any user of this host may listen at the subnet server's port while that is not running, and open
    connections to it faster than it accepts them.
    """
    impostor = f"tcp sport {subnet_server_port} meta skuid != 0"
    answers = "another user answered in the place of the subnet server"
    flood = (
        f"tcp dport {subnet_server_port} tcp flags & (syn | ack) == syn meta skuid != 0"
        " limit rate over 50/second burst 50 packets"
    )
    floods = "another user opened too many connections to the subnet server"
    own = [drop(f'oifname "lo" {impostor}', answers), drop(f'oifname "lo" {flood}', floods)]
    return [
        "",
        "# A pod's address as source of what this host sends: IPVS did that, with what the pod"
        " sent to a Service.",
        "chain output {",
        f"\ttype filter hook output priority {PRIORITY_GUARD}; policy accept;",
        *("\t" + rule for rule in own if subnet_server_port),
        '\toifname "lo" return',
        *(
            "\t" + drop(f"{family.redirect} oifname @network_devices", "redirects nobody")
            for family in FAMILIES
        ),
        *by_address,
        *(f"\t{source} jump to_node" for source in sources),
        "}",
    ]


def _by_device_and_source(
    networks: list[dict[str, Any]], by_source: list[str], against_forged: list[str]
) -> list[str]:
    """The chain that forward and input jump to."""
    return [
        "",
        "chain guard {",
        "\tiifname " + vmap([('"lo"', "return"), *_by_device(networks, "from_")]),
        *by_source,
        *against_forged,
        "\t# tunnels are at addresses of nodes, so what stays in its network needs no look",
        *(f"\t{match} jump to_tunnel" for match in tunnel_matches(networks)),
        "\tudp dport @other_tunnel_ports jump to_tunnel",
        "\tmeta l4proto @other_tunnel_protocols jump to_tunnel",
        "}",
    ]


def _to_tunnel(networks: list[dict[str, Any]], nodes: Nodes, origins: list[str]) -> list[str]:
    """Who may not speak to a tunnel: hosts that are no nodes, and pods, be it as a node.

    The tunnels of VXLAN and udp believe whoever speaks to them, at any address of any node.
    """
    lines = ["", "chain into_tunnel {", "\tjump to_tunnel"]
    for match in tunnel_matches(nodes.of_tunnels(networks)):
        lines += [
            "\t"
            + drop(
                f"{match} {family.ip} saddr != @nodes{family.suffix}",
                "to a tunnel, from a host that is no node",
            )
            for family in nodes.families
        ]
        if nodes.families:
            lines.append(
                "\t"
                + drop(f"{match} iifname != @{UNDERLAY}", "to a tunnel, as a node, from elsewhere")
            )
    lines += ["}", "", "chain to_tunnel {"]
    lines += ["\t" + drop(origin, "a pod to a tunnel") for origin in origins]
    return [*lines, "}"]


def _to_closed_port(origins: list[str]) -> list[str]:
    rules = ["\t" + drop(origin, "a pod to a closed port of a node") for origin in origins]
    return ["", "chain to_closed_port {", *rules, "}"]


def _chosen_ways() -> list[str]:
    return [f"\t{match} jump chosen_way" for match in CHOSEN_WAYS]


def _chosen_way(origins: list[str]) -> list[str]:
    """What pods have routed over hosts by a source route, or by a routing header of IPv6: where a
    host takes such, the next target may be an address of its own, which no rule sees then.
    """
    rules = ["\t" + drop(origin, "a pod chose the way (source route)") for origin in origins]
    return ["", "chain chosen_way {", *rules, "}"]


def from_networks(
    networks: list[dict[str, Any]],
    reach: dict[str, list[dict[str, Any]]],
    external: External | None,
    nodes: Nodes,
) -> list[str]:
    """For each network the chains of what stays in it (errors_in_, within_) and of all that came
    from it (from_). reach: as sources() takes it.
    """
    lines: list[str] = []
    for network in networks:
        name = network["name"]
        within = [
            f"{family.ip} saddr {cidr} {family.ip} daddr {cidr} accept"
            for family in FAMILIES
            for cidr in ranges_of([network], family)
        ]
        # not in output: a host tells its pods of targets anywhere
        why = f"{name}: a pod's ICMP error about what is not the network's"
        errors = against_errors(network, why, by_source=True)
        lines += ["", f"chain errors_in_{name} {{", *("\t" + rule for rule in errors), "}"]
        lines += ["", f"chain within_{name} {{"]
        lines += [f"\t{one.icmp} jump errors_in_{name}" for one in families_of([network])]
        lines += [*("\t" + rule for rule in within), "}"]
        own = any_of(quoted(network["devices"]))
        lines += ["", f"chain from_{name} {{", *(f"\toifname {own} {rule}" for rule in within)]
        lines += _answers(network, networks, reach)
        lines += _to_other_networks(network, networks, [network, *reach[name]])
        if external and network in external.apart:
            lines += [
                "\t" + drop(match, f"{name}: to an address of {external.name}")
                for match in external_matches(external, nodes, "daddr")
            ]
        lines.append("}")
    return lines


def _answers(
    network: dict[str, Any], networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]]
) -> list[str]:
    """Rules that let a network answer those that may reach it, and that it may not reach."""
    name = network["name"]
    return [
        f"\tct state established,related ct direction reply {family.ip} daddr"
        f' {asker[family.cidr]} return comment "answers to {asker["name"]}, which may reach {name}"'
        for asker in networks
        if network in reach[asker["name"]] and asker not in reach[name]
        for family in FAMILIES
        if asker.get(family.cidr)
    ]


def _to_other_networks(
    network: dict[str, Any], networks: list[dict[str, Any]], targets: list[dict[str, Any]]
) -> list[str]:
    """Rules against what goes from a network to another one; targets: those that it may reach, and
    itself.
    """
    name = network["name"]
    devices = any_of(quoted([device for target in targets for device in target["devices"]]))
    to_device = f"oifname @network_devices oifname != {devices}"
    lines = ["\t" + drop(to_device, f"{name}: to a device of another network")]
    for family in families_of(networks):
        mine = "".join(f" {family.ip} daddr != {cidr}" for cidr in ranges_of(targets, family))
        lines += [
            "\t" + drop(match + mine, f"{name}: to an address of another network")
            for match in in_ranges(networks, family, "daddr")
        ]
    return lines
