# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one network of a host is, against what was planned. Pure; for compare.deviations().

Runs on hosts. What flannel makes of a lease is in its pkg/backend: vxlan/vxlan_network.go (a route,
a neighbour and an FDB entry for every other host), route_network.go (host-gw, ipip: a route),
wireguard/device.go and udp/udp_network_amd64.go (one route for all), ipsec/handle_xfrm.go
(policies).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._node import links, passage, subnet_file
from .._plan.schema import BACKENDS, leads_over_underlay
from .._ranges import is_within
from . import rules

# A lease is renewed an hour before it ends, and each minute from then on until that works (flannel,
# pkg/subnet/etcd/local_manager.go; its --subnet-lease-renew-margin). Five of them may fail.
RENEWED_BEFORE = 60 * 60 - 5 * 60
# how long a takeover of all hosts may take, in seconds: as long as a lease in etcd lasts
ADOPTING = 24 * 3600.0

_IPV6_METRIC = 1024  # the kernel's, where none is given

Seen = dict[str, Any]  # what observe.look() returns
Network = dict[str, Any]  # of a plan
Lease = dict[str, str]  # of network_config.lease()
Found = Iterator[tuple[str, str]]  # (kind of compare.KINDS, sentence)


def deviations(network: Network, seen: Seen) -> Found:
    """Yield (kind, sentence) of everything about a network that is not as planned."""
    name, unit = network["name"], network["unit"]
    config = seen["configs"].get(name)
    if config is not None and config != network["flannel_config"]:
        yield "config", _config(network["flannel_config"], config)
    state = seen["units"].get(unit)
    down = _why_down(state) if state is not None else ""
    if down:
        yield "daemon", f"{unit} {down}"
    underlay = seen["underlay"].get(name) or {}
    if underlay.get("missing"):
        yield "underlay", underlay["missing"]
    written = subnet_file.gateways(seen["subnet_files"].get(name) or {})
    if not written:
        yield "subnet_file", f"{network['subnet_file']} has no subnet, so no pod can start"
    leases = seen["leases"].get(name)
    own = None
    if leases is not None:
        own = _own(leases, underlay.get("addresses", []), written)
        # a flanneld that started beside such a key could not take its subnet again; one that runs
        # renews it, and then it can be read
        if own or not _is_unreadable(written, seen, name):
            for text in _lease(own, underlay, written, leases, unit):
                yield "lease", text
        if own and not down:
            for text in _not_renewed(own, seen["lease_seconds"].get(name), unit):
                yield "lease", text
        for text in _other_hosts(network, own, leases):
            yield "peers", text
    for text in _mtu(network, seen, underlay):
        yield "mtu", text
    for text in _bridge(network, seen, written):
        yield "bridge", text
    if down:
        return  # what a daemon makes is as it was when it last ran
    for text in _devices(network, seen, own, underlay):
        yield "device", text
    if leases is not None:
        yield from _ways(network, seen, own, _others(network, leases, own))
        routed = own and BACKENDS[network["backend"]["type"]].routes
        if routed and not lacks_leases(seen["adopted"]):
            for one in unleased(network, seen):
                yield "unleased", one.sentence


def _not_renewed(own: Lease, seconds: int | None, unit: str) -> Iterator[str]:
    """seconds: until the lease ends; None where that is not known."""
    if seconds is not None and seconds < RENEWED_BEFORE:
        yield (
            f"{unit} runs and does not renew its lease of {own['subnet']}, which ends in"
            f" {max(seconds, 0) // 60} minutes"
        )


def never_compared(network: Network, seen: Seen) -> Iterator[str]:
    """Yield sentences about what nobody can look at on this host."""
    name, backend = network["name"], network["backend"]["type"]
    for one in closed_ways(network, seen):
        if not one.sure:
            yield f"Network {name}: {one.sentence}"
    if backend == "udp":
        yield (
            f"It was not checked which hosts the flanneld of network {name} sends to: only flanneld"
            " knows (backend udp)."
        )
    if backend == "wireguard" and seen["wireguard"] is None:
        yield (
            f"The peers of network {name} were not looked at. Install wireguard-tools, which has"
            " the command wg."
        )


def _config(planned: dict[str, Any], found: Any) -> str:
    if not isinstance(found, dict) or not found:
        return "its configuration is not in the data store, so no flanneld that starts gets a lease"
    names = sorted(key for key in {*planned, *found} if planned.get(key) != found.get(key))
    return f"its configuration in the data store is another one ({', '.join(names)})"


def _why_down(state: dict[str, Any]) -> str:
    """Say why a unit does not do its work, "" if it seems to."""
    if state.get("LoadState") == "not-found":
        return "is not installed"
    if state.get("ActiveState") != "active":
        return f"is {state.get('ActiveState')} ({state.get('SubState')})"
    if state.get("process") in ("T", "t"):
        return "is stopped by a signal (SIGSTOP): it renews no lease and follows no other host"
    return ""


def base(subnet: str) -> str:
    """Return the address of a subnet that its tunnel device has: the first one of the range."""
    return str(ipaddress.ip_network(subnet, strict=False).network_address)


def room(subnet: str) -> int:
    """Return how many pods a subnet has addresses for: all but its ends and the gateway."""
    return max(ipaddress.ip_network(subnet, strict=False).num_addresses - 3, 0)


def tunnel_mtu(network: Network, seen: Seen) -> int | None:
    """Return the MTU that a network's own devices have; None while no flanneld said it, and where
    there is no such device.
    """
    text = seen["subnet_files"][network["name"]].get("FLANNEL_MTU", "")
    return int(text) if network["device"] and text.isdigit() else None


def pods_mtu(network: Network, seen: Seen) -> int | None:
    """Return the MTU that pods' interfaces and their bridge get, None while no flanneld said it."""
    text = seen["subnet_files"][network["name"]].get("FLANNEL_MTU", "")
    given = network["delegate"].get("mtu")
    return given or (int(text) if text.isdigit() else None)


# Leases


def _own(leases: list[Lease], addresses: list[str], written: list[str]) -> Lease | None:
    """Return this host's lease: that of its subnet, else that of its address."""
    mine = set(_ranges(written))
    for lease in leases:
        if mine & {lease["subnet"], lease["ipv6_subnet"]} and lease["public_ip"] in addresses:
            return lease
    for lease in leases:
        if mine & {lease["subnet"], lease["ipv6_subnet"]}:
            return lease
    for lease in leases:
        if lease["public_ip"] in addresses:
            return lease
    return None


def _is_unreadable(written: list[str], seen: Seen, name: str) -> bool:
    """Whether the lease of this host's subnet is a key of etcd that nobody can read."""
    keys = seen["unreadable"].get(name, {}) if seen["etcd"] is not None else {}
    parts = {part for key in keys for part in key.rpartition("/")[2].split("&")}
    return any(one.replace("/", "-") in parts for one in _ranges(written))


def _ranges(written: list[str]) -> list[str]:
    return [str(ipaddress.ip_network(subnet, strict=False)) for subnet in written]


def _lease(
    own: Lease | None, underlay: dict[str, Any], written: list[str], leases: list[Lease], unit: str
) -> Iterator[str]:
    if own is None:
        if written:
            yield f"{unit} works with {', '.join(written)} but holds no lease for it"
        return
    for key, has in (("public_ip", "addresses"), ("public_ipv6", "addresses_v6")):
        yield from _public_ip(own[key], own["subnet"], underlay, has, unit)
    mine = set(_ranges(written))
    held = {subnet for subnet in (own["subnet"], own["ipv6_subnet"]) if subnet}
    if written and mine != held:
        yield (
            f"the lease in the data store is {', '.join(sorted(held))}, but the subnet file says"
            f" {', '.join(sorted(mine))}"
        )
    twice = [
        other["subnet"]
        for other in leases
        if other is not own and own["public_ip"] and other["public_ip"] == own["public_ip"]
    ]
    if twice:
        yield f"{own['public_ip']} holds a second lease ({', '.join(twice)})"


def _public_ip(
    public: str, subnet: str, underlay: dict[str, Any], has: str, unit: str
) -> Iterator[str]:
    """Compare the address that a lease names with those of the host."""
    addresses = underlay.get(has, [])
    if not addresses or not public or public in addresses:
        return
    if public in underlay.get("all", []):
        yield (
            f"{unit} holds the lease of {public}, which is not the underlay's address"
            f" ({addresses[0]})"
        )
    else:
        yield (
            f"{unit} works with {subnet}, but the lease of this subnet belongs to {public}, an"
            " address that this host does not have"
        )


def _other_hosts(network: Network, own: Lease | None, leases: list[Lease]) -> Iterator[str]:
    """Compare the leases of other hosts with this one's, and with the plan."""
    for other in leases:
        if own is None or other is own or other["public_ip"] == own["public_ip"]:
            continue
        same = [
            other[key] for key in ("subnet", "ipv6_subnet") if other[key] and other[key] == own[key]
        ]
        if same:
            yield f"{other['public_ip']} also holds a lease for this host's {', '.join(same)}"
    backend = network["backend"]["type"]
    strangers = [
        f"{other['subnet']} ({other['public_ip']}, {other['backend_type']})"
        for other in leases
        # flannel's udp names none
        if other is not own and other["backend_type"] not in ("", backend)
    ]
    if strangers:
        yield (
            f"other hosts run another backend than {backend}, and get nothing from here:"
            f" {some(strangers)}"
        )


# Devices


def _devices(
    network: Network, seen: Seen, own: Lease | None, underlay: dict[str, Any]
) -> Iterator[str]:
    written = seen["subnet_files"].get(network["name"]) or {}
    subnets = {subnet.version: str(subnet) for subnet in subnet_file.subnets(written)}
    devices = {4: network["device"], 6: network["device_v6"]}
    if network["backend"].get("mode", "separate") != "separate":
        devices[6] = network["device"]  # one WireGuard device for both families
    if network["backend"]["type"] == "udp":
        devices = {4: udp_device(subnets.get(4), seen)}
        if subnets and not devices[4]:
            yield f"no device has the address {base(subnets[4])}"
    for device in filter(None, dict.fromkeys(devices.values())):
        link = seen["links"].get(device)
        if link is None:
            yield f"the device {device} is not there"
            continue
        if not link["up"]:
            yield f"the device {device} is down"
        mtu = tunnel_mtu(network, seen)
        if device == network["device"] and mtu not in (None, link["mtu"]):
            yield f"{device} has the MTU {link['mtu']}, but pods get {mtu}"
        if network["backend"]["type"] == "vxlan":
            version = 6 if device == network["device_v6"] else 4
            yield from _vxlan(network, link, own, underlay, version)
        bases = [
            base(subnet) for version, subnet in subnets.items() if devices.get(version) == device
        ]
        yield from _addresses(link, bases)


def _addresses(link: dict[str, Any], bases: list[str]) -> Iterator[str]:
    """bases: the addresses that flannel gives the device, of this host's subnets."""
    device, has = link["name"], {address.split("/")[0] for address in link["addresses"]}
    missing = [base for base in bases if base not in has]
    former = sorted(has - set(bases)) if bases else []
    if missing:
        yield f"{device} lacks the address {', '.join(missing)}"
    if former:
        yield f"{device} has the address {', '.join(former)}, which is not in its subnet"


def _vxlan(
    network: Network,
    link: dict[str, Any],
    own: Lease | None,
    underlay: dict[str, Any],
    version: int,
) -> Iterator[str]:
    backend, device = network["backend"], link["name"]
    for what, is_now, wanted in (
        ("VNI", link["vni"], backend["vni"]),
        ("UDP port", link["port"], backend["port"]),
    ):
        if is_now != wanted:
            yield f"{device} has {what} {is_now} instead of {wanted}"
    addresses = underlay.get("addresses_v6" if version == 6 else "addresses")
    if addresses and link["local"] not in addresses:
        yield f"{device} sends from {link['local']}, but the underlay's address is {addresses[0]}"
    told = own["mac_v6" if version == 6 else "mac"] if own else ""
    if told and told != link["mac"]:
        yield f"{device} has the MAC {link['mac']}, but its lease tells the other hosts {told}"


def udp_device(subnet: str | None, seen: Seen) -> str:
    """Return the device of a network of flannel's backend udp, whose name the kernel chose: the tun
    that has the subnet's address; "" without one.
    """
    wanted = f"{base(subnet)}/32" if subnet else ""
    for name, link in seen["links"].items():
        if link["kind"] == "tun" and wanted in link["addresses"]:
            return name
    return ""


def _bridge(network: Network, seen: Seen, written: list[str]) -> Iterator[str]:
    bridge = network["bridge"]
    link = seen["links"].get(bridge)
    renamed = list(_renamed(bridge, seen, written))
    yield from renamed
    off = [] if renamed else _off(bridge, seen)
    if off and link is None:
        yield f"the bridge {bridge} is gone, which interfaces of pods were on: {some(off)}"
    elif off:
        yield f"interfaces of pods are not on the bridge {bridge} any more: {some(off)}"
    if link is None or not written:
        return  # the first pod makes it
    has = set(link["addresses"])
    former = sorted(has - set(written))
    missing = sorted(set(written) - has)
    of_pods, others = _ports(network, seen)
    here = [f"{len(of_pods)} interfaces of pods"] * bool(of_pods) + list(map(_port, others))
    pods = f" ({' and '.join(here)} are on it)" if here else ""
    held = _held(seen["pods"].get(network["name"], []), former)
    which = f"with the addresses {some(held)}" if held else "that are on it"
    todo = [f"detach the pods {which}"] * bool(of_pods)
    todo += [f"remove {_port(one)} from it" for one in others]
    first = f" ({' and '.join(todo)} first)" if todo else ""
    if missing:
        yield f"the bridge {link['name']} lacks the address {', '.join(missing)}{pods}"
    if former:
        yield f"the bridge {link['name']} has {', '.join(former)}, of a former subnet{first}"
    if not link["up"]:
        yield f"the bridge {link['name']} is down{pods}"
    mtu = bridge_mtu(network, seen)
    if mtu not in (None, link["mtu"]):
        yield f"the bridge {link['name']} has the MTU {link['mtu']}, but pods on it have {mtu}"


def off_bridge(network: Network, seen: Seen) -> list[str]:
    """Return the host's ends of pods' interfaces that are not on the network's bridge any more, be
    it under another name.
    """
    name = network["bridge"]
    written = subnet_file.gateways(seen["subnet_files"].get(network["name"]) or {})
    return [] if any(_renamed(name, seen, written)) else _off(name, seen)


def _off(bridge: str, seen: Seen) -> list[str]:
    """Return the same of a bridge that has no other name."""
    return [end for end, was in sorted(seen["off_bridge"].items()) if was["bridge"] == bridge]


def _renamed(bridge: str, seen: Seen, written: list[str]) -> Iterator[str]:
    """Tell of another bridge with the addresses of a network's."""
    for name, link in seen["links"].items():
        if link["kind"] != "bridge" or name == bridge or not set(written) & set(link["addresses"]):
            continue
        if bridge in seen["links"]:
            yield f"{name} has the address of {bridge}, too (take it away first)"
        else:
            yield (
                f"the bridge {bridge} has got the name {name}, and the guard drops what comes from"
                f" there (first {links.name_back(name, bridge)})"
            )


def _held(addresses: list[str], subnets: list[str]) -> list[str]:
    """Return those of pods' addresses that are of some subnets."""
    ranges = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets]
    return [
        one for one in addresses if any(ipaddress.ip_address(one) in within for within in ranges)
    ]


def bridge_mtu(network: Network, seen: Seen) -> int | None:
    """Return the MTU that a network's bridge should have, None where nothing says so: that of its
    pods, which may have an older one than new pods get.
    """
    return min((one["mtu"] for one in _ports(network, seen)[0]), default=None)


def _ports(network: Network, seen: Seen) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the links on a network's bridge: pods' ends, and what somebody else put there."""
    ports = [one for one in seen["links"].values() if one["master"] == network["bridge"]]
    of_pods = [one for one in ports if one["kind"] == "veth" and one["apart"]]
    return of_pods, [one for one in ports if one not in of_pods]


def _port(link: dict[str, Any]) -> str:
    """Say what a port is that is no pod's."""
    return f"{link['name']} (a {link['kind'] or 'real device'}, of no pod)"


def _mtu(network: Network, seen: Seen, underlay: dict[str, Any]) -> Iterator[str]:
    """Compare the MTU of pods with that of new ones, and with what the underlay carries."""
    mtu = pods_mtu(network, seen)
    if mtu is None:
        return
    of_pods, others = _ports(network, seen)
    former = sorted({one["mtu"] for one in of_pods} - {mtu})
    if former:
        yield (
            f"pods on {network['bridge']} have the MTU {', '.join(map(str, former))}, but new ones"
            f" get {mtu}"
        )
    for one in others:
        if one["mtu"] < mtu:  # of a larger one, pods notice nothing
            yield (
                f"{_port(one)} on {network['bridge']} has the MTU {one['mtu']}, so full packets of"
                f" pods ({mtu}) do not pass there"
            )
    below = seen["links"].get(underlay.get("interface") or "")
    needed = mtu + network["mtu_overhead"]
    if below and below["mtu"] < needed and network["backend"]["type"] != "alloc":
        yield (
            f"{below['name']} has the MTU {below['mtu']}, but full packets of pods ({mtu}) need"
            f" {needed} on it"
        )


# The way to other hosts


def _ways(network: Network, seen: Seen, own: Lease | None, others: list[Lease]) -> Found:
    """Yield (kind, sentence) about what leads to every other host's subnet."""
    backend = network["backend"]["type"]
    routes: dict[str, dict[str, Any]] = {}
    for route in seen["routes"]:
        routes.setdefault(route["dst"], route)  # the first one counts: `ip` sorts by metric
    if BACKENDS[backend].routes == "subnet":
        yield from _routes_to_each(network, seen, routes, others)
    if BACKENDS[backend].routes == "range" and others:
        yield from _route_to_all(network, seen, routes)
    apart = [other for other in others if not _shares_subnet(other, own)]
    parts = [route["dst"] + _way(route) for route in _narrower(network, seen, apart)]
    if parts:
        yield (
            "detours",
            f"a more specific route sends part of another host's subnet elsewhere: {some(parts)}",
        )
    taken = list(dict.fromkeys(_by_rules(network, seen, own, apart)))
    if taken:
        yield "detours", f"a rule (ip rule) takes its packets elsewhere: {some(taken)}"
    if backend == "wireguard" and seen["wireguard"] is not None:
        yield from _wireguard_peers(network, seen, others)
    if backend == "ipsec":
        lost = [
            f"{other['subnet']} ({other['public_ip']})"
            for other in others
            if seen["xfrm"].get(other["subnet"]) != other["public_ip"]
        ]
        if lost:
            yield "routes", f"there is no policy (ip xfrm) that leads to {some(lost)}"


class End(NamedTuple):
    """Where a lease's subnet of one family is: its tunnel device here, the other one's MAC and the
    other host's address.
    """

    subnet: str
    device: str
    mac: str
    public: str


def _ends(network: Network, lease: Lease) -> list[End]:
    v4 = End(lease["subnet"], network["device"], lease["mac"], lease["public_ip"])
    v6 = End(lease["ipv6_subnet"], network["device_v6"], lease["mac_v6"], lease["public_ipv6"])
    return [end for end in (v4, v6) if end.subnet]


def _leads_there(network: Network, route: dict[str, Any], end: End) -> bool:
    """Whether a route is the way that flanneld has to another host's subnet."""
    if BACKENDS[network["backend"]["type"]].routes == "range":
        return bool(route["dev"] == end.device)
    if leads_over_underlay(network["backend"]) and route["gateway"] == end.public:
        return True
    vxlan = network["backend"]["type"] == "vxlan"
    way = (end.device, base(end.subnet) if vxlan else end.public)
    return (route["dev"], route["gateway"]) == way


def _way(route: dict[str, Any]) -> str:
    """Say where a route leads; one that discards has no device."""
    by = f" by {route['dev']}" if route["dev"] else " nowhere"
    return f"{by} via {route['gateway']}" if route["gateway"] else by


def _narrower(network: Network, seen: Seen, others: list[Lease]) -> list[dict[str, Any]]:
    """Return the routes to parts of other hosts' subnets that lead elsewhere."""
    ends = {
        ipaddress.ip_network(end.subnet): end for lease in others for end in _ends(network, lease)
    }
    backend = network["backend"]["type"]
    if not ends or not BACKENDS[backend].routes or backend == "udp":  # its device has any name
        return []
    shortest = min(subnet.prefixlen for subnet in ends)
    lengths = sorted({subnet.prefixlen for subnet in ends})
    found = []
    for route in seen["routes"]:
        dst, dummy, length = route["dst"].partition("/")
        if dst == "default" or (length and int(length) <= shortest):
            continue
        part = ipaddress.ip_network(route["dst"])
        for one in lengths:
            end = ends.get(part.supernet(new_prefix=one)) if one < part.prefixlen else None
            if end and not _leads_there(network, route, end):
                found.append(route)
    return found


def _by_rules(
    network: Network, seen: Seen, own: Lease | None, others: list[Lease]
) -> Iterator[str]:
    """Yield what rules do to packets from pods here to other hosts' subnets, to packets from there,
    and to those of the tunnel.
    """
    if own is None:
        return
    here = {ipaddress.ip_network(end.subnet).version: end for end in _ends(network, own)}
    for end in (end for lease in others for end in _ends(network, lease)):
        there = ipaddress.ip_network(end.subnet)
        mine = here.get(there.version)
        if mine is None:
            continue
        source = ipaddress.ip_network(mine.subnet)
        device = end.device or (seen["underlay"].get(network["name"]) or {}).get("interface", "")
        right = functools.partial(_is_right, network, end)
        flows = [
            rules.Flow(source, there, network["bridge"], right),
            rules.Flow(there, source, device, lambda route: route.get("dev") == network["bridge"]),
        ]
        if is_address(mine.public) and is_address(end.public):
            hosts = ipaddress.ip_network(mine.public), ipaddress.ip_network(end.public)
            flows.append(rules.Flow(*hosts, "lo"))
        for flow in flows:
            yield from rules.detours(seen["rules"], flow)


def _is_right(network: Network, end: End, route: dict[str, Any]) -> bool:
    """Whether a route, as `ip` prints it, is a way to a subnet."""
    if network["backend"]["type"] == "udp":  # its device has any name
        return bool(route.get("dev"))
    return _leads_there(network, {"dev": None, "gateway": None, **route}, end)


def strays(network: Network, seen: Seen) -> list[dict[str, Any]]:
    """Return the routes (of seen) that somebody put before flanneld's own of the same subnet, which
    it leaves there when it starts.
    """
    leases = seen["leases"].get(network["name"])
    if leases is None or BACKENDS[network["backend"]["type"]].routes != "subnet":
        return []
    underlay = seen["underlay"].get(network["name"]) or {}
    written = subnet_file.gateways(seen["subnet_files"].get(network["name"]) or {})
    own = _own(leases, underlay.get("addresses", []), written)
    others = [one for one in _others(network, leases, own) if not _shares_subnet(one, own)]
    to_each: dict[str, list[dict[str, Any]]] = {}
    for route in seen["routes"]:
        to_each.setdefault(route["dst"], []).append(route)
    found: list[dict[str, Any]] = []
    for end in (end for lease in others for end in _ends(network, lease)):
        ways = to_each.get(end.subnet, [])
        right = [number for number, way in enumerate(ways) if _leads_there(network, way, end)]
        found += ways[: right[0]] if right else []
    return found


def _others(network: Network, leases: list[Lease], own: Lease | None) -> list[Lease]:
    """Return the leases of other hosts that a flanneld of this network sends to."""
    mine = ("", network["backend"]["type"])
    return [one for one in leases if one is not own and one["backend_type"] in mine]


def _shares_subnet(lease: Lease, own: Lease | None) -> bool:
    """Whether another host's lease is of this host's subnet as well."""
    keys = ("subnet", "ipv6_subnet")
    return own is not None and any(lease[key] and lease[key] == own[key] for key in keys)


def _routes_to_each(
    network: Network, seen: Seen, routes: dict[str, dict[str, Any]], others: list[Lease]
) -> Found:
    no_route, wrong_way, no_neighbour, no_entry = [], [], [], []
    vxlan = network["backend"]["type"] == "vxlan"
    for end in (end for lease in others for end in _ends(network, lease)):
        who = f"{end.subnet} ({end.public})"
        route = routes.get(end.subnet)
        if route is None:
            no_route.append(who)
        elif not _leads_there(network, route, end):
            wrong_way.append(f"{who}{_way(route)}")
        elif vxlan and end.mac and route["dev"] == end.device:
            if seen["neighbours"].get(end.device, {}).get(base(end.subnet)) != end.mac:
                no_neighbour.append(who)
            if seen["fdb"].get(end.device, {}).get(end.mac) != end.public:
                no_entry.append(who)
    if no_route:
        yield "routes", f"there is no route to {some(no_route)}"
    if wrong_way:
        yield "routes", f"the route leads elsewhere: to {some(wrong_way)}"
    if no_neighbour:
        yield "neighbours", f"the neighbour entry is missing or wrong for {some(no_neighbour)}"
    if no_entry:
        yield "neighbours", f"the FDB entry is missing or wrong for {some(no_entry)}"


class Lost(NamedTuple):
    """What leads to hosts without a lease: a sentence, and the commands (argv each) that take it
    away, none where flanneld makes no such thing, so it is somebody else's.
    """

    sentence: str
    commands: tuple[tuple[str, ...], ...]


def unleased(network: Network, seen: Seen) -> Iterator[Lost]:
    """Yield what leads to hosts without a lease: the guard takes such hosts for nodes.

    What ends with a lease stays if no flanneld ran at that time. So does the entry of a MAC if a
    host gets another address and another MAC. Ways from a lease's own MAC or subnet to somewhere
    else are reported by _routes_to_each() and _narrower().
    """
    leases = seen["leases"][network["name"]]
    known = {_plain(lease[key]) for lease in leases for key in ("public_ip", "public_ipv6")}
    macs = {lease[key].lower() for lease in leases for key in ("mac", "mac_v6")}
    inside = _NotLeased(network, leases)
    for device in filter(None, dict.fromkeys((network["device"], network["device_v6"]))):
        entries: list[tuple[str, str, list[str]]] = [
            (mac, host, []) for mac, host in seen["fdb"].get(device, {}).items()
        ]
        entries += seen["fdb_others"].get(device, [])
        lost = sorted(
            (host, mac, words)
            for mac, host, words in entries
            if mac not in macs and _plain(host) not in known
        )
        if lost:
            hosts = sorted({one[0] for one in lost})
            yield Lost(
                f"the FDB of {device} leads to {some(hosts)}, which {_holds(hosts)} no lease",
                tuple(
                    dict.fromkeys(  # a MAC may lead to several hosts
                        command
                        for host, mac, words in lost
                        for command in (
                            *_ways_by(device, mac, seen, inside),
                            ("bridge", "fdb", "delete", mac, "dev", device, "dst", host, *words),
                        )
                    )
                ),
            )
    for route in seen["routes"]:
        gateway = route["gateway"]
        if not gateway or _plain(gateway) in known:
            continue
        by = ipaddress.ip_address(gateway)
        if by.is_link_local or inside.is_of_network(by) or not inside.has(route["dst"]):
            continue
        mine = _is_as_flanneld_makes(network, seen, route)
        yield Lost(
            f"the route to {route['dst']} leads to {gateway}, which holds no lease",
            (_without(route),) if mine else (),
        )


class _NotLeased:
    """The part of a network's ranges that no host has a lease of."""

    def __init__(self, network: Network, leases: list[Lease]) -> None:
        ranges = (network["cidr"], network["ipv6_cidr"])
        self._ranges = [ipaddress.ip_network(one) for one in ranges if one]
        texts = [lease[key] for lease in leases for key in ("subnet", "ipv6_subnet") if lease[key]]
        self._leased = [ipaddress.ip_network(text) for text in texts]

    def has(self, dst: str) -> bool:
        """Whether a route's target is in it."""
        if dst == "default":
            return False
        target = ipaddress.ip_network(dst)
        return not any(is_within(target, one) for one in self._leased) and any(
            is_within(target, one) for one in self._ranges
        )

    def is_of_network(self, address: Any) -> bool:
        """Whether an address is one of the network's own, leased or not."""
        return any(address in one for one in self._ranges)


def _ways_by(device: str, mac: str, seen: Seen, inside: _NotLeased) -> Iterator[tuple[str, ...]]:
    """Yield what takes the routes and neighbours away that lead to a MAC on a tunnel device."""
    for address, its_mac in seen["neighbours"].get(device, {}).items():
        if its_mac == mac and inside.has(address):
            for route in seen["routes"]:
                way = (route["dev"], route["gateway"])
                if way == (device, address) and inside.has(route["dst"]):
                    yield _without(route)
            yield ("ip", "neigh", "delete", address, "dev", device)


def _without(route: dict[str, Any]) -> tuple[str, ...]:
    return ("ip", "route", "delete", route["dst"], "via", route["gateway"], "dev", route["dev"])


def _is_as_flanneld_makes(network: Network, seen: Seen, route: dict[str, Any]) -> bool:
    """Whether a route to a host's address is one that a flanneld of this network may have made: to
    a whole subnet, by the device that it makes them by, and with no protocol and metric of its own.
    """
    name, target = network["name"], ipaddress.ip_network(route["dst"])
    lengths = {
        one.version: one.prefixlen for one in subnet_file.subnets(seen["subnet_files"][name])
    }
    devices = {network["device"], network["device_v6"]}
    if leads_over_underlay(network["backend"]):
        devices.add(seen["underlay"][name]["interface"])
    return (
        bool(route["dev"])
        and route["dev"] in devices
        and target.prefixlen == lengths.get(target.version)
        and _is_leased_out(network, seen, target)
        and route.get("protocol") == "boot"
        and route.get("metric") == (_IPV6_METRIC if target.version == 6 else None)
    )


def _is_leased_out(network: Network, seen: Seen, subnet: Any) -> bool:
    """Whether a subnet is between the first and the last one that hosts get. From etcd, flanneld
    leases by itself all but the first one of the range (pkg/subnet/config.go).
    """
    first, last, cidr = network.get("subnet_min"), network.get("subnet_max"), network["cidr"]
    if subnet.version == 6:  # has no such bounds
        first, last, cidr = None, None, network["ipv6_cidr"]
    if not first and seen["etcd"] is not None and str(subnet.network_address) == base(cidr):
        return False
    return (not first or subnet.network_address >= ipaddress.ip_address(first)) and (
        not last or subnet.network_address <= ipaddress.ip_address(last)
    )


def lacks_leases(adopted: float | None) -> bool:
    """Whether other hosts may still have no leases, where networks were taken over so many seconds
    ago (None: never). A host that has none later is named, and what leads to it stays.
    """
    return adopted is not None and adopted < ADOPTING


def knows_nodes(network: Network, seen: Seen) -> bool:
    """Whether the leases say for sure who is a node: all of them could be read, this host's own is
    among them with its address, others' are, too, and nothing is wrong with the data store.

    etcd must have those of as many hosts as were deployed. While hosts change to another etcd, each
    of the two lists only some, and goes on doing so if that run is interrupted.
    """
    name = network["name"]
    leases = seen["leases"].get(name)
    if not leases or seen["leases_wrong"] or (seen["etcd"] or {}).get("alarms"):
        return False
    if len(leases) < 2 or seen["adopted"] is not None or name in seen["unreadable"]:
        return False
    hosts = len({lease["public_ip"] for lease in leases})
    if seen["etcd"] is not None and not 0 < seen["nodes"] <= hosts:
        return False
    addresses = (seen["underlay"].get(name) or {}).get("addresses", [])
    written = subnet_file.gateways(seen["subnet_files"].get(name) or {})
    own = _own(leases, addresses, written)
    return own is not None and own["public_ip"] in addresses and all(map(_is_whole, leases))


def listed(network: Network, seen: Seen) -> tuple[str, ...]:
    """Return a network's leases, the same ones in the same words: hosts may be about to take theirs
    one after the other.
    """
    keys = ("subnet", "ipv6_subnet", "public_ip", "public_ipv6", "mac", "mac_v6")
    leases = seen["leases"][network["name"]]
    return tuple(sorted(" ".join(lease[key] for key in keys) for lease in leases))


def _is_whole(lease: Lease) -> bool:
    """Whether a lease says where its host is, and with vxlan by which MAC."""
    vxlan = lease["backend_type"] == "vxlan"
    parts = [
        (lease[public], lease[mac])
        for subnet, public, mac in (
            ("subnet", "public_ip", "mac"),
            ("ipv6_subnet", "public_ipv6", "mac_v6"),
        )
        if lease[subnet]
    ]
    return bool(parts) and all(is_address(public) and (mac or not vxlan) for public, mac in parts)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(address: str) -> str:
    """Return an address as the kernel's tools write it, whoever wrote it."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _holds(hosts: list[str]) -> str:
    return "hold" if len(hosts) > 1 else "holds"


def _route_to_all(network: Network, seen: Seen, routes: dict[str, dict[str, Any]]) -> Found:
    written = seen["subnet_files"].get(network["name"]) or {}
    own = {subnet.version: str(subnet) for subnet in subnet_file.subnets(written)}
    udp = network["backend"]["type"] == "udp"
    for cidr, device in (
        (network["cidr"], udp_device(own.get(4), seen) if udp else network["device"]),
        (network["ipv6_cidr"], network["device_v6"]),
    ):
        if not cidr or not device:
            continue
        route = routes.get(cidr)
        if route is None:
            yield "routes", f"there is no route to {cidr}"
        elif route["dev"] != device:
            yield "routes", f"the route leads elsewhere: to {cidr} by {route['dev']}"


def _wireguard_peers(network: Network, seen: Seen, others: list[Lease]) -> Found:
    """A peer's allowed addresses are what is sent to it, and taken from it."""
    lost = []
    for other in others:
        for subnet, key, device in (
            (other["subnet"], other["key"], network["device"]),
            (other["ipv6_subnet"], other["key_v6"] or other["key"], network["device_v6"]),
        ):
            peers = {
                **seen["wireguard"].get(network["device"], {}),
                **seen["wireguard"].get(device, {}),
            }
            if subnet and key and subnet not in peers.get(key, []):
                lost.append(f"{subnet} ({other['public_ip']})")
    if lost:
        yield "neighbours", f"there is no WireGuard peer for {some(lost)}"


def closed_ways(network: Network, seen: Seen) -> Iterator[passage.Closed]:
    """Yield what other firewalls do not let pass between this host and another one."""
    underlay = seen["underlay"].get(network["name"]) or {}
    written = seen["subnet_files"].get(network["name"]) or {}
    leases = seen["leases"].get(network["name"]) or []
    own = _own(leases, underlay.get("addresses", []), subnet_file.gateways(written))
    other = next((lease for lease in leases if lease is not own), None)
    if other is None:
        return
    told = set()  # what holds for both families is one matter
    ways = {route["dst"]: route["dev"] for route in reversed(seen["routes"])}
    for subnet in subnet_file.subnets(written):
        six = subnet.version == 6
        there = other["ipv6_subnet" if six else "subnet"]
        hosts = underlay.get("addresses_v6" if six else "addresses", [])
        if not there:
            continue
        wide = network["ipv6_cidr" if six else "cidr"]
        device = network["device_v6" if six else "device"] or underlay.get("interface", "")
        path = passage.Path(
            way=ways.get(there) or ways.get(wide) or device,
            underlay=underlay.get("interface", ""),
            pod=str(subnet.network_address + 2),
            other_pod=str(ipaddress.ip_network(there).network_address + 2),
            host=hosts[0] if hosts else "",
            other_host=other["public_ipv6" if six else "public_ip"],
            bridged=seen["bridges_filtered"],
        )
        for one in passage.closed(network, path, seen["firewalls"], subnet.version):
            if one.sentence not in told:
                told.add(one.sentence)
                yield one


def some(items: list[str], most: int = 3) -> str:
    """Return a list of things in words, the first few of many."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
