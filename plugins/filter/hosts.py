# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: what hosts have registered, and what a user reads of one.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._site import hosts


def results_of(names: Iterable[str], hostvars: Mapping[str, Any], variable: str) -> dict[str, Any]:
    """Return {name: what it has registered as `variable`} of the hosts that have."""
    return {name: hostvars[name][variable] for name in names if variable in hostvars[name]}


def status_of_host(found: Mapping[str, Any]) -> list[str]:
    """Return hosts.of_status()."""
    return hosts.of_status(found)


def adopt_of_host(found: Mapping[str, Any], confirmed: bool) -> list[str]:
    """Return hosts.of_adoption() of what module foreign_networks_info returned."""
    said = {name: found[name] for name in hosts.Adoption._fields if name != "confirmed"}
    return hosts.of_adoption(hosts.Adoption(**said, confirmed=confirmed))


def rollback_of_host(host: Mapping[str, Any]) -> str:
    """Return hosts.of_rollback() of a mapping with the fields of hosts.Rollback."""
    return hosts.of_rollback(hosts.Rollback(**host))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "adopt_of_host": adopt_of_host,
            "results_of": results_of,
            "rollback_of_host": rollback_of_host,
            "status_of_host": status_of_host,
        }
