# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a host that was read for real: what is said of each, and what is done about it.

vectors/host.json is one of the demo's hosts as observe.look() saw it, vectors/faults.json what is
changed in it.
"""

from __future__ import annotations

import copy
import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, repair
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

VECTORS = pathlib.Path(__file__).parent / "vectors"
HOST = json.loads((VECTORS / "host.json").read_text(encoding="utf-8"))
FAULTS = json.loads((VECTORS / "faults.json").read_text(encoding="utf-8"))
PLAN = plan(
    [
        {
            "name": "blue",
            "cidr": "10.1.0.0/16",
            "default": True,
            "backend": {"type": "vxlan", "vni": 1},
        },
        {
            "name": "red",
            "cidr": "10.3.0.0/16",
            "attach": "all",
            "backend": {"type": "vxlan", "vni": 2, "port": 8286},
        },
    ]
)


def host_with(fault):
    """Return what would be seen on the host with a fault."""
    seen = copy.deepcopy(HOST)
    for path, value in fault["set"]:
        inner(seen, path)[path[-1]] = value
    for path in fault["delete"]:
        del inner(seen, path)[path[-1]]
    return seen


def inner(seen, path):
    for key in path[:-1]:
        seen = seen[key]
    return seen


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_named(fault):
    found = compare.deviations(PLAN, host_with(fault))
    assert [(one.network, one.kind) for one in found] == [
        (network, kind) for network, kind, _ in fault["deviations"]
    ], [one.sentence for one in found]
    for one, (_, _, words) in zip(found, fault["deviations"]):
        assert words in one.sentence


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_repaired_by_what_touches_no_pod(fault):
    steps = repair.steps(PLAN, host_with(fault))
    assert [
        [word for command in step.commands for word in command] + [step.unit] * bool(step.unit)
        for step in steps
    ] == fault["steps"]
    assert all(step.reason in step.sentence() for step in steps)


def test_what_cannot_be_looked_at_is_never_called_right():
    seen = copy.deepcopy(HOST)
    seen.update(leases={"blue": None, "red": None}, leases_problem="No settings.")
    said = compare.status(PLAN, seen)
    assert not said["ok"]
    assert said["not_looked_at"] == [
        "The leases of network blue were not looked at. No settings.",
        "The leases of network red were not looked at. No settings.",
    ]
    assert compare.status(None, None)["lines"] == [
        "nothing is deployed on this host; run the playbook site"
    ]


def test_of_all_kinds_of_deviation_there_is_a_fault():
    """Or a kind could be renamed and never be told again."""
    assert {kind for fault in FAULTS for _, kind, _ in fault["deviations"]} == set(compare.REMEDIES)
