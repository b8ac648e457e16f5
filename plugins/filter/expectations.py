# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the site's own rules are rules, and whether they hold.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._site import expectations


def expectation_problems(declared: Any) -> list[str]:
    """Return expectations.problems(). Raises AnsibleFilterError without jmespath."""
    try:
        return expectations.problems(plain(declared))
    except MissingLibraryError as error:
        raise AnsibleFilterError(str(error)) from error


def broken_expectations(declared: list[dict[str, str]], documents: dict[str, Any]) -> list[str]:
    """Return a sentence for each rule over these documents that does not hold (see
    expectations.judged()). Raises AnsibleFilterError without jmespath.
    """
    if not declared:
        return []
    try:
        judged = expectations.judged(plain(declared), plain(documents))
    except MissingLibraryError as error:
        raise AnsibleFilterError(str(error)) from error
    return [expectations.told(one) for one in judged if not one["holds"]]


def plain(value: Any) -> Any:
    """Return a value of Ansible's as one of JSON: jmespath goes by the very type of each."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if isinstance(value, float) else int(value)
    return value


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "broken_expectations": broken_expectations,
            "expectation_problems": expectation_problems,
        }
