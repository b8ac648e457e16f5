# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changes a host's networks: a run of Ansible, or the keeper between two runs; never both.

Both hold a lock while they change something. A run is many modules, with pauses in which it works
on other hosts, so each leaves in the lock when it ended: until QUIET seconds later the keeper
repairs nothing. A run that was killed needs no tidying up. Where there is no keeper there is no
directory for the lock, and nothing is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

PATH = "/run/multinet/changes.lock"
QUIET = 60.0
PATIENCE = 120.0  # seconds for which a module waits for the keeper, which restarts a daemon or two


class LockError(Exception):
    """Somebody is at work for too long. The message says what to do."""


@contextlib.contextmanager
def by_run(
    path: str = PATH,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock while a module changes something; raise LockError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield  # no keeper was ever here; or the disk is full, and nobody else can make it either
        return
    try:
        deadline = clock() + PATIENCE
        while not _take(descriptor):
            if clock() > deadline:
                raise LockError(
                    f"The keeper of this host has been repairing for {PATIENCE:.0f} s. Stop it"
                    " (systemctl stop multinet-keeper), and run this again; the run starts the"
                    " keeper again."
                )
            sleep(0.1)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a full disk
                # the clock of all processes since boot, which nobody sets
                os.pwrite(descriptor, f"{clock():020.3f}\n".encode(), 0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def by_keeper(path: str = PATH, clock: Callable[[], float] = time.monotonic) -> Iterator[bool]:
    """Hold the lock if no run is going on; the with block learns by True whether that is so."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield True  # it cannot be made, so no run holds it
        return
    try:
        yield _take(descriptor) and not 0 <= clock() - _ended(descriptor) < QUIET
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended(descriptor: int) -> float:
    """Return when the last module ended, long ago where nobody has said it."""
    try:
        return float(os.pread(descriptor, 64, 0))
    except ValueError:
        return -QUIET
