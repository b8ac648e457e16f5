# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked without running it, as tests: a finding there hides no other test's result."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("check", ["lint", "sanity"])
def test_static(check: str, environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """scripts/<check>.sh finds nothing; its output is shown while it runs."""
    with capfd.disabled():
        done = subprocess.run([ROOT / "scripts" / f"{check}.sh"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{check} failed: its output is above; repeat it with `make {check}`"
