# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How properties are tried: here, for a test has the settings of when its module is imported."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same inputs each time, however slow the machine is
settings.register_profile(
    "all",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("all")
