# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios, each as one test."""

from __future__ import annotations

import pathlib

import jobs
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# By hand, `make scenario S=...`: what does most of its steps as others do, for which time is short,
# and what has to be built for minutes.
BY_HAND = {
    "adopted",
    "attacks",
    "compass",
    "distributions",
    "faults",
    "kubernetes_adopted",
    "kubernetes_arm64",
    "kubernetes_flannel",
    "kubernetes_leaks",
    "kubernetes_multus",
    "leaks",
    "mixed_arch",
    "offline",
    "upgrade",
}
LONG = "refusals"  # twice as long as the others without a cluster: nothing waits for it at the end
MAKE = ("make", "--no-print-directory")
SCENARIOS = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - BY_HAND


def room(scenario: str) -> str:
    """Return the room of a scenario: a cluster at a time, for its share of inotify instances."""
    return "cluster" if scenario.startswith("kubernetes") else ""


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(
            name,
            marks=pytest.mark.job(
                name=f"scenario {name}",
                command=(*MAKE, "run-scenario", f"S={name}"),
                undo=(*MAKE, "remove-hosts", f"S={name}"),
                again=f"make scenario S={name}",
                room=room(name),
            ),
        )
        # The long ones first: clusters, one after the other, with the others beside them.
        for name in sorted(SCENARIOS, key=lambda name: (not room(name), name != LONG, name))
    ],
)
def test_scenario(scenario: str, job: jobs.Job) -> None:
    """The scenario's whole sequence passes."""
    assert job.status == 0, f"scenario {scenario} failed:\n{job.failure()}"
