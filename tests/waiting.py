# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for what a test asserts, on a machine of whatever speed."""

from __future__ import annotations

import subprocess
import time
import typing as t

# No test is about how quick a machine is: it is the end of a wait in vain, and costs nothing else.
PATIENCE = 120.0  # seconds

Value = t.TypeVar("Value")


def wait_for(
    condition: t.Callable[[], Value],
    process: subprocess.Popen[t.Any] | None = None,
    every: float = 0.05,
    why: t.Callable[[], object] = lambda: "",
) -> Value:
    """Return the first true value of condition(); raise AssertionError where it does not come about
    within PATIENCE, or a process that has to bring it about has ended.

    every: seconds between two looks. why: what the error says besides.
    """
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert process is None or process.poll() is None, f"it has ended: {why()}"
        assert time.monotonic() < end, f"waited {PATIENCE:.0f} s in vain: {why()}"
        time.sleep(every)
    return value
