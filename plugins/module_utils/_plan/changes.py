# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new plan does to a host that carries an older one."""

from __future__ import annotations

from typing import Any

# What a change of the key means for the pods and nodes that use the network.
_REATTACH = "pods that are attached keep their old addresses until they are attached again"
_RELEASE = (
    "every node's lease is of the old form: nodes take a new one when flanneld restarts, and "
    + _REATTACH
)
_TUNNEL = "nodes that have not changed over yet cannot be reached through it"
_CONSEQUENCES = (
    ("cidr", _RELEASE),
    ("ipv6_cidr", _RELEASE),
    ("subnet_len", _RELEASE),
    ("ipv6_subnet_len", _RELEASE),
    (
        "subnet_min",
        "a node whose lease lies outside takes a new one when flanneld restarts, and " + _REATTACH,
    ),
    (
        "subnet_max",
        "a node whose lease lies outside takes a new one when flanneld restarts, and " + _REATTACH,
    ),
    ("backend.type", _TUNNEL),
    ("backend.vni", _TUNNEL),
    ("backend.port", _TUNNEL),
    ("backend.gbp", _TUNNEL),
    ("backend.psk", _TUNNEL),
    ("backend.mtu", "pods that are attached keep the old MTU until they are attached again"),
    ("etcd_prefix", "all nodes take new leases, and " + _REATTACH),
    ("interface", "pods that are attached keep the old name until they are attached again"),
    ("delegate", "pods that are attached keep what they have until they are attached again"),
    (
        "default",
        "pods that are attached keep their old default route until they are attached again",
    ),
)


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
        for path, consequence in _CONSEQUENCES if name in before else ():
            old, new = _value(before[name], path), _value(network, path)
            if old != new:
                values = (
                    "" if path == "backend.psk" else f" from {_show(old)} to {_show(new)}"
                )  # a secret is never shown
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
    return value


def _show(value: Any) -> str:
    return "none" if value is None else str(value)
