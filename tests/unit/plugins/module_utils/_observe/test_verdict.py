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
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    leaks,
    page,
    sender,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe import report as forms

from .world import VECTORS, arrive, classes, crowd, evaluate, load, note, perfect, receipt

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
            entry = receipt(name, step["at"], step["interface"], "10.9.9.9", step.get("address"))
            note(shares, step["at"].split("/")[0], dict(entry, port=step.get("port", 0)))
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
    assert any("tokens arrived that nobody should have sent" in gap for gap in report["gaps"])


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
    assert not any(sentence.startswith("All pairs") for sentence in told)
    assert not any("this needs two hosts" in sentence for sentence in told)
    assert not any(sentence.startswith("Whether a pod can") for sentence in told)
    assert any(sentence.startswith("The way out of blue to anything but") for sentence in told)
    assert any(sentence.startswith("Other ports than those of the run") for sentence in told)
    here = evaluate(dict(plan, elsewhere=True), facts, perfect(dict(plan, elsewhere=True), facts))
    assert any("nothing is promised" in sentence for sentence in here["not_measured"])
    plan["networks"][1]["backend"]["type"] = "host-gw"
    few = cells.Sample(per_host=2)
    alone = evaluate(plan, facts[:1], perfect(plan, facts[:1]), hosts=["h1"], sample=few)
    told = alone["not_measured"]
    assert "The way out of blue: this needs two hosts." in told
    assert any(sentence.startswith("Whether masquerade gives a pod") for sentence in told)
    for pod in facts[0]["pods"]:
        pod["recorded"] = False
    told = evaluate(plan, facts, perfect(plan, facts))["not_measured"]
    assert not any(sentence.startswith("Whether a pod can take") for sentence in told)  # h2's do
    alone = evaluate(plan, facts[:1], perfect(plan, facts[:1]), hosts=["h1"], sample=few)
    told = alone["not_measured"]
    assert any(sentence.startswith("Whether a pod can take") for sentence in told)
    assert any("into the tunnels of red" in sentence for sentence in told)
    assert any(sentence.startswith("All pairs of pods in all ways. Sampled: ") for sentence in told)


def test_what_happens_inside_several_networks_is_not_said_to_lead_into_another():
    plan, facts = load()
    shares = perfect(plan, facts)
    by_id = {cell["id"]: cell for cell in cells.cells(plan, facts)}
    for name in ("router|6|h1/a/eth0|h1/b/eth0", "router|6|h1/a/net1|h1/b/net1"):
        arrive(shares, facts, by_id[name], "fe80::1")
    (finding,) = evaluate(plan, facts, shares)["findings"]
    assert "2 measurements (router) from a network to itself arrived" in finding["sentence"]


def test_a_sample_says_what_it_covers():
    plan, facts = crowd(4, 10)
    sample = cells.Sample(pairs=1000)
    names = [fact["host"] for fact in facts]
    found = evaluate(plan, facts, perfect(plan, facts, sample=sample), names, sample=sample)
    assert found["verdict"] == "as_planned"
    assert report_schema.problems(forms.as_json(found)) == []
    assert found["coverage"]["pairs"] == {
        "sampled": True,
        "in_all_ways": False,
        "possible": 80 * 78,
        "tried": 80 * 8,
        "interfaces": 80,
        "fewest_senders": 8,
        "fewest_receivers": 8,
        "ways_possible": 64,
        "ways_tried": 64,
    }
    assert found["coverage"]["receivers_per_host"] == 1
    assert "Sampled: 640 of 6240 ordered pairs of interfaces (10.3 %)" in " ".join(
        forms.as_text(found)
    )
    whole = evaluate(plan, facts, perfect(plan, facts), names)
    assert whole["coverage"]["pairs"]["tried"] == whole["coverage"]["pairs"]["possible"]
    assert "Sampled" not in " ".join(forms.as_text(whole))


def test_what_was_sent_by_another_sample_proves_nothing():
    plan, facts = crowd(2, 4)
    shares = perfect(plan, facts, sample=cells.Sample(pairs=20))
    found = evaluate(plan, facts, shares, ["h01", "h02"], sample=cells.Sample(pairs=40))
    assert found["verdict"] == "inconclusive"


def test_a_broadcast_is_heard_by_those_on_the_bridge_that_are_not_in_the_sample():
    plan, facts = crowd(2, 6)
    sample = cells.Sample(pairs=30)
    shares = perfect(plan, facts, sample=sample)
    for cell in cells.cells(plan, facts):
        if cell["kind"] == "l2" and cell["expected"] == "reached":
            arrive(shares, facts, cell)
    found = evaluate(plan, facts, shares, ["h01", "h02"], sample=sample)
    assert found["verdict"] == "as_planned"
    other = "l2|4|h01/p001/eth0"
    note(shares, "h01", receipt(other, "h01/p002", "net1", "10.1.1.2"))
    found = evaluate(plan, facts, shares, ["h01", "h02"], sample=sample)
    assert classes(found) == {leaks.SHARED_BRIDGE}


@pytest.mark.parametrize("mode", ["static", "passive"])
def test_a_run_that_sends_nothing_says_so(mode):
    plan, facts = load()
    found = evaluate(plan, facts, {}, mode=mode)
    assert (found["verdict"], found["mode"], found["cells"]) == ("as_planned", mode, [])
    assert report_schema.problems(forms.as_json(found)) == []
    assert f"not prove that the networks are isolated (verify_mode: {mode})" in found["headline"]
    assert any("nothing was sent" in sentence for sentence in found["not_measured"])
    assert {pair["state"] for pair in found["matrix"]["networks"]} == {"unmeasured"}
    assert forms.as_text(found)[0].startswith(f"AS PLANNED ({mode}: nothing was sent) - ")
    assert f"As planned ({mode}: nothing was sent)" in page.as_html(found)
    facts[0]["pods"][0]["sysctls"]["net/ipv4/ip_forward"] = 1
    assert evaluate(plan, facts, {}, mode=mode)["verdict"] == "broken"
    down = evaluate(plan, facts[1:], {}, mode=mode)
    assert (down["verdict"], down["gaps"]) == ("inconclusive", ["Host h1 was not reached."])


def test_a_host_forwards_from_its_first_pod_on():
    plan, facts = load()
    facts[0]["node"]["sysctls"]["net/ipv4/ip_forward"] = 0
    assert evaluate(plan, facts, {}, mode="static")["verdict"] == "broken"
    facts[0]["pods"] = []
    assert evaluate(plan, facts, {}, mode="static")["verdict"] == "broken"
    for network in facts[0]["node"]["networks"].values():
        network["bridge"] = None
    assert evaluate(plan, facts, {}, mode="static")["verdict"] == "as_planned"


def test_a_passive_run_looks_at_what_others_left():
    plan, facts = load()
    pod, other = facts[0]["pods"][:2]
    own, foreign = (other["interfaces"][number]["mac"] for number in (0, 1))
    pod["neighbours"] = [{"interface": "eth0", "address": "10.1.1.11", "mac": own}]
    facts[0]["drift"] = {"deviations": [], "dropped": {"blue to red": 7, "red to blue": 0}}
    found = evaluate(plan, facts, {}, mode="passive")
    assert found["verdict"] == "as_planned"
    assert "On h1, the guard has dropped 7 packets: blue to red." in found["notes"]
    pod["neighbours"].append({"interface": "eth0", "address": "10.3.1.11", "mac": foreign})
    found = evaluate(plan, facts, {}, mode="passive")
    assert classes(found) == {leaks.SHARED_BRIDGE}
    assert "h1/a eth0: neighbour 10.3.1.11 is h1/b/net1 of network red" in str(found["findings"])
    bridge = facts[0]["node"]["networks"]["red"]["bridge"]["mac"]
    pod["neighbours"] = [{"interface": "eth0", "address": "10.3.1.1", "mac": bridge}]
    assert classes(evaluate(plan, facts, {}, mode="passive")) == {leaks.SHARED_BRIDGE}


def test_what_the_deadline_cut_off_proves_nothing():
    plan, facts = load()
    shares = perfect(plan, facts)
    for cell in cells.cells(plan, facts):
        if cell["kind"] in ("unicast", "forced") and cell["from_host"] == "h1":
            shares["h1"]["send"]["errors"][cell["id"]] = sender.TOO_LATE
            shares["h1"]["send"]["answers"].pop(cell["id"], None)
            for share in shares.values():
                share["collect"]["receipts"] = [
                    one for one in share["collect"]["receipts"] if one["cell"] != cell["id"]
                ]
    found = evaluate(plan, facts, shares)
    assert found["verdict"] == "inconclusive"
    assert {finding["outcome"] for finding in found["findings"]} == {"inconclusive"}
    assert "the measurement's deadline came before it was sent" in found["findings"][0]["reason"]
