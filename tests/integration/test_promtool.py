# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' own promtool reads what we publish and what we say about it: the keeper's text, the
alerts with their tests, and the dashboard's expressions.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._drift import metrics

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
