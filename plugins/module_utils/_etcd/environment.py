# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that an etcd runs with, and the one it should run with. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .decision import Initial

_STATE = "ETCD_INITIAL_CLUSTER_STATE"
# What a member is started with only once; etcd ignores it as soon as there is data.
_ONCE = ("ETCD_INITIAL_CLUSTER", _STATE)


def of_first_start(initial: Initial) -> str:
    """Return the text of the environment file of a member's first start."""
    cluster = ",".join(f"{name}={url}" for name, url in initial.members)
    return f"ETCD_INITIAL_CLUSTER={cluster}\n{_STATE}={initial.state}\n"


def is_new_cluster(environment: Mapping[str, str]) -> bool:
    """Whether a first start with this environment forms a new cluster."""
    return environment.get(_STATE) == "new"


def differing(wanted: Mapping[str, str], running: Mapping[str, str]) -> list[str]:
    """Return the names of etcd's variables that differ between two environments, sorted."""
    names = {
        name
        for name in (*wanted, *running)
        if name.startswith(("ETCD_", "MULTINET_ETCD_")) and name not in _ONCE
    }
    return sorted(name for name in names if wanted.get(name) != running.get(name))


def peer_scheme(environment: Mapping[str, str]) -> str:
    """Return how members speak to each other: "https" or "http"."""
    return environment.get("ETCD_LISTEN_PEER_URLS", "").split(":", 1)[0]
