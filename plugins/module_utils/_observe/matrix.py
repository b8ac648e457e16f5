# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many cells as one entry of a table: the worst of them, and how many there are of each.

Pure, on the controller.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import kinds
from .cells import Cell
from .judge import AS_PLANNED

WORST_FIRST = ("leak", "broken", "inconclusive", "reached", "blocked")
COUNTED = ("cells", "leak", "broken", "inconclusive")
# {"state": one of WORST_FIRST or "unmeasured", and a number of each COUNTED}
Entry = dict[str, Any]


def entry(state: str = "blocked") -> Entry:
    """Return an entry of no cells."""
    return {"state": state, "cells": 0, "leak": 0, "broken": 0, "inconclusive": 0}


def add(total: Entry, more: Entry) -> None:
    """Let an entry count another one, too."""
    for name in COUNTED:
        total[name] += more[name]
    total["state"] = worst((total["state"], more["state"]))


def worst(states: Iterable[str]) -> str:
    """Return the worst of some states."""
    return min(states, key=WORST_FIRST.index)


def _table(judged: Iterable[Cell], key: Callable[[Cell], tuple[str, str]]) -> dict[Any, Entry]:
    table: dict[tuple[str, str], Entry] = collections.defaultdict(entry)
    for cell in judged:
        total = table[key(cell)]
        total["cells"] += 1
        state = cell["outcome"]
        if state == AS_PLANNED:
            state = cell["expected"]
        else:
            total[state] += 1
        if state != total["state"]:
            total["state"] = worst((total["state"], state))
    return table


def of_networks(names: Sequence[str], judged: Iterable[Cell]) -> list[Entry]:
    """Return the entries, with "from" and "to", of every ordered pair of networks; state
    "unmeasured" without a cell.
    """
    table = _table(judged, lambda cell: (cell["from_network"], cell["to_network"]))
    return [
        {**table.get((source, target), entry("unmeasured")), "from": source, "to": target}
        for source in names
        for target in names
    ]


def column(cell: Cell) -> str:
    """Return what a cell's receiver is in the matrix of pods."""
    by_role = kinds.KINDS[cell["kind"]].receiver == kinds.NODE  # "host/@network/bridge"
    return str(cell["to"].rsplit("/", 1)[0] if by_role else cell["to"])


def of_pods(judged: Iterable[Cell]) -> list[Entry]:
    """Return the same by pair of pod interfaces; node addresses are columns of their own
    ("host/@network").
    """
    table = _table(judged, lambda cell: (cell["from"], column(cell)))
    return [{**total, "from": source, "to": to} for (source, to), total in sorted(table.items())]
