# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: which hosts a reset has come to, what goes from etcd, and what a user reads of it.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.filter.machines import machine_names
from ansible_collections.multinet.flannel.plugins.module_utils._site import reset

# What the role registers of a host, first and last
LOOK = "__reset_look"
END = "__reset_rest"


def reset_etcd(
    hosts: Iterable[str], hostvars: Mapping[str, Any], members_go: bool
) -> dict[str, Any]:
    """Return reset.etcd() of these hosts."""
    return reset.etcd({host: hostvars[host].get(LOOK) for host in hosts}, members_go=members_go)


def reset_of_host(host: Mapping[str, Any]) -> list[str]:
    """Return reset.of_host() of a mapping with the fields of reset.Host."""
    return reset.of_host(reset.Host(**host))


def reset_of_site(site: Mapping[str, Any]) -> list[str]:
    """Return reset.of_site() of a mapping with the fields of reset.Site."""
    return reset.of_site(reset.Site(**site))


def reset_turn(
    hosts: Iterable[str],
    hostvars: Mapping[str, Any],
    alive: Iterable[str],
    batch: Iterable[str],
    nodes: Iterable[str],
    confirmed: bool,
) -> dict[str, list[str]]:
    """Return reset.turn()."""
    run = reset.Run(list(hosts), set(alive), set(batch), confirmed)
    # only where some hosts have their turn by themselves are all of them asked
    apart = run.batch != set(run.hosts)
    inventory = {"nodes": list(nodes), "running": run.hosts, "pki_dir": ""}
    names = machine_names(run.hosts, hostvars, LOOK, inventory) if apart else {}
    return reset.turn(
        run, lambda host: hostvars[host].get(LOOK), lambda host: hostvars[host].get(END), names
    )


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "reset_etcd": reset_etcd,
            "reset_of_host": reset_of_host,
            "reset_of_site": reset_of_site,
            "reset_turn": reset_turn,
        }
