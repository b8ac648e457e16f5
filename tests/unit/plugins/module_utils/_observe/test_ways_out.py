# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out of the networks, by each protocol: what the other node saw, and what its filters and
those of the pod's own host say about the pod.
"""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    ends,
    leaks,
    ways_out,
)

from .world import classes, evaluate, load, note, perfect, receipt

ID = "out|4|h1/a/eth0|h2/@host/underlay"


@pytest.fixture
def world():
    """Return (plan, facts, shares) of a measurement that is as planned."""
    plan, facts = load()
    return plan, facts, perfect(plan, facts)


def outs(plan, facts, host="h1"):
    """The cells of the ways out of a host's pods, with IPv4."""
    found = [cell for cell in cells.cells(plan, facts, only_from=host) if cell["kind"] == "out"]
    return [cell for cell in found if cell["family"] == "4"]


def lose(shares, names, protocols):
    """No listener has these tokens by these protocols, and nobody answered them."""
    for share in shares.values():
        collected = share["collect"]
        collected["receipts"] = [
            one
            for one in collected["receipts"]
            if one["cell"] not in names or one["protocol"] not in protocols
        ]
        answers = share["send"]["answers"]
        for name in set(names) & set(answers):
            answers[name] = [one for one in answers[name] if one["channel"] not in protocols]


def came(shares, cell, source, protocol):
    """A token came to the other node, which did not let it in."""
    seen = receipt(cell["id"], cell["to_host"], "", source, cell["address"], protocol)
    note(shares, cell["to_host"], dict(seen, inside=False))


def judged(report, name=ID):
    return next(cell for cell in report["cells"] if cell["id"] == name)


def test_all_protocols_are_sent_by_one_cell(world):
    plan, facts, shares = world
    assert [cell["id"] for cell in outs(plan, facts)].count(ID) == 1
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned" and not report["notes"], report["findings"]
    assert judged(report, ID)["reason"] == "arrived by UDP, TCP, ICMP"


@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp"])
def test_one_protocol_that_is_kept_back_is_named_with_host_and_network(world, protocol):
    plan, facts, shares = world
    lose(shares, [cell["id"] for cell in outs(plan, facts)], [protocol])
    report = evaluate(plan, facts, shares)
    (finding,) = report["findings"]
    assert classes(report) == {leaks.NO_WAY_OUT} and finding["hosts"] == ["h1"]
    assert "(out) from blue to @host did not arrive" in finding["sentence"]
    assert finding["reason"].startswith(f"{protocol.upper()} did not get out: what h1 itself sends")


def test_a_source_that_is_a_pods_is_named_by_protocol_although_the_node_kept_it_back(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    lose(shares, [cell["id"] for cell in mine], ["tcp"])
    for cell in mine:
        came(shares, cell, cell["source"], "tcp")
    report = evaluate(plan, facts, shares)
    (finding,) = report["findings"]
    assert finding["class"] == leaks.NO_WAY_OUT.number and finding["hosts"] == ["h1"]
    source = judged(report)["source"]
    assert finding["reason"] == (
        "TCP left with another source than the node's: h2 saw"
        f" {source} instead of the node's 192.168.9.1"
    )


def test_what_is_wrong_by_one_protocol_hides_nothing_of_another(world):
    plan, facts, shares = world
    for number, cell in enumerate(outs(plan, facts)):
        lose(shares, [cell["id"]], ["tcp"] if number else ["tcp", "icmp"])
        came(shares, cell, cell["source"], "tcp")
    report = evaluate(plan, facts, shares)
    assert report["findings"]
    assert all("TCP left with another source" in one["reason"] for one in report["findings"])
    assert any("ICMP did not get out" in cell["reason"] for cell in report["cells"])


def test_what_the_other_node_saw_and_kept_back_did_get_out(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    lose(shares, [cell["id"] for cell in mine], ["udp"])
    for cell in mine:
        came(shares, cell, cell["source"], "udp")
    (finding,) = evaluate(plan, facts, shares)["findings"]
    assert "UDP left with another source than the node's" in finding["reason"]
    assert "did not get out" not in finding["reason"]
    assert finding["reason"].endswith(
        "UDP came to h2, and no program there got it: what h1 itself sends to h2 does,"
        " and the pod's TCP, ICMP, too"
    )


def test_two_faults_on_the_ways_out_are_two_findings(world):
    plan, facts, shares = world
    lose(shares, [cell["id"] for cell in outs(plan, facts)], ["tcp"])
    lose(shares, [cell["id"] for cell in outs(plan, facts, "h2")], ["icmp"])
    found = {one["hosts"][0]: one["reason"] for one in evaluate(plan, facts, shares)["findings"]}
    assert found["h1"].startswith("TCP did not get out")
    assert found["h2"].startswith("ICMP did not get out")


def test_a_node_that_lets_nobody_in_by_tcp_is_no_fault_of_pods(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    names = [cell["id"] for cell in mine] + [ways_out.control_name(mine[0])]
    lose(shares, names, ["tcp"])
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned"
    assert judged(report)["reason"] == "arrived by UDP, ICMP"
    assert report["notes"] == [
        "What h1 itself sends to h2 by TCP does not arrive, so the way out of its pods was not"
        " measured by TCP."
    ]


def test_what_came_to_a_node_whose_filters_let_nothing_in_is_measured(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    lose(shares, [cell["id"] for cell in mine] + [ways_out.control_name(mine[0])], ["tcp"])
    for cell in mine:
        came(shares, cell, "192.168.9.1", "tcp")
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned"
    assert judged(report)["reason"] == "arrived by UDP, TCP, ICMP"
    assert report["notes"] == [
        "Of TCP on the ways out from h1 to h2, only what arrives was measured: what the pods' host"
        " itself sends there by it is not answered."
    ]


def test_a_node_that_lets_few_echo_requests_in_is_no_fault_of_pods(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    lose(shares, [cell["id"] for cell in mine], ["icmp"])
    for cell in mine:
        came(shares, cell, "192.168.9.1", "icmp")
    assert evaluate(plan, facts, shares)["verdict"] == "as_planned"


def test_a_datagram_that_a_node_lets_in_from_a_host_and_not_from_its_pods_is_a_fault(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    lose(shares, [cell["id"] for cell in mine], ["udp"])
    for cell in mine:
        came(shares, cell, "192.168.9.1", "udp")
    report = evaluate(plan, facts, shares)
    assert classes(report) == {leaks.NO_WAY_OUT} and "UDP" in report["findings"][0]["reason"]


def test_nothing_arrives_of_anybody_and_nothing_is_said_of_pods(world):
    plan, facts, shares = world
    mine = outs(plan, facts)
    names = [cell["id"] for cell in mine] + [ways_out.control_name(mine[0])]
    lose(shares, names, ["udp", "tcp", "icmp"])
    report = evaluate(plan, facts, shares)
    assert not report["findings"]
    assert not any(cell["id"] == ID for cell in report["cells"])
    assert report["notes"] == [
        "What h1 itself sends to h2 does not arrive, so the way out of its pods was not measured."
    ]


@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp"])
def test_answers_that_the_host_gets_and_its_pods_do_not(world, protocol):
    plan, facts, shares = world
    answers = shares["h1"]["send"]["answers"]
    for cell in outs(plan, facts):
        name = cell["id"]
        answers[name] = [one for one in answers[name] if one["channel"] != protocol]
    report = evaluate(plan, facts, shares)
    (finding,) = report["findings"]
    assert finding["class"] == leaks.NO_WAY_OUT.number and finding["one_way"] == finding["cells"]
    assert f"no answer came back by {protocol.upper()}" in finding["reason"]


def test_a_node_that_sends_few_echo_replies_is_no_fault_of_pods(world):
    """net.ipv4.icmp_ratemask may limit them; to the other node, all pods of a host are one peer."""
    plan, facts, shares = world
    answers = shares["h1"]["send"]["answers"]
    others = outs(plan, facts)[1:]
    for cell in others:
        name = cell["id"]
        answers[name] = [one for one in answers[name] if one["channel"] != "icmp"]
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned" and others, report["findings"]
    assert report["notes"] == [
        "Of ICMP on the ways out from h1 to h2, only what arrives was measured: not all pods of a"
        " network were answered by it, as where somebody limits the number of answers."
    ]


def test_a_network_without_answers_is_a_fault_whatever_another_one_has(world):
    plan, facts, shares = world
    plan["networks"][1]["masquerade"] = True
    shares = perfect(plan, facts)
    answers = shares["h1"]["send"]["answers"]
    mine = [cell for cell in outs(plan, facts) if cell["from_network"] == "blue"]
    for cell in mine:
        name = cell["id"]
        answers[name] = [one for one in answers[name] if one["channel"] != "icmp"]
    assert 0 < len(mine) < len(outs(plan, facts))
    report = evaluate(plan, facts, shares)
    assert classes(report) == {leaks.NO_WAY_OUT} and not report["notes"]


def test_a_pod_that_drops_its_own_is_named_instead_of_its_host(world):
    plan, facts, shares = world
    lose(shares, [ID], ["tcp"])
    why = "the sender's host never saw its tcp leave h1/a/eth0"
    shares["h1"]["collect"]["unwitnessed"][ID] = why
    cell = judged(evaluate(plan, facts, shares))
    assert (cell["outcome"], cell["reason"]) == ("inconclusive", why)


def test_a_host_whose_account_is_not_that_of_the_plan_proves_nothing(world):
    plan, facts, shares = world
    lose(shares, [ID], ["tcp"])
    shares["h1"]["send"]["digest"] = "another"
    assert judged(evaluate(plan, facts, shares))["outcome"] == "inconclusive"


def test_a_pod_that_sends_its_token_by_another_network_blames_no_masquerade(world):
    plan, facts, shares = world
    cell = next(one for one in outs(plan, facts) if one["id"] == ID)
    other = next(end for end in ends.endpoints(facts) if end["id"] == "h1/a/net1")
    came(shares, cell, other["addresses"]["4"], "tcp")
    assert evaluate(plan, facts, shares)["verdict"] == "as_planned"


def test_one_control_for_all_pods_of_a_way(world):
    plan, facts, dummy = world
    found = ways_out.controls(cells.cells(plan, facts, only_from="h1"))
    assert [one["id"] for one in found] == ["control-out|4|h1|h2", "control-out|6|h1|h2"]
    assert not ways_out.controls([])
