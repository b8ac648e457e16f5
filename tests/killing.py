# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a program before any of its changes to the host, one after the other: what is tried is every
moment, not some that chance has found.

A change is what Python reports to audit hooks when a file is opened for writing, made, renamed,
linked or removed, gets a mode or an owner, or a process is started; and each write to a descriptor,
which Python does not report.
"""

from __future__ import annotations

import os
import signal
import sys
import typing as t

_CHANGES = frozenset(
    f"os.{name}"
    for name in (
        *("chmod", "chown", "link", "mkdir", "posix_spawn", "remove", "rename", "rmdir"),
        *("symlink", "truncate"),
    )
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
KILLED = -signal.SIGKILL


class Countdown:
    """Kills this process before its change number `left`, counted from 0; None: never.

    Once made, it counts the changes of this process until its end.
    """

    def __init__(self, left: int | None) -> None:
        self._left = left
        sys.addaudithook(self._audit)
        os.write = self.before(os.write)

    def before(
        self, function: t.Callable[..., t.Any], is_change: t.Callable[..., bool] = lambda *_: True
    ) -> t.Callable[..., t.Any]:
        """Return the function, each call of which counts as a change if is_change says so of its
        arguments.
        """

        def counted(*arguments: t.Any, **keys: t.Any) -> t.Any:
            if is_change(*arguments):
                self.count()
            return function(*arguments, **keys)

        return counted

    def count(self) -> None:
        """Count a change, or die before it."""
        if self._left is not None:
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1

    def _audit(self, event: str, arguments: tuple[t.Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and arguments[2] & _WRITES):
            self.count()


def run(act: t.Callable[[], object], number: int | None) -> bool:
    """Do something in a child, which is killed before its change of this number; return whether it
    came to its end instead. Raises AssertionError if it failed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            Countdown(number)
            act()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED), status
    return status == 0


def everywhere(act: t.Callable[[], object]) -> t.Iterator[int]:
    """Do something again and again, killed before its first change, its second and so on, until it
    ends by itself; yield the number after each kill, for what is to be seen then and made ready for
    the next time.
    """
    number = 0
    while not run(act, number):
        yield number
        number += 1
