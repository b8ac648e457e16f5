# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the user's list of networks to the plan that every role works from."""

from __future__ import annotations

from typing import Any

from .checks import check
from .errors import PlanError
from .render import cni_conf, render

__all__ = ["PlanError", "blocked", "plan"]


def plan(networks: Any, options: Any = None) -> dict[str, Any]:
    """Check a declaration and derive everything from it.

    Pure: same input, same plan, nothing outside is read.

    networks: `multinet_networks`, a list of mappings (keys: docs/declaration.md). options: a
    mapping with any of the keys of schema.OPTION_DEFAULTS, or null. Returns a dict of JSON types:
    `networks` (in declared order, those of the collection alone), `default_network` (name, or null
    with an external one), `external` (the CNI that is there already and stays on eth0, or null),
    `cni_conf`, `blocked`, and the options that others go on working with: `datastore`,
    `kubernetes`, `cluster_cidrs`, `node_cidr_mask_sizes`. Raises PlanError with all that is wrong,
    whatever the input is.
    """
    checked, external, settings = check(networks, options)
    # The external network is known by its range alone; without one there is nothing to keep apart
    # from it.
    apart = (
        [dict(external, isolate=False, allow_to=[])]
        if external and (external["cidr"] or external["ipv6_cidr"])
        else []
    )
    pairs = blocked(checked + apart)
    open_to = {
        network["name"]: [
            other
            for other in checked
            if other is not network
            and not (
                [network["name"], other["name"]] in pairs
                and [other["name"], network["name"]] in pairs
            )
        ]
        for network in checked
    }
    planned = [render(network, settings, open_to[network["name"]]) for network in checked]
    return {
        "networks": planned,
        "default_network": next(
            (network["name"] for network in planned if network["default"]), None
        ),
        "external": external,
        "cni_conf": cni_conf(planned, external, settings),
        "blocked": pairs,
        **{
            key: settings[key]
            for key in ("datastore", "kubernetes", "cluster_cidrs", "node_cidr_mask_sizes")
        },
    }


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
