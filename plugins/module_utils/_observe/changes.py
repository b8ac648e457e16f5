# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not as it was in the last run: for those who look at a report because another one came
before it.

Pure, on the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from .findings import WORST_FIRST
from .verdict import SCHEMA

Report = dict[str, Any]
_SHOWN = 5  # names in one sentence
_STATES = {
    "reached": "connected",
    "blocked": "isolated",
    "leak": "leaking",
    "broken": "broken",
    "inconclusive": "not proven",
    "unmeasured": "not measured",
}


def problem(report: Any) -> str:
    """Return why something is no report to compare with, "" if it is one."""
    said = report.get("schema") if isinstance(report, dict) else None
    return "" if said == SCHEMA else f"its schema is {said!r}, not {SCHEMA}"


def changes(before: Report, now: Report) -> dict[str, Any]:
    """Return what changed between two reports (see verdict.evaluate(), or as read of report.json).

    {"since": {"run", "finished", "verdict"} of the one before, "verdict": whether it is another,
    "findings", "hosts", "pods", "interfaces": {"new": [names], "gone": [names]}, "pairs": [{"from",
    "to", "before", "now"}] of networks whose state in the matrix is another, "cells": {"worse",
    "better": numbers of those in both}, "sentences": all of that for people, none if nothing did}.
    A finding's name is its class, its networks and its hosts, whatever it counts.

    Raises ValueError of a report that has been damaged or shortened.
    """
    try:
        return _changes(before, now)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not whole ({error!r})") from error


def _changes(before: Report, now: Report) -> dict[str, Any]:
    found: dict[str, Any] = {
        "since": {
            "run": before["measured"].get("run", ""),
            "finished": before["measured"].get("finished", ""),
            "verdict": before["verdict"],
        },
        "verdict": before["verdict"] != now["verdict"],
        "findings": _both(before["findings"], now["findings"], _finding),
        "hosts": _both(before["hosts"], now["hosts"], lambda host: host["name"], "reached"),
        "pods": _both(before["pods"], now["pods"], lambda pod: pod["id"]),
        "interfaces": _both(_interfaces(before), _interfaces(now), str),
        "pairs": _pairs(before, now),
        "cells": _cells(before["cells"], now["cells"]),
    }
    return dict(found, sentences=_sentences(found, now))


def _finding(finding: dict[str, Any]) -> str:
    """Return what a finding is called in both runs."""
    if finding["cells"]:
        where = ", ".join(sorted(f"{pair['from']} to {pair['to']}" for pair in finding["pairs"]))
        about = f"{where}, on {', '.join(finding['hosts'])}"
    else:
        place = " ".join(filter(None, (finding["pod"] or finding["host"], finding["interface"])))
        about = f"{place}: {finding['what']}"
    return f"{finding['outcome']} class {finding['class']} ({finding['class_name']}), {about}"


def _both(
    before: Iterable[Any], now: Iterable[Any], name: Callable[[Any], str], only: str = ""
) -> dict[str, list[str]]:
    """Return the names that came and went. only: the key that must be true in what counts."""
    old, new = (
        list(dict.fromkeys(name(one) for one in some if not only or one[only]))
        for some in (before, now)
    )
    return {
        "new": [one for one in new if one not in set(old)],
        "gone": [one for one in old if one not in set(new)],
    }


def _interfaces(report: Report) -> list[str]:
    """Return the interfaces of the pods, with their network and addresses."""
    return [
        f"{pod['id']}/{one['name']} ({one['network'] or 'no network'},"
        f" {' '.join(one['addresses']) or 'no address'})"
        for pod in report["pods"]
        for one in pod["interfaces"]
    ]


def _pairs(before: Report, now: Report) -> list[dict[str, str]]:
    states = {(pair["from"], pair["to"]): pair["state"] for pair in before["matrix"]["networks"]}
    return [
        {
            "from": pair["from"],
            "to": pair["to"],
            "before": states.get((pair["from"], pair["to"]), "unmeasured"),
            "now": pair["state"],
        }
        for pair in now["matrix"]["networks"]
        if pair["state"] != states.get((pair["from"], pair["to"]), "unmeasured")
    ]


def _cells(before: Iterable[dict[str, Any]], now: Iterable[dict[str, Any]]) -> dict[str, int]:
    old = {cell["id"]: _rank(cell) for cell in before}
    steps = [_rank(cell) - old[cell["id"]] for cell in now if cell["id"] in old]
    return {"worse": sum(step < 0 for step in steps), "better": sum(step > 0 for step in steps)}


def _rank(cell: dict[str, Any]) -> int:
    return WORST_FIRST.get(cell["outcome"], len(WORST_FIRST))


def _sentences(found: dict[str, Any], now: Report) -> list[str]:
    said = []
    if found["verdict"]:
        said.append(f"The verdict was {found['since']['verdict']} and is {now['verdict']}.")
    said += [
        f"From {pair['from']} to {pair['to']}: was {_STATES[pair['before']]}, is"
        f" {_STATES[pair['now']]}."
        for pair in found["pairs"]
    ]
    said += [f"New finding: {name}." for name in found["findings"]["new"]]
    said += [f"No longer found: {name}." for name in found["findings"]["gone"]]
    cells = found["cells"]
    if cells["worse"] or cells["better"]:
        said.append(
            f"Of the measurements made both times, {cells['worse']} came out worse and"
            f" {cells['better']} better."
        )
    for what, come, gone in (
        ("hosts", "reached now", "no longer reached"),
        ("pods", "new", "gone"),
    ):
        said += _named(found[what]["new"], what, come) + _named(found[what]["gone"], what, gone)
    changed = {name.split(" (", 1)[0] for name in found["interfaces"]["gone"]}
    said += _named(
        [name for name in found["interfaces"]["new"] if name.split(" (", 1)[0] in changed],
        "interfaces of pods",
        "with another network or address",
    )
    return said


def _named(names: Collection[str], what: str, how: str) -> list[str]:
    """Return a sentence on some names, the first few of many; none of none."""
    if not names:
        return []
    shown = ", ".join([*sorted(names)[:_SHOWN], *["..."] * (len(names) > _SHOWN)])
    word = what.replace("interfaces", "interface").rstrip("s") if len(names) == 1 else what
    word = "interface of a pod" if word == "interface of pod" else word
    return [f"{len(names)} {word} {how}: {shown}."]
