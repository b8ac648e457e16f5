# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks mean for pods that have networks of others, and who else attaches pods. Pure;
runs on the controller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .objects import full_name


def shifted(networks: Sequence[Mapping[str, Any]], others: Sequence[str]) -> list[str]:
    """Say whose interfaces the networks shift in pods: sentences.

    networks: those of a plan. others: namespace/name of the NetworkAttachmentDefinitions that are
    not of the collection. A pod's networks are net1, net2, ... after those that every pod has.
    """
    numbered = [
        network
        for network in networks
        if network["attach"] == "all" and re.fullmatch(r"net[0-9]+", network["interface"])
    ]
    if not numbered or not others:
        return []
    names = ", ".join(network["name"] for network in numbered)
    first = ", ".join(sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
    return [
        f"In new pods, networks such as {first} are net{len(numbered) + 1} and so on, no longer"
        f" net1: attach: all gives {numbered[0]['interface']} to {names}. Write an interface there"
        f" that is not numbered, for example interface: {numbered[0]['name'][:14]}0. Then the other"
        " networks keep their interfaces."
    ]


def multus(daemon_sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return namespace/name of the DaemonSets that bring Multus to nodes: those whose image or
    command has its name. daemon_sets: objects of the API.
    """
    found = []
    for item in daemon_sets:
        pod = item["spec"]["template"]["spec"]
        containers = [*(pod.get("initContainers") or ()), *pod["containers"]]
        said = [
            word.rpartition("/")[2]
            for one in containers
            for word in (one.get("image") or "", *(one.get("command") or ()))
        ]
        if any("multus" in word for word in said):
            found.append(full_name(item))
    return sorted(found)
