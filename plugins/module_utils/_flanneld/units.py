# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the flanneld units of a host in line: what runs is compared with what should run, nothing
is remembered in between.
"""

from __future__ import annotations

import os
import time

PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "MainPID",
    "UnitFileState",
    "NeedDaemonReload",
    "LoadState",
)

# : In a unit's environment: the sum of the network's configuration, which flanneld reads only when
# it starts.
CONFIG_SUM = "MULTINET_CONFIG_SHA256"


class UnitError(Exception):
    """A unit that did not get ready. The message says which, and what it printed last."""


def parse_environment(text):
    """Return {name: value} of an environment file as systemd reads the ones we write: NAME=value
    lines, comments, blanks.
    """
    pairs = (
        line.partition("=")
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    )
    return {name.strip(): value.strip() for name, dummy, value in pairs}


def parse_show(output):
    """Return {unit: {property: value}} from 'systemctl show -p ...' of several units (blocks parted
    by a blank line).
    """
    units = {}
    for block in output.split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in properties:
            units[properties["Id"]] = properties
    return units


def reason_to_restart(properties, process, wanted, executable):
    """Say why a unit must be (re)started, or return None.

    properties: its systemd properties. process: {"environment": dict, "executable": str} of its
    main process, or None.
    wanted: the environment it should have. executable: the path it should run.
    """
    if properties.get("ActiveState") != "active" or process is None:
        return "it does not run"
    if properties.get("NeedDaemonReload") == "yes":
        return "its unit file changed"
    if process["executable"] != executable:
        return "its executable was replaced"
    flags = {name for name in process["environment"] if name.startswith("FLANNELD_")}
    different = sorted(
        name for name in flags | set(wanted) if wanted.get(name) != process["environment"].get(name)
    )
    if different == [CONFIG_SUM]:
        return "the network's configuration changed"
    if different:
        return f"it runs with another {', '.join(different)}"
    return None


def read_process(pid, proc="/proc"):
    """Return {"environment", "executable"} of a process, or None when it is gone."""
    base = f"{proc}/{pid}"
    try:
        with open(base + "/environ", "rb") as environ:
            pairs = (
                item.decode(errors="replace").partition("=")
                for item in environ.read().split(b"\0")
                if item
            )
            return {
                "environment": {name: value for name, dummy, value in pairs},
                "executable": os.readlink(base + "/exe"),
            }
    except OSError:
        return None


class Systemd:
    """systemctl and journalctl of this host. run: callable(list of str) -> (rc, stdout, stderr)."""

    def __init__(self, run):
        self._run = run

    def show(self, units):
        rc, out, err = self._run(["systemctl", "show", "-p", ",".join(PROPERTIES)] + list(units))
        if rc:
            raise UnitError(f"systemctl show failed: {(err or out).strip()}")
        return parse_show(out)

    def call(self, verb, units=()):
        rc, out, err = self._run(["systemctl", verb] + list(units))
        if rc:
            raise UnitError(f"'systemctl {verb} {' '.join(units)}' failed: {(err or out).strip()}")

    def tail(self, unit, lines=6):
        rc, out, dummy = self._run(
            ["journalctl", "--no-pager", "-o", "cat", "-n", str(lines), "-u", unit]
        )
        return out.strip() if rc == 0 and out.strip() else "(the journal has nothing of it)"


def plan_units(systemd, wanted, executable, restart_all=""):
    """Return ([(unit, reason)], [units to enable]).

    wanted: {unit: environment dict}. restart_all: a reason that concerns every unit, or "".
    """
    shown = systemd.show(wanted)
    restarts, enables = [], []
    for unit, environment in wanted.items():
        properties = shown.get(unit, {})
        pid = int(properties.get("MainPID") or 0)
        process = read_process(pid) if pid else None
        reason = reason_to_restart(properties, process, environment, executable) or restart_all
        if reason:
            restarts.append((unit, reason))
        if properties.get("UnitFileState") not in ("enabled", "enabled-runtime"):
            enables.append(unit)
    return restarts, enables


def apply_units(systemd, restarts, enables, timeout, clock=time.monotonic, sleep=time.sleep):
    """Enable and (re)start units and wait until each says it is ready (Type=notify).

    Raises UnitError.

    timeout: seconds for all of them together.
    """
    systemd.call("daemon-reload")
    if enables:
        systemd.call("enable", enables)
    units = [unit for unit, dummy in restarts]
    if not units:
        return
    # a unit that failed too often in a row is not started again unless its counter is cleared
    systemd.call("reset-failed", units)
    systemd.call("restart", ["--no-block"] + units)
    deadline = clock() + timeout
    while True:
        waiting = [
            unit
            for unit, properties in systemd.show(units).items()
            if properties["ActiveState"] != "active"
        ]
        if not waiting:
            return
        if clock() > deadline:
            raise UnitError(
                "\n".join(
                    f"{unit} did not get ready in {timeout} s. It printed"
                    f" last:\n{systemd.tail(unit)}"
                    for unit in waiting
                )
            )
        sleep(0.2)


def wait_for_subnets(wanted, timeout, clock=time.monotonic, sleep=time.sleep):
    """Wait until each network has its subnet on this host. Raises UnitError.

    wanted: {path of the file that a flanneld writes: range of its network}. timeout: seconds for
    all of them together.
    """
    deadline = clock() + timeout
    while True:
        waiting = [path for path, cidr in wanted.items() if _subnet_of(path) != cidr]
        if not waiting:
            return
        if clock() > deadline:
            raise UnitError(
                "\n".join(
                    f"{path} was not written in {timeout} s: no flanneld of this network got a"
                    " lease on this host. See its pod (kubectl get pods -A -o wide)."
                    for path in waiting
                )
            )
        sleep(0.2)


def _subnet_of(path):
    """Return the range of the network that a subnet file is about, None when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return parse_environment(file.read()).get("FLANNEL_NETWORK")
    except FileNotFoundError:
        return None
