# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that keeps the networks of a plan apart, masquerades those that want it, and
guards the tunnels. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._libraries import need
from .._plan.ranges import parse_address

TABLE = "inet multinet"
DOCKER_BRIDGE = "docker0"

# What is dropped at any priority is dropped for good; ours come early so that the counters here
# tell why, and nothing after us sees it.
PRIORITY_SOURCES = -290  # after raw, ahead of connection tracking: no entry for a forged packet
PRIORITY_GUARD = -150  # ahead of the filter chains of others, after DNAT: the real target counts
PRIORITY_MASQUERADE = 95  # just ahead of srcnat


class Family(NamedTuple):
    """What differs between the two IP families in the rules."""

    ip: str  # keyword of the header
    suffix: str  # of the names of sets
    set_type: str
    cidr: str  # key of a network's range in the plan
    device: str  # key of the tunnel device that carries the family
    version: int
    multicast: str
    own: tuple[str, ...]  # sources that every interface may use


FAMILIES = (
    Family("ip", "", "ipv4_addr", "cidr", "device", 4, "224.0.0.0/4", ()),
    # Neighbour discovery: the unspecified address while it looks for duplicates, link-local
    # afterwards.
    Family("ip6", "6", "ipv6_addr", "ipv6_cidr", "device_v6", 6, "ff00::/8", ("::", "fe80::/10")),
)


def ruleset(
    plan: dict[str, Any], node_addresses: Sequence[str] = (), docker_network: str = ""
) -> str:
    """Return the text for `nft -f` that puts the whole table `inet multinet` in place, in one
    transaction.

    plan: what plan() returns; of its networks `name`, `cidr`, `ipv6_cidr`, `backend`, `masquerade`,
    `bridge`, `device`, `device_v6`, `devices`, `tunnel_ports`, `tunnel_protocols` are read,
    `blocked`, the ordered pairs that are not let through, and `external`, another CNI's network.
    node_addresses: underlay addresses of all nodes; when there are any, no one else's packets reach
    the tunnel ports.
    docker_network: name of the network that docker's own bridge of this host is in; empty: none.
    Raises ValueError with a sentence for a node address that is none, or without netaddr.
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
    nodes = _by_version(node_addresses)
    reach = _reach(plan)
    external = _external(plan)
    lines: list[str] = []
    lines += _sets(networks, nodes)
    lines += _sources(networks, reach)
    lines += _guard(networks, nodes, external)
    lines += _from_networks(networks, reach, external, nodes)
    lines += _from_external(external)
    lines += _masquerade(networks)
    body = "\n".join("\t" + line if line else "" for line in lines)
    # Declared first, so that the deletion finds a table on the first run too.
    return (
        f"{_header(networks, reach, external)}\ntable {TABLE}\ndelete table {TABLE}\ntable {TABLE}"
        f" {{\n{body}\n}}\n"
    )


def _reach(plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Name of a network -> the other networks that it may open connections to.

    What is not in `blocked` is open.
    """
    blocked = {tuple(pair) for pair in plan["blocked"]}
    return {
        source["name"]: [
            target
            for target in plan["networks"]
            if target is not source and (source["name"], target["name"]) not in blocked
        ]
        for source in plan["networks"]
    }


def _with_docker(network: dict[str, Any]) -> dict[str, Any]:
    return dict(
        network, devices=network["devices"] + [DOCKER_BRIDGE], other_bridges=[DOCKER_BRIDGE]
    )


class External(NamedTuple):
    """The network of another CNI, known by its ranges alone, and the networks that are kept apart
    from it.
    """

    name: str
    network: dict[str, Any]
    apart: list[dict[str, Any]]


def _external(plan: dict[str, Any]) -> External | None:
    """None when there is none, or nothing is kept apart from it."""
    network = plan.get("external")
    if not network:
        return None
    blocked = {source for source, target in plan["blocked"] if target == network["name"]}
    apart = [one for one in plan["networks"] if one["name"] in blocked]
    return External(network["name"], network, apart) if blocked else None


def _by_version(addresses: Sequence[str]) -> dict[int, list[str]]:
    nodes: dict[int, list[str]] = {4: [], 6: []}
    for text in addresses:
        address = parse_address(text)
        if address is None:
            raise ValueError(
                f"node_addresses: {text!r} is no IP address; write the address that the node's"
                " tunnels use, such as 192.168.7.11."
            )
        if str(address) not in nodes[address.version]:
            nodes[address.version].append(str(address))
    return nodes


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


# Pieces of nft's language


def _quoted(devices: Sequence[str]) -> list[str]:
    return [f'"{device}"' for device in devices]


def _braces(elements: Sequence[Any]) -> str:
    return "{ " + ", ".join(str(element) for element in elements) + " }"


def _any_of(elements: Sequence[Any]) -> str:
    return str(elements[0]) if len(elements) == 1 else _braces(elements)


def _set(name: str, kind: str, elements: Sequence[Any], interval: bool = False) -> list[str]:
    lines = [f"set {name} {{", f"\ttype {kind}"]
    if interval:
        lines.append("\tflags interval")
    if elements:
        lines.append("\telements = " + _braces(elements))
    return lines + ["}"]


def _vmap(targets: Sequence[tuple[str, str]]) -> str:
    return "vmap " + _braces([f"{key} : {verdict}" for key, verdict in targets])


def _drop(match: str, reason: str) -> str:
    return f'{match} counter drop comment "{reason}"'.lstrip()


def _ranges(networks: Sequence[dict[str, Any]], family: Family) -> list[str]:
    return [network[family.cidr] for network in networks if network.get(family.cidr)]


def _families(networks: Sequence[dict[str, Any]]) -> list[Family]:
    """The families that any of the networks has a range of."""
    return [family for family in FAMILIES if _ranges(networks, family)]


def _protocols(networks: list[dict[str, Any]]) -> list[int]:
    """Numbers of the IP protocols that tunnels other than UDP ones use (4 ipip, 50 ESP)."""
    return sorted(
        {number for network in networks for number in network.get("tunnel_protocols") or []}
    )


def _tunnel_matches(networks: list[dict[str, Any]]) -> list[str]:
    """Expressions, each of which matches packets that a tunnel of this host would take in."""
    matches = []
    if any(network["tunnel_ports"] for network in networks):
        matches.append("udp dport @tunnel_ports")
    if _protocols(networks):
        matches.append("meta l4proto " + _any_of(_protocols(networks)))
    return matches


# The parts of the table


def _sets(networks: list[dict[str, Any]], nodes: dict[int, list[str]]) -> list[str]:
    lines = ["# Devices and ranges of all the networks, and what their tunnels listen on."]
    lines += _set(
        "network_devices",
        "ifname",
        _quoted([device for network in networks for device in network["devices"]]),
    )
    for family in _families(networks):
        lines += _set(
            "network_ranges" + family.suffix,
            family.set_type,
            _ranges(networks, family),
            interval=True,
        )
    lines += _set(
        "tunnel_ports",
        "inet_service",
        sorted({port for network in networks for port in network["tunnel_ports"]}),
    )
    if any(nodes.values()):
        for family in FAMILIES:
            lines += _set("nodes" + family.suffix, family.set_type, nodes[family.version])
    masqueraded = [network for network in networks if network["masquerade"]]
    for family in _families(masqueraded):
        lines += _set(
            "masqueraded" + family.suffix,
            family.set_type,
            _ranges(masqueraded, family),
            interval=True,
        )
    return lines


def _sources(networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Who may use which source address.

    Later chains, and everybody who filters by address, can rely on it.
    """
    by_device = [('"lo"', "accept")]
    chains: list[str] = []
    elsewhere: list[str] = []
    for network in networks:
        name = network["name"]
        # A packet of an open pair travels in the tunnel of its target, and its answer in that of
        # its source.
        peers = reach[name] + [
            other
            for other in networks
            if network in reach[other["name"]] and other not in reach[name]
        ]
        bridges = [network["bridge"]] + network.get("other_bridges", [])
        by_device += [(f'"{bridge}"', "goto pods_of_" + name) for bridge in bridges]
        chains += ["", f"chain pods_of_{name} {{"]
        chains += _accept_sources([network])
        chains += [
            "\t" + _drop("", f"{name}: a pod used a source address that is not the network's"),
            "}",
        ]
        tunnels = [device for device in network["devices"] if device not in bridges]
        if tunnels:
            by_device += [(f'"{device}"', "goto tunnel_of_" + name) for device in tunnels]
            chains += ["", f"chain tunnel_of_{name} {{"]
            chains += _accept_sources([network] + peers)
            chains += [
                "\t"
                + _drop(
                    "",
                    f"{name}: came out of the tunnel with a source address that is not the"
                    " network's",
                ),
                "}",
            ]
        for family in FAMILIES:
            if network.get(family.cidr) and _is_routed(network, family):
                elsewhere.append(f"\t{family.ip} saddr {network[family.cidr]} accept")
                others = _ranges(peers, family)
                if others:
                    elsewhere.append(
                        f"\t{family.ip} daddr {network[family.cidr]} {family.ip} saddr"
                        f" {_any_of(others)} accept"
                    )
    lines = [
        "",
        "# 1. Source addresses: each device brings in its own network's only.",
        "chain sources {",
        f"\ttype filter hook prerouting priority {PRIORITY_SOURCES}; policy accept;",
        "\tiifname " + _vmap(by_device),
    ]
    if elsewhere:
        lines += [
            "\t# networks that reach other nodes through the underlay itself, without a tunnel"
            " device"
        ] + elsewhere
    lines += [
        "\t"
        + _drop(
            f"{family.ip} saddr @network_ranges{family.suffix}",
            "a network's address as source, but not from one of its devices",
        )
        for family in _families(networks)
    ]
    return lines + ["}"] + chains


def _is_routed(network: dict[str, Any], family: Family) -> bool:
    """Whether packets between nodes may arrive on a device that is not the network's own (host-gw,
    ipsec, udp, direct routing).
    """
    return not network.get(family.device) or bool(network["backend"].get("direct_routing"))


def _accept_sources(networks: list[dict[str, Any]]) -> list[str]:
    return [
        f"\t{family.ip} saddr {_any_of(list(family.own) + _ranges(networks, family))} accept"
        for family in FAMILIES
        if family.own or _ranges(networks, family)
    ]


def _guard(
    networks: list[dict[str, Any]], nodes: dict[int, list[str]], external: External | None
) -> list[str]:
    """The ways that a pod's packet can take here, through this host, to it, and out of it:
    from_<network> judges what came from a network, by device or source.

    IPVS takes what is for the address of a Service in on input, and sends it on through output with
    the pod as its source; forward does not see it.
    """
    lines = [
        "",
        "# 2. From network to network: through this host (forward), and to its own addresses in"
        " another network (input).",
        "chain forward {",
        f"\ttype filter hook forward priority {PRIORITY_GUARD}; policy accept;",
        "\tjump guard",
        "}",
        "",
        "chain input {",
        f"\ttype filter hook input priority {PRIORITY_GUARD}; policy accept;",
        "\tjump guard",
    ]
    if any(nodes.values()):
        lines += [
            "\t"
            + _drop(
                f"{match} {family.ip} saddr != @nodes{family.suffix}",
                "to a tunnel, from a host that is no node",
            )
            for match in _tunnel_matches(networks)
            for family in FAMILIES
        ]
    foreign = _external_matches(external, nodes, "saddr")
    by_source = [
        f"\t{family.ip} saddr "
        + _vmap(
            [
                (network[family.cidr], "jump from_" + network["name"])
                for network in networks
                if network.get(family.cidr)
            ]
        )
        for family in _families(networks)
    ] + ["\t" + match + " jump from_external" for match in foreign]
    lines += [
        "}",
        "",
        "# A pod's address as source of what this host sends: IPVS did that, with what the pod"
        " sent to a Service.",
        "chain output {",
        f"\ttype filter hook output priority {PRIORITY_GUARD}; policy accept;",
        '\toifname "lo" return',
    ] + by_source
    lines += ["}", "", "chain guard {", '\tiifname "lo" return']
    origins = ["iifname @network_devices"] + [
        f"{family.ip} saddr @network_ranges{family.suffix}" for family in _families(networks)
    ]
    origins += foreign
    # The tunnels of VXLAN and udp believe whoever speaks to them, at any address of any node.
    lines += [
        "\t" + _drop(f"{origin} {match}", "a pod to a tunnel")
        for match in _tunnel_matches(networks)
        for origin in origins
    ]
    if networks:
        lines.append(
            "\tiifname "
            + _vmap(
                [
                    (f'"{device}"', "jump from_" + network["name"])
                    for network in networks
                    for device in network["devices"]
                ]
            )
        )
    return lines + by_source + ["}"]


def _external_matches(
    external: External | None, nodes: dict[int, list[str]], side: str
) -> list[str]:
    """Expressions that match packets from (saddr) or to (daddr) pods of another CNI.

    Some give pods addresses of the range that nodes have theirs in.
    """
    return [
        f"{family.ip} {side} {external.network[family.cidr]}"
        + (f" {family.ip} {side} != @nodes{family.suffix}" if any(nodes.values()) else "")
        for family in FAMILIES
        if external and external.network[family.cidr]
    ]


def _from_external(external: External | None) -> list[str]:
    """What came from a pod of another CNI, by source; of its devices nothing is known."""
    if not external:
        return []
    lines = ["", "chain from_external {"]
    lines.append(
        "\t"
        + _drop(
            "oifname "
            + _any_of(_quoted([device for one in external.apart for device in one["devices"]])),
            f"{external.name}: to a device of another network",
        )
    )
    lines += [
        "\t"
        + _drop(
            f"{family.ip} daddr {_any_of(_ranges(external.apart, family))}",
            f"{external.name}: to an address of another network",
        )
        for family in _families(external.apart)
    ]
    return lines + ["}"]


def _from_networks(
    networks: list[dict[str, Any]],
    reach: dict[str, list[dict[str, Any]]],
    external: External | None,
    nodes: dict[int, list[str]],
) -> list[str]:
    lines: list[str] = []
    for network in networks:
        name = network["name"]
        targets = [network] + reach[name]
        askers = [
            other
            for other in networks
            if network in reach[other["name"]] and other not in reach[name]
        ]
        lines += ["", f"chain from_{name} {{"]
        lines += [
            f"\tct state established,related ct direction reply {family.ip} daddr"
            f' {asker[family.cidr]} return comment "answers to {asker["name"]}, which may reach'
            f' {name}"'
            for asker in askers
            for family in FAMILIES
            if asker.get(family.cidr)
        ]
        devices = _quoted([device for target in targets for device in target["devices"]])
        lines.append(
            "\t"
            + _drop(
                "oifname @network_devices oifname != " + _any_of(devices),
                f"{name}: to a device of another network",
            )
        )
        for family in _families(networks):
            mine = _ranges(targets, family)
            match = f"{family.ip} daddr @network_ranges{family.suffix}"
            if mine:
                match += f" {family.ip} daddr != {_any_of(mine)}"
            lines.append("\t" + _drop(match, f"{name}: to an address of another network"))
        if external and network in external.apart:
            lines += [
                "\t" + _drop(match, f"{name}: to an address of {external.name}")
                for match in _external_matches(external, nodes, "daddr")
            ]
        lines.append("}")
    return lines


def _masquerade(networks: list[dict[str, Any]]) -> list[str]:
    masqueraded = [network for network in networks if network["masquerade"]]
    if not masqueraded:
        return []
    lines = [
        "",
        "# 3. Masquerade: only what leaves the networks for good, and what comes from elsewhere"
        " into a tunnel, so that the answer comes back this way.",
        "#    Between networks the source stays what it is.",
        "chain leaving {",
        f"\ttype nat hook postrouting priority {PRIORITY_MASQUERADE}; policy accept;",
    ]
    for family in _families(masqueraded):
        tunnels = [
            network[family.device]
            for network in masqueraded
            if network.get(family.cidr) and network.get(family.device)
        ]
        if tunnels:
            lines.append(
                f"\toifname {_any_of(_quoted(tunnels))} {family.ip} saddr !="
                f" @network_ranges{family.suffix} counter masquerade fully-random"
            )
    lines.append("\toifname @network_devices accept")
    for family in _families(masqueraded):
        lines.append(
            f"\t{family.ip} saddr @masqueraded{family.suffix} {family.ip} daddr !="
            f" @network_ranges{family.suffix} {family.ip} daddr != {family.multicast} counter"
            " masquerade fully-random"
        )
    return lines + ["}"]
