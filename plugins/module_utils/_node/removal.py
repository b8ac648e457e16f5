# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove things from a host: first see what is there, then take it away, step by step."""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from .._ranges import is_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class RemovalError(Exception):
    """Something that could not be removed. The message says what is left and why."""


class Step(NamedTuple):
    """One thing that is there and goes."""

    what: str  # for people, such as "unit flanneld@red.service"
    act: Callable[[], object]  # removes it; raises RemovalError, OSError


class Host:
    """What is asked of a host, and the commands that remove."""

    def __init__(self, run: Callable[[list[str]], tuple[int, str, str]]) -> None:
        """run: calls a command, returns its exit status, stdout and stderr."""
        self._run = run

    def execute(self, command: list[str]) -> None:
        """Run a command; raise RemovalError when it fails."""
        code, out, err = self._run(command)
        if code:
            raise RemovalError(f"'{' '.join(command)}' failed: {(err or out).strip()}")

    def step(self, what: str, command: list[str]) -> Step:
        """Return the step that is a command."""
        return Step(what, lambda: self.execute(command))

    def has_link(self, name: str) -> bool:
        """Whether there is a network device."""
        return os.path.isdir("/sys/class/net/" + name)

    def has_table(self, name: str) -> bool:
        """Whether there is an nftables table of family inet."""
        if not shutil.which("nft"):
            return False
        return self._run(["nft", "list", "table", "inet", name])[0] == 0

    def has_unit(self, name: str) -> bool:
        """Whether systemd knows a unit as running or enabled."""
        out = self._run(["systemctl", "show", "-p", "ActiveState,UnitFileState", name])[1]
        properties = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        active = properties.get("ActiveState") not in ("inactive", None)
        return active or properties.get("UnitFileState") in ("enabled", "enabled-runtime")

    def routes_inside(self, cidr: str) -> list[dict[str, str]]:
        """Return the routes ({dst, dev}) of the main table that lie inside a range."""
        outer = ipaddress.ip_network(cidr)
        out = self._run(["ip", f"-{outer.version}", "-j", "route"])[1]
        routes = json.loads(out) if out.strip() else []
        return [
            route
            for route in routes
            if route["dst"] != "default"
            and is_within(ipaddress.ip_network(route["dst"], strict=False), outer)
        ]


def unit_steps(host: Host, units: Iterable[str]) -> list[Step]:
    """Return the steps that stop and disable units."""
    return [
        host.step(f"unit {unit}", ["systemctl", "disable", "--now", unit])
        for unit in units
        if host.has_unit(unit)
    ]


def device_steps(host: Host, devices: Iterable[str]) -> list[Step]:
    """Return the steps that delete network devices."""
    return [
        host.step(f"device {device}", ["ip", "link", "delete", device])
        for device in devices
        if host.has_link(device)
    ]


def table_steps(host: Host, tables: Iterable[str]) -> list[Step]:
    """Return the steps that delete nftables tables of family inet."""
    return [
        host.step(f"nftables table inet {table}", ["nft", "delete", "table", "inet", table])
        for table in tables
        if host.has_table(table)
    ]


def path_steps(paths: Iterable[str]) -> list[Step]:
    """Return the steps that delete files and directories.

    A * in a path stands for any part of a name.
    """
    there = [
        found
        for path in paths
        for found in (sorted(glob.glob(path)) if "*" in path else [path])
        if os.path.lexists(found)
    ]
    return [
        Step(("directory " if os.path.isdir(path) else "file ") + path, _remover(path))
        for path in there
    ]


def _remover(path: str) -> Callable[[], None]:
    def remove() -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    return remove


def empty_directory_steps(paths: Iterable[str]) -> list[Step]:
    """Return the steps that delete directories others may use as well: only where they are empty by
    then.
    """
    return [
        Step(f"directory {path} if empty", _empty_remover(path))
        for path in paths
        if os.path.isdir(path)
    ]


def _empty_remover(path: str) -> Callable[[], None]:
    def remove() -> None:
        if not os.listdir(path):
            os.rmdir(path)

    return remove
