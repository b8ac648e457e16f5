# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: every pair, every way, once."""

from __future__ import annotations

import collections
import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, ends, kinds

from .world import crowd, load

# roles/verify/defaults/main.yml
DEFAULT = 26_000


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
        cell["expected"]
        for cell in cells.cells(plan, facts)
        if cell["kind"]
        not in ("l2", "router", "claim", "shadow")  # within a network, or about none
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
        for cell in cells.cells(plan, facts, sample=cells.Sample(3))
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


def test_eighty_pods_on_two_networks_are_no_sample():
    known = ends.endpoints(crowd(2, 40)[1])
    assert ends.pairs_of(known) == 25_280
    assert not cells.is_sampled(known, cells.Sample(pairs=DEFAULT))
    more = ends.endpoints(crowd(2, 41)[1])
    assert cells.is_sampled(more, cells.Sample(pairs=DEFAULT))


@pytest.mark.parametrize(("hosts", "pods", "pairs"), [(4, 10, 1000), (5, 6, 200), (3, 7, 30)])
def test_a_sample_gives_each_interface_its_turn(hosts, pods, pairs):
    """As many pairs as asked for, and nobody is tried, or tries, more than once more often."""
    plan, facts = crowd(hosts, pods)
    sample = cells.Sample(pairs=pairs)
    wanted = list(cells.cells(plan, facts, sample=sample))
    assert len({cell["id"] for cell in wanted}) == len(wanted)
    tried = {(cell["from"], cell["to"]) for cell in wanted if cell["kind"] in ("unicast", "forced")}
    interfaces = {end["id"] for end in ends.endpoints(facts)}
    share = max(1, pairs // len(interfaces))
    groups = 2 * hosts
    each = share // groups * groups if share >= groups else share
    senders = collections.Counter(source for source, dummy in tried)
    receivers = collections.Counter(to for dummy, to in tried)
    assert set(senders) == interfaces and set(senders.values()) == {each}
    # of each of the two networks the turns begin at the same place
    assert max(receivers.values()) - min(receivers[name] for name in interfaces) <= 2
    parts = [
        cell["id"]
        for fact in facts
        for cell in cells.cells(plan, facts, sample=sample, only_from=fact["host"])
    ]
    assert sorted(parts) == sorted(cell["id"] for cell in wanted)


def test_a_sample_grows_with_the_pods_and_not_with_their_square():
    sample = cells.Sample(pairs=400)
    counts = [
        sum(1 for dummy in cells.cells(*crowd(hosts, 10), sample=sample)) for hosts in (4, 8, 16)
    ]
    assert counts[2] < 2.2 * counts[1] < 5 * counts[0]


OF_THE_GUARD = ("neighbour", "router", "claim", "shadow", "mtu")


def of_the_guard(plan, facts):
    found = collections.defaultdict(list)
    for cell in cells.cells(plan, facts):
        if cell["kind"] in OF_THE_GUARD:
            found[cell["kind"]].append(cell)
    return found


def test_what_the_guard_promises_is_tried_by_each_and_costs_no_square():
    plan, facts = crowd(2, 20)
    plan["networks"][0]["masquerade"] = True
    found = of_the_guard(plan, facts)
    assert {kind: len(found[kind]) for kind in OF_THE_GUARD} == {
        "neighbour": 2 * 20 * 2 * 2,  # plain and tagged
        "router": 2 * 20 * 2,
        "claim": 2 * 20 * 2,
        "shadow": 2 * 20,
        "mtu": 2 * 2,  # a host and network each
    }
    assert {cell["variant"]["sport"] for cell in found["shadow"]} == {8286, 8472}
    assert all(cell["from_host"] == cell["to_host"] for cell in found["neighbour"])


def test_what_the_guard_does_not_promise_is_not_tried():
    plan, facts = load()
    plan["networks"][0]["spoofing"] = "allowed"
    for pod in facts[0]["pods"]:
        pod["recorded"] = False  # somebody else attached it
    found = of_the_guard(plan, facts)
    assert {(cell["from_host"], cell["from_network"]) for cell in found["claim"]} <= {("h2", "red")}
    assert {cell["from_network"] for cell in found["router"]} == {"blue", "red"}
    assert not of_the_guard(dict(plan, elsewhere=True), facts)


def test_an_error_is_about_an_address_that_nobody_has():
    plan, facts = load()
    taken = facts[0]["pods"][1]["interfaces"][1]
    taken["addresses"] = ["10.3.1.254/24", *taken["addresses"][1:]]
    about = {cell["id"]: cell["address"] for cell in of_the_guard(plan, facts)["mtu"]}
    assert about["mtu|4|h1/a/eth0|h1/@red/bridge"] == "10.3.1.253"
    assert len(set(about.values())) == len(about)
