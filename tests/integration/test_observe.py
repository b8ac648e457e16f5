# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification on real namespaces: red without a guard, green with one, and never green when
something could not be seen.
"""

from __future__ import annotations

import collections
import os
import signal
import time
import types

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    agent,
    ends,
    facts,
    leaks,
    runs_here,
    sender,
    verdict,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe.evidence import Measurement
from ansible_collections.multinet.flannel.plugins.module_utils._observe.frames import Run
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import RED
from observe_lab import BOTH, PLAN, PORT, ObserveLab, run
from waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PODS = {
    "h1": {"a": BOTH, "b": BOTH, "c": ["red"]},
    "h2": {"a": BOTH, "b": BOTH},
    "h3": {"a": ["blue"]},
}


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory):
    with ObserveLab(PLAN, PODS, tmp_path_factory.mktemp("observe")) as lab:
        yield lab


@pytest.fixture(name="lab")
def _lab(world):
    """The lab with the guard on every host."""
    world.guard()
    return world


def guard(lab, family, pairs):
    """On every host, instead of ours: drop what is forwarded from a device of the first to a device
    of the second of each pair.
    """
    rules = "".join("    iifname {{ {} }} oifname {{ {} }} drop\n".format(*pair) for pair in pairs)
    for host in lab.hosts:
        lab.nft(
            host,
            f"flush ruleset\ntable {family} by_hand {{\n  chain forward {{\n    type filter hook"
            f" forward priority -300\n{rules}  }}\n}}\n",
        )


def classes(report, *outcomes):
    """Return the classes (set of leaks.Leak) of the findings, of these outcomes or of all."""
    return {
        leaks.CLASSES[finding["class"]]
        for finding in report["findings"]
        if not outcomes or finding["outcome"] in outcomes
    }


def outcomes(report, **wanted):
    """Count the outcomes of the cells whose keys are as wanted."""
    return collections.Counter(
        cell["outcome"]
        for cell in report["cells"]
        if all(cell[key] == value for key, value in wanted.items())
    )


def test_the_guard_here_is_that_of_the_defaults(lab):
    """Nodes, devices to them and ports are what the guard's own functions find."""
    listed = run("ip", "netns", "exec", lab.ns("h1"), "nft", "list", "ruleset")
    for elements in (
        "{ 192.168.9.1, 192.168.9.2,",
        '{ "eth0" }',
        '"veth00010012" : goto given_mn-red',
        '"veth00000010" . 02:00:04:0a:00:01 . 10.1.1.10',
    ):
        assert elements in listed


def test_finds_exactly_what_is_attached(lab):
    found = lab.on("h1", facts.gather, lab.plan_of("h1"), "h1")
    assert [pod["label"] for pod in found["pods"]] == [
        lab.ns("h1-a"),
        lab.ns("h1-b"),
        lab.ns("h1-c"),
    ]
    first = found["pods"][0]
    assert [
        (item["name"], item["network"], item["mtu"], item["addresses"])
        for item in first["interfaces"]
    ] == [
        ("eth0", "blue", 1430, ["10.1.1.10/24", "fd00:1:0:1::a/64"]),
        ("net1", "red", 1430, ["10.3.1.10/24", "fd00:3:0:1::a/64"]),
    ]
    assert first["default_routes"] == {"4": ["eth0"], "6": ["eth0"]}
    assert first["sysctls"]["net/ipv4/conf/all/arp_ignore"] == 1
    assert found["node"]["underlay"]["4"] == "192.168.9.1"
    assert (
        found["node"]["networks"]["red"]["device"]["vni"],
        found["node"]["networks"]["red"]["device"]["port"],
    ) == (2, 8286)
    assert found["problems"] == []


def test_without_a_guard_every_class_is_found(lab):
    for host in lab.hosts:
        lab.nft(host, "flush ruleset\n")
    report = lab.measure()
    assert report["verdict"] == "leaks"
    assert classes(report) >= {
        leaks.HOST_FORWARDING,
        leaks.FOREIGN_TUNNEL,
        leaks.NODE_ADDRESSES,
        leaks.INJECTION,
    }
    for family in ("4", "6"):
        assert set(outcomes(report, kind="forced", family=family)) == {"leak"}
        assert set(outcomes(report, kind="unicast", family=family)) == {"as planned"}
    assert report["counts"]["inconclusive"] == 0


def test_with_the_guard_everything_is_as_planned(lab):
    report = lab.measure()
    assert report["verdict"] == "as_planned", report["findings"] or report["gaps"]
    assert report["coverage"]["measured"] == report["coverage"]["planned"] > 900
    assert all(kind["planned"] for kind in report["coverage"]["kinds"])


def test_guard_for_ipv4_only_leaves_ipv6_open(lab):
    guard(
        lab,
        "ip",
        [("mn-blue, flannel.1", "mn-red, flannel.2"), ("mn-red, flannel.2", "mn-blue, flannel.1")],
    )
    report = lab.measure()
    assert report["verdict"] == "leaks"
    assert leaks.IPV6 in classes(report)
    assert set(outcomes(report, kind="forced", family="4")) == {"as planned"}


def test_bridge_rules_alone_are_half_a_guard(lab):
    guard(lab, "inet", [("mn-blue", "mn-red"), ("mn-red", "mn-blue")])
    report = lab.measure()
    assert report["verdict"] == "leaks"
    assert leaks.HOST_FORWARDING not in classes(report)
    assert leaks.FOREIGN_TUNNEL in classes(report)


def test_one_way_leak_is_seen_by_the_receiver(lab):
    """Blue may send to red, and no answer gets back: a sender alone would call it isolated."""
    guard(lab, "inet", [("mn-red, flannel.2, flannel-v6.2", "mn-blue, flannel.1, flannel-v6.1")])
    report = lab.measure()
    # A pod on both networks would answer by its own blue interface; one that is on red alone
    # cannot.
    seen = [
        cell["verdict"]
        for cell in report["cells"]
        if cell["kind"] == "forced" and cell["family"] == "4" and cell["to"].endswith("h1-c/net1")
    ]
    assert seen and set(seen) == {"one-way"}
    assert report["verdict"] == "leaks"


def test_dead_listener_is_never_green(lab):
    def kill(token):
        os.kill(
            runs_here.running(runs_here.directory(str(lab.place / "h2"), token)), signal.SIGKILL
        )

    report = lab.measure(between=kill)
    assert report["verdict"] == "inconclusive"
    assert outcomes(report, kind="forced", to_host="h2") == {
        "inconclusive": outcomes(report, kind="forced", to_host="h2").total()
    }
    assert "inconclusive" not in outcomes(report, kind="forced", from_host="h1", to_host="h1")


def test_host_that_was_not_reached_is_never_green(lab):
    report = lab.measure(hosts=["h1", "h2"])
    assert report["verdict"] == "inconclusive"
    assert "Host h3 was not reached." in report["gaps"]


def test_miswired_interface_is_named(lab):
    run("ip", "-n", lab.ns("h1"), "link", "set", "veth00010012", "master", "mn-blue")
    try:
        report = lab.measure()
    finally:
        run("ip", "-n", lab.ns("h1"), "link", "set", "veth00010012", "master", "mn-red")
    assert report["verdict"] == "leaks"
    assert classes(report) == {leaks.SHARED_BRIDGE}, report["findings"]
    assert {host for finding in report["findings"] for host in finding["hosts"]} == {"h1"}
    assert any(
        finding.get("interface") == "net1" and finding.get("pod", "").endswith("h1-c")
        for finding in report["findings"]
    )


def test_one_wrong_fact_is_one_row(lab):
    lab.nft("h2", "delete table bridge multinet\n")  # which holds back what the pod answers
    lab.sysctl("h2-a", "net/ipv4/conf/all/arp_ignore", 0)
    try:
        report = lab.measure()
    finally:
        lab.sysctl("h2-a", "net/ipv4/conf/all/arp_ignore", 1)
    rows = [finding for finding in report["findings"] if finding["outcome"] == "deviation"]
    assert {(row["pod"], row["what"], row["class"]) for row in rows} == {
        ("h2/" + lab.ns("h2-a"), "arp_ignore", leaks.ARP.number)
    }
    assert leaks.ARP in classes(report, "leak"), "the ARP probe sees it, too"


def test_forwarding_pod_is_found(lab):
    # else the guard sees, and stops, what crosses the bridge
    lab.nft("h1", "delete table bridge multinet\n")
    lab.sysctl("h1", "net/bridge/bridge-nf-call-iptables", 0)
    lab.sysctl("h1-b", "net/ipv4/ip_forward", 1)
    try:
        report = lab.measure()
    finally:
        lab.sysctl("h1-b", "net/ipv4/ip_forward", 0)
        lab.sysctl("h1", "net/bridge/bridge-nf-call-iptables", 1)
    assert leaks.POD_FORWARDS in classes(report, "deviation")
    assert leaks.POD_FORWARDS in classes(report, "leak")


def test_a_second_measurement_waits_for_the_port_of_the_first(lab, monkeypatch):
    known = lab.on("h1", facts.gather, lab.plan_of("h1"), "h1")
    place = str(lab.place / "h1")
    first, second = Run("first", b"key"), Run("second", b"key")
    assert runs_here.taken(place) == []
    lab.on("h1", agent.start, first, PORT, known, place, PATIENCE)
    assert runs_here.taken(place) == [PORT]
    monkeypatch.setattr(runs_here, "WAIT", 0)
    with pytest.raises(runs_here.TakenError, match="Another measurement on UDP port"):
        lab.on("h1", agent.start, second, PORT, known, place, PATIENCE)
    monkeypatch.setattr(runs_here, "WAIT", PATIENCE)
    waited = []

    def slept(seconds):
        if not waited:
            assert lab.on("h1", agent.collect, first, PORT, known, place)["alive"]
        waited.append(seconds)

    clock = types.SimpleNamespace(monotonic=time.monotonic, sleep=slept)
    monkeypatch.setattr(runs_here, "time", clock)
    lab.on("h1", agent.start, second, PORT, known, place, PATIENCE)
    monkeypatch.undo()
    assert waited and lab.on("h1", agent.collect, second, PORT, known, place)["alive"]
    assert not list((lab.place / "h1").glob("probe-*"))


def test_two_measurements_at_once_hear_each_their_own(lab):
    known = {host: lab.on(host, facts.gather, lab.plan_of(host), host) for host in lab.hosts}
    everyone = list(known.values())
    runs = {Run("first", b"one"): PORT, Run("second", b"two"): PORT + 1}

    def sent(token, host):
        task = sender.Task(token, runs[token], lab.plan, everyone, host, wait=0.3)
        return sender.send(task._replace(runtime_dir=str(lab.place / host)))

    def both(host, dummy):
        return {token.name: sent(token, host) for token in runs}

    for token, port in runs.items():
        for host in lab.hosts:
            place = str(lab.place / host)
            tunnels = ends.tunnel_ports(everyone)
            lab.on(host, agent.start, token, port, known[host], place, PATIENCE, tunnels)
    done = lab.at_once(both, known)
    for token, port in runs.items():
        shares = {}
        for host in lab.hosts:
            place = str(lab.place / host)
            heard = lab.on(host, agent.collect, token, port, known[host], place)
            listened = {"problems": [], "table_fulls": None}
            shares[host] = {"listen": listened, "send": done[host][token.name], "collect": heard}
        report = verdict.evaluate(Measurement(lab.plan, everyone, shares, lab.hosts))
        assert not report["gaps"], report["gaps"]
        said = [one["sentence"] for one in report["findings"]]
        assert not report["counts"]["inconclusive"] and not report["counts"]["broken"], said
    assert not [place for host in lab.hosts for place in (lab.place / host).glob("probe-*")]


def test_a_kernel_without_room_for_neighbours_is_seen_from_any_namespace(lab):
    seen = lab.on("h1", agent.table_fulls)
    assert isinstance(seen, int) and seen == agent.table_fulls()


def test_nothing_is_sent_after_the_deadline(lab):
    known = lab.on("h1", facts.gather, lab.plan_of("h1"), "h1")
    place = str(lab.place / "h1")
    lab.on("h1", agent.start, Run("late", b"key"), PORT, known, place, PATIENCE)
    soon = time.monotonic() + 1
    (lab.place / "h1" / "probe-late" / "until").write_text(str(soon), encoding="ascii")
    task = sender.Task(Run("late", b"key"), PORT, lab.plan, [known], "h1", runtime_dir=place)
    late = lab.on("h1", sender.send, task._replace(rate=100))
    assert sender.TOO_LATE in late["errors"].values() and late["sent"] < late["cells"]
    assert lab.on("h1", agent.collect, Run("late", b"key"), PORT, known, place)["alive"]


def test_listener_ends_itself(lab, tmp_path, monkeypatch):
    """After its deadline, which does not come before start() is done; and what it heard goes."""
    serve, started = agent.Listener.serve, tmp_path / "started"

    def served(self, until, receipts):
        while not started.exists():
            serve(self, time.monotonic() + 0.1, receipts)
        serve(self, until, receipts)

    monkeypatch.setattr(agent.Listener, "serve", served)
    known = lab.on("h1", facts.gather, lab.plan_of("h1"), "h1")
    place = str(lab.place / "h1")
    lab.on("h1", agent.start, Run("short", b"key"), PORT, known, place, 1)
    directory = runs_here.directory(place, "short")
    assert runs_here.running(directory)
    started.touch()
    wait_for(lambda: runs_here.running(directory) is None)
    wait_for(lambda: not os.path.exists(directory))
    assert not lab.on("h1", agent.collect, Run("short", b"key"), PORT, known, place)["alive"]


def test_broken_path_is_told_from_isolation(lab):
    # Nothing is measured in this lab afterwards: the neighbours of the device do not come back.
    run("ip", "-n", lab.ns("h2"), "link", "set", "flannel.1", "down")
    try:
        report = lab.measure()
    finally:
        run("ip", "-n", lab.ns("h2"), "link", "set", "flannel.1", "up")
        for other in ("h1", "h3"):
            there = lab.subnet("10.1.0.0/16", other)
            run(
                "ip",
                "-n",
                lab.ns("h2"),
                "route",
                "replace",
                str(there),
                "via",
                str(there[0]),
                "dev",
                "flannel.1",
                "onlink",
            )
    assert report["verdict"] == "broken"
    assert any("flannel.1" in finding.get("interface", "") for finding in report["findings"])
    assert not [cell for cell in report["cells"] if cell["outcome"] == "leak"]


def test_a_pod_that_goes_meanwhile_makes_its_own_cells_inconclusive(tmp_path):
    with ObserveLab(PLAN, {"h1": {"a": BOTH, "b": BOTH}, "h2": {"a": BOTH}}, tmp_path) as lab:
        lab.guard()
        gone = "h1/" + lab.ns("h1-b")
        report = lab.measure(between=lambda dummy: run("ip", "netns", "del", lab.ns("h1-b")))
        assert (
            report["verdict"],
            report["counts"]["leak"],
            report["counts"]["broken"],
            report["counts"]["deviations"],
        ) == ("inconclusive", 0, 0, 0)
        assert {
            cell["reason"] for cell in report["cells"] if cell["outcome"] == "inconclusive"
        } == {gone + " went away while it was measured"}
        assert all(
            gone in cell["id"] or cell["kind"] == "relay"
            for cell in report["cells"]
            if cell["outcome"] == "inconclusive"
        )


def test_a_path_that_leads_to_another_namespace_is_not_entered(lab):
    known = lab.on("h1", facts.gather, lab.plan_of("h1"), "h1")
    known["pods"][0]["inode"] += 1  # as if a process id had been used again
    listener = lab.on("h1", agent.Listener, Run("again", b"key"), PORT, known)
    listener.close()
    assert len(listener.problems) == 1 and "leads to another namespace" in listener.problems[0]


EXTERNAL = plan(
    [
        {"name": "cluster", "default": "external", "cidr": "10.244.0.0/16"},
        RED,
        {
            "name": "green",
            "cidr": "10.5.0.0/16",
            "attach": "request",
            "backend": {"type": "vxlan", "vni": 3, "port": 8287},
        },
    ]
)


def another_cni(lab):
    """Give every pod eth0 on a bridge of its host that is none of ours, with the default route, and
    the hosts routes to each other's pods.
    """
    for number, host in enumerate(lab.hosts, 1):
        lines = [
            "link add cni0 mtu 1500 type bridge",
            f"addr add 10.244.{number}.1/24 dev cni0",
            "link set cni0 up",
        ]
        lines += [
            f"route add 10.244.{other}.0/24 via {lab.underlay(name)}"
            for other, name in enumerate(lab.hosts, 1)
            if name != host
        ]
        lab.ip(host, lines)
        for place, pod in enumerate(lab.pods[host], 10):
            name = f"{host}-{pod}"
            run(
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                lab.ns(name),
                "type",
                "veth",
                "peer",
                "name",
                f"c{place}",
                "netns",
                lab.ns(host),
            )
            lab.ip(host, [f"link set c{place} master cni0", f"link set c{place} up"])
            lab.ip(
                name,
                [
                    "link set eth0 up",
                    f"addr add 10.244.{number}.{place}/24 dev eth0",
                    f"route add default via 10.244.{number}.1",
                ],
            )


def test_another_cnis_interface_is_no_stranger_and_its_pods_are_kept_apart(tmp_path):
    with ObserveLab(
        EXTERNAL,
        {"h1": {"a": ["red"], "b": ["red", "green"]}, "h2": {"a": ["red"], "b": ["green"]}},
        tmp_path,
    ) as lab:
        another_cni(lab)
        open_to_all = lab.measure()
        lab.guard()
        report = lab.measure()
        between = {
            ("cluster", "red"),
            ("red", "cluster"),
            ("cluster", "green"),
            ("green", "cluster"),
        }
        assert open_to_all["verdict"] == "leaks" and open_to_all["counts"]["deviations"] == 0, (
            open_to_all["findings"]
        )
        leaking = {
            (cell["from_network"], cell["to_network"])
            for cell in open_to_all["cells"]
            if cell["outcome"] == "leak"
        }
        assert between <= leaking
        assert report["verdict"] == "as_planned", [
            finding["sentence"] for finding in report["findings"]
        ] + report["gaps"]
        measured = {
            (pair["from"], pair["to"]): pair["state"] for pair in report["matrix"]["networks"]
        }
        assert {measured[pair] for pair in between} == {"blocked"} and measured[
            ("cluster", "cluster")
        ] == "unmeasured"


def test_a_pod_that_has_lost_all_that_cni_gave_it_is_looked_into(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "LOOKS", 2)
    with ObserveLab(EXTERNAL, {"h1": {"a": ["red"], "b": ["red", "green"]}}, tmp_path) as lab:
        another_cni(lab)
        run("ip", "-n", lab.ns("h1-a"), "link", "del", "net1")
        known = lab.facts("h1")
        assert [len(pod["interfaces"]) for pod in known["pods"]] == [1, 3]
        pod = known["pods"][0]
        assert (pod["label"], pod["recorded"]) == (lab.ns("h1-a"), True)
        assert pod["lost"] == [{"interface": "net1", "network": "red"}]
        assert (pod["interfaces"][0]["network"], pod["interfaces"][0]["peer"]) == ("cluster", "c10")
        assert known["problems"] == []
        run("ip", "-n", lab.ns("h1-a"), "link", "del", "eth0")
        pod = lab.facts("h1")["pods"][0]
        assert pod["lost"] and pod["interfaces"] == []
        # what cannot be looked into is not measured
        monkeypatch.setattr(facts.netns, "candidates", dict)
        known = lab.facts("h1")
        assert known["pods"] == []
        assert [one for one in known["problems"] if "has lost all interfaces" in one]


def test_a_pod_that_could_not_be_looked_into_has_lost_nothing(lab, monkeypatch):
    monkeypatch.setattr(facts, "LOOKS", 2)
    monkeypatch.setattr(
        facts, "_look", lambda plan, behind, *dummy: ({}, dict.fromkeys(behind, ""))
    )
    known = lab.facts("h1")
    assert known["pods"] == []
    assert len(known["problems"]) == 5, "one for each port"
    assert not [one for one in known["problems"] if "lost" in one]


def test_a_way_that_goes_meanwhile_proves_nothing(lab, monkeypatch):
    """Of what a node believed about it, nothing can be read any more."""
    looks = []

    def gone(address):
        looks.append(address)
        if looks.count(address) > 1:
            raise OSError(101, "Network is unreachable")
        return 1430

    monkeypatch.setattr(sender, "_mtu_of_way", gone)
    cells = [cell for cell in lab.measure()["cells"] if cell["kind"] == "mtu"]
    assert cells and {cell["outcome"] for cell in cells} == {"inconclusive"}
    assert all("Network is unreachable" in cell["reason"] for cell in cells)
