# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring systemd units in line: what runs is compared with what should run.

Nothing is remembered in between, so a run that was killed is completed by the next one.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from . import journal, overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "MainPID",
    "UnitFileState",
    "NeedDaemonReload",
    "NRestarts",
    "Job",
    "ConditionResult",
    *overrides.PROPERTIES,
)

# Codes of reasons that a role may know before the host shows them, as in check mode
EXECUTABLE, UNIT_FILE, PROGRAM = "executable", "unit_file", "program"
GIVEN = (EXECUTABLE, UNIT_FILE, PROGRAM)
# {code: the sentence, with a place for what differs}
_SENTENCES = {
    EXECUTABLE: "its executable was replaced",
    UNIT_FILE: "its unit file changed",
    PROGRAM: "its program was changed on the host",
    "stopped": "it does not run",
    "arguments": "it runs with other arguments ({})",
    "environment": "it runs with another {}",
    "config": "the network's configuration changed",
    "installed": "it runs with what was installed before",
    "settings": "its settings changed: {}",
}

# Variables that a unit has in its environment only so that its process can be compared: the sum of
# what is read when it starts. Why it must start again when only this differs.
CONFIG_SUM = "MULTINET_CONFIG_SHA256"
INSTALLED_SUM = "MULTINET_INSTALLED_SHA256"
_SUMS = {CONFIG_SUM: "config", INSTALLED_SUM: "installed"}

# A daemon that has ended so often for the same reason will do so again. systemd itself never gives
# up with these units, for at boot what they need may come late.
ENDS_ENOUGH = 4


class UnitError(Exception):
    """A unit that did not get ready. The message says which, and why, by its journal."""


class Unit(NamedTuple):
    """A unit that must run, and with what."""

    name: str
    environment: Mapping[str, str] = {}  # what its main process must have
    prefix: str = ""  # of variables that it must not have beside these; empty: any may be there
    state_file: str = ""  # where it says in JSON what it works with, when not in its environment
    executable: str = ""  # path of the executable it must run; empty: not compared
    arguments: Sequence[str] | None = None  # of its main process; None: not compared
    verb: str = "restart"  # what brings it in line: restart, or reload, which never stops it
    reason: str = ""  # one of GIVEN that is known already


class Reason(NamedTuple):
    """Why a unit must be started, restarted or reloaded: a code, which decides, and for people a
    sentence.
    """

    code: str
    what: str = ""  # differs

    def sentence(self) -> str:
        """Say it."""
        return _SENTENCES[self.code].format(self.what)


class Process(NamedTuple):
    """What a process runs with."""

    environment: dict[str, str]
    executable: str
    arguments: Sequence[str] = ()


class UnitChange(NamedTuple):
    """What is to be done with a unit."""

    unit: str
    verb: str  # restart (which starts it, too), start or reload
    reason: str  # for people
    enable_anew: bool = False  # other units may want it now, and some no longer


def parse_environment(text: str) -> dict[str, str]:
    """Return {name: value} of an environment file as systemd reads the ones we write: NAME=value
    lines, comments, blanks.
    """
    pairs = (
        line.partition("=")
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    )
    return {name.strip(): value.strip() for name, dummy, value in pairs}


def parse_show(output: str) -> dict[str, dict[str, str]]:
    """Return {unit: {property: value}} from 'systemctl show -p ...' of several units (blocks parted
    by a blank line).
    """
    units = {}
    for block in output.split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in properties:
            units[properties["Id"]] = properties
    return units


def reason_to_change(
    unit: Unit, properties: Mapping[str, str], process: Process | None
) -> Reason | None:
    """Return why a unit must be started, restarted or reloaded, or None.

    properties: of systemd, see PROPERTIES. process: its main process, None when there is none;
    units other than services, such as timers, never have one.
    """
    has_process = unit.name.endswith(".service")
    if properties.get("ActiveState") != "active" or (has_process and process is None):
        return Reason("stopped")
    if is_stale(properties):
        return Reason(UNIT_FILE)
    if process is not None:
        if unit.executable and process.executable != unit.executable:
            return Reason(EXECUTABLE)
        if unit.arguments is not None and list(process.arguments) != list(unit.arguments):
            return Reason("arguments", " ".join(process.arguments) or "none")
        different = _different(unit, process.environment)
        if len(different) == 1 and different[0] in _SUMS:
            return Reason(_SUMS[different[0]])
        if different:
            return Reason("environment", ", ".join(different))
    return Reason(unit.reason) if unit.reason else None


def is_stale(properties: Mapping[str, str]) -> bool:
    """Say whether systemd has to read the files of a unit again: they changed, or the unit's was
    not there when it last did.
    """
    return properties.get("NeedDaemonReload") == "yes" or properties.get("LoadState") == "error"


def unmask(unit: str, state: str) -> str:
    """Return the command that lets a masked unit start again, "" for another one.

    state: systemd's UnitFileState.
    """
    if not state.startswith("masked"):
        return ""
    return "systemctl unmask " + ("--runtime " if state == "masked-runtime" else "") + unit


def _different(unit: Unit, running: Mapping[str, str]) -> list[str]:
    """Return the names of the variables whose values in the process are not the unit's."""
    names = set(unit.environment)
    if unit.prefix:
        names |= {name for name in running if name.startswith(unit.prefix)}
    return sorted(name for name in names if unit.environment.get(name) != running.get(name))


def read_process(pid: int) -> Process | None:
    """Return what a process runs with, or None when it is gone."""
    base = f"/proc/{pid}"
    try:
        with open(base + "/environ", "rb") as environ:
            pairs = [
                item.decode(errors="replace").partition("=")
                for item in environ.read().split(b"\0")
                if item
            ]
        with open(base + "/cmdline", "rb") as cmdline:
            words = cmdline.read().decode(errors="replace").split("\0")[1:-1]
        environment = {name: value for name, dummy, value in pairs}
        return Process(environment, os.readlink(base + "/exe"), words)
    except OSError:
        return None


def read_state(path: str) -> dict[str, str]:
    """Return the C(environment) that a unit has written into its state file, {} when it has not."""
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file)["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def run(argv: list[str]) -> tuple[int, str, str]:
    """Run a command where there is no AnsibleModule; return (exit status, stdout, stderr)."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


class Systemd:
    """systemctl and journalctl of this host."""

    def __init__(self, run: Callable[[list[str]], tuple[int, str, str]]) -> None:
        """run: calls a command, returns its exit status, stdout and stderr."""
        self._run = run

    def show(self, units: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return {unit: its PROPERTIES}; raise UnitError."""
        code, out, err = self._run(["systemctl", "show", "-p", ",".join(PROPERTIES), *units])
        if code:
            raise UnitError(f"systemctl show failed: {(err or out).strip()}")
        return parse_show(out)

    def systemctl(self, verb: str, *arguments: str) -> None:
        """Run systemctl; raise UnitError when it fails."""
        code, out, err = self._run(["systemctl", verb, *arguments])
        if code:
            command = " ".join(["systemctl", verb, *arguments])
            raise UnitError(f"'{command}' failed: {(err or out).strip()}")

    def reason(self, unit: str, since: float = 0.0) -> str:
        """Return the line of a unit's journal that tells why it does not get ready. since: seconds
        since the epoch.
        """
        command = ["journalctl", "--no-pager", "-o", "cat", "-n", "200", "-u", unit]
        code, out, dummy = self._run([*command, "--since", f"@{since:.3f}"])
        return (journal.reason_in(out) if code == 0 else "") or "(the journal has nothing of it)"


def plan(systemd: Systemd, units: Sequence[Unit]) -> tuple[list[UnitChange], list[str]]:
    """Return what is to be done with units, and the names of those to enable; raise UnitError."""
    if not units:
        return [], []
    # by name, as none of ours says Unit=
    started = {name: f"{name[:-6]}.service" for name, *dummy in units if name.endswith(".timer")}
    shown = systemd.show([*(unit.name for unit in units), *started.values()])
    changes, enable = [], []
    for unit in units:
        # the kernel says where links lead: /usr/local is one on hosts of OSTree
        executable = os.path.realpath(unit.executable) if unit.executable else ""
        properties = shown.get(unit.name, {})
        if is_stale(shown.get(started.get(unit.name, ""), {})):
            properties = {**properties, "NeedDaemonReload": "yes"}
        command = unmask(unit.name, properties.get("UnitFileState", ""))
        if command:
            raise UnitError(
                f"{unit.name} is masked, so nobody can start it. Run `{command}` on this host if it"
                " may run, and then this again."
            )
        pid = int(properties.get("MainPID") or 0)
        process = read_process(pid) if pid else None
        if process is not None and unit.state_file:
            process = process._replace(environment=read_state(unit.state_file))
        reason = reason_to_change(unit._replace(executable=executable), properties, process)
        if reason:
            starts = unit.verb == "reload" and properties.get("ActiveState") != "active"
            verb = "start" if starts else unit.verb
            anew = reason.code == UNIT_FILE
            changes.append(UnitChange(unit.name, verb, reason.sentence(), anew))
        if properties.get("UnitFileState") not in ("enabled", "enabled-runtime"):
            enable.append(unit.name)
    return changes, enable


def in_vain(systemd: Systemd, units: Sequence[Unit], changes: Sequence[UnitChange]) -> list[str]:
    """Return a sentence for each unit that changes were applied to and that still runs with
    something else than it should, because of files of others; raise UnitError.
    """
    changed = {change.unit for change in changes}
    wanted = [unit._replace(reason="") for unit in units if unit.name in changed]
    shown = systemd.show(sorted(changed)) if changed else {}
    found = []
    for change in plan(systemd, wanted)[0]:
        unit = change.unit
        files = overrides.changes(unit, shown.get(unit, {}))
        why = "; ".join(overrides.sentence(unit, path, names) for path, names in files.items())
        if why:
            found.append(
                f"A restart of {unit} changes nothing ({change.reason}): {why}."
                f" {overrides.REMEDY.capitalize()}."
            )
    return found


def apply(
    systemd: Systemd,
    changes: Sequence[UnitChange],
    enable: Sequence[str],
    timeout: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Do what plan() returned, and wait until each unit says it is ready; raise UnitError.

    timeout: seconds for all of them together.
    """
    systemd.systemctl("daemon-reload")
    anew = [change.unit for change in changes if change.enable_anew]
    if enable or anew:
        systemd.systemctl("reenable", *dict.fromkeys([*enable, *anew]))
    units: dict[str, list[str]] = {"reload": [], "start": [], "restart": []}
    for change in changes:
        units[change.verb].append(change.unit)
    for unit in units["reload"]:
        try:
            systemd.systemctl("reload", unit)
        except UnitError as error:
            raise UnitError(f"{error}. Its journal says: {systemd.reason(unit)}") from error
    begun = units["start"] + units["restart"]
    if not begun:
        return
    # a unit that failed too often in a row is not started again unless its counter is cleared
    systemd.systemctl("reset-failed", *begun)
    since = time.time()
    for verb in ("start", "restart"):
        if units[verb]:
            systemd.systemctl(verb, "--no-block", *units[verb])
    deadline = clock() + timeout
    ends = dict.fromkeys(begun, Ends())
    while True:
        waiting = _not_ready(systemd, begun)
        if not waiting:
            return
        is_over = clock() > deadline
        for unit, properties in waiting.items():
            ends[unit] = ends[unit].after(properties, partial(systemd.reason, unit, since))
        late = f"did not get ready in {timeout} s" if is_over else ""
        found = {unit: late or ends[unit].for_good for unit in waiting}
        if any(found.values()):
            raise UnitError(
                "\n".join(
                    f"{unit} {what}. Its journal says: {systemd.reason(unit, since)}"
                    for unit, what in found.items()
                    if what
                )
            )
        sleep(0.2)


def _not_ready(systemd: Systemd, units: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of those units that are not ready yet; raise UnitError."""
    return {
        unit: properties
        for unit, properties in systemd.show(units).items()
        # restarted in a moment, it is still active
        if properties["ActiveState"] != "active" or properties.get("Job")
    }


class Ends(NamedTuple):
    """How a unit that is waited for has ended so far."""

    restarts: int | None = None  # systemd's count; None before it was looked at
    reason: str = ""
    times: int = 0  # it ended for that reason, in a row
    for_good: str = ""  # what has become of it, when it will not get ready

    def after(self, properties: Mapping[str, str], reason: Callable[[], str]) -> Ends:
        """Return this with what systemd says now. reason: reads why it ended."""
        restarts = int(properties.get("NRestarts") or 0)
        if self.restarts is None or restarts < self.restarts:
            return self._replace(restarts=restarts)
        if restarts > self.restarts:
            why = reason()
            times = self.times + 1 if why == self.reason else 1
            for_good = f"ended {times} times for the same reason" if times >= ENDS_ENOUGH else ""
            return Ends(restarts, why, times, for_good)
        if properties["ActiveState"] == "failed":
            return self._replace(for_good="failed")
        if properties["ActiveState"] == "inactive" and not properties.get("Job"):
            if properties.get("ConditionResult") == "no":
                return self._replace(
                    for_good="was not started, because a condition in its unit file is not met"
                )
            return self._replace(for_good="ended")
        return self
