# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run an executable: what it reads, what it prints, and how long it may take."""

from __future__ import annotations

import errno
import select
import time

from . import errors
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ

    from .invoke import Outcome
else:
    # `signal` adds names for people, and takes milliseconds to import
    from _signal import SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ

# A plugin that is being replaced while it is started ("text file busy") is tried again: as often
# and as slowly as libcni does.
_BUSY_TRIES = 6
_BUSY_SECONDS = 1.0
_KILL_SECONDS = 5.0
_OUTPUT_LIMIT = 16 * 1024 * 1024


def run(file: str, environ: dict[str, str], stdin: bytes, seconds: float | None) -> Outcome:
    """See invoke.Exec."""
    # Files instead of pipes: nothing can block, and nobody who inherited an end can keep us
    # waiting.
    streams = [_anonymous_file("stdin"), _anonymous_file("stdout"), _anonymous_file("stderr")]
    try:
        os.write(streams[0], stdin)
        os.lseek(streams[0], 0, os.SEEK_SET)
        pid = _spawn(file, environ, streams)
        status = _wait(pid, file, seconds, streams[1:])
        return status, _content(streams[1]), _content(streams[2])
    finally:
        for stream in streams:
            os.close(stream)


def _anonymous_file(name: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _content(stream: int) -> bytes:
    os.lseek(stream, 0, os.SEEK_SET)
    with os.fdopen(os.dup(stream), "rb") as file:
        return file.read(_OUTPUT_LIMIT)


def _spawn(file: str, environ: dict[str, str], streams: list[int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
    for attempt in range(_BUSY_TRIES):
        try:
            # Its own process group, so that what it started can be ended with it; the signals
            # Python ignores are not the plugin's affair.
            return os.posix_spawn(
                file,
                [file],
                environ,
                file_actions=actions,
                setpgroup=0,
                setsigdef=(SIGPIPE, SIGXFSZ, SIGTERM),
            )
        except OSError as error:
            if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES - 1:
                raise errors.io_failure(f"{file} cannot be started.", error) from None
        time.sleep(_BUSY_SECONDS)
    raise AssertionError("the last attempt returned or raised")


def _wait(pid: int, file: str, seconds: float | None, outputs: list[int]) -> int:
    """Return the exit status of a child; kill it when it is late or talks without end."""
    deadline = None if seconds is None else time.monotonic() + seconds
    ending = _pidfd(pid)
    try:
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise errors.Error(
                    errors.TRY_AGAIN_LATER,
                    f"{file} did not end within {seconds:.0f} seconds and was killed.",
                )
            if any(os.fstat(output).st_size > _OUTPUT_LIMIT for output in outputs):
                raise errors.Error(
                    errors.DECODING_FAILURE,
                    f"{file} printed more than {_OUTPUT_LIMIT >> 20} MiB and was killed.",
                )
            _sleep(ending, min(left, 1.0))
    except errors.Error:
        _kill(pid, ending)  # late, too talkative, or we are told to end ourselves
        raise
    finally:
        if ending is not None:
            os.close(ending)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that is readable when the child has ended, or None on a kernel before
    5.3.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _sleep(ending: int | None, seconds: float) -> None:
    if ending is None:
        time.sleep(min(seconds, 0.002))
        return
    poll = select.poll()
    poll.register(ending, select.POLLIN)
    poll.poll(seconds * 1000)


def _kill(pid: int, ending: int | None) -> None:
    """Kill a child with what it started. One that waits in the kernel (for a disk or a lock there)
    ends when that is over, maybe never; it is left alone after some seconds.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    try:
        os.killpg(pid, SIGKILL)
        while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < deadline:
            _sleep(ending, 0.1)
    except (ProcessLookupError, ChildProcessError):
        pass
