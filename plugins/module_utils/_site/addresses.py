# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of a site's addresses: what its networks have, what is used, what runs out first, and
what is free for another network. Pure, on the controller; ranges are computed in _plan/ranges.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from .._libraries import need
from .._plan import ranges
from .._plan.schema import FAMILIES, Family

SCHEMA = "multinet.flannel/addresses/1"
NEXT_RANGES = 3
ROWS_SHOWN = 40
WIDTH = 70
# Lengths of a further network's range: those that flannel has subnets in (_plan/subnets.py).
LENGTHS = {4: range(8, 29), 6: range(16, 125)}


class AddressesError(ValueError):
    """The account cannot be made; the text is a sentence."""


def account(
    plan: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    hosts: Mapping[str, str],
    connections: Mapping[str, str],
    taken: list[str],
    lengths: Mapping[int, int],
) -> dict[str, Any]:
    """Return what roles/addresses/README.md says.

    plan: of _plan.plan.plan(). found: host -> what module node_addresses_info returned, or {msg}
    where it failed; hosts that were not reached are missing. hosts: every host of the inventory ->
    its address in the underlay, or "". connections: the same hosts -> where Ansible connects to,
    which may be a name or an address of another network, or "". taken: ranges that no network may
    overlap besides those of the plan. lengths: IP version -> prefix length of a further network's
    range. Raises AddressesError, and MissingLibraryError without netaddr.
    """
    need("netaddr")
    for version, length in lengths.items():
        if length not in LENGTHS[version]:
            low, high = LENGTHS[version][0], LENGTHS[version][-1]
            raise AddressesError(
                f"The prefix length of a further IPv{version} network is {length}; write a number"
                f" from {low} to {high}."
            )
    failed = {host: said for host, said in found.items() if "networks" not in said}
    found = {host: said for host, said in found.items() if host not in failed}
    unseen = sorted(set(hosts) - set(found))
    owners = _owners(found, {host: hosts[host] or connections[host] for host in unseen})
    networks = [_network(plan, network, found, owners) for network in plan["networks"]]
    lost = [
        dict({"network": network["name"]}, **lease)
        for network in networks
        for lease in network["leases"] or []
        if not lease["host"]
    ]
    # without having seen every host, whose lease it is may just not be known
    with_lease = {lease["host"] for network in networks for lease in network["leases"] or []}
    certain = all(hosts[host] or host in with_lease for host in unseen)
    return {
        "schema": SCHEMA,
        "networks": networks,
        "first_out": max(_fills(networks), key=lambda fill: fill["share"], default=None),
        "gone": lost if certain else [],
        "next_ranges": _next_ranges(plan, found, taken, lengths),
        "problems": [
            *(
                f"Host {host} was not looked at. {failed.get(host, {}).get('msg', '')}".rstrip()
                for host in unseen
            ),
            *_lost_problems(plan, lost, certain),
            *_network_problems(plan, networks, found),
        ],
    }


def _network(
    plan: Mapping[str, Any],
    network: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    owners: Mapping[str, str],
) -> dict[str, Any]:
    name = network["name"]
    deployed = {
        host: side
        for host, said in sorted(found.items())
        for side in said["networks"]
        if side["name"] == name
    }
    read = [side["leases"] for side in deployed.values() if side["leases"] is not None]
    leases = None
    if read:
        # an address that several hosts have, a virtual one, says nothing about whose lease it is
        subnets = {
            one["subnet"]: host for host, side in deployed.items() for one in side["subnets"]
        }
        leases = [
            dict(lease, host=subnets.get(lease["subnet"]) or owners.get(lease["public_ip"], ""))
            for lease in read[0]
        ]
    return {
        "name": name,
        "ranges": [
            _range(plan, network, family, leases) for family in FAMILIES if network[family.cidr]
        ],
        "leases": leases,
        "hosts": [
            dict(
                {"host": host},
                **one,
                free=one["addresses"] - one["used"],
                share=_share(one["used"], one["addresses"]),
            )
            for host, side in deployed.items()
            for one in side["subnets"]
        ],
    }


def _owners(found: Mapping[str, Mapping[str, Any]], unseen: Mapping[str, str]) -> dict[str, str]:
    """Return {address: host}: what hosts that were looked at have, and what is known of others."""
    owners = {address: host for host, address in unseen.items() if address}
    for host, said in found.items():
        owners.update((address.partition("/")[0], host) for address in said["addresses"])
    return owners


def _range(
    plan: Mapping[str, Any],
    network: Mapping[str, Any],
    family: Family,
    leases: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    cidr, length = ranges.parse_range(network[family.cidr]), network[family.subnet_len]
    subnets = _room(plan, network, family)
    key = "subnet" if family.version == 4 else "ipv6_subnet"
    leased = None if leases is None else sum(bool(lease[key]) for lease in leases)
    return {
        "cidr": str(cidr),
        "subnet_len": length,
        "subnets": subnets,
        "leased": leased,
        "free": None if leased is None else max(subnets - leased, 0),
        "share": None if leased is None else _share(leased, subnets),
    }


def _room(plan: Mapping[str, Any], network: Mapping[str, Any], family: Family) -> int:
    """Return how many nodes can have a subnet of a network's range."""
    cidr, length = ranges.parse_range(network[family.cidr]), network[family.subnet_len]
    if plan["datastore"] == "kubernetes":
        # node number i of the cluster's range has subnet number i
        cluster = [ranges.parse_range(one) for one in plan["cluster_cidrs"]]
        bits = [size - one.prefixlen for one, size in zip(cluster, plan["node_cidr_mask_sizes"])]
        own = [bit for one, bit in zip(cluster, bits) if one.version == family.version]
        return 1 << min(length - cidr.prefixlen, (own or bits)[0])
    first, last = (
        (ranges.parse_address(network[key]) if family.version == 4 else None)
        for key in ("subnet_min", "subnet_max")
    )
    return ranges.usable_subnets(cidr, length, first, last)


def _share(used: int, of: int) -> float:
    return round(used / of, 4) if of else 1.0


def _fills(networks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield everything that can run out: subnets of a range, addresses of a host's subnet."""
    for network in networks:
        for one in network["ranges"]:
            if one["leased"] is not None:
                yield {
                    "what": "subnets",
                    "network": network["name"],
                    "host": "",
                    "range": one["cidr"],
                    "used": one["leased"],
                    "of": one["subnets"],
                    "share": one["share"],
                }
        for one in network["hosts"]:
            yield {
                "what": "addresses",
                "network": network["name"],
                "host": one["host"],
                "range": one["subnet"],
                "used": one["used"],
                "of": one["addresses"],
                "share": one["share"],
            }


def _lost_problems(
    plan: Mapping[str, Any], lost: list[dict[str, Any]], certain: bool
) -> Iterator[str]:
    if plan["datastore"] == "kubernetes":
        until = "it is free again when that host's Node object is deleted"
    else:
        until = (
            "it is free again when the lease ends, at most a day after that host's flanneld last"
            " renewed it"
        )
    for lease in lost:
        said = f"{lease['subnet']} of network {lease['network']} is leased by {lease['public_ip']}"
        yield (
            f"{said}, which is not a host of the inventory: {until}."
            if certain
            else f"{said}, which may be a host that was not looked at."
        )


def _network_problems(
    plan: Mapping[str, Any], networks: list[dict[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    reasons = sorted({said["leases_problem"] for said in found.values()} - {""})
    for declared, network in zip(plan["networks"], networks):
        name = network["name"]
        if network["leases"] is None:
            # where no host was looked at, nobody knows why
            missing = " It is not deployed: run the playbook site." if found else ""
            why = f" {reasons[0]}" if reasons else missing
            yield f"The leases of network {name} are not known.{why}"
        deployed = {
            side["cidr"]
            for said in found.values()
            for side in said["networks"]
            if side["name"] == name
        }
        for cidr in sorted(deployed - {declared["cidr"]}):
            yield (
                f"Network {name} is deployed with {cidr}, but {declared['cidr']} is declared: run"
                " the playbook site."
            )
    known = {network["name"] for network in networks}
    for side in sorted(
        {
            (side["name"], side["cidr"])
            for said in found.values()
            for side in said["networks"]
            if side["name"] not in known
        }
    ):
        yield (
            f"Network {side[0]} ({side[1]}) is deployed but no longer declared: run the playbook"
            " site with multinet_prune=true."
        )


def _next_ranges(
    plan: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    taken: list[str],
    lengths: Mapping[int, int],
) -> dict[str, list[str]]:
    """Return {"4": ranges, "6": ranges} that overlap nothing known; IPv6 where a network has it."""
    texts = [*taken, *plan["cluster_cidrs"]]
    external = [plan["external"]] if plan["external"] else []
    for network in [*plan["networks"], *external]:
        texts += [network["cidr"], network["ipv6_cidr"]]
    for said in found.values():
        texts += said["addresses"] + said["routes"]
        for side in said["networks"]:
            texts += [side["cidr"], side["ipv6_cidr"]]
    known = [_parsed(text) for text in sorted(set(filter(None, texts)))]
    versions = [4, 6] if any(network["ipv6_cidr"] for network in plan["networks"]) else [4]
    result = {}
    for version in versions:
        free = ranges.free_space(filter(None, known), version)
        offers = [ranges.take_free_range(lengths[version], free) for dummy in range(NEXT_RANGES)]
        result[str(version)] = [offer for offer in offers if offer]
    return result


def _parsed(text: str) -> ranges.IPNetwork | None:
    """Return the range of an address or a route; null for one that names none."""
    if "/" not in text:
        text += "/128" if ":" in text else "/32"
    try:
        return ranges.parse_range(text, strict=False)
    except ranges.RangeError:
        return None


def table(made: Mapping[str, Any]) -> list[str]:
    """Return the lines for a terminal of what account() made."""
    lines = _table(
        ("network", "range", "subnets", "leased", "free"),
        [
            (
                network["name"],
                f"{one['cidr']}, /{one['subnet_len']} a host",
                one["subnets"],
                one["leased"],
                one["free"],
            )
            for network in made["networks"]
            for one in network["ranges"]
        ],
    )
    rows = sorted(
        (
            (
                -one["share"],
                one["host"],
                network["name"],
                one["subnet"],
                one["addresses"],
                one["used"],
                one["free"],
            )
            for network in made["networks"]
            for one in network["hosts"]
        ),
        key=lambda row: row[:4],
    )
    lines += [
        "",
        *_table(
            ("host", "network", "subnet", "addresses", "used", "free"),
            [row[1:] for row in rows[:ROWS_SHOWN]],
        ),
    ]
    if len(rows) > ROWS_SHOWN:
        lines.append(
            f"... and {len(rows) - ROWS_SHOWN} more that are less used; addresses_file has all of"
            " them"
        )
    lines.append("")
    first = made["first_out"]
    if first:
        where = f"of {first['range']}, network {first['network']}"
        if first["host"]:
            where += f" on {first['host']}"
        lines += [
            f"runs out first: {first['what']} {where}",
            f"  {_short(first['used'])} of {_short(first['of'])} used ({first['share']:.0%})",
        ]
    for version, offers in made["next_ranges"].items():
        text = ", ".join(offers) or "none of this size"
        lines.append(f"free for a further network, IPv{version}: {text}")
    return lines + [line for problem in made["problems"] for line in _wrapped(problem)]


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """Return a table's lines; numbers stand at the right."""
    texts = [head, *(tuple(_short(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    right = [bool(rows) and not isinstance(rows[0][column], str) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right)
        ).rstrip()
        for row in texts
    ]


def _short(cell: Any) -> str:
    if cell is None:
        return "?"
    if isinstance(cell, int) and cell > 10**9:
        return f"2^{cell.bit_length()}"  # nearly: what is left of a range of IPv6
    return str(cell)


def _wrapped(text: str) -> list[str]:
    """Return lines short enough for a terminal, so that no callback plugin folds them its way."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
