# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new plan does to a host that carries an older one.

Runs on the controller (filters) and on hosts (module node_preflight): the standard library alone.
"""

from __future__ import annotations

from typing import Any

from .schema import BACKENDS, NETWORK_KEYS, REATTACH, TUNNEL
from .secrets import masked

# What is derived, or decides more than a value, is no key of its own.
_DERIVED = {"backend.type": TUNNEL, "etcd_prefix": f"all nodes take new leases, and {REATTACH}"}


def _consequences() -> dict[str, str]:
    """Path of a value in a planned network -> what a change of it means; without it, nothing."""
    keys = list(NETWORK_KEYS.items())
    for backend in BACKENDS.values():
        keys += [(f"backend.{name}", key) for name, key in backend.keys.items()]
    return {path: key.change for path, key in keys if key.change} | _DERIVED


_CONSEQUENCES = _consequences()
_SECRETS = {
    f"backend.{name}"
    for backend in BACKENDS.values()
    for name, key in backend.keys.items()
    if key.secret
}


def removed(deployed: Any, planned: Any) -> list[dict[str, Any]]:
    """Networks of the deployed plan, as they were planned then, whose names the new plan does not
    hold. Either plan may be null or {}.
    """
    names = _by_name(planned)
    return [network for name, network in _by_name(deployed).items() if name not in names]


def changed(deployed: Any, planned: Any) -> list[str]:
    """Sentences about networks of both plans that need care: what changes, from what to what, and
    what follows. Either plan may be null or {}.
    """
    sentences = []
    before = _by_name(deployed)
    for name, network in _by_name(planned).items():
        for path, consequence in _CONSEQUENCES.items() if name in before else ():
            old, new = _value(before[name], path), _value(network, path)
            if old == new:
                continue
            values = "" if path in _SECRETS else f" from {_show(old)} to {_show(new)}"
            sentences.append(f"network {name!r}: {path} changes{values}; {consequence}.")
    return sentences


def _by_name(plan: Any) -> dict[str, dict[str, Any]]:
    """The networks of a plan by name; what is no plan has none."""
    networks = plan.get("networks") if isinstance(plan, dict) else None
    return {
        network["name"]: network
        for network in (networks if isinstance(networks, list) else [])
        if isinstance(network, dict) and isinstance(network.get("name"), str)
    }


def _value(network: dict[str, Any], path: str) -> Any:
    value: Any = network
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return masked({key: value})[key]


def _show(value: Any) -> str:
    return "none" if value is None else str(value)
