# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a playbook is, host by host, for callbacks that tell it to somebody.

A telling is {host, state, percentage, message, severity}: state is INSTALLING, SUCCESSFUL or ERROR,
percentage a number from 0 to 1 of the whole run, severity INFO, WARNING or ERROR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# What a row of a table takes.
LONGEST = 400
# All of it is said at the end, and no earlier.
ALMOST = 0.99


class Progress:
    """What is told of a run. Pure: what happened goes in, tellings go to `tell`."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._tasks = 0
        self._done = 0
        self._roles: dict[str, str] = {}
        self._reasons: dict[str, str] = {}

    def playbook(self, tasks: int) -> None:
        """A playbook begins: so many tasks more."""
        self._tasks += tasks

    def play(self, hosts: list[str]) -> None:
        """A play begins on these hosts (names)."""
        for host in hosts:
            if host not in self._roles:
                self._roles[host] = ""
                self._say(host, "INSTALLING", self._part(), "begins", "INFO")

    def task(self) -> None:
        """A task begins."""
        self._done += 1

    def host(self, host: str, role: str, task: str) -> None:
        """The task begins on a host. It is told where the role is another one."""
        if role and self._roles.get(host) != role:
            self._roles[host] = role
            self._say(host, "INSTALLING", self._part(), f"{role}: {task}", "INFO")

    def failed(self, host: str, task: str, result: Mapping[str, Any]) -> None:
        """A task failed on a host; it may be rescued yet. Its reason is kept."""
        message = result.get("msg") or result.get("stderr") or "failed"
        self._reasons[host] = f"{task}: {message}"

    def end(self, failed: list[str], final: bool = True) -> None:
        """The run ends. failed: hosts that failed or could not be reached.

        A run is of all hosts or of none: those that did not fail stopped. They are told first, for
        who listens may take the last telling for that of the cluster. final: whether nothing else
        is installed after this run, and success is told as such.
        """
        for host in sorted(self._roles, key=lambda host: host in failed):
            if host in failed:
                reason = self._reasons.get(host, "failed")
                self._say(host, "ERROR", self._part(), reason, "ERROR")
            elif failed:
                self._say(
                    host, "ERROR", self._part(), f"stopped, because {failed[0]} failed", "ERROR"
                )
            elif final:
                self._say(host, "SUCCESSFUL", 1.0, "done", "INFO")
            else:
                self._say(host, "INSTALLING", ALMOST, "networks are done", "INFO")

    def _part(self) -> float:
        return round(min(ALMOST, self._done / self._tasks), 2) if self._tasks else 0.0

    def _say(self, host: str, state: str, part: float, message: str, severity: str) -> None:
        self._tell(
            {
                "host": host,
                "state": state,
                "percentage": part,
                "message": " ".join(message.split())[:LONGEST],
                "severity": severity,
            }
        )
