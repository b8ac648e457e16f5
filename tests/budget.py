# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a test run goes: added up while it runs, a table at its end."""

from __future__ import annotations

import os
import pathlib
import resource
import time
import typing as t


class Part(t.NamedTuple):
    """Seconds by the clock, and seconds that processors worked; None where nobody measured."""

    seconds: float
    cpu: float | None


class Budget:
    """Adds up the time of a run by part.

    began: when it began, with its set-up, in seconds of the epoch; None is now.
    """

    def __init__(self, began: float | None = None) -> None:
        self._parts: dict[str, Part] = {}
        self._began = time.time() if began is None else began
        self._machine = machine_seconds()
        self._tests_began = time.time()
        if began is not None:
            self.add("set-up", Part(self._tests_began - began, None))

    def add(self, name: str, spent: Part) -> None:
        """Add what was spent to the part of this name."""
        old = self._parts.get(name, Part(0, 0))
        cpu = None if spent.cpu is None or old.cpu is None else old.cpu + spent.cpu
        self._parts[name] = Part(old.seconds + spent.seconds, cpu)

    def table(self) -> list[str]:
        """Return the lines: a part each in the order of their coming, their sum, and the run."""
        total = Part(sum(part.seconds for part in self._parts.values()), None)
        rows = [("part", "time", "processor")]
        rows += [
            (name, clock(part.seconds), "" if part.cpu is None else clock(part.cpu))
            for name, part in [*self._parts.items(), ("one after the other", total)]
        ]
        busy, idle = (now - then for now, then in zip(machine_seconds(), self._machine))
        share = f"{busy / ((busy + idle) or 1):.0%} busy"
        rows.append(("this run", clock(time.time() - self._began), share))
        return [f"{name:<30}{spent:>8}{cpu:>12}" for name, spent, cpu in rows]


def clock(seconds: float) -> str:
    """Return seconds as minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def machine_seconds() -> tuple[float, float]:
    """Return how long all processors of this machine worked, and idled, since it was started."""
    line = pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, idle, iowait, *interrupts = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in line.split()[1:8]
    )
    return user + nice + system + sum(interrupts), idle + iowait


def processor_seconds() -> float:
    """Return how long processors worked for this process and the commands that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
