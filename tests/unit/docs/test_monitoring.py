# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written about the keeper's metrics names those that there are: alerts, dashboard, tables.
promtool says whether the expressions are right (tests/integration/test_promtool.py).
"""

from __future__ import annotations

import json
import pathlib
import re

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._drift import metrics

ROOT = pathlib.Path(__file__).resolve().parents[3]
MONITORING = ROOT / "docs" / "monitoring"
METRIC = re.compile(r"\bmultinet_[a-z0-9_]+")
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"][0][
    "rules"
]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
TARGETS = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


@pytest.mark.parametrize(
    "what, text",
    [
        *((rule["alert"], rule["expr"]) for rule in RULES),
        *TARGETS,
        *((one["name"], json.dumps(one["query"])) for one in DASHBOARD["templating"]["list"][1:]),
    ],
)
def test_each_expression_is_over_metrics_that_there_are(what, text):
    named = METRIC.findall(text)
    assert named and set(named) <= set(metrics.FAMILIES), what


def test_all_metrics_are_explained_and_no_others():
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    numbers = text[text.index("## Numbers") :].split("\n## ")[0]
    assert set(METRIC.findall(numbers)) == set(metrics.FAMILIES)


def test_the_dashboard_shows_all_metrics():
    shown = {name for dummy, expr in TARGETS for name in METRIC.findall(expr)}
    # which keeper it is, and how often it looked, are no curves
    left = {"multinet_build_info", "multinet_looks_total", "multinet_look_failures_total"}
    assert shown | left == set(metrics.FAMILIES)


def test_all_panels_have_a_place_and_the_datasource_that_the_user_chose():
    places = set()
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(one["datasource"]["uid"] == "${datasource}" for one in panel["targets"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places and max(x for x, dummy in cells) < 24
        places |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_for_each_alert_is_said_what_to_do_and_each_is_tested():
    names = [rule["alert"] for rule in RULES]
    guide = (MONITORING / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) == names
    tests = (MONITORING / "alerts.test.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", tests)) == set(names)
