# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether other firewalls let a network's packets pass, and what to do where one does not. Pure.

Runs on hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from . import firewalls
from .firewalls import Packet, Table

_SENT = "what its pods send to other hosts"
_COMES = "what comes for its pods from other hosts"
_BRIDGED = "what its pods on this host send each other"


class Path(NamedTuple):
    """The path between a host and another in a network, of one family: device of the route there,
    underlay's device, and addresses of a pod and of the host, here and there.
    """

    way: str
    underlay: str
    pod: str
    other_pod: str
    host: str
    other_host: str
    bridged: bool = False  # whether firewalls see what a bridge passes on (br_netfilter)


class Closed(NamedTuple):
    """What a chain does not let pass. sure: whether it drops it, else that is not known."""

    sure: bool
    sentence: str
    remedy: str


def closed(
    network: dict[str, Any], path: Path, tables: Sequence[Table], version: int
) -> Iterator[Closed]:
    """Yield what other firewalls do not let pass of a network (of a plan) in one IP family."""
    for tunnel, packets in (
        (False, list(_of_pods(network, path))),
        (True, list(_of_tunnel(network, path))),
    ):
        found: dict[tuple[str, str], tuple[Table, str, list[str]]] = {}
        for what, packet in packets:
            for table, chain, outcome in firewalls.outcomes(tables, packet):
                key = (table.where(chain), outcome)
                found.setdefault(key, (table, chain, []))[2].append(what)
        for (where, outcome), (table, chain, whats) in found.items():
            *most, last = dict.fromkeys(whats)
            things = f"{', '.join(most)} and {last}" if most else last
            if outcome == firewalls.DROP:
                yield Closed(
                    True,
                    f"{table.owner()} drops {things} ({where})",
                    _remedy(table, chain, network, tunnel, version),
                )
            else:
                yield Closed(
                    False, f"It is not known whether {table.owner()} drops {things} ({where}).", ""
                )


def _of_pods(network: dict[str, Any], path: Path) -> Iterator[tuple[str, Packet]]:
    if network["backend"]["type"] == "alloc":
        return
    bridge = network["bridge"]
    yield _SENT, Packet("forward", bridge, path.way, path.pod, path.other_pod, dport=PORT)
    yield _COMES, Packet("forward", path.way, bridge, path.other_pod, path.pod, dport=PORT)
    if path.bridged:
        yield _BRIDGED, Packet("forward", bridge, bridge, path.pod, path.pod, dport=PORT)


PORT = 33434  # of no service


def _of_tunnel(network: dict[str, Any], path: Path) -> Iterator[tuple[str, Packet]]:
    if not path.host or not path.other_host:
        return
    kinds = [(17, port, f"UDP {port}") for port in network["tunnel_ports"]]
    kinds += [(number, 0, f"IP protocol {number}") for number in network["tunnel_protocols"]]
    for protocol, port, name in kinds:
        # the guard has the tunnels' packets not tracked
        more = {"protocol": protocol, "dport": port, "state": "untracked"}
        yield (
            f"its tunnel's packets ({name}) from other hosts",
            Packet("input", path.underlay, "", path.other_host, path.host, **more),
        )
        yield (
            f"its tunnel's packets ({name}) to other hosts",
            Packet("output", "", path.underlay, path.host, path.other_host, **more),
        )


def _remedy(table: Table, chain: str, network: dict[str, Any], tunnel: bool, version: int) -> str:
    """Return what lets it pass, in the words of the firewall's own tool."""
    owner, ports = table.owner(), network["tunnel_ports"]
    if tunnel and not ports:
        return f"let IP protocol {network['tunnel_protocols'][0]} pass"
    cidr = network["ipv6_cidr" if version == 6 else "cidr"]
    if owner == "firewalld":
        words = f"--add-port={ports[0]}/udp" if tunnel else f"--zone=trusted --add-source={cidr}"
        return f"let it pass: firewall-cmd --permanent {words}, then firewall-cmd --reload"
    if owner == "ufw":
        if tunnel:
            return f"let it pass: ufw allow proto udp to any port {ports[0]}"
        return f"let it pass: ufw route allow from {cidr}, and ufw route allow to {cidr}"
    ip = "ip6" if version == 6 else "ip"
    if owner == "nftables":
        rule = f"nft insert rule {table.family} {table.name} {chain}"
        words = f"udp dport {ports[0]} accept" if tunnel else f"{ip} saddr {cidr} accept"
        where = "let it pass, also in the file that it is made from"
    else:
        kind = "-legacy" if table.tool == "iptables-legacy" else ""
        rule = f"{ip}tables{kind} -I {chain}"
        if owner == "docker" and chain == "FORWARD":
            rule = f"{ip}tables{kind} -I DOCKER-USER"
        words = f"-p udp --dport {ports[0]} -j ACCEPT" if tunnel else f"-s {cidr} -j ACCEPT"
        where = "let it pass, where its rules are kept"
    other = "" if tunnel else f", and the same with {'daddr' if owner == 'nftables' else '-d'}"
    return f"{where}: {rule} {words}{other}"
