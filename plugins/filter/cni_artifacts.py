# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the CNI executables of a node (documentation: cni_artifacts.yml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._plan.executables import executables
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases


def cni_artifacts(
    plan: dict[str, Any], versions: Mapping[str, str], bin_dir: str
) -> list[dict[str, Any]]:
    """Return the artifacts (see _artifacts/releases.py) that plan's networks need in bin_dir.

    versions: {component: version}.
    """
    needed = executables(plan)
    return [
        {
            "component": component,
            "version": str(versions[component]),
            "executables": {name: f"{bin_dir}/{name}" for name in needed if name in has},
        }
        for component, has in releases.executables(releases.load_table()).items()
        if any(name in has for name in needed)
    ]


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cni_artifacts": cni_artifacts}
