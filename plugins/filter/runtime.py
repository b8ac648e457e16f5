# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters about container runtimes: where a distribution has things, and the network that docker is
in.
"""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._runtime.presets import paths


def distribution_paths(distribution):
    """Return presets.paths(distribution); raise AnsibleFilterError with its sentence."""
    try:
        return paths(distribution)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def planned_network(plan, name):
    """Return the network of a plan (dict) by its name (str); raise AnsibleFilterError."""
    for network in plan["networks"]:
        if network["name"] == name:
            return network
    raise AnsibleFilterError(
        f"multinet_docker_network is {name!r}, which is no network; write one of"
        f" {', '.join(network['name'] for network in plan['networks'])}, or leave it out."
    )


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self):
        return {"distribution_paths": distribution_paths, "planned_network": planned_network}
