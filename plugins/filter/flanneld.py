# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the flanneld units of a host run with, from the plan."""

from __future__ import annotations

import hashlib
import json

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._node import units
from ansible_collections.multinet.flannel.plugins.module_utils._plan import errors, render


def flanneld_units(plan, settings, reason=""):
    """Return the units of plan's networks as module node_units takes them.

    reason: one to restart them all that is known already, or "". Raises AnsibleFilterError with
    one sentence a line.
    """
    return [
        {
            "name": network["unit"],
            "environment": _environment(network, settings),
            "environment_prefix": "FLANNELD_",
            "executable": "/usr/local/bin/flanneld",
            "reason": reason,
        }
        for network in plan["networks"]
    ]


def flanneld_environment_files(plan, settings):
    """Return the files that the flanneld of plan's networks read as module node_files takes them.

    Raises AnsibleFilterError as well.
    """
    files = [
        (network["environment_file"], _environment(network, settings))
        for network in plan["networks"]
    ]
    # with etcd, flanneld reads it there
    files += [
        (
            network["net_config_file"],
            json.dumps(network["flannel_config"], indent=2, sort_keys=True) + "\n",
        )
        for network in plan["networks"]
        if network["net_config_file"]
    ]
    return [{"path": path, "content": content, "mode": "0644"} for path, content in files]


def _environment(network, settings):
    config = json.dumps(network["flannel_config"], sort_keys=True).encode()
    try:
        return f"{render.flanneld_environment(network, settings)}{units.CONFIG_SUM}={hashlib.sha256(config).hexdigest()}\n"
    except errors.PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters about flanneld units."""

    def filters(self):
        return {
            "flanneld_units": flanneld_units,
            "flanneld_environment_files": flanneld_environment_files,
        }
