# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as filters. Each is a name for one pure function of module_utils/_plan."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.changes import changed, removed
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import (
    flanneld_environment,
)


def plan_filter(networks: t.Any, options: t.Any = None) -> dict[str, t.Any]:
    """Return plan(networks, options). Raises AnsibleFilterError with one sentence a line."""
    try:
        return plan(networks, options)
    except PlanError as error:
        raise AnsibleFilterError(f"The networks cannot be set up as declared:\n{error}") from error
    except MissingLibraryError as error:
        raise AnsibleFilterError(str(error)) from error


def flanneld_environment_filter(network: dict[str, t.Any], settings: dict[str, t.Any]) -> str:
    """Return flanneld_environment(network, settings).

    Raises AnsibleFilterError with one sentence a line.
    """
    try:
        return flanneld_environment(network, settings)
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable]:
        """Return the filters by name."""
        return {
            "plan": plan_filter,
            "flanneld_environment": flanneld_environment_filter,
            "removed_networks": removed,
            "changed_networks": changed,
        }
