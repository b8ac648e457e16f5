# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out of the networks: what a pod sends to another node's own address.

On its way a filter of somebody else's may keep back one protocol, also from the node that the pod
is on; that is no affair of its networks. So each host tries by the same protocols where its pods'
ways out lead, and what does not come from itself is not asked of its pods. And the other node
looks at what comes in ahead of its own filters, where a source that was not masqueraded shows.

Pure, standard library: hosts and the controller read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import kinds
from .ends import host_end

if TYPE_CHECKING:
    from .cells import Cell

CONTROL = "control-out"
SHOWN = 5  # names in a sentence
WORDS = {"udp": "UDP", "tcp": "TCP", "icmp": "ICMP"}


def control_name(cell: Cell) -> str:
    """Return the name of the token by which a host itself tries where a cell's way out leads."""
    return "|".join((CONTROL, cell["family"], cell["from_host"], cell["to_host"]))


def controls(wanted: Iterable[Cell]) -> list[Cell]:
    """Return the cells by which a host tries the ways out of its share, once each: they are sent as
    those from the host to a pod are.
    """
    found: dict[str, Cell] = {}
    for cell in wanted:
        if cell["kind"] == kinds.OUT.name:
            name = control_name(cell)
            more: Cell = {"kind": kinds.HOST.name, "source": None, "variant": {}}
            origin = host_end(cell["from_host"])["id"]
            found[name] = {**cell, **more, "id": name, "from": origin}
    return [found[name] for name in sorted(found)]


def is_of_one(token: str) -> bool:
    """True of the tokens that hosts look for ahead of their filters."""
    return token.split("|", 1)[0] in (kinds.OUT.name, CONTROL)


class WayOut(NamedTuple):
    """What was seen of one cell's way out, by protocol."""

    came: frozenset[str]  # what the pod sent came to the other node
    inside: frozenset[str]  # and got through that node's filters
    own_came: frozenset[str]  # the same of what the pod's host itself sent there
    own_inside: frozenset[str]
    own_answered: frozenset[str]  # and was answered
    answered: frozenset[str]  # what the pod sent was

    @property
    def measured(self) -> list[str]:
        """The protocols by which something can be said about it."""
        return [one for one in kinds.OUT.protocols if one in self.came | self.own_came]

    @property
    def missing(self) -> list[str]:
        """Those by which the pod's host reaches the other node and the pod does not. What may be
        too many at once there (a limit of echo requests or SYNs) need only come to it.
        """
        arrived = self.inside | (self.came - ({"udp"} & self.own_inside))
        return [one for one in self.measured if one not in arrived]

    @property
    def answerable(self) -> set[str]:
        """Those by which an answer must come back."""
        return set(self.inside & ({"udp"} | self.own_answered))


def of_cell(
    receipts: Iterable[dict[str, Any]],
    own: Iterable[dict[str, Any]],
    own_answers: Iterable[dict[str, str]],
    answers: Iterable[dict[str, str]],
) -> WayOut:
    """Return what was seen.

    receipts: of the cell's token at the other node. own: of the host's. own_answers: to that.
    answers: to the cell's.
    """
    receipts, own = list(receipts), list(own)
    return WayOut(
        came=_protocols(receipts),
        inside=_protocols(one for one in receipts if one["inside"]),
        own_came=_protocols(own),
        own_inside=_protocols(one for one in own if one["inside"]),
        own_answered=frozenset(answer["channel"] for answer in own_answers),
        answered=frozenset(answer["channel"] for answer in answers),
    )


def _protocols(receipts: Iterable[dict[str, Any]]) -> frozenset[str]:
    return frozenset(receipt["protocol"] for receipt in receipts)


def limited(ways: Iterable[tuple[Cell, WayOut]]) -> set[tuple[str, str]]:
    """Return (control_name(), protocol) of the ways on which of one network some pods are answered
    by a protocol and others are not.

    To the other node all pods of a host are one peer, for which its kernel may limit echo replies
    (net.ipv4.icmp_ratemask). A filter on the way back would keep back those of all.
    """
    seen: dict[tuple[str, str, str], set[bool]] = {}
    for cell, way in ways:
        for protocol in way.answerable - {"udp"}:
            key = (cell["from_network"], control_name(cell), protocol)
            seen.setdefault(key, set()).add(protocol in way.answered)
    return {key[1:] for key, found in seen.items() if len(found) > 1}


def notes(ways: Iterable[tuple[Cell, WayOut]], rare: Collection[tuple[str, str]] = ()) -> list[str]:
    """Return the sentences on what was not measured of the ways out, and why. rare: limited()."""
    closed: set[tuple[str, str, str]] = set()
    few: dict[str, set[str]] = {}  # ways, by protocols
    silent: dict[str, set[str]] = {}  # ways, by protocols
    for cell, way in ways:
        here, there = cell["from_host"], cell["to_host"]
        unknown = [one for one in kinds.OUT.protocols if one not in way.measured]
        if unknown:
            closed.add((here, there, f" by {named(unknown)}" if way.measured else ""))
        unanswered = [one for one in way.measured if one not in way.own_answered | {"udp"}]
        if unanswered:
            silent.setdefault(named(unanswered), set()).add(f"{here} to {there}")
        some = [one for one in way.measured if (control_name(cell), one) in rare]
        if some:
            few.setdefault(named(some), set()).add(f"{here} to {there}")
    return [
        *(
            f"What {here} itself sends to {there}{by} does not arrive, so the way out of its pods"
            f" was not measured{by}."
            for here, there, by in sorted(closed)
        ),
        *(
            f"Of {by} on the ways out from {_some(found)}, only what arrives was measured: what the"
            " pods' host itself sends there by it is not answered."
            for by, found in sorted(silent.items())
        ),
        *(
            f"Of {by} on the ways out from {_some(found)}, only what arrives was measured: not all"
            " pods of a network were answered by it, as where somebody limits the number of"
            " answers."
            for by, found in sorted(few.items())
        ),
    ]


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:SHOWN] + ["..."] * (len(found) > SHOWN))


def named(protocols: Iterable[str]) -> str:
    """Return protocols as the report calls them."""
    return ", ".join(WORDS[one] for one in protocols)
