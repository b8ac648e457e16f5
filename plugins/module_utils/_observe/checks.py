# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static half of the verdict: what hosts and pods have, compared with what the plan promises.

Pure.
"""

from __future__ import annotations

import collections
import ipaddress

from . import leaks


def violations(plan, facts, cluster=None):
    """Return ([violation, ...], number of comparisons made).

    cluster: what cluster.view() returned, None without Kubernetes.

    A violation: {"host", "pod", "interface", "what", "expected", "observed", "class", "class_name",
    "repair", "sentence"}; "pod" and "interface" are "" for the host's own.
    """
    found = _Findings()
    said = {one["uid"]: one for one in (cluster or {}).get("pods", []) if one["uid"]}
    for host in facts:
        for network in plan["networks"]:
            _host_side(found, host, network, facts)
        for stranger in host["node"]["strangers"]:
            found.add(
                host["host"],
                "",
                stranger["interface"],
                f"port of bridge {stranger['bridge']}",
                "only veths of pods",
                stranger["kind"],
                14,
                stranger["network"],
            )
        for pod in host["pods"]:
            _pod(found, plan, host, pod, _of_others(plan, said.get(pod.get("uid"))))
    if cluster:
        _status(found, plan, facts, said)
    _duplicates(found, facts)
    return found.rows, found.compared


class _Findings:
    def __init__(self):
        self.rows, self.compared = [], 0

    def expect(self, holds, *row):
        self.compared += 1
        if not holds:
            self.add(*row)

    def add(self, host, pod, interface, what, expected, observed, number, network="", sentence=""):
        place = " ".join(filter(None, (pod or host, interface)))
        self.rows.append(
            {
                "host": host,
                "pod": pod,
                "interface": interface,
                "network": network,
                "what": what,
                "expected": str(expected),
                "observed": str(observed),
                "class": number,
                "class_name": leaks.CLASSES[number].name,
                "repair": leaks.repair(leaks.CLASSES[number], host, network, network),
                "sentence": f"{place}: {sentence or f'{what} is {observed}, expected {expected}.'}",
            }
        )


def _network(text):
    return ipaddress.ip_network(text, strict=False)


def host_subnets(side):
    """Return the networks (ipaddress) this host leased, from flanneld's own file."""
    return [
        _network(side["lease"][key].split(",")[0])
        for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")
        if side["lease"].get(key)
    ]


def _host_side(found, host, network, facts):
    name, side = host["host"], host["node"]["networks"][network["name"]]
    subnets = host_subnets(side)
    found.expect(
        bool(subnets),
        name,
        "",
        "",
        f"the lease of network {network['name']}",
        f"a subnet in {network['subnet_file']}",
        "none",
        0,
        network["name"],
    )
    for role, key in (("device", "vni"), ("device_v6", "vni")):
        wanted, device = network.get(role), side[role]
        if not wanted:
            continue
        found.expect(
            device is not None,
            name,
            "",
            wanted,
            "tunnel device",
            "present",
            "missing",
            0,
            network["name"],
        )
        if device is None:
            continue
        found.expect(device["up"], name, "", wanted, "state", "up", "down", 0, network["name"])
        if network["backend"]["type"] == "vxlan":
            found.expect(
                device[key] == network["backend"].get("vni"),
                name,
                "",
                wanted,
                "VNI",
                network["backend"].get("vni"),
                device["vni"],
                11,
                network["name"],
            )
            found.expect(
                device["port"] == network["backend"].get("port"),
                name,
                "",
                wanted,
                "UDP port",
                network["backend"].get("port"),
                device["port"],
                11,
                network["name"],
            )
    if side["bridge"]:
        for text in side["bridge"]["addresses"]:
            address = ipaddress.ip_interface(text)
            if subnets and any(subnet.version == address.version for subnet in subnets):
                found.expect(
                    any(
                        address.ip in subnet
                        for subnet in subnets
                        if subnet.version == address.version
                    ),
                    name,
                    "",
                    network["bridge"],
                    "bridge address",
                    f"inside {', '.join(map(str, subnets))}",
                    text,
                    20,
                    network["name"],
                )
    usable = [_network(route["prefix"]) for route in side["routes"] if not route["dead"]]
    for other in facts:
        if other["host"] != name:
            for subnet in host_subnets(other["node"]["networks"][network["name"]]):
                there = any(
                    route.version == subnet.version and subnet.subnet_of(route) for route in usable
                )
                found.expect(
                    there,
                    name,
                    "",
                    network.get("device") or "",
                    f"route to {subnet} of {other['host']}",
                    "present",
                    "missing",
                    0,
                    network["name"],
                )


def _of_others(plan, said):
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


def _pod(found, plan, host, pod, of_others):
    by_name = {network["name"]: network for network in plan["networks"]}
    where = f"{host['host']}/{pod['label']}"
    attached = {
        interface["network"]: interface for interface in pod["interfaces"] if interface["network"]
    }
    for network in plan["networks"]:
        if (
            pod.get("uid") and network["attach"] == "all"
        ):  # other containers may have been given some networks only
            found.expect(
                network["name"] in attached,
                host["host"],
                where,
                network["interface"],
                "interface",
                "present",
                "missing",
                22,
                network["name"],
            )
    for interface in pod["interfaces"]:
        network = by_name.get(interface["network"])
        if interface.get("external") or (network is None and interface["name"] in of_others):
            continue  # another CNI's
        if network is None:
            found.add(
                host["host"],
                where,
                interface["name"],
                "bridge of its peer",
                "a bridge of the plan",
                interface["bridge"] or "none",
                14,
            )
            continue
        side = host["node"]["networks"][network["name"]]
        found.expect(
            interface["up"],
            host["host"],
            where,
            interface["name"],
            "state",
            "up",
            "down",
            0,
            network["name"],
        )
        _addresses(found, host["host"], where, interface, network, host_subnets(side))
        mtu = (network.get("delegate") or {}).get("mtu") or side["lease"].get("FLANNEL_MTU")
        if mtu:
            found.expect(
                interface["mtu"] == int(mtu),
                host["host"],
                where,
                interface["name"],
                "MTU",
                mtu,
                interface["mtu"],
                21,
                network["name"],
            )
        for key, wanted in (("arp_ignore", 1), ("arp_announce", 2)):
            # The kernel uses the larger of "all" and the interface's own value.
            value = max(
                pod["sysctls"].get("net/ipv4/conf/all/" + key, 0), interface["sysctls"].get(key, 0)
            )
            if len(attached) > 1:
                found.expect(
                    value == wanted,
                    host["host"],
                    where,
                    interface["name"],
                    key,
                    wanted,
                    value,
                    7,
                    network["name"],
                )
    first = plan["default_network"] or (plan.get("external") or {}).get("name")
    for family, devices in sorted(pod["default_routes"].items()):
        default = attached.get(first)
        for device in devices:
            if any(
                interface["name"] == device and interface["network"]
                for interface in pod["interfaces"]
            ):
                found.expect(
                    default is not None and device == default["name"],
                    host["host"],
                    where,
                    device,
                    f"default route (IPv{family})",
                    f"only by the interface on {first}",
                    "by " + device,
                    10,
                )
        if (
            default is not None
            and not default.get("external")
            and any((":" in text) == (family == "6") for text in default["addresses"])
        ):
            found.expect(
                bool(devices),
                host["host"],
                where,
                default["name"],
                f"default route (IPv{family})",
                "by " + default["name"],
                "none",
                10,
                plan["default_network"],
            )
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        if len(attached) > 1 and key in pod["sysctls"]:
            found.expect(
                pod["sysctls"][key] == 0,
                host["host"],
                where,
                "",
                key.replace("/", "."),
                0,
                pod["sysctls"][key],
                9,
            )


def _addresses(found, host, where, interface, network, subnets):
    for cidr, family in ((network["cidr"], 4), (network.get("ipv6_cidr"), 6)):
        mine = [
            text
            for text in interface["addresses"]
            if ipaddress.ip_interface(text).version == family
        ]
        if cidr:
            found.expect(
                bool(mine),
                host,
                where,
                interface["name"],
                f"IPv{family} address",
                f"one of {cidr}",
                "none",
                0,
                network["name"],
            )
        for text in mine:
            address = ipaddress.ip_interface(text).ip
            found.expect(
                bool(cidr) and address in _network(cidr),
                host,
                where,
                interface["name"],
                "address",
                f"inside {cidr}",
                text,
                20,
                network["name"],
            )
            for subnet in subnets:
                if subnet.version == family:
                    found.expect(
                        address in subnet,
                        host,
                        where,
                        interface["name"],
                        "address",
                        f"inside the host's subnet {subnet}",
                        text,
                        20,
                        network["name"],
                    )


def _status(found, plan, facts, pods):
    """Compare each pod's annotation k8s.v1.cni.cncf.io/network-status (Network Plumbing Working
    Group's specification, section 3.5) with what the pod has.
    """
    for host in facts:
        for pod in host["pods"]:
            said = pods.get(pod.get("uid"))
            if not said or not said["running"]:
                continue  # gone, or only being started, when the API was asked
            place = (host["host"], f"{host['host']}/{pod['label']}")
            wanted = (plan.get("cni_conf") or {}).get("kubeconfig")
            if said["status"] is None:
                if said["status_error"] or wanted:
                    text = "it has no annotation network-status."
                    if said["status_error"]:
                        text = (
                            f"its annotation network-status cannot be read: {said['status_error']}."
                        )
                    found.add(
                        *place,
                        "",
                        "network-status",
                        "an entry for each interface",
                        said["status_error"] or "missing",
                        22,
                        "",
                        text,
                    )
                continue
            entries = {entry["interface"]: entry for entry in said["status"]}
            real = {interface["name"]: interface for interface in pod["interfaces"]}
            for name in sorted(set(entries) - set(real) - {""}):
                found.add(
                    *place,
                    name,
                    "interface",
                    "present",
                    "missing",
                    22,
                    "",
                    "network-status names this interface, and the pod has none of that name.",
                )
            for name, interface in sorted(real.items()):
                row = place + (name,)
                entry = entries.get(name)
                if entry is None and not interface["network"]:
                    continue  # a finding of its own
                unnamed = "the pod has this interface, and network-status does not name it."
                found.expect(
                    entry is not None,
                    *row,
                    "interface",
                    "named",
                    "not named",
                    22,
                    interface["network"],
                    unnamed,
                )
                if entry is None:
                    continue
                has = {text.split("/")[0] for text in interface["addresses"]}
                tells = {str(ipaddress.ip_address(text.split("/")[0])) for text in entry["ips"]}
                for what, value, other in (
                    ("addresses", ", ".join(sorted(has)), ", ".join(sorted(tells))),
                    (
                        "MAC",
                        (interface["mac"] or "").lower(),
                        entry["mac"].lower() or (interface["mac"] or "").lower(),
                    ),
                ):
                    sentence = (
                        f"network-status says {what} {other or 'none'}, and the pod has"
                        f" {value or 'none'}."
                    )
                    found.expect(
                        value == other, *row, what, other, value, 22, interface["network"], sentence
                    )


def _duplicates(found, facts):
    addresses, macs = collections.defaultdict(list), collections.defaultdict(list)
    for host in facts:
        for pod in host["pods"]:
            for interface in pod["interfaces"]:
                if interface["network"]:
                    place = (host["host"], f"{host['host']}/{pod['label']}", interface["name"])
                    macs[(interface["network"], interface["mac"])].append(place)
                    for text in interface["addresses"]:
                        addresses[text.split("/")[0]].append(place)
    for what, table in (("address", addresses), ("MAC", macs)):
        for key, places in sorted(table.items()):
            value = key if what == "address" else key[1]
            found.expect(
                len(places) == 1,
                places[0][0],
                places[0][1],
                places[0][2],
                what,
                "used once",
                f"{value}, also used by"
                f" {', '.join('{} {}'.format(*place[1:]) for place in places[1:])}",
                20,
            )
