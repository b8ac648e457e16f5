# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report (see verdict.evaluate) as text, JSON and JUnit.

Pure: a report in, a string out. The HTML page is in page.py.
"""

from __future__ import annotations

import json
import textwrap
import xml.etree.ElementTree as xml

SYMBOLS = {
    "reached": "✓",
    "blocked": "⊘",
    "leak": "✗ LEAK",
    "broken": "! BROKEN",
    "inconclusive": "? OPEN",
    "unmeasured": "–",
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


def as_json(report):
    """Return report.json: a cell a line, those that are as planned in short."""
    lines = [
        json.dumps(
            {key: cell[key] for key in cell if key in SHORT or cell["outcome"] != "as planned"}
        )
        for cell in report["cells"]
    ]
    head = json.dumps(dict(report, cells=[]), indent=1)
    return head[: head.rindex("[]")] + "[\n  " + ",\n  ".join(lines) + "\n ]\n}\n"


def as_text(report):
    """Return the lines (list of str) for a terminal: verdict, matrix of networks, pods, findings,
    coverage.
    """
    lines = _wrap(f"{VERDICTS[report['verdict']]} - {report['headline']}") + [""]
    names = [network["name"] for network in report["networks"]]
    pairs = {(pair["from"], pair["to"]): pair for pair in report["matrix"]["networks"]}
    rows = [["from \\ to"] + names]
    for source in names:
        rows.append([source] + [_cell_text(pairs[(source, target)]) for target in names])
    lines += _table(rows) + [
        "",
        "✓ connected  ⊘ isolated (sent, listened for, not heard)  ✗ leak  ? open",
        "",
    ]
    rows = [["pod", "interface", "network", "addresses"]]
    for pod in report["pods"][:PODS_SHOWN]:
        rows += [
            [pod["id"], item["name"], item["network"] or "-", " ".join(item["addresses"])]
            for item in pod["interfaces"]
        ]
    lines += _table(rows)
    if len(report["pods"]) > PODS_SHOWN:
        lines.append(f"... and {len(report['pods']) - PODS_SHOWN} more pods in the report.")
    lines.append("")
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
    for gap in report["gaps"]:
        lines += _wrap(f"GAP {gap}")
    for note in report["notes"]:
        lines += _wrap(f"NOTE {note}")
    if report["findings"] or report["gaps"] or report["notes"]:
        lines.append("")
    coverage = report["coverage"]
    lines += _wrap(
        f"{coverage['measured']} of {coverage['planned']} measurements conclusive,"
        f" {coverage['facts_compared']} facts compared,"
        f" {sum(host['reached'] for host in report['hosts'])} of {len(report['hosts'])} hosts,"
        f" {len(report['pods'])} pods."
    )
    return lines


def _wrap(text):
    """Lines short enough for a terminal, so that no callback plugin folds them its own way."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _cell_text(pair):
    if pair["state"] in ("leak", "broken", "inconclusive"):
        return f"{SYMBOLS[pair['state']]} {pair[pair['state']]}/{pair['cells']}"
    return f"{SYMBOLS[pair['state']]} {pair['cells']}" if pair["cells"] else SYMBOLS[pair["state"]]


def _table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "   ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows
    ]


def as_junit(report):
    """Return junit.xml: a suite per pair of networks with a case per (kind, sending host, receiving
    host), one for facts and one for coverage.
    """
    root = xml.Element("testsuites", name="multinet.flannel")
    suites = {}
    for cell in report["cells"]:
        suites.setdefault((cell["from_network"], cell["to_network"]), {}).setdefault(
            (cell["kind"], cell["from_host"], cell["to_host"]), []
        ).append(cell)
    for pair in sorted(suites):
        suite = _suite(root, "{} to {}".format(*pair))
        for (kind, source, target), members in sorted(suites[pair].items()):
            wrong = [cell for cell in members if cell["outcome"] in ("leak", "broken")]
            doubtful = [cell for cell in members if cell["outcome"] == "inconclusive"]
            case = xml.SubElement(
                suite,
                "testcase",
                classname="{}.{}".format(*pair),
                name=f"{kind}, {source} to {target} ({len(members)} measurements)",
            )
            if wrong:
                _mark(
                    suite,
                    case,
                    "failure",
                    wrong[0]["outcome"],
                    [
                        f"{cell['id']}: expected {cell['expected']}, {cell['verdict']}"
                        f" ({cell['reason']})"
                        for cell in wrong
                    ],
                )
            elif doubtful:
                _mark(
                    suite,
                    case,
                    "skipped",
                    "inconclusive",
                    [f"{cell['id']}: {cell['reason']}" for cell in doubtful],
                )
    suite = _suite(root, "facts")
    for finding in [finding for finding in report["findings"] if finding["outcome"] == "deviation"]:
        _mark(
            suite,
            xml.SubElement(suite, "testcase", classname="facts", name=finding["sentence"]),
            "failure",
            finding["class_name"],
            [finding["sentence"], finding["repair"]],
        )
    xml.SubElement(
        suite,
        "testcase",
        classname="facts",
        name=f"{report['coverage']['facts_compared']} facts compared",
    )
    suite = _suite(root, "coverage")
    case = xml.SubElement(
        suite, "testcase", classname="coverage", name="everything that should be measured was"
    )
    if report["gaps"]:
        _mark(suite, case, "failure", "inconclusive", report["gaps"])
    for suite in root:
        suite.set("tests", str(len(suite)))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"
    )


def _suite(root, name):
    return xml.SubElement(
        root, "testsuite", name=name, tests="0", failures="0", skipped="0", errors="0"
    )


def _mark(suite, case, tag, message, lines):
    key = {"failure": "failures", "skipped": "skipped"}[tag]
    suite.set(key, str(int(suite.get(key)) + 1))
    xml.SubElement(case, tag, message=message).text = "\n".join(lines[:50])
