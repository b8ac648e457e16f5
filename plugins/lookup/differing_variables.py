# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: differing_variables
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Variables that must be the same for all hosts, and are not
description:
  - What is done once for all hosts is done with the variables of one of them. This finds those that
    are set otherwise for another host, in its host_vars for example.
  - Looked at are C(multinet_networks) and what decides where leases are.
options:
  _terms:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Check that there is one declaration
  ansible.builtin.assert:
    that: query('multinet.flannel.differing_variables', *multinet_nodes) | length == 0
"""

RETURN = r"""
_raw:
  description: A sentence for each such variable, without its value; an empty list if there is none.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase

# What two hosts of one cluster cannot have differently
ONE_FOR_ALL = (
    "multinet_networks",
    "multinet_datastore",
    "multinet_etcd_prefix",
    "multinet_kubernetes",
    "multinet_kubernetes_namespace",
    "multinet_flanneld_form",
    "multinet_cluster_cidrs",
    "multinet_node_cidr_mask_sizes",
)
_NOT_SET = object()


def differing(hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable of ONE_FOR_ALL that is not the same for all hosts."""
    found = []
    for name in ONE_FOR_ALL:
        values = {host: hostvars[host].get(name, _NOT_SET) for host in hosts}
        others = [host for host in hosts if values[host] != values[hosts[0]]]
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            found.append(
                f"{name} is not the same for {', '.join(others[:3])}{more} as for {hosts[0]}, and"
                " there can be one alone for all hosts. Write it once, in group_vars/all.yml."
            )
    return found


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return differing() of the terms."""
        return differing(list(terms), (variables or {})["hostvars"])
