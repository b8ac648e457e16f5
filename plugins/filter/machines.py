# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: what only all hosts of a run together show (documentation: <name of the filter>.yml)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._preflight import machines
from ansible_collections.multinet.flannel.plugins.plugin_utils._pki import certificates


def machine_problems(
    names: Iterable[str], hostvars: Mapping[str, Any], variable: str, inventory: Mapping[str, Any]
) -> list[str]:
    """Return machines.problems() of the hosts that have registered `variable`."""
    return machines.problems(_hosts(names, hostvars, variable), _inventory(inventory))


def reset_problems(
    names: Iterable[str],
    hostvars: Mapping[str, Any],
    variable: str,
    inventory: Mapping[str, Any],
    networks: Iterable[Mapping[str, Any]] = (),
    prune: bool = False,
) -> list[str]:
    """Return machines.reset_problems(); networks: as module flannel_network_config returns them."""
    others = [lease for network in networks for lease in network["others"]]
    names = list(names)
    hosts = _hosts(names, hostvars, variable)
    # a host that is down may be gone for good; one that says why it cannot be reset is there
    looks = {name: hostvars[name].get(variable) or {} for name in names}
    refused = [
        name for name, look in looks.items() if look.get("failed") and not look.get("unreachable")
    ]
    return machines.reset_problems(hosts, _inventory(inventory), others, prune, refused)


def machine_names(
    names: Iterable[str], hostvars: Mapping[str, Any], variable: str, inventory: Mapping[str, Any]
) -> dict[str, str]:
    """Return machines.first_names() of the hosts that have registered `variable`."""
    return machines.first_names(_hosts(names, hostvars, variable), _inventory(inventory))


def _hosts(
    names: Iterable[str], hostvars: Mapping[str, Any], variable: str
) -> dict[str, dict[str, Any]]:
    """Return {name: what the module that registered the variable said of its host}."""
    registered = {name: hostvars[name].get(variable) for name in names}
    return {
        name: dict(result["host"])
        for name, result in registered.items()
        if result and "host" in result
    }


def _inventory(inventory: Mapping[str, Any]) -> machines.Inventory:
    has_ca = bool(inventory["pki_dir"]) and certificates.has_ca(inventory["pki_dir"])
    return machines.Inventory(**dict(inventory), has_ca=has_ca)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "machine_problems": machine_problems,
            "reset_problems": reset_problems,
            "machine_names": machine_names,
        }
