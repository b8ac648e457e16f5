# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks are kept apart. The pairs grow with the square of the networks, so a plan has what
they follow from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def blocked(plan: Mapping[str, Any]) -> list[list[str]]:
    """Return the ordered pairs [from, to] that must not reach each other: either side is isolated,
    and `from` may not open connections to `to`.

    plan: of plan() `networks` (their `name`), `external`, `isolated` and `allowed` are read. A pair
    that is open lets `from` open connections to `to`; answers are let back, but `to` cannot begin
    one unless its own pair is open too.
    """
    return [list(pair) for pair in _pairs(plan)]


def shut(plan: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the same pairs, to ask whether one is among them."""
    return set(_pairs(plan))


def _pairs(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = [network["name"] for network in plan["networks"]]
    external = plan.get("external")
    # It is known by its range alone; without one there is nothing to keep apart.
    if external and (external["cidr"] or external["ipv6_cidr"]):
        names.append(external["name"])
    isolated = set(plan["isolated"])
    allowed = {tuple(pair) for pair in plan["allowed"]}
    return [
        (source, target)
        for source in names
        for target in names
        if source != target
        and (source in isolated or target in isolated)
        and (source, target) not in allowed
    ]
