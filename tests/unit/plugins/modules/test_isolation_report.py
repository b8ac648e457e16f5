# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module isolation_report makes of the report of the last run, whatever that is."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import verdict
from ansible_collections.multinet.flannel.plugins.modules import isolation_report


@pytest.mark.parametrize(
    "last",
    [
        "",
        "{",
        "[]",
        '{"schema": "another/1"}',
        f'{{"schema": "{verdict.SCHEMA}"}}',
        f'{{"schema": "{verdict.SCHEMA}", "measured": null}}',
        f'{{"schema": "{verdict.SCHEMA}", "measured": {{}}, "verdict": 1, "findings": 5}}',
    ],
)
def test_a_damaged_report_of_the_last_run_loses_no_measurement(tmp_path, last):
    path = tmp_path / "last.json"
    path.write_text(last)
    now = {"verdict": "as_planned", "findings": [], "notes": ["one"]}
    found = isolation_report.since_last(now, str(path))
    assert found["verdict"] == "as_planned" and found["notes"][0] == "one"
    (note,) = found["notes"][1:]
    assert note.startswith(f"What changed since the last run is not known: {path}: ")
