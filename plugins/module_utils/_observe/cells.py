# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be measured: every (sender, receiver, kind of probe) as one cell.

Pure, standard library: each host derives its own share, and the controller the whole, from the same
plan and facts.

A cell: {"id", "kind" (see kinds.py), "family" ("4"|"6"), "from", "to", "from_network",
"to_network", "from_host", "to_host", "expected" ("reached"|"blocked"), "source": claimed source
address, "address": destination address, "variant": dict of what the sender needs besides}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._plan import pairs
from . import kinds
from .ends import OUTSIDE, End, Facts, endpoints, host_end, node_addresses
from .kinds import Kind

Cell = dict[str, Any]

NEIGHBOURS = 1024  # net.ipv4.neigh.default.gc_thresh3: one table for all namespaces of a kernel
PUBLISHED = 10  # Services, and ports, that each sender tries; all are tried by some


def cells(
    plan: dict[str, Any],
    facts: Sequence[Facts],
    *,
    per_host: int = 0,
    only_from: str | None = None,
    cluster: dict[str, Any] | None = None,
    outside: bool = False,
) -> Iterator[Cell]:
    """Yield every cell to be measured between the hosts of facts, in a fixed order.

    per_host: at most so many receiving pods per (sender, host, network), and Services per sender, 0
    for all. only_from: the name of one host, for its own share, or OUTSIDE. cluster: what module
    cluster_info returned, None without Kubernetes. outside: whether the controller sends, too.
    """
    known = _Known(plan, facts)
    published = _published(known, cluster or {})
    for position, sender in enumerate(known.ends):
        if only_from is not None and sender["host"] != only_from:
            continue
        for group in sorted(known.groups):
            receivers = [
                end
                for end in _window(known.groups[group], per_host, position)
                if end["pod"] != sender["pod"]
            ]
            for receiver in receivers:
                yield from _between(sender, receiver, known)
            for receiver in receivers[:1]:
                yield from _injections(sender, receiver, known)
        yield from _to_node_addresses(sender, known)
        yield from _out(sender, known)
        if not sender["external"]:
            yield from _relays(sender, known)
            for kind, targets in published.items():
                for target in _window(targets, per_host or PUBLISHED, position):
                    yield from _to_published(kinds.KINDS[kind], sender, target, known)
    for host in sorted(known.hosts):
        if cluster and only_from in (None, host):
            yield from _from_host(host_end(host), known)
    if outside and only_from in (None, OUTSIDE):
        yield from _from_outside(known)


def token_name(cell: Cell) -> str:
    """Return what a cell's token is called on its way: the cell's id, but one broadcast is for all
    who may hear it.
    """
    if cell["kind"] == kinds.L2.name:
        return "|".join((cell["kind"], cell["family"], cell["from"]))
    return cell["id"]


def wants_answer(cell: Cell) -> bool:
    """True if the receiver of a cell's token is to answer: not to a frame to a known MAC."""
    return kinds.KINDS[cell["kind"]].answered and not cell["variant"].get("mac")


class _Known:
    """The plan and the facts by the keys the rules below ask for."""

    def __init__(self, plan: dict[str, Any], facts: Sequence[Facts]) -> None:
        facts = sorted(facts, key=lambda host: host["host"])  # a play has its own order
        self.blocked = pairs.shut(plan)
        self.default = plan["default_network"]
        self.networks = {network["name"]: network for network in plan["networks"]}
        self.hosts = {host["host"]: host["node"] for host in facts}
        self.by_node = {host.get("node_name", host["host"]): host["host"] for host in facts}
        self.ends = endpoints(facts)
        self.pods: dict[str, list[End]] = {}
        self.groups: dict[tuple[str, str], list[End]] = {}  # by host and network
        self.members: dict[str, list[End]] = {}
        for end in self.ends:
            self.pods.setdefault(end["pod"], []).append(end)
            self.groups.setdefault((end["host"], end["network"]), []).append(end)
            self.members.setdefault(end["network"], []).append(end)
        self.node_addresses = node_addresses(facts)
        self.nodes: dict[tuple[str, str], list[End]] = {}  # by network and family
        for node in self.node_addresses:
            self.nodes.setdefault((node["network"], node["family"]), []).append(node)

    def is_blocked(self, sender: End, receiver: End) -> bool:
        """True if the sender's network must not reach the receiver's."""
        return (sender["network"], receiver["network"]) in self.blocked

    def crowded(self, host: str) -> bool:
        """True if a mesh of all pods of the host needs more neighbour entries than half of what a
        kernel holds by default.
        """
        mesh = sum(
            len(group) ** 2 for (where, dummy), group in self.groups.items() if where == host
        )
        return mesh > NEIGHBOURS // 2


def _window(group: list[Any], limit: int, position: int) -> list[Any]:
    """A window over the group that moves with the sender, so that all receivers get their turn."""
    if not limit or len(group) <= limit:
        return group
    start = position % len(group)
    return (group + group)[start : start + limit]


class _Packet(NamedTuple):
    """What the token travels in; addresses are None where the sender does not choose them."""

    family: str
    source: str | None
    address: str | None


def _cell(
    kind: Kind, sender: End, receiver: End, expected: str, packet: _Packet, **variant: Any
) -> Cell:
    name = "-".join(str(variant[key]) for key in ("way", "outer", "via") if key in variant)
    return {
        "id": "|".join(
            filter(None, (kind.name, packet.family, sender["id"], receiver["id"], name))
        ),
        "kind": kind.name,
        "family": packet.family,
        "from": sender["id"],
        "to": receiver["id"],
        "from_network": sender["network"],
        "to_network": receiver["network"],
        "from_host": sender["host"],
        "to_host": receiver["host"],
        "expected": expected,
        "source": packet.source,
        "address": packet.address,
        "variant": variant,
    }


def _between(sender: End, receiver: End, known: _Known) -> Iterator[Cell]:
    same_host = sender["host"] == receiver["host"]
    same_network = sender["network"] == receiver["network"]
    expected = "blocked" if known.is_blocked(sender, receiver) else "reached"
    external = sender["external"] or receiver["external"]
    if external and expected == "reached":
        return  # what another CNI connects is its own affair
    if same_host and not external:
        for family in ("4", "6"):
            heard = "reached" if same_network else "blocked"
            yield _cell(kinds.L2, sender, receiver, heard, _Packet(family, None, None))
    own = known.pods[sender["pod"]]
    for family in ("4", "6"):
        source, address = sender["addresses"][family], receiver["addresses"][family]
        if not address:
            continue
        told, untold = _Packet(family, source, address), _Packet(family, None, address)
        if same_network:
            # Too many neighbours would fill the kernel's table: then by frame, and each direction
            # counts for itself.
            by_frame = same_host and known.crowded(sender["host"])
            for kind in (kinds.UNICAST, kinds.FULL) if source else ():
                mac = receiver["mac"] if by_frame else None
                yield _cell(kind, sender, receiver, "reached", told, mac=mac)
            if len(own) > 1 and not by_frame:
                yield _cell(kinds.NATURAL, sender, receiver, "reached", untold)
            continue
        if source:
            yield _cell(kinds.FORCED, sender, receiver, expected, told)
        if expected == "blocked" and not sender["external"]:
            for foreign in _foreign_source(sender, receiver, family, known):
                forged = _Packet(family, foreign, address)
                yield _cell(kinds.SPOOFED, sender, receiver, "blocked", forged)
            if family == "4" and same_host and source and not external:
                yield _cell(kinds.ARP, sender, receiver, "blocked", told)
        on_it = any(end["network"] == receiver["network"] for end in own)
        if sender["id"] == own[0]["id"] and not on_it:
            yield _cell(kinds.NATURAL, sender, receiver, expected, untold)


def _foreign_source(sender: End, receiver: End, family: str, known: _Known) -> list[str]:
    """Zero or one address of the receiver's network, of a third host if there is one, else of
    another, else of its own.
    """
    nodes = known.nodes.get((receiver["network"], family), [])
    ranked = sorted(
        nodes, key=lambda node: (node["host"] == receiver["host"], node["host"] == sender["host"])
    )
    return [node["address"] for node in ranked[:1]]


def _to_node_addresses(sender: End, known: _Known) -> Iterator[Cell]:
    for target in known.node_addresses:
        source = sender["addresses"][target["family"]]
        if source and known.is_blocked(sender, target):
            packet = _Packet(target["family"], source, target["address"])
            yield _cell(kinds.NODE_ADDRESS, sender, target, "blocked", packet)


def _out(sender: End, known: _Known) -> Iterator[Cell]:
    """From a network that is masqueraded to the next other host that has an address of the
    underlay.
    """
    if sender["external"] or not known.networks[sender["network"]].get("masquerade"):
        return
    hosts = sorted(known.hosts)
    start = hosts.index(sender["host"]) + 1
    for family in ("4", "6"):
        source, own = (sender["addresses"][family], known.hosts[sender["host"]]["underlay"][family])
        others = [
            (host, known.hosts[host]["underlay"][family])
            for host in hosts[start:] + hosts[: start - 1]
            if known.hosts[host]["underlay"][family]
        ]
        if source and own and others:
            host, address = others[0]
            goal = {"id": f"{host}/@host/underlay", "network": "@host", "host": host}
            packet = _Packet(family, source, address)
            yield _cell(kinds.OUT, sender, goal, "reached", packet, name=own)


def _relays(sender: End, known: _Known) -> Iterator[Cell]:
    """One frame to each neighbour on the sender's network that has a second network, for a pod of
    that network (not the neighbour itself).
    """
    for neighbour in known.groups[(sender["host"], sender["network"])]:
        if neighbour["pod"] == sender["pod"]:
            continue
        for other in known.pods[neighbour["pod"]]:
            if not known.is_blocked(sender, other):
                continue
            near = known.groups[(other["host"], other["network"])]
            far = known.members[other["network"]]
            mine = (neighbour["pod"], sender["pod"])
            receivers = [end for end in near + far[:1] + far[-2:] if end["pod"] not in mine]
            for receiver in receivers[:1]:
                for family in ("4", "6"):
                    source, address = sender["addresses"][family], receiver["addresses"][family]
                    if source and address:
                        yield _cell(
                            kinds.RELAY,
                            sender,
                            receiver,
                            "blocked",
                            _Packet(family, source, address),
                            via=neighbour["pod"].split("/", 1)[1],
                            mac=neighbour["mac"],
                        )


def _tunnels(receiver: End, known: _Known) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (family, what a message needs to look like flanneld's own) of the tunnels that lead to
    a receiver. flannel carries each family in a tunnel of its own.
    """
    if known.networks[receiver["network"]]["backend"]["type"] != "vxlan":
        return
    for family, role in (("4", "device"), ("6", "device_v6")):
        device = known.hosts[receiver["host"]]["networks"][receiver["network"]].get(role)
        nodes = known.nodes.get((receiver["network"], family), [])
        others_first = sorted(nodes, key=lambda node: node["host"] == receiver["host"])
        if device and others_first and receiver["addresses"][family]:
            yield (
                family,
                {
                    "vni": device["vni"],
                    "port": device["port"],
                    "device_mac": device["mac"],
                    "inner_source": others_first[0]["address"],
                },
            )


def _injections(sender: End, receiver: End, known: _Known) -> Iterator[Cell]:
    """VXLAN messages for the receiver's network to every address of the receiver's host a pod may
    try, also in the name of another node.
    """
    if sender["external"] or receiver["external"] or not known.is_blocked(sender, receiver):
        return
    for family, message in _tunnels(receiver, known):
        outers = {"underlay": known.hosts[receiver["host"]]["underlay"][family]}
        for node in known.nodes.get((sender["network"], family), []):
            if node["host"] == receiver["host"]:
                outers[node["id"].rsplit("/", 1)[1]] = node["address"]
        others = sorted(
            (host == sender["host"], host)
            for host in known.hosts
            if host != receiver["host"] and known.hosts[host]["underlay"][family]
        )
        forged = known.hosts[others[0][1]]["underlay"][family] if others else None
        for outer, outer_address in sorted(outers.items()):
            for way, source in (("own", sender["addresses"][family]), ("forged", forged)):
                if outer_address and source:
                    yield _cell(
                        kinds.INJECT,
                        sender,
                        receiver,
                        "blocked",
                        _Packet(family, source, receiver["addresses"][family]),
                        way=way,
                        outer=outer,
                        outer_address=outer_address,
                        **message,
                    )


def _published(known: _Known, cluster: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return {"service": [...], "port": [...]}: where a connection leads to that kube-proxy or
    portmap redirects.

    Each: {"name", "family", "address" (None for ports), "port", "host" (of a port: its name, None
    for every host), "network" of all endpoints, "" if they are hosts, "ends": their ids}. What
    leads to addresses that are not known here is left out.
    """
    by_address = {
        address: end for end in known.ends for address in end["addresses"].values() if address
    }
    hosts = {
        address for node in known.hosts.values() for address in node["underlay"].values() if address
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, items in (
        (kinds.SERVICE, cluster.get("services", [])),
        (kinds.PORT, cluster.get("ports", [])),
    ):
        found[kind.name] = []
        for item in items:
            if item.get("node") and item["node"] not in known.by_node:
                continue
            ends = [by_address.get(address) for address in item["endpoints"]]
            networks = {end["network"] if end else None for end in ends}
            if set(item["endpoints"]) <= hosts and kind is kinds.SERVICE:
                networks = {""}
            if len(networks) == 1 and None not in networks:
                found[kind.name].append(
                    {
                        "name": item["name"],
                        "family": "6" if ":" in item["endpoints"][0] else "4",
                        "address": item.get("address"),
                        "port": item["port"],
                        "host": known.by_node.get(item.get("node")),
                        "network": networks.pop(),
                        "ends": [end["id"] for end in ends if end],
                    }
                )
    return found


def _to_published(kind: Kind, sender: End, target: dict[str, Any], known: _Known) -> Iterator[Cell]:
    """To a Service's address, or to the published port of its host, of the sender's own and of one
    other.
    """
    if kind is kinds.PORT and target["ends"] == [sender["id"]]:
        # a pod to itself is no affair of networks; who publishes may lack the way back (CRI-O
        # 1.34's rule for it never matches with nft 1.0)
        return
    family = target["family"]
    source = sender["addresses"][family]
    blocked = known.is_blocked(sender, target)
    # Other interfaces than the default one have no promise to keep towards Services, nor any
    # network towards what is redirected to a host.
    promised = sender["network"] == known.default and target["network"] in (known.default, "")
    if not source or not (blocked or promised):
        return
    places: list[tuple[str | None, str]] = [(None, target["address"])]
    if kind is kinds.PORT:
        others = sorted(host for host in known.hosts if host != sender["host"])
        hosts = [target["host"]] if target["host"] else [sender["host"], *others[:1]]
        underlays = [(host, known.hosts[host]["underlay"][family]) for host in hosts]
        places = [(host, address) for host, address in underlays if address]
    for host, address in places:
        elsewhere = host not in (None, sender["host"])
        if blocked and elsewhere and known.networks[sender["network"]]["masquerade"]:
            # it arrives there in the name of this host, and what a node publishes is open to nodes
            continue
        goal = {
            "id": f"@{kind.name}/{target['name']}",
            "network": target["network"] or "@host",
            "host": host or sender["host"],
        }
        yield _cell(
            kind,
            sender,
            goal,
            "blocked" if blocked else "reached",
            _Packet(family, source, address),
            port=target["port"],
            ends=target["ends"],
            **({"way": host} if host else {}),
        )


def _from_host(sender: End, known: _Known) -> Iterator[Cell]:
    for (host, network), group in sorted(known.groups.items()):
        # On its own host the kubelet must reach every pod; across hosts one shows the way.
        if host != sender["host"]:
            group = group[:1] if network == known.default else []
        for end in group:
            for family, address in sorted(end["addresses"].items()):
                if address and not end["external"]:
                    yield _cell(kinds.HOST, sender, end, "reached", _Packet(family, None, address))


def _from_outside(known: _Known) -> Iterator[Cell]:
    """A VXLAN message for one pod of each network and host, from the controller, in the name of
    nobody.
    """
    sender = dict(host_end(OUTSIDE), id=OUTSIDE, network=OUTSIDE)
    for group in sorted(known.groups):
        receiver = known.groups[group][0]
        if receiver["external"]:
            continue
        for family, message in _tunnels(receiver, known):
            underlay = known.hosts[receiver["host"]]["underlay"][family]
            if underlay:
                yield _cell(
                    kinds.OUTSIDE,
                    sender,
                    receiver,
                    "blocked",
                    _Packet(family, None, receiver["addresses"][family]),
                    outer_address=underlay,
                    **message,
                )
