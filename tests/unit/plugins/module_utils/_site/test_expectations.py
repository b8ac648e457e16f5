# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own rules: each mistake is told before anything runs, and whether a rule holds."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._site import expectations

PLAN = {
    "networks": [{"name": "blue", "cidr": "10.1.0.0/16"}, {"name": "red"}],
    "external": None,
    "isolated": ["blue"],
    "allowed": [["blue", "red"]],
}

WRONG = {
    "length(plan.networks) == 2": [
        "'length(plan.networks) == 2' cannot be read at character 26, '2'; write a number in"
        " backticks: `2`."
    ],
    "length(plan.networks": [
        "'length(plan.networks' cannot be read: its end is missing; complete it."
    ],
    "plan.external = 'x'": [
        "\"plan.external = 'x'\" cannot be read at character 15, \"= 'x'\"; write == to compare."
    ],
    "plan.external == 'x": [
        '"plan.external == \'x" cannot be read at character 18, "\'x"; write a number in backticks,'
        " and a text in single quotes."
    ],
    "lenght(plan.networks) == `2`": [
        "'lenght(plan.networks) == `2`' calls lenght(), which does not exist; write length."
    ],
    "plan.networks[?starts_with(name)] == `[]`": [
        "'plan.networks[?starts_with(name)] == `[]`' calls starts_with() with 1 arguments; write 2."
    ],
    "not_null() == plan.external": [
        "'not_null() == plan.external' calls not_null() with 0 arguments; write 1 or more."
    ],
    "length(plans.networks) == `2`": [
        "'length(plans.networks) == `2`' reads 'plans', which does not exist; write plan."
    ],
    "plan.kubernetes == true": [
        "'plan.kubernetes == true' reads 'true', which does not exist; write `true`, in backticks."
    ],
    'report.verdict == "as_planned"': [
        "'report.verdict == \"as_planned\"' reads 'as_planned', which does not exist; write one of"
        " plan, report, status, addresses before it, or a text in single quotes."
    ],
    "keys(@) == `[]`": [
        "'keys(@) == `[]`' reads '@', which does not exist; write one of plan, report, status,"
        " addresses before it, or a text in single quotes."
    ],
    "`true`": ["'`true`' reads no document; write one of plan, report, status, addresses into it."],
    "report.counts.leak == length(status.node1.deviations)": [
        "'report.counts.leak == length(status.node1.deviations)' reads report and status, which no"
        " playbook has together; write a rule for each."
    ],
}


@pytest.mark.parametrize("expression", WRONG)
def test_an_expression_that_cannot_be_asked(expression):
    rules = [
        {"that": "length(plan.networks) > `0`", "message": "There are networks."},
        {"that": expression, "message": "All is well."},
    ]
    assert expectations.problems(rules) == [
        f"multinet_expectations number 2: {sentence}" for sentence in WRONG[expression]
    ]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"that": "x"}, ["multinet_expectations is a mapping, not a list; write a list of rules"]),
        (None, ["multinet_expectations is null, not a list"]),
        (["plan"], ["number 1: 'plan' is not a mapping; write that and message."]),
        (
            [{"thta": "plan.external", "message": 3}],
            [
                "number 1: 'thta' is not a key of a rule; write that.",
                "number 1: message is 3; write the sentence",
                "number 1: that is missing; write a JMESPath expression",
            ],
        ),
        ([{"that": " ", "message": "x"}], ["number 1: that is ' '; write a JMESPath expression"]),
    ],
)
def test_what_is_no_rule(declared, said):
    told = expectations.problems(declared)
    assert len(told) == len(said)
    for sentence, beginning in zip(told, said):
        assert beginning in sentence


@pytest.mark.parametrize(
    "expression",
    [
        "length(plan.networks) == `2`",
        "plan.networks[?name == 'blue'].cidr | [0] == '10.1.0.0/16'",
        "sort_by(plan.networks, &name)[0].name == 'blue'",
        "!(plan.external) && plan.networks[0].name == 'blue'",
        "length(plan.networks[] | [?contains(@.name, 'e')]) == `2`",
        "plan.{a: networks, b: external}.b == `null`",
        "plan.blocked == [['red', 'blue']]",
    ],
)
def test_a_rule_that_holds(expression):
    rule = {"that": expression, "message": "All is well."}
    assert expectations.problems([rule]) == []
    assert expectations.judged([rule], {"plan": PLAN}) == [dict(rule, holds=True, problem="")]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("length(plan.networks) == `3`", "`length(plan.networks) == `3`` is false"),
        ("length(plan.networks)", "is the number 2, neither true nor false; compare it with"),
        ("plan.networks[0].nmae", "is null, neither true nor false"),
        ("plan.networks", "is a list, neither true nor false"),
        ("plan", "is a mapping, neither true nor false"),
        ("plan.networks[0].name", "is a text, neither true nor false"),
        ("length(plan.netwroks) == `2`", "cannot be evaluated: In function length(), invalid type"),
        # what jmespath itself does not check
        ("plan.networks[::0] == `[]`", "cannot be evaluated: slice step cannot be zero"),
        ("contains(plan.networks[0].name, `5`)", "cannot be evaluated: 'in <string>' requires"),
        ("floor(`1e999`) == length(plan)", "cannot be evaluated: cannot convert float infinity"),
    ],
)
def test_a_rule_that_does_not_hold(expression, told):
    rule = {"that": expression, "message": "There are three."}
    (judgement,) = expectations.judged([rule], {"plan": PLAN})
    assert not judgement["holds"]
    sentence = expectations.told(judgement)
    assert sentence.startswith("There are three (") and told in sentence
    assert sentence.endswith(").") and ".)." not in sentence


def test_a_rule_waits_for_the_playbook_that_makes_what_it_reads():
    rules = [
        {"that": "report.verdict == 'as_planned'", "message": "It is proven."},
        {"that": "plan.external == `null`", "message": "There is no other CNI."},
    ]
    asked = expectations.judged(rules, {"plan": PLAN, "status": {}})
    assert [one["message"] for one in asked] == ["There is no other CNI."]


def test_without_rules_jmespath_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "jmespath", None)
    assert expectations.problems([]) == [] and expectations.judged([], {}) == []
    with pytest.raises(MissingLibraryError, match="jmespath"):
        expectations.problems([{"that": "plan", "message": "x"}])
