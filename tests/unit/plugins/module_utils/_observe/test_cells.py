# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: every pair, every way, once."""

from __future__ import annotations

import collections
import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, ends, kinds

from .world import load


def test_ids_are_unique_and_all_kinds_occur():
    plan, facts = load()
    wanted = list(cells.cells(plan, facts))
    assert len({cell["id"] for cell in wanted}) == len(wanted)
    assert {cell["kind"] for cell in wanted} == {
        kind.name for kind in kinds.KINDS.values() if kind.everywhere
    }


@pytest.mark.parametrize("names", [("node2", "node10"), ("B.example", "a_1"), ("h1", "h2")])
def test_the_order_and_the_names_of_hosts_decide_nothing(names):
    """A host has the facts in the order of the play, the controller in that of the report."""
    plan, facts = load()
    text = json.dumps(facts).replace('"h1', '"' + names[0]).replace('"h2', '"' + names[1])
    facts = json.loads(text)
    assert [fact["host"] for fact in facts] == list(names)
    forth, back = (list(cells.cells(plan, order)) for order in (facts, facts[::-1]))
    assert forth == back


def test_shares_of_the_hosts_are_the_whole():
    plan, facts = load()
    parts = [
        cell["id"] for host in ("h1", "h2") for cell in cells.cells(plan, facts, only_from=host)
    ]
    assert sorted(parts) == sorted(cell["id"] for cell in cells.cells(plan, facts))


def test_forced_path_covers_every_foreign_pair_in_both_families():
    plan, facts = load()
    interfaces = ends.endpoints(facts)
    wanted = {
        (a["id"], b["id"], family)
        for a in interfaces
        for b in interfaces
        for family in "46"
        if a["pod"] != b["pod"] and a["network"] != b["network"]
    }
    assert {
        (cell["from"], cell["to"], cell["family"])
        for cell in cells.cells(plan, facts)
        if cell["kind"] == "forced"
    } == wanted


def test_nothing_is_sent_from_a_pod_to_itself():
    plan, facts = load()
    assert not [
        cell
        for cell in cells.cells(plan, facts)
        if cell["from"].rsplit("/", 1)[0] == cell["to"].rsplit("/", 1)[0]
    ]


def test_open_networks_are_expected_to_be_reached():
    plan, facts = load()
    plan["isolated"] = []
    expected = collections.Counter(
        cell["expected"] for cell in cells.cells(plan, facts) if cell["kind"] != "l2"
    )
    assert set(expected) == {"reached"}


def test_sampling_limits_receivers_and_leaves_none_out_for_good():
    plan, facts = load()
    pod = facts[0]["pods"][0]
    for number in range(20, 30):
        more = dict(
            pod,
            label=f"p{number}",
            interfaces=[
                dict(item, addresses=[f"10.{1 if item['network'] == 'blue' else 3}.1.{number}/24"])
                for item in pod["interfaces"]
            ],
        )
        facts[0]["pods"].append(more)
    wanted = [
        cell
        for cell in cells.cells(plan, facts, per_host=3)
        if cell["kind"] == "forced" and cell["family"] == "4"
    ]
    per_sender = collections.Counter((cell["from"], cell["to_host"]) for cell in wanted)
    assert max(per_sender.values()) == 3
    assert {cell["to"] for cell in wanted} == {end["id"] for end in ends.endpoints(facts)}


def test_crowded_hosts_spare_the_neighbour_table():
    plan, facts = load()
    pod = facts[0]["pods"][0]
    for number in range(20, 50):
        facts[0]["pods"].append(dict(pod, label=f"p{number}"))
    mine = [
        cell for cell in cells.cells(plan, facts) if cell["from_host"] == cell["to_host"] == "h1"
    ]
    assert all(cell["variant"]["mac"] for cell in mine if cell["kind"] in ("unicast", "full"))
    assert not [
        cell for cell in mine if cell["kind"] == "natural" and cell["expected"] == "reached"
    ]
