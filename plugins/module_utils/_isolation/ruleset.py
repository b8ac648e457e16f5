# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that keeps the networks of a plan apart, masquerades those that want it, and
guards the tunnels. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._libraries import need
from .._plan import pairs
from .._plan.ranges import WIDTH, parse_address, parse_network, parse_range
from .._ports import ETCD_CLIENT, ETCD_PEER

TABLE = "inet multinet"
# Declared first, so that the deletion finds a table on the first run too. The braces make it a file
# that guards of before do not take for theirs: they would load the sets that a guard fills, empty.
REPLACED = "add table {table} {{}}\ndelete table {table}\ntable {table}"
DOCKER_BRIDGE = "docker0"
# The set of the devices that packets of nodes come in by: those by which a route leads to one.
UNDERLAY = "underlay_devices"
# In the place of node addresses: those that flanneld makes ways to, by its leases, which the guard
# puts into the table; and the whole underlay.
LEASES, TRUSTED = "leases", "trusted"
# Backends whose other nodes the kernel knows. Those of wireguard and ipsec it knows by their keys.
FOLLOWED = ("vxlan", "ipip")

# TCP ports of nodes that no pod needs: whoever writes to the leases has the networks.
CLOSED_PORTS = (ETCD_CLIENT, ETCD_PEER)
CLOSED = "tcp dport @closed_ports"
LINK_LOCAL = "fe80::/10"

# Where masquerade looks for a port. Answers to it arrive at the node: not where a node, a hostPort
# or a NodePort listens, and not on a tunnel's port.
MASQUERADE_PORTS = (32768, 65535)
WIREGUARD = (51820, 51821, 51871)  # the kernel's documentation; Calico, IPv4 and IPv6; Cilium
# Sets of what tunnels that are not the networks' take in -> their type.
OTHERS = {"other_tunnel_ports": "inet_service", "other_tunnel_protocols": "inet_proto"}
WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
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

# What is dropped at any priority is dropped for good; ours come early so that the counters here
# tell why, and nothing after us sees it.
PRIORITY_SOURCES = -290  # after raw, ahead of connection tracking: no entry for a forged packet
PRIORITY_SENT = -300  # ahead of connection tracking
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
    errors: str  # ICMP errors
    too_big: str  # the one that lowers what the kernel sends to a destination
    quoted: int  # bits from the ICMP header to that destination, in the packet it quotes
    redirect: str


FAMILIES = (
    Family(
        "ip",
        "",
        "ipv4_addr",
        "cidr",
        "device",
        4,
        "224.0.0.0/4",
        (),
        "icmp type { destination-unreachable, source-quench, time-exceeded, parameter-problem }",
        "icmp type destination-unreachable icmp code frag-needed",
        (8 + 16) * 8,
        "icmp type redirect",
    ),
    # Neighbour discovery: the unspecified address while it looks for duplicates, link-local
    # afterwards.
    Family(
        "ip6",
        "6",
        "ipv6_addr",
        "ipv6_cidr",
        "device_v6",
        6,
        "ff00::/8",
        (LINK_LOCAL, "::"),
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
        "icmpv6 type packet-too-big",
        (8 + 24) * 8,
        "icmpv6 type nd-redirect",
    ),
)


def ruleset(
    plan: dict[str, Any],
    node_addresses: Sequence[str] | str = TRUSTED,
    docker_network: str = "",
    closed_ports: Sequence[int] = (),
    subnet_server_port: int = 0,
) -> str:
    """Return the text for `nft -f` that puts the whole table `inet multinet` in place, in one
    transaction.

    plan: what plan() returns; of its networks `name`, `cidr`, `ipv6_cidr`, `backend`, `masquerade`,
    `bridge`, `device`, `device_v6`, `devices`, `tunnel_ports`, `tunnel_protocols` are read,
    `isolated` and `allowed`, of which the pairs follow that are not let through, and `external`,
    another CNI's network.
    node_addresses: underlay addresses of all nodes, and no one else's packets reach the tunnel
    ports; or LEASES, or TRUSTED.
    docker_network: name of the network that docker's own bridge of this host is in; empty: none.
    closed_ports: TCP ports of nodes, besides CLOSED_PORTS, that pods do not reach.
    subnet_server_port: where flanneld reaches the subnet server on loopback; 0: there is none.
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
    nodes = _nodes(node_addresses)
    for port in closed_ports:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
            raise ValueError(f"closed_ports holds {port!r}; write TCP ports from 1 to 65535")
    shut = pairs.shut(plan)
    reach = _reach(networks, shut)
    external = _external(plan, shut)
    lines: list[str] = []
    lines += _sets(networks, nodes, closed_ports)
    lines += _sources(networks, reach, nodes)
    lines += _guard(networks, nodes, external, subnet_server_port)
    lines += _from_networks(networks, reach, external, nodes)
    lines += _from_external(external)
    lines += _masquerade(networks)
    body = "\n".join("\t" + line if line else "" for line in lines)
    replaced = REPLACED.format(table=TABLE)
    return f"{_header(networks, reach, external)}\n{replaced} {{\n{body}\n}}\n"


def _reach(
    networks: list[dict[str, Any]], shut: set[tuple[str, str]]
) -> dict[str, list[dict[str, Any]]]:
    """Name of a network -> the other networks that it may open connections to.

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
    return dict(network, devices=network["devices"] + [DOCKER_BRIDGE])


class External(NamedTuple):
    """The network of another CNI, known by its ranges alone, and the networks that are kept apart
    from it.
    """

    name: str
    network: dict[str, Any]
    apart: list[dict[str, Any]]


def _external(plan: dict[str, Any], shut: set[tuple[str, str]]) -> External | None:
    """None when there is none, or nothing is kept apart from it."""
    network = plan.get("external")
    if not network:
        return None
    apart = [one for one in plan["networks"] if (one["name"], network["name"]) in shut]
    return External(network["name"], network, apart) if apart else None


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


def _nodes(declared: Sequence[str] | str) -> Nodes:
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


def _set(name: str, kind: str, elements: Sequence[Any]) -> list[str]:
    lines = [f"set {name} {{", f"\ttype {kind}"]
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


class Prefixes(NamedTuple):
    """Ranges of one family that have prefixes of one length.

    A set of them holds their first addresses, and an address is masked before it is looked up. The
    kernel begins to find what a set of intervals holds only a moment after the table is in force,
    and is slower at it.
    """

    length: int
    mask: str
    found: list[tuple[str, dict[str, Any]]]  # (first address, network)

    def of(self, family: Family, side: str) -> str:
        """Expression of the masked address."""
        return f"{family.ip} {side} & {self.mask}"


def _prefixes(networks: Sequence[dict[str, Any]], family: Family) -> list[Prefixes]:
    made: dict[int, Prefixes] = {}
    for network in networks:
        if network.get(family.cidr):
            length, mask, first = _read(network[family.cidr], family.version)
            if length not in made:
                made[length] = Prefixes(length, mask, [])
            made[length].found.append((first, network))
    return [made[length] for length in sorted(made)]


@functools.lru_cache(maxsize=4096)  # each network's rules ask for those of all
def _read(cidr: str, version: int) -> tuple[int, str, str]:
    """Return length, mask and first address of a range."""
    one = parse_network(cidr, version)
    return one.prefixlen, str(one.netmask), str(one.network)


def _name(name: str, family: Family, prefixes: Prefixes) -> str:
    return f"{name}{family.suffix}_{prefixes.length}"


def _range_sets(name: str, networks: Sequence[dict[str, Any]]) -> list[str]:
    return [
        line
        for family in FAMILIES
        for prefixes in _prefixes(networks, family)
        for line in _set(
            _name(name, family, prefixes),
            family.set_type,
            [address for address, dummy in prefixes.found],
        )
    ]


def _in_ranges(
    networks: Sequence[dict[str, Any]], family: Family, side: str, name: str = "network_ranges"
) -> list[str]:
    """Expressions, each of which matches an address of some of the networks; name: of the sets."""
    return [
        f"{prefixes.of(family, side)} @{_name(name, family, prefixes)}"
        for prefixes in _prefixes(networks, family)
    ]


def _in_no_range(networks: Sequence[dict[str, Any]], family: Family, side: str) -> str:
    """Expression that matches an address of none of the networks."""
    return " ".join(
        f"{prefixes.of(family, side)} != @{_name('network_ranges', family, prefixes)}"
        for prefixes in _prefixes(networks, family)
    )


def _by_device(networks: Sequence[dict[str, Any]], chains: str) -> list[tuple[str, str]]:
    """Return what _vmap() takes: each device of a network leads to its chain. chains: how the names
    of these begin.
    """
    return [
        (device, f"jump {chains}{network['name']}")
        for network in networks
        for device in _quoted(network["devices"])
    ]


def _by_source(networks: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{prefixes.of(family, 'saddr')} "
        + _vmap([(address, "jump from_" + network["name"]) for address, network in prefixes.found])
        for family in FAMILIES
        for prefixes in _prefixes(networks, family)
    ]


def _protocols(networks: list[dict[str, Any]]) -> list[int]:
    """Numbers of the IP protocols that tunnels other than UDP ones use (4 ipip, 50 ESP)."""
    return sorted(
        {number for network in networks for number in network.get("tunnel_protocols") or []}
    )


def _ports(networks: list[dict[str, Any]]) -> list[int]:
    return sorted({port for network in networks for port in network["tunnel_ports"]})


def _tunnel_matches(networks: list[dict[str, Any]]) -> list[str]:
    """Expressions, each of which matches packets that a tunnel of the networks would take in."""
    matches = []
    if _ports(networks):
        matches.append("udp dport " + _any_of(_ports(networks)))
    if _protocols(networks):
        matches.append("meta l4proto " + _any_of(_protocols(networks)))
    return matches


def _origins(networks: list[dict[str, Any]], external: External | None, nodes: Nodes) -> list[str]:
    """Expressions, each of which matches what came from a pod."""
    return [
        "iifname @network_devices",
        *(
            match
            for family in _families(networks)
            for match in _in_ranges(networks, family, "saddr")
        ),
        *_external_matches(external, nodes, "saddr"),
    ]


# The parts of the table


def _sets(networks: list[dict[str, Any]], nodes: Nodes, closed_ports: Sequence[int]) -> list[str]:
    lines = ["# Devices and ranges of all the networks, and what their tunnels listen on."]
    lines += _set(
        "network_devices",
        "ifname",
        _quoted([device for network in networks for device in network["devices"]]),
    )
    lines += _range_sets("network_ranges", networks)
    lines += _set("tunnel_ports", "inet_service", _ports(networks))
    lines += _set("closed_ports", "inet_service", sorted({*CLOSED_PORTS, *closed_ports}))
    lines += _range_sets("masqueraded", [one for one in networks if one["masquerade"]])
    filled = ["nodes" + family.suffix for family in nodes.families if nodes.followed]
    filled += [UNDERLAY] if nodes.families else []
    lines.append("# filled by the guard: " + " ".join([*filled, *OTHERS]))
    lines += _set(UNDERLAY, "ifname", []) if nodes.families else []
    for family in nodes.families:
        lines += _set("nodes" + family.suffix, family.set_type, nodes.addresses[family.version])
    return lines + [line for name, kind in OTHERS.items() for line in _set(name, kind, [])]


def _sources(
    networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]], nodes: Nodes
) -> list[str]:
    """Who may use which source address.

    Later chains, and everybody who filters by address, can rely on it.
    """
    by_device = [('"lo"', "accept")]
    chains: list[str] = []
    elsewhere: list[str] = []
    for network in networks:
        name = network["name"]
        peers = _peers(network, networks, reach)
        tunnels = _tunnel_devices(network)
        bridges = [device for device in network["devices"] if device not in tunnels]
        by_device += [(f'"{bridge}"', "goto pods_of_" + name) for bridge in bridges]
        by_device += [(f'"{device}"', "goto tunnel_of_" + name) for device in tunnels]
        chains += _sources_of_pods(network)
        if tunnels:
            chains += _sources_of_tunnel(network, peers)
        elsewhere += _sources_without_tunnel(network, peers)
    lines = [
        "",
        "# 1. Source addresses: each device brings in its own network's only.",
        "chain sources {",
        f"\ttype filter hook prerouting priority {PRIORITY_SOURCES}; policy accept;",
        "\tiifname " + _vmap(by_device),
    ]
    if _ports(networks):
        lines += [
            "\t# no connection of anybody's can take a tunnel's packets for its own",
            # the same without a look at routes, which costs more than all else here
            *_from_nodes(nodes, networks, "notrack accept"),
            "\tudp dport @tunnel_ports fib daddr type local notrack accept",
        ]
    if elsewhere:
        lines += [
            "\t# networks that reach other nodes through the underlay itself, without a tunnel"
            " device: from where the way back leads"
        ] + elsewhere
    lines += [
        "\t" + _drop(match, "a network's address as source, but not from one of its devices")
        for family in _families(networks)
        for match in _in_ranges(networks, family, "saddr")
    ]
    return lines + ["}"] + chains + (_sent() if _ports(networks) else [])


def _peers(
    network: dict[str, Any], networks: list[dict[str, Any]], reach: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The other networks whose packets a network's tunnel brings in, too: a packet of an open pair
    travels in the tunnel of its target, and its answer in that of its source.
    """
    targets = reach[network["name"]]
    return targets + [
        other for other in networks if network in reach[other["name"]] and other not in targets
    ]


def _sent() -> list[str]:
    """The chain of what this host sends through its tunnels: no connection is made of it."""
    return [
        "",
        "chain sent {",
        f"\ttype filter hook output priority {PRIORITY_SENT}; policy accept;",
        "\tudp dport @tunnel_ports notrack",
        "\tudp sport @tunnel_ports notrack",
        "}",
    ]


def _tunnel_devices(network: dict[str, Any]) -> list[str]:
    own = (network["device"], network["device_v6"])
    return [device for device in network["devices"] if device in own]


def _sources_of_pods(network: dict[str, Any]) -> list[str]:
    """The chain of what a network's bridge brings in."""
    name = network["name"]
    return [
        "",
        f"chain pods_of_{name} {{",
        *_accept_sources([network]),
        "\t" + _drop("", f"{name}: a pod used a source address that is not the network's"),
        "}",
    ]


def _sources_of_tunnel(network: dict[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    """The chain of what a network's tunnel brings in; peers: whose packets travel in it, too."""
    name = network["name"]
    alien = f"{name}: came out of the tunnel with a source address that is not the network's"
    return [
        "",
        f"chain tunnel_of_{name} {{",
        *_accept_sources([network, *peers]),
        "\t" + _drop("", alien),
        "}",
    ]


def _sources_without_tunnel(network: dict[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    """Rules that accept what a network without a tunnel device gets from other nodes."""
    is_ipsec = network["backend"]["type"] == "ipsec"
    comes = "meta ipsec exists" if is_ipsec else "fib saddr . iif oif exists"
    of_peers = " meta ipsec exists" if is_ipsec else ""
    lines = []
    for family in FAMILIES:
        if network.get(family.cidr) and _is_routed(network, family):
            lines.append(f"\t{family.ip} saddr {network[family.cidr]} {comes} accept")
            lines += [
                f"\t{family.ip} daddr {network[family.cidr]} {family.ip} saddr {other}"
                f"{of_peers} accept"
                for other in _ranges(peers, family)
            ]
    return lines


def _from_nodes(nodes: Nodes, networks: list[dict[str, Any]], then: str) -> list[str]:
    """Rules for what the nodes send to the tunnels of the networks whose nodes are known."""
    ports = _ports(nodes.of_tunnels(networks))
    return [
        f"\tudp dport {_any_of(ports)} {family.ip} saddr @nodes{family.suffix} {then}"
        for family in nodes.families
        if ports
    ]


def _is_routed(network: dict[str, Any], family: Family) -> bool:
    """Whether packets between nodes may arrive on a device that is not the network's own (host-gw,
    ipsec, udp, direct routing).
    """
    return not network.get(family.device) or bool(network["backend"].get("direct_routing"))


def _accept_sources(networks: list[dict[str, Any]]) -> list[str]:
    return [
        f"\t{family.ip} saddr {cidr} accept"
        for family in FAMILIES
        for cidr in [*_ranges(networks, family), *family.own]
    ]


def _guard(
    networks: list[dict[str, Any]], nodes: Nodes, external: External | None, subnet_server_port: int
) -> list[str]:
    """The ways that a pod's packet can take here, through this host, to it, and out of it:
    from_<network> judges what came from a network, by device or source.
    """
    by_source = ["\t" + rule for rule in _by_source(networks)] + [
        f"\t{match} jump from_external" for match in _external_matches(external, nodes, "saddr")
    ]
    origins = _origins(networks, external, nodes)
    return [
        *_forward(networks, nodes),
        *_input(networks, nodes),
        *_output(by_source, origins[1:] if nodes.families else [], subnet_server_port),
        *_to_node(networks, nodes),
        *_by_device_and_source(networks, by_source, _forged_to(external, nodes)),
        *_to_tunnel(networks, nodes, origins),
        *_to_closed_port(origins),
        *_chosen_way(origins + _forged(external, nodes)),
        *_icmp_to_host(networks, origins + _forged(external, nodes)),
    ]


def _forward(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    return [
        "",
        "# 2. From network to network: through this host (forward), and to its own addresses in"
        " another network (input).",
        "chain forward {",
        f"\ttype filter hook forward priority {PRIORITY_GUARD}; policy accept;",
        "\t# first what nearly all packets are: what stays in its network, by one look",
        "\tiifname . oifname "
        + _vmap(
            [
                (f'"{came}" . "{goes}"', "jump within_" + network["name"])
                for network in networks
                for came in network["devices"]
                for goes in network["devices"]
            ]
        ),
        *_chosen_ways(),
        "\t# from pods of nodes to which there is no tunnel device",
        "\tmeta l4proto { icmp, ipv6-icmp } oifname " + _vmap(_by_device(networks, "errors_in_")),
        "\tjump guard",
        *_to_another_node(networks, nodes),
        "}",
    ]


def _to_another_node(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    """What this host does not send on to another node: masquerade would have it come from here."""
    matches = _tunnel_matches(nodes.of_tunnels(networks))
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
        _drop(f"{match} {family.ip} daddr @nodes{family.suffix}", why)
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
        *([f"{VXLAN_GBP_MESSAGE} {_any_of(vnis)}"] if vnis else []),
        *([EXTENSIONS] if family.version == 6 else []),
    ]


def _input(networks: list[dict[str, Any]], nodes: Nodes) -> list[str]:
    return [
        "",
        "chain input {",
        f"\ttype filter hook input priority {PRIORITY_GUARD}; policy accept;",
        '\tiifname "lo" accept',
        "\t# no device of a network brings in the address of a node (1)",
        *_from_nodes(nodes, networks, f"iifname @{UNDERLAY} accept"),
        *(f"\t{match} goto into_tunnel" for match in _tunnel_matches(networks)),
        "\t# what pods may not do with the host itself",
        *_chosen_ways(),
        f"\t{CLOSED} jump to_closed_port",
        "\t"
        + _drop("iifname @network_devices ip daddr 127.0.0.0/8", "a pod to the host's loopback"),
        "\tmeta l4proto { icmp, ipv6-icmp } jump icmp_to_host",
        "\tjump guard",
        "}",
    ]


def _output(by_source: list[str], sources: list[str], subnet_server_port: int) -> list[str]:
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
    own = [_drop(f'oifname "lo" {impostor}', answers), _drop(f'oifname "lo" {flood}', floods)]
    return [
        "",
        "# A pod's address as source of what this host sends: IPVS did that, with what the pod"
        " sent to a Service.",
        "chain output {",
        f"\ttype filter hook output priority {PRIORITY_GUARD}; policy accept;",
        *("\t" + rule for rule in own if subnet_server_port),
        '\toifname "lo" return',
        *(
            "\t" + _drop(f"{family.redirect} oifname @network_devices", "redirects nobody")
            for family in FAMILIES
        ),
        *by_source,
        *(f"\t{source} jump to_node" for source in sources),
        "}",
    ]


def _by_device_and_source(
    networks: list[dict[str, Any]], by_source: list[str], forged: list[str]
) -> list[str]:
    """The chain that forward and input jump to."""
    return [
        "",
        "chain guard {",
        "\tiifname " + _vmap([('"lo"', "return"), *_by_device(networks, "from_")]),
        *by_source,
        *forged,
        "\t# tunnels are at addresses of nodes, so what stays in its network needs no look",
        *(f"\t{match} jump to_tunnel" for match in _tunnel_matches(networks)),
        "\tudp dport @other_tunnel_ports jump to_tunnel",
        "\tmeta l4proto @other_tunnel_protocols jump to_tunnel",
        "}",
    ]


def _to_tunnel(networks: list[dict[str, Any]], nodes: Nodes, origins: list[str]) -> list[str]:
    """Who may not speak to a tunnel: hosts that are no nodes, and pods, be it as a node.

    The tunnels of VXLAN and udp believe whoever speaks to them, at any address of any node.
    """
    lines = ["", "chain into_tunnel {", "\tjump to_tunnel"]
    for match in _tunnel_matches(nodes.of_tunnels(networks)):
        lines += [
            "\t"
            + _drop(
                f"{match} {family.ip} saddr != @nodes{family.suffix}",
                "to a tunnel, from a host that is no node",
            )
            for family in nodes.families
        ]
        if nodes.families:
            lines.append(
                "\t"
                + _drop(
                    f"{match} iifname != @{UNDERLAY} fib saddr . iif oif missing",
                    "to a tunnel, as a node, from where no route leads to it",
                )
            )
    lines += ["}", "", "chain to_tunnel {"]
    lines += ["\t" + _drop(origin, "a pod to a tunnel") for origin in origins]
    return [*lines, "}"]


def _to_closed_port(origins: list[str]) -> list[str]:
    rules = ["\t" + _drop(origin, "a pod to a closed port of a node") for origin in origins]
    return ["", "chain to_closed_port {", *rules, "}"]


def _chosen_ways() -> list[str]:
    return [f"\t{match} jump chosen_way" for match in CHOSEN_WAYS]


def _chosen_way(origins: list[str]) -> list[str]:
    """What pods have routed over hosts by a source route, or by a routing header of IPv6: where a
    host takes such, the next target may be an address of its own, which no rule sees then.
    """
    rules = ["\t" + _drop(origin, "a pod chose the way (source route)") for origin in origins]
    return ["", "chain chosen_way {", *rules, "}"]


def _icmp_to_host(networks: list[dict[str, Any]], origins: list[str]) -> list[str]:
    """What a pod tells the host of ways: nothing about other networks' or the tunnels' own.

    The kernel believes who says that a packet was too big, or that nobody takes it, whatever packet
    that quotes; what counts is the destination in it.
    """
    lines = ["", "chain icmp_to_host {"]
    for family in FAMILIES:
        lines += [
            f"\t{family.errors} jump icmp_error",
            "\t" + _drop(f"iifname @network_devices {family.redirect}", "a pod redirects the host"),
        ]
    lines += ["}", "", "chain icmp_error {"]
    for family in FAMILIES:
        for cidr in _ranges(networks, family):
            lines.append(f"\t{family.ip} saddr {cidr} {_quoted_target(cidr, family)} return")
    lines += ["\tjump misled", "}", "", "chain misled {"]
    lines += [
        "\t" + _drop(origin, "a pod's ICMP error about what is not its network's")
        for origin in origins
    ]
    return [*lines, "}"]


def _quoted_target(cidr: str, family: Family, compared: str = "") -> str:
    """Expression that matches ICMP errors about a packet to a range. compared: "!= ": elsewhere."""
    one = parse_range(cidr, family.version)
    prefix = int(one.network) >> (WIDTH[family.version] - one.prefixlen)
    return f"@th,{family.quoted},{one.prefixlen} {compared}{prefix:#x}"


def about_others(network: dict[str, Any], family: Family) -> str:
    """Expression that matches ICMP errors about packets to what is not in a network.

    A pod that gets one, and is on other networks as well, would believe it of its ways there.
    """
    own = [*_ranges([network], family), *([LINK_LOCAL] if family.version == 6 else [])]
    return " ".join([family.errors, *(_quoted_target(cidr, family, "!= ") for cidr in own)])


def _external_matches(external: External | None, nodes: Nodes, side: str) -> list[str]:
    """Expressions that match packets from (saddr) or to (daddr) pods of another CNI.

    Some give pods addresses of the range that nodes have theirs in.
    """
    return [
        f"{family.ip} {side} {external.network[family.cidr]}"
        + (f" {family.ip} {side} != @nodes{family.suffix}" if nodes.families else "")
        for family in FAMILIES
        if external and external.network[family.cidr]
    ]


def _forged(external: External | None, nodes: Nodes) -> list[str]:
    """Expressions that match packets with a source to which no route leads where they came from.

    A pod of another CNI is known by its source alone, so it may have taken any other.
    """
    return [f"{match} fib saddr . iif oif missing" for match in _from_elsewhere(external, nodes)]


def _from_elsewhere(external: External | None, nodes: Nodes) -> list[str]:
    """Expressions that match what came from where another CNI's pods may be."""
    if not external or not _external_matches(external, nodes, "saddr"):
        return []
    of_nodes = f" iifname != @{UNDERLAY}" if nodes.families else ""
    return ["iifname != @network_devices" + of_nodes]


def _forged_to(external: External | None, nodes: Nodes) -> list[str]:
    """Rules against such packets to networks that are kept apart from another CNI's, and those with
    a link-local source, which every device has a route to.
    """
    if not external:
        return []
    devices = [device for one in external.apart for device in one["devices"]]
    ways = ["oifname " + _any_of(_quoted(devices))]
    ways += [f"{one.ip} daddr {cidr}" for one in FAMILIES for cidr in _ranges(external.apart, one)]
    matches = [f"{way} {match}" for way in ways for match in _forged(external, nodes)]
    matches += [
        f"ip6 daddr {cidr} ip6 saddr {LINK_LOCAL} {match}"
        for cidr in _ranges(external.apart, FAMILIES[1])
        for match in _from_elsewhere(external, nodes)
    ]
    why = "to a network, from where no route leads to its source"
    return ["\t" + _drop(match, why) for match in matches]


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
        + _drop(f"{family.ip} daddr {cidr}", f"{external.name}: to an address of another network")
        for family in FAMILIES
        for cidr in _ranges(external.apart, family)
    ]
    return lines + ["}"]


def _from_networks(
    networks: list[dict[str, Any]],
    reach: dict[str, list[dict[str, Any]]],
    external: External | None,
    nodes: Nodes,
) -> list[str]:
    lines: list[str] = []
    for network in networks:
        name = network["name"]
        alien = f"{name}: a pod's ICMP error about what is not the network's"
        # not in output: a host tells its pods of targets anywhere
        errors, within = [], []
        for family in FAMILIES:
            for cidr in _ranges([network], family):
                about = f"{about_others(network, family)} {family.ip} saddr {cidr}"
                errors.append("\t" + _drop(about, alien))
                within.append(f"{family.ip} saddr {cidr} {family.ip} daddr {cidr} accept")
        lines += ["", f"chain errors_in_{name} {{", *errors, "}"]
        rules = [*errors, *("\t" + rule for rule in within)]
        lines += ["", f"chain within_{name} {{", *rules, "}"]
        targets = [network] + reach[name]
        askers = [
            other
            for other in networks
            if network in reach[other["name"]] and other not in reach[name]
        ]
        lines += ["", f"chain from_{name} {{"]
        own = _any_of(_quoted(network["devices"]))
        lines += [f"\toifname {own} {rule}" for rule in within]
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
            mine = "".join(f" {family.ip} daddr != {cidr}" for cidr in _ranges(targets, family))
            lines += [
                "\t" + _drop(match + mine, f"{name}: to an address of another network")
                for match in _in_ranges(networks, family, "daddr")
            ]
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
                f"\toifname {_any_of(_quoted(tunnels))} {_in_no_range(networks, family, 'saddr')}"
                " goto as_host"
            )
    lines.append("\toifname @network_devices accept")
    for family in _families(masqueraded):
        lines += [
            f"\t{match} {_in_no_range(networks, family, 'daddr')} {family.ip} daddr !="
            f" {family.multicast} goto outside"
            for match in _in_ranges(masqueraded, family, "saddr", "masqueraded")
        ]
    first, last = _masquerade_ports([*_ports(networks), *WIREGUARD])
    answered = _braces([*WITH_PORTS, "icmp", "ipv6-icmp"])
    unanswered = "out of the networks without ports: answers could not be told from the host's own"
    return lines + [
        "}",
        "",
        "chain outside {",
        "\t" + _drop(f"meta l4proto != {answered}", unanswered),
        "\tgoto as_host",
        "}",
        "",
        "chain as_host {",
        "\t# answers come to these ports of the host: not where it, a hostPort, a NodePort or a"
        " tunnel listens",
        f"\tmeta l4proto {_braces(WITH_PORTS)} counter masquerade to :{first}-{last} fully-random",
        "\tcounter masquerade fully-random",
        "}",
    ]


def _masquerade_ports(taken: Sequence[int]) -> tuple[int, int]:
    """First and last of the most ports in a row, of MASQUERADE_PORTS, that are not taken."""
    first, last = MASQUERADE_PORTS
    edges = [first - 1, *(port for port in sorted(taken) if first <= port <= last), last + 1]
    return max(
        ((low + 1, high - 1) for low, high in zip(edges, edges[1:])),
        key=lambda one: one[1] - one[0],
    )
