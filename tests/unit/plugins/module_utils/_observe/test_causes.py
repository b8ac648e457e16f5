# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deviates on hosts, as the cause of what was measured, or as a note."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    findings,
    leaks,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe import report as forms

from .test_verdict import change
from .world import crowd, evaluate, load, perfect

LEASE = {
    "network": "blue",
    "kind": "lease",
    "sentence": "flanneld@blue.service holds the lease of 198.18.61.13, which the host no longer"
    " has",
    "remedy": "restart the daemon: run the playbook site",
}
FORWARDING = {
    "network": "",
    "kind": "sysctls",
    "sentence": "net.ipv4.ip_forward is not 1",
    "remedy": "set it back",
}
GUARD = {
    "network": "",
    "kind": "guard",
    "sentence": "the guard's table inet multinet is not in the kernel",
    "remedy": "run the playbook site",
}
CNI = {"network": "", "kind": "cni", "sentence": "x is no JSON", "remedy": "run the playbook site"}
LOST = {"forget": "unicast|4|h1/a/eth0|h2/a/eth0"}
LEAKED = {"receive": "forced|4|h1/a/eth0|h1/b/net1", "answer": True}


def measured(steps, **drift):
    """Return the report where hosts (h1, h2) say that this deviates."""
    plan, facts = load()
    for fact in facts:
        fact["drift"] = {"deviations": drift.get(fact["host"], []), "failed_to_look": []}
    shares = perfect(plan, facts)
    for step in steps:
        change(plan, facts, shares, step)
    return evaluate(plan, facts, shares)


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_what_does_not_arrive_has_its_cause_at_either_end(host):
    report = measured([LOST], **{host: [LEASE]})
    (finding,) = report["findings"]
    assert finding["causes"] == [{"host": host, **LEASE}]
    assert finding["hosts"] == [host]
    assert finding["repair"] == (
        f"On {host}, flanneld@blue.service holds the lease of 198.18.61.13, which the host no"
        " longer has; restart the daemon: run the playbook site."
    )
    assert "systemctl status" not in " ".join(forms.as_text(report))
    assert not any("Not as deployed" in note for note in report["notes"])


def test_the_hosts_own_matters_are_causes_as_well():
    (finding,) = measured([LOST], h2=[FORWARDING, LEASE])["findings"]
    assert [cause["kind"] for cause in finding["causes"]] == ["sysctls", "lease"]


def test_another_network_or_what_cuts_no_way_is_no_cause():
    red = dict(LEASE, network="red")
    report = measured([LOST], h1=[red, CNI])
    finding, other = report["findings"]
    assert finding["causes"] == [] and "systemctl status" in finding["repair"]
    assert (other["outcome"], other["network"], other["hosts"]) == ("deviation", "red", ["h1"])
    assert len([note for note in report["notes"] if "Not as deployed on h1" in note]) == 1


def test_what_arrives_in_part_is_no_matter_of_routes():
    plan, facts = load()
    shares = perfect(plan, facts)
    for share in shares.values():
        share["collect"]["receipts"] = [
            one
            for one in share["collect"]["receipts"]
            if (one["cell"], one["protocol"]) != (LOST["forget"], "tcp")
        ]
    (finding,) = evaluate(plan, facts, shares)["findings"]
    assert finding["reason"] == "icmp, udp arrived, tcp did not"
    assert finding["repair"].startswith("On h1, something drops a part of what goes into blue")


def test_a_leak_has_the_guard_alone_as_its_cause():
    finding, *others = measured([LEAKED], h1=[FORWARDING, GUARD, LEASE])["findings"]
    assert [cause["kind"] for cause in finding["causes"]] == ["guard"]
    assert [other["what"] for other in others] == ["sysctls", "lease"]


def test_a_leak_names_the_fact_that_opens_it():
    plan, facts = load()
    shares = perfect(plan, facts)
    for fact in facts:
        stranger = {"interface": "x0", "bridge": "mn-red", "kind": "vxlan", "network": "red"}
        fact["node"]["strangers"] = [stranger]
    heard = {"receive": "l2|4|h1/a/net1", "at": "h2/c", "interface": "net1"}
    change(plan, facts, shares, heard)
    leak, *others = evaluate(plan, facts, shares)["findings"]
    assert (leak["class"], leak["hosts"]) == (leaks.BROADCAST.number, ["h1", "h2"])
    assert leak["repair"].startswith("h1 x0: port of bridge mn-red is vxlan, expected only veths")
    assert {other["class"] for other in others} == {leaks.SHARED_BRIDGE.number}


def test_a_tunnel_at_a_port_that_no_guard_knows_is_why_pods_speak_to_it():
    plan, facts = load()
    injected = next(
        cell["id"]
        for cell in cells.cells(plan, facts)
        if (cell["kind"], cell["from_host"], cell["to_host"]) == ("inject", "h1", "h2")
        and cell["to_network"] == "red"
    )
    facts[1]["node"]["networks"]["red"]["device"]["port"] = 9999
    shares = perfect(plan, facts)
    change(plan, facts, shares, {"receive": injected})
    leak, *dummy = evaluate(plan, facts, shares)["findings"]
    assert (leak["class"], leak["hosts"]) == (leaks.INJECTION.number, ["h2"])
    assert "UDP port is 9999, expected" in leak["repair"]


def test_a_source_that_is_rewritten_has_no_cause_but_the_guard():
    """What gives it leases rewrites nothing."""
    plan, facts = load()
    dead = dict(GUARD, kind="datastore", sentence="The subnet server does not answer")
    facts[0]["drift"] = {"deviations": [dead], "failed_to_look": []}
    shares = perfect(plan, facts)
    for share in shares.values():
        for entry in share["collect"]["receipts"]:
            if entry["cell"] == LOST["forget"]:
                entry["source"] = "10.1.1.1"
    finding, other = evaluate(plan, facts, shares)["findings"]
    assert (finding["class"], finding["causes"]) == (leaks.MASQUERADE.number, [])
    assert finding["repair"].startswith("On h1, find the rule that rewrites sources")
    assert other["sentence"] == "h1: The subnet server does not answer."


def test_a_unit_that_is_run_otherwise_may_be_the_cause_of_a_leak_and_alone_is_none():
    """What it then does, or does not, shows in what is measured."""
    run_otherwise = dict(GUARD, kind="overrides", sentence="x.conf changes ExecStart of y")
    (finding,) = measured([LEAKED], h1=[run_otherwise])["findings"]
    assert [cause["kind"] for cause in finding["causes"]] == ["overrides"]
    report = measured([], h1=[run_otherwise])
    assert (report["verdict"], report["findings"]) == ("as_planned", [])
    assert any("x.conf changes ExecStart of y" in note for note in report["notes"])


def test_a_token_that_is_not_renewed_is_a_note():
    token = dict(GUARD, kind="token", sentence="the token a.token is not renewed")
    report = measured([LOST], h1=[token])
    assert [finding["causes"] for finding in report["findings"]] == [[]]
    assert any("on h1: the token a.token is not renewed;" in note for note in report["notes"])


def test_a_leak_is_looked_for_where_the_guard_is_not_as_deployed():
    """Its token arrived at h2, whose own guard is as it should be."""
    leaked = {"receive": "forced|4|h1/a/eth0|h2/c/net1"}
    back = {"receive": "forced|4|h2/a/eth0|h1/b/net1"}
    assert measured([leaked, back], h1=[GUARD])["findings"][0]["hosts"] == ["h1"]


def among_three(lost, **drift):
    """Return the findings of three hosts with a pod each, where unicasts of blue between these
    (sender, receiver) did not arrive.
    """
    plan, facts = crowd(3, 1)
    for fact in facts:
        fact["drift"] = {"deviations": drift.get(fact["host"], []), "failed_to_look": []}
    shares = perfect(plan, facts)
    for source, target in lost:
        change(plan, facts, shares, {"forget": f"unicast|4|{source}/p001/eth0|{target}/p001/eth0"})
    return evaluate(plan, facts, shares, ["h01", "h02", "h03"])["findings"]


def test_a_host_that_cannot_be_why_all_of_it_is_missing_is_no_cause():
    """All that is missing has h02 as an end, and not all of it has h03."""
    lost, other = among_three([("h01", "h02"), ("h03", "h02")], h03=[GUARD])
    assert (lost["hosts"], lost["causes"]) == (["h02"], [])
    assert lost["repair"].startswith("On h02, look at flanneld@blue")
    assert (other["outcome"], other["hosts"]) == ("deviation", ["h03"])


def test_of_two_hosts_that_deviate_the_one_at_all_ends_is_the_cause():
    lost, other = among_three([("h01", "h02"), ("h03", "h02")], h02=[LEASE], h03=[GUARD])
    assert (lost["hosts"], [one["host"] for one in lost["causes"]]) == (["h02"], ["h02"])
    assert other["hosts"] == ["h03"]


def test_hosts_that_each_explain_a_part_are_the_causes_of_all():
    (lost,) = among_three([("h01", "h02"), ("h03", "h02")], h01=[LEASE], h03=[LEASE])
    assert lost["hosts"] == ["h01", "h03"]


def test_a_fact_of_a_host_that_says_nothing_is_told_beside_the_cause_at_another():
    """As of packets that get lost there."""
    plan, facts = crowd(3, 1)
    facts[2]["drift"] = {"deviations": [GUARD], "failed_to_look": []}
    facts[1]["node"]["networks"]["blue"]["device"]["up"] = False
    shares = perfect(plan, facts)
    change(plan, facts, shares, {"forget": "unicast|4|h03/p001/eth0|h02/p001/eth0"})
    lost, fact = evaluate(plan, facts, shares, ["h01", "h02", "h03"])["findings"]
    assert (lost["hosts"], fact["hosts"]) == (["h02", "h03"], ["h02"])
    assert lost["repair"].startswith("On h03, the guard's table")
    assert "state is down, expected up." in lost["repair"]


def test_what_no_cause_explains_is_looked_for_at_its_own_ends():
    ways = [("h01", "h02"), ("h02", "h01"), ("h01", "h03"), ("h03", "h01"), ("h02", "h03")]
    (lost,) = among_three(ways, h03=[LEASE])
    assert lost["hosts"] == ["h01", "h02", "h03"]
    assert lost["repair"].startswith("On h03, flanneld@blue.service holds the lease")
    assert "On h01, h02, look at flanneld@blue" in lost["repair"]


def test_a_leak_across_hosts_has_the_guards_of_both_as_its_cause():
    leaked = {"receive": "forced|4|h1/a/eth0|h2/c/net1"}
    (finding,) = measured([leaked], h1=[GUARD], h2=[GUARD])["findings"]
    assert finding["hosts"] == ["h1", "h2"]


def test_a_port_that_takes_in_what_no_table_sees_is_a_finding_of_its_own():
    linklocal = {**LEASE, "kind": "linklocal", "sentence": "frames to bridges pass the guard"}
    lost, found = measured([LOST], h1=[linklocal])["findings"]
    assert lost["causes"] == [] and found["sentence"] == "h1: frames to bridges pass the guard."
    assert found["class"] == leaks.SPEAKS_FOR_OTHERS.number


def test_a_fact_has_the_cause_of_its_host():
    plan, facts = load()
    shares = perfect(plan, facts)
    facts[0]["node"]["networks"]["blue"]["device"]["up"] = False
    down = dict(LEASE, kind="device", sentence="the device flannel.1 is down")
    facts[0]["drift"] = {"deviations": [down], "failed_to_look": []}
    (finding,) = evaluate(plan, facts, shares)["findings"]
    assert finding["repair"].startswith("On h1, the device flannel.1 is down; restart")


def test_what_cuts_a_way_is_never_green_though_all_arrives():
    report = measured([], h1=[LEASE], h2=[CNI])
    assert report["verdict"] == "broken"
    (finding,) = report["findings"]
    assert finding["sentence"] == f"h1: {LEASE['sentence']}." and finding["class"] == 0
    assert finding["repair"].endswith("restart the daemon: run the playbook site.")
    assert report["counts"]["drift"] == 2 and report["counts"]["deviations"] == 1
    assert report["drift"][0] == {"host": "h1", **LEASE}


def test_green_says_what_is_not_as_deployed():
    report = measured([], h2=[CNI])
    assert report["verdict"] == "as_planned"
    assert report["headline"].endswith(
        " But 1 thing on the hosts is not as deployed: see the notes."
    )
    assert report["notes"] == ["Not as deployed on h2: x is no JSON; run the playbook site."]


def test_what_could_not_be_looked_at_is_said():
    plan, facts = load()
    facts[1]["drift"] = {"deviations": [], "failed_to_look": ["The leases were not looked at."]}
    report = evaluate(plan, facts, perfect(plan, facts))
    assert report["notes"] == ["h2: The leases were not looked at."]


def test_what_is_wrong_on_several_hosts_is_said_once():
    (finding,) = measured([LOST], h1=[FORWARDING], h2=[FORWARDING])["findings"]
    assert finding["repair"] == "On h1, h2, net.ipv4.ip_forward is not 1; set it back."


def test_many_causes_are_a_few_sentences():
    many = [dict(LEASE, sentence=f"fault {number}") for number in range(9)]
    (finding,) = measured([LOST], h1=many)["findings"]
    assert "fault 2;" in finding["repair"] and "fault 3;" not in finding["repair"]
    assert finding["repair"].endswith("6 more such deviations are in report.json.")


@pytest.mark.parametrize("key", ["strangers", "leftovers"])
def test_ports_that_nobody_knows_and_what_dead_containers_left_are_noted(key):
    plan, facts = load()
    text = "the port veth9 of mn-blue may send with any address of the network blue"
    facts[1]["drift"] = {"deviations": [], "failed_to_look": [], key: [text]}
    report = evaluate(plan, facts, perfect(plan, facts))
    assert report["verdict"] == "as_planned"
    assert f"On h2, {text}." in report["notes"]


def test_the_repair_by_facts_names_every_host():
    rows = [
        {"host": host, "sentence": f"{host}: fact {number}.", "repair": f"On {host}, repair it."}
        for host in ("h1", "h2", "h3", "h4", "h5")
        for number in (1, 2)
    ]
    assert findings._by_facts(rows) == (
        "h1: fact 1. h1: fact 2. h2: fact 1. 7 more such facts are findings. On h1, repair it. On"
        " h2, repair it. On h3, repair it. Do the same on h4, h5."
    )
    assert findings._by_facts([]) == ""
