# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a declaration whole: every mistake at once, each as a sentence that names the network, the
key, the value and what to write instead.

options.py, network.py (with subnets.py and backend.py) and external.py check each part by itself,
together.py all networks. What is not declared comes from defaults.py, what may be from schema.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import defaults, external, network, options, together
from .errors import PlanError
from .schema import EXTERNAL
from .sentences import Report, show
from .together import Entry


class Checked(NamedTuple):
    """A declaration without mistakes, with every default and its ranges in their usual form."""

    networks: list[dict[str, Any]]  # those of the collection, in declared order
    # The entry of the CNI that is on the nodes already, or null: `name`, `cidr`, `ipv6_cidr`,
    # `conf`, `interface`, and `file`, the path of its configuration or the directory to look for
    # it in.
    external: dict[str, Any] | None
    options: dict[str, Any]  # all of schema.OPTIONS


def check(declared: Any, given_options: Any) -> Checked:
    """Check `multinet_networks` and the options, whatever they are.

    Raises PlanError with all that is wrong.
    """
    errors: list[str] = []
    settings = options.check(given_options, errors)
    networks: list[Entry] = []
    externals: list[Entry] = []
    names = [item.get("name") if isinstance(item, dict) else None for item in _items(declared)]
    for position, item in enumerate(_items(declared)):
        report = Report(_place(position, names), errors)
        if not isinstance(item, dict):
            report.wrong(f"{show(item)} is not a mapping; write name, cidr and backend")
        elif item.get("default") == EXTERNAL:
            externals.append(Entry(report, external.check(item, report, settings)))
        else:
            networks.append(Entry(report, network.check(item, report, settings)))
    if names:
        defaults.interfaces(entry.network for entry in networks)
        defaults.healthz_ports(entry.network for entry in networks)
        together.check(networks, externals, names, settings, errors)
    elif isinstance(declared, list):
        errors.append(
            "multinet_networks: the list is empty; write at least one network with default: true."
        )
    else:
        errors.append(
            f"multinet_networks: {show(declared)} is not a list; write a list of networks, each"
            " with name, cidr and backend."
        )
    if errors:
        raise PlanError(errors)
    return Checked(
        [entry.network for entry in networks],
        externals[0].network if externals else None,
        settings.values,
    )


def _items(declared: Any) -> Sequence[Any]:
    return declared if isinstance(declared, list) else ()


def _place(position: int, names: Sequence[Any]) -> str:
    """What a sentence calls the network: its name, and its position where that does not tell."""
    name, number = names[position], position + 1
    if not isinstance(name, str) or not name:
        return f"network number {number}"
    return f"network {show(name)}" + (f" (number {number})" if names.count(name) > 1 else "")
