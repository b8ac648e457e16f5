# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host's tokens for the Kubernetes API: whether they are renewed. look() reads, the rest is
pure. Of a token's text nothing is kept.

Runs on hosts.
"""

from __future__ import annotations

import glob
import os
import time
from typing import Any

from .._node import journal
from .._tokens import token
from .commands import ObserveError, Run

SERVICE, TIMER = "multinet-token.service", "multinet-token.timer"

_EXPIRED = (
    "run the playbook site, which writes a new one; journalctl -u multinet-token says why it was"
    " not renewed"
)
_OVERDUE = (
    "put right what the renewal says (journalctl -u multinet-token); the playbook site writes a"
    " new token"
)
_CLOCK = "compare this host's clock with that of the Kubernetes API, then run the playbook site"


def look(
    units: dict[str, dict[str, Any]], execute: Run, directory: str = token.DIRECTORY
) -> dict[str, dict[str, Any]]:
    """Return {program: {"end": when its token ends (Unix time, None if it cannot be read),
    "wrong": a sentence or "", "remedy": what puts it right}}.

    units: properties of the timer and of its service, as systemctl says them.
    """
    now, up = time.time(), time.monotonic()
    timer = units[TIMER]
    began = _seconds(timer, "ActiveEnterTimestampMonotonic")
    waited = up - began if timer.get("ActiveState") == "active" else None
    found: dict[str, dict[str, Any]] = {}
    for kubeconfig in sorted(glob.glob(os.path.join(glob.escape(directory), "*.kubeconfig"))):
        path = kubeconfig[: -len("kubeconfig")] + "token"
        program = os.path.basename(path)[: -len(".token")]
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                held = token.Token(file.read())
        except (OSError, token.TokenError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            wrong = f"the token {path} for the Kubernetes API cannot be read: {why}"
            found[program] = {"end": None, "wrong": wrong, "remedy": "run the playbook site"}
            continue
        said, wrong = "", trouble(held, now, waited)
        if wrong == "overdue":
            since = now - (up - _seconds(units[SERVICE], "InactiveExitTimestampMonotonic"))
            said = _last_said(kubeconfig, since, execute)
        sentence, remedy = judged(path, held, wrong, said)
        found[program] = {"end": held.end, "wrong": sentence, "remedy": remedy}
    return found


def trouble(held: token.Token, now: float, waited: float | None) -> str:
    """Return what is wrong with a token: "expired", "overdue", "early" (it begins much later than
    it is by this host's clock), or "".

    waited: for how many seconds the timer runs, None if it does not. A host that was off has to
    be given the time for a renewal.
    """
    if held.end <= now:
        return "expired"
    if held.is_overdue(now) and (waited is None or waited > token.patience(held.seconds)):
        return "overdue"
    # by such a clock it is renewed when only a part of a quarter is left, or too late
    return "early" if held.left(now) > 1 + token.REPLACE_BELOW else ""


def judged(path: str, held: token.Token, trouble: str, said: str) -> tuple[str, str]:
    """Return (sentence, remedy) on a token, ("", "") where nothing is wrong.

    trouble: as trouble() returns it; said: what the last renewal said, "" if that is not known.
    """
    name, end = f"the token {path} for the Kubernetes API", token.at(held.end)
    if trouble == "expired":
        return f"{name} expired at {end}, for it was not renewed", _EXPIRED
    if trouble == "early":
        begin = token.at(held.begin)
        return f"{name} begins at {begin}, which is later than it is by this host's clock", _CLOCK
    if trouble == "overdue":
        last = f"the last renewal said: {said.rstrip('.')}" if said else "no renewal has said why"
        # if it is renewed again and again, it is always old by this host's clock
        remedy = _CLOCK if said.startswith(token.RENEWED) else _OVERDUE
        return f"{name} is not renewed and ends at {end} ({last})", remedy
    return "", ""


def _last_said(kubeconfig: str, since: float, execute: Run) -> str:
    """Return what the renewal that started at a time (Unix) said of a token, else why it ended."""
    command = ["journalctl", "--no-pager", "-o", "cat", "-n", "200", "-u", SERVICE]
    try:
        text = execute([*command, f"--since=@{since:.3f}"])
    except ObserveError:
        return ""
    mark = f"{kubeconfig}: "
    lines = [line[len(mark) :] for line in text.splitlines() if line.startswith(mark)]
    return lines[-1] if lines else journal.reason_in(text)


def _seconds(properties: dict[str, Any], name: str) -> float:
    return int(properties.get(name) or 0) / 1e6
