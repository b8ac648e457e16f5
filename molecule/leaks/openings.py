# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a class of leak is opened by on hosts, and the pieces of which that is made (shell)."""

from __future__ import annotations

import typing as t

# In the place of what closes it: the playbook, where that is what the finding says.
SITE = "site"


class Opening(t.NamedTuple):
    """A class of leak, and how it is opened and closed on the host (shell, or SITE)."""

    number: int
    how: str
    make: str
    undo: str
    first: str  # the outcome of the finding that names it: leak, broken, deviation
    says: tuple[str, ...]  # words in what names it: cause and remedy
    also: tuple[int, ...] = ()  # classes that come with it
    # the same on the other host, where it has a second line of defence
    there: str = ""
    there_undo: str = ""
    # or another class there, which must be named at that host alone, as the first one at this
    second: int | None = None
    second_says: tuple[str, ...] = ()


# The guard's table belongs to the guard's process: it is opened by its file.
FILE, KEPT = "/etc/multinet/isolation.nft", "/run/leak.nft"
HOOKS = (
    "sources",
    "forward",
    "input",
    "output",
    "prerouting",
)  # the other chains begin with a rule
RELOAD = "systemctl reload multinet-isolation"
GUARD = f"mv {KEPT} {FILE}; {RELOAD}"


def rules(*wanted: tuple[str, str], family: str = "inet") -> str:
    """Return what puts (chain, rule) ahead of all other rules of their chains, of either table."""
    edits = [
        f"sed -i '/^table {family} multinet {{/,/^}}/ {{ /chain {chain} {{/,/{after}/"
        f" s/{after}/&\\n{rule}/ }}' {FILE}"
        for chain, rule in wanted
        for after in ["policy accept;" if chain in HOOKS else f"chain {chain} {{"]
    ]
    return "; ".join([f"cp -p {FILE} {KEPT}", *edits, RELOAD])


def dropping(hook: str, rule: str, priority: int = 10, family: str = "ip") -> str:
    """Return what makes a table of somebody else's that drops what a rule matches."""
    return (
        f"nft add table {family} other; nft add chain {family} other {hook} '{{ type filter hook"
        f" {hook} priority {priority}; }}'; nft add rule {family} other {hook} {rule} drop"
    )


NO_OTHER, NO_BRIDGE_OTHER = "nft delete table ip other", "nft delete table bridge other"
# what verify finds of the guard's file, and what to do
BY_HAND = ("rules of the guard were added, taken out or moved by hand", "run the playbook site")
