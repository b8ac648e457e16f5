# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove things from a host: first see what is there, then take it away, step by step."""

from __future__ import annotations

import functools
import glob
import ipaddress
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

from .._cni import files
from .._ranges import Range, is_within
from . import executables, links, multus, xfrm
from .files import original

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


MOUNTS = "/proc/self/mountinfo"


class RemovalError(Exception):
    """Something that could not be removed. The message says what is left and why."""


def interrupted(error: Exception, verb: str, done: Iterable[str]) -> str:
    """Say why some steps were the last, and which came before; verb: what they did, a participle
    such as Removed.
    """
    return f"{str(error).rstrip('.')}. {verb} before that: {', '.join(done) or 'nothing'}."


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
        self._answer(command)

    def _answer(self, command: list[str], *absent: str) -> str:
        """Return what a command prints, "" where it fails and says one of the words: then the host
        has no such thing. Raises RemovalError.
        """
        code, out, err = self._run(command)
        if not code:
            return out
        said = (err or out).strip()
        if any(words in said for words in absent):
            return ""
        raise RemovalError(f"'{' '.join(command)}' failed: {said}")

    def step(
        self, what: str, command: list[str] | Callable[[], None], is_there: Callable[[], bool]
    ) -> Step:
        """Return the step that runs a command, or a function that raises RemovalError. It does not
        fail if what it removes is gone afterwards: somebody else may have removed it.
        """

        def act() -> None:
            try:
                if isinstance(command, list):
                    self.execute(command)
                else:
                    command()
            except RemovalError:
                if is_there():
                    raise

        return Step(what, act)

    def has_link(self, name: str) -> bool:
        """Whether there is a network device."""
        return os.path.isdir("/sys/class/net/" + name)

    def addresses(self) -> dict[str, list[str]]:
        """Return the addresses of each network device but the loopback; raise RemovalError."""
        out = self._answer(["ip", "-j", "addr"])
        return {
            link["ifname"]: [one["local"] for one in link.get("addr_info", []) if "local" in one]
            for link in (json.loads(out) if out.strip() else [])
            if link.get("ifname", "lo") != "lo"
        }

    def mac(self, name: str) -> str | None:
        """Return links.mac()."""
        return links.mac(name)

    def has_table(self, family: str, name: str) -> bool:
        """Whether there is an nftables table; raise RemovalError."""
        if not shutil.which("nft"):
            return False
        listing = ["nft", "list", "table", family, name]
        return self._answer(listing, "No such file or directory", "not supported") != ""

    def has_unit(self, name: str) -> bool:
        """Whether systemd knows a unit as running, failed or enabled; raise RemovalError."""
        properties = self._unit(name)
        active = properties.get("ActiveState") not in ("inactive", None)
        return active or properties.get("UnitFileState") in ("enabled", "enabled-runtime")

    def remove_unit(self, name: str) -> None:
        """Stop and disable a unit; raise RemovalError.

        One that has failed stays so when it is stopped, and for systemd is there without its file:
        then it can be forgotten alone.
        """
        try:
            self.execute(["systemctl", "disable", "--now", name])
        finally:
            if self._unit(name).get("ActiveState") == "failed":
                self._run(["systemctl", "reset-failed", name])

    def _unit(self, name: str) -> dict[str, str]:
        show = ["systemctl", "show", "-p", "ActiveState,UnitFileState", name]
        out = self._answer(show, "not been booted with systemd")
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def routes_inside(self, cidr: str) -> list[dict[str, str]]:
        """Return the routes ({dst, dev}) of the main table that lie inside a range and lead to one
        device: those without one (blackhole, several next hops) are no flanneld's. Raises
        RemovalError.
        """
        outer = ipaddress.ip_network(cidr)
        out = self._answer(["ip", f"-{outer.version}", "-j", "route"], "not supported")
        routes = json.loads(out) if out.strip() else []
        return [
            route
            for route in routes
            if route["dst"] != "default"
            and route.get("dev")
            and route.get("type", "unicast") == "unicast"
            and is_within(ipaddress.ip_network(route["dst"], strict=False), outer)
        ]

    def policies_inside(self, cidr: str) -> list[xfrm.Policy]:
        """Return ipsec's policies between parts of a range; raise RemovalError."""
        outer = ipaddress.ip_network(cidr)
        return [
            one
            for one in xfrm.policies(self._answer(["ip", "xfrm", "policy"], "not supported"))
            if _is_part(one.source, outer) and _is_part(one.target, outer)
        ]


def _is_part(end: str, outer: Range) -> bool:
    """Whether an end of a policy lies in a range; one with host bits set is no flanneld's."""
    try:
        return is_within(ipaddress.ip_network(end), outer)
    except ValueError:
        return False


def unit_steps(host: Host, units: Iterable[str]) -> list[Step]:
    """Return the steps that stop and disable units."""
    return [
        host.step(
            f"unit {unit}",
            functools.partial(host.remove_unit, unit),
            functools.partial(host.has_unit, unit),
        )
        for unit in units
        if host.has_unit(unit)
    ]


def device_steps(host: Host, devices: Iterable[str]) -> list[Step]:
    """Return the steps that delete network devices."""
    return [
        host.step(
            f"device {device}",
            ["ip", "link", "delete", device],
            functools.partial(host.has_link, device),
        )
        for device in devices
        if host.has_link(device)
    ]


def table_steps(host: Host, tables: Iterable[str]) -> list[Step]:
    """Return the steps that delete nftables tables of the families that the guard has."""
    return [
        host.step(
            f"nftables table {family} {table}",
            ["nft", "delete", "table", family, table],
            functools.partial(host.has_table, family, table),
        )
        for table in tables
        for family in ("inet", "bridge")
        if host.has_table(family, table)
    ]


def path_steps(paths: Iterable[str]) -> list[Step]:
    """Return the steps that delete files and directories, and what killed writes of them have left.
    Of what is mounted in one of these the content goes.

    A * in a path stands for any part of a name.
    """
    mounts = _mount_points()
    return [
        Step(("directory " if os.path.isdir(path) else "file ") + path, _remover(path, mounts))
        for path in _going(paths)
        if not _is_mounts_alone(path, mounts)
    ]


def _going(paths: Iterable[str]) -> list[str]:
    """Return what is there of paths and of writes of them that were killed, each once."""
    paths = list(paths)
    return list(dict.fromkeys(paths_there(paths) + leftovers(paths)))


def leftovers(paths: Iterable[str]) -> list[str]:
    """Return the files that killed writes of these paths have left beside them."""
    return [file for path in paths for dummy, file in files.leftovers(path)]


def paths_there(paths: Iterable[str]) -> list[str]:
    """Return those of the paths that are there. A * in one stands for any part of a name."""
    return [
        found
        for path in paths
        for found in (sorted(glob.glob(path)) if "*" in path else [path])
        if os.path.lexists(found)
    ]


def _remover(path: str, mounts: Collection[str]) -> Callable[[], None]:
    def remove() -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            _remove_directory(os.path.realpath(path), mounts)
        elif os.path.lexists(path):
            os.unlink(path)

    return remove


def _mount_points() -> list[str]:
    """Return where file systems are mounted; raise OSError."""
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as stream:
        lines = stream.read().splitlines()
    # a blank is \040 there
    return [
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4])
        for line in lines
    ]


def _within(path: str, mounts: Collection[str]) -> list[str]:
    """Return the mount points that are a directory, or in it; path: without links."""
    return [one for one in mounts if one == path or one.startswith(path + "/")]


def _remove_directory(path: str, mounts: Collection[str]) -> None:
    """Remove a directory, but for what is mounted there: that cannot be removed, and is emptied."""
    mounts = _within(path, mounts)
    if not mounts:
        shutil.rmtree(path)
        return
    for name in os.listdir(path):
        inner = os.path.join(path, name)
        if os.path.isdir(inner) and not os.path.islink(inner):
            _remove_directory(inner, mounts)
        else:
            os.unlink(inner)


def _is_mounts_alone(path: str, mounts: Collection[str]) -> bool:
    """Whether there is nothing in a directory but file systems that are mounted, all empty."""
    if os.path.islink(path):
        return False
    path = os.path.realpath(path)
    return bool(_within(path, mounts)) and all(
        _within(top, mounts)
        and not names
        and not any(os.path.islink(os.path.join(top, directory)) for directory in directories)
        for top, directories, names in os.walk(path)
    )


def original_steps(paths: Iterable[str]) -> list[Step]:
    """Return the steps that put back what the meta-plugin took the place of, at these paths. Where
    another has put something there since, that stays, and what was kept is out of date.
    """
    steps = []
    for path in paths:
        kept = original(path)
        if not os.path.lexists(kept):
            continue
        if executables.is_launcher_at(path) or not os.path.lexists(path):
            steps.append(
                Step(
                    f"the meta-plugin from {path}, which becomes what it was before",
                    functools.partial(os.replace, kept, path),
                )
            )
        else:
            steps.append(Step(f"file {kept}", functools.partial(os.unlink, kept)))
    return steps


def multus_steps(conf_dir: str) -> list[Step]:
    """Return the steps after which Multus' configurations in a directory do without ours. Those
    that it wrote meanwhile with ours as their delegate are again what they were before.
    """
    fed_by_us = multus.look(conf_dir, "").fed_by_us
    steps = []
    for path in multus.kept(conf_dir):
        kept = original(path)
        if path in fed_by_us:
            what, act = f"our delegate from {path}, which becomes what it was before", os.replace
            steps.append(Step(what, functools.partial(act, kept, path)))
        else:
            steps.append(Step(f"file {kept}", functools.partial(os.unlink, kept)))
    return steps


def empty_directory_steps(paths: Iterable[str], going: Iterable[str] = ()) -> list[Step]:
    """Return the steps that delete directories others may use as well: those in which nothing is
    left once the paths in `going` are gone. What is inside goes before what holds it.
    """
    steps: list[Step] = []
    gone = set(going)
    for path in sorted(set(paths), key=lambda one: (-one.count("/"), one)):
        if path in gone or os.path.islink(path) or not os.path.isdir(path):
            continue
        if all(os.path.join(path, name) in gone for name in os.listdir(path)):
            gone.add(path)
            steps.append(Step(f"directory {path}", _empty_remover(path)))
    return steps


def rest_steps(paths: Iterable[str], directories: Iterable[str], record: str) -> list[Step]:
    """Return the steps that delete paths and, where they are empty then, directories. The path with
    the record of what is ours comes last: a removal that was cut off must find it.
    """
    paths = list(paths)
    last = [path for path in paths if record.startswith(path.rstrip("/") + "/")]
    steps = path_steps(path for path in paths if path not in last)
    steps += empty_directory_steps(directories, _going(paths))
    return steps + path_steps(last)


def _empty_remover(path: str) -> Callable[[], None]:
    def remove() -> None:
        # somebody may have put something there by now
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)

    return remove
