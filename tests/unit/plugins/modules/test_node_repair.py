# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module node_repair does when, on one of the demo's hosts, by a made-up clock."""

from __future__ import annotations

import contextlib
import copy
import pathlib
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.modules import node_repair

sys.path.append(str(pathlib.Path(__file__).parents[1] / "module_utils" / "_drift"))
from drift_host import HOST, PLAN

MAC, STRANGER = "4a:00:00:00:00:99", "198.18.50.99"
TAKEN_AWAY = f"bridge fdb delete {MAC} dev flannel.2 dst {STRANGER}"
RESTARTED = "flanneld@blue.service"


class Stage:
    """The host, on which a module acts; at: {number of a look: what happens right before it}."""

    def __init__(self, monkeypatch, scope="all", check=False):
        self.seen, self.now, self.looks, self.done, self.at = copy.deepcopy(HOST), 50.0, 0, [], {}
        self.params = {"scope": scope, "cni_conf": "", "public_ip": None, "timeout": 9}
        self.params["unleased_for"] = 3
        self.check_mode, self.result, self.warnings = check, {}, []
        self.after = lambda: None  # what happens while an entry is taken away
        self.run_command = None
        for owner, name, value in (
            (node_repair, "AnsibleModule", lambda **dummy: self),
            (node_repair.root, "complete_path", lambda: None),
            (node_repair.deployed, "record", lambda: {"plan": PLAN}),
            (node_repair.observe, "look", self.look),
            (node_repair.commands, "run", self.run),
            (node_repair.data_store, "problems", lambda dummy: []),
            (node_repair.data_store, "environments", lambda dummy: {}),
            (node_repair.units, "apply", self.apply),
            (node_repair.lock, "by_run", contextlib.nullcontext),
            (node_repair, "time", self),
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

    def main(self):
        node_repair.main()
        return self

    # of the module, and of time

    def exit_json(self, **result):
        self.result = result

    def fail_json(self, msg):
        pytest.fail(msg)

    def warn(self, sentence):
        self.warnings.append(sentence)

    def sleep(self, seconds):
        self.now += seconds

    def monotonic(self):
        return self.now


def test_an_entry_is_taken_away_after_some_seconds(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    stage.main()
    assert stage.done == [TAKEN_AWAY]
    assert stage.now - 50.0 >= 3
    assert stage.result["changed"] and stage.result["left"] == []
    again = Stage(monkeypatch).main()
    assert (again.result["changed"], again.looks, again.warnings) == (False, 1, [])


def test_it_takes_longer_where_other_hosts_are_no_part_of_the_run(monkeypatch):
    """Longer than the timeout, which is that of daemons."""
    stage = Stage(monkeypatch, scope="ways")
    stage.params["unleased_for"] = 90
    stage.stray()
    stage.main()
    assert stage.done == [TAKEN_AWAY] and stage.now - 50.0 >= 90
    assert stage.result["left"] == [] and not stage.warnings


def test_a_lease_that_comes_back_late_keeps_the_entry(monkeypatch):
    stage = Stage(monkeypatch, scope="ways")
    stage.params["unleased_for"] = 90
    stage.stray()
    stage.at = {100: stage.leased}
    stage.main()
    assert (stage.done, stage.result["left"], stage.warnings) == ([], [], [])


def test_check_mode_tells_it_and_does_nothing(monkeypatch):
    stage = Stage(monkeypatch, check=True)
    stage.stray()
    stage.main()
    assert (stage.result["changed"], stage.done, stage.looks) == (True, [], 1)
    assert stage.result["repaired"] == [
        f"`{TAKEN_AWAY}`: the FDB of flannel.2 leads to {STRANGER}, which holds no lease"
    ]


@pytest.mark.parametrize("number", range(2, 9))
def test_a_host_that_takes_its_lease_meanwhile_keeps_its_entry(monkeypatch, number):
    """The eighth look is the one right before."""
    stage = Stage(monkeypatch)
    stage.stray()
    stage.at = {number: stage.leased}
    stage.main()
    assert (stage.done, stage.result["changed"], stage.result["left"]) == ([], False, [])
    assert not stage.warnings


@pytest.mark.parametrize("scope", ["all", "ways"])
def test_a_host_that_takes_its_lease_while_its_entry_goes_gets_it_back(monkeypatch, scope):
    """Its entry is made once, and was."""
    stage = Stage(monkeypatch, scope)
    stage.stray()
    stage.after = stage.leased
    stage.main()
    assert stage.done == [TAKEN_AWAY, "flanneld@red.service"]
    assert len(stage.result["repaired"]) == 2 and stage.result["left"] == []


def test_an_entry_that_a_stopped_flanneld_left_is_taken_away_in_the_same_run(monkeypatch):
    stage = Stage(monkeypatch)
    stage.stray()
    stage.seen["units"]["flanneld@red.service"]["ActiveState"] = "failed"
    stage.main()
    assert stage.done == ["flanneld@red.service", TAKEN_AWAY]
    assert stage.result["left"] == [] and not stage.warnings


def test_an_entry_that_has_just_come_waits_too(monkeypatch):
    stage = Stage(monkeypatch)
    stage.seen["links"]["flannel.1"]["up"] = False
    stage.at = {7: stage.stray}
    stage.main()
    assert stage.done == [RESTARTED, TAKEN_AWAY]
    assert stage.now - 50.0 >= 2 * 3


@pytest.mark.parametrize("scope, done", [("own", [RESTARTED]), ("ways", [TAKEN_AWAY])])
def test_a_scope_is_all_that_is_done(monkeypatch, scope, done):
    stage = Stage(monkeypatch, scope)
    stage.stray()
    stage.seen["links"]["flannel.1"]["up"] = False
    stage.main()
    assert stage.done == done
    assert len(stage.result["repaired"]) == len(stage.result["left"]) == 1
