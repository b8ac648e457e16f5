# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked without running it, as tests: a finding there hides no other test's result."""

from __future__ import annotations

import jobs
import pytest


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            name,
            marks=pytest.mark.job(name=name, command=(f"scripts/{name}.sh",), again=f"make {name}"),
        )
        for name in ("sanity", "lint")
    ],
)
def test_static(check: str, job: jobs.Job) -> None:
    """scripts/<check>.sh finds nothing."""
    assert job.status == 0, f"{check} failed:\n{job.failure()}"
