# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network of a host is, against what was planned: every difference with its cause. Pure.

Runs on hosts. What flannel makes of a lease: pkg/backend/vxlan/vxlan_network.go (a route, a
neighbour and an FDB entry for every other host), pkg/backend/route_network.go (host-gw: a route).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._node import subnet_file
from .._plan.schema import BACKENDS, leads_over_underlay

GUARD = "multinet-isolation.service"
SUBNET_SERVER = "multinet-subnets.service"


class Remedy(NamedTuple):
    """What puts a deviation right: says the sentence's end; by: who can do it, `site` or `hand`."""

    text: str
    by: str = "site"


# What is wrong -> what puts it right. The order is that of cause and effect: of two deviations of
# one network, the one that stands first here is told first.
REMEDIES = {
    "forwarding": Remedy("set it back to 1, and find out what changed it"),
    "guard": Remedy("run the playbook site"),
    "datastore": Remedy("see to the data store", "hand"),
    "daemon": Remedy("start it: run the playbook site"),
    "underlay": Remedy("run the playbook site"),
    "lease": Remedy("restart the daemon: run the playbook site"),
    "subnet_file": Remedy("restart the daemon: run the playbook site"),
    "device": Remedy("restart the daemon: run the playbook site"),
    "bridge": Remedy("detach the pods that use it and run the playbook site"),
    "routes": Remedy("restart the daemon: run the playbook site"),
    "neighbours": Remedy("restart the daemon: run the playbook site"),
    "cni": Remedy("run the playbook site"),
}


class Deviation(NamedTuple):
    """One difference: network (its name, "" for the host's own), kind (of REMEDIES), sentence."""

    network: str
    kind: str
    sentence: str

    def remedy(self) -> str:
        """Return what puts it right."""
        return REMEDIES[self.kind].text

    def line(self) -> str:
        """Return it with its network and its remedy, for people."""
        place = f"network {self.network}: " if self.network else ""
        return f"{place}{self.sentence}; {self.remedy()}"


def deviations(plan: dict[str, Any], seen: dict[str, Any]) -> list[Deviation]:
    """Return every difference between a plan and what observe.look() saw, causes first.

    plan: as _plan.plan.plan() makes it. Whatever was not looked at (None) is not compared.
    """
    found = [*_host(plan, seen)]
    for network in plan["networks"]:
        found += _network(network, seen)
    order = list(REMEDIES)
    return sorted(found, key=lambda one: (one.network, order.index(one.kind)))


def not_compared(plan: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return what could not be looked at, as sentences: no verdict is better than its eyes."""
    return [
        f"The leases of network {network['name']} were not looked at. {seen['leases_problem']}"
        for network in plan["networks"]
        if seen["leases"].get(network["name"]) is None and not seen["leases_wrong"]
    ]


def status(plan: dict[str, Any] | None, seen: dict[str, Any] | None) -> dict[str, Any]:
    """Return what module node_status_info says; both are None where nothing is deployed."""
    if plan is None or seen is None:
        nothing = "nothing is deployed on this host; run the playbook site"
        return {
            "ok": False,
            "deployed": False,
            "networks": [],
            "deviations": [],
            "not_looked_at": [],
            "lines": [nothing],
        }
    found, unseen = deviations(plan, seen), not_compared(plan, seen)
    networks = [
        {
            "name": network["name"],
            "ok": not any(one.network == network["name"] for one in found),
            "subnets": subnet_file.gateways(seen["subnet_files"][network["name"]]),
        }
        for network in plan["networks"]
    ]
    lines = [one.line() for one in found if not one.network] + unseen
    for network in networks:
        state = "as deployed" if network["ok"] else "not as deployed"
        where = ", ".join(network["subnets"]) or "no subnet"
        lines.append(f"{network['name']}: {where}, {state}")
        lines += [
            f"  {one.sentence}; {one.remedy()}" for one in found if one.network == network["name"]
        ]
    return {
        "ok": not found and not unseen,
        "deployed": True,
        "networks": networks,
        "deviations": [dict(one._asdict(), remedy=one.remedy()) for one in found],
        "not_looked_at": unseen,
        "lines": lines,
    }


def _host(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    off = forwarding_off(plan, seen)
    if off:
        names = " and ".join(path.replace("/", ".") for path in off)
        yield Deviation(
            "",
            "forwarding",
            f"{names} is not 1, so this host forwards nothing between pods and hosts",
        )
    yield from _guard(plan, seen)
    if seen["leases_wrong"]:
        yield Deviation("", "datastore", seen["leases_problem"].rstrip("."))
    for path, reason in sorted(seen["cni_files"].items()):
        yield Deviation("", "cni", f"{path} {reason}")


def forwarding_off(plan: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return the sysctls (paths below /proc/sys) that the networks need to be 1 and are not.

    The bridge plugin switches them on with the first pod, so without a bridge they may be off.
    """
    used = [network for network in plan["networks"] if network["bridge"] in seen["links"]]
    wanted = ["net/ipv4/ip_forward"] if used else []
    if any(network["ipv6_cidr"] for network in used):
        wanted.append("net/ipv6/conf/all/forwarding")
    return [path for path in wanted if seen["sysctls"].get(path) != 1]


def _guard(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    guard = seen["guard"]
    if guard["devices"] is None:
        yield Deviation(
            "",
            "guard",
            "the guard's table inet multinet is not in the kernel: nothing is kept apart",
        )
        return
    open_to_all = [
        network["name"]
        for network in plan["networks"]
        if not set(network["devices"]) <= set(guard["devices"])
    ]
    if open_to_all:
        yield Deviation(
            "", "guard", f"the guard's table does not know {_names('network', open_to_all)}"
        )
    if seen["units"].get(GUARD, {}).get("ActiveState") != "active":
        yield Deviation("", "guard", f"{GUARD} does not run, so nobody holds the table")
    elif guard["error"]:
        yield Deviation("", "guard", f"the guard could not load its file: {guard['error']}")
    elif guard["file_changed"]:
        yield Deviation("", "guard", "the guard's file is newer than the table that it loaded")


def _network(network: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    def wrong(kind: str, sentence: str) -> Deviation:
        return Deviation(network["name"], kind, sentence)

    name, unit = network["name"], network["unit"]
    state = seen["units"].get(unit)
    down = _why_down(state) if state is not None else ""
    if down:
        yield wrong("daemon", f"{unit} {down}")
    underlay = seen["underlay"].get(name) or {}
    if underlay.get("missing"):
        yield wrong("underlay", underlay["missing"])

    written = subnet_file.gateways(seen["subnet_files"].get(name) or {})
    if not written:
        yield wrong("subnet_file", f"{network['subnet_file']} says no subnet, so no pod can start")
    leases = seen["leases"].get(name)
    own = None
    if leases is not None:
        own = _own(leases, underlay.get("addresses", []), written)
        yield from (wrong("lease", text) for text in _lease(own, underlay, written, leases, unit))
    if down:
        return  # what a daemon makes is as it was when it last ran
    mine = [str(ipaddress.ip_network(subnet, strict=False)) for subnet in written]
    yield from (wrong("device", text) for text in _devices(network, seen, own, mine, underlay))
    yield from (wrong("bridge", text) for text in _bridge(network, seen, written))
    if leases is not None and BACKENDS[network["backend"]["type"]].routes == "subnet":
        others = [lease for lease in leases if lease is not own]
        yield from (wrong(kind, text) for kind, text in _peers(network, seen, others) if others)


def _why_down(state: dict[str, Any]) -> str:
    """Say why a unit does not do its work, "" if it seems to."""
    if state.get("LoadState") == "not-found":
        return "is not installed"
    if state.get("ActiveState") != "active":
        return f"is {state.get('ActiveState')} ({state.get('SubState')})"
    if state.get("process") in ("T", "t"):
        return "is stopped by a signal (SIGSTOP): it renews no lease and follows no other host"
    return ""


def planned_mtu(network: dict[str, Any], seen: dict[str, Any]) -> int | None:
    """Return the MTU that pods get, and the vxlan device has; None while no flanneld said it."""
    text = seen["subnet_files"][network["name"]].get("FLANNEL_MTU", "")
    return int(text) if network["backend"]["type"] == "vxlan" and text.isdigit() else None


def base(subnet: str) -> str:
    """Return the address of a subnet that its tunnel device has: the first one of the range."""
    return str(ipaddress.ip_network(subnet, strict=False).network_address)


def room(subnet: str) -> int:
    """Return how many pods a subnet has addresses for: all but its ends and the gateway."""
    return max(ipaddress.ip_network(subnet, strict=False).num_addresses - 3, 0)


def _own(
    leases: list[dict[str, Any]], addresses: list[str], written: list[str]
) -> dict[str, Any] | None:
    """Return this host's lease: that of its subnet, else that of its address."""
    mine = {str(ipaddress.ip_network(subnet, strict=False)) for subnet in written}
    for lease in leases:
        if mine & {lease["subnet"], lease["ipv6_subnet"]}:
            return lease
    for lease in leases:
        if lease["public_ip"] in addresses:
            return lease
    return None


def _lease(
    own: dict[str, Any] | None,
    underlay: dict[str, Any],
    written: list[str],
    leases: list[dict[str, Any]],
    unit: str,
) -> Iterator[str]:
    addresses = underlay.get("addresses", [])
    if own is None:
        if written:
            yield f"{unit} works with {', '.join(written)} and holds no lease of it"
        return
    if addresses and own["public_ip"] and own["public_ip"] not in addresses:
        if own["public_ip"] in underlay.get("all", []):
            yield (
                f"{unit} holds the lease of {own['public_ip']}, which is not the underlay's address"
                f" ({addresses[0]})"
            )
        else:
            yield (
                f"{unit} works with {own['subnet']}, and the lease of it is that of"
                f" {own['public_ip']}, which this host does not have"
            )
    mine = {str(ipaddress.ip_network(subnet, strict=False)) for subnet in written}
    held = {subnet for subnet in (own["subnet"], own["ipv6_subnet"]) if subnet}
    if written and mine != held:
        yield (
            f"the lease in the data store is {', '.join(sorted(held))} and the subnet file says"
            f" {', '.join(sorted(mine))}"
        )
    twice = [
        other["subnet"]
        for other in leases
        if other is not own and own["public_ip"] and other["public_ip"] == own["public_ip"]
    ]
    if twice:
        yield f"{own['public_ip']} holds a second lease ({', '.join(twice)})"


def _devices(
    network: dict[str, Any],
    seen: dict[str, Any],
    own: dict[str, Any] | None,
    mine: list[str],
    underlay: dict[str, Any],
) -> Iterator[str]:
    for key, mac, version in (("device", "mac", 4), ("device_v6", "mac_v6", 6)):
        device = network[key]
        if not device or (key == "device_v6" and device == network["device"]):
            continue
        link = seen["links"].get(device)
        if link is None:
            yield f"the device {device} is not there"
            continue
        if not link["up"]:
            yield f"the device {device} is down"
        if network["backend"]["type"] == "vxlan":
            backend = network["backend"]
            for what, is_now, wanted in (
                ("VNI", link["vni"], backend["vni"]),
                ("UDP port", link["port"], backend["port"]),
            ):
                if is_now != wanted:
                    yield f"{device} has {what} {is_now}, planned is {wanted}"
            mtu = planned_mtu(network, seen)
            if key == "device" and mtu not in (None, link["mtu"]):
                yield f"{device} has the MTU {link['mtu']}, and pods get {mtu}"
            local = link["local"]
            if version == 4 and underlay.get("addresses") and local not in underlay["addresses"]:
                yield (
                    f"{device} sends from {local}, and the underlay's address is"
                    f" {underlay['addresses'][0]}"
                )
            if own and own[mac] and own[mac] != link["mac"]:
                yield (
                    f"{device} has the MAC {link['mac']}, and its lease tells the other hosts"
                    f" {own[mac]}"
                )
            bases = [
                base(subnet) for subnet in mine if ipaddress.ip_network(subnet).version == version
            ]
            has = {address.split("/")[0] for address in link["addresses"]}
            missing = [base for base in bases if base not in has]
            former = sorted(has - set(bases)) if bases else []
            if missing:
                yield f"{device} lacks the address {', '.join(missing)}"
            if former:
                yield f"{device} has the address {', '.join(former)}, which is not of its subnet"


def _bridge(network: dict[str, Any], seen: dict[str, Any], written: list[str]) -> Iterator[str]:
    link = seen["links"].get(network["bridge"])
    if link is None or not written:
        return  # the first pod makes it
    has = set(link["addresses"])
    former = sorted(has - set(written))
    missing = sorted(set(written) - has)
    pods = f" ({link['ports']} interfaces of pods are on it)" if link["ports"] else ""
    if missing:
        yield f"the bridge {link['name']} lacks the address {', '.join(missing)}{pods}"
    if former:
        yield f"the bridge {link['name']} has {', '.join(former)}, of a former subnet{pods}"
    if not link["up"]:
        yield f"the bridge {link['name']} is down{pods}"


def _peers(
    network: dict[str, Any], seen: dict[str, Any], others: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield (kind, sentence) about what leads to every other host's subnet."""
    routes = {route["dst"]: route for route in seen["routes"]}
    no_route, wrong_way, no_neighbour, no_entry = [], [], [], []
    vxlan = network["backend"]["type"] == "vxlan"
    over_underlay = leads_over_underlay(network["backend"])
    for lease in others:
        for subnet, device, mac, public in (
            (lease["subnet"], network["device"], lease["mac"], lease["public_ip"]),
            (lease["ipv6_subnet"], network["device_v6"], lease["mac_v6"], lease["public_ipv6"]),
        ):
            if not subnet:
                continue
            who = f"{subnet} ({public})"
            route = routes.get(subnet)
            if route is None:
                no_route.append(who)
                continue
            if over_underlay and route["gateway"] == public:
                continue
            way = (device, base(subnet) if vxlan else public)
            if (route["dev"], route["gateway"]) != way:
                via = f" via {route['gateway']}" if route["gateway"] else ""
                wrong_way.append(f"{who} by {route['dev']}{via}")
                continue
            if vxlan and mac:
                if seen["neighbours"].get(device, {}).get(base(subnet)) != mac:
                    no_neighbour.append(who)
                if seen["fdb"].get(device, {}).get(mac) != public:
                    no_entry.append(who)
    if no_route:
        yield "routes", f"there is no route to {_some(no_route)}"
    if wrong_way:
        yield "routes", f"the route leads elsewhere: to {_some(wrong_way)}"
    if no_neighbour:
        yield "neighbours", f"the neighbour entry is missing or wrong for {_some(no_neighbour)}"
    if no_entry:
        yield "neighbours", f"the FDB entry is missing or wrong for {_some(no_entry)}"


def _names(what: str, names: list[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _some(items: list[str], most: int = 3) -> str:
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
