# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: looks at this host's networks every half minute and repairs what is safe.

It never touches a running pod's traffic, and never what an administrator stopped, nor anything
while a run of Ansible changes the host. What it does, and what it leaves to a hand, it says on
standard output, one sentence a line; its numbers (metrics.py) go to a file for Prometheus' node
exporter (textfile collector), and to who asks for them (endpoint.py).

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from .._cni import files
from .._node import deployed, lock, notify, units
from . import commands, compare, endpoint, metrics, observe, repair

INTERVAL = 30.0
# After a repair, before the same one is tried again; doubled each time. A fault that stays away for
# as long is a new one when it comes back.
PATIENCE = 60.0
# For so long each look must find the same leases, and what leads to a host without one. A host that
# is there and has lost its lease gets it back from its own keeper at the second look.
UNLEASED_FOR = 90.0
MOST_PATIENCE = 960.0
# Whatever the reasons, a daemon is restarted at most so often in a row, then once in MOST_PATIENCE.
MOST_RESTARTS = 30
READY_SECONDS = 60
METRICS = "/run/multinet/metrics/multinet.prom"

Look = Callable[[], "tuple[dict[str, Any], dict[str, Any]] | None"]


class Keeper:
    """Decides what is repaired when; `look`, `act`, `say`, `alone` are its only effects."""

    def __init__(
        self,
        look: Look,
        act: Callable[[repair.Step], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        alone: Callable[[], contextlib.AbstractContextManager[bool]] = lambda: (
            contextlib.nullcontext(True)
        ),
    ) -> None:
        """look: returns (plan, seen), None where nothing is deployed. act: does a step. alone: for
        the time of a with block nobody else changes the host, or somebody does (False).
        """
        self._look, self._act, self._say, self._clock = look, act, say, clock
        self._alone = alone
        # without their reasons: which other hosts stand in one may change from look to look
        self._doubts: set[repair.Step] = set()
        self._waits = repair.Waits(UNLEASED_FOR, clock)
        # how often it was done, when last, and when its fault was seen last
        self._tries: dict[repair.Step, tuple[int, float, float]] = {}
        # unit -> how many restarts it may have, and when it had the last one
        self._restarts: dict[str, tuple[float, float]] = {}
        self._told: dict[str, str] = {}
        self.counts = metrics.Counts()

    def round(self) -> compare.Compared | None:
        """Look once, repair what is due, and return what was found, None where there is nothing.

        A daemon may be about to put it right itself, so what restarts one waits for a second look.
        """
        began = self._clock()
        self.counts.looks += 1
        compared = None
        try:
            looked = self._look()
        except (deployed.DeployedError, commands.ObserveError) as error:
            self.counts.failures += 1
            again = {f"The host could not be looked at. {error}": "It can be looked at again."}
            self._tell({**self._told, **again})
        else:
            compared = compare.compared(*looked) if looked else None
        self.counts.seconds = self._clock() - began
        steps = list(_safe_steps(compared)) if compared else []
        ready = self._waits.over(steps)
        with self._alone() as alone:
            if compared and alone:  # what a run has in hand deviates until it ends
                self._tell(_sentences(compared))
                due = [step for step in ready if self._due(step)]
                own = (step for step in due if not step.again)
                # after one that failed, the others may not be what is needed
                if all(self._repair(step) for step in own):
                    ways = self._still_due([step for step in due if step.again])
                    all(self._repair(step) for step in ways)
        self._remember(steps)
        return compared

    def _due(self, step: repair.Step) -> bool:
        if not at_once(step) and step._replace(reason="") not in self._doubts:
            return False
        now = self._clock()
        times, last, dummy = self._tries.get(step, (0, now, now))
        if now - last < patience(times):
            return False
        # whatever the reasons, a daemon is not restarted over and over
        return not step.unit or (self._may_restart(step.unit) >= 1 and self._rested(step.unit))

    def _still_due(self, due: list[repair.Step]) -> list[repair.Step]:
        """Look once more before what leads to other hosts is taken away."""
        if not due:
            return []
        try:
            looked = self._look()
        except (deployed.DeployedError, commands.ObserveError):
            return []
        steps = list(_safe_steps(compare.compared(*looked))) if looked else []
        return repair.still_due(due, steps)

    def _may_restart(self, unit: str) -> float:
        left, last = self._restarts.get(unit, (MOST_RESTARTS, 0.0))
        return min(left + (self._clock() - last) / MOST_PATIENCE, MOST_RESTARTS)

    def _rested(self, unit: str) -> bool:
        return unit not in self._restarts or self._clock() - self._restarts[unit][1] >= PATIENCE

    def _repair(self, step: repair.Step) -> bool:
        """Do a step; return whether it could be done."""
        now = self._clock()
        self._tries[step] = (self._tries.get(step, (0, 0.0, 0.0))[0] + 1, now, now)
        if step.unit:
            self._restarts[step.unit] = (self._may_restart(step.unit) - 1, now)
        try:
            self._act(step)
        except (commands.ObserveError, units.UnitError) as error:
            self.counts.failed_repairs[step.network] += 1
            self._say(f"This could not be repaired ({step.reason}): {error}")
            return False
        self.counts.repairs[step.network] += 1
        self._say(f"{step.sentence()}.")
        return True

    def _remember(self, steps: list[repair.Step]) -> None:
        """Keep what a next look needs to know of these steps, and of what was tried before."""
        self._doubts = {step._replace(reason="") for step in steps}
        now = self._clock()
        for step, (times, last, seen) in list(self._tries.items()):
            if step in steps:
                self._tries[step] = (times, last, now)
            elif now - seen >= patience(times):
                del self._tries[step]

    def _tell(self, now: dict[str, str]) -> None:
        """Say what is wrong when it begins, and when it ends ({the one sentence: the other})."""
        for sentence in sorted(set(now) - set(self._told)):
            self._say(sentence)
        for sentence in sorted(set(self._told) - set(now)):
            self._say(self._told[sentence])
        self._told = now


def patience(times: int) -> float:
    """Return the seconds after which a step that was taken so many times may be taken again."""
    return min(PATIENCE * 2 ** (times - 1), MOST_PATIENCE) if times else 0.0


def _sentences(compared: compare.Compared) -> dict[str, str]:
    lines = [one.line() for one in compared.found]
    return {
        f"Not as deployed: {line}.": f"As deployed again: {line.partition(';')[0]}."
        for line in lines
    }


def _safe_steps(compared: compare.Compared) -> Iterator[repair.Step]:
    """Yield the steps that may be taken without anybody looking on.

    A unit that an administrator stopped stays stopped; and while the data store takes no lease, a
    flanneld that is restarted would not come up.
    """
    seen = compared.seen
    no_store = seen["leases_wrong"] or (seen["etcd"] or {}).get("alarms")
    for step in repair.steps(*compared):
        active = seen["units"].get(step.unit, {}).get("ActiveState")
        if not step.unit or (active in ("active", "failed") and not no_store):
            yield step


def at_once(step: repair.Step) -> bool:
    """Say whether a step may be taken at the first look: it restarts and deletes nothing."""
    return not step.unit and not any("delete" in command for command in step.commands)


def act(step: repair.Step) -> None:
    """Do a step on this host; raise ObserveError or UnitError."""
    for command in step.commands:
        commands.run(command)
    if step.unit:
        change = units.UnitChange(step.unit, "restart", step.reason)
        units.apply(units.Systemd(units.run), [change], [], READY_SECONDS)


def say(sentence: str) -> None:
    """Log a sentence."""
    sys.stdout.write(" ".join(sentence.split()) + "\n")
    sys.stdout.flush()


class Publisher:
    """What is published: the file of the textfile collector, and the text that is served."""

    def __init__(self, version: str, path: str = METRICS, say: Callable[[str], None] = say) -> None:
        self._version, self._path, self._say = version, path, say
        self._told = False
        self.text = b""

    def publish(self, counts: metrics.Counts, compared: compare.Compared | None) -> None:
        """Publish what a round has shown. Of a host that could not be looked at nothing is said."""
        samples = [*metrics.of_keeper(counts, self._version, metrics.usage())]
        samples += metrics.of_host(compared, counts, time.time()) if compared else []
        self._write(samples)

    def stop(self) -> None:
        """Publish that the keeper has ended."""
        self._write(list(metrics.of_stopped(self._version)))

    def _write(self, samples: list[metrics.Sample]) -> None:
        text = metrics.exposition(samples)
        self.text = text.encode()
        directory = os.path.dirname(self._path)
        try:
            if not os.path.exists(directory):  # somebody may take it away meanwhile
                files.make_directories(directory)
            files.write(self._path, text, 0o644, sync_name=False)
        except OSError as error:  # repairing goes on
            if not self._told:
                self._say(f"The metrics could not be written to {self._path}: {error.strerror}.")
            self._told = True
        else:
            self._told = False


def main(arguments: list[str]) -> int:
    """Run until the end, or with --stopped say once that the keeper has ended."""
    parser = argparse.ArgumentParser(prog="keeper")
    parser.add_argument("--version", required=True, help="version of the collection")
    parser.add_argument("--cni-conf", help="the CNI configuration that the runtime reads")
    parser.add_argument("--socket", default="", help="unix socket that serves the metrics")
    parser.add_argument("--group", default="root", help="group that may connect to it")
    parser.add_argument("--port", type=int, default=0, help="loopback port that also serves them")
    parser.add_argument(
        "--stopped", action="store_true", help="report that the keeper has stopped, and exit"
    )
    told = parser.parse_args(arguments)
    publisher = Publisher(told.version)
    if told.stopped:
        publisher.stop()
        return 0

    def look() -> tuple[dict[str, Any], dict[str, Any]] | None:
        record = deployed.record()
        return (record["plan"], observe.look(record, told.cni_conf)) if record else None

    keeper = Keeper(look, act, say, alone=lock.by_keeper)
    addresses = [endpoint.Address(path=told.socket, group=told.group)] if told.socket else []
    addresses += [endpoint.Address(port=told.port)] if told.port else []
    publisher.publish(keeper.counts, None)
    endpoint.Endpoint(lambda: publisher.text, say).start(addresses)
    notify.ready(os.environ)
    while True:
        publisher.publish(keeper.counts, keeper.round())
        time.sleep(INTERVAL)
