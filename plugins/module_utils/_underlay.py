# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address a host speaks to the other hosts from, of what Ansible knows of it. Pure; runs on
the controller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

_ALONE = {4: 32, 6: 128}  # bits of a prefix with one address in it


def interface_address(facts: Mapping[str, Any], interface: str) -> str:
    """Return the IPv4 address of an interface from which the host speaks, "" without one.

    facts: ansible_facts of the host, with those of its network. interface: as the kernel calls it.

    Where the default route leaves by the interface, it is the address that the kernel itself takes.
    Otherwise it is the first one that is more than itself: a virtual address, as keepalived and
    kube-vip move it from host to host, is a prefix of one address, and may be listed first.
    """
    default = facts.get("default_ipv4") or {}
    if default.get("interface") == interface and default.get("address"):
        return str(default["address"])
    fact = _fact(facts, interface)
    listed = [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or [])]
    found = [one for one in listed if one.get("address")]
    wide = [one for one in found if not _is_alone(one, 4)]
    return str((wide or found or [{"address": ""}])[0]["address"])


def interface_ipv6_address(facts: Mapping[str, Any], interface: str) -> str:
    """Return the one IPv6 address of an interface beside virtual ones, "" where flanneld is to
    choose: it knows which are temporary, and facts do not.
    """
    listed = [
        one for one in _fact(facts, interface).get("ipv6") or [] if one.get("scope") != "link"
    ]
    wide = [one for one in listed if not _is_alone(one, 6)]
    return str(wide[0]["address"]) if len(wide) == 1 else ""


def flanneld_underlay(
    facts: Mapping[str, Any], interface: str, node_address: str = ""
) -> dict[str, str]:
    """Return what a flanneld is told of the underlay: {"interface", "public_ip", "public_ipv6"}, as
    render.flanneld_environment() takes it.

    facts, interface: see interface_address(). node_address: the address at which others reach the
    host, if a user said it.

    It is told the address, and finds the interface (and with it the MTU) by it: an interface may
    have several addresses, and flanneld takes the first. Of an address that the host itself does
    not have, as behind NAT, it could not.
    """
    said = node_address if is_address(node_address) and ":" not in node_address else ""
    address = said or interface_address(facts, interface)
    has_it = not said or said in (facts.get("all_ipv4_addresses") or [])
    return {
        "interface": "" if address and has_it else interface,
        "public_ip": address,
        "public_ipv6": "" if said else interface_ipv6_address(facts, interface),
    }


def node_address(name: str, variables: Mapping[str, Any]) -> str:
    """Return the address at which the others reach a host, "" while it is not known.

    variables: the host's hostvars. In this order: multinet_node_address; the address of
    multinet_underlay_interface; that of the default route's interface. Raises ValueError with a
    sentence.
    """
    said = variables.get("multinet_node_address")
    if said:
        if not is_address(said):
            raise ValueError(
                f"{name}: multinet_node_address is {said!r}, which is not an address. Write it as"
                " 10.0.0.1."
            )
        return str(said)
    facts = variables.get("ansible_facts") or {}
    interface = variables.get("multinet_underlay_interface")
    if interface and facts.get("interfaces"):
        address = interface_address(facts, interface)
        if not address:
            raise ValueError(
                f"{name}: the interface {interface} (multinet_underlay_interface) is not there or"
                " has no IPv4 address."
            )
        return address
    return str((facts.get("default_ipv4") or {}).get("address") or "")


def shared_addresses(hostvars: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return a sentence for each address that several of the hosts (names) have, as hosts of one
    Vagrantfile do: their tunnels could not be told apart.
    """
    holders: dict[str, list[str]] = {}
    for name in names:
        try:
            address = node_address(name, hostvars[name])
        except ValueError:
            continue  # the host's own check has a sentence for it
        holders.setdefault(address, []).append(name)
    return [
        f"{' and '.join(holding)} have the same address {address}, so tunnels could not tell them"
        " apart. Set multinet_underlay_interface to the interface between the hosts (with Vagrant"
        " the second one), or multinet_node_address of each; if they are one host under two names,"
        " use one name."
        for address, holding in holders.items()
        if address and len(holding) > 1
    ]


def is_address(text: Any) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def _fact(facts: Mapping[str, Any], interface: str) -> Mapping[str, Any]:
    """What Ansible knows of an interface: under its name, with _ for -; the dot of a VLAN stays."""
    return facts.get(interface.replace("-", "_")) or {}


def _is_alone(fact: Mapping[str, Any], version: int) -> bool:
    return str(fact.get("prefix")) == str(_ALONE[version])
