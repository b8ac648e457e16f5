# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections that are served at a time: nobody keeps the others out by holding many."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
import time

_PATIENCE = 5.0  # seconds


class Places:
    """number: how many there are. As many threads again may be on their way to end."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._changed = threading.Condition()
        self._held: dict[socket.socket, tuple[str, float]] = {}  # the oldest first
        self._ending: set[socket.socket] = set()

    def take(self, connection: socket.socket, name: str) -> None:
        """Give a connection a place. Where there are no more, the oldest connection of whoever has
        the most of them ends. Wait where as many have still to end; raise ConnectionRefusedError
        when they do not.

        name: whose it is.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._ending) < self._number, _PATIENCE):
                raise ConnectionRefusedError()
            self._held[connection] = (name, time.monotonic())
            if len(self._held) > self._number:
                numbers = collections.Counter(name for name, _since in self._held.values())
                most = max(numbers.values())
                self._end(next(one for one, held in self._held.items() if numbers[held[0]] == most))

    def give_back(self, connection: socket.socket) -> None:
        """Take note that a connection needs no place any more; before it is closed."""
        with self._changed:
            self._held.pop(connection, None)
            self._ending.discard(connection)
            self._changed.notify()

    def end_older(self, seconds: float) -> None:
        """End the connections that have had their place for so long, however much has come by
        then.
        """
        until = time.monotonic() - seconds
        with self._changed:
            for connection in [one for one, held in self._held.items() if held[1] < until]:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """Its thread finds it ended, and gives it back."""
        del self._held[connection]
        self._ending.add(connection)
        with contextlib.suppress(OSError):
            # SSLSocket's own would go on without TLS, and take what anybody sent for its peer's
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
