# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All repairs of a host in one go, for a run that waits for them. The keeper takes the same steps
in its own time.

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from .._flanneld import data_store
from .._node import deployed, lock, units
from . import commands, compare, observe, repair

PATIENCE = 6  # looks, half a second apart


class RepairError(Exception):
    """Why nothing is repaired, as sentences."""


class Asked(NamedTuple):
    """What a run asks for. scope: all, own (the host's own share of the networks), or ways (what
    leads to hosts without a lease). timeout: seconds until restarted daemons are ready;
    unleased_for: those for which each look must find the same ways.
    """

    cni_conf: str
    scope: str = "all"
    timeout: int = 90
    unleased_for: int = 3


class Repairs:
    """The repairs of a host; raises RepairError, ObserveError, UnitError or LockError.

    found, steps, due: what the last look found, what puts it right, and what of this may be done
    now. made: the steps that were taken. warnings: sentences.
    """

    def __init__(self, record: deployed.Record, asked: Asked, systemd: units.Systemd) -> None:
        self._record, self._asked, self._systemd = record, asked, systemd
        self._waits = repair.Waits(asked.unleased_for, time.monotonic)
        self.made: list[repair.Step] = []
        self.warnings: list[str] = []
        self.look()

    def look(self) -> None:
        """Look at the host."""
        self.found, self.steps = self._look(self._asked.scope)
        self.due = self._waits.over(self.steps)

    def make(self) -> None:
        """Repair, and look until it is as planned, or the time is over."""
        for dummy in range(PATIENCE):
            if self.steps:  # a daemon that has just been started is about to do it itself
                time.sleep(0.5)
                self.look()
        if not self.steps:
            return
        # a flanneld that is restarted while its data store is away would not come up
        wrong = data_store.problems(data_store.environments(step.unit for step in self.due))
        if wrong:
            raise RepairError("\n".join([*wrong, "Nothing was repaired."]))
        self._make(self.due)
        deadline = time.monotonic() + self._asked.timeout + self._asked.unleased_for
        # other hosts' flanneld follow, and this one's learns of them
        while self.steps and time.monotonic() < deadline:
            time.sleep(0.5)
            self.look()
            # what a daemon that was down hid; what it makes itself, it is about to make
            self._make([step for step in self.due if not step.unit and step not in self.made])
        if self.steps:
            reasons = " ".join(f"{step.reason}." for step in self.steps)
            self.warnings.append(
                f"Not repaired within {self._asked.timeout} s: {reasons} Run the playbook status,"
                " which says what is left, then site again."
            )

    def _make(self, due: list[repair.Step]) -> None:
        """Take steps.

        All there is is looked at once more before what leads to another host is taken away, and
        after it: flanneld makes it once, so a host that took its lease in between would not get it
        back.
        """
        if not due:
            return
        with lock.by_run():
            taken = [step for step in due if not step.again]
            _run_commands(taken)
            ways = [step for step in due if step.again]
            if ways:
                ways = repair.still_due(ways, self._look("all")[1])
                _run_commands(ways)
            networks = {one.network for one in ways} - {one.network for one in taken if one.unit}
            if networks:
                steps = self._look("all")[1]
                lost = [step for step in steps if step.unit and step.network in networks]
                _run_commands(lost)
                taken += lost
            changes = [
                units.UnitChange(one.unit, "restart", one.reason) for one in taken if one.unit
            ]
            units.apply(self._systemd, changes, [], self._asked.timeout)
        self.made += taken + ways

    def _look(self, scope: str) -> tuple[list[compare.Deviation], list[repair.Step]]:
        """Return what deviates from the plan, and what puts it right as far as it is in the
        scope.
        """
        plan, seen = self._record["plan"], observe.look(self._record, self._asked.cni_conf)
        found = compare.deviations(plan, seen)
        steps = repair.steps(plan, seen, found)
        return found, [step for step in steps if scope in ("all", "ways" if step.again else "own")]


def _run_commands(due: list[repair.Step]) -> None:
    for step in due:
        for command in step.commands:
            commands.run(command)


def ahead(record: deployed.Record, cni_conf: str) -> tuple[list[str], list[str]]:
    """Return what has drifted from the plan that was last applied and a run of site puts right, and
    what is left to hands: a sentence each.
    """
    if not record.get("plan"):
        return [], []
    try:
        seen = observe.look(record, cni_conf)
    except commands.ObserveError as error:
        # then role flanneld looks again, and fails if that does not work either
        return [f"What has drifted on this host could not be looked at. {error}"], []
    compared = compare.compared(record["plan"], seen)
    steps = repair.steps(*compared)
    by_hand = [f"Not as deployed: {one.line()}." for one in repair.left_to_hands(compared, steps)]
    # what flanneld is told of the underlay is written anew, and then the rest is looked at again
    underlay = [one.line() for one in compared.found if one.kind == "underlay"]
    return underlay + [step.sentence() for step in steps], by_hand
