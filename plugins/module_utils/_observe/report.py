# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report (see verdict.evaluate) as text, JSON and JUnit.

Pure, on the controller: a report in, a string out. The HTML page is in page.py.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from . import coverage as of_coverage
from . import modes

SYMBOLS = {
    "reached": "✓",
    "blocked": "⊘",
    "leak": "✗ LEAK",
    "broken": "! BROKEN",
    "inconclusive": "? OPEN",
    "unmeasured": "\u2013",
}
VERDICTS = {
    "as_planned": "AS PLANNED",
    "leaks": "LEAKS",
    "broken": "BROKEN",
    "inconclusive": "INCONCLUSIVE",
}
FINDINGS_SHOWN, PODS_SHOWN = 20, 30
SHORT = ("id", "expected", "verdict", "reason", "outcome")
WIDTH = 70  # the YAML form of the default callback folds at 80


def title(report: dict[str, Any]) -> str:
    """Return the verdict, and that nothing was sent where that is so."""
    only = "" if report["mode"] == modes.ACTIVE else f" ({report['mode']}: nothing was sent)"
    return VERDICTS[report["verdict"]] + only


def as_json(report: dict[str, Any]) -> str:
    """Return report.json: a cell a line, those that are as planned in short."""
    lines = [
        json.dumps(
            {key: cell[key] for key in cell if key in SHORT or cell["outcome"] != "as planned"}
        )
        for cell in report["cells"]
    ]
    head = json.dumps(dict(report, cells=[]), indent=1)
    return head[: head.rindex("[]")] + "[\n  " + ",\n  ".join(lines) + "\n ]\n}\n"


def as_text(report: dict[str, Any]) -> list[str]:
    """Return the lines for a terminal: verdict, matrix of networks, pods, findings,
    coverage.
    """
    return [
        *_wrap(f"{title(report)} - {report['headline']}"),
        "",
        *_matrix_lines(report),
        *_pod_lines(report["pods"]),
        *_finding_lines(report),
        *_change_lines(report["changes"]),
        *_coverage_lines(report),
    ]


def _matrix_lines(report: dict[str, Any]) -> list[str]:
    """Return who reaches whom, network by network, and what the signs mean."""
    names = [network["name"] for network in report["networks"]]
    pairs = {(pair["from"], pair["to"]): pair for pair in report["matrix"]["networks"]}
    rows = [["from \\ to"] + names]
    for source in names:
        rows.append([source] + [_cell_text(pairs[(source, target)]) for target in names])
    return [
        *_table(rows),
        "",
        "✓ connected  ⊘ isolated (sent, listened for, not heard)  ✗ leak  ? open",
        "",
    ]


def _pod_lines(pods: list[dict[str, Any]]) -> list[str]:
    """Return the interfaces of the first pods."""
    rows = [["pod", "interface", "network", "addresses"]]
    for pod in pods[:PODS_SHOWN]:
        rows += [
            [pod["id"], item["name"], item["network"] or "-", " ".join(item["addresses"])]
            for item in pod["interfaces"]
        ]
    lines = _table(rows)
    if len(pods) > PODS_SHOWN:
        lines.append(f"... and {len(pods) - PODS_SHOWN} more pods in the report.")
    return [*lines, ""]


def _finding_lines(report: dict[str, Any]) -> list[str]:
    """Return the first findings, broken rules of the site, gaps and notes; [] without any."""
    lines: list[str] = []
    for finding in report["findings"][:FINDINGS_SHOWN]:
        lines += _wrap(
            f"{finding['outcome'].upper()} class {finding['class']} ({finding['class_name']}):"
            f" {finding['sentence']}"
        )
        lines += _wrap("-> " + finding["repair"])
    if len(report["findings"]) > FINDINGS_SHOWN:
        lines.append(
            f"... and {len(report['findings']) - FINDINGS_SHOWN} more findings in the report."
        )
    for rule in broken_rules(report):
        lines += _wrap(f"RULE {rule['message']}")
        lines += _wrap(f"-> {rule['problem'] or rule['that'] + ' is false'}")
    for gap in report["gaps"]:
        lines += _wrap(f"GAP {gap}")
    for note in report["notes"]:
        lines += _wrap(f"NOTE {note}")
    return [*lines, ""] if lines else []


def _change_lines(changes: dict[str, Any] | None) -> list[str]:
    """Return the first changes since the last run; [] where there was none."""
    if not changes:
        return []
    said = changes["sentences"] or ["nothing."]
    lines = [f"Since the last run ({changes['since']['finished']}):"]
    for sentence in said[:FINDINGS_SHOWN]:
        lines += _wrap(f"* {sentence}")
    if len(said) > FINDINGS_SHOWN:
        lines.append(f"... and {len(said) - FINDINGS_SHOWN} more changes in the report.")
    return [*lines, ""]


def _coverage_lines(report: dict[str, Any]) -> list[str]:
    """Return how much was measured."""
    coverage = report["coverage"]
    return [
        *_wrap(
            f"{coverage['measured']} of {coverage['planned']} measurements conclusive,"
            f" {coverage['facts_compared']} facts compared,"
            f" {sum(host['reached'] for host in report['hosts'])} of {len(report['hosts'])} hosts,"
            f" {len(report['pods'])} pods."
        ),
        *_wrap(of_coverage.sentence_of(coverage["pairs"])),
        *_wrap(
            "The report says what this run did not measure"
            f" ({len(report['not_measured'])} sentences)."
        ),
    ]


def broken_rules(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the site's own rules that do not hold."""
    return [rule for rule in report["expectations"] if not rule["holds"]]


def _wrap(text: str) -> list[str]:
    """Lines short enough for a terminal, so that no callback plugin folds them its own way."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _cell_text(pair: dict[str, Any]) -> str:
    if pair["state"] in ("leak", "broken", "inconclusive"):
        return f"{SYMBOLS[pair['state']]} {pair[pair['state']]}/{pair['cells']}"
    return f"{SYMBOLS[pair['state']]} {pair['cells']}" if pair["cells"] else SYMBOLS[pair["state"]]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "   ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows
    ]


def as_junit(report: dict[str, Any]) -> str:
    """Return junit.xml: a suite per pair of networks with a case per (kind, sending host, receiving
    host), one for facts, one for the site's own rules and one for coverage.
    """
    root = Element("testsuites", name="multinet.flannel")
    pairs: dict[tuple[str, str], dict[tuple[str, str, str], list[dict[str, Any]]]] = {}
    for cell in report["cells"]:
        cases = pairs.setdefault((cell["from_network"], cell["to_network"]), {})
        cases.setdefault((cell["kind"], cell["from_host"], cell["to_host"]), []).append(cell)
    for (source, target), cases in sorted(pairs.items()):
        suite = _suite(root, f"{source} to {target}")
        for (kind, sender, receiver), members in sorted(cases.items()):
            name = f"{kind}, {sender} to {receiver} ({len(members)} measurements)"
            case = _case(suite, f"{source}.{target}", name)
            wrong = [cell for cell in members if cell["outcome"] in ("leak", "broken")]
            doubtful = [cell for cell in members if cell["outcome"] == "inconclusive"]
            if wrong:
                lines = [
                    f"{cell['id']}: expected {cell['expected']}, {cell['verdict']}"
                    f" ({cell['reason']})"
                    for cell in wrong
                ]
                _mark(suite, case, "failure", wrong[0]["outcome"], lines)
            elif doubtful:
                lines = [f"{cell['id']}: {cell['reason']}" for cell in doubtful]
                _mark(suite, case, "skipped", "inconclusive", lines)
    suite = _suite(root, "facts")
    for finding in report["findings"]:
        if finding["outcome"] == "deviation":
            case = _case(suite, "facts", finding["sentence"])
            lines = [finding["sentence"], finding["repair"]]
            _mark(suite, case, "failure", finding["class_name"], lines)
    _case(suite, "facts", f"{report['coverage']['facts_compared']} facts compared")
    suite = _suite(root, "expectations")
    for rule in report["expectations"]:
        case = _case(suite, "expectations", rule["that"])
        if not rule["holds"]:
            _mark(suite, case, "failure", rule["message"], [rule["message"], rule["problem"]])
    suite = _suite(root, "coverage")
    case = _case(suite, "coverage", "everything that should be measured was")
    if report["gaps"]:
        _mark(suite, case, "failure", "inconclusive", report["gaps"])
    for suite in root:
        suite.set("tests", str(len(suite)))
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(root: Element, name: str) -> Element:
    return SubElement(
        root, "testsuite", name=name, tests="0", failures="0", skipped="0", errors="0"
    )


def _case(suite: Element, classname: str, name: str) -> Element:
    return SubElement(suite, "testcase", classname=classname, name=name)


def _mark(suite: Element, case: Element, tag: str, message: str, lines: Iterable[str]) -> None:
    """Mark a case with its first 50 lines, and count it."""
    key = {"failure": "failures", "skipped": "skipped"}[tag]
    suite.set(key, str(int(suite.get(key, "0")) + 1))
    SubElement(case, tag, message=message).text = "\n".join(list(lines)[:50])
