# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the inventory, and from what Ansible knows of its hosts.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.filter import etcd
from ansible_collections.multinet.flannel.plugins.module_utils import _underlay
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import members
from ansible_collections.multinet.flannel.plugins.module_utils._node import root


def flanneld_underlay(
    facts: Mapping[str, Any], interface: str, node_address: str = ""
) -> dict[str, str]:
    """Return _underlay.flanneld_underlay()."""
    return _underlay.flanneld_underlay(facts, interface, node_address)


def inventory_problems(
    groups: Mapping[str, list[str]],
    hostvars: Mapping[str, Any],
    hosts: list[str],
    nodes: list[str],
    etcd_record: str = "",
) -> list[str]:
    """Return what stands in the way as soon as hosts are looked at together, as sentences.

    hosts: names of those whose facts were gathered in this run. nodes: names of all that carry
    networks. etcd_record: path of the file in which the last run left the members of an etcd of
    ours, or "".
    """
    users: dict[str, list[str]] = {}
    for host in hosts:
        facts = hostvars[host].get("ansible_facts") or {}  # with `serial`, of some hosts only
        if facts.get("effective_user_id"):
            users.setdefault(facts["user_id"], []).append(host)
    found = [root.sentence(", ".join(names), user) for user, names in users.items()]
    found += _underlay.shared_addresses(hostvars, [host for host in hosts if host in nodes])
    if etcd_record:
        try:
            members.members(groups, hostvars, recorded=etcd.last_members(etcd_record))
        except members.MembersError as error:
            found += error.errors
    return found


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"flanneld_underlay": flanneld_underlay, "inventory_problems": inventory_problems}
