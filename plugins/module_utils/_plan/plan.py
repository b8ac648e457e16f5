# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the user's list of networks to the plan that every role works from."""

from __future__ import annotations

from typing import Any

from .._libraries import need
from . import pairs
from .check import check
from .errors import PlanError
from .render import cni_conf, render
from .secrets import masked

__all__ = ["PlanError", "plan"]


def plan(networks: Any, options: Any = None) -> dict[str, Any]:
    """Check a declaration and derive everything from it.

    Its secrets are not in it (secrets.py). Pure: same input, same plan, nothing outside is read.

    networks: `multinet_networks`, a list of mappings (keys: docs/declaration.md). options: a
    mapping with any of the keys of schema.OPTIONS, or null. Returns a dict of JSON types:
    `networks` (in declared order, those of the collection alone), `default_network` (name, or null
    with an external one), `external` (the CNI that is there already and stays on eth0, or null),
    `cni_conf`, what keeps them apart (`isolated`, their names, and `allowed`, the ordered pairs of
    `allow_to`: pairs.py), and the options that others go on working with: `datastore`,
    `kubernetes`, `cluster_cidrs`, `node_cidr_mask_sizes`. Raises PlanError with all that is wrong,
    whatever the input is, and MissingLibraryError without netaddr.
    """
    need("netaddr")
    checked = check(networks, options)
    for network in checked.networks:
        network["backend"] = masked(network["backend"])
    kept_apart = {
        "external": checked.external,
        "isolated": [network["name"] for network in checked.networks if network["isolate"]],
        "allowed": [
            [network["name"], name] for network in checked.networks for name in network["allow_to"]
        ],
    }
    shut = pairs.shut({"networks": checked.networks, **kept_apart})
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
        "cni_conf": cni_conf(planned, checked.external, checked.options),
        **kept_apart,
        **{
            key: checked.options[key]
            for key in ("datastore", "kubernetes", "cluster_cidrs", "node_cidr_mask_sizes")
        },
    }
