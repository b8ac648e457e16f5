# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' own promtool reads what we publish and what we say about it: the keeper's text, the
alerts with their tests, and the dashboard's expressions.
"""

from __future__ import annotations

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, metrics

sys.path.append(
    str(pathlib.Path(__file__).resolve().parents[1] / "unit/plugins/module_utils/_drift")
)
import drift_host

MONITORING = pathlib.Path(__file__).resolve().parents[2] / "docs" / "monitoring"


def promtool(*arguments, cwd=MONITORING, text=""):
    """Run promtool; return what it prints, which is empty or praise."""
    done = subprocess.run(
        [os.environ["MULTINET_PROMTOOL"], *arguments],
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_alerts_do_what_they_say():
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts.test.yml")


def test_the_dashboards_expressions_are_right(tmp_path):
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    exprs = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    values = {"$__rate_interval": "5m", "$instance": ".*", "$network": ".*"}
    rules = [
        {
            "record": f"expression:{number}",
            "expr": re.sub(r"\$\w+", lambda one: values[one.group()], expr),
        }
        for number, expr in enumerate(exprs)
    ]
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    assert f"{len(exprs)} rules found" in promtool("check", "rules", "rules.yml", cwd=tmp_path)


DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
TARGETS = [
    (f"{panel['title']}: {target['expr']}", target)
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
LEGEND = re.compile(r"{{\s*(\w+)\s*}}")
GROWS = {"multinet_last_look_timestamp_seconds": 30}  # by so much in half a minute
AT, EVERY = 3600, 30  # seconds


def of_a_node(instance):
    """Return the series of a node that was read for real, in an hour in which a device went down,
    repairs failed and packets were dropped.
    """
    seen = copy.deepcopy(drift_host.HOST)
    seen["links"]["flannel.1"]["up"] = False
    seen["guard"]["dropped"]["blue: to a device of another network"] = 7
    seen["tokens"] = {"meta-plugin": {"end": 1764403200, "wrong": "", "remedy": ""}}
    compared = compare.compared(drift_host.PLAN, seen)
    counts = metrics.Counts()
    samples = [
        *metrics.of_keeper(counts, "1.0.0", (1.0, 2**24)),
        *metrics.of_host(compared, counts, 0),
    ]
    for name, labels, value in samples:
        pairs = ",".join(
            f"{key}={json.dumps(text)}" for key, text in {**labels, "instance": instance}.items()
        )
        step = int(metrics.FAMILIES[name][0] == "counter") or GROWS.get(name, 0)
        yield {"series": f"{name}{{{pairs}}}", "values": f"{value:.15g}+{step}x{AT // EVERY}"}


def drawn(target):
    """Yield [expression, what it must be] of a query: it finds something, and each line that it
    draws has the labels that its legend names.
    """
    values = {"$__rate_interval": "5m", "$instance": ".*", "$network": ".*"}
    expr = re.sub(r"\$\w+", lambda one: values[one.group()], target["expr"])
    yield f"group({expr})", [{"labels": "{}", "value": 1}]
    for label in LEGEND.findall(target.get("legendFormat", "")):
        lines = f"group by ({label}) ({expr})"
        if label == "network":  # empty for what is the host's own
            lines += " unless on (network) vector(1)"
        found = f'label_replace({lines}, "found", "yes", "{label}", ".+")'
        yield f"group by (found) ({found})", [{"labels": '{found="yes"}', "value": 1}]


def test_the_dashboard_draws_what_a_node_publishes(tmp_path):
    series = [one for instance in ("node1:9100", "node2:9100") for one in of_a_node(instance)]
    asked = [
        {"expr": expr, "eval_time": f"{AT}s", "exp_samples": samples}
        for dummy, target in TARGETS
        for expr, samples in drawn(target)
    ]
    tests = [{"interval": f"{EVERY}s", "input_series": series, "promql_expr_test": asked}]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": tests}), encoding="utf-8")
    promtool("test", "rules", "test.yml", cwd=tmp_path)


def test_the_dashboard_and_the_alerts_name_only_what_is_published():
    text = "".join(
        (MONITORING / name).read_text(encoding="utf-8")
        for name in ("dashboard.json", "alerts.yml", "alerts.test.yml")
    )
    named = set(re.findall(r"\bmultinet_[a-z_]+", text))
    assert named <= set(metrics.FAMILIES)
    # the dashboard's variables, too
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = re.findall(r"\w+", variable["definition"])[1:]
        assert any(
            one["series"].startswith(f"{metric}{{") and f"{label}=" in one["series"]
            for one in of_a_node("node1")
        ), variable["definition"]


@pytest.mark.parametrize("label", ["blue", 'a "name"', "back\\slash", "two\nlines", "é"])
def test_the_text_is_as_prometheus_wants_it(label):
    labels = {
        "multinet_build_info": "version",
        "multinet_network_up": "network",
        "multinet_deviations": "kind",
    }
    samples = [
        metrics.Sample(name, {labels[name]: label} if name in labels else {}, number / 7)
        for number, name in enumerate(metrics.FAMILIES)
    ]
    assert promtool("check", "metrics", text=metrics.exposition(samples)) == ""
