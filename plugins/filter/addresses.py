# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of a site's addresses. Documentation: <name of the filter>.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._site import addresses


def addresses_filter(
    plan: dict[str, Any], found: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return addresses.account().

    settings: {hosts: list of all that there should be, hostvars, taken: list of ranges,
    prefix_length, ipv6_prefix_length}. Raises AnsibleFilterError with a sentence.
    """
    try:
        return addresses.account(
            plan,
            found,
            _said(settings, "multinet_node_address"),
            _said(settings, "ansible_host"),
            list(settings["taken"]),
            {4: settings["prefix_length"], 6: settings["ipv6_prefix_length"]},
        )
    except (addresses.AddressesError, MissingLibraryError) as error:
        raise AnsibleFilterError(str(error)) from error


def _said(settings: Mapping[str, Any], variable: str) -> dict[str, str]:
    """Return what the inventory says in a variable of each host, "" where it says nothing."""
    hostvars = settings["hostvars"]
    return {host: str(hostvars[host].get(variable) or "") for host in settings["hosts"]}


def addresses_table(made: dict[str, Any]) -> list[str]:
    """Return addresses.table()."""
    return addresses.table(made)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"addresses": addresses_filter, "addresses_table": addresses_table}
