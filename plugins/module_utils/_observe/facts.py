# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host and every namespace attached to its networks really have, read from the kernel.

Nothing here asks the code or the state files that attached them, save for what they are called (see
names.py).

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple, Union, cast

from .._names import ATTACHMENTS
from .._node import subnet_file
from .._node.links import Link, addresses, brief, json_lists
from .._ranges import is_within
from .._runtime import cri
from . import bypasses, names, netns

Routes = dict[str, list[dict[str, Any]]]  # of `ip -j -d route`, by family
Pod = dict[str, Any]  # see pod()
Port = dict[str, Any]  # see bridge_ports()
Given = dict[str, list[str]]  # what CNI gave a pod, see names.given()
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Range = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

POD_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/arp_announce",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/accept_redirects",
    "net/ipv6/conf/all/forwarding",
)
INTERFACE_SYSCTLS = ("arp_ignore", "arp_announce", "rp_filter", "forwarding")
# Whether it believes others about routes and addresses: path below /proc/sys/net, by the interface
AUTOCONF = "ipv6/conf/{}/autoconf"
BELIEVES = (
    "ipv6/conf/{}/accept_ra",
    "ipv4/conf/{}/accept_redirects",
    "ipv6/conf/{}/accept_redirects",
    AUTOCONF,
)
# Whether it answers for others
PROXIES = ("ipv4/conf/{}/proxy_arp", "ipv6/conf/{}/proxy_ndp")
RENAMED, RENAMED_END = "name of the interface", "name of its end on the host"
FORWARDS = "net/ipv4/conf/{}/forwarding"
HOST_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
)
# A pod that is being started or stopped is looked at again: so often, after so many seconds.
LOOKS, PAUSE = 6, 0.5
# What is looked at of a pod, whose owner can have any number: of interfaces, addresses of one, and
# routes of a family; and what `ip` may print of it, and for how long.
MOST, MOST_BYTES, MOST_SECONDS = 1000, 8 << 20, 10.0
# The kernel makes these in every namespace; nobody attached them.
FALLBACK_TUNNELS = ("tunl0", "sit0", "ip6tnl0", "gre0")


class _Seen(NamedTuple):
    """An attached namespace, and the ports by which it is attached."""

    pod: Pod
    ports: list[Port]
    excess: list[str]  # see within_limits()


class _Look(NamedTuple):
    """What a host showed once nothing moved any more.

    ports: of the plan's bridges, and loose_ports(); strangers: see bridge_ports(); pods: by
    link-netnsid; missing: {link-netnsid: why it could not be looked into}; sandboxes: see
    cri.sandboxes(); bare: pods that have lost all interfaces; unseen: sentences about those of them
    that could not be looked into.
    """

    links: list[Link]
    ports: list[Port]
    strangers: list[dict[str, Any]]
    pods: dict[int, _Seen]
    missing: dict[int, str]
    sandboxes: list[dict[str, Any]]
    bare: list[_Seen]
    unseen: list[str]


class Namespace(NamedTuple):
    """What is read from inside a namespace."""

    path: str
    inode: int
    links: list[Link]
    routes: Routes
    sysctls: dict[str, dict[str, Any]]  # {"all": ..., "interfaces": {name: ...}}


class Leading(NamedTuple):
    """What leads to a namespace, seen from the host."""

    ports: list[Port]  # on bridges of the plan, see also loose_ports()
    ends: dict[int, tuple[int, str]]  # see veths()
    external: dict[str, Any] | None = None  # of the plan: another CNI that has one interface


def gather(
    plan: dict[str, Any],
    host: str,
    state_dirs: Collection[str] = ATTACHMENTS,
    bundles: Iterable[str] = cri.BUNDLES,
    *,
    neighbours: bool = False,
) -> dict[str, Any]:
    """Return {"host", "node", "pods", "host_pods", "problems"} for this host, called host, in the
    terms of plan (see the plan's own documentation).

    node: {"underlay": {"4": address or None, "6": ...}, "networks": {name: see network_side()},
    "sysctls": {...}, "strangers": [...], "bypasses": see bypasses.found()}.
    pods: see pod(). host_pods: pods of Kubernetes in the host's own network: [{"label",
    "namespace", "name", "uid"}].
    problems: sentences about what could not be looked at. bundles: globs of the container runtime's
    files, see cri.sandboxes(). neighbours: whether pods get "neighbours", see _neighbours().

    Raises OSError or subprocess.SubprocessError if the host itself cannot be looked at.
    """
    seen = _settled(plan, state_dirs, bundles)
    routes = {"4": _ip("-4", "route"), "6": _ip("-6", "route")}
    sides = {
        network["name"]: network_side(network, seen.links, routes) for network in plan["networks"]
    }
    _find_ways(sides.values(), routes)
    on_devices = bypasses.look()
    node = {
        "underlay": underlay(seen.links, routes),
        "networks": sides,
        "sysctls": _sysctls([*HOST_SYSCTLS, *_forwarding(plan)]),
        "strangers": seen.strangers,
        "bypasses": bypasses.found(plan, seen.links, on_devices),
    }
    every = [*seen.pods.values(), *seen.bare]
    pods = [one.pod for one in every]
    _note_ends(pods, seen.links)
    unasked: list[str] = []
    for one in pods if neighbours else ():
        one["neighbours"] = _neighbours(one, unasked)
    return {
        "host": host,
        "node": node,
        "pods": names.unique(sorted(pods, key=lambda item: (item["label"], item["netns"]))),
        "host_pods": [
            {
                "label": cri.label(one),
                "namespace": one["namespace"],
                "name": one["name"],
                "uid": one["uid"],
            }
            for one in sorted(seen.sandboxes, key=cri.label)
            if one["host_network"]
        ],
        "problems": [*seen.unseen, *names.damaged(state_dirs), *on_devices.unseen, *unasked]
        + [
            f"{one.pod['label']} has {what}: only {MOST} of them were looked at."
            for one in every
            for what in one.excess
        ]
        + [
            f"{port['interface']} is attached to {port['bridge'] or 'no bridge'}, but the namespace"
            " behind it"
            f" (link-netnsid {port['netnsid']}) was not found under /run/netns,"
            f" /var/run/docker/netns or /proc/*/ns/net.{seen.missing.get(port['netnsid'], '')}"
            for port in seen.ports
            if port["netnsid"] not in seen.pods
        ],
    }


def _forwarding(plan: dict[str, Any]) -> list[str]:
    """Return the sysctls by which the host forwards what its devices in the networks bring. Of
    IPv6, that of all devices alone counts.
    """
    return [
        FORWARDS.format(network[role])
        for network in plan["networks"]
        for role in ("bridge", "device")
        if network.get(role)
    ]


def _settled(plan: dict[str, Any], state_dirs: Iterable[str], bundles: Iterable[str]) -> _Look:
    """Look at the host until no pod of it is being started or stopped, or LOOKS times."""
    pods: dict[int, _Seen] = {}
    missing: dict[int, str] = {}
    too_much: dict[int, str] = {}  # another look would last as long
    sandboxes: list[dict[str, Any]] = []
    labels: dict[int, dict[str, str]] = {}
    bare: dict[int, Given] = {}
    for look in range(LOOKS):
        if look > 1:
            time.sleep(PAUSE)
        given = names.given(state_dirs)  # before the links: what an ADD still makes is not in it
        links = _ip("addr")
        ports, strangers = bridge_ports(plan, links)
        ports += loose_ports(plan, links, given)
        behind = {
            number: [port for port in ports if port["netnsid"] == number]
            for number in {port["netnsid"] for port in ports}
        }
        # Pods come and go: what was seen counts only while the same veths lead to it.
        pods = {
            number: found for number, found in pods.items() if found.ports == behind.get(number)
        }
        again = {
            number
            for number in behind
            if number not in pods or unsettled(pods[number].pod, sandboxes)
        } - set(too_much)
        if look and not again and not bare:
            break
        found, missing = _look(plan, {number: behind[number] for number in again}, links, too_much)
        missing.update((number, too_much[number]) for number in set(too_much) & set(behind))
        pods.update(found)
        # After the look: a pod that still has its name then is not being taken down.
        sandboxes = cri.sandboxes(bundles)
        labels = names.labels(state_dirs, sandboxes)
        given = names.given(state_dirs)
        for seen in pods.values():
            names.give_names(seen.pod, labels.get(seen.pod["inode"], {}))
            mine = given.pop(seen.pod["inode"], {})
            seen.pod["lost"] = lost(plan, mine, seen.pod)
            seen.pod["renamed"] = renamed(plan, mine, seen.pod)
        # what could not be looked into may well have them
        shut = {port["interface"] for port in ports if port["netnsid"] not in pods}
        bare = {
            inode: one
            for inode, one in given.items()
            if lost(plan, one) and not shut & {end for ends in one.values() for end in ends}
        }
    without, unseen = _bare(plan, links, bare, labels)
    return _Look(links, ports, strangers, pods, missing, sandboxes, without, unseen)


def _bare(
    plan: dict[str, Any],
    links: list[Link],
    given: dict[int, Given],
    labels: dict[int, dict[str, str]],
) -> tuple[list[_Seen], list[str]]:
    """Return what is in the namespaces of pods that no port leads to, and sentences about those
    that could not be looked into. given: what they had on bridges of the plan, see names.given().
    """
    found: dict[int, _Seen] = {}
    why: dict[int, str] = {}
    for inode, path in netns.candidates().items() if given else ():
        if inode in given:
            try:
                number = netns.netnsid(path)
                ends = {} if number is None else veths(links, number)
                seen = _inside(plan, path, inode, Leading([], ends, plan.get("external")))
            except OSError as error:
                why[inode] = f" {path} could not be looked into: {error}."
                continue
            names.give_names(seen.pod, labels.get(inode, {}))
            seen.pod["lost"] = lost(plan, given[inode], seen.pod)
            found[inode] = seen
    unseen = [
        f"{label or f'A pod ({which})'} has lost all interfaces that CNI gave it:"
        f" {', '.join(one['interface'] for one in lost(plan, interfaces))}.{why.get(inode, '')}"
        for inode, interfaces in given.items()
        if inode not in found
        for label in [labels.get(inode, {}).get("label")]
        for container in [labels.get(inode, {}).get("container", "")]
        for which in [f"container {container[:12]}" if container else f"inode {inode}"]
    ]
    return list(found.values()), unseen


def lost(plan: dict[str, Any], given: Given, seen: Pod | None = None) -> list[dict[str, str]]:
    """Return [{"interface", "network"}] of what CNI gave a pod on bridges of the plan and it has no
    more. given: see names.given(). seen: None where the pod has nothing.
    """
    networks = {network["bridge"]: network["name"] for network in plan["networks"]}
    interfaces = seen["interfaces"] if seen else []
    there = {one[key] for one in interfaces for key in ("name", "peer")}
    return [
        {"interface": name, "network": networks[bridge]}
        for name, on_host in given.items()
        for bridge in on_host
        if bridge in networks and not there & {name, *on_host}
    ]


def renamed(plan: dict[str, Any], given: Given, seen: Pod) -> list[dict[str, str]]:
    """Return [{"interface", "network", "what", "expected", "observed"}] of what CNI gave a pod on
    bridges of the plan and has another name now, or whose end on the host has.
    """
    networks = {network["bridge"]: network["name"] for network in plan["networks"]}
    by_name = {one["name"]: one for one in seen["interfaces"]}
    by_peer = {one["peer"]: one for one in seen["interfaces"] if one["peer"]}
    found = []
    for name, (bridge, *ends) in ((name, one) for name, one in given.items() if one):
        if bridge not in networks or len(ends) != 1:
            continue
        here, there = by_name.get(name), by_peer.get(ends[0])
        if there and not here:
            pair = RENAMED, name, there["name"]
        elif here and not there and here["peer"] and here["bridge"] == bridge:
            pair = RENAMED_END, ends[0], here["peer"]
        else:
            continue
        of = {"interface": (here or there or {})["name"], "network": networks[bridge]}
        found.append(dict(of, **dict(zip(("what", "expected", "observed"), pair))))
    return found


def _look(
    plan: dict[str, Any], behind: dict[int, list[Port]], links: list[Link], too_much: dict[int, str]
) -> tuple[dict[int, _Seen], dict[int, str]]:
    """Return what is in the namespaces behind ({link-netnsid: its ports}), and {link-netnsid: why
    not} of those that could not be looked into; add those with too much to tell to too_much. links:
    the host's.
    """
    found: dict[int, _Seen] = {}
    missing: dict[int, str] = {}
    # Twice: the process by which a namespace was found may end under our eyes; then another one
    # leads there.
    for dummy in range(2):
        for inode, path in netns.candidates().items() if set(behind) - set(found) else ():
            number = None
            try:
                number = netns.netnsid(path)
                if number in found or number in too_much or number not in behind:
                    continue
                leading = Leading(behind[number], veths(links, number), plan.get("external"))
                found[number] = _inside(plan, path, inode, leading)
            except OSError as error:
                if number in behind:
                    why = f" {path} could not be looked into: {error}."
                    (too_much if isinstance(error, TooMuchError) else missing)[number] = why
    return found, missing


def _inside(plan: dict[str, Any], path: str, inode: int, leading: Leading) -> _Seen:
    """Return what is in the namespace at path; raise OSError."""
    with netns.inside(path, inode):
        routes = {family: _ip("-" + family, "route", most=MOST_BYTES) for family in ("4", "6")}
        own = _ip("addr", most=MOST_BYTES)
        own, routes, excess = within_limits(own, routes, leading)
        sysctls = _pod_sysctls({link["ifname"] for link in own})
    inside = Namespace(path, inode, own, routes, sysctls)
    return _Seen(meant(plan, pod(inside, leading)), leading.ports, excess)


def unsettled(seen: Pod, sandboxes: Sequence[dict[str, Any]]) -> bool:
    """True if a pod (see pod()) looks like one that is just being started or stopped.

    sandboxes: what the container runtime of the host knows.
    """
    in_kubernetes = bool(sandboxes) and not seen["container"] and not seen["name"]
    return (
        in_kubernetes
        or bool(seen.get("lost"))
        or any(
            not (item["network"] and item["addresses"] and item["up"])
            or not (item["bridge"] or item["external"])
            for item in seen["interfaces"]
        )
    )


def bridge_ports(
    plan: dict[str, Any], links: list[Link]
) -> tuple[list[Port], list[dict[str, Any]]]:
    """Return (ports, strangers) of the plan's bridges, from the host's links (`ip -j -d addr`).

    ports: [{"interface", "bridge", "network", "index", "peer", "netnsid"}] of the veths that lead
    into another namespace; strangers: [{"interface", "bridge", "network", "kind"}] whatever else is
    enslaved to a bridge of the plan.
    """
    networks = {network["bridge"]: network["name"] for network in plan["networks"]}
    ports, strangers = [], []
    for link in links:
        bridge = link.get("master")
        if bridge not in networks:
            continue
        kind = link.get("linkinfo", {}).get("info_kind", link.get("link_type"))
        port = {"interface": link["ifname"], "bridge": bridge, "network": networks[bridge]}
        if kind == "veth" and "link_netnsid" in link and "link_index" in link:
            ports.append(
                dict(
                    port,
                    index=link["ifindex"],
                    peer=link["link_index"],
                    netnsid=link["link_netnsid"],
                )
            )
        else:
            strangers.append(dict(port, kind=kind))
    return ports, strangers


def loose_ports(plan: dict[str, Any], links: list[Link], given: dict[int, Given]) -> list[Port]:
    """Return the host's ends, as bridge_ports() does, of what CNI put on bridges of the plan and
    others have taken off: "bridge" is what they are on now, or None. given: see names.given().
    """
    networks = {network["bridge"]: network["name"] for network in plan["networks"]}
    loose = {
        link["ifname"]: link
        for link in links
        if link.get("linkinfo", {}).get("info_kind") == "veth"
        and link.get("master") not in networks
        and "link_netnsid" in link
        and "link_index" in link
    }
    return [
        {
            "interface": end,
            "bridge": loose[end].get("master"),
            "network": networks[bridge],
            "index": loose[end]["ifindex"],
            "peer": loose[end]["link_index"],
            "netnsid": loose[end]["link_netnsid"],
        }
        for interfaces in given.values()
        for on_host in interfaces.values()
        for bridge in on_host[:1]
        for end in on_host[1:]
        if bridge in networks and end in loose
    ]


def network_side(network: dict[str, Any], links: list[Link], routes: Routes) -> dict[str, Any]:
    """Return the host's side of a network: {"bridge", "device", "device_v6", "lease", "routes":
    [{"prefix", "device", "gateway", "dead"}] into its ranges}, see also _find_ways().

    A device is None when missing, see device(). lease: what flanneld wrote to its subnet file, {}
    without one.
    """
    by_name = {link["ifname"]: link for link in links}
    over = [
        {
            "prefix": route["dst"],
            "device": route.get("dev"),
            "gateway": route.get("gateway"),
            "dead": bool({"dead", "linkdown"} & set(route.get("flags", []))),
        }
        for family in ("4", "6")
        for route in routes[family]
        if in_ranges(route["dst"], network)
    ]
    return {
        "bridge": device(by_name.get(network["bridge"])),
        "device": device(by_name.get(network.get("device") or "")),
        "device_v6": device(by_name.get(network.get("device_v6") or "")),
        "lease": subnet_file.read(network["subnet_file"]),
        "routes": over,
    }


def _find_ways(sides: Iterable[dict[str, Any]], routes: Routes) -> None:
    """Add to each route to another host's subnet (see network_side()) the "way" that the kernel
    finds for a packet of a pod: a device, "" if it has none. Rules (ip rule) come before routes.
    """
    asked = list(questions(sides, routes))
    lines = [f"route get {to} from {source} iif {bridge}\n" for to, source, bridge, dummy in asked]
    if not lines:
        return
    command = ["ip", "-j", "-force", "-batch", "-"]
    done = subprocess.run(
        command, input="".join(lines), capture_output=True, check=False, text=True
    )
    ways = [one for listed in json_lists(done.stdout) for one in listed if "dev" in one]
    found = {(one["dst"], one["from"]): one["dev"] for one in ways}
    for to, source, dummy, route in asked:
        route["way"] = found.get((to, source), "")


def questions(
    sides: Iterable[dict[str, Any]], routes: Routes
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield (address, source, bridge, route) of each route that leads an address of a network to
    other hosts: the way to that address from that source, a pod's, is worth a question.
    """
    tables = {family: _Table(routes[family]) for family in ("4", "6")}
    for side in sides:
        bridge = str(side["bridge"]["name"]) if side["bridge"] and side["bridge"]["up"] else ""
        for route in side["routes"] if bridge else ():
            prefix = ipaddress.ip_network(route["prefix"])
            own = [
                one for one in subnet_file.subnets(side["lease"]) if one.version == prefix.version
            ]
            if not own or route["device"] in (None, bridge) or prefix.num_addresses < 8:
                continue
            if route["dead"]:
                continue
            # that of a whole range holds the host's own subnet
            for address in (prefix[2], prefix[-3]):
                best = tables[str(prefix.version)].first(address)
                if best and (best["dst"], best.get("dev")) == (route["prefix"], route["device"]):
                    yield str(address), str(own[0][-2]), bridge, route
                    break


class _Table:
    """Routes by what they lead to."""

    def __init__(self, routes: list[dict[str, Any]]) -> None:
        self.routes: dict[Range, dict[str, Any]] = {}
        for route in routes:
            with contextlib.suppress(ValueError):  # "default"
                self.routes.setdefault(ipaddress.ip_network(route["dst"]), route)
        self.lengths = sorted({prefix.prefixlen for prefix in self.routes}, reverse=True)

    def first(self, address: Address) -> dict[str, Any] | None:
        """Return the narrowest route to an address, the first one of several."""
        for length in self.lengths:
            route = self.routes.get(ipaddress.ip_network((address, length), strict=False))
            if route:
                return route
        return None


def in_ranges(prefix: str, network: dict[str, Any]) -> bool:
    """True if prefix (may be "default") lies in one of the network's ranges."""
    try:
        inner = ipaddress.ip_network(prefix)
    except ValueError:
        return False
    ranges = filter(None, (network.get("cidr"), network.get("ipv6_cidr")))
    return any(is_within(inner, ipaddress.ip_network(text)) for text in ranges)


def device(one: Link | None) -> dict[str, Any] | None:
    """Return links.brief() of a link and "arp" (whether it asks and answers), None of None."""
    return None if one is None else dict(brief(one), arp=_arp(one))


def _arp(one: Link) -> bool:
    return "NOARP" not in one["flags"]


def _note_ends(pods: Iterable[Pod], links: Iterable[Link]) -> None:
    """Add to each interface of pods that has an end on the host its "end": {"up", "mtu"}, None if
    it has gone. links: the host's.
    """
    by_name = {link["ifname"]: link for link in links}
    for one in pods:
        for interface in one["interfaces"]:
            if interface["peer"]:
                end = by_name.get(interface["peer"])
                interface["end"] = end and {"up": "UP" in end["flags"], "mtu": end["mtu"]}


def underlay(links: list[Link], routes: Routes) -> dict[str, str | None]:
    """Return {"4": address, "6": address}: what vxlan devices send from, else the address of the
    default route's interface; None without.
    """
    found: dict[str, str | None] = {"4": None, "6": None}
    for link in links:
        data = link.get("linkinfo", {}).get("info_data", {})
        if link.get("linkinfo", {}).get("info_kind") == "vxlan":
            found["4"] = found["4"] or data.get("local")
            found["6"] = found["6"] or data.get("local6")
    for family in ("4", "6"):
        outgoing = [route.get("dev") for route in routes[family] if route["dst"] == "default"]
        for link in links:
            if link["ifname"] in outgoing:
                for address in addresses(link):
                    if (":" in address) == (family == "6"):
                        found[family] = found[family] or address.split("/")[0]
    return found


def veths(links: list[Link], number: int) -> dict[int, tuple[int, str]]:
    """Return {index of the pod's end: (index, name) of the host's end} of the veths that lead into
    the namespace with that link-netnsid.
    """
    return {
        link["link_index"]: (link["ifindex"], link["ifname"])
        for link in links
        if link.get("link_netnsid") == number and "link_index" in link
    }


def within_limits(
    links: list[Link], routes: Routes, leading: Leading
) -> tuple[list[Link], Routes, list[str]]:
    """Return the links and routes of a pod that are looked at, those first that are attached; and
    of what there is more than MOST, as words.
    """
    excess = []

    def some(items: list[Any], what: str) -> list[Any]:
        if len(items) > MOST:
            excess.append(f"{len(items)} {what}")
        return items[:MOST]

    external = (leading.external or {}).get("interface")
    attached = {port["peer"] for port in leading.ports}
    links = sorted(
        links, key=lambda link: link["ifindex"] not in attached and link["ifname"] != external
    )
    kept = []
    for link in some(links, "interfaces"):
        listed: list[dict[str, Any]] = []
        for family in ("inet", "inet6"):
            own = [one for one in link.get("addr_info", []) if one.get("family") == family]
            listed += some(own, f"addresses ({family}) on {link['ifname']}")
        kept.append(dict(link, addr_info=listed))
    return (
        kept,
        {key: some(listed, f"routes (IPv{key})") for key, listed in routes.items()},
        excess,
    )


def pod(inside: Namespace, leading: Leading) -> Pod:
    """Return what one attached namespace has.

    {"label", "namespace", "name", "uid" (the three of Kubernetes, else ""), "netns", "inode",
    "container": id or "", "recorded": whether the collection attached it, "lost": see lost(),
    "renamed": see renamed(),
    "interfaces": [...],
    "routes": {"4", "6"}, "default_routes": {"4": [interfaces], "6": [...]}, "sysctls"}; an
    interface: {"name" (see names.plain()), "index", "network" (None if its peer is on no bridge of
    the plan, and CNI put it on none), "external": bool, "bridge", "peer", "mac", "mtu", "up",
    "arp", "addresses", "gateway": {"4", "6"}, "sysctls"}, see also _note_ends().
    """
    routes = inside.routes
    return {
        "label": "",
        "namespace": "",
        "name": "",
        "uid": "",
        "netns": inside.path,
        "inode": inside.inode,
        "container": "",
        "recorded": False,
        "lost": [],
        "renamed": [],
        "interfaces": [
            _interface(link, inside, leading)
            for link in inside.links
            if link["link_type"] != "loopback" and not _is_fallback(link)
        ],
        "routes": {
            family: [
                {key: route[key] for key in ("dst", "gateway", "dev", "metric") if key in route}
                for route in routes[family]
            ]
            for family in ("4", "6")
        },
        "default_routes": {
            family: sorted(
                {
                    route["dev"]
                    for route in routes[family]
                    if route["dst"] == "default" and "dev" in route
                }
            )
            for family in ("4", "6")
        },
        "sysctls": inside.sysctls["all"],
    }


def _is_fallback(link: Link) -> bool:
    """True of what no pod attached: it may call what somebody attached so, too."""
    kind = link.get("linkinfo", {}).get("info_kind")
    return link["ifname"] in FALLBACK_TUNNELS and kind != "veth"


def _interface(link: Link, inside: Namespace, leading: Leading) -> dict[str, Any]:
    """Return what pod() says of an interface: link, one of inside."""
    port = next((one for one in leading.ports if one["peer"] == link["ifindex"]), {})
    if link.get("link_index") != port.get("index"):
        port = {}
    index, peer = leading.ends.get(link["ifindex"], (None, None))
    # The one interface that another CNI owns.
    owner = leading.external if not port else None
    if owner and owner["interface"] != link["ifname"]:
        owner = None
    return {
        "name": link["ifname"],
        "index": link["ifindex"],
        "network": owner["name"] if owner else port.get("network"),
        "external": bool(owner),
        "bridge": port.get("bridge"),
        "peer": (
            port.get("interface") or (peer if owner and link.get("link_index") == index else None)
        ),
        "mac": link.get("address"),
        "mtu": link["mtu"],
        "up": "UP" in link["flags"],
        "arp": _arp(link),
        "addresses": addresses(link),
        "gateway": {
            family: next(
                (
                    route["gateway"]
                    for route in inside.routes[family]
                    if route.get("dev") == link["ifname"] and "gateway" in route
                ),
                None,
            )
            for family in ("4", "6")
        },
        "sysctls": inside.sysctls["interfaces"].get(link["ifname"], {}),
    }


def meant(plan: dict[str, Any], seen: Pod) -> Pod:
    """Return a pod whose interfaces belong to the networks that their addresses are of, not to
    those of the bridges that they are on: one on a wrong bridge is a way between two networks.
    """
    for interface in seen["interfaces"]:
        if interface["bridge"] and interface["addresses"]:
            address = str(ipaddress.ip_interface(interface["addresses"][0]).ip)
            own = [one["name"] for one in plan["networks"] if in_ranges(address, one)]
            interface["network"] = own[0] if own else interface["network"]
    return seen


def _neighbours(seen: Pod, unasked: list[str]) -> list[dict[str, str]]:
    """Return [{"interface", "address", "mac"}] of those that have answered a pod; none of one that
    has gone. unasked: where to say so of one that is there, and could not be asked.
    """
    try:
        with netns.inside(seen["netns"], seen["inode"]):
            return [
                {"interface": one["dev"], "address": one["dst"], "mac": one["lladdr"]}
                for one in _ip("neigh", most=MOST_BYTES)
                if "lladdr" in one and "PERMANENT" not in one.get("state", [])
            ]
    except OSError as error:
        if _is_there(seen):
            unasked.append(f"Whom {seen['label']} knows was not looked at: {error}.")
        return []


def _is_there(seen: Pod) -> bool:
    try:
        return os.stat(seen["netns"]).st_ino == seen["inode"]
    except OSError:
        return False


def _pod_sysctls(wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """wanted: names of interfaces, see names.plain()."""
    interfaces: dict[str, dict[str, int]] = {}
    for name in os.listdir("/proc/sys/net/ipv4/conf"):
        plain = names.plain(os.fsencode(name))
        if plain not in wanted:
            continue
        values = _sysctls(f"net/ipv4/conf/{name}/{key}" for key in INTERFACE_SYSCTLS)
        believed = _sysctls("net/" + path.format(name) for path in BELIEVES + PROXIES)
        interfaces[plain] = {path.rsplit("/", 1)[1]: value for path, value in values.items()}
        for path, value in believed.items():
            interfaces[plain][path.replace(f"/{name}/", f"/{plain}/")] = value
    return {"all": _sysctls(POD_SYSCTLS), "interfaces": interfaces}


def _sysctls(paths: Iterable[str]) -> dict[str, int]:
    """Return {path: int} of those that exist."""
    values = {}
    for path in paths:
        try:
            with open("/proc/sys/" + path, encoding="ascii") as file:
                values[path] = int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            continue
    return values


class TooMuchError(OSError):
    """A pod has more to tell than is listened to."""


def _ip(*arguments: str, most: int = -1) -> list[dict[str, Any]]:
    """most: bytes that it may print, in MOST_SECONDS; -1: of the host itself."""
    command = ["ip", "-j", "-d", *arguments]
    asked, late = " ".join(command), threading.Event()
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process:

            def end() -> None:
                late.set()
                process.kill()

            clock = threading.Timer(MOST_SECONDS, end)
            clock.daemon = True
            if most >= 0:
                clock.start()
            try:
                printed = cast(IO[bytes], process.stdout).read(most + 1 if most >= 0 else -1)
                if len(printed) > most >= 0:
                    raise TooMuchError(f"{asked}: it prints more than {most >> 20} MiB")
            except BaseException:
                process.kill()
                raise
            finally:
                clock.cancel()
        complaints.seek(0)
        said = complaints.read().strip().decode("latin-1")
    if late.is_set():
        raise TooMuchError(f"{asked}: it takes longer than {MOST_SECONDS:.0f} s")
    if process.returncode != 0:
        raise OSError(process.returncode, f"{asked}: {said}")
    try:
        # a pod may name an interface by any bytes, of which `ip` escapes few: one character each
        listed = json.loads(
            printed.decode("latin-1") or "[]", strict=False, object_hook=_with_plain_names
        )
        return [item for item in listed if item]
    except ValueError as error:
        raise OSError(f"{asked} prints no JSON: {error}") from None


def _with_plain_names(item: dict[str, Any]) -> dict[str, Any]:
    for key in ("ifname", "dev", "master"):
        if key in item:
            item[key] = names.plain(item[key].encode("latin-1"))
    return item
