# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between two reports of verify.

Documentation: report_diff.yml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._observe import changes


def report_diff(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return changes.changes(). Raises AnsibleFilterError of what is no report."""
    for report in (before, now):
        problem = changes.problem(report)
        if problem:
            raise AnsibleFilterError(f"report_diff: {problem}")
    try:
        return changes.changes(before, now)
    except ValueError as error:
        raise AnsibleFilterError(f"report_diff: a report cannot be compared: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report_diff": report_diff}
