# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that a look at the host runs, and what they print. Runs on hosts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

Run = Callable[[Sequence[str]], str]


class ObserveError(Exception):
    """The host cannot be looked at. The message says what failed."""


def run(argv: Sequence[str]) -> str:
    """Return what a command prints; raise ObserveError."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ObserveError(f"{argv[0]} cannot be run: {error}") from error
    if done.returncode:
        raise ObserveError(f"'{' '.join(argv)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def listed(execute: Run, argv: Sequence[str]) -> list[Any]:
    """Return the list that a command prints as JSON; raise ObserveError."""
    try:
        found = json.loads(execute(argv) or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ObserveError(f"'{' '.join(argv)}' did not print a list in JSON.")
    return found


def of_ip(execute: Run, *arguments: str) -> list[dict[str, Any]]:
    """Return what `ip` lists with all details; raise ObserveError."""
    return [one for one in listed(execute, ["ip", "-j", "-d", *arguments]) if one]
