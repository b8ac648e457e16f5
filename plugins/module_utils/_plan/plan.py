# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the user's list of networks to the plan that every role works from."""

from __future__ import annotations

from typing import Any

from .._libraries import need
from .check import check
from .errors import PlanError
from .render import cni_conf, render
from .secrets import masked

__all__ = ["PlanError", "blocked", "plan"]


def plan(networks: Any, options: Any = None) -> dict[str, Any]:
    """Check a declaration and derive everything from it.

    Its secrets are not in it (secrets.py). Pure: same input, same plan, nothing outside is read.

    networks: `multinet_networks`, a list of mappings (keys: docs/declaration.md). options: a
    mapping with any of the keys of schema.OPTIONS, or null. Returns a dict of JSON types:
    `networks` (in declared order, those of the collection alone), `default_network` (name, or null
    with an external one), `external` (the CNI that is there already and stays on eth0, or null),
    `cni_conf`, `blocked`, and the options that others go on working with: `datastore`,
    `kubernetes`, `cluster_cidrs`, `node_cidr_mask_sizes`. Raises PlanError with all that is wrong,
    whatever the input is, and MissingLibraryError without netaddr.
    """
    need("netaddr")
    checked = check(networks, options)
    for network in checked.networks:
        network["backend"] = masked(network["backend"])
    pairs = blocked(checked.networks + _apart(checked.external))
    shut = {tuple(pair) for pair in pairs}
    planned = []
    for network in checked.networks:
        name = network["name"]
        open_to = [
            other
            for other in checked.networks
            if other is not network
            and not ((name, other["name"]) in shut and (other["name"], name) in shut)
        ]
        planned.append(render(network, checked.options, open_to))
    return {
        "networks": planned,
        "default_network": next(
            (network["name"] for network in planned if network["default"]), None
        ),
        "external": checked.external,
        "cni_conf": cni_conf(planned, checked.external, checked.options),
        "blocked": pairs,
        **{
            key: checked.options[key]
            for key in ("datastore", "kubernetes", "cluster_cidrs", "node_cidr_mask_sizes")
        },
    }


def _apart(external: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The external network as one that the others are kept apart from.

    It is known by its range alone; without one there is nothing to keep apart.
    """
    if external and (external["cidr"] or external["ipv6_cidr"]):
        return [{**external, "isolate": False, "allow_to": []}]
    return []


def blocked(networks: list[dict[str, Any]]) -> list[list[str]]:
    """Ordered pairs [from, to] that must not reach each other: either side is isolated, and `from`
    does not list `to` in allow_to.

    A pair that is open lets `from` open connections to `to`; answers are let back, but `to` cannot
    begin one unless its own pair is open too.
    """
    return [
        [source["name"], target["name"]]
        for source in networks
        for target in networks
        if source is not target
        and (source["isolate"] or target["isolate"])
        and target["name"] not in source["allow_to"]
    ]
