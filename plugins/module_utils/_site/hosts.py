# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads of one host when its status was looked at, when it is adopted or rolled back.
Pure. A reset has more to say: reset.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Adoption(NamedTuple):
    """What foreign_networks_info said of a host, and whether the user has confirmed."""

    lines: Sequence[str]
    problems: Sequence[str]
    waits: Sequence[str]
    networks: Sequence[Any]
    confirmed: bool


class Rollback(NamedTuple):
    """What was put back on a host, or in check mode would be."""

    host: str
    put_back: Sequence[str]  # executables and images
    networks: Sequence[str]
    in_pods: bool  # whether flanneld runs in pods
    restarted: Sequence[str]  # units
    check: bool


def of_status(found: Mapping[str, Any]) -> list[str]:
    """Return what node_status_info said, a line each; of one that failed its message, and of one
    that crashed the last line, too.
    """
    if "lines" in found:
        return list(found["lines"])
    said = found["msg"]
    if "could not be looked at" in said:
        return [said]
    last = found.get("module_stderr", "").strip().split("\n")[-1]
    return [" ".join(filter(None, ["This host could not be looked at.", said, last]))]


def of_adoption(host: Adoption) -> list[str]:
    """Return what was found on a host, a line each."""
    lines = list(host.lines)
    if host.problems or host.waits:
        lines += ["In the way:", *host.problems, *host.waits]
    if host.networks and not host.confirmed:
        lines.append(
            "Nothing was changed. Run again with multinet_adopt_confirmed=true to take over what"
            " multinet_networks declares."
        )
    return lines


def of_rollback(host: Rollback) -> str:
    """Return what became of a host, as sentences."""
    if host.put_back:
        would = "in a real run, " if host.check else ""
        first = f"On {host.host}, {would}put back: {', '.join(host.put_back)}."
    else:
        first = (
            f"On {host.host} no executable{' or image' if host.in_pods else ''} of a former version"
            " is left to put back. For another version, declare it and run the playbook upgrade."
        )
    daemons = (
        "their flanneld run in pods, which Kubernetes restarts"
        if host.in_pods
        else f"restarted: {', '.join(host.restarted) or 'nothing'}"
    )
    return (
        f"{first} Networks as deployed there, whatever the inventory declares:"
        f" {', '.join(host.networks)}; {daemons}."
    )
