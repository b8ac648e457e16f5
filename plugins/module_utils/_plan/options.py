# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options: each by its kind, then what several of them say together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .._architectures import GO_NAMES
from . import defaults
from .ranges import WIDTH, IPNetwork, RangeError, parse_range
from .schema import MAX_CLUSTER_BITS, OPTIONS, Option
from .sentences import Report, nearest, show
from .values import is_int


class Claim(NamedTuple):
    """A range and who has it: an option, or an entry of the declaration."""

    owner: str
    cidr: IPNetwork


class Options(NamedTuple):
    """What the networks are checked against."""

    values: dict[str, Any]  # every option of schema.OPTIONS, with its default
    taken: list[Claim]  # ranges that no network may overlap
    # Where leases come from Kubernetes: its ranges, and the length of a node's subnet in each.
    cluster: dict[IPNetwork, int]


def check(options: Any, errors: list[str]) -> Options:
    """Return the options with their defaults; a value that is wrong is reported and left out."""
    report = Report("options", errors)
    given = _given(options, report)
    sound: dict[str, Any] = {}
    for key, option in OPTIONS.items():
        if key in given:
            value = CHECKS[option.kind](key, option, given[key], report)
            if value is not None:
                sound[key] = value
    values = defaults.options(sound)

    in_kubernetes = values["datastore"] == "kubernetes"
    if in_kubernetes and not values["kubernetes"]:
        report.wrong(
            "kubernetes is false, but datastore is 'kubernetes'; write true, or leave it out"
        )
    if in_kubernetes and given.get("cluster_cidrs", []) == []:
        report.wrong(
            "cluster_cidrs is empty, but with datastore 'kubernetes' each subnet is derived from"
            " the node's podCIDR; write the --cluster-cidr of kube-controller-manager, for example"
            " ['10.244.0.0/16']"
        )
    known = all(
        key in sound or key not in given for key in ("cluster_cidrs", "node_cidr_mask_sizes")
    )
    cluster = (
        _cluster(values["cluster_cidrs"], values["node_cidr_mask_sizes"], report) if known else {}
    )
    values["cluster_cidrs"] = [str(one) for one in cluster]
    values["node_cidr_mask_sizes"] = list(cluster.values())
    taken = [
        Claim(key, one)
        for key, option in OPTIONS.items()
        if option.kind == "ranges"
        for one in values[key]
    ]
    taken += [Claim("cluster_cidrs", one) for one in cluster]
    return Options(values, taken, cluster if in_kubernetes else {})


def _given(options: Any, report: Report) -> dict[str, Any]:
    """Return the options that are known and not null."""
    if options is None:
        return {}
    if not isinstance(options, dict):
        report.wrong(f"{show(options)} is not a mapping; write a mapping of options, or nothing")
        return {}
    for key in options:
        if key not in OPTIONS:
            report.wrong(f"{show(key)} is not an option; {nearest(key, OPTIONS)}")
    return {key: value for key, value in options.items() if key in OPTIONS and value is not None}


# One option of each kind: return its value, or null when it is wrong, which is reported.


def _ranges(key: str, option: Option, value: Any, report: Report) -> list[IPNetwork] | None:
    """The range of an interface may be written as its address."""
    return _parsed(key, value, report, strict=False)


def _cluster_ranges(key: str, option: Option, value: Any, report: Report) -> list[IPNetwork] | None:
    parsed = _parsed(key, value, report, strict=True)
    return parsed if parsed is not None and len(parsed) == len(value) else None


def _parsed(key: str, value: Any, report: Report, strict: bool) -> list[IPNetwork] | None:
    """Return the ranges of the list that are some."""
    if not isinstance(value, list):
        report.wrong(f"{key} is {show(value)}, not a list; write a list of ranges")
        return None
    parsed = []
    for item in value:
        try:
            parsed.append(parse_range(item, strict=strict))
        except RangeError as error:
            report.wrong(f"{key}: {show(item)} {error}")
    return parsed


def _lengths(key: str, option: Option, value: Any, report: Report) -> list[Any] | None:
    if isinstance(value, list):
        return list(value)
    report.wrong(
        f"{key} is {show(value)}; write a list with a prefix length for each range of cluster_cidrs"
    )
    return None


def _architectures(key: str, option: Option, value: Any, report: Report) -> list[str] | None:
    if not isinstance(value, list):
        report.wrong(f"{key} is {show(value)}; write a list of names such as amd64 and arm64")
        return None
    for name in value:
        if not isinstance(name, str):
            report.wrong(f"{key} holds {show(name)}; write names such as amd64 and arm64")
        elif GO_NAMES.get(name, name) != name:
            report.wrong(
                f"{key} holds {show(name)}, which is the kernel's name; write {GO_NAMES[name]},"
                " the name that releases use"
            )
    return [name for name in value if isinstance(name, str)]


def _text(key: str, option: Option, value: Any, report: Report) -> str | None:
    if isinstance(value, str) and re.fullmatch(option.pattern, value):
        return str(value)
    report.wrong(f"{key} is {show(value)}; write {option.write}")
    return None


def _choice(key: str, option: Option, value: Any, report: Report) -> str | None:
    if isinstance(value, str) and value in option.choices:
        return str(value)
    wanted = ", ".join(choice or show(choice) for choice in option.choices)
    report.wrong(f"{key} is {show(value)}; write one of {wanted}")
    return None


def _choices(key: str, option: Option, value: Any, report: Report) -> list[str] | None:
    if isinstance(value, list) and all(
        isinstance(item, str) and item in option.choices for item in value
    ):
        return [str(item) for item in value]
    report.wrong(f"{key} is {show(value)}; write a list with any of {', '.join(option.choices)}")
    return None


def _count(key: str, option: Option, value: Any, report: Report) -> int | None:
    if is_int(value) and value >= 0:
        return int(value)
    report.wrong(f"{key} is {show(value)}; write how many nodes there are, or null")
    return None


def _namespaces(key: str, option: Option, value: Any, report: Report) -> list[str] | None:
    if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
        return [str(item) for item in value]
    report.wrong(f"{key} is {show(value)}; write a list of names of namespaces")
    return None


def _boolean(key: str, option: Option, value: Any, report: Report) -> bool | None:
    if isinstance(value, bool):
        return value
    report.wrong(f"{key} is {show(value)}; write true or false")
    return None


CHECKS: dict[str, Callable[[str, Option, Any, Report], Any]] = {
    "architectures": _architectures,
    "boolean": _boolean,
    "choice": _choice,
    "choices": _choices,
    "cluster": _cluster_ranges,
    "count": _count,
    "lengths": _lengths,
    "namespaces": _namespaces,
    "path": _text,
    "ranges": _ranges,
    "text": _text,
}


def _cluster(ranges: list[IPNetwork], sizes: list[Any], report: Report) -> dict[IPNetwork, int]:
    """Return Kubernetes' ranges and the length of a node's subnet in each; none when any is
    wrong.
    """
    if len({one.version for one in ranges}) < len(ranges):
        report.wrong(
            f"cluster_cidrs holds {' and '.join(str(one) for one in ranges)}; write one range, or"
            " one of IPv4 and one of IPv6"
        )
        return {}
    if sizes and len(sizes) != len(ranges):
        report.wrong(
            f"node_cidr_mask_sizes holds {len(sizes)} lengths, and cluster_cidrs {len(ranges)}"
            " ranges; write one for each, in the same order"
        )
        return {}
    sizes = sizes or defaults.node_cidr_mask_sizes(ranges)
    for one, size in zip(ranges, sizes):
        longest = min(one.prefixlen + MAX_CLUSTER_BITS, WIDTH[one.version] - 2)
        if not is_int(size) or not one.prefixlen <= size <= longest:
            report.wrong(
                f"node_cidr_mask_sizes holds {show(size)} for {one}; write the length of a node's"
                f" subnet, a number from {one.prefixlen} to {longest}"
            )
            return {}
    return dict(zip(ranges, sizes))
