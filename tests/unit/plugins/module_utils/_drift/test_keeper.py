# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper does when, on a host that was read for real (drift_host.py), by a made-up clock;
and who may change a host while somebody else does.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import json
import random
import subprocess
import sys

import pytest
import test_lab
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    keeper,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import lock, subnet_file, units
from drift_host import FAULTS, HOST, PLAN, host_with, inner


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


def test_the_keeper_repairs_what_is_wrong_in_other_words_at_each_look():
    """On a large site other hosts come and go meanwhile, and stand in the sentence."""
    hands = Hands()
    for lost in ("10.1.19.0/24", "10.1.85.0/24"):
        hands.seen = copy.deepcopy(HOST)
        hands.seen["routes"] = [one for one in HOST["routes"] if one["dst"] != lost]
        hands.round()
    assert [step.unit for step in hands.done] == ["flanneld@blue.service"]


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


DEVICE_DOWN = next(one for one in FAULTS if one["steps"] == [["flanneld@blue.service"]])


HOURS = 4 * 3600


def restarts(hands, rounds, present):
    """Return when a unit was restarted in so many rounds; present: whether a fault is there."""
    when = []
    for number in range(rounds):
        hands.seen = host_with(DEVICE_DOWN) if present(number) else copy.deepcopy(HOST)
        before = len(hands.done)
        hands.round()
        when += [hands.now] * (len(hands.done) - before)
    return when


def test_a_fault_that_comes_and_goes_is_waited_for_longer_and_longer():
    """Each repair seems to help, for one look."""
    when = restarts(Hands(), 200, lambda number: number % 3)
    gaps = [later - earlier for earlier, later in zip(when, when[1:])]
    assert gaps == sorted(gaps) and gaps[-1] >= keeper.MOST_PATIENCE


def test_a_fault_that_stayed_away_is_a_new_one():
    hands = Hands()
    when = restarts(hands, 10, lambda number: number < 5)
    when += restarts(hands, 10, lambda number: number < 5)
    assert [later - earlier for earlier, later in zip(when, when[1:])][1] > keeper.PATIENCE
    assert len(when) == 4


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_a_daemon_is_not_restarted_over_and_over(seed):
    """Faults of all kinds, in any order, for hours."""
    choice = random.Random(seed)
    hands = Hands()
    when = {}
    began = hands.now
    while hands.now < began + HOURS:
        hands.seen = host_with(choice.choice(FAULTS))
        for dummy in range(choice.choice((1, 2, 3))):
            before = len(hands.done)
            hands.round()
            for step in hands.done[before:]:
                if step.unit:
                    when.setdefault(step.unit, []).append(hands.now)
    for times in when.values():
        assert min(later - earlier for earlier, later in zip(times, times[1:])) >= keeper.PATIENCE
        assert len(times) <= keeper.MOST_RESTARTS + HOURS / keeper.MOST_PATIENCE


def test_a_clock_that_is_set_changes_nothing(monkeypatch):
    """The keeper goes by the time since boot; only what it publishes has the clock's."""
    monkeypatch.setattr(keeper.time, "time", lambda: pytest.fail("the clock was read"))
    assert keeper.Keeper(lambda: None, None, None)._clock is keeper.time.monotonic
    hands = Hands()
    restarts(hands, 10, lambda number: True)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_no_daemon_is_restarted_while_something_is_wrong_with_the_data_store(fault):
    hands = Hands()
    hands.seen = host_with(fault)
    hands.seen.update(
        leases=dict.fromkeys(HOST["leases"]), leases_problem="Refused.", leases_wrong=True
    )
    for dummy in range(60):
        hands.round()
    assert not [step.unit for step in hands.done if step.unit]


def test_a_host_without_networks_is_waited_for():
    """The keeper may start before anything is deployed, and go on while all of it is taken away."""
    hands = Hands()
    looks = [None, None, (PLAN, host_with(DEVICE_DOWN)), None, (PLAN, host_with(DEVICE_DOWN)), None]
    one = keeper.Keeper(lambda: looks.pop(0), hands.done.append, hands.said.append)
    while looks:
        one.round()
    assert not hands.done  # never twice in a row
    assert [said.partition(":")[0] for said in hands.said] == ["Not as deployed"]


def test_a_host_that_cannot_be_looked_at_is_told_once():
    hands = Hands()
    hands.seen = host_with(DEVICE_DOWN)
    hands.round()
    hands.keeper._look = lambda: (dummy for dummy in ()).throw(
        commands.ObserveError("ip: no such file")
    )
    for dummy in range(3):
        assert hands.keeper.round() is None
    hands.keeper._look = lambda: (PLAN, hands.seen)
    hands.round()
    assert hands.said[1:] == [
        "The host could not be looked at. ip: no such file",
        "It can be looked at again.",
    ]
    assert (hands.keeper.counts.looks, hands.keeper.counts.failures) == (5, 3)
    assert not hands.done  # what was seen before that is no reason


def test_after_a_repair_that_failed_the_host_is_looked_at_first():
    hands = Hands()
    tried = []

    def act(step):
        tried.append(step.network)
        raise units.UnitError("It did not get ready.")

    hands.keeper._act = act
    for name in ("flannel.1", "flannel.2"):
        hands.seen["links"][name]["up"] = False
    for dummy in range(4):
        hands.round()
    assert tried == ["blue", "red", "blue"]
    assert hands.keeper.counts.failed_repairs == {"blue": 2, "red": 1}
    assert not hands.keeper.counts.repairs


def test_while_a_run_changes_the_host_the_keeper_only_looks():
    """What deviates then is no news, either."""
    hands = Hands()
    busy = [True] * 5 + [False] * 5
    hands.keeper._alone = lambda: contextlib.nullcontext(not busy.pop(0))
    hands.seen = host_with(DEVICE_DOWN)
    for number in range(7):
        hands.round()
        assert bool(hands.done) == bool(hands.said) == (number >= 5)
    assert hands.keeper.counts.repairs == {"blue": 1}


DEVIATING = [(PLAN, host_with(fault)) for fault in FAULTS]
DEVIATING += [(test_lab.PLAN, test_lab.host_with(fault)) for fault in test_lab.FAULTS]


@pytest.mark.parametrize("plan, seen", DEVIATING)
def test_no_step_of_the_keeper_touches_what_a_pod_uses(plan, seen):
    """It adds what is missing, sets up what is down, puts pods' ends back, restarts a flanneld,
    which carries nothing.
    """
    tunnels = {network[key] for network in plan["networks"] for key in ("device", "device_v6")}
    for step in keeper._safe_steps(compare.compared(plan, seen)):
        assert step.unit == "" or step.unit.startswith("flanneld@")
        for command in step.commands:
            if command[0] == "sysctl":
                continue
            if command[1] in ("fdb", "neigh"):  # no entry of a host that pods may be on
                assert command[2] == "delete" and command[5] in tunnels
                assert command[-1] not in {
                    lease[key]
                    for leases in seen["leases"].values()
                    for lease in leases
                    for key in ("public_ip", "public_ipv6", "mac", "mac_v6")
                }
                continue
            if command[0] == "bridge" or command[4:5] == ("master",):  # back to where CNI put it
                port = command[4] if command[0] == "bridge" else command[3]
                was = seen["off_bridge"][port]["bridge"]
                assert command[0] == "bridge" or command[5] == was
                continue
            assert command[0] == "ip", command
            verb, device = command[1:3], command[-1] if command[1] == "address" else command[3]
            if verb == ("link", "delete"):
                assert seen["links"][device]["ports"] == 0
            elif verb == ("address", "delete"):
                assert device in tunnels
            elif verb == ("route", "delete"):  # to another host's subnet, never to pods here
                assert command[-1] not in {network["bridge"] for network in plan["networks"]}
                assert not any(
                    ipaddress.ip_network(command[3]).overlaps(subnet)
                    for written in seen["subnet_files"].values()
                    for subnet in subnet_file.subnets(written)
                    if subnet.version == ipaddress.ip_network(command[3]).version
                )
            elif verb == ("link", "add"):
                assert device in {one["bridge"] for one in seen["off_bridge"].values()}
                assert device not in seen["links"]
            elif verb == ("link", "set"):
                assert command[4:] == ("up",) or command[4] == "mtu"  # the one that pods have
            else:
                assert verb == ("address", "add"), command


def test_those_steps_are_of_all_kinds():
    steps = [one for seen in DEVIATING for one in keeper._safe_steps(compare.compared(*seen))]
    commands_made = [command for step in steps for command in step.commands]
    assert any(step.unit for step in steps)
    assert {
        "sysctl" if command[0] == "sysctl" else " ".join(command[:3]) for command in commands_made
    } == {
        "sysctl",
        "bridge fdb delete",
        "bridge link set",
        "ip address add",
        "ip address delete",
        "ip link add",
        "ip link delete",
        "ip link set",
        "ip route delete",
    }


class Time:
    def __init__(self):
        self.now = 500.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "lock")


def is_free(place, clock):
    with lock.by_keeper(place, clock) as free:
        return free


def test_the_keeper_keeps_still_for_a_while_after_a_module(place):
    clock = Time()
    assert is_free(place, clock)
    with lock.by_run(place, clock, clock.sleep):
        assert not is_free(place, clock)
        clock.now += 1000
        assert not is_free(place, clock)
    assert not is_free(place, clock)
    clock.now += lock.QUIET - 1
    assert not is_free(place, clock)
    clock.now += 1
    assert is_free(place, clock)


def test_a_module_that_fails_leaves_its_time_too(place):
    clock = Time()
    with contextlib.suppress(KeyError), lock.by_run(place, clock, clock.sleep):
        raise KeyError
    assert not is_free(place, clock)


@pytest.mark.parametrize("left", ["", "rubbish", "nan", "inf", "1e99", "-5"])
def test_a_time_that_nobody_left_stops_no_keeper(place, left):
    """Of a power cut, or of before a reboot: a time that is still to come."""
    with open(place, "w", encoding="ascii") as file:
        file.write(left)
    assert is_free(place, Time())


def test_a_module_waits_for_the_keeper_but_not_for_ever(place):
    clock = Time()
    with lock.by_keeper(place, clock) as free:
        assert free
        both = lock.by_run(place, clock, clock.sleep)
        with pytest.raises(lock.LockError, match="systemctl stop multinet-keeper"), both:
            pytest.fail("both have it")
    with lock.by_run(place, clock, clock.sleep):
        pass


def test_without_a_keeper_there_is_no_lock(tmp_path):
    with lock.by_run(str(tmp_path / "missing" / "lock")):
        assert not list(tmp_path.iterdir())


def test_a_module_that_was_killed_leaves_the_lock_free(place):
    code = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {json.dumps(lock.__file__.rpartition('/')[0])})\n"
        f"import lock\nwith lock.by_run({place!r}): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert is_free(place, Time())


@pytest.mark.parametrize("holds", [lock.by_run, lock.by_keeper])
def test_a_lock_that_cannot_be_made_is_nobodys(holds):
    """On a full disk, for which /dev/null stands: whoever comes finds no lock either."""
    with holds("/dev/null/changes.lock") as alone:
        assert alone in (None, True)
