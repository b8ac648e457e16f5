# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.network_plan: checks a declaration, on the controller and without a process of
its own.

Ansible loads the plugin of a task in the process that it forks for each task of each host. What is
imported here, those find imported: the filters and lookups, and all behind them (_preload()).
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
from typing import Any

from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible_collections.multinet.flannel.plugins import filter as filters
from ansible_collections.multinet.flannel.plugins import lookup as lookups
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._plan import argument_spec
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

ARGUMENT_SPEC = {
    "networks": {"type": "raw", "required": True},
    "options": {"type": "dict", "options": argument_spec.spec()},
}


def _preload() -> None:
    """Import the filters and lookups: 70 ms that each process would need."""
    for package in (filters, lookups):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    gc.freeze()  # a collector that looks at all of it has the kernel copy it for each process


_preload()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        networks = arguments["networks"]
        return remove_values(
            {**result, **_check(networks, arguments["options"])}, _secrets(networks)
        )


def _check(networks: Any, options: dict[str, Any] | None) -> dict[str, Any]:
    """Return the result: the plan, or every mistake at once."""
    try:
        planned = plan(networks, options)
    except MissingLibraryError as error:
        return {"failed": True, "msg": str(error), "errors": [str(error)]}
    except PlanError as error:
        text = f"The networks cannot be set up as declared:\n{error}"
        return {"failed": True, "msg": text, "errors": error.errors}
    return {"changed": False, "plan": planned, "errors": []}


def _secrets(networks: Any) -> set[str]:
    """What no output may show: the pre-shared keys of the backends."""
    backends = [
        network.get("backend")
        for network in (networks if isinstance(networks, list) else [])
        if isinstance(network, dict)
    ]
    return {
        str(backend["psk"])
        for backend in backends
        if isinstance(backend, dict) and backend.get("psk")
    }
