# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All networks together: what no network can know alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .options import Claim, Options
from .ranges import IPNetwork, free_space, overlaps, take_free_range
from .schema import BACKENDS, FAMILIES, Family
from .sentences import Report, nearest, show


class Entry(NamedTuple):
    """One entry of the declaration that was checked by itself, and the report about it."""

    report: Report
    network: dict[str, Any]


def check(
    networks: Sequence[Entry],
    externals: Sequence[Entry],
    names: Sequence[Any],
    options: Options,
    errors: list[str],
) -> None:
    """Report what the entries do to each other.

    networks: those of the collection, with all their defaults. externals: those of other CNIs.
    names: what the entries have as names, wrong ones too.
    """
    everyone = [*networks, *externals]
    _check_unique(everyone, "name", "write a different name for each network")
    _check_one_default(networks, externals, errors)
    if sum(bool(entry.network["default"]) for entry in networks) + len(externals) == 1:
        # otherwise several would be eth0, which is said already
        _check_unique(
            [*externals, *networks], "interface", "write another interface for one of the two"
        )
    _check_unique(
        networks, "healthz_port", "write another healthz_port in one of the two, for example 20001"
    )
    _check_allow_to(networks, externals, names)
    _check_docker_network(networks, options.values["docker_network"], errors)
    for family in FAMILIES:
        foreign = [
            Claim(entry.report.place, IPNetwork(entry.network[family.cidr]))
            for entry in externals
            if entry.network[family.cidr]
        ]
        _check_overlaps(networks, family, options.taken + foreign)
    _check_backends(networks)


def _check_unique(entries: Sequence[Entry], key: str, remedy: str) -> None:
    owners: dict[Any, str] = {}
    for report, network in entries:
        value = network[key]
        if value is None:
            continue
        if value in owners:
            report.wrong(f"{key} {show(value)} is also used by {owners[value]}; {remedy}")
        else:
            owners[value] = report.place


def _check_one_default(
    networks: Sequence[Entry], externals: Sequence[Entry], errors: list[str]
) -> None:
    ours = [report.place for report, network in networks if network["default"]]
    others = [report.place for report, network in externals]
    unclear = any(network["default"] is None for report, network in networks)
    if others and not networks:
        errors.append(
            f"multinet_networks: {others[0]} belongs to another CNI, and no other network is"
            " declared; write at least one network of your own."
        )
    elif not ours and not others and not unclear:
        errors.append(
            "multinet_networks: no network has default: true; write it in the one that gives pods"
            " their default route, or add an entry with default: external for a CNI that is already"
            " on the nodes."
        )
    elif len(ours + others) > 1:
        said = ["default: true"] * bool(ours) + ["default: external"] * bool(others)
        errors.append(
            f"multinet_networks: {' and '.join(ours + others)} have {' and '.join(said)}; write it"
            " in only one of them."
        )


def _check_allow_to(
    networks: Sequence[Entry], externals: Sequence[Entry], names: Sequence[Any]
) -> None:
    others = {entry.network["name"] for entry in externals}
    known = [name for name in names if isinstance(name, str) and name not in others]
    for report, network in networks:
        for name in network["allow_to"]:
            if name == network["name"]:
                report.wrong(
                    f"allow_to holds {show(name)}, the network itself, whose pods reach each other"
                    " anyway; remove it"
                )
            elif name in others:
                report.wrong(
                    f"allow_to holds {show(name)}, which every pod is attached to anyway; remove it"
                )
            elif name not in known:
                report.wrong(
                    f"allow_to holds {show(name)}, which is not a declared network;"
                    f" {nearest(name, known)}"
                )


def _check_docker_network(networks: Sequence[Entry], name: str, errors: list[str]) -> None:
    names = [str(entry.network["name"]) for entry in networks]
    if name and name not in names:
        Report("options", errors).wrong(
            f"docker_network is {show(name)}, which is not a declared network; write one of"
            f" {', '.join(names)}, or leave it out"
        )


def _check_overlaps(networks: Sequence[Entry], family: Family, taken: Sequence[Claim]) -> None:
    """Each network against the ones before it and against the ranges of others, with a free range
    to write instead.

    The default network may have Kubernetes' own range: its subnets are then those that Kubernetes
    gives its nodes.
    """
    declared = [entry for entry in networks if entry.network[family.cidr]]
    claims = [
        *(Claim(entry.report.place, IPNetwork(entry.network[family.cidr])) for entry in declared),
        *taken,
    ]
    ranges = [claim.cidr for claim in claims]
    free = None
    for position, (entry, own, found) in enumerate(zip(declared, ranges, overlaps(ranges))):
        hits = [
            f"{claims[other].owner} ({ranges[other]})"
            for other in found
            if (other < position or other >= len(declared))
            and not (entry.network["default"] and claims[other] == Claim("cluster_cidrs", own))
        ]
        if not hits:
            continue
        free = free_space(ranges, family.version) if free is None else free
        instead = take_free_range(own.prefixlen, free)
        entry.report.wrong(
            f"{family.cidr} {show(str(own))} overlaps {' and '.join(hits)}; write a range that"
            f" nothing else uses{f', for example {instead!r}' if instead else ''}"
        )


class _Tunnel(NamedTuple):
    """Who has a UDP port already."""

    place: str
    backend: dict[str, Any]


def _check_backends(networks: Sequence[Entry]) -> None:
    """VNIs, UDP ports, and backends of which a host can have only one."""
    with_backend = [entry for entry in networks if entry.network["backend"]]
    free_vni = _free_vnis(with_backend)
    singles: dict[str, str] = {}
    vnis: dict[int, str] = {}
    ports: dict[int, _Tunnel] = {}
    for report, network in with_backend:
        backend = network["backend"]
        kind = BACKENDS[backend["type"]]
        if kind.single:
            if backend["type"] in singles:
                report.wrong(
                    f"backend.type {show(backend['type'])} is also used by"
                    f" {singles[backend['type']]}, but a host can have only one such network:"
                    f" {kind.single}; write vxlan"
                )
                continue  # its ports would be the same mistake again
            singles[backend["type"]] = report.place
        vni = backend.get("vni")
        if vni in vnis:
            report.wrong(
                f"backend.vni {vni} is also used by {vnis[vni]}; write another, for example"
                f" {free_vni()}"
            )
        elif vni is not None:
            vnis[vni] = report.place
        _check_ports(report, network, ports)


def _free_vnis(networks: Sequence[Entry]) -> Callable[[], int]:
    """Return a function that gives another free VNI at each call."""
    used = {entry.network["backend"].get("vni") for entry in networks}

    def free_vni() -> int:
        number = next(number for number in range(1, len(used) + 2) if number not in used)
        used.add(number)
        return number

    return free_vni


def _check_ports(report: Report, network: dict[str, Any], taken: dict[int, _Tunnel]) -> None:
    """The UDP ports of one network against those of the networks before it, which are in `taken`;
    its own are added there.
    """
    backend = network["backend"]
    kind = BACKENDS[backend["type"]]
    separate = network["ipv6_cidr"] and backend.get("mode") == "separate"
    for key in (*kind.ports, *(["port_v6"] if separate else [])):
        port = backend[key]
        if port is None:
            continue
        if port in taken and not _share_a_port(backend, taken[port].backend):
            both_vxlan = taken[port].backend["type"] == backend["type"] == "vxlan"
            reason = ": networks with gbp and networks without it cannot share a port"
            report.wrong(
                f"backend.{key} {port} is also used by {taken[port].place}; write"
                f" another{reason if both_vxlan else ''}"
            )
        taken.setdefault(port, _Tunnel(report.place, backend))
    for port in kind.fixed_ports:
        if port in taken:
            report.wrong(
                f"the {backend['type']} backend needs UDP port {port}, but {taken[port].place} uses"
                " it too; write another port there"
            )
        taken.setdefault(port, _Tunnel(report.place, backend))


def _share_a_port(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True for two vxlan networks of one kind: the kernel tells them apart by VNI."""
    return one["type"] == other["type"] == "vxlan" and one["gbp"] == other["gbp"]
