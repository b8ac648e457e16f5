# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many packets got lost, or came twice, on the ways inside networks that work.

What is not answered is sent again, so a way that loses every second packet looks whole. Each sender
says how often it sent a token, each listener how often it came.

Pure, on the controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from . import kinds, leaks
from .cells import Cell, token_name, wants_answer
from .evidence import Evidence
from .judge import AS_PLANNED

# Fewer of a way may be a queue that was full for a moment; a share of them is none.
MANY, SHARE = 5, 0.1
_COUNTED = (kinds.UNICAST.name, kinds.FULL.name, kinds.NATURAL.name)


class Way(NamedTuple):
    """From a host to a host, or itself, in a network: numbers of packets."""

    source: str
    target: str
    network: str
    sent: int
    lost: int
    twice: int
    pods: frozenset[str] = frozenset()  # that all of these were from or to, of more on that way

    def is_bad(self, count: int) -> bool:
        """Whether that many of the packets are too many."""
        return count >= MANY and count >= SHARE * self.sent


def of_ways(judged: Iterable[Cell], evidence: Evidence) -> list[Way]:
    """Return the ways on which anything was lost, or came twice."""
    sent: dict[tuple[str, str, str], list[int]] = {}
    pods: dict[tuple[str, str, str], set[str]] = {}
    common: dict[tuple[str, str, str], set[str]] = {}
    measurement = evidence.measurement
    again = {host: measurement.sent(host).get("again", {}) for host in measurement.shares}
    came = {host: measurement.collected(host).get("again", {}) for host in measurement.shares}
    for cell in judged:
        if cell["kind"] not in _COUNTED or cell["expected"] != "reached":
            continue
        if cell["outcome"] != AS_PLANNED or not wants_answer(cell) or evidence.doubt_of(cell):
            continue
        key = cell["from_host"], cell["to_host"], cell["to_network"]
        way = sent.setdefault(key, [0, 0, 0])
        ends = {cell[end].rsplit("/", 1)[0] for end in ("from", "to")}
        pods.setdefault(key, set()).update(ends)
        times = 1 + again.get(cell["from_host"], {}).get(cell["id"], 0)
        there = came.get(cell["to_host"], {})
        name = token_name(cell)
        for protocol in kinds.protocols(cell["kind"]):
            number = 1 + there.get(f"{name} {protocol}", 0)
            way[0] += times
            way[1] += max(0, times - number)
            way[2] += max(0, number - times)
            if number != times:
                common[key] = common.get(key, ends) & ends
    return [
        Way(*key, count, lost, twice, frozenset(common[key] if len(pods[key]) > 2 else ()))
        for key, (count, lost, twice) in sorted(sent.items())
        if lost or twice
    ]


def deviations(ways: Iterable[Way]) -> Iterator[dict[str, Any]]:
    """Yield what is too much of it, as checks.deviations() does, and "hosts", where to look: the
    one that is an end of all such ways of a network, if there is one.
    """
    bad = [
        (way, f"packets {what} on the way from {way.source} to {way.target} in {way.network}", said)
        for way in ways
        for count, what, said in (
            (way.lost, "lost", f"{way.lost} of {way.sent}"),
            (way.twice, "that came again", f"{way.twice} beyond the {way.sent} sent"),
        )
        if way.is_bad(count)
    ]
    for way, what, observed in bad:
        ends = [{one.source, one.target} for one, *dummy in bad if one.network == way.network]
        common = set.intersection(*ends)
        hosts = sorted(common if len(common) == 1 else {way.source, way.target})
        yield {
            "host": hosts[0],
            "hosts": hosts,
            "pod": "",
            "interface": "",
            "network": way.network,
            "what": what,
            "expected": "0",
            "observed": observed,
            "class": leaks.LOSSY.number,
            "class_name": leaks.LOSSY.name,
            "repair": leaks.repair(leaks.LOSSY, ", ".join(hosts), way.network, way.network),
            "sentence": f"The {what} are {observed}{_of_pods(way)}, expected 0.",
        }


def _of_pods(way: Way) -> str:
    one_or_both = "between" if len(way.pods) == 2 else "from or to"
    return f", all {one_or_both} {' and '.join(sorted(way.pods))}" if way.pods else ""


def notes(ways: Iterable[Way]) -> list[str]:
    """Return sentences on what is too little to be a finding."""
    return [
        f"On the way from {way.source} to {way.target} in {way.network}, {count} packets {what};"
        f" {way.sent} were sent."
        for way in ways
        for count, what in ((way.lost, "got lost"), (way.twice, "came again"))
        if count and not way.is_bad(count)
    ]
