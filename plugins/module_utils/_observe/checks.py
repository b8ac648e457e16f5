# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static half of the verdict: what hosts and pods have, compared with what the plan promises.

Pure, on the controller.
"""

from __future__ import annotations

import collections
import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from .._node import subnet_file
from .._plan import pairs
from .._ranges import Range, is_within
from . import leaks
from .ends import Facts, endpoints
from .facts import AUTOCONF, BELIEVES, FORWARDS, PROXIES, RENAMED_END

Row = dict[str, Any]  # see deviations()


class _Place(NamedTuple):
    """Where a fact was read; pod and interface are "" for the host's own."""

    host: str
    pod: str = ""
    interface: str = ""
    network: str = ""


def deviations(
    plan: dict[str, Any], facts: Sequence[Facts], cluster: dict[str, Any] | None = None
) -> tuple[list[Row], int]:
    """Return what is not as planned, and how many comparisons were made.

    cluster: what module cluster_info returned, None without Kubernetes. A deviation: {"host",
    "pod", "interface", "network", "what", "expected", "observed", "class", "class_name", "repair",
    "sentence"}; "pod" and "interface" are "" for the host's own.
    """
    found = _Found(elsewhere=plan.get("elsewhere", False))
    said = {pod["uid"]: pod for pod in (cluster or {}).get("pods", []) if pod["uid"]}
    for host in facts:
        for network in plan["networks"]:
            _host_side(found, host, network, facts)
        _forwarding(found, plan, host)
        for stranger in host["node"]["strangers"]:
            found.deviates(
                _Place(host["host"], "", stranger["interface"], stranger["network"]),
                leaks.SHARED_BRIDGE,
                what=f"port of bridge {stranger['bridge']}",
                expected="only veths of pods",
                observed=stranger["kind"],
            )
        for one in host["node"].get("bypasses", []):
            found.deviates(
                _Place(host["host"], "", one["interface"], one["network"]),
                leaks.CLASSES[one["class"]],
                what=one["what"],
                expected=one["expected"],
                observed=one["observed"],
            )
        for pod in host["pods"]:
            _pod(found, plan, host, pod, _of_others(plan, said.get(pod.get("uid"))))
    if cluster:
        _status(found, plan, facts, said)
    _duplicates(found, facts)
    _neighbours(found, plan, facts)
    return found.rows, found.compared


class _Found:
    """The deviations so far, and the number of comparisons. elsewhere: whether nothing of ours is
    deployed.
    """

    def __init__(self, elsewhere: bool) -> None:
        self.elsewhere = elsewhere
        self.rows: list[Row] = []
        self.compared = 0

    def expect(self, holds: bool, place: _Place, leak: leaks.Leak, **said: Any) -> None:
        """Compare: if it does not hold, it is a deviation, see deviates()."""
        self.compared += 1
        if not holds:
            self.deviates(place, leak, **said)

    def deviates(
        self,
        place: _Place,
        leak: leaks.Leak,
        *,
        what: str,
        expected: Any,
        observed: Any,
        sentence: str = "",
        repair: str = "",
        declared_as: str = "",
    ) -> None:
        """Note a deviation; its sentence is made of the other three if it is not given, its repair
        is that of the leak. declared_as: the key of verify_networks that may be wrong instead.
        """
        repair = repair or leaks.repair(
            leak, place.host, place.network, place.network, elsewhere=self.elsewhere
        )
        if declared_as and self.elsewhere:
            repair += (
                f" If that is as it should be, correct {declared_as} of network {place.network} in"
                " verify_networks."
            )
        where = " ".join(filter(None, (place.pod or place.host, place.interface)))
        self.rows.append(
            {
                **place._asdict(),
                "what": what,
                "expected": str(expected),
                "observed": str(observed),
                "class": leak.number,
                "class_name": leak.name,
                "repair": repair,
                "sentence": f"{where}: {sentence or f'{what} is {observed}, expected {expected}.'}",
            }
        )


def _network(text: str) -> Range:
    return ipaddress.ip_network(text, strict=False)


def _host_side(found: _Found, host: Facts, network: dict[str, Any], facts: Iterable[Facts]) -> None:
    side = host["node"]["networks"][network["name"]]
    here = _Place(host["host"], network=network["name"])
    subnets = subnet_file.subnets(side["lease"])
    # of networks that others deployed it may not be known where flanneld writes it
    found.expect(
        bool(subnets) or not network["subnet_file"],
        here,
        leaks.NO_PATH,
        what=f"the lease of network {network['name']}",
        expected=f"a subnet in {network['subnet_file']}",
        observed="none",
        declared_as="subnet_file",
    )
    for role in ("device", "device_v6"):
        if network.get(role):
            there = here._replace(interface=network[role])
            _tunnel(found, there, side[role], network["backend"])
            if side[role] and found.elsewhere:
                _device_of(found, there, side[role], network, role)
    for text in (side["bridge"] or {"addresses": []})["addresses"]:
        address = ipaddress.ip_interface(text)
        mine = [subnet for subnet in subnets if subnet.version == address.version]
        if mine:
            found.expect(
                any(address.ip in subnet for subnet in mine),
                here._replace(interface=network["bridge"]),
                leaks.DUPLICATE,
                what="bridge address",
                expected=f"inside {', '.join(map(str, subnets))}",
                observed=text,
            )
    _gateway(found, here, network, side, _attached(host, network))
    usable = [_network(route["prefix"]) for route in side["routes"] if not route["dead"]]
    sysctls = host["node"]["sysctls"]
    forwards = sysctls.get("net/ipv4/ip_forward") != 0
    forwards_4 = sysctls.get(FORWARDS.format(network["bridge"])) != 0
    for route in side["routes"]:
        if "way" not in route or not forwards:
            continue
        if not forwards_4 and ":" not in route["prefix"]:
            continue  # which is a finding of its own
        way, wanted = route["way"], route["device"]
        found.expect(
            way == wanted,
            here._replace(interface=wanted),
            leaks.NO_PATH,
            what=f"way to {route['prefix']}",
            expected=f"by {wanted}, as the main table says (see ip rule)",
            observed=f"by {way}" if way else "none",
        )
    for other in facts:
        if other["host"] == host["host"]:
            continue
        for subnet in subnet_file.subnets(other["node"]["networks"][network["name"]]["lease"]):
            found.expect(
                any(is_within(subnet, route) for route in usable),
                here._replace(interface=network.get("device") or ""),
                leaks.NO_PATH,
                what=f"route to {subnet} of {other['host']}",
                expected="present",
                observed="missing",
                declared_as="cidr",
            )
            if network["backend"]["type"] == "vxlan" and network.get("device"):
                _leads_there(found, here, network, side["routes"], subnet, other["host"])


def _leads_there(
    found: _Found,
    here: _Place,
    network: dict[str, Any],
    routes: Iterable[dict[str, Any]],
    subnet: Range,
    other: str,
) -> None:
    """All routes to the subnet of another host lead there: by the tunnel to its first address, as
    flanneld makes them. With direct routing, one of the whole subnet may lead to any host.
    """
    device = network["device" if subnet.version == 4 else "device_v6"]
    if device is None:  # of networks of others, the name of that of IPv6 may not be known
        return
    may_be_straight = network["backend"].get("direct_routing", found.elsewhere)
    for route in routes:
        prefix = _network(route["prefix"])
        if route["dead"] or not is_within(prefix, subnet):
            continue
        by_tunnel = (route["device"], route["gateway"]) == (device, str(subnet[0]))
        is_straight = prefix == subnet and route["gateway"] and route["device"] != device
        found.expect(
            by_tunnel or bool(may_be_straight and is_straight),
            here._replace(interface=device),
            leaks.NO_PATH,
            what=f"route to {prefix} of {other}",
            expected=f"by {device} via {subnet[0]}",
            observed=f"by {route['device'] or 'nothing'}"
            + (f" via {route['gateway']}" if route["gateway"] else ""),
            repair=f"On {here.host}, ip route show {prefix}; find out what made it, and delete it:"
            " flanneld makes its own again.",
        )


def _attached(host: Facts, network: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the interfaces of pods that are on the bridge of their network."""
    return [
        interface
        for pod in host["pods"]
        for interface in pod["interfaces"]
        if (interface["network"], interface["bridge"]) == (network["name"], network["bridge"])
    ]


def _gateway(
    found: _Found,
    here: _Place,
    network: dict[str, Any],
    side: dict[str, Any],
    attached: Sequence[dict[str, Any]],
) -> None:
    """A bridge with pods takes what they send, and is their gateway; tunnel devices, too, have room
    for their packets. attached: interfaces of the pods on the bridge.
    """
    bridge = side["bridge"]
    if not bridge or not attached:
        return
    most = max(_promised(one, network, side) for one in attached)
    for device in filter(None, (bridge, side["device"], side["device_v6"])):
        _has_room(found, here._replace(interface=device["name"]), device["mtu"], most)
    there = here._replace(interface=bridge["name"])
    again = f"On {here.host}, ip link set {bridge['name']} "
    _switched_on(found, there, "state", bridge["up"], ("up", "down"), again + "up")
    arp = bridge.get("arp", True)
    _switched_on(found, there, "ARP", arp, ("on", "off (NOARP)"), again + "arp on")
    own = [ipaddress.ip_interface(text).ip for text in bridge["addresses"]]
    for subnet in subnet_file.subnets(side["lease"]) if bridge["up"] else ():
        gateways = {one["gateway"][str(subnet.version)] for one in attached} - {None}
        wanted, has = subnet[1], [one for one in own if one.version == subnet.version]
        found.expect(
            any(one in subnet for one in has) or not gateways if found.elsewhere else wanted in has,
            there,
            leaks.NO_PATH,
            what="address of the gateway",
            expected=wanted,
            observed=", ".join(map(str, has)) or f"none (IPv{subnet.version})",
            repair=f"On {here.host}, ip address add {wanted}/{subnet.prefixlen} dev"
            f" {bridge['name']}; then look for what takes it away, such as systemd-networkd"
            f" (networkctl status {bridge['name']}).",
        )


def _switched_on(
    found: _Found, place: _Place, what: str, holds: bool, words: tuple[str, str], command: str
) -> None:
    """words: what it is if it holds, and if not. command: what switches it on."""
    found.expect(
        holds,
        place,
        leaks.NO_PATH,
        what=what,
        expected=words[0],
        observed=words[1],
        repair=f"{command}; then look for what switches it off, such as systemd-networkd.",
    )


def _has_room(found: _Found, place: _Place, mtu: int, most: int, end: str = "") -> None:
    """What a device passes on is as large as pods may send. end: the host's end of a pod's."""
    found.expect(
        mtu >= most,
        place,
        leaks.MTU,
        what=f"MTU of its end {end} on the host" if end else "MTU",
        expected=f"at least {most}, as pods send",
        observed=mtu,
    )


def _mtu(network: dict[str, Any], side: dict[str, Any]) -> int | None:
    """Return the MTU of pods' interfaces in a network, None if nobody says it."""
    mtu = (network.get("delegate") or {}).get("mtu") or side["lease"].get("FLANNEL_MTU")
    return int(mtu) if mtu else None


def _promised(interface: dict[str, Any], network: dict[str, Any], side: dict[str, Any]) -> int:
    """Return how large a packet of an interface may be: a pod may raise its own MTU."""
    return min(int(interface["mtu"]), _mtu(network, side) or int(interface["mtu"]))


def _forwarding(found: _Found, plan: dict[str, Any], host: Facts) -> None:
    if not host["pods"] and not any(side["bridge"] for side in host["node"]["networks"].values()):
        return  # the bridge plugin switches it on with the first pod
    wanted = {"net/ipv4/ip_forward": leaks.NO_PATH}
    if any(network.get("ipv6_cidr") for network in plan["networks"]):
        wanted["net/ipv6/conf/all/forwarding"] = leaks.NO_PATH
    if plan.get("kubernetes"):  # kube-proxy must see answers that stay on a bridge
        wanted["net/bridge/bridge-nf-call-iptables"] = leaks.NODE_TO_POD
    for key, leak in wanted.items():
        if key in host["node"]["sysctls"]:
            value = host["node"]["sysctls"][key]
            found.expect(
                value != 0,
                _Place(host["host"]),
                leak,
                what=key.replace("/", "."),
                expected=1,
                observed=value,
            )
    for network in plan["networks"] if host["node"]["sysctls"].get("net/ipv4/ip_forward") else ():
        if not _attached(host, network):
            continue
        for role in ("bridge", "device"):
            key = FORWARDS.format(network.get(role))
            if key in host["node"]["sysctls"]:
                what = key.replace("/", ".")
                found.expect(
                    host["node"]["sysctls"][key] != 0,
                    _Place(host["host"], "", network[role], network["name"]),
                    leaks.NO_PATH,
                    what=what,
                    expected=1,
                    observed=0,
                    repair=f"On {host['host']}, sysctl -w {what}=1; then look for what sets it to"
                    " 0.",
                )


def _tunnel(
    found: _Found, place: _Place, device: dict[str, Any] | None, backend: dict[str, Any]
) -> None:
    found.expect(
        device is not None,
        place,
        leaks.NO_PATH,
        what="tunnel device",
        expected="present",
        observed="missing",
        declared_as="vni or device",
    )
    if device is None:
        return
    found.expect(device["up"], place, leaks.NO_PATH, what="state", expected="up", observed="down")
    if backend["type"] == "vxlan":
        for key, what in (("vni", "VNI"), ("port", "UDP port")):
            wanted, has = backend.get(key), device[key]
            found.expect(
                has == wanted,
                place,
                leaks.WRONG_VNI,
                what=what,
                expected=wanted,
                observed=has,
                declared_as=key,
            )


def _device_of(
    found: _Found, place: _Place, device: dict[str, Any], network: dict[str, Any], declared_as: str
) -> None:
    """A tunnel device that has addresses has them of its network."""
    for text in device["addresses"]:
        address = ipaddress.ip_interface(text).ip
        cidr = network["cidr" if address.version == 4 else "ipv6_cidr"]
        if cidr and not address.is_link_local:
            found.expect(
                address in _network(cidr),
                place,
                leaks.WRONG_VNI,
                what="address of the tunnel device",
                expected=f"inside {cidr}",
                observed=text,
                repair=f"On {place.host}, ip -o address shows which device is that of"
                f" {network['name']}.",
                declared_as=declared_as,
            )


def _of_others(plan: dict[str, Any], said: dict[str, Any] | None) -> set[str]:
    """Return the names of interfaces that a pod has of NetworkAttachmentDefinitions that are none
    of the plan's, as its network-status says.
    """
    names = {network["name"] for network in plan["networks"]}
    entries = (said or {}).get("status") or []
    return {
        entry["interface"]
        for entry in entries
        if entry["network"].rsplit("/", 1)[-1].replace("multinet-", "", 1) not in names
    }


def _pod(
    found: _Found, plan: dict[str, Any], host: Facts, pod: dict[str, Any], of_others: set[str]
) -> None:
    by_name = {network["name"]: network for network in plan["networks"]}
    here = _Place(host["host"], f"{host['host']}/{pod['label']}")
    attached = {
        interface["network"]: interface for interface in pod["interfaces"] if interface["network"]
    }
    several = len(attached) > 1
    _missing(found, plan, here, pod, attached)
    _renamed(found, here, pod)
    for interface in pod["interfaces"]:
        network = by_name.get(interface["network"])
        place = here._replace(interface=interface["name"])
        if interface.get("external") or (network is None and interface["name"] in of_others):
            continue  # another CNI's
        if network is None:
            _of_no_network(found, plan, place, interface)
            continue
        place = place._replace(network=network["name"])
        side = host["node"]["networks"][network["name"]]
        _bridge(found, place, interface, network, is_gone=side["bridge"] is None)
        _interface(found, place, interface, network, side)
        _sysctls(found, place, interface, pod, several=several)
    _default_routes(found, plan, here, pod, attached)
    for name, interface in sorted(attached.items()):
        if name in by_name:
            side = host["node"]["networks"][name]
            place = here._replace(interface=interface["name"], network=name)
            _routes(found, place, pod, interface, by_name[name], side)
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        if several and key in pod["sysctls"]:
            _off(found, here, leaks.POD_FORWARDS, key, pod["sysctls"][key])


def _missing(
    found: _Found,
    plan: dict[str, Any],
    here: _Place,
    pod: dict[str, Any],
    attached: Collection[str],
) -> None:
    """attached: the networks that the pod is on."""
    for network in plan["networks"]:
        # other containers than Kubernetes' may have been given some networks only
        if pod.get("uid") and network["attach"] == "all":
            found.expect(
                network["name"] in attached,
                here._replace(interface=network["interface"], network=network["name"]),
                leaks.MISSING_INTERFACE,
                what="interface",
                expected="present",
                observed="missing",
            )
    for one in pod.get("lost", []):
        found.deviates(
            here._replace(interface=one["interface"], network=one["network"]),
            leaks.MISSING_INTERFACE,
            what="interface that CNI gave it",
            expected="present",
            observed="missing",
        )


def _renamed(found: _Found, here: _Place, pod: dict[str, Any]) -> None:
    """Its ends on the host have the names that CNI gave them, by which the guard knows ports. What
    its own interfaces are called is the pod's affair, see coverage.renamed().
    """
    for one in pod.get("renamed", []):
        if one["what"] != RENAMED_END or found.elsewhere:
            continue  # nobody there asks for it
        old, new = one["observed"], one["expected"]
        found.deviates(
            here._replace(interface=one["interface"], network=one["network"]),
            leaks.SPEAKS_FOR_OTHERS,
            what=one["what"],
            expected=new,
            observed=old,
            repair=f"On {here.host}, give it back its name: ip link set {old} name {new} (before"
            " Linux 6.2 only while it is down), or make the pod again.",
        )


def _bridge(
    found: _Found,
    place: _Place,
    interface: dict[str, Any],
    network: dict[str, Any],
    *,
    is_gone: bool,
) -> None:
    """Its end on the host is on its network's bridge. is_gone: whether there is none any more."""
    bridge, end = network["bridge"], interface["peer"]
    if interface["bridge"]:
        found.expect(
            interface["bridge"] == bridge,
            place,
            leaks.SHARED_BRIDGE,
            what="bridge of its peer",
            expected=bridge,
            observed=interface["bridge"],
        )
        return
    by_site = "run the playbook site, which puts it back (so does the keeper)"
    found.deviates(
        place,
        leaks.NO_PATH,
        what="bridge of its peer",
        expected=bridge,
        observed="none",
        sentence=f"its interface's end {end} on the host is not on the bridge {bridge}"
        f"{', which is gone' if is_gone else ''}.",
        repair=f"On {place.host}, "
        + (f"ip link set {end} master {bridge}" if found.elsewhere else by_site)
        + f"; then look for what takes it off, such as systemd-networkd (networkctl status {end}).",
    )


def _of_no_network(
    found: _Found, plan: dict[str, Any], place: _Place, interface: dict[str, Any]
) -> None:
    """All interfaces are on declared bridges; where others deployed the networks, one that is not
    has no address of a declared network, and nobody said what else should hold of it.
    """
    if not found.elsewhere:
        found.deviates(
            place,
            leaks.SHARED_BRIDGE,
            what="bridge of its peer",
            expected="a bridge of the plan",
            observed=interface["bridge"] or "none",
        )
        return
    for network in plan["networks"]:
        ranges = [_network(network[key]) for key in ("cidr", "ipv6_cidr") if network[key]]
        addresses = [ipaddress.ip_interface(text).ip for text in interface["addresses"]]
        found.expect(
            not any(address in one for address in addresses for one in ranges),
            place._replace(network=network["name"]),
            leaks.SHARED_BRIDGE,
            what="bridge of its peer",
            expected=network["bridge"],
            observed=interface["bridge"] or "another",
            declared_as="bridge",
        )


def _interface(
    found: _Found,
    place: _Place,
    interface: dict[str, Any],
    network: dict[str, Any],
    side: dict[str, Any],
) -> None:
    """Compare a pod's interface with its network and with the host's side of it."""
    found.expect(
        interface["up"], place, leaks.NO_PATH, what="state", expected="up", observed="down"
    )
    arp, again = interface.get("arp", True), f"In that pod on {place.host}, ip link set "
    words = "on", "off (NOARP)"
    _switched_on(found, place, "ARP", arp, words, f"{again}{place.interface} arp on")
    end, peer = interface.get("end"), interface["peer"]
    if end and interface["bridge"]:
        what = f"state of its end {peer} on the host"
        command = f"On {place.host}, ip link set {peer} up"
        _switched_on(found, place, what, end["up"], ("up", "down"), command)
        _has_room(found, place, end["mtu"], _promised(interface, network, side), peer)
    _addresses(found, place, interface, network, subnet_file.subnets(side["lease"]))
    mtu = _mtu(network, side)
    if mtu:
        found.expect(
            interface["mtu"] == mtu,
            place,
            leaks.MTU,
            what="MTU",
            expected=mtu,
            observed=interface["mtu"],
        )


def _addresses(
    found: _Found,
    place: _Place,
    interface: dict[str, Any],
    network: dict[str, Any],
    subnets: Iterable[Range],
) -> None:
    for key, family in (("cidr", 4), ("ipv6_cidr", 6)):
        cidr = network.get(key)
        none = f"no IPv{family} address, for {network['name']} has no {key}"
        mine = [
            text
            for text in interface["addresses"]
            if ipaddress.ip_interface(text).version == family
        ]
        if cidr:
            found.expect(
                bool(mine),
                place,
                leaks.NO_PATH,
                what=f"IPv{family} address",
                expected=f"one of {cidr}",
                observed="none",
                declared_as=key,
            )
        for text in mine:
            address = ipaddress.ip_interface(text).ip
            found.expect(
                address in _network(cidr) if cidr else False,
                place,
                leaks.DUPLICATE,
                what="address",
                expected=f"inside {cidr}" if cidr else none,
                observed=text,
                declared_as=key,
            )
            for subnet in subnets:
                if subnet.version == family:
                    found.expect(
                        address in subnet,
                        place,
                        leaks.DUPLICATE,
                        what="address",
                        expected=f"inside the host's subnet {subnet}",
                        observed=text,
                    )


def _sysctls(
    found: _Found, place: _Place, interface: dict[str, Any], pod: dict[str, Any], *, several: bool
) -> None:
    """several: whether the pod is on several networks."""
    if several or not found.elsewhere:
        # who believes no router makes no address of what it says, and others leave it so
        believes = [one for one in BELIEVES if one != AUTOCONF or not found.elsewhere]
        # it has no route from a neighbour that says it is a router, or that another one is
        _all_off(found, place, leaks.WRONG_ROUTE, interface, believes, pod["sysctls"])
        # it answers no ARP or neighbour discovery for addresses that it only has a route to;
        # what it inherits for all interfaces does nothing in a pod that does not forward
        _all_off(found, place, leaks.ARP, interface, PROXIES, {})
    if not several:
        return
    for key, wanted in (("arp_ignore", 1), ("arp_announce", 2)):
        # The kernel uses the larger of "all" and the interface's own value.
        of_all = pod["sysctls"].get("net/ipv4/conf/all/" + key, 0)
        value = max(of_all, interface["sysctls"].get(key, 0))
        found.expect(value == wanted, place, leaks.ARP, what=key, expected=wanted, observed=value)


def _all_off(
    found: _Found,
    place: _Place,
    leak: leaks.Leak,
    interface: dict[str, Any],
    paths: Iterable[str],
    of_pod: dict[str, int],
) -> None:
    """Sysctls of an interface are 0, by their paths below /proc/sys/net. of_pod: those of the pod,
    of which that of all interfaces counts too (IPv4).
    """
    for path in paths:
        key = "net/" + path.format(interface["name"])
        if key in interface["sysctls"]:
            value = interface["sysctls"][key]
            if path.startswith("ipv4"):
                value = max(value, of_pod.get("net/" + path.format("all"), 0))
            _off(found, place, leak, key, value)


def _off(found: _Found, place: _Place, leak: leaks.Leak, key: str, value: int) -> None:
    """A sysctl, by its path below /proc/sys, is 0."""
    what = key.replace("/", ".")
    found.expect(
        value == 0,
        place,
        leak,
        what=what,
        expected=0,
        observed=value,
        repair=f"In that pod on {place.host}, {what} must be 0: set it there, and for new pods by"
        " the plugin tuning in each delegate.",
    )


def _default_routes(
    found: _Found,
    plan: dict[str, Any],
    here: _Place,
    pod: dict[str, Any],
    attached: dict[str, dict[str, Any]],
) -> None:
    first = plan["default_network"] or (plan.get("external") or {"name": ""})["name"]
    default = attached.get(first)
    ours = {interface["name"] for interface in pod["interfaces"] if interface["network"]}
    for family, devices in sorted(pod["default_routes"].items()):
        what = f"default route (IPv{family})"
        for device in devices:
            if device in ours and (first or not plan.get("elsewhere")):
                found.expect(
                    default is not None and device == default["name"],
                    here._replace(interface=device),
                    leaks.WRONG_ROUTE,
                    what=what,
                    expected=f"only by the interface on {first}",
                    observed=f"by {device}",
                )
        if (
            default is not None
            and not default.get("external")
            and any((":" in text) == (family == "6") for text in default["addresses"])
        ):
            found.expect(
                bool(devices),
                here._replace(interface=default["name"], network=plan["default_network"]),
                leaks.WRONG_ROUTE,
                what=what,
                expected=f"by {default['name']}",
                observed="none",
            )


def _routes(
    found: _Found,
    place: _Place,
    pod: dict[str, Any],
    interface: dict[str, Any],
    network: dict[str, Any],
    side: dict[str, Any],
) -> None:
    """Compare a pod's routes into a network with its interface there, and the gateway's address."""
    listed = (side["bridge"] or {"addresses": []})["addresses"]
    bridge = [ipaddress.ip_interface(text).ip for text in listed]
    if bridge and not found.elsewhere:  # which it should have; that it has not, is said of the host
        bridge += [subnet[1] for subnet in subnet_file.subnets(side["lease"])]
    for family, key in (("4", "cidr"), ("6", "ipv6_cidr")):
        cidr = network.get(key)
        gateways = {str(one) for one in bridge if one.version == int(family)}
        if not cidr or not any((":" in text) == (family == "6") for text in interface["addresses"]):
            continue
        into = [route for route in pod["routes"][family] if _overlap(route["dst"], cidr)]
        right = [
            route
            for route in into
            if route.get("dev") == interface["name"]
            and ("gateway" not in route or not gateways or route["gateway"] in gateways)
        ]
        for route in into:
            if route not in right and _shadowed(route["dst"], cidr, right):
                continue
            found.expect(
                route in right,
                place,
                leaks.WRONG_ROUTE,
                what=f"route to {route['dst']}",
                expected=f"by {interface['name']}"
                + (f" via {' or '.join(sorted(gateways))}" if "gateway" in route else ""),
                observed=f"by {route.get('dev', 'nothing')}"
                + (f" via {route['gateway']}" if "gateway" in route else ""),
            )
        whole = [route["dst"] for route in into] + ["default"] * network["default"]
        found.expect(
            any(
                dst == "default" or is_within(_network(cidr), ipaddress.ip_network(dst))
                for dst in whole
            ),
            place,
            leaks.WRONG_ROUTE,
            what=f"route to {cidr}",
            expected=f"by {interface['name']}",
            observed="none",
            declared_as=key,
        )


def _shadowed(dst: str, cidr: str, right: Iterable[dict[str, Any]]) -> bool:
    """True if more specific routes take all that a route to dst would of a range: a network that
    others may talk with has a route to its halves, so that a pod on both uses its own interface.
    """
    wrong, whole = _network(dst), _network(cidr)
    more: list[Any] = [_network(route["dst"]) for route in right]  # of one family
    taken = ipaddress.collapse_addresses(one for one in more if one.prefixlen > wrong.prefixlen)
    inner = wrong if wrong.prefixlen > whole.prefixlen else whole
    return any(is_within(inner, one) for one in taken)


def _overlap(dst: str, cidr: str) -> bool:
    """True if a route's destination (may be "default") is in or around a range."""
    try:
        return _network(dst).overlaps(_network(cidr))
    except (ValueError, TypeError):  # "default", another family
        return False


def _status(
    found: _Found, plan: dict[str, Any], facts: Iterable[Facts], pods: dict[str, dict[str, Any]]
) -> None:
    """Compare each pod's annotation k8s.v1.cni.cncf.io/network-status (Network Plumbing Working
    Group's specification, section 3.5) with what the pod has.
    """
    meta_plugin_writes_it = (plan.get("cni_conf") or {}).get("kubeconfig")
    for host in facts:
        for pod in host["pods"]:
            said = pods.get(pod.get("uid"))
            if not said or not said["running"]:
                continue  # gone, or only being started, when the API was asked
            here = _Place(host["host"], f"{host['host']}/{pod['label']}")
            error = said["status_error"]
            if said["status"] is not None:
                _interfaces_said(found, here, pod, said["status"])
            elif error or meta_plugin_writes_it:
                found.deviates(
                    here,
                    leaks.MISSING_INTERFACE,
                    what="network-status",
                    expected="an entry for each interface",
                    observed=error or "missing",
                    sentence=f"its annotation network-status cannot be read: {error}."
                    if error
                    else "it has no annotation network-status.",
                )


def _interfaces_said(
    found: _Found, here: _Place, pod: dict[str, Any], status: Iterable[dict[str, Any]]
) -> None:
    """Compare a pod's interfaces with those of its network-status."""
    entries = {entry["interface"]: entry for entry in status}
    real = {interface["name"]: interface for interface in pod["interfaces"]}
    for name in sorted(set(entries) - set(real) - {""}):
        found.deviates(
            here._replace(interface=name),
            leaks.MISSING_INTERFACE,
            what="interface",
            expected="present",
            observed="missing",
            sentence="network-status names this interface, and the pod has none of that name.",
        )
    for name, interface in sorted(real.items()):
        place = here._replace(interface=name, network=interface["network"])
        entry = entries.get(name)
        if entry is None and not interface["network"]:
            continue  # a finding of its own
        found.expect(
            entry is not None,
            place,
            leaks.MISSING_INTERFACE,
            what="interface",
            expected="named",
            observed="not named",
            sentence="the pod has this interface, and network-status does not name it.",
        )
        if entry is None:
            continue
        has = {text.split("/")[0] for text in interface["addresses"]}
        told = {str(ipaddress.ip_address(text.split("/")[0])) for text in entry["ips"]}
        mac = (interface["mac"] or "").lower()
        for what, value, other in (
            ("addresses", ", ".join(sorted(has)), ", ".join(sorted(told))),
            ("MAC", mac, entry["mac"].lower() or mac),
        ):
            found.expect(
                value == other,
                place,
                leaks.MISSING_INTERFACE,
                what=what,
                expected=other,
                observed=value,
                sentence=f"network-status says {what} {other or 'none'}, and the pod has"
                f" {value or 'none'}.",
            )


def _duplicates(found: _Found, facts: Iterable[Facts]) -> None:
    addresses: dict[str, list[_Place]] = collections.defaultdict(list)
    macs: dict[tuple[str, str], list[_Place]] = collections.defaultdict(list)
    gateways: dict[str, str] = {}
    for host in facts:
        for name, side in host["node"]["networks"].items():
            for text in (side["bridge"] or {"addresses": []})["addresses"]:
                if not ipaddress.ip_interface(text).is_link_local:
                    gateways[text.split("/")[0]] = f"the gateway of {name} on {host['host']}"
        for pod in host["pods"]:
            for interface in pod["interfaces"]:
                if not interface["network"]:
                    continue
                place = _Place(host["host"], f"{host['host']}/{pod['label']}", interface["name"])
                macs[(interface["network"], interface["mac"])].append(place)
                for text in interface["addresses"]:
                    addresses[text.split("/")[0]].append(place)
    for address, places in sorted(addresses.items()):
        _used_once(found, "address", address, places)
        if address in gateways:
            found.deviates(
                places[0],
                leaks.DUPLICATE,
                what="address",
                expected="used once",
                observed=f"{address}, also used by {gateways[address]}",
            )
    for (dummy, mac), places in sorted(macs.items()):
        _used_once(found, "MAC", mac, places)


def _neighbours(found: _Found, plan: dict[str, Any], facts: Sequence[Facts]) -> None:
    """Whom a pod has heard from is on the network of the interface where it did: what passive
    verification looks at, see facts.gather().
    """
    shut = pairs.shut(plan)
    of_mac = {end["mac"]: end for end in endpoints(facts)}
    for host in facts:
        for name, side in host["node"]["networks"].items():
            if side["bridge"]:
                bridge = {"id": f"{host['host']}/@{name}", "network": name}
                of_mac.setdefault(side["bridge"]["mac"], bridge)
    for host in facts:
        for pod in host["pods"]:
            networks = {one["name"]: one["network"] for one in pod["interfaces"]}
            for one in pod.get("neighbours", []):
                there, network = of_mac.get(one["mac"]), networks.get(one["interface"])
                if not network:
                    continue
                foreign = there and (there["network"], network) in shut
                found.expect(
                    not foreign,
                    _Place(
                        host["host"], f"{host['host']}/{pod['label']}", one["interface"], network
                    ),
                    leaks.SHARED_BRIDGE,
                    what=f"neighbour {one['address']}",
                    expected=f"one of network {network}",
                    observed=f"{there['id']} of network {there['network']}"
                    if there
                    else one["mac"],
                )


def _used_once(found: _Found, what: str, value: str, places: Sequence[_Place]) -> None:
    others = ", ".join(f"{place.pod} {place.interface}" for place in places[1:])
    found.expect(
        len(places) == 1,
        places[0],
        leaks.DUPLICATE,
        what=what,
        expected="used once",
        observed=f"{value}, also used by {others}",
    )
