# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open each class of leak of docs/report.md on a host, let verify say what it sees, close it, and
let verify say that it is closed; write a table of it.

Ends with 1 when one is not seen, is seen with another class or host, or stays; after all were made.

    make_leaks.py on_hosts|on_cluster FILE HOST OTHER INVENTORY...
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

from openings import SITE, Opening


def on(host: str, script: str) -> None:
    """Run a shell script on a host."""
    command = ["podman", "exec", host, "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr}{done.stdout}")


def play(playbook: str, inventories: t.Sequence[str], *options: str) -> str:
    """Run a playbook of the collection; return its output."""
    done = subprocess.run(
        ["ansible-playbook", *(f"--inventory={one}" for one in inventories)]
        + [f"multinet.flannel.{playbook}", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return done.stdout[-3000:] + done.stderr[-1000:]


def verify(inventories: t.Sequence[str]) -> tuple[dict[str, t.Any], float]:
    """Run the playbook verify; return its report and how long it took in seconds."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        told = play("verify", inventories, "-e", f"multinet_report_dir={place}")
        path = pathlib.Path(place) / "report.json"
        if not path.exists():
            raise RuntimeError(told)
        return json.loads(path.read_text(encoding="utf-8")), time.monotonic() - begun


def close(opening: Opening, host: str, other: str, inventories: t.Sequence[str]) -> None:
    """Undo what was made; of both hosts, whatever becomes of one."""
    undos = [(host, opening.undo), (other, opening.there_undo)]
    try:
        if SITE in (opening.undo, opening.there_undo):
            play("site", inventories)
    finally:
        for place, undo in undos:
            if undo not in ("", SITE):
                on(place, undo)


def named(
    number: int, says: t.Sequence[str], found: t.Sequence[dict[str, t.Any]], **places: str
) -> str:
    """Return what is wrong with how a class is named among findings, "" if nothing is. places: what
    the words have to fill in.
    """
    told = [f"{one['sentence']} {one['repair']}" for one in found if one["class"] == number]
    if not told:
        return f"class {number} is not named: {[one['sentence'] for one in found]}"
    words = [one.format(**places) if "{" in one else one for one in says]
    if not any(all(one in text for one in words) for text in told):
        return f"no finding says {words}: {told}"
    return ""


def judged(opening: Opening, host: str, other: str, report: dict[str, t.Any]) -> str:
    """Return what is wrong with the report on what was opened, "" if nothing is."""
    found = report["findings"]
    places = {"host": host, "other": other}
    problem = named(opening.number, opening.says, found, **places)
    if opening.second is not None:
        turned = {"host": other, "other": host}
        problem = problem or named(opening.second, opening.second_says, found, **turned)
    if problem:
        return problem
    first = next(one["outcome"] for one in found if one["class"] == opening.number)
    if first != opening.first:
        return f"it is a {first}, not a {opening.first}"
    expected = {opening.number, opening.second, *opening.also}
    others = [one["sentence"] for one in found if one["class"] not in expected]
    if others:
        return f"other classes are named: {others}"
    for place, here in ((other, True), (host, False)):
        of_place = [one for one in found if (one["class"] == opening.second) is here]
        opened = {place, other} if opening.there and opening.second is None else {place}
        hosts = {name for one in of_place for name in one["hosts"]}
        if of_place and hosts != opened:
            return f"the hosts that are named are {sorted(hosts)}, not {sorted(opened)}"
    return ""


def cell(texts: t.Iterable[str]) -> str:
    """Return texts as a cell of a table."""
    return " ".join(texts).replace("|", "\\|")


def main(table: str, path: str, host: str, other: str, *inventories: str) -> int:
    """Open all of a table on host, and on the other, and write the results to the file path."""
    openings = importlib.import_module(table)
    rows = ["| class | opened by | seen | named first | what repairs it | green again |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    wrong = []
    only = os.environ.get("LEAK", "")
    for opening in openings.OPENINGS:
        numbers = [str(one) for one in (opening.number, opening.second) if one is not None]
        if only and not set(numbers) & set(only.split(",")):
            continue
        try:
            on(host, opening.make or "true")
            on(other, opening.there or "true")
            report, red = verify(inventories)
        finally:
            close(opening, host, other, inventories)
        problem = judged(opening, host, other, report)
        after, green = verify(inventories)
        if after["verdict"] != "as_planned":
            problem = problem or f"it stays: {[one['sentence'] for one in after['findings']]}"
        if problem:
            wrong.append(f"{', '.join(numbers)}, {opening.how}: {problem}")
        firsts = [
            next((one for one in report["findings"] if str(one["class"]) == number), {})
            for number in numbers
        ]
        rows.append(
            f"| {', '.join(numbers)} | {opening.how} | {report['verdict']}, {red:.0f} s |"
            f" {cell(one.get('sentence', 'nothing') for one in firsts)} |"
            f" {cell(one.get('repair', '') for one in firsts)} |"
            f" {after['verdict']}, {green:.0f} s |"
        )
        pathlib.Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")
    rows += [
        f"| {number} | not tried: {why} | | | | |" for number, why in openings.NOT_TRIED.items()
    ]
    pathlib.Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join([*rows, "", *wrong]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
