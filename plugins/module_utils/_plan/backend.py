# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend of one network: its keys by their tables, and what fits the nodes and the network."""

from __future__ import annotations

from typing import Any

from . import defaults
from .options import Options
from .schema import BACKENDS, BACKENDS_REFUSED, IPV6_MIN_MTU, Backend
from .sentences import Report, letters, nearest, show
from .values import check_value


def check(
    value: Any, ipv6_cidr: str | None, report: Report, options: Options
) -> dict[str, Any] | None:
    """Return the backend with its defaults, null when there is none.

    A value that is wrong is reported and becomes null. ipv6_cidr: that of the network.
    """
    name = _type(value, report)
    if name is None:
        return None
    kind = BACKENDS[name]
    _check_keys(value, name, report)
    given: dict[str, Any] = {"type": name}
    for key, described in kind.keys.items():
        if value.get(key) is not None:
            given[key] = check_value(f"backend.{key}", described, value[key], report)
        elif described.required:
            wanted = (
                f"a number from {described.low} to {described.high} that no other network has"
                if described.kind == "integer"
                else described.why
            )
            report.wrong(f"backend.{key} is missing; write {wanted}")
    backend = defaults.backend(given, ipv6_cidr is not None)
    _check_architectures(name, kind, options.values["architectures"], report)
    if ipv6_cidr is not None:
        _check_ipv6(backend, ipv6_cidr, report)
    return backend


def _type(value: Any, report: Report) -> str | None:
    if value is None:
        report.wrong("backend is missing; write for example backend: {type: vxlan, vni: 1}")
        return None
    if not isinstance(value, dict):
        report.wrong(
            f"backend is {show(value)}, not a mapping; write for example backend: {{type: vxlan,"
            " vni: 1}"
        )
        return None
    name, all_of_them = value.get("type"), ", ".join(BACKENDS)
    if isinstance(name, str) and name in BACKENDS:
        return str(name)
    if name is None:
        report.wrong(f"backend.type is missing; write one of {all_of_them}")
    elif isinstance(name, str) and name in BACKENDS_REFUSED:
        report.wrong(
            f"backend.type is {show(name)}, which {BACKENDS_REFUSED[name]}; write one of"
            f" {all_of_them}"
        )
    else:
        report.wrong(
            f"backend.type is {show(name)}, which is not a backend of flannel;"
            f" {nearest(name, BACKENDS, otherwise='')}"
        )
    return None


def _check_keys(value: dict[Any, Any], name: str, report: Report) -> None:
    keys = BACKENDS[name].keys
    for key in value:
        if key == "type" or key in keys:
            continue
        # flannel's own spelling
        ours = [
            own
            for own, described in keys.items()
            if isinstance(key, str) and letters(described.flannel) == letters(key)
        ]
        remedy = f"write {ours[0]}" if ours else nearest(key, keys)
        said = key if str(key).isprintable() else show(key)
        report.wrong(f"backend.{said} is not a key of the {name} backend; {remedy}")


def _check_architectures(
    name: str, kind: Backend, architectures: list[str] | None, report: Report
) -> None:
    # of nodes that are not known yet, preflight judges by what they are
    others = sorted(set(architectures or []) - set(kind.architectures))
    if kind.architectures and others:
        report.wrong(
            f"backend.type is {show(name)}, which flannel has only on"
            f" {' and '.join(kind.architectures)}, but nodes are {', '.join(others)}; write vxlan,"
            " which does the same on the same port"
        )


def _check_ipv6(backend: dict[str, Any], ipv6_cidr: str, report: Report) -> None:
    kind = BACKENDS[backend["type"]]
    if not kind.ipv6:
        report.wrong(
            f"ipv6_cidr is {show(ipv6_cidr)}, but the {backend['type']} backend carries only IPv4;"
            " remove it, or write backend.type: vxlan"
        )
    mtu = backend.get("mtu")
    if mtu and mtu - kind.overhead < IPV6_MIN_MTU:
        report.wrong(
            f"backend.mtu {mtu} leaves {mtu - kind.overhead} bytes in the tunnel, but IPv6 needs"
            f" {IPV6_MIN_MTU}; write {IPV6_MIN_MTU + kind.overhead} or more"
        )
