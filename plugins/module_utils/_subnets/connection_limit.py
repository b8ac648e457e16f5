# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit on connections at a time: nobody keeps the others out by holding many."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
import time


class ConnectionLimit:
    """number: of connections at a time. As many threads again of each name may be about to end.
    displaces: whether a newcomer ends a connection also of one who has no more than it has.
    """

    def __init__(self, number: int, *, displaces: bool) -> None:
        self._number, self._displaces = number, displaces
        self._changed = threading.Condition()
        self._held: dict[socket.socket, tuple[str, float]] = {}  # the oldest first
        self._ending: dict[socket.socket, str] = {}

    def admit(self, connection: socket.socket, name: str, patience: float = 0.0) -> None:
        """Count a new connection. Where the limit is reached, the oldest connection of whoever has
        the most of them ends. Raise ConnectionRefusedError where others have as many as the
        newcomer would, unless it displaces, or where as many of its name have still to end after so
        many seconds.

        name: whose it is.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(name), patience):
                raise ConnectionRefusedError()
            numbers = collections.Counter([name, *(held[0] for held in self._held.values())])
            most = max(numbers.values())
            is_full = len(self._held) >= self._number
            equals = [other for other in numbers if numbers[other] == most]
            if is_full and name in equals and len(equals) > 1 and not self._displaces:
                raise ConnectionRefusedError()
            self._held[connection] = (name, time.monotonic())
            if is_full:
                self._end(next(one for one, held in self._held.items() if numbers[held[0]] == most))

    def _has_room(self, name: str) -> bool:
        return sum(other == name for other in self._ending.values()) < self._number

    def release(self, connection: socket.socket) -> None:
        """Count a connection no more; call it before the connection is closed."""
        with self._changed:
            self._held.pop(connection, None)
            if self._ending.pop(connection, None):
                self._changed.notify_all()

    def end_older(self, seconds: float) -> None:
        """End the connections that were admitted so long ago, however much has come by then."""
        until = time.monotonic() - seconds
        with self._changed:
            for connection in [one for one, held in self._held.items() if held[1] < until]:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """Its thread finds it ended, and releases it."""
        self._ending[connection] = self._held.pop(connection)[0]
        with contextlib.suppress(OSError):
            # SSLSocket's own would go on without TLS, and take what anybody sent for its peer's
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
