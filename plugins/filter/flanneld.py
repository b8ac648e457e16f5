# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the flanneld units of a host (documentation: flanneld_units.yml)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed, units
from ansible_collections.multinet.flannel.plugins.module_utils._plan import errors, render


def flanneld_units(
    plan: dict[str, Any], settings: Mapping[str, Any], reason: str = ""
) -> list[dict[str, Any]]:
    """Return the units of plan's networks, in their order, as module node_units takes them.

    settings: see render.flanneld_environment(). reason: one of units.GIVEN to restart them
    all that is known already, or "". Raises AnsibleFilterError with one sentence a line.
    """
    return [
        {
            "name": network["unit"],
            "environment": _environment(network, settings),
            "environment_prefix": "FLANNELD_",
            "executable": deployed.FLANNELD,
            "arguments": [],
            "reason": reason,
        }
        for network in plan["networks"]
    ]


def _environment(network: dict[str, Any], settings: Mapping[str, Any]) -> str:
    config = json.dumps(network["flannel_config"], sort_keys=True).encode()
    try:
        environment = render.flanneld_environment(network, dict(settings))
    except errors.PlanError as error:
        raise AnsibleFilterError(str(error)) from error
    return f"{environment}{units.CONFIG_SUM}={hashlib.sha256(config).hexdigest()}\n"


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"flanneld_units": flanneld_units}
