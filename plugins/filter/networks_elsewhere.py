# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that others deployed, as verify takes them.

Documentation: networks_elsewhere.yml and networks_elsewhere_problems.yml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._observe import elsewhere


def networks_elsewhere(declared: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return elsewhere.plan_of(). Raises AnsibleFilterError of a wrong declaration."""
    try:
        return elsewhere.plan_of(declared)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def networks_elsewhere_problems(
    declared: Any, hostvars: Mapping[str, Any], hosts: Sequence[str]
) -> list[str]:
    """Return what is wrong with verify_networks of these hosts, see elsewhere.problems() and
    elsewhere.differing(); nothing where none has any.
    """
    of_hosts = {host: hostvars[host].get("verify_networks") or None for host in hosts}
    return elsewhere.differing(of_hosts) or (elsewhere.problems(declared) if declared else [])


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "networks_elsewhere": networks_elsewhere,
            "networks_elsewhere_problems": networks_elsewhere_problems,
        }
