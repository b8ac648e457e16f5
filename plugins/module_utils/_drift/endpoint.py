# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the keeper's numbers to who asks by HTTP, in a thread of its own: GET /metrics.

What is served is in memory. So whoever asks, however often and however slowly, makes the keeper
look no later. Runs on hosts: standard library alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from typing import NamedTuple

from .._node.exposition import CONTENT_TYPE

CONNECTIONS = 16  # at a time; one more is closed unheard
SECONDS = 5.0  # for an exchange, from its first byte to its last
HEAD = 4096  # bytes of a request, at most
AGAIN = 60.0  # seconds until an address is tried again that could not be served


class Address(NamedTuple):
    """Where to serve: a unix socket (path, and the group that may connect), or a loopback port."""

    path: str = ""
    group: str = ""
    port: int = 0

    def __str__(self) -> str:
        return self.path or f"127.0.0.1:{self.port}"

    def listen(self) -> socket.socket:
        """Return the listening socket; raise OSError, LookupError (group) or OverflowError."""
        if not self.path:
            return socket.create_server(("127.0.0.1", self.port), backlog=CONNECTIONS)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise FileExistsError(f"{self.path} is there and is no socket")
            os.unlink(self.path)  # of the keeper before
        listener = socket.socket(socket.AF_UNIX)
        try:
            os.fchmod(listener.fileno(), 0o600)  # before there is a name
            listener.bind(self.path)
            shutil.chown(self.path, group=self.group)
            os.chmod(self.path, 0o660)
            listener.listen(CONNECTIONS)
        except BaseException:
            listener.close()
            raise
        return listener


class Endpoint:
    """Answers with text() (bytes), at all addresses."""

    def __init__(self, text: Callable[[], bytes], say: Callable[[str], None]) -> None:
        self._text, self._say = text, say
        self._open = 0

    def start(self, addresses: list[Address]) -> None:
        """Serve until the process ends."""
        if addresses:
            threading.Thread(target=asyncio.run, args=(self.serve(addresses),), daemon=True).start()

    async def serve(self, addresses: list[Address]) -> None:
        """Serve for ever."""
        await asyncio.gather(*(self._serve(address) for address in addresses))

    async def _serve(self, address: Address) -> None:
        told = False
        while True:
            try:
                listener = address.listen()
            except (OSError, LookupError, OverflowError) as error:
                if not told:
                    self._say(
                        f"The metrics are not served at {address}, which is tried again: {error}"
                    )
                told = True
                await asyncio.sleep(AGAIN)
                continue
            serving = await asyncio.start_server(self._answer, sock=listener, limit=HEAD)
            await serving.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open < CONNECTIONS:
            self._open += 1
            try:
                await asyncio.wait_for(self._exchange(reader, writer), SECONDS)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError):
                pass  # who does not ask as one does, or does not listen, gets nothing
            finally:
                self._open -= 1
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, dummy = head.split(b"\r\n")[0].split(b" ")
        status, kind, body = b"200 OK", CONTENT_TYPE.encode(), self._text()
        if method not in (b"GET", b"HEAD"):
            status, kind, body = b"405 Method Not Allowed", b"text/plain", b"This can be read.\n"
        elif target.partition(b"?")[0] != b"/metrics":
            status, kind, body = b"404 Not Found", b"text/plain", b"There is /metrics alone.\n"
        writer.transport.set_write_buffer_limits(0)  # drain() waits until all of it is taken
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, kind, len(body), b"" if method == b"HEAD" else body)
        )
        await writer.drain()
