# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a host with IPv6 and several backends: what is said of each, and what is done about it.

vectors/lab.json is a host that was read for real: blue (vxlan, dual-stack), red (vxlan), green
(host-gw), grey (udp). vectors/lab_faults.json is what is changed in it.
"""

from __future__ import annotations

import copy
import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, repair
from ansible_collections.multinet.flannel.plugins.module_utils._node import firewalls
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

VECTORS = pathlib.Path(__file__).parent / "vectors"
HOST = json.loads((VECTORS / "lab.json").read_text(encoding="utf-8"))
FAULTS = json.loads((VECTORS / "lab_faults.json").read_text(encoding="utf-8"))
PLAN = plan(
    [
        {
            "name": "blue",
            "cidr": "10.1.0.0/16",
            "ipv6_cidr": "fd00:1::/48",
            "default": True,
            "backend": {"type": "vxlan", "vni": 1},
        },
        {
            "name": "red",
            "cidr": "10.3.0.0/16",
            "attach": "all",
            "backend": {"type": "vxlan", "vni": 2, "port": 8286},
        },
        {"name": "green", "cidr": "10.5.0.0/16", "attach": "all", "backend": {"type": "host-gw"}},
        {"name": "grey", "cidr": "10.7.0.0/16", "attach": "all", "backend": {"type": "udp"}},
    ],
    {"architectures": ["amd64"]},
)


def host_with(fault):
    """Return what would be seen on the host with a fault."""
    seen = copy.deepcopy(HOST)
    for path, value in fault["set"]:
        inner(seen, path)[path[-1]] = value
    for path in fault["delete"]:
        del inner(seen, path)[path[-1]]
    seen["firewalls"] = [firewalls.Table(*one) for one in seen["firewalls"]]
    return seen


def inner(seen, path):
    for key in path[:-1]:
        seen = seen[key]
    return seen


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_named_and_repaired(fault):
    seen = host_with(fault)
    found = compare.deviations(PLAN, seen)
    assert [(one.network, one.kind) for one in found] == [
        (network, kind) for network, kind, dummy in fault["deviations"]
    ], [one.sentence for one in found]
    for one, (dummy, dummy, words) in zip(found, fault["deviations"]):
        assert words in one.sentence
    assert [
        [word for command in step.commands for word in command] + [step.unit] * bool(step.unit)
        for step in repair.steps(PLAN, seen, found)
    ] == fault["steps"]


def test_of_all_kinds_of_deviation_there_is_a_fault():
    """Or a kind could be renamed and never be told again."""
    faults = [*FAULTS, *json.loads((VECTORS / "faults.json").read_text(encoding="utf-8"))]
    assert {kind for fault in faults for dummy, kind, dummy in fault["deviations"]} == set(
        compare.KINDS
    )


@pytest.mark.parametrize("kind", compare.KINDS)
def test_what_a_kind_says_of_its_repair_is_true(kind):
    """docs/operations.md has it: what the keeper repairs has steps, and nothing else has any."""
    faults = [*FAULTS, *json.loads((VECTORS / "faults.json").read_text(encoding="utf-8"))]
    alone = [
        fault["steps"]
        for fault in faults
        if {found for dummy, found, dummy in fault["deviations"]} == {kind}
    ]
    assert alone
    if compare.KINDS[kind].by == "keeper":
        assert any(alone)
    else:
        assert not any(alone)
    assert compare.KINDS[kind].by in compare.BY


def test_what_nobody_can_look_at_is_said_and_no_fault():
    said = compare.status(PLAN, HOST)
    assert said["ok"]
    assert said["not_looked_at"] == [
        "Which hosts the flanneld of network grey sends to was not looked at: it alone knows"
        " (backend udp)."
    ]
