# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked without running it, as tests: a finding there hides no other test's result."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("check", ["lint", "sanity"])
def test_static(check: str, run_shown: Callable[..., int]) -> None:
    """scripts/<check>.sh finds nothing."""
    assert run_shown(f"scripts/{check}.sh") == 0, (
        f"{check} failed: its output is above; repeat it with `make {check}`"
    )
