# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host's member of an etcd cluster: what can be seen of it, and what can be done to it.

Effects only; membership.py says when.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from .._cni import files
from .._node import units
from . import environment
from .client import Client, EtcdError, EtcdUnavailableError, ListedMember
from .decision import ESTABLISHED, FORMING, NONE, Initial, MemberError

_AGAIN = 0.2  # seconds until a member that failed to start is looked at again
_SETTLE = 0.5  # until members are changed again; etcd wants them connected for 5 s before

Result = TypeVar("Result")


class Installed(NamedTuple):
    """What a member is made of on its host. environment: the text of the unit's environment file;
    initial_file: path of the one of its first start.
    """

    unit: str
    executable: str
    environment: str
    initial_file: str
    data_dir: str


class Service(NamedTuple):
    """What systemd says of the unit. stale: systemd has to read its file again; pid: 0 for none."""

    active: bool
    enabled: bool
    stale: bool
    pid: int


class Member:
    """connect: gives a client for these URLs; timeout: seconds for a start."""

    def __init__(
        self, installed: Installed, connect: Callable[[Sequence[str]], Client], timeout: float
    ) -> None:
        self._installed = installed
        self._connect = connect
        self._timeout = timeout

    # What is

    def data(self) -> str:
        """Return what is on the disk: NONE, FORMING or ESTABLISHED.

        Raises MemberError where etcd has its data elsewhere: an empty place would be taken for a
        loss.
        """
        settings = units.parse_environment(self._installed.environment)
        place = settings.get("ETCD_DATA_DIR", self._installed.data_dir)
        if os.path.normpath(place) != os.path.normpath(self._installed.data_dir):
            raise MemberError(
                f"data_dir is {self._installed.data_dir}, but etcd's settings say {place}"
                " (ETCD_DATA_DIR). Write the same place in both."
            )
        # As etcd itself sees it (server/storage/wal, Exist): a start that failed leaves
        # directories, too.
        directory = glob.escape(self._installed.data_dir)
        if not glob.glob(os.path.join(directory, "member", "wal", "*.wal")):
            return NONE
        try:
            with open(self._installed.initial_file, encoding="utf-8") as stream:
                first_start = units.parse_environment(stream.read())
        except FileNotFoundError:
            return ESTABLISHED
        return FORMING if environment.is_new_cluster(first_start) else ESTABLISHED

    def service(self) -> Service:
        """Return what systemd says of the unit; raise MemberError when it can't be asked."""
        unit = self._installed.unit
        properties = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID"
        done = self._systemctl("show", unit, "--property=" + properties)
        if done.returncode != 0:
            raise MemberError(
                f"systemctl can't be asked about {unit}: {done.stderr.strip()}. The host needs"
                " systemd."
            )
        shown = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        return Service(
            active=shown["ActiveState"] in ("active", "activating", "reloading"),
            enabled=shown["UnitFileState"] == "enabled",
            stale=shown["NeedDaemonReload"] == "yes" or shown["LoadState"] != "loaded",
            pid=int(shown["MainPID"]),
        )

    def restart_reason(self, service: Service, alone: bool) -> units.Reason | None:
        """Return why the running member isn't what it should be, None when it is. alone: it is the
        only member.

        Raises MemberError for what a restart can't change: whether several members speak TLS to
        each other.
        """
        process = units.read_process(service.pid) if service.active and service.pid else None
        if process is None:
            return None  # it has just ended: systemd starts it with what is there now
        try:
            runs = os.stat(f"/proc/{service.pid}/exe")
            there = os.stat(self._installed.executable)
        except (FileNotFoundError, ProcessLookupError):
            return None
        if (runs.st_dev, runs.st_ino) != (there.st_dev, there.st_ino):
            return units.Reason(units.EXECUTABLE)
        wanted, running = units.parse_environment(self._installed.environment), process.environment
        different = environment.differing(wanted, running)
        if not different:
            return None
        if not alone and environment.peer_scheme(wanted) != environment.peer_scheme(running):
            raise MemberError(
                "TLS between etcd members cannot be switched on or off while they run. Set"
                " multinet_etcd_tls back, or reduce the cluster to one member, switch, and let the"
                " others join."
            )
        return units.Reason("settings", ", ".join(different))

    def listed(self, urls: Sequence[str]) -> tuple[list[ListedMember] | None, str]:
        """Return (members as the living cluster at these URLs lists them, "") or (None, the
        sentence that says why there is none).
        """
        try:
            client = self._connect(urls)
            client.check_health()
            return client.members(), ""
        except EtcdError as error:
            return None, str(error)

    def is_healthy(self, url: str) -> bool:
        """Whether a read through the member at a URL reaches the cluster's leader."""
        try:
            self._connect([url]).check_health()
        except EtcdError:
            return False
        return True

    # What is done on the host

    def write_initial(self, initial: Initial) -> None:
        """Write the environment file of the first start."""
        path = self._installed.initial_file
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, environment.of_first_start(initial), 0o644)

    def forget_initial(self) -> bool:
        """Remove that file; return whether it was there.

        From now on the data is that of an established cluster.
        """
        try:
            os.unlink(self._installed.initial_file)
        except FileNotFoundError:
            return False
        return True

    def clear_data(self) -> None:
        """Remove what an etcd without its member directory left, so that it starts from nothing."""
        shutil.rmtree(self._installed.data_dir, ignore_errors=True)
        os.makedirs(self._installed.data_dir, mode=0o700, exist_ok=True)

    def save_snapshot(self, url: str) -> None:
        """Save the data of the member at a URL beside its directory, as etcd-VERSION.db: what a
        cluster of its version can be made from again. Raises MemberError and EtcdError.
        """
        client = self._connect([url])
        place = f"{os.path.normpath(self._installed.data_dir)}-{client.status()['version']}.db"
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(place)) as stream:
                client.snapshot(stream)
                stream.seek(0)
                files.write(place, stream, 0o600)
        except OSError as error:
            raise MemberError(
                f"The snapshot {place} could not be written: {error.strerror or error}. etcd still"
                " runs as before; make room there."
            ) from error

    def enable(self) -> None:
        """Let the unit start with the host."""
        self._must("enable", self._installed.unit)

    def reload_units(self) -> None:
        """Let systemd read the unit files again."""
        self._must("daemon-reload")

    def stop(self) -> None:
        """Stop the unit."""
        self._must("stop", self._installed.unit)

    def start(self, verb: str) -> None:
        """Have the unit started or restarted (verb), without waiting for it."""
        self._systemctl("reset-failed", self._installed.unit)
        self._must("--no-block", verb, self._installed.unit)

    def wait(self, url: str) -> None:
        """Return when the member says that it is ready and answers at a URL; raise MemberError with
        the reason by its journal when it doesn't in time, or never will.
        """
        unit, ends = self._installed.unit, units.Ends()
        since, deadline = time.time(), time.monotonic() + self._timeout
        while True:
            # Joins the start that is under way, and returns when the daemon has said that it is
            # ready.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._systemctl("start", unit, timeout=max(1.0, deadline - time.monotonic()))
            try:
                self._connect([url]).check_health()
                return
            except EtcdError as error:
                systemd = units.Systemd(units.run)
                shown = systemd.show([unit]).get(unit, {"ActiveState": "activating"})
                ends = ends.after(shown, functools.partial(systemd.reason, unit, since))
                if ends.for_good or time.monotonic() > deadline:
                    became = ends.for_good or f"didn't get ready within {self._timeout} s"
                    raise MemberError(
                        f"etcd ({unit}) {became}. {error} Its journal says:"
                        f" {systemd.reason(unit, since)}"
                    ) from error
            time.sleep(_AGAIN)  # it fails and systemd tries again

    def _must(self, *arguments: str) -> None:
        done = self._systemctl(*arguments)
        if done.returncode != 0:
            raise MemberError(
                f"systemctl {' '.join(arguments)} failed:"
                f" {done.stderr.strip() or 'no reason given'}"
            )

    @staticmethod
    def _systemctl(
        *arguments: str, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=timeout
        )

    # What is done to the cluster

    def change_cluster(self, urls: Sequence[str], change: Callable[[Client], Result]) -> Result:
        """Have the cluster at these URLs change its members; as long as it says that they aren't
        all connected (yet), ask it again.
        """
        client = self._connect(urls)
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return change(client)
            except EtcdUnavailableError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_SETTLE)
