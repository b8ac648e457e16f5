# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new plan does to a host that carries an older one.

Runs on the controller (filters) and on hosts (module node_preflight): the standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .schema import BACKENDS, NETWORK_KEYS, REATTACH, TUNNEL, leads_over_underlay
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
# whatever a declaration says of a network, on which its daemons, tables and files depend
_DECLARED = [
    *(path for path in NETWORK_KEYS if path not in ("name", "backend")),
    "backend.type",
    *dict.fromkeys(f"backend.{name}" for backend in BACKENDS.values() for name in backend.keys),
    "etcd_prefix",
]
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


def without_default(deployed: Any, planned: Any) -> list[str]:
    """Names of the new plan's networks whose backend has `mtu` by a default that there was not when
    they were deployed. With it, running pods would have another MTU than new ones: that is a change
    of the network, and not of versions. Either plan may be null or {}.
    """
    before = _by_name(deployed)
    return [
        name
        for name, network in _by_name(planned).items()
        if name in before
        and before[name].get("ipv6_cidr")
        and before[name]["backend"].get("type") == network["backend"]["type"]
        and before[name]["backend"].get("mtu") is None
        and network["backend"].get("mtu") is not None
        and network["backend"]["mtu"] == BACKENDS[network["backend"]["type"]].ipv6_mtu
    ]


def undeployed(deployed: Any, planned: Any) -> list[str]:
    """Clauses about what the new plan declares otherwise than the deployed one, of networks that it
    holds. A host without networks runs no other ones: none. Either plan may be null or {}.

    What an older version did not know is not among the keys of its plan, and no difference; nor is
    a default that it did not have.
    """
    before = _by_name(deployed)
    no_default = without_default(deployed, planned)
    clauses = []
    stores = [(plan or {}).get("datastore", "etcd") for plan in (deployed, planned)]
    if before and stores[0] != stores[1]:
        clauses.append(f"multinet_datastore would change from {stores[0]} to {stores[1]}")
    for name, network in _by_name(planned).items() if before else ():
        if name not in before:
            clauses.append(f"network {name!r} is not deployed")
            continue
        backends = before[name]["backend"], network["backend"]
        for path in _DECLARED:
            old, new = _value(before[name], path), _value(network, path)
            there = path.partition(".")[0] in before[name]
            if path == "backend.mtu" and name in no_default:
                continue
            if path.startswith("backend.") and path != "backend.type":
                # those of another type say nothing more
                there = all(path.partition(".")[2] in one for one in backends)
                there = there and backends[0]["type"] == backends[1]["type"]
            if there and _unordered(old) != _unordered(new):
                values = "" if path in _SECRETS else f" from {_show(old)} to {_show(new)}"
                clauses.append(f"network {name!r}: {path} would change{values}")
    return clauses


def former(
    deployed: Any, planned: dict[str, Any], before: Iterable[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """What networks that stay had when they were deployed and no longer have, [{name, devices,
    routes: ranges in which routes led over the underlay, policies: ranges of ipsec's, keep: ranges
    of which the new plan has such routes}]: no flanneld takes it away.

    Either plan may be null or {}; before: what this returned for an earlier plan, of a run that was
    stopped before it was taken away.
    """
    names = _by_name(planned)
    devices = {device for network in names.values() for device in network["devices"]}
    keep = [one for network in names.values() for one in _routes(network)]
    policies = {one for network in names.values() for one in _policies(network)}
    had = [
        {
            "name": name,
            "devices": network["devices"],
            "routes": _routes(network),
            "policies": _policies(network),
        }
        for name, network in _by_name(deployed).items()
        if name in names
    ]
    found = [
        {
            "name": one["name"],
            "devices": [device for device in one["devices"] if device not in devices],
            "routes": [range_ for range_ in one["routes"] if range_ not in keep],
            "policies": [range_ for range_ in one["policies"] if range_ not in policies],
            "keep": keep,
        }
        for one in [*before, *had]
    ]
    return [one for one in found if one["devices"] or one["routes"] or one["policies"]]


def _routes(network: dict[str, Any]) -> list[str]:
    if not leads_over_underlay(network["backend"]):
        return []
    return [range_ for range_ in (network["cidr"], network["ipv6_cidr"]) if range_]


def _policies(network: dict[str, Any]) -> list[str]:
    return [network["cidr"]] if network["backend"]["type"] == "ipsec" else []


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


def _unordered(value: Any) -> Any:
    """Return a value with lists of names sorted: their order means nothing."""
    is_names = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return sorted(value) if is_names else value


def _show(value: Any) -> str:
    return "none" if value is None else str(value)
