# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each verdict, from what senders and receivers saw: vectors/verdicts.json changes one thing in a
measurement that is as planned.
"""

from __future__ import annotations

import json

import pytest
import report_schema
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, leaks
from ansible_collections.multinet.flannel.plugins.module_utils._observe import report as forms

from .world import VECTORS, arrive, classes, evaluate, load, note, perfect, receipt

CASES = json.loads((VECTORS / "verdicts.json").read_text(encoding="utf-8"))


def put(tree, path, value):
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def change(plan, facts, shares, step):
    """Do one step of a vector to the shares; see the vectors for what there is."""
    by_id = {cell["id"]: cell for cell in cells.cells(plan, facts)}
    if "receive" in step:
        name = step["receive"]
        if "at" in step:
            note(
                shares,
                step["at"].split("/")[0],
                receipt(name, step["at"], step["interface"], "10.9.9.9"),
            )
        else:
            arrive(shares, facts, by_id[name], step.get("source"))
        if "handed_on" in step:
            shares[step["handed_on"].split("/")[0]]["collect"]["handed_on"][name] = step[
                "handed_on"
            ]
        if step.get("answer"):
            cell = by_id[name]
            shares[cell["from_host"]]["send"]["answers"][name] = [
                {"by": cell["to"].rsplit("/", 1)[0], "channel": "udp"}
            ]
    elif "answered" in step:
        cell = by_id[step["answered"]]
        shares[cell["from_host"]]["send"]["answers"][cell["id"]] = [
            {"by": step["by"], "channel": step["channel"]}
        ]
    elif "forget" in step:
        for share in shares.values():
            share["collect"]["receipts"] = [
                entry for entry in share["collect"]["receipts"] if entry["cell"] != step["forget"]
            ]
            share["send"]["answers"].pop(step["forget"], None)
    elif "lost" in step:
        for share in shares.values():
            share["collect"]["receipts"] = [
                entry
                for entry in share["collect"]["receipts"]
                if (entry["cell"], entry["protocol"]) != (step["lost"], step["protocol"])
            ]
    elif "hidden" in step:
        for share in shares.values():
            for entry in share["collect"]["receipts"]:
                entry["inside"] = entry["inside"] and entry["cell"] != step["hidden"]
    elif "changed" in step:
        share = shares[by_id[step["changed"]]["from_host"]]
        share["collect"]["unwitnessed"][step["changed"]] = step["why"]
    elif "error" in step:
        shares[by_id[step["error"]]["from_host"]]["send"]["errors"][step["error"]] = step["text"]
    elif "share" in step:
        put(shares, step["share"], step["value"])


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict(case):
    plan, facts = load()
    for step in case["change"]:
        if "fact" in step:
            put(facts, step["fact"], step["value"])
    shares = perfect(plan, facts)
    for step in case["change"]:
        change(plan, facts, shares, step)
    report = evaluate(plan, facts, shares, case.get("hosts", ["h1", "h2"]))
    assert report["verdict"] == case["verdict"], report["headline"]
    assert report_schema.problems(forms.as_json(report)) == []
    assert classes(report) == {getattr(leaks, name) for name in case["classes"]}
    if "cell" in case:
        cell = next(cell for cell in report["cells"] if cell["id"] == case["cell"]["id"])
        assert {key: cell[key] for key in case["cell"]} == case["cell"]
    assert case.get("counts", {}).items() <= report["counts"].items()
    assert case.get("gap", "") in report["gaps"] + [""]
    assert case.get("note", "") in report["notes"] + [""]


def test_open_pair_must_be_reached_and_needs_no_answer():
    plan, facts = load()
    plan["allowed"] = [["blue", "red"]]
    shares = perfect(plan, facts)
    name = "forced|4|h1/a/eth0|h2/c/net1"
    del shares["h1"]["send"]["answers"][name]
    report = evaluate(plan, facts, shares)
    cell = next(cell for cell in report["cells"] if cell["id"] == name)
    assert (cell["expected"], cell["verdict"], report["verdict"]) == (
        "reached",
        "one-way",
        "as_planned",
    )
    shares["h2"]["collect"]["receipts"] = [
        entry for entry in shares["h2"]["collect"]["receipts"] if entry["cell"] != name
    ]
    assert evaluate(plan, facts, shares)["verdict"] == "broken"


def test_a_route_that_more_specific_ones_take_over_is_none():
    plan, facts = load()
    shares = perfect(plan, facts)
    pod = facts[0]["pods"][0]
    eth0, net1 = pod["interfaces"][:2]
    # red may talk with blue: each of its pods has a route to blue's range
    by_red = {"dst": "10.1.0.0/16", "dev": "net1", "gateway": net1["gateway"]["4"]}
    by_blue = {"dev": "eth0", "gateway": eth0["gateway"]["4"]}
    pod["routes"]["4"] += [by_red, {"dst": "10.1.0.0/17", **by_blue}]
    report = evaluate(plan, facts, shares)
    assert [finding["class"] for finding in report["findings"]] == [10]
    pod["routes"]["4"].append({"dst": "10.1.128.0/17", **by_blue})
    assert evaluate(plan, facts, shares)["verdict"] == "as_planned"


def test_network_without_pods_is_a_gap_unless_told_otherwise():
    plan, facts = load()
    plan["networks"].append(
        dict(
            plan["networks"][1],
            name="green",
            bridge="mn-green",
            device=None,
            device_v6=None,
            cidr="10.5.0.0/16",
        )
    )
    for host in facts:
        host["node"]["networks"]["green"] = {
            "bridge": None,
            "device": None,
            "device_v6": None,
            "lease": {"FLANNEL_SUBNET": f"10.5.{host['host'][1]}.1/24"},
            "routes": [
                {"prefix": "10.5.1.0/24", "dead": False},
                {"prefix": "10.5.2.0/24", "dead": False},
            ],
        }
    shares = perfect(plan, facts)
    assert evaluate(plan, facts, shares)["verdict"] == "inconclusive"
    assert evaluate(plan, facts, shares, require_pods=False)["verdict"] == "as_planned"


def test_counts_add_up():
    plan, facts = load()
    report = evaluate(plan, facts, perfect(plan, facts))
    assert (
        report["coverage"]["planned"]
        == len(report["cells"])
        == sum(kind["planned"] for kind in report["coverage"]["kinds"])
    )
    between = [cell for cell in report["cells"] if cell["to_network"] != "@host"]
    assert sum(pair["cells"] for pair in report["matrix"]["networks"]) == len(between)


def test_ids_that_nobody_planned_end_no_report_and_are_not_green():
    plan, facts = load()
    shares = perfect(plan, facts)
    for name in ("", "nopipes", "control-outside", "l2", "l2|4", "forced|4|x", "|||", "a|b|c|d|e"):
        note(shares, "h1", receipt(name, "h1/a", "eth0", "10.9.9.9"))
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "inconclusive"
    assert any("tokens arrived that nobody was to send" in gap for gap in report["gaps"])


def test_a_suspect_is_a_gap():
    plan, facts = load()
    shares = perfect(plan, facts)
    shares["h1"]["collect"]["suspects"] = ["h1/a/eth0 sent 9 tokens of other pods."]
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "inconclusive"
    assert "Suspect: h1/a/eth0 sent 9 tokens of other pods." in report["gaps"]


def test_a_sender_that_keeps_no_account_of_what_it_sent_proves_nothing():
    plan, facts = load()
    shares = perfect(plan, facts)
    shares["h1"]["send"]["noted"] = 0
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "inconclusive"
    assert "did not tell its witness all that it sent" in report["findings"][0]["reason"]


def test_each_report_says_what_it_did_not_measure():
    plan, facts = load()
    told = evaluate(plan, facts, perfect(plan, facts))["not_measured"]
    assert any("SCTP" in sentence for sentence in told)
    assert not any(sentence.startswith(("All pairs", "The way out")) for sentence in told)
    plan["networks"][1]["backend"]["type"] = "host-gw"
    alone = evaluate(plan, facts[:1], perfect(plan, facts[:1]), hosts=["h1"], per_host=2)
    told = alone["not_measured"]
    assert any(sentence.startswith("The way out of blue") for sentence in told)
    assert any("into the tunnels of red" in sentence for sentence in told)
    assert any(sentence.startswith("All pairs of pods: each sender tried 2") for sentence in told)
