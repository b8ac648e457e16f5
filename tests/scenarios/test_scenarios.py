# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios, each as one test, its output shown while it runs."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What does most of its steps on a cluster like those of others: by hand, `make scenario S=...`.
BY_HAND = {"kubernetes_flannel"}
SCENARIOS = sorted({path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - BY_HAND)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, run_shown: Callable[..., int]) -> None:
    """The scenario's whole sequence passes."""
    status = run_shown("make", "--no-print-directory", "run-scenario", f"S={scenario}")
    assert status == 0, (
        f"scenario {scenario} failed: its output is above; repeat it with `make scenario"
        f" S={scenario}`"
    )
