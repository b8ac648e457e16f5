# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""network.yml: the logical networks of the hosts, the NICs they are on, and who has which address.

Compass hands addresses out in the order of the hosts, one per host and network. It keeps one place
in the line for each list of ranges, so two networks with the same list take turns. The key
`role` of a network decides nothing: each host gets an address of each.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import json
from collections.abc import Iterator
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._plan.sentences import nearest

from .documents import CompassError, Document, Where


@dataclasses.dataclass
class Bond:
    """NICs that hosts use as one. hosts: their names. mtu: bytes, 0 for the kernel's."""

    name: str
    hosts: list[str]
    slaves: list[str]
    mode: str
    mtu: int


@dataclasses.dataclass
class Network:
    """A logical network of the hosts. nic: what network.yml calls it. vlan: its tag, 0 for none.

    line: the key of its line, as Compass has it. place: where its ranges stand in the file, and
    mapping, where its NIC does.
    """

    name: str
    cidr: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: str
    ranges: list[tuple[Any, Any]]
    nic: str
    vlan: int
    line: str
    place: Where
    mapping: Where

    @property
    def device(self) -> str:
        """The device that Compass' roles give the network's address to."""
        return f"{self.nic}.{self.vlan}" if self.vlan else self.nic

    def addresses(self) -> Iterator[str]:
        """Yield the addresses of its ranges, in order."""
        for first, last in self.ranges:
            for number in range(int(first), int(last) + 1):
                yield str(type(first)(number))


@dataclasses.dataclass
class NetworkFile:
    """What network.yml says. vips: internal_vip and public_vip -> {ip, network}."""

    document: Document
    networks: list[Network]
    bonds: list[Bond]
    vips: dict[str, dict[str, str]]

    def nics(self) -> dict[str, Where]:
        """Return the NICs that networks are on, of those that a host must have, with the place."""
        made = {bond.name for bond in self.bonds}
        made |= {item.get("name") for item in self.document.list(("provider_net_mappings",), True)}
        return {
            network.nic: network.mapping
            for network in reversed(self.networks)
            if network.nic not in made
        }


def read(document: Document) -> NetworkFile:
    """Return what network.yml, or `network_cfg` in a run's group_vars, says. Raise CompassError."""
    document.mapping()
    mappings: dict[str, tuple[str, int, Where]] = {}
    for index, dummy in enumerate(document.list(("sys_intf_mappings",))):
        place = ("sys_intf_mappings", index)
        mapping = document.mapping(place)
        name = document.string((*place, "name"))
        if name in mappings:
            raise document.wrong((*place, "name"), f"there are two networks called {name}.")
        mappings[name] = (
            document.string((*place, "interface")),
            _vlan(document, (*place, "vlan_tag"), mapping.get("vlan_tag")),
            place,
        )
    networks: list[Network] = []
    for index, dummy in enumerate(document.list(("ip_settings",))):
        networks.append(_network(document, ("ip_settings", index), mappings))
        if networks[-1].name in [network.name for network in networks[:-1]]:
            raise document.wrong(
                ("ip_settings", index, "name"), f"there are two networks {networks[-1].name}."
            )
    bonds = [
        _bond(document, ("bond_mappings", index))
        for index, dummy in enumerate(document.list(("bond_mappings",), True))
    ]
    vips = {
        key: _vip(document, key, networks)
        for key in ("internal_vip", "public_vip")
        if document.mapping().get(key)
    }
    return NetworkFile(document, networks, bonds, vips)


def _network(
    document: Document, place: Where, mappings: dict[str, tuple[str, int, Where]]
) -> Network:
    settings = document.mapping(place)
    name = document.string((*place, "name"))
    if name not in mappings:
        raise document.wrong(
            (*place, "name"),
            f"sys_intf_mappings has no network {name}, so its NIC is not known;"
            f" {nearest(name, mappings, ', or add it there')}.",
        )
    cidr = _parsed(document, (*place, "cidr"), ipaddress.ip_network, "a range as 10.1.0.0/24")
    ranges = []
    for index, dummy in enumerate(document.list((*place, "ip_ranges"))):
        here = (*place, "ip_ranges", index)
        ends = document.list(here)
        if len(ends) != 2:
            raise document.wrong(here, "a range is [first address, last address].")
        first, last = (
            _parsed(document, (*here, end), ipaddress.ip_address, "an address") for end in (0, 1)
        )
        if first not in cidr or last not in cidr:
            raise document.wrong(here, f"the range {first} to {last} of {name} is not in {cidr}.")
        if first > last:
            raise document.wrong(
                here,
                f"the range {first} to {last} of {name} is the wrong way round; write the lower"
                " address first.",
            )
        ranges.append((first, last))
    gateway = ""
    if settings.get("gw"):
        gateway = str(_parsed(document, (*place, "gw"), ipaddress.ip_address, "an address"))
    nic, vlan, mapping = mappings[name]
    line = json.dumps(settings["ip_ranges"])
    return Network(name, cidr, gateway, ranges, nic, vlan, line, (*place, "ip_ranges"), mapping)


def _parsed(document: Document, place: Where, parse: Any, wanted: str) -> Any:
    text = document.string(place)
    try:
        return parse(text)
    except ValueError:
        raise document.wrong(place, f"{text} is not {wanted}.") from None


def _vlan(document: Document, place: Where, tag: Any) -> int:
    # `vlan_tag: None` is the word None in YAML
    if tag in (None, "", "None", "none"):
        return 0
    text = str(tag)
    if isinstance(tag, bool) or not text.isdecimal() or not 1 <= int(text) <= 4094:
        raise document.wrong(place, f"vlan_tag is {tag}; write a number from 1 to 4094, or None.")
    return int(text)


def _bond(document: Document, place: Where) -> Bond:
    settings = document.mapping(place)
    mtu = settings.get("mtu")
    return Bond(
        name=document.string((*place, "name")),
        hosts=[str(host) for host in document.list((*place, "host"))],
        slaves=[str(nic) for nic in document.list((*place, "bond-slaves"))],
        mode=str(settings.get("bond-mode") or ""),
        mtu=mtu if isinstance(mtu, int) else 0,
    )


def _vip(document: Document, key: str, networks: list[Network]) -> dict[str, str]:
    address = _parsed(document, (key, "ip"), ipaddress.ip_address, "an address")
    # it names a logical network, not a NIC
    name = document.string((key, "interface"))
    for network in networks:
        if network.name == name:
            if address not in network.cidr:
                raise document.wrong(
                    (key, "ip"), f"{key} {address} is not in {network.cidr}, the range of {name}."
                )
            return {"ip": str(address), "network": name}
    raise document.wrong(
        (key, "interface"),
        f"{key} is on {name}, but ip_settings has no such network;"
        f" {nearest(name, [network.name for network in networks], '')}.",
    )


class Line:
    """Who comes next: one place for each list of ranges, over all files of a cluster."""

    def __init__(self) -> None:
        self._next: dict[str, Iterator[str]] = {}
        self._owners: dict[str, str] = {}

    def hand_out(self, file: NetworkFile, hosts: list[str]) -> dict[str, dict[str, str]]:
        """Return host -> logical network -> address. Raise CompassError."""
        found: dict[str, dict[str, str]] = {host: {} for host in hosts}
        for host, network in itertools.product(hosts, file.networks):
            line = self._next.setdefault(network.line, network.addresses())
            address = next(line, "")
            if not address:
                raise file.document.wrong(
                    network.place,
                    f"the ip_ranges of {network.name} have no address left for {host}: there are"
                    f" {sum(1 for dummy in network.addresses())} of them. Make the range longer.",
                )
            self.own(file, network.place, address, host)
            found[host][network.name] = address
        for key, vip in file.vips.items():
            self.own(file, (key, "ip"), vip["ip"], key)
        return found

    def own(self, file: NetworkFile, place: Where, address: str, owner: str) -> None:
        """Note who has an address; raise CompassError if somebody else has."""
        other = self._owners.setdefault(address, owner)
        if other != owner:
            raise file.document.wrong(
                place,
                f"{owner} would get {address}, which {other} already has. Begin the range after the"
                " addresses that are in use, or take another virtual address.",
            )


__all__ = ["Bond", "CompassError", "Line", "Network", "NetworkFile", "read"]
