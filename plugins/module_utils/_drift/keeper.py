# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: looks at this host's networks every half minute and repairs what is safe.

It never touches a running pod's traffic, and never what an administrator stopped. What it does, and
what it leaves to a hand, it says on standard output, one sentence a line; numbers go to a file that
Prometheus' node exporter reads (textfile collector).

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from .._cni import files
from .._node import deployed, subnet_file, units
from . import compare, observe, repair
from . import network as networks

INTERVAL = 30.0
PATIENCE = 60.0  # after a repair, before the same one is tried again; doubled each time
MOST_PATIENCE = 960.0
READY_SECONDS = 60
METRICS = "/run/multinet/metrics/multinet.prom"

# What is published: name -> (type, help).
FAMILIES = {
    "multinet_network_up": ("gauge", "1 where nothing of the network deviates on this host"),
    "multinet_deviations": ("gauge", "what deviates from what was deployed, by kind"),
    "multinet_repairs_total": ("counter", "repairs that the keeper made"),
    "multinet_leases": ("gauge", "leases of the network in the data store"),
    "multinet_addresses": ("gauge", "addresses of this host's subnet that pods can have"),
    "multinet_addresses_used": ("gauge", "those of them that pods have"),
    "multinet_guard_owned": ("gauge", "1 where nobody else can change the guard's table"),
    "multinet_guard_dropped_packets_total": ("counter", "what the guard dropped, by reason"),
    "multinet_data_store_up": ("gauge", "1 where the leases could be read"),
    "multinet_last_look_timestamp_seconds": ("gauge", "when the keeper last looked"),
}


class Keeper:
    """Decides what is repaired when; `look`, `act`, `say` are its only effects."""

    def __init__(
        self,
        look: Callable[[], tuple[dict[str, Any], dict[str, Any]] | None],
        act: Callable[[repair.Step], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """look: returns (plan, seen), None where nothing is deployed. act: does a step."""
        self._look, self._act, self._say, self._clock = look, act, say, clock
        self._doubts: set[repair.Step] = set()
        self._tries: dict[repair.Step, tuple[int, float]] = {}  # how often, when last
        self._restarted: dict[str, float] = {}  # unit -> when
        self._told: set[str] = set()
        self.repairs: Counter[str] = Counter()

    def round(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look once, repair what is due, and return what was seen.

        A daemon may be about to put it right itself, so what restarts one waits for a second look.
        """
        found = self._look()
        if found is None:
            return None
        plan, seen = found
        deviations = compare.deviations(plan, seen)
        steps = [step for step in repair.steps(plan, seen, deviations) if safe(step, seen)]
        self._tell(deviations)
        for step in steps:
            if (at_once(step) or step in self._doubts) and self._due(step):
                self._repair(step)
        self._doubts = set(steps)
        self._tries = {step: tried for step, tried in self._tries.items() if step in self._doubts}
        return plan, seen

    def _due(self, step: repair.Step) -> bool:
        times, last = self._tries.get(step, (0, 0.0))
        patience = min(PATIENCE * 2 ** (times - 1), MOST_PATIENCE) if times else 0.0
        # whatever the reasons, a daemon is not restarted over and over
        since = self._clock() - self._restarted.get(step.unit, -PATIENCE)
        return self._clock() - last >= patience and since >= PATIENCE

    def _repair(self, step: repair.Step) -> None:
        times, dummy = self._tries.get(step, (0, 0.0))
        self._tries[step] = (times + 1, self._clock())
        if step.unit:
            self._restarted[step.unit] = self._clock()
        self.repairs[step.unit or "host"] += 1
        try:
            self._act(step)
        except (observe.ObserveError, units.UnitError) as error:
            self._say(f"This could not be repaired ({step.reason}): {error}")
        else:
            self._say(f"{step.sentence()}.")

    def _tell(self, found: list[compare.Deviation]) -> None:
        """Say what deviates when it begins, and when it ends."""
        now = {one.line() for one in found}
        for line in sorted(now - self._told):
            self._say(f"Not as deployed: {line}.")
        for line in sorted(self._told - now):
            self._say(f"As deployed again: {line.partition(';')[0]}.")
        self._told = now


def at_once(step: repair.Step) -> bool:
    """Say whether a step may be taken at the first look: it restarts and deletes nothing."""
    return not step.unit and not any("delete" in command for command in step.commands)


def safe(step: repair.Step, seen: dict[str, Any]) -> bool:
    """Say whether a step may be taken without anybody looking on.

    A unit that an administrator stopped stays stopped; and while the data store is away, a flanneld
    that is restarted would not come up.
    """
    if not step.unit:
        return True
    active = seen["units"].get(step.unit, {}).get("ActiveState")
    return active in ("active", "failed") and not seen["leases_wrong"]


def samples(
    plan: dict[str, Any], seen: dict[str, Any], repairs: Counter[str]
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (name, labels, value) of what is published."""
    found = compare.deviations(plan, seen)
    wrong = Counter((one.network, one.kind) for one in found)
    for (network, kind), count in sorted(wrong.items()):
        yield "multinet_deviations", {"network": network, "kind": kind}, count
    for unit, count in sorted(repairs.items()):
        yield "multinet_repairs_total", {"unit": unit}, count
    for network in plan["networks"]:
        labels = {"network": network["name"]}
        up = not any(one.network == network["name"] for one in found)
        yield "multinet_network_up", labels, float(up)
        leases = seen["leases"].get(network["name"])
        if leases is not None:
            yield "multinet_leases", labels, len(leases)
        for subnet in subnet_file.gateways(seen["subnet_files"][network["name"]])[:1]:
            yield "multinet_addresses", labels, networks.room(subnet)
        # the subnet above is that of IPv4, which every network has
        yield "multinet_addresses_used", labels, seen["allocated"][network["name"]]["4"]
    yield "multinet_guard_owned", {}, float(seen["guard"]["held"] == "owned")
    for reason, packets in sorted(seen["guard"]["dropped"].items()):
        yield "multinet_guard_dropped_packets_total", {"reason": reason}, packets
    yield "multinet_data_store_up", {}, float(not seen["leases_wrong"])


def exposition(found: list[tuple[str, dict[str, str], float]], now: float) -> str:
    """Return samples in Prometheus' text format (0.0.4)."""
    lines = []
    found = [*found, ("multinet_last_look_timestamp_seconds", {}, round(now, 3))]
    for name, (kind, text) in FAMILIES.items():
        of_it = [one for one in found if one[0] == name]
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"] if of_it else []
        for dummy, labels, value in of_it:
            pairs = ",".join(f"{key}={json.dumps(text)}" for key, text in sorted(labels.items()))
            lines.append(f"{name}{'{' + pairs + '}' if pairs else ''} {value:.15g}")
    return "\n".join(lines) + "\n"


def act(step: repair.Step) -> None:
    """Do a step on this host; raise ObserveError or UnitError."""
    for command in step.commands:
        observe.run(command)
    if step.unit:
        change = units.Change(step.unit, "restart", step.reason)
        units.apply(units.Systemd(_run), [change], [], READY_SECONDS)


def _run(argv: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def say(sentence: str) -> None:
    """Log a sentence."""
    sys.stdout.write(" ".join(sentence.split()) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run until the end. arguments: the path of the CNI configuration that the runtime reads."""
    (cni_conf,) = arguments

    def look() -> tuple[dict[str, Any], dict[str, Any]] | None:
        plan = deployed.plan()
        return (plan, observe.look(plan, cni_conf)) if plan else None

    keeper = Keeper(look, act, say)
    os.makedirs(os.path.dirname(METRICS), mode=0o755, exist_ok=True)
    while True:
        try:
            found = keeper.round()
        except (deployed.DeployedError, observe.ObserveError) as error:
            say(f"The host could not be looked at. {error}")
            found = None
        if found:
            text = exposition(list(samples(*found, keeper.repairs)), time.time())
            files.write(METRICS, text, 0o644)
        time.sleep(INTERVAL)
