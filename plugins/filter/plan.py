# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the plan of a declaration (documentation: plan.yml)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import flannel_config
from ansible_collections.multinet.flannel.plugins.module_utils._plan.secrets import secrets


def plan_filter(networks: Any, options: Any = None) -> dict[str, Any]:
    """Return plan(networks, options). Raises AnsibleFilterError with one sentence a line."""
    try:
        return plan(networks, options)
    except PlanError as error:
        raise AnsibleFilterError(f"The networks cannot be set up as declared:\n{error}") from error
    except MissingLibraryError as error:
        raise AnsibleFilterError(str(error)) from error


def plan_as_deployed(planned: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return a plan whose networks of these names have no default `mtu`, as they are deployed
    (changes.without_default()).
    """

    def deployed(network: dict[str, Any]) -> dict[str, Any]:
        network = {**network, "backend": {**network["backend"], "mtu": None}}
        return {**network, "flannel_config": flannel_config(network)}

    networks = [deployed(one) if one["name"] in names else one for one in planned["networks"]]
    return {**planned, "networks": networks}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan": plan_filter, "plan_as_deployed": plan_as_deployed, "secrets": secrets}
