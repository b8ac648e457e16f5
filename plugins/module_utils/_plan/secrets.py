# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of backends that nobody may read: in the plan, which travels to every host and into
reports, stands a fingerprint of each; what needs the key itself is handed it beside the plan.

Runs on the controller and on hosts: the standard library alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from .schema import BACKENDS

_FINGERPRINT = re.compile("sha256:[0-9a-f]{12}")
# the names of secret keys, ours and flannel's
_OURS = {name for kind in BACKENDS.values() for name, key in kind.keys.items() if key.secret}
_FLANNELS = {key.flannel for kind in BACKENDS.values() for key in kind.keys.values() if key.secret}


def secrets(declared: Any) -> dict[str, dict[str, str]]:
    """Return {network: {flannel's name of a key: its value}} of the networks that have secrets.

    declared: `multinet_networks`, which may be wrong: plan() is what says so.
    """
    found = {}
    for network in declared if isinstance(declared, list) else []:
        backend = network.get("backend") if isinstance(network, dict) else None
        kind = BACKENDS.get(str(backend.get("type"))) if isinstance(backend, dict) else None
        if kind is None or backend is None:
            continue
        keys = {
            key.flannel: str(backend[own])
            for own, key in kind.keys.items()
            if key.secret and backend.get(own)
        }
        if keys:
            found[str(network.get("name"))] = keys
    return found


def masked(value: Any) -> Any:
    """Return a backend, a configuration of flannel, or anything that holds one, with fingerprints
    in place of secrets.
    """
    if isinstance(value, Mapping):
        return {
            key: _fingerprint(one) if key in _OURS | _FLANNELS else masked(one)
            for key, one in value.items()
        }
    return [masked(one) for one in value] if isinstance(value, list) else value


def unmasked(network: Mapping[str, Any], known: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return flannel's configuration of a planned network with its secrets. known: as secrets()
    returns them; raises KeyError where one is missing.
    """
    config: dict[str, Any] = network["flannel_config"]
    if not has_any(network):
        return config
    backend = config["Backend"]
    keys = _FLANNELS.intersection(backend)
    return {**config, "Backend": {**backend, **{key: known[network["name"]][key] for key in keys}}}


def has_any(network: Mapping[str, Any]) -> bool:
    """Whether flannel's configuration of a planned network has secrets."""
    backend = network["flannel_config"].get("Backend")
    return isinstance(backend, Mapping) and not _FLANNELS.isdisjoint(backend)


def _fingerprint(value: Any) -> Any:
    if not isinstance(value, str) or not value or _FINGERPRINT.fullmatch(value):
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:12]
