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

import collections
import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._plan import pairs
from . import kinds
from .ends import OUTSIDE, End, Facts, endpoints, host_end, node_addresses, pairs_of
from .kinds import Kind

Cell = dict[str, Any]

NEIGHBOURS = 1024  # net.ipv4.neigh.default.gc_thresh3: one table for all namespaces of a kernel
FURTHER = (kinds.FULL, kinds.SPOOFED, kinds.NATURAL, kinds.ARP, kinds.RELAY)
IN_ALL_WAYS = 2  # receivers of each host and network, for each sender, if not all
PUBLISHED = 10  # Services, and ports, that each sender tries; all are tried by some


class Sample(NamedTuple):
    """How many of all ordered pairs of pod interfaces are tried."""

    per_host: int = 0  # receivers for each (sender, host, network); 0: as pairs says
    # If there are more, each sender tries its share of so many; 0: all. If there are more than a
    # quarter of them, only some of those that are tried are tried in all ways, see FURTHER.
    pairs: int = 0


ALL = Sample()
_FURTHER = {kind.name for kind in FURTHER}


def is_sampled(known: Sequence[End], sample: Sample) -> bool:
    """True if not every ordered pair of these ends is tried."""
    return bool(sample.per_host) or 0 < sample.pairs < pairs_of(known)


def is_in_all_ways(known: Sequence[End], sample: Sample) -> bool:
    """True if each pair that is tried is tried in all ways."""
    return not sample.pairs or bool(sample.per_host) or pairs_of(known) <= sample.pairs // 4


def cells(
    plan: dict[str, Any],
    facts: Sequence[Facts],
    *,
    sample: Sample = ALL,
    only_from: str | None = None,
    cluster: dict[str, Any] | None = None,
    outside: bool = False,
) -> Iterator[Cell]:
    """Yield every cell to be measured between the hosts of facts, in a fixed order.

    sample: of many pods. only_from: the name of one host, for its own share, or OUTSIDE. cluster:
    what module cluster_info returned, None without Kubernetes. outside: whether the controller
    sends, too.
    """
    known = _Known(plan, facts)
    published = _published(known, cluster or {})
    turns = _Turns(known, sample)
    for position, sender in enumerate(known.ends):
        tried = turns.receivers(sender)  # also of other hosts' senders, who take their turns too
        if only_from is not None and sender["host"] != only_from:
            continue
        for receivers in tried:
            in_all_ways = {end["id"] for end in turns.some(receivers, sender, turns.in_all_ways)}
            for receiver in receivers:
                for cell in _between(sender, receiver, known):
                    if receiver["id"] in in_all_ways or cell["kind"] not in _FURTHER:
                        yield cell
            for receiver in receivers[:1]:
                injections = list(_injections(sender, receiver, known))
                yield from turns.some(injections, sender, turns.per_group)
        yield from _to_node_addresses(sender, known, turns)
        yield from _out(sender, known, turns)
        if not sender["external"]:
            if not plan.get("elsewhere"):  # what only the guard promises
                yield from _to_neighbours(sender, known, turns)
                yield from _errors(sender, known)
            yield from _relays(sender, known, turns)
            for kind, targets in published.items():
                for target in _window(targets, sample.per_host or PUBLISHED, position):
                    yield from _to_published(kinds.KINDS[kind], sender, target, known)
    for host in known.host_names:
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


def tunnel_ports_of(plan: dict[str, Any]) -> list[int]:
    """Return the UDP ports that nodes have for the networks' tunnels, none of networks that others
    deployed.
    """
    if plan.get("elsewhere"):
        return []
    return sorted({port for one in plan["networks"] for port in one.get("tunnel_ports") or []})


def wants_answer(cell: Cell) -> bool:
    """True if the receiver of a cell's token is to answer: not to a frame to a known MAC."""
    return kinds.KINDS[cell["kind"]].answered and not cell["variant"].get("mac")


class _Known:
    """The plan and the facts by the keys the rules below ask for."""

    def __init__(self, plan: dict[str, Any], facts: Sequence[Facts]) -> None:
        facts = sorted(facts, key=lambda host: host["host"])  # a play has its own order
        self.blocked = pairs.shut(plan)
        self.default = plan["default_network"]
        self.tunnel_ports = tunnel_ports_of(plan)
        self.networks = {network["name"]: network for network in plan["networks"]}
        self.hosts = {host["host"]: host["node"] for host in facts}
        self.host_names = sorted(self.hosts)
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
        self.foreign: dict[tuple[str, ...], list[str]] = {}  # see _foreign_source()
        self.node_of: dict[tuple[str, str], list[End]] = {}  # by host and network
        for node in self.node_addresses:
            self.node_of.setdefault((node["host"], node["network"]), []).append(node)
        # Hosts that have an address of the underlay, by family
        self.on_underlay = {
            family: [host for host in self.host_names if self.hosts[host]["underlay"][family]]
            for family in ("4", "6")
        }
        mesh: collections.Counter[str] = collections.Counter()
        for (host, dummy), group in self.groups.items():
            mesh[host] += len(group) ** 2
        self.mesh = mesh

    def neighbours(self, end: End) -> list[End]:
        """Return the interfaces of other pods on the same host and network."""
        group = self.groups[(end["host"], end["network"])]
        return [other for other in group if other["pod"] != end["pod"]]

    def neighbours_on_several(self, end: End) -> list[End]:
        """Return those whose pods have other networks, too."""
        return [other for other in self.neighbours(end) if len(self.pods[other["pod"]]) > 1]

    def is_blocked(self, sender: End, receiver: End) -> bool:
        """True if the sender's network must not reach the receiver's."""
        return (sender["network"], receiver["network"]) in self.blocked

    def crowded(self, host: str) -> bool:
        """True if a mesh of all pods of the host needs more neighbour entries than half of what a
        kernel holds by default.
        """
        return self.mesh[host] > NEIGHBOURS // 2


class _Turns:
    """Whom each sender tries, if not all: in turns, so that all are tried equally often, from each
    network.
    """

    def __init__(self, known: _Known, sample: Sample) -> None:
        self.groups = [known.groups[key] for key in sorted(known.groups)]
        self.per_group = sample.per_host  # receivers, 0 for all
        self.groups_each = len(self.groups)  # for each sender
        self.in_all_ways = 0 if is_in_all_ways(known.ends, sample) else IN_ALL_WAYS
        if not sample.per_host and is_sampled(known.ends, sample):
            share = max(1, sample.pairs // len(known.ends))
            self.per_group = max(1, share // len(self.groups))
            self.groups_each = min(share, len(self.groups))
        self.next: collections.Counter[Any] = collections.Counter()
        self.rank = {
            end["id"]: rank for group in self.groups for rank, end in enumerate(group)
        }  # within its own host and network

    def receivers(self, sender: End) -> list[list[End]]:
        """Return whom a sender tries, by host and network."""
        network, pod, count = sender["network"], sender["pod"], len(self.groups)
        if not self.per_group:
            return [[end for end in group if end["pod"] != pod] for group in self.groups]
        first = self.next[network]
        self.next[network] += self.groups_each
        numbers = sorted((first + number) % count for number in range(self.groups_each))
        return [self._of_group(number, network, pod) for number in numbers]

    def _of_group(self, number: int, network: str, pod: str) -> list[End]:
        group, found = self.groups[number], []
        for dummy in group:
            end = group[self.next[number, network] % len(group)]
            self.next[number, network] += 1
            if end["pod"] != pod:
                found.append(end)
                if len(found) == self.per_group:
                    break
        return found

    def some(self, items: list[Any], sender: End, limit: int) -> list[Any]:
        """Return so many items (0: all), others for each sender of a host and network."""
        return _window(items, limit, self.rank[sender["id"]] * limit)


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
    name = "-".join(str(variant[key]) for key in ("way", "outer", "via", "sport") if key in variant)
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
    key = (receiver["network"], family, receiver["host"], sender["host"])
    if key not in known.foreign:
        ranked = sorted(
            known.nodes.get(key[:2], []),
            key=lambda node: (node["host"] == receiver["host"], node["host"] == sender["host"]),
        )
        known.foreign[key] = [node["address"] for node in ranked[:1]]
    return known.foreign[key]


def _to_node_addresses(sender: End, known: _Known, turns: _Turns) -> Iterator[Cell]:
    foreign = [
        target
        for target in known.node_addresses
        if sender["addresses"][target["family"]] and known.is_blocked(sender, target)
    ]
    # as many as it tries receivers of one network
    limit = -(-turns.per_group * turns.groups_each // len(known.networks))
    for target in turns.some(foreign, sender, limit):
        source = sender["addresses"][target["family"]]
        packet = _Packet(target["family"], source, target["address"])
        yield _cell(kinds.NODE_ADDRESS, sender, target, "blocked", packet)


def _out(sender: End, known: _Known, turns: _Turns) -> Iterator[Cell]:
    """From a network that is masqueraded to the next other host that has an address of the
    underlay, once from the port of a tunnel.
    """
    if sender["external"] or not known.networks[sender["network"]].get("masquerade"):
        return
    for family in ("4", "6"):
        source, own = (sender["addresses"][family], known.hosts[sender["host"]]["underlay"][family])
        hosts = known.on_underlay[family]
        if source and own and len(hosts) > 1:
            host = hosts[(hosts.index(sender["host"]) + 1) % len(hosts)]
            address = known.hosts[host]["underlay"][family]
            goal = {"id": f"{host}/@host/underlay", "network": "@host", "host": host}
            packet = _Packet(family, source, address)
            yield _cell(kinds.OUT, sender, goal, "reached", packet, name=own)
            for port in turns.some(known.tunnel_ports, sender, 1):
                yield _cell(kinds.SHADOW, sender, goal, "blocked", packet, sport=port)


def _to_neighbours(sender: End, known: _Known, turns: _Turns) -> Iterator[Cell]:
    """What the bridge must not carry. It is the sender's port that decides, so one neighbour on the
    same host and network is enough.
    """
    for receiver in turns.some(known.neighbours(sender), sender, 1):
        yield _cell(kinds.ROUTER, sender, receiver, "blocked", _Packet("6", None, None))
        address = receiver["addresses"]["4"]
        held = known.networks[sender["network"]].get("spoofing", "blocked") == "blocked"
        if address and held and sender["recorded"]:
            packet = _Packet("4", address, address)
            yield _cell(kinds.CLAIM, sender, receiver, "blocked", packet, mac=receiver["mac"])
    for neighbour in turns.some(known.neighbours_on_several(sender), sender, 1):
        for other in known.pods[neighbour["pod"]]:
            if other["external"] or not known.is_blocked(sender, other):
                continue
            for family, way in itertools.product(("4", "6"), ("plain", "tagged")):
                source, address = sender["addresses"][family], other["addresses"][family]
                if source and address:
                    yield _cell(
                        kinds.NEIGHBOUR,
                        sender,
                        other,
                        "blocked",
                        _Packet(family, source, address),
                        way=way,
                        mac=neighbour["mac"],
                        by=neighbour["id"],
                    )


def _errors(sender: End, known: _Known) -> Iterator[Cell]:
    """From one interface of each host and network, about the way to each other network that has
    pods on the host.
    """
    host, network = sender["host"], sender["network"]
    if sender["id"] != known.groups[(host, network)][0]["id"]:
        return
    gateways = {
        node["family"]: node["address"]
        for node in known.node_of.get((host, network), [])
        if node["id"].endswith("/bridge")
    }
    names = sorted(known.networks)
    rank = names.index(network)
    for other in names:
        group = known.groups.get((host, other))
        if not group or (network, other) not in known.blocked:
            continue
        for node in known.node_of.get((host, other), []):
            family = node["family"]
            source = sender["addresses"][family]
            if not (node["id"].endswith("/bridge") and source and family in gateways):
                continue
            about = _spare(node, group, known, rank)
            if about:
                yield _cell(
                    kinds.MTU,
                    sender,
                    node,
                    "blocked",
                    _Packet(family, source, about),
                    gateway=gateways[family],
                    quoted=node["address"],
                )


def _spare(node: End, group: Sequence[End], known: _Known, rank: int) -> str | None:
    """Return an address of the subnet of a host's bridge that none of the group, its pods, has;
    another for each rank.
    """
    family = node["family"]
    bridge = known.hosts[node["host"]]["networks"][node["network"]]["bridge"]
    taken = {node["address"], *(end["addresses"][family] for end in group)}
    for text in bridge["addresses"]:
        subnet = ipaddress.ip_interface(text).network
        if str(subnet.version) == family:
            highest = int(subnet.broadcast_address)
            numbers = range(highest - 1, max(int(subnet.network_address), highest - 1024), -1)
            addresses = (str(ipaddress.ip_address(number)) for number in numbers)
            spare = (one for one in addresses if one not in taken)
            return next(itertools.islice(spare, rank, None), None)
    return None


def _relays(sender: End, known: _Known, turns: _Turns) -> Iterator[Cell]:
    """One frame to each neighbour on the sender's network that has a second network, for a pod of
    that network (not the neighbour itself).
    """
    neighbours = known.neighbours_on_several(sender)
    for neighbour in turns.some(neighbours, sender, turns.per_group or turns.in_all_ways):
        for other in known.pods[neighbour["pod"]]:
            if not known.is_blocked(sender, other):
                continue
            near = known.groups[(other["host"], other["network"])]
            far = known.members[other["network"]]
            mine = (neighbour["pod"], sender["pod"])
            candidates = itertools.chain(near, far[:1], far[-2:])
            receivers = (end for end in candidates if end["pod"] not in mine)
            for receiver in itertools.islice(receivers, 1):
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
        other = min(nodes, key=lambda node: node["host"] == receiver["host"], default=None)
        if device and other and receiver["addresses"][family]:
            yield (
                family,
                {
                    "vni": device["vni"],
                    "port": device["port"],
                    "device_mac": device["mac"],
                    "inner_source": other["address"],
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
        for node in known.node_of.get((receiver["host"], sender["network"]), []):
            if node["family"] == family:
                outers[node["id"].rsplit("/", 1)[1]] = node["address"]
        others = (host for host in known.on_underlay[family] if host != receiver["host"])
        # the sender's own, if there is no third
        forger = min(others, key=lambda host: host == sender["host"], default=None)
        forged = known.hosts[forger]["underlay"][family] if forger else None
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

    Each: {"name", "family", "address" (None for ports), "port", "host" (of a port: its name; of a
    Service: whose pods it leads there; None for every host), "nodes": {host: addresses} of a port
    of every host, where they are known, "network" of all endpoints, "" if they are hosts, "ends":
    their ids}. What leads to addresses that are not known here is left out.
    """
    by_address = {
        address: end for end in known.ends for address in end["addresses"].values() if address
    }
    hosts = {
        address for node in known.hosts.values() for address in node["underlay"].values() if address
    }
    nodes = {
        known.by_node[name]: addresses
        for name, addresses in cluster.get("nodes", {}).items()
        if name in known.by_node
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
                        "nodes": {} if item.get("node") else nodes,
                        "network": networks.pop(),
                        "ends": [end["id"] for end in ends if end],
                    }
                )
    return found


def _to_published(kind: Kind, sender: End, target: dict[str, Any], known: _Known) -> Iterator[Cell]:
    """To a Service's address, or to the published port of its host, of the sender's own and of one
    other.
    """
    if kind is kinds.SERVICE and target["host"] not in (None, sender["host"]):
        return  # it leads pods of that host alone there
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
        publish = [(host, _publishes_at(target, host, known)) for host in hosts]
        places = [(host, address) for host, address in publish if address]
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


def _publishes_at(target: dict[str, Any], host: str, known: _Known) -> str:
    """Return the address at which a host publishes, "" where it does not in this family.

    What all do is kube-proxy's, which need not take the underlay's.
    """
    own = target["nodes"].get(host)
    if own is None:
        return str(known.hosts[host]["underlay"][target["family"]] or "")
    return next((one for one in own if (":" in one) == (target["family"] == "6")), "")


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
