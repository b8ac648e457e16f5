# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's file says the sum of what was deployed with it, so that a host sees a rule that
somebody put ahead of others, took out, or moved: the guard loads what it is given. Pure.
"""

from __future__ import annotations

import hashlib

_LINE = "# sha256 of what follows: "


def sealed(text: str) -> str:
    """Return the file for these tables: their sum, and them."""
    return f"{_LINE}{_sum(text)}\n{text}"


def is_broken(file: str) -> bool:
    """Return whether a file is not what was deployed; False for one that has no sum."""
    first, dummy, rest = file.partition("\n")
    return first.startswith(_LINE) and first[len(_LINE) :] != _sum(rest)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
