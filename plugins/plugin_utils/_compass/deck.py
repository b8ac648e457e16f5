# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the deck of Compass4nfv how far its hosts are.

A program of its own, with the standard library alone: a deck that is slow holds up nobody, and a
playbook that is killed is told, too. Standard input has lines of JSON:

    {"url", "email", "password", "cluster", "timeout"}      first: where the deck is, timeout in s
    {"host", "state", "percentage", "message", "severity"}  a telling
    {"end": true}                                           last; without it, the playbook died

Only the newest telling of each host waits to be sent. When all is sent, or the deck has not taken
it within a minute of the end, what went wrong is written to standard output, a sentence.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO, Any

# Between two attempts, in s, and after the end of the playbook.
PAUSE = 1.0
LAST = 60.0
DIED = {"state": "ERROR", "message": "the playbook ended before its summary", "severity": "ERROR"}


class DeckError(Exception):
    """The deck cannot be told; the text is a sentence that names no secret."""


class Deck:
    """The deck's API. The token is asked for when it is needed, and again when it has expired."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._url = settings["url"].rstrip("/")
        self._cluster = settings["cluster"]
        self._timeout = settings["timeout"]
        self._login = {"email": settings["email"], "password": settings["password"]}
        self._opener = urllib.request.build_opener()
        self._token = ""
        self._ids: dict[str, int] = {}

    def tell(self, telling: dict[str, Any]) -> None:
        """Post a host's state; a host that the deck does not know is nobody. Raise DeckError."""
        for attempt in (1, 2):
            try:
                if not self._token:
                    self._token = self._call("/users/token", self._login)["token"]
                if not self._ids:
                    self._ids = self._hosts()
                number = self._ids.get(telling["host"])
                if number is not None:
                    body = {key: value for key, value in telling.items() if key != "host"}
                    self._call(f"/clusterhosts/{number}/state", body)
                return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != 401 or attempt == 2:
                    raise DeckError(f"The deck at {self._url} answers {error.code}.") from None
                self._token = ""
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                raise DeckError(f"The deck at {self._url} cannot be reached: {reason}.") from None
            except (ValueError, LookupError, TypeError, AttributeError):
                raise DeckError(f"{self._url} answers, but not like a deck.") from None

    def _hosts(self) -> dict[str, int]:
        return {
            host["hostname"]: host["clusterhost_id"]
            for host in self._call("/clusterhosts")
            if host["clustername"] == self._cluster
        }

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **({"X-Auth-Token": self._token} if self._token else {}),
            },
        )
        with self._opener.open(request, timeout=self._timeout) as response:
            return json.loads(response.read(1 << 24) or b"null")


class Mailbox:
    """The newest telling of each host that has not been sent, the oldest of them first."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()
        self._changed = threading.Condition()
        self.ended = False

    def read(self, lines: IO[str]) -> None:
        """Take in lines until there are no more."""
        for line in lines:
            try:
                telling = json.loads(line)
            except ValueError:
                continue  # the line at which the playbook was killed
            if telling.get("end"):
                self.end()
                return
            self._put(telling)
        self.end(died=True)

    def end(self, died: bool = False) -> None:
        """Nothing more will come in. Who has died does not say how it ended; that is done here."""
        with self._changed:
            hosts = sorted(self._told) if died and not self.ended else []
        for host in hosts:
            self._put({"host": host, "percentage": 0.0, **DIED})
        with self._changed:
            self.ended = True
            self._changed.notify()

    def _put(self, telling: dict[str, Any]) -> None:
        with self._changed:
            # to the end of the row: what is said last is sent last
            self._waiting.pop(telling["host"], None)
            self._waiting[telling["host"]] = telling
            self._told.add(telling["host"])
            self._changed.notify()

    def take(self) -> dict[str, Any] | None:
        """Wait for a telling and return it; null when there are none, and will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.ended)
            return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def give_back(self, telling: dict[str, Any]) -> None:
        """Have a telling sent after the others, unless there is a newer one of the host."""
        with self._changed:
            self._waiting.setdefault(telling["host"], telling)

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the end is known."""
        with self._changed:
            if self.ended:
                self._changed.wait(seconds)
            else:
                self._changed.wait_for(lambda: self.ended, seconds)


def send(
    mailbox: Mailbox,
    tell: Callable[[dict[str, Any]], None],
    last: float = LAST,
    pause: float = PAUSE,
    now: Callable[[], float] = time.monotonic,
) -> str:
    """Send all that comes into a mailbox. Return what went wrong, "" if all was told."""
    until = None
    while True:
        telling = mailbox.take()
        if telling is None:
            return ""
        try:
            tell(telling)
        except DeckError as error:
            mailbox.give_back(telling)
            if mailbox.ended:
                until = until or now() + last
                if now() >= until:
                    return str(error)
            mailbox.pause(pause)


def watch(mailbox: Mailbox, parent: int, pause: float = PAUSE) -> None:
    """Return when the process `parent`, which started this one, is no more.

    Its workers outlive it when it is killed, and keep standard input open.
    """
    while os.getppid() == parent:
        time.sleep(pause)
    time.sleep(pause)  # what it wrote last is read first
    mailbox.end(died=True)


def main() -> int:
    """Run until standard input ends and all is told. Returns the exit status."""
    parent = os.getppid()
    deck = Deck(json.loads(sys.stdin.readline()))
    mailbox = Mailbox()
    for work, arguments in ((mailbox.read, (sys.stdin,)), (watch, (mailbox, parent))):
        threading.Thread(target=work, args=arguments, daemon=True).start()
    problem = send(mailbox, deck.tell)
    if problem:
        sys.stdout.write(problem + "\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
