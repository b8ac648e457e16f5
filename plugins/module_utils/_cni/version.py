# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of the CNI specification, and which operation came with which."""

from __future__ import annotations

ALL = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = ALL[-1]
# What a configuration without cniVersion speaks.
UNSTATED = "0.1.0"


def at_least(version: str, minimum: str) -> bool:
    """Say whether a version of ALL is the minimum (also one of ALL) or later."""
    return ALL.index(version) >= ALL.index(minimum)
