# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends between which a measurement sends: interfaces of pods, a host's own network, and the
addresses that hosts have in the networks. All of it follows from the facts (see facts.gather()).

Pure, standard library: each host and the controller derive the same ends from the same facts.
"""

from __future__ import annotations

import collections
import ipaddress
import zlib
from collections.abc import Iterable
from typing import Any

Facts = dict[str, Any]  # of one host, see facts.gather()
End = dict[str, Any]  # see endpoints()
ByFamily = dict[str, "str | None"]  # {"4": address, "6": address}, without prefix

PORTS = 16  # from which a measurement takes one, see port_of()
OUTSIDE = "@outside"  # the sender that is no node


def end_id(place: str, interface: str) -> str:
    """Return the id of an interface of a pod ("host/pod") or of a host's own network."""
    return f"{place}/{interface}"


def endpoints(facts: Iterable[Facts]) -> list[End]:
    """Return the attached interfaces that belong to a network of the plan, sorted by id
    "host/pod/interface"; not those that were taken off their bridge, which reach nobody.

    Each: {"id", "host", "pod" ("host/pod"), "netns", "inode", "interface", "index": the kernel's
    number of it, "peer": name of the host's end of it or None, "network", "wired": the network
    whose bridge it is on, "external": bool, "recorded": whether the collection attached it, "mac",
    "mtu", "gateway_mac", "addresses": {"4": first address or None, "6": ...}}. A pod of Kubernetes
    is "host/namespace/pod".
    """
    found = []
    for host in facts:
        sides = host["node"]["networks"]
        of_bridge = {side["bridge"]["name"]: name for name, side in sides.items() if side["bridge"]}
        for pod in host["pods"]:
            for interface in pod["interfaces"]:
                off = not (interface.get("bridge") or interface.get("external"))
                if interface["network"] is None or off:
                    continue
                wired = of_bridge.get(interface.get("bridge"), interface["network"])
                side = sides.get(wired, {})
                found.append(
                    {
                        "id": end_id(f"{host['host']}/{pod['label']}", interface["name"]),
                        "host": host["host"],
                        "pod": f"{host['host']}/{pod['label']}",
                        "netns": pod["netns"],
                        "inode": pod["inode"],
                        "interface": interface["name"],
                        "index": interface["index"],
                        "peer": interface.get("peer"),
                        "network": interface["network"],
                        "wired": wired,
                        "external": interface.get("external", False),
                        "recorded": pod.get("recorded", False),
                        "mac": interface["mac"],
                        "mtu": interface["mtu"],
                        "gateway_mac": (side.get("bridge") or {}).get("mac"),
                        "addresses": by_family(interface["addresses"]),
                    }
                )
    return sorted(found, key=lambda end: end["id"])


def pairs_of(ends: Iterable[End]) -> int:
    """Return how many ordered pairs of ends there are, without those within one pod."""
    pods = collections.Counter(end["pod"] for end in ends)
    return sum(pods.values()) ** 2 - sum(count**2 for count in pods.values())


def by_family(addresses: Iterable[str]) -> ByFamily:
    """Return the first IPv4 and the first IPv6 address of ["10.1.5.2/24", ...]."""
    found: ByFamily = {"4": None, "6": None}
    for text in addresses:
        address = ipaddress.ip_address(text.split("/", 1)[0])
        found[str(address.version)] = found[str(address.version)] or str(address)
    return found


def host_end(host: str) -> End:
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
        "index": 0,
        "peer": None,
        "network": "@host",
        "external": False,
        "mtu": 0,
        "addresses": {"4": None, "6": None},
    }


def node_addresses(facts: Iterable[Facts]) -> list[End]:
    """Return the addresses hosts have in the networks: [{"id": "host/@network/bridge", "host",
    "network", "device", "family", "address"}].
    """
    found = []
    for host in facts:
        for network, side in sorted(host["node"]["networks"].items()):
            for role in ("bridge", "device", "device_v6"):
                device = side.get(role) or {"addresses": []}
                for family, address in by_family(device["addresses"]).items():
                    if address:
                        found.append(
                            {
                                "id": f"{host['host']}/@{network}/{role}",
                                "host": host["host"],
                                "network": network,
                                "device": device["name"],
                                "family": family,
                                "address": address,
                            }
                        )
    return found


def port_of(first: int, run: str, facts: Iterable[Facts] = ()) -> int:
    """Return the UDP port of a measurement's tokens: of PORTS from the first on, that which its
    name chooses, or the next that no other measurement has on any host.
    """
    taken = {port for host in facts for port in host.get("ports_taken", ())}
    chosen = zlib.crc32(run.encode("ascii")) % PORTS
    ports = [first + (chosen + number) % PORTS for number in range(PORTS)]
    return next((port for port in ports if port not in taken), ports[0])


def tunnel_ports(facts: Iterable[Facts]) -> set[int]:
    """Return the UDP ports of all VXLAN devices that the hosts have in the networks."""
    return {
        side[role]["port"]
        for host in facts
        for side in host["node"]["networks"].values()
        for role in ("device", "device_v6")
        if side.get(role) and side[role].get("port")
    }
