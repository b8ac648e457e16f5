# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads of one host."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.filter import hosts as filters
from ansible_collections.multinet.flannel.plugins.module_utils._site import hosts

LOST = "This host could not be looked at."
TRACEBACK = "Traceback (most recent call last):\nKeyError: 'x'\n"


@pytest.mark.parametrize(
    "found, lines",
    [
        ({"lines": ["blue: as deployed"], "ok": True}, ["blue: as deployed"]),
        ({"lines": [], "msg": "x"}, []),
        ({"msg": f"{LOST} ip is missing."}, [f"{LOST} ip is missing."]),
        ({"msg": "MODULE FAILURE", "module_stderr": ""}, [f"{LOST} MODULE FAILURE"]),
        (
            {"msg": "MODULE FAILURE", "module_stderr": TRACEBACK},
            [f"{LOST} MODULE FAILURE KeyError: 'x'"],
        ),
        ({"msg": "Failed to connect.", "unreachable": True}, [f"{LOST} Failed to connect."]),
    ],
)
def test_of_a_host_whose_module_crashed_the_last_line_is_read(found, lines):
    assert filters.status_of_host(found) == lines


FOUND = {"lines": ["flannel runs."], "problems": [], "waits": [], "networks": [{"name": "blue"}]}
HINT = (
    "Nothing was changed. Run again with multinet_adopt_confirmed=true to take over what"
    " multinet_networks declares."
)


@pytest.mark.parametrize(
    "changes, confirmed, more",
    [
        ({}, True, []),
        ({}, False, [HINT]),
        ({"networks": []}, False, []),  # nothing to take over
        (
            {"problems": ["A problem."], "waits": ["A wait."]},
            True,
            ["In the way:", "A problem.", "A wait."],
        ),
        ({"waits": ["A wait."]}, False, ["In the way:", "A wait.", HINT]),
    ],
)
def test_what_is_in_the_way_of_a_takeover_is_read_after_what_is_there(changes, confirmed, more):
    found = {**FOUND, **changes, "changed": False, "leases": []}
    assert filters.adopt_of_host(found, confirmed) == ["flannel runs.", *more]


BACK = hosts.Rollback(
    host="node1",
    put_back=["/usr/local/bin/flanneld", "an image"],
    networks=["blue", "red"],
    in_pods=False,
    restarted=["flanneld@blue.service", "flanneld@red.service"],
    check=False,
)
THERE = "Networks as deployed there, whatever the inventory declares: blue, red;"
NOTHING = "of a former version is left to put back."
ANOTHER = "For another version, declare it and run the playbook upgrade."


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {},
            f"On node1, put back: /usr/local/bin/flanneld, an image. {THERE} restarted:"
            " flanneld@blue.service, flanneld@red.service.",
        ),
        (
            {"check": True, "put_back": ["an image"], "in_pods": True},
            f"On node1, in a real run, put back: an image. {THERE} their flanneld run in pods,"
            " which Kubernetes restarts.",
        ),
        (
            {"put_back": [], "restarted": []},
            f"On node1 no executable {NOTHING} {ANOTHER} {THERE} restarted: nothing.",
        ),
        (
            {"put_back": [], "in_pods": True, "check": True},
            f"On node1 no executable or image {NOTHING} {ANOTHER} {THERE} their flanneld run in"
            " pods, which Kubernetes restarts.",
        ),
    ],
)
def test_what_was_put_back_is_read_with_what_runs(changes, said):
    assert filters.rollback_of_host({**BACK._asdict(), **changes}) == said


def test_hosts_that_have_registered_nothing_are_left_out():
    hostvars = {"a": {"seen": {"ok": True}}, "b": {}, "c": {"seen": None}, "d": {"seen": 1}}
    found = filters.results_of(["a", "b", "c"], hostvars, "seen")
    assert found == {"a": {"ok": True}, "c": None}
