# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranges of one network and the subnets that its nodes lease: what is declared of them, and
whether there are enough.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import defaults
from .options import Options
from .ranges import IPAddress, IPNetwork, RangeError, parse_address, parse_network, usable_subnets
from .schema import FAMILIES, Family
from .sentences import Report, show
from .values import is_int


class Subnets(NamedTuple):
    """The subnets of one family that nodes may lease."""

    family: Family
    cidr: IPNetwork
    length: int
    first: IPAddress | None = None
    last: IPAddress | None = None

    def __str__(self) -> str:
        return f"{self.family.cidr} {self.cidr} with {self.family.subnet_len} {self.length}"


def check(declared: dict[Any, Any], report: Report, options: Options) -> dict[str, Any]:
    """Return cidr, ipv6_cidr, subnet_len, ipv6_subnet_len, subnet_min and subnet_max, the lengths
    with their defaults.

    A value that is wrong is reported and becomes null.
    """
    cidrs = {family: cidr(declared, family, report) for family in FAMILIES}
    if declared.get("cidr") is None:
        report.wrong(
            "cidr is missing; write the IPv4 range of the network, for example cidr: 10.1.0.0/16"
        )
    if declared.get("ipv6_cidr") is None and declared.get("ipv6_subnet_len") is not None:
        report.wrong(
            f"ipv6_subnet_len is {show(declared['ipv6_subnet_len'])}, but there is no ipv6_cidr;"
            " write one, or remove ipv6_subnet_len"
        )
    lengths = {
        family: _subnet_len(declared.get(family.subnet_len), found, family, options, report)
        for family, found in cidrs.items()
    }
    known = {
        family: Subnets(family, found, length)
        for (family, found), length in zip(cidrs.items(), lengths.values())
        if found is not None and length is not None
    }
    first, last = _bounds(declared, known.get(FAMILIES[0]), report)
    if options.values["datastore"] == "kubernetes":
        _refuse_bounds(declared, report)
        first = last = None
        for subnets in known.values():
            _check_room_for_cluster(subnets, options.cluster, report)
    else:
        for family, subnets in known.items():
            bounded = subnets._replace(first=first, last=last) if family.version == 4 else subnets
            _check_room(bounded, options.values["node_count"], report)
    return {
        **{family.cidr: _text(found) for family, found in cidrs.items()},
        **{family.subnet_len: length for family, length in lengths.items()},
        "subnet_min": _text(first),
        "subnet_max": _text(last),
    }


def cidr(declared: dict[Any, Any], family: Family, report: Report) -> IPNetwork | None:
    """Return the declared range of the family; null when there is none, or it is wrong, which is
    reported.
    """
    value = declared.get(family.cidr)
    if value is None:
        return None
    try:
        return parse_network(value, family.version)
    except RangeError as error:
        report.wrong(f"{family.cidr} {show(value)} {error}")
        return None


def _subnet_len(
    value: Any, cidr: IPNetwork | None, family: Family, options: Options, report: Report
) -> int | None:
    """The length of a node's subnet, by flannel's own rule: four subnets at least, and four
    addresses in each. A network with the range of Kubernetes' own has its subnets.
    """
    key = family.subnet_len
    if value is not None and not is_int(value):
        report.wrong(f"{key} is {show(value)}; write a whole number, without quotes")
        return None
    if cidr is None:
        return None
    if cidr.prefixlen > family.smallest:
        report.wrong(
            f"{family.cidr} {show(str(cidr))} is too small for flannel; write a /{family.smallest}"
            " or larger"
        )
        return None
    if value is None:
        return defaults.subnet_len(cidr, family, options.cluster)
    if value != options.cluster.get(cidr, value):
        given = options.cluster[cidr]
        report.wrong(
            f"{key} is {show(value)}, but {family.cidr} {cidr} is Kubernetes' own range, from which"
            f" it gives every node a /{given}; write {given}, or leave it out"
        )
        return None
    shortest = cidr.prefixlen + 2
    if not shortest <= value <= family.longest:
        report.wrong(
            f"{key} is {show(value)}; write a number from {shortest} to {family.longest}:"
            f" {family.cidr} {cidr} must hold four subnets, and each subnet a few addresses"
        )
        return None
    return int(value)


def _bounds(
    declared: dict[Any, Any], subnets: Subnets | None, report: Report
) -> tuple[IPAddress | None, IPAddress | None]:
    """Return subnet_min and subnet_max; both null when they contradict each other."""
    first = _bound(declared, "subnet_min", subnets, report)
    last = _bound(declared, "subnet_max", subnets, report)
    if first is not None and last is not None and first > last:
        report.wrong(
            f"subnet_min {show(str(first))} is above subnet_max {show(str(last))}; write the lower"
            " address as subnet_min"
        )
        return None, None
    return first, last


def _bound(
    declared: dict[Any, Any], key: str, subnets: Subnets | None, report: Report
) -> IPAddress | None:
    value = declared.get(key)
    if value is None:
        return None
    address = parse_address(value, 4)
    if address is None:
        report.wrong(
            f"{key} is {show(value)}; write the first address of a node's subnet, without a prefix"
            " length"
        )
        return None
    if subnets is None:
        return None
    if address not in subnets.cidr:
        report.wrong(
            f"{key} {show(value)} is not in cidr {subnets.cidr}; write the first address of one of"
            f" its /{subnets.length} subnets"
        )
        return None
    base = IPAddress(IPNetwork((int(address), subnets.length), 4).first, 4)
    if base != address:
        report.wrong(
            f"{key} {show(value)} is not the first address of a /{subnets.length} subnet; write"
            f" {show(str(base))}"
        )
        return None
    return address


def _refuse_bounds(declared: dict[Any, Any], report: Report) -> None:
    for key in ("subnet_min", "subnet_max"):
        if declared.get(key) is not None:
            report.wrong(
                f"{key} is {show(declared[key])}, but with datastore 'kubernetes' a node's subnet"
                " is derived from its podCIDR in the cluster; remove it"
            )


def _check_room(subnets: Subnets, node_count: int | None, report: Report) -> None:
    """A subnet for a node at all, and for as many as there are."""
    room = usable_subnets(subnets.cidr, subnets.length, subnets.first, subnets.last)
    bounded = subnets.first is not None or subnets.last is not None
    if room < 1:
        begin = "its second subnet" if subnets.first is None else f"subnet_min {subnets.first}"
        end = "its last" if subnets.last is None else f"subnet_max {subnets.last}"
        report.wrong(
            f"{subnets.family.cidr} {subnets.cidr} has no subnet for a node between {begin} and"
            f" {end}; write a lower subnet_min or a higher subnet_max"
        )
    elif node_count is not None and room < node_count:
        apart = ", or set subnet_min and subnet_max further apart" if bounded else ""
        report.wrong(
            f"{subnets}{' between subnet_min and subnet_max' if bounded else ''} has subnets for"
            f" {room} nodes, but there are {show(node_count)} nodes; write a larger"
            f" {subnets.family.cidr}, or a larger {subnets.family.subnet_len}{apart}"
        )


def _check_room_for_cluster(
    subnets: Subnets, cluster: dict[IPNetwork, int], report: Report
) -> None:
    """A subnet for every node that the cluster can have: node number i of Kubernetes' range gets
    subnet number i of the network's.
    """
    if not cluster:
        return
    family, length = subnets.family, subnets.length
    base = next((one for one in cluster if one.version == family.version), next(iter(cluster)))
    bits = cluster[base] - base.prefixlen
    if length - subnets.cidr.prefixlen >= bits:
        return
    remedies = [f"a {family.cidr} of /{length - bits}"] if length >= bits + 8 else []
    if subnets.cidr.prefixlen + bits <= family.longest:
        remedies.append(f"{family.subnet_len}: {subnets.cidr.prefixlen + bits}")
    remedy = " or ".join(remedies) or f"a larger {family.cidr} and a larger {family.subnet_len}"
    report.wrong(
        f"{subnets} has subnets for {1 << (length - subnets.cidr.prefixlen)} nodes, but Kubernetes'"
        f" range {base} has subnets for {1 << bits} (each a /{cluster[base]}); write {remedy}"
    )


def _text(value: IPNetwork | IPAddress | None) -> str | None:
    return None if value is None else str(value)
