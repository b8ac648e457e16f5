# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CNI executables a node needs for its networks."""

from __future__ import annotations

from typing import Any

from .._names import NO_EXECUTABLE


def executables(plan: dict[str, Any]) -> list[str]:
    """Return the names, in alphabetical order, of what is started for a pod of plan()'s networks.

    flannel and tuning are not where the meta-plugin does their work (_meta/in_process.py): it does
    all that the collection asks of them. Of bridge and host-local pods may ask for more. loopback
    is what container runtimes start for `lo`, whatever the networks are.
    """
    needed = {"loopback"}
    for network in plan["networks"]:
        for plugin in network["cni_conflist"]["plugins"]:
            needed.add(plugin["type"])
            if plugin["type"] == "flannel":  # what it hands over to; see _plan/render.py
                needed |= {"bridge", "host-local"}
    spared = set(NO_EXECUTABLE).intersection(plan["cni_conf"].get("inProcess", []))
    return sorted(needed - spared)
