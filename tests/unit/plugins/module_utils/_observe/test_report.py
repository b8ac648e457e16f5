# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The renderers: what a reader must find, and files that others can read."""

from __future__ import annotations

import html.parser
import json
from xml.etree import ElementTree

import pytest
import report_schema
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    leaks,
    page,
    report,
    verdict,
)

from .world import arrive, evaluate, load, perfect


@pytest.fixture(name="good")
def _good():
    plan, facts = load()
    about = {"run": "abc", "finished": "2026-01-01T00:00:00Z"}
    return evaluate(plan, facts, perfect(plan, facts), about=about)


@pytest.fixture(name="bad")
def _bad():
    plan, facts = load()
    facts[0]["pods"][0]["label"] = "<script>alert(1)</script>"
    shares = perfect(plan, facts)
    for cell in cells.cells(plan, facts):
        if cell["kind"] == "forced":
            arrive(shares, facts, cell, "10.1.1.1" if cell["family"] == "4" else None)
    shares["h2"]["collect"]["alive"] = False
    return evaluate(plan, facts, shares, ["h1", "h2", "h3"])


def test_text_shows_verdict_matrix_and_pods(good):
    lines = report.as_text(good)
    assert lines[0].startswith("AS PLANNED - ")
    matrix = [line.split() for line in lines if line.split()[:1] in (["blue"], ["red"])]
    assert [row[1] for row in matrix] == ["✓", "⊘"] and [row[3] for row in matrix] == ["⊘", "✓"]
    rows = [line.split() for line in lines]
    assert ["h1/a", "eth0", "blue", "10.1.1.10/24", "fd00:1:0:1::a/64"] in rows and [
        "h1/a",
        "net1",
        "red",
        "10.3.1.10/24",
        "fd00:3:0:1::a/64",
    ] in rows


def test_text_fits_a_terminal(good):
    assert max(len(line) for line in report.as_text(good)) <= 76


def test_text_names_classes_hosts_and_gaps(bad):
    text = " ".join(report.as_text(bad))
    assert (
        "LEAKS - " in text
        and f"class {leaks.FOREIGN_TUNNEL.number} " in text
        and "GAP Host h3 was not reached." in text
        and "✗ LEAK" in text
    )


def test_json_reads_back_whole_but_for_cells_that_are_as_planned(bad):
    back = json.loads(report.as_json(bad))
    assert dict(back, cells=0) == json.loads(json.dumps(dict(bad, cells=0)))
    assert [cell["id"] for cell in back["cells"]] == [cell["id"] for cell in bad["cells"]]
    assert [cell for cell in back["cells"] if cell["outcome"] != "as planned"] == json.loads(
        json.dumps([cell for cell in bad["cells"] if cell["outcome"] != "as planned"])
    )


def test_json_is_as_its_schema_says(good, bad):
    for found in (good, bad):
        assert report_schema.problems(report.as_json(found)) == []
    wrong = report_schema.problems(report.as_json({"more": 1, **good, "verdict": "green"}))
    assert sorted(problem.split(":")[0] for problem in wrong) == ["$", "$.verdict"]


def test_a_red_page_leads_to_the_finding_and_to_the_command(bad):
    text = page.as_html(bad)
    for number in range(len(bad["findings"])):
        assert text.count(f'id="finding-{number + 1}"') == 1
    assert '<p class="first"><a href="#finding-1">Leak: ' in text
    seen = Page(text)
    assert set(seen.links) - {"i-" + state for state in report.SYMBOLS} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    assert '<td class="c leak"><a href="#finding-' in text
    assert "ansible-playbook -i INVENTORY multinet.flannel.verify</code>" in text
    assert [finding["commands"][-1] for finding in bad["findings"]] == [
        "ansible-playbook -i INVENTORY multinet.flannel.verify"
    ] * len(bad["findings"])


def test_junit_counts(good, bad):
    root = ElementTree.fromstring(report.as_junit(good).split("\n", 1)[1])
    assert [suite.get("failures") for suite in root] == ["0"] * len(root)
    root = ElementTree.fromstring(report.as_junit(bad).split("\n", 1)[1])
    for suite in root:
        assert int(suite.get("tests")) == len(suite) and int(suite.get("failures")) == len(
            suite.findall("testcase/failure")
        )
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
    assert root.findall("testsuite/testcase/failure") and root.findall("testsuite/testcase/skipped")


class Page(html.parser.HTMLParser):
    """Notes tags that are not closed and what would be fetched from outside."""

    VOID = frozenset({"meta", "br", "path", "circle", "use", "link", "img", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.outside, self.wrong = [], [], [], []
        self.ids, self.links = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [
            value[1:] for name, value in attrs if name == "href" and (value or "").startswith("#")
        ]
        self.outside += [
            value
            for name, value in attrs
            if name in ("src", "href") and not (value or "").startswith("#")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [
            value
            for name, value in attrs
            if name in ("src", "href") and not (value or "").startswith("#")
        ]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_page_is_whole_and_alone(good, bad):
    for found in (good, bad):
        text = page.as_html(found)
        seen = Page(text)
        assert seen.wrong == [] and seen.open == [] and seen.outside == []
        assert "script" not in seen.tags and "http" not in text and "url(" not in text
        assert "prefers-color-scheme:dark" in text


def test_page_gives_each_state_a_symbol(bad):
    text = page.as_html(bad)
    for state in ("reached", "leak", "inconclusive"):
        assert f'#i-{state}"' in text
    assert "&lt;script&gt;" in text or "script" not in text


def test_page_of_many_pods_is_drawn_by_host(good):
    many = json.loads(json.dumps(good))
    pod = many["pods"][0]
    many["pods"] += [dict(pod, label=f"p{number}", id=f"h1/p{number}") for number in range(60)]
    text = page.as_html(many)
    assert "all pods" in text and Page(text).wrong == []


# A site's own rules

HOLDS = {"that": "plan.x", "message": "x is so.", "holds": True, "problem": ""}
FALSE = {"that": "plan.y", "message": "y < z is so.", "holds": False, "problem": ""}
UNANSWERED = dict(FALSE, problem="`plan.y` is null, neither true nor false.")


def test_a_rule_that_does_not_hold_is_red_in_every_form(good):
    red = verdict.with_expectations(good, [HOLDS, FALSE, UNANSWERED])
    assert (red["verdict"], red["counts"]["expectations"]) == ("broken", 2)
    assert red["headline"] == good["headline"] + " 2 of the site's 3 rules do not hold."
    assert json.loads(report.as_json(red))["expectations"] == [HOLDS, FALSE, UNANSWERED]
    lines = report.as_text(red)
    assert lines[0].startswith("BROKEN - ") and lines.count("RULE y < z is so.") == 2
    assert "-> plan.y is false" in lines and f"-> {UNANSWERED['problem']}" in lines
    suites = {suite.get("name"): suite for suite in ElementTree.fromstring(report.as_junit(red))}
    assert (suites["expectations"].get("tests"), suites["expectations"].get("failures")) == (
        "3",
        "2",
    )
    assert [failure.get("message") for failure in suites["expectations"].iter("failure")] == [
        "y < z is so."
    ] * 2
    drawn = page.as_html(red)
    assert drawn.count("Rule: y &lt; z is so.") == 2 and "x is so" not in drawn


def test_rules_that_hold_change_nothing_and_a_leak_stays_one(good, bad):
    kept = verdict.with_expectations(good, [HOLDS])
    assert (kept["verdict"], kept["headline"]) == (good["verdict"], good["headline"])
    leaks_still = verdict.with_expectations(bad, [FALSE])
    assert leaks_still["verdict"] == "leaks"
    assert leaks_still["headline"].endswith("1 of the site's 1 rules does not hold.")
