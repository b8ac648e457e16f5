# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation at a time on an attachment, also when the one before was killed and a plugin that
it had started lives on.

The lock is a file that is held open by the operation and, by inheritance, by every plugin it
starts. So it is free only when all of them are gone. The operation has a record lock on it as well,
which is not inherited: while there is one, whoever has it is at work, in whichever PID namespace.
"""

from __future__ import annotations

import fcntl
import time

from .._cni import errors
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from signal import SIGKILL
else:
    from _signal import SIGKILL  # as in process.py

_PAUSE = 0.02


class held:  # noqa: N801 - reads as a word: with lock.held(...)
    """Hold the lock of an attachment for the time of a with block.

    seconds: how long to wait for others; needed: whether a lock file that cannot be written (a full
    disk) is an Error: who only takes away goes on without. After half of the time, plugins that are
    left over from a killed operation are killed; another operation that is still at work is not.
    Raises Error (code 11: somebody is still at work; code 5).
    """

    def __init__(
        self, directory: str, container_id: str, interface: str, seconds: float, needed: bool = True
    ) -> None:
        self.path = os.path.join(directory, f".{container_id}:{interface}.lock")
        self.seconds = seconds
        self.needed = needed
        self.descriptor: int | None = None

    def __enter__(self) -> None:
        try:
            self.descriptor = _acquire(self.path, time.monotonic() + self.seconds, self.seconds / 2)
        except OSError as error:
            if self.needed:
                raise errors.io_failure(f"The lock {self.path} cannot be taken.", error) from None

    def __exit__(self, *dummy: object) -> None:
        if self.descriptor is not None:
            try:
                os.unlink(self.path)  # while it is held, so nobody else's is unlinked
            except OSError:
                pass
            os.close(self.descriptor)


def _acquire(path: str, deadline: float, patience: float) -> int:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for(descriptor, path, deadline, patience)
            # the one before us may have unlinked what we hold
            if _same(descriptor, path):
                _own(descriptor)
                os.set_inheritable(descriptor, True)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _own(descriptor: int) -> None:
    """Let others see that the owner of the lock is at work, as long as it is."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
    except BlockingIOError:  # on NFS, where the lock that we have is of the same kind, and its own
        os.write(descriptor, b"%d" % os.getpid())  # others end nobody then


def _wait_for(descriptor: int, path: str, deadline: float, patience: float) -> None:
    """Return when the file is locked, or is not the one at path any more."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            pass  # somebody has it
        if not _same(descriptor, path):
            return  # whoever had it has ended; what that left behind keeps nobody waiting
        left = deadline - time.monotonic()
        if left <= 0:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                "Another operation on this attachment is still running.",
                f"It holds {path}.",
            )
        if left <= patience:
            try:
                _end_orphans(descriptor, path)
            except OSError:
                pass  # they cannot be ended, and have it
        time.sleep(_PAUSE)


def _same(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _end_orphans(descriptor: int, path: str) -> None:
    """Kill the processes that hold the lock, when the operation that started them is gone."""
    if not _is_orphaned(descriptor, path) or not _has_own_proc():
        return
    for pid in list(_holders(os.fstat(descriptor))):
        try:
            _kill(pid, descriptor, path)
        except ProcessLookupError:
            pass


def _is_orphaned(descriptor: int, path: str) -> bool:
    """Say whether nobody at work has the lock.

    A former version wrote its process id into the file and had no record lock: those are left. The
    file is looked for last: who ends removes it before its record lock goes.
    """
    return not (
        os.fstat(descriptor).st_size or _has_record_lock(descriptor) or not _same(descriptor, path)
    )


def _has_record_lock(descriptor: int) -> bool:
    """Say whether another process has one on the file."""
    import struct  # where somebody has been waited for

    form = "hhqqi4x"  # C's struct flock
    asked = struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    found = struct.unpack(form, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return bool(found[0] != fcntl.F_UNLCK)


def _has_own_proc() -> bool:
    """Say whether /proc has the process ids of our own PID namespace. In another one's, as where
    a container has entered the mounts of its host, a number is another process's here.
    """
    try:
        with open("/proc/self/status", encoding="utf-8", errors="surrogateescape") as lines:
            numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
    except (OSError, StopIteration):
        return False
    return numbers == [str(os.getpid())]


def _kill(pid: int, descriptor: int, path: str) -> None:
    """Kill a process that holds the file, and none that has got its number or the lock
    meanwhile.
    """
    process = None
    try:
        from signal import pidfd_send_signal

        process = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (ImportError, AttributeError, OSError):
        pass  # a kernel before 5.3, or a Python made on one
    try:
        if _holds(str(pid), os.fstat(descriptor)) and _is_orphaned(descriptor, path):
            if process is None:
                os.kill(pid, SIGKILL)
            else:
                pidfd_send_signal(process, SIGKILL)
    finally:
        if process is not None:
            os.close(process)


def _holders(status: os.stat_result) -> Iterator[int]:
    """The ids of the processes that hold the file by inheritance or as owner; who only waits for it
    has it open to be closed on exec.
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and _holds(name, status):
            yield int(name)


def _holds(pid: str, status: os.stat_result) -> bool:
    try:
        return any(_is_inherited(pid, entry, status) for entry in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def _is_inherited(pid: str, descriptor: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(
            os.stat(f"/proc/{pid}/fd/{descriptor}"), status
        ) and not _closes_on_exec(pid, descriptor)
    except OSError:
        return False


def _closes_on_exec(pid: str, descriptor: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as info:
        flags = next(line for line in info if line.startswith("flags:"))
    return bool(int(flags.split()[1], 8) & os.O_CLOEXEC)
