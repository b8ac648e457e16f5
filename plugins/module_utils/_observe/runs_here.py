# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs that measure on this host: where each keeps its files, and which UDP port it has.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import math
import os
import shutil
import time
from collections.abc import Iterator

WAIT = 60  # seconds for another measurement to give up its port
PAUSE = 0.2  # between two looks


class TakenError(Exception):
    """Another measurement has the port; the text says which, and what to do."""


def directory(runtime_dir: str, run: str) -> str:
    """Return where the listener of a measurement keeps its files."""
    return os.path.join(runtime_dir, "probe-" + run)


def running(place: str) -> int | None:
    """Return the pid of the live listener of the directory place, None if it has ended."""
    try:
        with open(os.path.join(place, "lock"), encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        with open(os.path.join(place, "pid"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def taken(runtime_dir: str) -> list[int]:
    """Return the UDP ports of the measurements that run on this host."""
    found = glob.glob(os.path.join(runtime_dir, "probe-*"))
    ports = {_noted(place, "port", 0) for place in found if running(place) is not None}
    return sorted(int(port) for port in ports if port)


def take(place: str, port: int) -> int:
    """Make the directory of a measurement, and return the descriptor of its lock, which is held.

    Others may run, on ports of their own. One that began at the same time may have this port: it is
    waited for; raises TakenError if it has not ended by then.
    """
    until = time.monotonic() + WAIT
    while True:
        try:
            return _take(place, port)
        except TakenError:
            if time.monotonic() > until:
                raise
        time.sleep(PAUSE)


def _take(place: str, port: int) -> int:
    """Do the same at once. Removes what ended measurements left beside it."""
    runtime_dir = os.path.dirname(place)
    with _one_at_a_time(runtime_dir):
        for other in glob.glob(os.path.join(runtime_dir, "probe-*")):
            pid = running(other)
            if pid is None:
                shutil.rmtree(other, ignore_errors=True)
            elif _noted(other, "port", port) == port:
                raise TakenError(
                    f"Another measurement on UDP port {port} is running on this host (process"
                    f" {pid}, {other}). Wait until it ends by itself, or stop that process, and run"
                    " this one again."
                )
        os.makedirs(place, mode=0o700)
        lock = os.open(os.path.join(place, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        note(place, "port", port)
        return lock


def remove(place: str) -> None:
    """Remove the directory of a measurement, and with the last one the one that they are in."""
    runtime_dir = os.path.dirname(place)
    with _one_at_a_time(runtime_dir):
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):  # there are others in it
            os.rmdir(runtime_dir)


@contextlib.contextmanager
def _one_at_a_time(runtime_dir: str) -> Iterator[None]:
    """Make the directory, which nobody else fills or removes meanwhile."""
    held = None
    while held is None:
        held = _hold(runtime_dir)
    try:
        yield
    finally:
        os.close(held)


def _hold(runtime_dir: str) -> int | None:
    """Return the descriptor of the directory, locked; None if it was removed meanwhile."""
    try:
        os.makedirs(runtime_dir, exist_ok=True)
        held = os.open(runtime_dir, os.O_RDONLY | os.O_CLOEXEC)
    except (FileExistsError, FileNotFoundError):
        if os.path.lexists(runtime_dir) and not os.path.isdir(runtime_dir):
            raise
        return None
    with contextlib.suppress(FileNotFoundError):
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(held), os.stat(runtime_dir)):
            return held
    os.close(held)
    return None


def deadline_of(runtime_dir: str, run: str) -> float:
    """Return when (time.monotonic()) a measurement is to be over on this host, infinity if it has
    no listener here.
    """
    return _noted(directory(runtime_dir, run), "until", math.inf)


def note(place: str, what: str, number: float) -> None:
    """Write a number that others ask a measurement for, into its directory."""
    with open(os.path.join(place, what), "w", encoding="ascii") as file:
        file.write(f"{number}\n")


def _noted(place: str, what: str, otherwise: float) -> float:
    try:
        with open(os.path.join(place, what), encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        return otherwise
