# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run beside the tests of this process.

Two things run at a time, as many as the smallest machine has cores: one command beside the tests of
this process; after them two commands. While a second process runs tests, too (share.py), it is a
third thing: tests wait about half of their time. Each writes a file of its own,
.build/test/NAME.log.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "test"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TASK = re.compile(r"[ │]{0,4}TASK \[")  # not those of a playbook that a task runs
_ERROR = re.compile(r"[ │]{0,4}(\[ERROR\]: Task failed|fatal: \[)")
_ENDED = re.compile(r".*Return code: \d")
_FAILED = re.compile(r".*Return code: [1-9]")
_FIRST, _LAST = 10, 60  # lines of a failure that are shown


@dataclasses.dataclass
class Job:
    """A command; once it is done, its exit status and what it took.

    again: what a person types to run it alone. room: of the jobs that name the same one, one runs
    at a time. undo: a command that removes what is left when the job was ended half way. grace:
    seconds in which it may clean up by itself when it is ended. seconds: by the clock. cpu: seconds
    that processors worked for the command, without what the test hosts did.
    """

    name: str
    command: tuple[str, ...]
    again: str
    room: str = ""
    undo: tuple[str, ...] = ()
    grace: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    status: int | None = None
    began: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def log(self) -> pathlib.Path:
        """The file with its output."""
        return LOGS / f"{self.name.replace(' ', '-')}.log"

    def failure(self) -> str:
        """Return the part of the output that says why the command failed: of the last task of a
        scenario that failed on a host, after which the other hosts may have gone on; else its last
        lines.
        """
        text = _COLOUR.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        lines = text.splitlines()
        ends = [number for number, line in enumerate(lines) if _ENDED.match(line)]
        failed = [number for number in ends if _FAILED.match(lines[number])]
        if failed:
            before = [number for number in ends if number < failed[-1]]
            lines = _failed_task(lines[before[-1] if before else 0 : failed[-1]])
            if len(lines) > _FIRST + _LAST:
                lines = [*lines[:_FIRST], "...", *lines[-_LAST:]]
        return "\n".join(lines[-_FIRST - _LAST - 1 :])

    def start(self, environment: dict[str, str]) -> None:
        """Start the command."""
        LOGS.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ctrl-C is for the tests, which then end their jobs
            )

    def ended(self) -> bool:
        """Look whether the command, which was running, has ended."""
        assert self.process
        # Popen.poll would not say what the command used.
        pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
        if not pid:
            return False
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - self.began
        self.cpu = used.ru_utime + used.ru_stime
        return True

    def kill(self, environment: dict[str, str]) -> None:
        """End the command, which was running, and all that it started; remove what it left."""
        assert self.process
        if self.grace:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace)
        if self.process.returncode is None:
            # Ansible's workers have sessions of their own, so a process group would not be enough.
            for pid in reversed(_with_descendants(self.process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.status = self.process.wait()
        if self.undo:
            subprocess.run(
                self.undo,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def _failed_task(lines: list[str]) -> list[str]:
    """Return the lines of the last task that failed on a host, else of the last task."""
    tasks = [number for number, line in enumerate(lines) if _TASK.match(line)]
    errors = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    last = errors[-1] if errors else len(lines)
    begins = max((task for task in tasks if task < last), default=0)
    ends = min((task for task in tasks if task > last), default=len(lines))
    return lines[begins:ends]


class Jobs:
    """Runs jobs in their order, without threads: whoever owns it calls `tend` now and then."""

    def __init__(self, jobs: list[Job], environment: dict[str, str]) -> None:
        self._environment = environment
        self._waiting = list(jobs)
        self._running: list[Job] = []

    def tend(self, at_once: int = 1) -> list[Job]:
        """Start what may run, so many at once, and return the jobs that have ended since."""
        ended = [job for job in self._running if job.ended()]
        self._running = [job for job in self._running if job not in ended]
        for job in list(self._waiting):
            rooms = {other.room for other in self._running if other.room}
            if len(self._running) < at_once and job.room not in rooms:
                self._waiting.remove(job)
                self._running.append(job)
                job.start(self._environment)
        return ended

    def stop(self) -> list[str]:
        """Start no more jobs, end those that run, and return their names."""
        ended, self._running, self._waiting = self._running, [], []
        for job in ended:
            job.kill(self._environment)
        return [job.name for job in ended]


def _with_descendants(pid: int) -> list[int]:
    """Return the process and all that it started, parents first."""
    children: dict[int, list[int]] = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may have any character; the parent is the second field after.
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found
