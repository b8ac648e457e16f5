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
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    compare,
    keeper,
    observe,
    repair,
)
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
        (network, kind) for network, kind, dummy in fault["deviations"]
    ], [one.sentence for one in found]
    for one, (dummy, dummy, words) in zip(found, fault["deviations"]):
        assert words in one.sentence


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_repaired_by_what_touches_no_pod(fault):
    seen = host_with(fault)
    steps = repair.steps(PLAN, seen, compare.deviations(PLAN, seen))
    assert [
        [word for command in step.commands for word in command] + [step.unit] * bool(step.unit)
        for step in steps
    ] == fault["steps"]
    assert all(step.reason in step.sentence() for step in steps)


@pytest.mark.parametrize(
    "environment, addresses, missing",
    [
        ({"PUBLIC_IP": "10.77.0.5"}, ["10.77.0.5"], ""),
        ({"PUBLIC_IP": "10.77.0.6"}, ["10.77.0.6"], "does not have the address 10.77.0.6 any more"),
        ({"PUBLIC_IP": "203.0.113.9", "IFACE": "eth0"}, ["203.0.113.9"], ""),  # NAT
        ({"IFACE": "eth0"}, ["10.77.0.100", "10.77.0.5"], ""),
        ({"IFACE": "eth1"}, [], "no interface eth1"),
    ],
)
def test_what_flanneld_was_told_of_the_underlay_is_still_so(environment, addresses, missing):
    links = {"eth0": {"addresses": ["10.77.0.100/32", "10.77.0.5/24", "fd00::5/64"]}}
    flags = {f"FLANNELD_{name}": value for name, value in environment.items()}
    found = observe.underlay(links, flags)
    assert found["addresses"] == addresses
    assert missing in found["missing"] and bool(missing) == bool(found["missing"])


def test_no_daemon_is_restarted_that_could_not_start():
    seen = copy.deepcopy(HOST)
    seen["underlay"]["blue"]["missing"] = "the host does not have the address 198.18.50.12 any more"
    seen["leases"]["blue"] = []
    found = compare.deviations(PLAN, seen)
    assert {one.kind for one in found} >= {"underlay", "lease"}
    assert repair.steps(PLAN, seen, found) == []


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


class Hands:
    """A keeper with a made-up host and clock; records what it does and says."""

    def __init__(self):
        self.seen, self.now, self.done, self.said = copy.deepcopy(HOST), 1000.0, [], []
        self.keeper = keeper.Keeper(
            lambda: (PLAN, self.seen), self.done.append, self.said.append, lambda: self.now
        )

    def round(self):
        self.keeper.round()
        self.now += keeper.INTERVAL


def test_the_keeper_repairs_what_is_wrong_twice():
    hands = Hands()
    hands.round()
    assert not hands.done and not hands.said
    hands.seen["links"]["flannel.1"]["up"] = False
    hands.round()
    assert not hands.done and hands.said == [
        "Not as deployed: network blue: the device flannel.1 is down; restart the daemon: run the"
        " playbook site."
    ]
    hands.round()
    assert [step.unit for step in hands.done] == ["flanneld@blue.service"]
    hands.seen = copy.deepcopy(HOST)
    hands.round()
    assert hands.said[-1] == "As deployed again: network blue: the device flannel.1 is down."
    assert len(hands.done) == 1


@pytest.mark.parametrize(
    "path, value",
    [(["sysctls", "net/ipv4/ip_forward"], 0), (["links", "mn-blue", "addresses"], [])],
)
def test_the_keeper_repairs_at_once_what_restarts_and_deletes_nothing(path, value):
    hands = Hands()
    inner(hands.seen, path)[path[-1]] = value
    hands.round()
    assert len(hands.done) == 1


def test_the_keeper_deletes_nothing_at_the_first_look():
    hands = Hands()
    hands.seen["links"]["mn-blue"].update(addresses=["10.1.7.1/24"], ports=0)
    hands.round()
    assert not hands.done
    hands.round()
    assert [step.commands for step in hands.done] == [(("ip", "link", "delete", "mn-blue"),)]


def test_the_keeper_waits_longer_from_try_to_try():
    hands = Hands()
    hands.seen["links"]["flannel.1"]["up"] = False
    when = []
    for dummy in range(100):
        before = len(hands.done)
        hands.round()
        when += [hands.now] * (len(hands.done) - before)
    gaps = [later - earlier for earlier, later in zip(when, when[1:])]
    assert gaps == [60, 120, 240, 480, 960, 960]


def test_another_fault_does_not_wait_for_the_last_ones_patience():
    hands = Hands()
    for path in (["links", "flannel.1", "up"], ["links", "flannel.1", "addresses"]) * 2:
        hands.seen = copy.deepcopy(HOST)
        inner(hands.seen, path)[path[-1]] = type(inner(hands.seen, path)[path[-1]])()
        before, rounds = len(hands.done), 0
        while len(hands.done) == before:
            hands.round()
            rounds += 1
        assert rounds <= 3


@pytest.mark.parametrize("state", ["inactive", "activating", "deactivating"])
def test_the_keeper_leaves_what_an_administrator_stopped(state):
    hands = Hands()
    hands.seen["units"]["flanneld@blue.service"]["ActiveState"] = state
    for dummy in range(5):
        hands.round()
    assert not hands.done
    assert len(hands.said) == 1


def test_the_keeper_restarts_nothing_while_the_data_store_is_away():
    hands = Hands()
    hands.seen["links"]["flannel.1"]["up"] = False
    hands.seen.update(
        leases={"blue": None, "red": None}, leases_problem="Refused.", leases_wrong=True
    )
    for dummy in range(5):
        hands.round()
    assert not hands.done


def test_what_the_keeper_publishes():
    seen = copy.deepcopy(HOST)
    seen["links"]["flannel.1"]["up"] = False
    text = keeper.exposition(list(keeper.samples(PLAN, seen, keeper.Counter(host=2))), 17.25)
    for line in (
        'multinet_network_up{network="blue"} 0',
        'multinet_network_up{network="red"} 1',
        'multinet_deviations{kind="device",network="blue"} 1',
        'multinet_repairs_total{unit="host"} 2',
        'multinet_leases{network="blue"} 3',
        'multinet_addresses{network="blue"} 253',
        'multinet_addresses_used{network="blue"} 2',
        "multinet_guard_owned 1",
        'multinet_guard_dropped_packets_total{reason="a pod to a tunnel"} 3',
        "multinet_data_store_up 1",
        "multinet_last_look_timestamp_seconds 17.25",
        "# TYPE multinet_network_up gauge",
    ):
        assert line + "\n" in text
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert families == set(keeper.FAMILIES)
