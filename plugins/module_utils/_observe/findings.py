# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not as planned: each cell's class of leak, and one finding for each class.

Pure, on the controller.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from . import causes, kinds, leaks
from .cells import Cell
from .judge import (
    AS_PLANNED,
    BROKEN,
    IN_PART,
    INCONCLUSIVE,
    LEAK,
    ONE_WAY,
    REFUSED,
    REWRITTEN,
    WRONG_PEER,
)
from .witness import CHANGED

WORST_FIRST = {LEAK: 0, BROKEN: 1, INCONCLUSIVE: 2}
FACTS_SHOWN = 3
WORDS = {
    LEAK: "arrived although they must not",
    BROKEN: "did not arrive as they must",
    INCONCLUSIVE: "prove nothing",
}

# Of a leak, beside its own class, that of the facts which open it
OPENED_BY = {
    leaks.INJECTION: leaks.WRONG_VNI,
    leaks.INJECTION_FROM_OUTSIDE: leaks.WRONG_VNI,
    leaks.BROADCAST: leaks.SHARED_BRIDGE,
}

RUN = "ansible-playbook -i INVENTORY multinet.flannel."
RUN_ELSEWHERE = "ansible-playbook -i INVENTORY -e @verify.yml multinet.flannel."


def with_commands(
    findings: Sequence[dict[str, Any]], elsewhere: bool = False
) -> list[dict[str, Any]]:
    """Return the findings with "commands": what to type, one after the other. elsewhere: whether
    nothing of ours is deployed.

    What a host says of itself is mended by `site`; where none says anything, `status` looks once
    more, at those hosts alone. The last one proves it.
    """
    told = []
    again = (RUN_ELSEWHERE if elsewhere else RUN) + "verify"
    for finding in findings:
        if finding["outcome"] == INCONCLUSIVE or elsewhere:
            first = []
        elif finding["causes"]:
            first = [RUN + "site"]
        else:
            first = [f"{RUN}status --limit {','.join(finding['hosts'])}"] * bool(finding["hosts"])
        told.append(dict(finding, commands=[*first, again]))
    return told


def members(findings: Iterable[dict[str, Any]], judged: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells that each finding is of, see of_cells()."""
    groups = _groups(judged)
    return [
        groups[_key(finding, finding["pairs"][0]["to"])] if finding["cells"] else []
        for finding in findings
    ]


def classify(judged: Sequence[Cell]) -> None:
    """Add "class" (number, None if as planned) and "class_name" to each cell."""
    v4 = [cell for cell in judged if cell["family"] == "4"]
    leaky = {_way(cell) for cell in v4 if cell["outcome"] == LEAK}
    tight = {_way(cell) for cell in v4 if cell["expected"] == "blocked"} - leaky
    small_arrive = {
        (cell["family"], cell["from"], cell["to"])
        for cell in judged
        if cell["kind"] == kinds.UNICAST.name and cell["outcome"] == AS_PLANNED
    }
    one_bridge = {
        (cell["from"], cell["to"])
        for cell in judged
        if cell["kind"] == kinds.L2.name
        and cell["outcome"] == LEAK
        and cell["from_host"] == cell["to_host"]
        and not cell["evidence"]["handed_on"]
    }
    for cell in judged:
        leak = None
        if cell["outcome"] == LEAK:
            copy_of = cell["variant"].get("copy_of", "")
            wires = {(cell["from"], cell["to"]), (copy_of, cell["to"])}
            if cell["evidence"]["handed_on"]:
                leak = leaks.POD_FORWARDS
            elif cell["evidence"]["miswired"] or wires & one_bridge:
                leak = leaks.SHARED_BRIDGE
            elif copy_of:
                leak = leaks.COPIED
            else:
                same_host = cell["from_host"] == cell["to_host"]
                ipv6_alone = cell["family"] == "6" and _way(cell) in tight
                leak = kinds.leak_of(kinds.KINDS[cell["kind"]], same_host, ipv6_alone)
        elif cell["outcome"] == BROKEN and cell["evidence"]["miswired"]:
            leak = leaks.SHARED_BRIDGE
        elif cell["outcome"] == BROKEN:
            leak = _failure(cell, (cell["family"], cell["from"], cell["to"]) in small_arrive)
        elif cell["outcome"] == INCONCLUSIVE:
            leak = leaks.NOT_MEASURED
        cell["class"] = leak.number if leak else None
        cell["class_name"] = leak.name if leak else ""


def _way(cell: Cell) -> tuple[str, ...]:
    """What IPv4 and IPv6 are compared by: what hosts forward is one matter, however it was sent."""
    kind = kinds.KINDS[cell["kind"]]
    what = "forward" if kind.leak is leaks.HOST_FORWARDING else kind.name
    return what, cell["from_host"], cell["from_network"], cell["to_network"]


def _failure(cell: Cell, small_arrives: bool) -> leaks.Leak:
    kind = kinds.KINDS[cell["kind"]]
    if kind.failure is not leaks.NO_PATH:
        return kind.failure
    if cell["verdict"] == WRONG_PEER:
        return leaks.DUPLICATE
    if REWRITTEN in cell["reason"]:
        return leaks.MASQUERADE
    if kind is kinds.FULL and small_arrives:
        return leaks.MTU
    return leaks.NO_PATH


def of_cells(
    judged: Iterable[Cell],
    drift: Sequence[causes.Cause] = (),
    deviations: Sequence[dict[str, Any]] = (),
    *,
    elsewhere: bool = False,
) -> list[dict[str, Any]]:
    """Return one finding for each class of the cells that are not as planned, the worst first; what
    is broken is told apart by network, what is open by reason.

    drift: what deviates on hosts, see causes.of_hosts(). deviations: facts that are not as planned,
    see checks.deviations(). elsewhere: whether nothing of ours is deployed.
    """
    groups = _groups(judged)
    order = sorted(groups, key=lambda key: (WORST_FIRST[key[0]], -len(groups[key]), key))
    return [_finding(groups[key], drift, deviations, elsewhere) for key in order]


def _groups(judged: Iterable[Cell]) -> dict[tuple[str, int, str], list[Cell]]:
    """Return the cells that are not as planned, by what tells findings apart."""
    groups: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in judged:
        if cell["outcome"] != AS_PLANNED:
            groups.setdefault(_key(cell, cell["to_network"]), []).append(cell)
    return groups


def _key(one: dict[str, Any], to_network: str) -> tuple[str, int, str]:
    """Return what tells a finding, or a cell of it, apart from others."""
    broken = to_network
    if one["class"] == leaks.NO_WAY_OUT.number:  # each protocol may have a reason of its own
        broken += " " + one["reason"].split(":")[0]
    apart = {LEAK: "", BROKEN: broken, INCONCLUSIVE: _cause(one)}
    return (one["outcome"], one["class"], apart[one["outcome"]])


def _cause(cell: Cell) -> str:
    """Return what open cells are told apart by: who changed a token, whatever it was in each."""
    return str(cell["reason"].split(f"{CHANGED}:")[0])


def _where(cell: Cell, leak: leaks.Leak) -> str:
    """Return the host to look at."""
    if leak is leaks.MTU and cell["evidence"]["too_big"]:
        return str(cell["evidence"]["too_big"])
    by = cell["evidence"]["handed_on" if leak is leaks.POD_FORWARDS else "miswired"]
    if by and leak in (leaks.POD_FORWARDS, leaks.SHARED_BRIDGE):
        return str(by.split("/", 1)[0])
    return str(cell["to_host"] if leak.at_receiver else cell["from_host"])


def _hosts(members: Sequence[Cell], leak: leaks.Leak) -> list[str]:
    """Return the hosts to look at: the one that is an end of all the cells, if there is one; of
    what does not arrive, too. Of two that are, the one that the cells themselves name.
    """
    look = sorted({_where(cell, leak) for cell in members})
    common = set.intersection(*map(_ends, members))
    named = {host for cell in members for host in _named(cell, leak)} & common
    if len(named) == 1:
        return list(named)
    if len(look) > 1 and len(common) == 1:
        return sorted(common)
    return look


def _named(cell: Cell, leak: leaks.Leak) -> set[str]:
    """Return the hosts that what was seen of a cell names: the one that called it too big, whose
    pod refused to send it, or where it arrived instead.
    """
    if leak is leaks.MTU:
        return {cell["evidence"]["too_big"]}
    if leak is leaks.NO_PATH and _is_refused(cell):
        return {cell["from_host"]}
    if leak is leaks.DUPLICATE:
        return {place.split("/", 1)[0] for place in cell["evidence"]["elsewhere"]}
    return set()


def _is_refused(cell: Cell) -> bool:
    return REFUSED in cell["reason"]


def _ends(cell: Cell) -> set[str]:
    return {cell["from_host"], cell["to_host"]}


def _may_be_why(
    row: dict[str, Any], first: Cell, leak: leaks.Leak, networks: Collection[str]
) -> bool:
    """Whether a fact may be why cells like the first one, in these networks, are not as planned."""
    if first["outcome"] == LEAK:
        opens = row["class"] in (leak.number, OPENED_BY.get(leak, leak).number)
        return opens and row["network"] in ("", *networks)
    own = not (row["network"] or row["pod"])
    return first["outcome"] == BROKEN and (own or row["network"] in networks)


def _explained(members: Sequence[Cell], deviate: set[str]) -> tuple[set[str], list[Cell]]:
    """Return which of the hosts that deviate may be why, and the cells that none of them explains.

    Of what is missing, a host that is an end of all is enough. If it does not deviate, those that
    do explain all, or are another matter. What leaks passes both ends.
    """
    rest = [cell for cell in members if not _ends(cell) & deviate]
    common = set.intersection(*map(_ends, members))
    if members[0]["outcome"] == BROKEN and len(common) == 1:
        if common <= deviate:
            return common, []
        if rest:
            return set(), list(members)
    return deviate, rest


def _needs(members: Iterable[Cell], leak: leaks.Leak) -> list[str]:
    """Return what the kinds of the cells need that must arrive, in the order of reports."""
    broken = [cell for cell in members if cell["outcome"] == BROKEN]
    hidden = [cell["kind"] for cell in broken if REWRITTEN in cell["reason"]]
    named = [cell["kind"] for cell in broken if REWRITTEN not in cell["reason"]]
    needs = [kind.needs for kind in kinds.KINDS.values() if kind.name in named and kind.needs]
    return needs + [leaks.HIDDEN] * (leak is leaks.NODE_TO_POD and bool(hidden))


def _refusing(members: Iterable[Cell], leak: leaks.Leak) -> list[str]:
    """Return the pods with a filter of their own that refuses what they send, if all cells are from
    or to them.
    """
    if leak is not leaks.NO_PATH:
        return []
    pods = sorted({_pod(cell["from"]) for cell in members if _is_refused(cell)})
    others = [cell for cell in members if not {_pod(cell["from"]), _pod(cell["to"])} & set(pods)]
    return [] if others else pods


def _pod(end: str) -> str:
    return end.rsplit("/", 1)[0]


def _hosts_of(row: dict[str, Any]) -> set[str]:
    """Return where a fact or a deviation of a host is to be looked at."""
    return set(row.get("hosts", [row["host"]]))


def _finding(
    members: Sequence[Cell],
    drift: Sequence[causes.Cause],
    deviations: Sequence[dict[str, Any]],
    elsewhere: bool,
) -> dict[str, Any]:
    """Return the finding of cells of one outcome and class."""
    first = members[0]
    leak = leaks.CLASSES[first["class"]]
    pairs = [(cell["from_network"], cell["to_network"]) for cell in members]
    source, target = _from_and_to(pairs)
    why, facts, unexplained = _why(members, leak, drift, deviations)
    rest = _hosts(unexplained, leak) if unexplained else []
    told = [causes.repair(why), _by_facts(facts)]
    refusing = _refusing(unexplained, leak)
    if rest and refusing:
        told.append(
            f"In {', '.join(refusing)}, look at what refuses what the pod itself sends (output, in"
            " its own network namespace): nft list ruleset; iptables-save."
        )
    elif rest:
        told.append(
            leaks.repair(
                leak,
                ", ".join(rest),
                source,
                target,
                forged=all(cell["kind"] == kinds.SPOOFED.name for cell in members),
                in_part=all(IN_PART in cell["reason"] for cell in members),
                elsewhere=elsewhere,
                first=_needs(unexplained, leak),
            )
        )
    finding = {
        "outcome": first["outcome"],
        "class": leak.number,
        "class_name": leak.name,
        # a way has two ends, and who says that something is wrong is where to look
        "hosts": sorted({one["host"] for one in why}.union(*map(_hosts_of, facts), rest)),
        "pairs": [
            {"from": pair[0], "to": pair[1], "cells": count}
            for pair, count in sorted(collections.Counter(pairs).items())
        ],
        "cells": len(members),
        "kinds": sorted({cell["kind"] for cell in members}),
        "families": sorted({cell["family"] for cell in members}),
        "one_way": sum(cell["verdict"] == ONE_WAY for cell in members),
        "example": first["id"],
        "reason": first["reason"],
        "source_rewritten": sum(map(_is_rewritten, members)),
        "causes": why,
        "repair": " ".join(filter(None, told)),
    }
    return dict(finding, sentence=_sentence(finding, source, target, first))


def _from_and_to(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return what pairs of networks are called together."""
    if len(set(pairs)) == 1:
        return pairs[0]
    if all(here == there for here, there in pairs):
        return "a network", "itself"
    return "one network", "another"


def _why(
    members: Sequence[Cell],
    leak: leaks.Leak,
    drift: Sequence[causes.Cause],
    deviations: Sequence[dict[str, Any]],
) -> tuple[list[causes.Cause], list[dict[str, Any]], list[Cell]]:
    """Return what deviates on hosts and may be why the cells of a finding are not as planned, the
    facts that may be, where no host says so of itself, and the cells that nothing explains.
    """
    first = members[0]
    ends = {host for cell in members for host in _ends(cell)}
    networks = {cell[key] for cell in members for key in ("from_network", "to_network")}
    opens = first["outcome"] == LEAK or leak is leaks.MASQUERADE
    why = (
        causes.among(drift, ends, networks, opens=opens)
        if first["outcome"] in (LEAK, BROKEN)
        else []
    )
    facts = [
        row for row in deviations if row["host"] in ends and _may_be_why(row, first, leak, networks)
    ]
    deviate = {host for row in [*why, *facts] for host in _hosts_of(row)}
    guilty, unexplained = _explained(members, deviate)
    why = [one for one in why if one["host"] in guilty]
    # what a host says of itself has the facts there for its effects
    explained = {one["host"] for one in why}
    facts = [row for row in facts if _hosts_of(row) & guilty and not _hosts_of(row) & explained]
    return why, facts, unexplained


def _by_facts(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is wrong with the facts at the ends, and what puts the first of it right on each
    host.
    """
    said = [row["sentence"] for row in rows[:FACTS_SHOWN]]
    more = len(rows) - len(said)
    said += [f"{more} more such facts are findings."] * bool(more)
    repairs = {row["host"]: row["repair"] for row in reversed(rows)}
    hosts = list(dict.fromkeys(row["host"] for row in rows))
    said += dict.fromkeys(repairs[host] for host in hosts[:FACTS_SHOWN])
    others = hosts[FACTS_SHOWN:]
    said += [f"Do the same on {', '.join(others)}."] * bool(others)
    return " ".join(said)


def _is_rewritten(cell: Cell) -> bool:
    """True if a cell's receiver saw another source than was sent."""
    shown = kinds.KINDS[cell["kind"]].shows_masquerade
    return shown and bool(set(cell["evidence"]["sources"]) - {cell["source"]})


def _sentence(finding: dict[str, Any], source: str, target: str, first: Cell) -> str:
    text = (
        f"{finding['cells']} measurements ({', '.join(finding['kinds'])}) from {source} to"
        f" {target} {WORDS[finding['outcome']]}"
    )
    if finding["one_way"]:
        text += f", {finding['one_way']} of them one-way: unseen by the sender"
    if finding["source_rewritten"]:
        text += f", {finding['source_rewritten']} with another source than was sent (masquerade)"
    return f"{text}. Such as {first['from']} to {first['to']}: {first['reason']}."


def of_facts(
    deviations: Iterable[dict[str, Any]], drift: Sequence[causes.Cause] = ()
) -> list[dict[str, Any]]:
    """Return a finding for each fact that is not as planned, see checks.deviations().

    drift: what deviates on hosts, see causes.of_hosts(); it says why a host's own facts are so.
    """
    found = []
    for row in deviations:
        why = [] if row["pod"] else causes.among(drift, [row["host"]], [row["network"]])
        repair = causes.repair(why) or row["repair"]
        found.append(
            {
                "hosts": [row["host"]],
                **row,
                "outcome": "deviation",
                "cells": 0,
                "causes": why,
                "repair": repair,
            }
        )
    return found


def of_drift(
    drift: Sequence[causes.Cause], findings: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a finding for each thing on a host that is not as deployed, cuts a way or opens one,
    and is the cause of none of the findings.
    """
    found = []
    for one in causes.cutting(drift, findings):
        leak = causes.leak_of(one)
        found.append(
            {
                "host": one["host"],
                "pod": "",
                "interface": "",
                "network": one["network"],
                "what": one["kind"],
                "expected": "as deployed",
                "observed": one["sentence"],
                "class": leak.number,
                "class_name": leak.name,
                "sentence": f"{one['host']}: {one['sentence']}.",
                "outcome": "deviation",
                "cells": 0,
                "hosts": [one["host"]],
                "causes": [one],
                "repair": causes.repair([one]),
            }
        )
    return found
