# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be measured: every (sender, receiver, way) as one cell.

Pure, so that each host and the verdict derive the same list from the same facts.

A cell: {"id", "kind", "family" ("4"|"6"), "from", "to", "from_network", "to_network", "from_host",
"to_host", "expected" ("reached"|"blocked"), "source": claimed source address, "address":
destination address, "variant": dict of what the sender needs besides}.
"""

from __future__ import annotations

import ipaddress

NEIGHBOURS = 1024  # net.ipv4.neigh.default.gc_thresh3: one table for all namespaces of a kernel
PUBLISHED = 10  # Services, and ports, that each sender tries; all are tried by some
OUTSIDE = "@outside"  # the sender that is no node


def endpoints(facts):
    """Return the attached interfaces that belong to a network of the plan, sorted by id
    "host/pod/interface".

    Each: {"id", "host", "pod" ("host/pod"), "netns", "inode", "interface", "network", "external":
    bool, "mac", "mtu", "gateway_mac", "addresses": {"4": first address or None, "6": ...}}. A pod
    of Kubernetes is "host/namespace/pod".
    """
    found = []
    for host in facts:
        for pod in host["pods"]:
            for interface in pod["interfaces"]:
                if interface["network"] is None:
                    continue
                side = host["node"]["networks"].get(interface["network"], {})
                found.append(
                    {
                        "id": f"{host['host']}/{pod['label']}/{interface['name']}",
                        "host": host["host"],
                        "pod": f"{host['host']}/{pod['label']}",
                        "netns": pod["netns"],
                        "inode": pod["inode"],
                        "interface": interface["name"],
                        "network": interface["network"],
                        "external": interface.get("external", False),
                        "mac": interface["mac"],
                        "mtu": interface["mtu"],
                        "gateway_mac": (side.get("bridge") or {}).get("mac"),
                        "addresses": by_family(interface["addresses"]),
                    }
                )
    return sorted(found, key=lambda item: item["id"])


def by_family(addresses):
    """Return {"4": first IPv4 address, "6": first IPv6 address} (without prefix, None if there is
    none) of ["10.1.5.2/24", ...].
    """
    found = {"4": None, "6": None}
    for text in addresses:
        address = ipaddress.ip_interface(text).ip
        found[str(address.version)] = found[str(address.version)] or str(address)
    return found


def host_end(host):
    """Return the end (see endpoints()) that stands for a host's own network: its processes, and
    pods with hostNetwork.
    """
    return {
        "id": f"{host}/@host",
        "host": host,
        "pod": f"{host}/@host",
        "netns": None,
        "inode": None,
        "interface": "",
        "network": "@host",
        "external": False,
        "mtu": 0,
        "addresses": {"4": None, "6": None},
    }


def node_addresses(facts):
    """Return the addresses hosts have in the networks: [{"id": "host/@network/bridge", "host",
    "network", "device", "family", "address"}].
    """
    found = []
    for host in facts:
        for network, side in sorted(host["node"]["networks"].items()):
            for role in ("bridge", "device", "device_v6"):
                for family, address in by_family(
                    (side.get(role) or {}).get("addresses", [])
                ).items():
                    if address:
                        found.append(
                            {
                                "id": f"{host['host']}/@{network}/{role}",
                                "host": host["host"],
                                "network": network,
                                "device": side[role]["name"],
                                "family": family,
                                "address": address,
                            }
                        )
    return found


def cells(plan, facts, per_host=0, only_from=None, cluster=None, outside=False):
    """Yield every cell to be measured between the hosts of facts (list), in a fixed order.

    per_host: at most so many receiving pods per (sender, host, network), and Services per sender, 0
    for all. only_from: the name of one host, for its own share, or OUTSIDE. cluster: what
    cluster.view() returned, None without Kubernetes. outside: whether the controller sends, too.
    """
    ends, nodes, known = endpoints(facts), node_addresses(facts), _Known(plan, facts)
    published = _published(known, cluster)
    for position, sender in enumerate(ends):
        if only_from is not None and sender["host"] != only_from:
            continue
        for group in sorted(known.groups):
            receivers = [
                end
                for end in _some(known.groups[group], per_host, position)
                if end["pod"] != sender["pod"]
            ]
            for receiver in receivers:
                yield from _between(sender, receiver, known)
            for receiver in receivers[:1]:
                if not sender["external"] and not receiver["external"]:
                    yield from _injections(sender, receiver, known)
        for target in nodes:
            if (sender["network"], target["network"]) in known.blocked and sender["addresses"][
                target["family"]
            ]:
                yield _cell(
                    "node",
                    target["family"],
                    sender,
                    target,
                    "blocked",
                    sender["addresses"][target["family"]],
                    target["address"],
                )
        if not sender["external"]:
            yield from _relays(sender, known)
            for kind in ("service", "port"):
                for target in _some(published[kind], per_host or PUBLISHED, position):
                    yield from _to_published(kind, sender, target, known)
    for host in sorted(known.hosts):
        if cluster and only_from in (None, host):
            yield from _from_host(host_end(host), known)
    if outside and only_from in (None, OUTSIDE):
        yield from _from_outside(known)


class _Known:
    """The facts by the keys the rules below ask for."""

    def __init__(self, plan, facts):
        self.blocked = {tuple(pair) for pair in plan["blocked"]}
        self.default = plan["default_network"]
        self.networks = {network["name"]: network for network in plan["networks"]}
        self.hosts = {host["host"]: host["node"] for host in facts}
        self.by_node = {host.get("node_name", host["host"]): host["host"] for host in facts}
        self.pods, self.groups, self.members, self.nodes = {}, {}, {}, {}
        for end in endpoints(facts):
            self.pods.setdefault(end["pod"], []).append(end)
            self.groups.setdefault((end["host"], end["network"]), []).append(end)
            self.members.setdefault(end["network"], []).append(end)
        for node in node_addresses(facts):
            self.nodes.setdefault((node["network"], node["family"]), []).append(node)

    def crowded(self, host):
        """True if a mesh of all pods of the host needs more neighbour entries than half of what a
        kernel holds by default.
        """
        return (
            sum(len(group) ** 2 for (where, dummy), group in self.groups.items() if where == host)
            > NEIGHBOURS // 2
        )


def _some(group, limit, position):
    """A window over the group that moves with the sender, so that all receivers get their turn."""
    if not limit or len(group) <= limit:
        return group
    start = position % len(group)
    return (group + group)[start : start + limit]


def _cell(kind, family, sender, receiver, expected, source, address, **variant):
    name = "-".join(str(variant[key]) for key in ("way", "outer", "via") if key in variant)
    return {
        "id": "|".join(filter(None, (kind, family, sender["id"], receiver["id"], name))),
        "kind": kind,
        "family": family,
        "from": sender["id"],
        "to": receiver["id"],
        "from_network": sender["network"],
        "to_network": receiver["network"],
        "from_host": sender["host"],
        "to_host": receiver["host"],
        "expected": expected,
        "source": source,
        "address": address,
        "variant": variant,
    }


def _between(sender, receiver, known):
    same_host, same_network = (
        sender["host"] == receiver["host"],
        sender["network"] == receiver["network"],
    )
    expected = "blocked" if (sender["network"], receiver["network"]) in known.blocked else "reached"
    external = sender["external"] or receiver["external"]
    if external and expected == "reached":
        return  # what another CNI connects is its own affair
    for family in ("4", "6") if same_host and not external else ():
        yield _cell(
            "l2", family, sender, receiver, "reached" if same_network else "blocked", None, None
        )
    for family in ("4", "6"):
        source, address = sender["addresses"][family], receiver["addresses"][family]
        if not address:
            continue
        own = known.pods[sender["pod"]]
        if same_network:
            # Too many neighbours would fill the kernel's table: then by frame, and each direction
            # counts for itself.
            frame = same_host and known.crowded(sender["host"])
            for kind in ("unicast", "full") if source else ():
                yield _cell(
                    kind,
                    family,
                    sender,
                    receiver,
                    "reached",
                    source,
                    address,
                    mac=receiver["mac"] if frame else None,
                )
            if len(own) > 1 and not frame:
                yield _cell("natural", family, sender, receiver, "reached", None, address)
            continue
        if source:
            yield _cell("forced", family, sender, receiver, expected, source, address)
        if expected == "blocked" and not sender["external"]:
            for foreign in _foreign_source(sender, receiver, family, known):
                yield _cell("spoofed", family, sender, receiver, "blocked", foreign, address)
            if family == "4" and same_host and source and not external:
                yield _cell("arp", family, sender, receiver, "blocked", source, address)
        if sender["id"] == own[0]["id"] and not any(
            end["network"] == receiver["network"] for end in own
        ):
            yield _cell("natural", family, sender, receiver, expected, None, address)


def _foreign_source(sender, receiver, family, known):
    """Zero or one address of the receiver's network, of a third host if there is one, else of
    another, else of its own.
    """
    nodes = known.nodes.get((receiver["network"], family), [])
    ranked = sorted(
        nodes, key=lambda node: (node["host"] == receiver["host"], node["host"] == sender["host"])
    )
    return [node["address"] for node in ranked[:1]]


def _relays(sender, known):
    """One frame to each neighbour on the sender's network that has a second network, for a pod of
    that network (not the neighbour itself).
    """
    for neighbour in known.groups[(sender["host"], sender["network"])]:
        for other in known.pods[neighbour["pod"]] if neighbour["pod"] != sender["pod"] else ():
            if (sender["network"], other["network"]) not in known.blocked:
                continue
            near, far = (
                known.groups[(other["host"], other["network"])],
                known.members[other["network"]],
            )
            for receiver in [
                end
                for end in near + far[:1] + far[-2:]
                if end["pod"] not in (neighbour["pod"], sender["pod"])
            ][:1]:
                for family in ("4", "6"):
                    if sender["addresses"][family] and receiver["addresses"][family]:
                        yield _cell(
                            "relay",
                            family,
                            sender,
                            receiver,
                            "blocked",
                            sender["addresses"][family],
                            receiver["addresses"][family],
                            via=neighbour["pod"].split("/", 1)[1],
                            mac=neighbour["mac"],
                        )


def _injections(sender, receiver, known):
    """VXLAN messages for the receiver's network to every address of the receiver's host a pod may
    try, also in the name of another node.
    """
    network = known.networks[receiver["network"]]
    if (
        network["backend"]["type"] != "vxlan"
        or (sender["network"], receiver["network"]) not in known.blocked
    ):
        return
    here = known.hosts[receiver["host"]]
    # flannel carries each family in a tunnel of its own, between underlay addresses of that family.
    for family, role in (("4", "device"), ("6", "device_v6")):
        device = here["networks"][network["name"]].get(role)
        outers = {"underlay": here["underlay"][family]}
        for node in known.nodes.get((sender["network"], family), []):
            if node["host"] == receiver["host"]:
                outers[node["id"].rsplit("/", 1)[1]] = node["address"]
        ranked = sorted(
            (host == sender["host"], host)
            for host in known.hosts
            if host != receiver["host"] and known.hosts[host]["underlay"][family]
        )
        forged = known.hosts[ranked[0][1]]["underlay"][family] if ranked else None
        others = known.nodes.get((network["name"], family), [])
        inner = [
            node["address"]
            for node in sorted(others, key=lambda node: node["host"] == receiver["host"])
        ]
        if not device or not receiver["addresses"][family] or not inner:
            continue
        for outer, address in sorted(outers.items()):
            for way, source in (("own", sender["addresses"][family]), ("forged", forged)):
                if address and source:
                    yield _cell(
                        "inject",
                        family,
                        sender,
                        receiver,
                        "blocked",
                        source,
                        receiver["addresses"][family],
                        way=way,
                        outer=outer,
                        outer_address=address,
                        vni=device["vni"],
                        port=device["port"],
                        device_mac=device["mac"],
                        inner_source=inner[0],
                    )


def _published(known, cluster):
    """Return {"service": [...], "port": [...]}: where a connection leads to that kube-proxy or
    portmap redirects.

    Each: {"name", "family", "address" (None for ports), "port", "host" (of a port: its name, None
    for every host), "network" of all endpoints, "" if they are hosts, "ends": their ids}. What
    leads to addresses that are not known here is left out.
    """
    by_address = {
        address: end
        for ends in known.groups.values()
        for end in ends
        for address in end["addresses"].values()
        if address
    }
    hosts = {
        address for node in known.hosts.values() for address in node["underlay"].values() if address
    }
    found = {"service": [], "port": []}
    for kind, items in (
        ("service", (cluster or {}).get("services", [])),
        ("port", (cluster or {}).get("ports", [])),
    ):
        for item in items:
            if item.get("node") and item["node"] not in known.by_node:
                continue
            ends = [by_address.get(address) for address in item["endpoints"]]
            networks = {end["network"] if end else None for end in ends}
            if set(item["endpoints"]) <= hosts and kind == "service":
                networks = {""}
            if len(networks) == 1 and None not in networks:
                found[kind].append(
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


def _to_published(kind, sender, target, known):
    """To a Service's address, or to the published port of its host, of the sender's own and of one
    other.
    """
    if kind == "port" and target["ends"] == [sender["id"]]:
        # a pod to itself is no affair of networks; who publishes may lack the way back (CRI-O
        # 1.34's rule for it never matches with nft 1.0)
        return
    family = target["family"]
    if kind == "service":
        places = [(None, target["address"])]
    else:
        others = sorted(host for host in known.hosts if host != sender["host"])
        hosts = [target["host"]] if target["host"] else [sender["host"]] + others[:1]
        places = [
            (host, known.hosts[host]["underlay"][family])
            for host in hosts
            if known.hosts[host]["underlay"][family]
        ]
    blocked = (sender["network"], target["network"]) in known.blocked
    # Other interfaces than the default one have no promise to keep towards Services, nor any
    # network towards what is redirected to a host.
    if not blocked and (
        sender["network"] != known.default or target["network"] not in (known.default, "")
    ):
        return
    for host, address in places:
        elsewhere = host not in (None, sender["host"])
        if blocked and elsewhere and known.networks[sender["network"]]["masquerade"]:
            # it arrives there in the name of this host, and what a node publishes is open to nodes
            continue
        if sender["addresses"][family]:
            goal = {
                "id": f"@{kind}/{target['name']}",
                "network": target["network"] or "@host",
                "host": host or sender["host"],
            }
            way = {"way": host} if host else {}
            yield _cell(
                kind,
                family,
                sender,
                goal,
                "blocked" if blocked else "reached",
                sender["addresses"][family],
                address,
                port=target["port"],
                ends=target["ends"],
                **way,
            )


def _from_host(sender, known):
    for (host, network), group in sorted(known.groups.items()):
        # On its own host the kubelet must reach every pod; across hosts one shows the way.
        for end in (
            group if host == sender["host"] else group[:1] if network == known.default else []
        ):
            for family, address in sorted(end["addresses"].items()):
                if address and not end["external"]:
                    yield _cell("host", family, sender, end, "reached", None, address)


def _from_outside(known):
    """A VXLAN message for one pod of each network and host, from the controller, in the name of
    nobody.
    """
    sender = dict(host_end(OUTSIDE), id=OUTSIDE, network=OUTSIDE)
    for host, network in sorted(known.groups):
        receiver = known.groups[(host, network)][0]
        if receiver["external"] or known.networks[network]["backend"]["type"] != "vxlan":
            continue
        for family, role in (("4", "device"), ("6", "device_v6")):
            device, underlay = (
                known.hosts[host]["networks"][network].get(role),
                known.hosts[host]["underlay"][family],
            )
            others = known.nodes.get((network, family), [])
            inner = [
                node["address"] for node in sorted(others, key=lambda node: node["host"] == host)
            ]
            if device and underlay and inner and receiver["addresses"][family]:
                yield _cell(
                    "outside",
                    family,
                    sender,
                    receiver,
                    "blocked",
                    None,
                    receiver["addresses"][family],
                    outer_address=underlay,
                    vni=device["vni"],
                    port=device["port"],
                    device_mac=device["mac"],
                    inner_source=inner[0],
                )
