# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a report with the truth table below. Usage: truth_table.py report.json."""

from __future__ import annotations

import json
import sys

import jmespath

# Who reaches whom (+) and who is proven not to (-), written down by hand. a, c, e are on one host,
# b, d, f on the other. vlan001 has a, b, e; vlan002 has c, d; vlan003 has e and f.
TABLE = """
from \\ to   a/eth0  b/eth0  c/eth0  d/eth0  e/eth0  e/net1  f/eth0
a/eth0         .       +       -       -       +       -       -
b/eth0         +       .       -       -       +       -       -
c/eth0         -       -       .       +       -       -       -
d/eth0         -       -       +       .       -       -       -
e/eth0         +       +       -       -       .       .       -
e/net1         -       -       -       -       .       .       +
f/eth0         -       -       -       -       -       +       .
"""
BETWEEN_PODS = "matrix.pods[?contains(from, '/') && !contains(to, '/@')].[from, to, state]"
STATES = {"+": "reached", "-": "blocked"}


def expected() -> dict[tuple[str, str], str]:
    """Return {(from, to): state} as the table has it."""
    head, *rows = TABLE.strip().splitlines()
    columns = head.split()[3:]
    return {
        (row.split()[0], column): STATES[mark]
        for row in rows
        for column, mark in zip(columns, row.split()[1:])
        if mark in STATES
    }


def measured(path: str) -> dict[tuple[str, str], str]:
    """Return the same of the report, whose names are host/pod/interface; hosts' own addresses are
    left out.
    """
    with open(path, encoding="utf-8") as stream:
        pairs = jmespath.search(BETWEEN_PODS, json.load(stream))
    return {
        (source.split("/", 1)[1], target.split("/", 1)[1]): state for source, target, state in pairs
    }


def main() -> None:
    """End with a sentence for each pair that differs."""
    wanted, seen = expected(), measured(sys.argv[1])
    pairs = sorted(
        pair for pair in wanted.keys() | seen.keys() if wanted.get(pair) != seen.get(pair)
    )
    if pairs:
        sys.exit(
            "\n".join(
                f"{a} to {b}: the table says {wanted.get((a, b))}, the report {seen.get((a, b))}."
                for a, b in pairs
            )
        )
    print(f"{len(wanted)} pairs are as in the table.")


if __name__ == "__main__":
    main()
