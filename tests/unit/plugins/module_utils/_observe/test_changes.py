# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says of the run before it."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter.report_diff import report_diff
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    changes,
    page,
    report,
)

from .world import arrive, evaluate, load, perfect

ABOUT = {"run": "first", "finished": "2026-01-01T00:00:00Z"}


def measured(change=None, hosts=("h1", "h2")):
    """The report of a measurement that is as planned but for what change(plan, facts, shares)
    does.
    """
    plan, facts = load()
    shares = perfect(plan, facts)
    if change:
        change(plan, facts, shares)
    return evaluate(plan, facts, shares, hosts, about=ABOUT)


def leaking(plan, facts, shares):
    for cell in cells.cells(plan, facts):
        if cell["kind"] == "forced" and cell["from_network"] == "blue":
            arrive(shares, facts, cell)


def test_two_runs_alike_have_no_sentence():
    found = changes.changes(measured(), measured())
    assert found["sentences"] == [] and found["since"]["finished"] == ABOUT["finished"]
    found = changes.changes(measured(leaking), measured(leaking))
    assert found["sentences"] == []


def test_a_new_leak_is_named_and_a_mended_one_too():
    good, bad = measured(), measured(leaking)
    found = changes.changes(good, bad)
    assert found["sentences"][:2] == [
        "The verdict was as_planned and is leaks.",
        "From blue to red: was isolated, is leaking.",
    ]
    assert any(
        sentence.startswith("New finding: leak class 2 (") and "blue to red" in sentence
        for sentence in found["sentences"]
    )
    assert found["cells"]["worse"] == bad["counts"]["leak"] and not found["cells"]["better"]
    back = changes.changes(bad, good)
    assert back["findings"]["gone"] == found["findings"]["new"] and not back["findings"]["new"]
    assert "From blue to red: was leaking, is isolated." in back["sentences"]


def test_what_a_finding_counts_is_no_change_of_it():
    def less(plan, facts, shares):
        only = [cell for cell in cells.cells(plan, facts) if cell["kind"] == "forced"]
        for cell in [cell for cell in only if cell["from_network"] == "blue"][::2]:
            arrive(shares, facts, cell)

    found = changes.changes(measured(leaking), measured(less))
    assert not found["findings"]["new"] and found["cells"]["better"]


def test_pods_and_hosts_come_and_go():
    before, now = measured(), measured(hosts=("h1", "h2", "h3"))
    now["pods"][0] = dict(now["pods"][0], id="h1/new")
    now["hosts"][0]["reached"] = False
    now["pods"][1]["interfaces"][0]["addresses"] = ["10.1.1.99/24"]
    said = changes.changes(before, now)["sentences"]
    assert "1 pod new: h1/new." in said and "1 pod gone: h1/a." in said
    assert "1 host no longer reached: h1." in said
    other = "1 interface of a pod with another network or address: h1/b/eth0 (blue, 10.1.1.99/24)."
    assert other in said


def test_each_form_says_it_also_after_a_way_through_json():
    good, bad = measured(), measured(leaking)
    before = json.loads(report.as_json(good))
    told = dict(bad, changes=changes.changes(before, bad))
    assert told["changes"] == report_diff(json.loads(report.as_json(bad)), before)
    assert "* From blue to red: was isolated, is leaking." in report.as_text(told)
    assert "Since the last run" in page.as_html(told)
    assert json.loads(report.as_json(told))["changes"] == told["changes"]
    assert "* nothing." in report.as_text(dict(good, changes=changes.changes(before, good)))


@pytest.mark.parametrize("wrong", [None, [], {}, {"schema": "multinet.flannel/report/0"}])
def test_what_is_no_report_is_refused(wrong):
    with pytest.raises(AnsibleFilterError, match=r"report_diff: its schema is .*report/1"):
        report_diff(measured(), wrong)


def test_a_report_that_was_shortened():
    with pytest.raises(AnsibleFilterError, match=r"a report cannot be compared: .*pods"):
        report_diff(measured(), {key: one for key, one in measured().items() if key != "pods"})
