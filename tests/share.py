# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of tests that two processes of pytest share, as they wait more than they work.

Each process takes the next file that the other has not taken: the first one from the front, the
second one from the back. The second one writes its reports to a file, from which the first one
tells them as its own, so one closing line counts all tests.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import typing as t
import warnings

import pytest

_FILES, _REPORTS = "files", "reports"


def by_file(items: t.Iterable[pytest.Item]) -> list[list[pytest.Item]]:
    """Return the tests of each file, in their order."""
    return [list(group) for dummy, group in itertools.groupby(items, lambda item: item.path)]


def take(directory: pathlib.Path, file: pathlib.Path) -> bool:
    """Take a file; return False where the other process has it."""
    mark = directory / _FILES / file.name  # no two files of tests have the same name
    mark.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return True
    return False


class Writer:
    """A plugin of the second process: writes what it reports, a line each."""

    def __init__(self, directory: pathlib.Path, config: pytest.Config) -> None:
        self._file = (directory / _REPORTS).open("a", encoding="ascii")
        self._config = config

    def _write(self, kind: str, nodeid: str, content: t.Any = None) -> None:
        self._file.write(json.dumps([kind, nodeid, content]) + "\n")
        self._file.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        to_text = self._config.hook.pytest_report_to_serializable
        self._write("report", report.nodeid, to_text(config=self._config, report=report))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write("done", nodeid)

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str
    ) -> None:
        seen = warning_message
        what = [str(seen.message), seen.category.__name__, seen.filename, seen.lineno, when]
        self._write("warning", nodeid, what)


class Reader:
    """What the second process has reported so far, for the first one."""

    def __init__(self, directory: pathlib.Path, config: pytest.Config) -> None:
        self._path = directory / _REPORTS
        self._config = config
        self._read = 0  # bytes
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._done: set[str] = set()

    def _look(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if line.endswith(b"\n"):  # the other process may be in the middle of one
                    self._read += len(line)
                    self._take_in(*json.loads(line))

    def _take_in(self, kind: str, nodeid: str, content: t.Any) -> None:
        if kind == "done":
            self._done.add(nodeid)
        elif kind == "warning":
            text, category, filename, lineno, when = content
            its_kind = type(category, (Warning,), {})
            seen = warnings.WarningMessage(its_kind(text), its_kind, filename, lineno)
            told = {"warning_message": seen, "when": when, "nodeid": nodeid, "location": None}
            self._config.hook.pytest_warning_recorded.call_historic(kwargs=told)
        else:
            from_text = self._config.hook.pytest_report_from_serializable
            report = from_text(config=self._config, data=content)
            if isinstance(report.longrepr, list):  # JSON has no tuples
                report.longrepr = tuple(report.longrepr)
            self._reports.setdefault(nodeid, []).append(report)

    def reports(self, nodeid: str) -> list[pytest.TestReport] | None:
        """Return all reports of a test, None while it has not been done."""
        if nodeid not in self._done:
            self._look()
        return self._reports.get(nodeid, []) if nodeid in self._done else None


def unreported(item: pytest.Item, why: str) -> pytest.TestReport:
    """Return the report of a test that the second process took and never reported."""
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"The second process of tests ended without a report of this test.\n{why}",
        when="call",
    )
