# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run repairs when, on one of the demo's hosts, by a made-up clock."""

from __future__ import annotations

import contextlib
import copy

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import repairs
from drift_host import HOST, PLAN

MAC, STRANGER = "4a:00:00:00:00:99", "198.18.50.99"
TAKEN_AWAY = f"bridge fdb delete {MAC} dev flannel.2 dst {STRANGER}"
RESTARTED = "flanneld@blue.service"


class Stage:
    """The host that is repaired; at: {number of a look: what happens right before it}."""

    def __init__(self, monkeypatch, scope="all", unleased_for=3):
        self.seen, self.now, self.looks, self.done, self.at = copy.deepcopy(HOST), 50.0, 0, [], {}
        self.asked = repairs.Asked("", scope, timeout=9, unleased_for=unleased_for)
        self.after = lambda: None  # what happens while an entry is taken away
        self.store = []  # what is wrong with the data store
        for owner, name, value in (
            (repairs.observe, "look", self.look),
            (repairs.commands, "run", self.run),
            (repairs.data_store, "problems", lambda dummy: self.store),
            (repairs.data_store, "environments", lambda dummy: {}),
            (repairs.units, "apply", self.apply),
            (repairs.lock, "by_run", contextlib.nullcontext),
            (repairs, "time", self),
        ):
            monkeypatch.setattr(owner, name, value)

    def look(self, *dummy):
        self.looks += 1
        if self.looks in self.at:
            self.at[self.looks]()
        return copy.deepcopy(self.seen)

    def run(self, command):
        self.done.append(" ".join(command))
        if command[0] == "bridge":
            del self.seen["fdb"][command[5]][command[3]]
            self.after()

    def apply(self, dummy, changes, *more):
        self.done += [change.unit for change in changes]
        for change in changes:
            self.seen["units"][change.unit]["ActiveState"] = "active"
            self.seen["links"]["flannel.1"]["up"] = True
            for lease in self.seen["leases"]["red"]:  # it makes what is missing
                if lease["mac"] == MAC:
                    self.seen["fdb"]["flannel.2"][MAC] = STRANGER

    def stray(self):
        """Have an entry that leads to a host without a lease."""
        self.seen["fdb"]["flannel.2"][MAC] = STRANGER

    def leased(self):
        """Have that host take a lease."""
        one = dict(self.seen["leases"]["red"][0], subnet="10.3.99.0/24", public_ip=STRANGER)
        self.seen["leases"]["red"].append(dict(one, mac=MAC))
        self.seen["neighbours"]["flannel.2"]["10.3.99.0"] = MAC
        way = {"dst": "10.3.99.0/24", "dev": "flannel.2", "gateway": "10.3.99.0"}
        self.seen["routes"].append(way)

    def repaired(self):
        """Repair it."""
        work = repairs.Repairs({"plan": PLAN}, self.asked, repairs.units.Systemd(pytest.fail))
        work.make()
        return work

    # of time

    def sleep(self, seconds):
        self.now += seconds

    def monotonic(self):
        return self.now


def test_an_entry_is_taken_away_after_some_seconds(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    work = stage.repaired()
    assert stage.done == [TAKEN_AWAY]
    assert stage.now - 50.0 >= 3
    assert work.made and work.found == []
    again = Stage(monkeypatch)
    work = again.repaired()
    assert (work.made, again.looks, work.warnings) == ([], 1, [])


def test_what_stays_is_told_with_what_to_do(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    monkeypatch.setattr(repairs.commands, "run", lambda command: None)
    (told,) = stage.repaired().warnings
    assert told.startswith("Not repaired within 9 s: ")
    assert told.endswith(". Run the playbook status, which says what is left, then site again.")


def test_it_takes_longer_where_other_hosts_are_no_part_of_the_run(monkeypatch):
    """Longer than the timeout, which is that of daemons."""
    stage = Stage(monkeypatch, scope="ways", unleased_for=90)
    stage.stray()
    work = stage.repaired()
    assert stage.done == [TAKEN_AWAY] and stage.now - 50.0 >= 90
    assert work.found == [] and not work.warnings


def test_a_lease_that_comes_back_late_keeps_the_entry(monkeypatch):
    stage = Stage(monkeypatch, scope="ways", unleased_for=90)
    stage.stray()
    stage.at = {100: stage.leased}
    work = stage.repaired()
    assert (stage.done, work.found, work.warnings) == ([], [], [])


def test_who_only_looks_is_told_what_would_be_done(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    work = repairs.Repairs({"plan": PLAN}, stage.asked, repairs.units.Systemd(pytest.fail))
    assert (work.made, stage.done, stage.looks) == ([], [], 1)
    assert [step.sentence() for step in work.steps] == [
        f"`{TAKEN_AWAY}`: the FDB of flannel.2 leads to {STRANGER}, which holds no lease"
    ]


def test_nothing_is_restarted_while_the_data_store_is_away(monkeypatch):
    stage = Stage(monkeypatch)
    stage.seen["links"]["flannel.1"]["up"] = False
    stage.store = ["flanneld@blue.service: The etcd does not answer."]
    with pytest.raises(repairs.RepairError) as raised:
        stage.repaired()
    assert str(raised.value) == f"{stage.store[0]}\nNothing was repaired."
    assert stage.done == []


@pytest.mark.parametrize("number", range(2, 9))
def test_a_host_that_takes_its_lease_meanwhile_keeps_its_entry(monkeypatch, number):
    """The eighth look is the one right before."""
    stage = Stage(monkeypatch)
    stage.stray()
    stage.at = {number: stage.leased}
    work = stage.repaired()
    assert (stage.done, work.made, work.found, work.warnings) == ([], [], [], [])


@pytest.mark.parametrize("scope", ["all", "ways"])
def test_a_host_that_takes_its_lease_while_its_entry_goes_gets_it_back(monkeypatch, scope):
    """Its entry is made once, and was."""
    stage = Stage(monkeypatch, scope)
    stage.stray()
    stage.after = stage.leased
    work = stage.repaired()
    assert stage.done == [TAKEN_AWAY, "flanneld@red.service"]
    assert len(work.made) == 2 and work.found == []


def test_an_entry_that_a_stopped_flanneld_left_is_taken_away_in_the_same_run(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    stage.seen["units"]["flanneld@red.service"]["ActiveState"] = "failed"
    work = stage.repaired()
    assert stage.done == ["flanneld@red.service", TAKEN_AWAY]
    assert work.found == [] and not work.warnings


def test_an_entry_that_has_just_come_waits_too(monkeypatch):
    stage = Stage(monkeypatch)
    stage.seen["links"]["flannel.1"]["up"] = False
    stage.at = {7: stage.stray}
    stage.repaired()
    assert stage.done == [RESTARTED, TAKEN_AWAY]
    assert stage.now - 50.0 >= 2 * 3


@pytest.mark.parametrize("scope, done", [("own", [RESTARTED]), ("ways", [TAKEN_AWAY])])
def test_a_scope_is_all_that_is_done(monkeypatch, scope, done):
    stage = Stage(monkeypatch, scope)
    stage.stray()
    stage.seen["links"]["flannel.1"]["up"] = False
    work = stage.repaired()
    assert stage.done == done
    assert len(work.made) == len(work.found) == 1


def test_a_run_says_beforehand_what_it_will_repair(monkeypatch):
    stage = Stage(monkeypatch)
    stage.seen["links"]["flannel.1"]["up"] = False
    assert repairs.ahead({"plan": PLAN}, "") == (
        ["flanneld@blue.service is restarted: the device flannel.1 is down"],
        [],
    )
    assert repairs.ahead({"directories": []}, "") == ([], [])


def test_what_cannot_be_looked_at_beforehand_is_looked_at_again(monkeypatch):
    def look(*dummy):
        raise repairs.commands.ObserveError("ip: not found.")

    monkeypatch.setattr(repairs.observe, "look", look)
    (sentence,), by_hand = repairs.ahead({"plan": PLAN}, "")
    assert sentence.endswith("could not be looked at. ip: not found.") and not by_hand
